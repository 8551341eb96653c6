//! Errors of clap in this program's own form: `ctctl: usage: why`, then `hint: …`.

use std::error::Error as _;
use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Arguments;
use super::value::BadValue;
use crate::config::nearest;
use crate::core::model::{network, protocol_number};
use crate::error::Error;

/// True if clap "fails" only to show help or the version.
pub fn is_answer(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// Turns clap's error about `line` into an error of ctctl.
pub fn explain(error: &clap::Error, line: &[OsString]) -> Error {
    let rendered = error.render().to_string();
    let mut paragraphs = rendered.split("\n\n");
    let why = joined(paragraphs.next().unwrap_or_default());
    let why = why.strip_prefix("error: ").unwrap_or(&why);
    // The possible values belong into the hint.
    let why = why.split(" [possible values:").next().unwrap_or(why).to_string();
    if let Some(named) = valueless(error) {
        let hint = format!("write {named} alone, without `=`");
        return Error::usage("usage", format!("{named} takes no value")).hint(hint);
    }
    let bad_value = error.source().and_then(|source| source.downcast_ref::<BadValue>());
    let hint = match bad_value {
        Some(bad) => bad.hint.to_string(),
        None => suggestion(error, line)
            .or_else(|| tip(&rendered))
            .unwrap_or_else(|| format!("see `{} --help`", command_of_line(line).0)),
    };
    Error::usage("usage", why).hint(hint)
}

fn joined(lines: &str) -> String {
    lines.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Returns the option that was given a value and takes none.
fn valueless(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    (error.kind() == ErrorKind::TooManyValues).then(|| format!("'{}'", argument.trim_end_matches("...")))
}

/// Returns clap's own suggestion.
fn tip(rendered: &str) -> Option<String> {
    rendered.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")).map(str::to_string)
}

/// Suggests the valid word that is nearest to the wrong one. clap's own tip leaves out short words, and names several.
fn suggestion(error: &clap::Error, line: &[OsString]) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (_, command) = command_of_line(line);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let longs: Vec<&str> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
            let wrong = text(ContextKind::InvalidArg)?;
            if let Some(filter) = filter_for_word(wrong).filter(|_| longs.contains(&"proto")) {
                return Some(format!("filters are options: write `{filter}`"));
            }
            let long = match wrong.strip_prefix("--") {
                Some(word) => nearest_word(word, &longs),
                // clap reads `-json` as `-j -s …`.
                None => line.iter().filter_map(|word| word.to_str()?.strip_prefix('-')).find_map(|word| {
                    longs.iter().copied().find(|long| *long == word && wrong.starts_with('-'))
                }),
            }?;
            Some(format!("a similar argument exists: '--{long}'"))
        }
        ErrorKind::InvalidSubcommand => {
            let names: Vec<&str> = command.get_subcommands().map(|sub| sub.get_name()).collect();
            let wrong = text(ContextKind::InvalidSubcommand)?;
            let name = nearest(wrong, &names)?;
            Some(format!("a similar subcommand exists: '{name}'"))
        }
        ErrorKind::InvalidValue => {
            let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue) else { return None };
            let valid: Vec<&str> = valid.iter().map(String::as_str).collect();
            match nearest_word(text(ContextKind::InvalidValue)?, &valid) {
                Some(value) => Some(format!("a similar value exists: '{value}'")),
                None if valid.is_empty() => None,
                None => Some(format!("write one of: {}", valid.join(", "))),
            }
        }
        _ => None,
    }
}

/// Names in other tools, each with its name in ctctl.
const FOREIGN_NAMES: &[(&str, &str)] = &[
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

/// Returns the word of `among` that is meant: by another tool's name, by few wrong letters, by its beginning.
fn nearest_word<'a>(wrong: &str, among: &[&'a str]) -> Option<&'a str> {
    let elsewhere = || {
        let (_, here) = FOREIGN_NAMES.iter().find(|(there, _)| *there == wrong)?;
        among.iter().copied().find(|word| word == here)
    };
    let begins = || {
        let mut long = among.iter().copied().filter(|word| wrong.len() > 1 && word.starts_with(wrong));
        long.next().filter(|_| long.next().is_none())
    };
    elsewhere().or_else(|| nearest(wrong, among)).or_else(begins)
}

/// Returns the filter that a bare word means: a protocol, a network, or a field of a table's line (`src=10.0.0.1`).
fn filter_for_word(word: &str) -> Option<String> {
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

/// Returns the name (`ctctl status`) and the definition of the command that the line names: clap does not say to which
/// command a refused value belongs.
fn command_of_line(line: &[OsString]) -> (String, clap::Command) {
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
#[path = "usage_tests.rs"]
mod tests;
