//! What clap refuses, in this program's own form: `ctctl: usage: why`, then `hint: …`.

use std::error::Error as _;
use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::args::Arguments;
use super::value::BadValue;
use crate::error::Error;

/// Whether clap "fails" only to show help or the version.
pub fn is_answer(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// The operator's error for clap's of `line`.
pub fn explain(error: &clap::Error, line: &[OsString]) -> Error {
    let rendered = error.render().to_string();
    let mut paragraphs = rendered.split("\n\n");
    let why = joined(paragraphs.next().unwrap_or_default());
    let why = why.strip_prefix("error: ").unwrap_or(&why).to_string();
    let bad_value = error.source().and_then(|source| source.downcast_ref::<BadValue>());
    let hint = match bad_value {
        Some(bad) => bad.hint.to_string(),
        None => tip(&rendered).unwrap_or_else(|| format!("see `{} --help`", command(line))),
    };
    Error::usage("usage", why).hint(hint)
}

fn joined(lines: &str) -> String {
    lines.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// clap's own suggestion of what was meant.
fn tip(rendered: &str) -> Option<String> {
    rendered.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")).map(str::to_string)
}

/// `ctctl status`, where the line names a command; clap does not say whose value it refused.
fn command(line: &[OsString]) -> String {
    let commands = Arguments::command();
    let names = || commands.get_subcommands().map(|command| command.get_name());
    let named = line.iter().skip(1).find_map(|word| names().find(|name| word == *name));
    named.map_or("ctctl".into(), |name| format!("ctctl {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn refused(line: &[&str]) -> (String, String) {
        let error = Arguments::try_parse_from(line).expect_err("refused");
        let error = explain(&error, &line.iter().map(OsString::from).collect::<Vec<_>>());
        (error.why, error.hint.unwrap_or_default())
    }

    #[test]
    fn the_nearest_right_one_is_the_hint() {
        let (why, hint) = refused(&["ctctl", "status", "--chek"]);
        assert_eq!(why, "unexpected argument '--chek' found");
        assert_eq!(hint, "a similar argument exists: '--check'");
        let (why, hint) = refused(&["ctctl", "statsu"]);
        assert_eq!(why, "unrecognized subcommand 'statsu'");
        assert!(hint.contains("'status'"), "{hint}");
    }

    #[test]
    fn a_bad_value_says_what_to_write() {
        let (why, hint) = refused(&["ctctl", "pause", "--for", "90"]);
        assert_eq!(why, "invalid value '90' for '--for <DURATION>': a number without a unit");
        assert_eq!(hint, "write a number and its unit: 90s, 10m, 2h, 1d, 1h30m");
        let (why, _) = refused(&["ctctl", "pause", "--for", "-1s"]);
        assert_eq!(why, "invalid value '-1s' for '--for <DURATION>': not a duration");
    }

    #[test]
    fn without_a_suggestion_the_help_of_the_command_is_the_hint() {
        let (_, hint) = refused(&["ctctl", "top-sources", "-n", "99999999999999999999"]);
        assert_eq!(hint, "see `ctctl top-sources --help`");
        let (why, hint) = refused(&["ctctl"]);
        assert!(why.contains("requires a subcommand"), "{why}");
        assert!(!why.contains('\n'));
        assert_eq!(hint, "see `ctctl --help`");
    }
}
