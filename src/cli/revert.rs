//! The command `ctctl revert`.

use super::args;
use super::place::Place;
use super::reach::{self, NoAnswer};
use super::{called, output, render};
use crate::core::model::RevertDocument;
use crate::direct;
use crate::error::Result;

/// Puts back the values that the agent changed.
///
/// # Errors
/// Neither the agent nor the kernel puts them back.
pub fn run(place: &Place, options: &args::Revert) -> Result<u8> {
    let mut document = document(place, options.force)?;
    called::complete_all(&mut document.waiting);
    output::print(|out| match place.json {
        true => output::json(out, &document),
        false => render::revert::write(out, &document, &place.style),
    })?;
    Ok(exit_code(&document))
}

fn document(place: &Place, force: bool) -> Result<RevertDocument> {
    match reach::agent(&place.socket, place.target.netns()) {
        Ok(mut client) => client.revert(force),
        Err(without) if may_bypass_agent(&without, force) => {
            // An agent removes its socket as it ends: a socket that is still there was left by one that was killed.
            let left = matches!(without, NoAnswer::NoAgent(_)) && place.socket.exists();
            let left = left.then_some(place.socket.as_path());
            let other = || direct::revert(&place.target, &place.settings, left, force);
            Ok(reach::or_else(Err(without), other)?.0)
        }
        Err(without) => {
            let hint = "stop the agent first (systemctl stop ctctl), or use --force";
            Err(without.into_error().hint(hint))
        }
    }
}

/// True if values may be put back without the agent. An agent that runs but cannot be asked would change them again, so
/// that needs `--force`.
fn may_bypass_agent(without: &NoAnswer, force: bool) -> bool {
    force || !matches!(without, NoAnswer::NotPermitted(_) | NoAnswer::Failed(..))
}

/// Returns 1 if a value waits or could not be put back.
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
        let failed = NoAnswer::Failed("/s".into(), "timed out".into());
        assert!(!may_bypass_agent(&failed, false) && may_bypass_agent(&failed, true));
        assert!(!may_bypass_agent(&NoAnswer::NotPermitted("/s".into()), false));
        assert!(may_bypass_agent(&NoAnswer::NoAgent("/s".into()), false));
        assert!(may_bypass_agent(&NoAnswer::Elsewhere("/s".into(), "blue".into()), false));
    }
}
