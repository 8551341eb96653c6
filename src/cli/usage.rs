//! What clap refuses, in this program's own form: `ctctl: usage: why`, then `hint: …`.

use std::error::Error as _;
use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Arguments;
use super::value::BadValue;
use crate::config::nearest;
use crate::error::Error;
use crate::model::{network, protocol_number};

/// Whether clap "fails" only to show help or the version.
pub fn is_answer(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// The operator's error for clap's of `line`.
pub fn explain(error: &clap::Error, line: &[OsString]) -> Error {
    let rendered = error.render().to_string();
    let mut paragraphs = rendered.split("\n\n");
    let why = joined(paragraphs.next().unwrap_or_default());
    let why = why.strip_prefix("error: ").unwrap_or(&why);
    // What there is to choose from is for the hint.
    let why = why.split(" [possible values:").next().unwrap_or(why).to_string();
    if let Some(named) = valueless(error) {
        let hint = format!("write {named} alone, without `=`");
        return Error::usage("usage", format!("{named} takes no value")).hint(hint);
    }
    let bad_value = error.source().and_then(|source| source.downcast_ref::<BadValue>());
    let hint = match bad_value {
        Some(bad) => bad.hint.to_string(),
        None => meant(error, line)
            .or_else(|| tip(&rendered))
            .unwrap_or_else(|| format!("see `{} --help`", called(line).0)),
    };
    Error::usage("usage", why).hint(hint)
}

fn joined(lines: &str) -> String {
    lines.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The option that was given a value and has none.
fn valueless(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    (error.kind() == ErrorKind::TooManyValues).then(|| format!("'{}'", argument.trim_end_matches("...")))
}

/// clap's own suggestion of what was meant.
fn tip(rendered: &str) -> Option<String> {
    rendered.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")).map(str::to_string)
}

/// The right word that is nearest to the wrong one. clap's own tip leaves out short words, and names more than one.
fn meant(error: &clap::Error, line: &[OsString]) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (_, command) = called(line);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let longs: Vec<&str> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
            let wrong = text(ContextKind::InvalidArg)?;
            if let Some(filter) = filter_meant(wrong).filter(|_| longs.contains(&"proto")) {
                return Some(format!("filters are options: write `{filter}`"));
            }
            let long = match wrong.strip_prefix("--") {
                Some(word) => near(word, &longs),
                // `-json` is read as `-j -s …`.
                None => line.iter().filter_map(|word| word.to_str()?.strip_prefix('-')).find_map(|word| {
                    longs.iter().copied().find(|long| *long == word && wrong.starts_with('-'))
                }),
            }?;
            Some(format!("a similar argument exists: '--{long}'"))
        }
        ErrorKind::InvalidSubcommand => {
            let names: Vec<&str> = command.get_subcommands().map(|sub| sub.get_name()).collect();
            let wrong = text(ContextKind::InvalidSubcommand)?;
            if wrong == "help" {
                return Some(format!("see `{} --help`", called(line).0));
            }
            let name = nearest(wrong, &names)?;
            Some(format!("a similar subcommand exists: '{name}'"))
        }
        ErrorKind::InvalidValue => {
            let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue) else { return None };
            let valid: Vec<&str> = valid.iter().map(String::as_str).collect();
            match near(text(ContextKind::InvalidValue)?, &valid) {
                Some(value) => Some(format!("a similar value exists: '{value}'")),
                None if valid.is_empty() => None,
                None => Some(format!("write one of: {}", valid.join(", "))),
            }
        }
        _ => None,
    }
}

/// What other tools call things, and what it is here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("src", "source"),
    ("dst", "destination"),
    ("orig-src", "source"),
    ("orig-dst", "destination"),
    ("reply-src", "reply-source"),
    ("reply-dst", "reply-destination"),
    ("src-nat", "nat-source"),
    ("protonum", "proto"),
    ("orig-port-src", "sport"),
    ("orig-port-dst", "dport"),
    ("icmp6", "icmpv6"),
    ("ipv6-icmp", "icmpv6"),
];

