//! The command `ctctl doctor`.

use super::args::{self, Global};
use super::place::Place;
use super::render::{self, Style};
use super::{called, output};
use crate::core::model::{DoctorDocument, Severity};
use crate::direct;
use crate::error::{Error, Result};
use crate::tools::doctor::gather::{self, Question};
use crate::tools::doctor::quoted;

/// Examines files and kernel, and prints the findings.
///
/// # Errors
/// The path of `--root` is no directory, or the namespace cannot be entered.
pub fn run(global: &Global, options: &args::Doctor) -> Result<u8> {
    let mut document = match &options.root {
        Some(_) if global.netns.is_some() => {
            return Err(Error::usage("usage", "--root examines files, which have no network namespace")
                .hint("leave out --netns, or --root"));
        }
        Some(root) => gather::image(root)?,
        None => running(global, options)?,
    };
    for finding in &mut document.findings {
        // Comments among the commands name commands too.
        called::complete_all(finding.fix.iter_mut().chain([&mut finding.title, &mut finding.explanation]));
    }
    let style = Style::of_stdout(global.color, global.verbosity());
    output::print(|out| match global.json {
        true => output::json(out, &document),
        false => render::doctor::write(out, &document, &style),
    })?;
    Ok(exit_code(&document))
}

fn running(global: &Global, options: &args::Doctor) -> Result<DoctorDocument> {
    let place = Place::find(global)?;
    let configured = place.settings.agent.netns.first();
    let beside = place.beside_agent()?;
    gather::running(&Question {
        target: beside.as_ref().unwrap_or(&place.target),
        settings: &place.settings,
        program: program(global),
        spec: global.netns.as_ref().or(configured).map(String::as_str),
        baselines: &direct::baseline_dirs(place.target.netns(), &place.settings),
        sample_seconds: options.sample,
    })
}

/// Returns the beginning of a command line that asks about the same namespace and agent again.
fn program(global: &Global) -> String {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    let options = [
        ("--config", global.config.as_ref().map(path)),
        ("--netns", global.netns.clone()),
        ("--socket", global.socket.as_ref().map(path)),
    ];
    let given =
        options.into_iter().filter_map(|(option, value)| Some(format!(" {option} {}", quoted(&value?))));
    given.fold("ctctl".to_owned(), |program, option| program + &option)
}

/// Returns 1 if there is a warning or an error, else 3 if a part could not be examined. A finding outweighs a part that
/// could not be examined, for it settles the answer.
fn exit_code(document: &DoctorDocument) -> u8 {
    let partly = document.not_examined.iter().any(|part| part.failed);
    match document.severity {
        Some(Severity::Error | Severity::Warning) => 1,
        _ if partly => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Header, Netns, NotExamined};

    #[test]
    fn the_exit_code_says_the_worst() {
        let code = |severity, failed: &[bool]| {
            let part = |failed: &bool| NotExamined { what: "x".into(), why: "y".into(), failed: *failed };
            exit_code(&DoctorDocument {
                header: Header { schema: 1, taken_at: String::new(), netns: Netns::default() },
                root: None,
                severity,
                findings: Vec::new(),
                tracking_users: None,
                not_examined: failed.iter().map(part).collect(),
            })
        };
        assert_eq!(code(None, &[]), 0);
        assert_eq!(code(Some(Severity::Note), &[false]), 0);
        assert_eq!(code(Some(Severity::Note), &[false, true]), 3);
        assert_eq!(code(Some(Severity::Warning), &[true]), 1);
        assert_eq!(code(Some(Severity::Error), &[]), 1);
    }
}
