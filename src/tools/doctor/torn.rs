//! Assignments on a command line with spaces around `=`, of which `sysctl` takes none.

use super::cure::key;
use super::facts::{Facts, Files};
use super::formats::Command;
use super::formats::writes::Write;
use super::short_timeouts::short;
use super::size::keep_buckets;
use super::writers::{self, Boot};
use super::{options, value};
use crate::core::model::{Finding, Severity};

/// Finding on a command that sets nothing; `joined` is the assignment that was meant.
pub(super) fn finding(facts: &Facts, boot: &Boot<'_>, write: &Write, joined: &str) -> Finding {
    let (line, name) = (&write.line, write.name().unwrap_or_default());
    let mut title = format!("{} sets nothing: spaces around = on a command line", line.path);
    if let Some((number, path)) = other(facts, boot, name) {
        title = format!("{title}; {} is {number}, as {path} says", key(name));
    }
    let mut fix = meant(facts, boot, write, joined);
    fix.insert(0, out(facts, write, joined));
    Finding::new("sysctl-w-spaces", Severity::Error, title)
        .because(format!(
            "Files of sysctls may have spaces around `=`; a command line may not: sysctl(8) gets `{}`, `=` and the value \
             as words of their own, none of which is an assignment with a value. procps says \"invalid syntax\" or \
             \"Invalid argument\", busybox \"must be of the form name=value\", and the old value stays.",
            key(name)
        ))
        .seen([facts.line(line)])
        .fix(fix)
        .source(&["sysctl(8), variable=value"])
}

/// The number that something else sets, and where.
fn other(facts: &Facts, boot: &Boot<'_>, name: &str) -> Option<(u64, String)> {
    if let Some((number, write)) = boot.last.kept(name) {
        return Some((number, facts.path(&write.line.path)));
    }
    if let Some(set) = boot.effective.get(name) {
        return Some((set.number, facts.path(&set.file.path)));
    }
    let files = facts.files.as_ref().filter(|_| name == "buckets")?;
    options::hashsize(files).map(|(line, size)| (size, facts.path(&line.path)))
}

/// Sets at boot what was meant, where nothing speaks against that; else says what does.
fn meant(facts: &Facts, boot: &Boot<'_>, write: &Write, joined: &str) -> Vec<String> {
    let (name, full) = (write.name().unwrap_or_default(), key(write.name().unwrap_or_default()));
    let value = joined.split_once('=').map_or("", |(_, value)| value);
    let no = |why: String| vec![format!("# {full} = {value} is not put into force: {why}")];
    let Some(number) = value::read(name, value).number() else {
        return no("the value is none that the kernel takes".into());
    };
    if let Some((set, path)) = other(facts, boot, name) {
        return if set == number { Vec::new() } else { no(format!("{path} sets {set}, which stays")) };
    }
    if let Some(placed) = boot.placed.borrow().get(name) {
        return if *placed == number { Vec::new() } else { no(format!("{placed} is set above")) };
    }
    if short(name, number).is_some() {
        return no("it is too short".into());
    }
    if let Some((now, _)) = facts.lowers_max(name, number) {
        return no(format!("{now} is in force"));
    }
    if let Err(why) = boot.kept.borrow_mut().holds(name, number) {
        return no(why);
    }
    boot.placed.borrow_mut().insert(name.to_owned(), number);
    match name {
        "buckets" => keep_buckets(facts, number),
        _ => {
            let files: Option<&Files> = facts.files.as_ref();
            let load = files.and_then(|files| writers::load(facts, files));
            facts.set_at_boot(None, name, number).into_iter().chain(load).collect()
        }
    }
}

/// The file without the assignment: what else the command sets stays.
fn out(facts: &Facts, write: &Write, joined: &str) -> String {
    let line = &write.line;
    let written = write.command.as_ref().and_then(|command| written(command, joined));
    let others = write.command.as_ref().is_some_and(|command| {
        let name = joined.split_once('=').map_or(joined, |(name, _)| name);
        let assigns =
            |word: &&String| word.contains('=') && !word.starts_with(['=', '-']) && !word.starts_with(name);
        command.words.iter().any(|word| assigns(&word))
    });
    match written.filter(|_| others && line.line == line.last) {
        Some(text) => facts.substitute(&line.path, line.line, &text, ""),
        None => writers::without(facts, write),
    }
}

/// The assignment as it stands in the line.
fn written(command: &Command, joined: &str) -> Option<String> {
    let (name, value) = joined.split_once('=')?;
    let text = &command.line.text;
    let start = text.find(name)?;
    let behind = &text[start + name.len()..];
    let gap = behind
        .find(|c: char| !c.is_whitespace() && c != '=')
        .filter(|gap| behind[*gap..].starts_with(value))?;
    Some(text[start..start + name.len() + gap + value.len()].to_owned())
}