/// The one of these that is meant: by another tool's name, by few wrong letters, by its beginning.
fn near<'a>(wrong: &str, among: &[&'a str]) -> Option<&'a str> {
    let elsewhere = || {
        let (_, here) = ELSEWHERE.iter().find(|(there, _)| *there == wrong)?;
        among.iter().copied().find(|word| word == here)
    };
    let begins = || {
        let mut long = among.iter().copied().filter(|word| wrong.len() > 1 && word.starts_with(wrong));
        long.next().filter(|_| long.next().is_none())
    };
    elsewhere().or_else(|| nearest(wrong, among)).or_else(begins)
}

/// The filter that a bare word means: a protocol, a network, or what a line of the table has (`src=10.0.0.1`).
fn filter_meant(word: &str) -> Option<String> {
    let option = match word.split_once('=') {
        Some((key, value)) => {
            let keys = [
                ("src", "-s"),
                ("dst", "-d"),
                ("sport", "--sport"),
                ("dport", "--dport"),
                ("zone", "-w"),
                ("mark", "-m"),
            ];
            let (_, option) = keys.into_iter().find(|(name, _)| *name == key)?;
            return Some(format!("{option} {value}"));
        }
        None if network(word).is_some() => "-s",
        None if word.parse::<u64>().is_err() && protocol_number(word).is_some() => "-p",
        None => return None,
    };
    Some(format!("{option} {word}"))
}

