//! `ctctl revert`.

use super::args;
use super::place::Place;
use super::reach::{self, Without};
use super::{output, render};
use crate::error::Result;
use crate::model::RevertDocument;
use crate::survey;

/// Puts back what the agent changed.
///
/// # Errors
/// Where neither the agent nor the kernel does it.
pub fn run(place: &Place, options: &args::Revert) -> Result<u8> {
    let document = document(place, options.force)?;
    output::print(|out| match place.json {
        true => output::json(out, &document),
        false => render::revert::write(out, &document, &place.style),
    })?;
    Ok(exit_code(&document))
}

fn document(place: &Place, force: bool) -> Result<RevertDocument> {
    match reach::agent(&place.socket, place.target.netns()) {
        Ok(mut client) => client.revert(force),
        Err(without) if may_go_behind(&without, force) => {
            // An agent removes its socket as it ends.
            let left = matches!(without, Without::NoAgent(_)) && place.socket.exists();
            let left = left.then_some(place.socket.as_path());
            let other = || survey::revert(&place.target, &place.settings, left, force);
            Ok(reach::or_else(Err(without), other)?.0)
        }
        Err(without) => {
            let hint = "stop the agent first (systemctl stop ctctl), or use --force";
            Err(without.into_error().hint(hint))
        }
    }
}

/// An agent that is there and was not heard would change the values again: only `--force` goes behind its back.
fn may_go_behind(without: &Without, force: bool) -> bool {
    force || !matches!(without, Without::NotPermitted(_) | Without::Failed(..))
}

/// 1 where a value waits or could not be put back.
fn exit_code(document: &RevertDocument) -> u8 {
    let whole = document.waiting.is_empty()
        && document.values.iter().all(|row| matches!(row.result.as_str(), "restored" | "left"));
    u8::from(!whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;

    #[test]
    fn one_that_waits_is_exit_code_1() {
        assert_eq!(exit_code(&canned::revert(&["restored", "restored"])), 0);
        assert_eq!(exit_code(&canned::revert(&[])), 0);
        assert_eq!(exit_code(&canned::revert(&["restored", "waits"])), 1);
        assert_eq!(exit_code(&canned::revert(&["failed"])), 1);
        let mut waiting = canned::revert(&["restored"]);
        waiting.waiting.push("max".into());
        assert_eq!(exit_code(&waiting), 1);
    }

    #[test]
    fn an_agent_that_was_not_heard_is_not_worked_against() {
        let failed = Without::Failed("/s".into(), "timed out".into());
        assert!(!may_go_behind(&failed, false) && may_go_behind(&failed, true));
        assert!(!may_go_behind(&Without::NotPermitted("/s".into()), false));
        assert!(may_go_behind(&Without::NoAgent("/s".into()), false));
        assert!(may_go_behind(&Without::Elsewhere("/s".into(), "blue".into()), false));
    }
}