/// `ctctl status` and its definition, where the line names a command; clap does not say whose value it refused.
fn called(line: &[OsString]) -> (String, clap::Command) {
    let mut command = Arguments::command();
    command.build();
    let mut name = String::from("ctctl");
    for word in line.iter().skip(1) {
        let sub = command.get_subcommands().find(|sub| word == sub.get_name()).cloned();
        if let Some(sub) = sub {
            name = format!("{name} {}", sub.get_name());
            command = sub;
        }
    }
    (name, command)
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
    fn a_number_has_its_range_and_a_name_the_others() {
        let range = |first| format!("write a whole number from {first} to 18446744073709551615");
        for (line, says, hint) in [
            ("top-sources -n x", "'x' for '-n <N>': not a whole number", range(0)),
            ("top-sources -n 99999999999999999999", "': too large", range(0)),
            ("history -n -1", "'-1' for '-n <N>': not a whole number", range(0)),
            ("flush --stale --limit -1", "'-1' for '--limit <N>': not a whole number", range(1)),
            ("flush --stale --limit 0", "': that is none at all", range(1)),
            ("events -n -1", "'-1' for '--count <N>': not a whole number", range(1)),
            (
                "lifeline --port -1",
                "'-1' for '--port <N>': not a whole",
                "write a port from 1 to 65535".into(),
            ),
            ("lifeline --port 65536", "': not a port", "write a port from 1 to 65535".into()),
            ("lifeline --port 0", "': not a port", "write a port from 1 to 65535".into()),
            (
                "list --dport -1",
                "'-1' for '--dport <PORT>': not a",
                "write a whole number from 0 to 65535".into(),
            ),
            ("list -p 300", "'300' for '--proto <NAME|NUMBER>': no such", {
                "write a name such as tcp, or a number from 0 to 255".into()
            }),
            (
                "top --by size",
                "'size' for '--by <WHAT>'",
                "write one of: entries, new, unreplied, idle".into(),
            ),
            (
                "list --assured=yes",
                "'--assured' takes no value",
                "write '--assured' alone, without `=`".into(),
            ),
            ("list --verbose=3", "'--verbose' takes no value", "write '--verbose' alone, without `=`".into()),
        ] {
            let (why, said) = refused(&["ctctl"].into_iter().chain(line.split(' ')).collect::<Vec<_>>());
            assert!(why.contains(says), "{line}: {why}");
            assert_eq!(said, hint, "{line}: {why}");
            assert!(!why.contains("digit") && !why.contains('['), "{line}: {why}");
        }
    }

    #[test]
    fn without_a_suggestion_the_help_of_the_command_is_the_hint() {
        let (_, hint) = refused(&["ctctl", "top-sources", "20"]);
        assert_eq!(hint, "see `ctctl top-sources --help`");
        let (_, hint) = refused(&["ctctl", "help", "list"]);
        assert_eq!(hint, "see `ctctl list --help`");
        let (why, hint) = refused(&["ctctl"]);
        assert!(why.contains("requires a subcommand"), "{why}");
        assert!(!why.contains('\n'));
        assert_eq!(hint, "see `ctctl --help`");
    }

    #[test]
    fn what_other_tools_write_is_answered_with_what_is_written_here() {
        for (line, says) in [
            ("help", "see `ctctl --help`"),
            ("help list", "see `ctctl list --help`"),
            ("list -p icmp6", "a similar value exists: 'icmpv6'"),
            ("top-sources --group dest", "a similar value exists: 'destination'"),
            ("list --src 10.0.0.1", "a similar argument exists: '--source'"),
            ("list tcp", "filters are options: write `-p tcp`"),
            ("flush src=10.0.0.1", "filters are options: write `-s 10.0.0.1`"),
            ("events dport=53", "filters are options: write `--dport 53`"),
            ("top 2001:db8::/32", "filters are options: write `-s 2001:db8::/32`"),
            ("status tcp", "see `ctctl status --help`"),
        ] {
            let (why, hint) = refused(&["ctctl"].into_iter().chain(line.split(' ')).collect::<Vec<_>>());
            assert_eq!(hint, says, "{line}: {why}");
        }
    }

    /// What a finger does to a word: two letters swapped, one left out, one twice.
    fn typos(word: &str) -> Vec<String> {
        let letters: Vec<char> = word.chars().collect();
        let mut found = Vec::new();
        for i in 1..letters.len() {
            let mut swapped = letters.clone();
            swapped.swap(i - 1, i);
            let (mut short, mut long) = (letters.clone(), letters.clone());
            short.remove(i);
            long.insert(i, letters[i]);
            found.extend([swapped, short, long].map(String::from_iter));
        }
        found.retain(|typo| typo != word && !typo.starts_with('-'));
        found
    }

    /// The word itself, or another that is as near, is the hint of every typo that is not itself a right word.
    fn answered(before: &[&str], mark: &str, word: &str, among: &[String]) {
        for typo in typos(word).into_iter().filter(|typo| !among.contains(typo)) {
            let wrong = format!("{mark}{typo}");
            let line: Vec<&str> = before.iter().copied().chain([wrong.as_str()]).collect();
            let Err(error) = Arguments::try_parse_from(&line) else { continue };
            let error = explain(&error, &line.iter().map(OsString::from).collect::<Vec<_>>());
            let hint = error.hint.unwrap_or_default();
            let near = among.iter().filter(|other| strsim(&typo, other) <= strsim(&typo, word));
            let right = near.chain([&word.to_string()]).any(|word| hint.contains(&format!("'{mark}{word}'")));
            assert!(right, "{line:?}: {} / {hint}", error.why);
        }
    }

    fn strsim(a: &str, b: &str) -> usize {
        crate::config::edits(a, b)
    }

    fn walk(command: &clap::Command, before: &[&str]) {
        let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        names.iter().for_each(|name| answered(before, "", name, &names));
        let options: Vec<String> =
            command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect();
        options.iter().for_each(|name| answered(before, "--", name, &options));
        for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            let possible = argument.get_possible_values();
            let values: Vec<String> = possible.iter().map(|value| value.get_name().to_owned()).collect();
            let option = argument.get_long().map(|long| format!("--{long}"));
            let line: Vec<&str> = before.iter().copied().chain(option.as_deref()).collect();
            values.iter().for_each(|value| answered(&line, "", value, &values));
        }
        for sub in command.get_subcommands() {
            walk(sub, &[before, &[sub.get_name()]].concat());
        }
    }

    #[test]
    fn every_mistyped_command_option_and_value_is_answered_with_the_right_one() {
        let mut command = Arguments::command();
        command.build();
        walk(&command, &["ctctl"]);
    }
}
