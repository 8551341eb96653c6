//! Journal records as sentences.

use std::io::{self, Write};

use super::Style;
use super::quantity::{moment, percent, took};
use super::text::paragraph;
use crate::model::{JournalRecord, RecordEvent};

/// Writes a sentence a record, each behind its time.
///
/// # Errors
/// The writer's.
pub fn write(out: &mut dyn Write, records: &[JournalRecord], style: &Style) -> io::Result<()> {
    if records.is_empty() && style.verbosity >= 0 {
        return writeln!(out, "No records.");
    }
    records.iter().try_for_each(|record| line(out, record, "", style))
}

/// Writes one record as a sentence behind its time and `indent`.
///
/// # Errors
/// The writer's.
pub fn line(out: &mut dyn Write, record: &JournalRecord, indent: &str, style: &Style) -> io::Result<()> {
    let first = format!("{indent}{}  ", moment(&record.at, style.zone()));
    paragraph(out, style.width, &first, indent.len() + 4, &sentence(record))
}

/// What happened, what it achieved, and why.
pub fn sentence(record: &JournalRecord) -> String {
    let mut text = what(record);
    if record.dry_run && record.event != RecordEvent::Done {
        text.push_str(" (dry run)");
    }
    if let Some(seconds) = record.duration_seconds {
        text.push_str(&format!(" in {}", took(seconds)));
    }
    match (record.usage_before_percent, record.usage_after_percent) {
        (Some(before), Some(after)) => {
            text.push_str(&format!(", usage from {} to {}", percent(before), percent(after)));
        }
        (Some(usage), None) | (None, Some(usage)) => text.push_str(&format!(", usage {}", percent(usage))),
        (None, None) => {}
    }
    if !record.reason.is_empty() {
        text.push_str(&format!(": {}", record.reason));
    }
    text
}

fn what(record: &JournalRecord) -> String {
    let name = record.name.as_deref().unwrap_or("a value");
    let (infinitive, past) = verbs(record.action.as_deref().unwrap_or("act"), name);
    let object = object(record);
    match record.event {
        RecordEvent::Level => match record.level {
            Some(level) => format!("level is now {level}"),
            None => "level changed".into(),
        },
        RecordEvent::Drift => format!("found {name} changed{}", values(record)),
        RecordEvent::Reverted => format!("put {name} back{}", values(record)),
        RecordEvent::Done if record.dry_run => format!("would {infinitive}{object} (dry run)"),
        RecordEvent::Done => format!("{past}{object}"),
        RecordEvent::Intend => format!("about to {infinitive}{object}"),
        RecordEvent::Failed => format!("failed to {infinitive}{object}"),
        RecordEvent::Deferred => format!("put off: {infinitive}{object}"),
    }
}

/// An action's name as something to do and as something done.
fn verbs(action: &str, name: &str) -> (String, String) {
    let (infinitive, past) = match action {
        "raise-max" => ("raise max", "raised max"),
        "lower-max" => ("lower max", "lowered max"),
        "resize-buckets" => ("resize the buckets", "resized the buckets"),
        "set-timeout" => return (format!("set {name}"), format!("set {name}")),
        "restore-timeout" => return (format!("restore {name}"), format!("restored {name}")),
        "second-chance" => ("give a second chance to", "gave a second chance to"),
        "flush" => ("flush", "flushed"),
        "protect" => ("keep protection within max_percent", "kept protection within max_percent"),
        "release" => ("allow flushes of", "allowed flushes of"),
        "act" => ("act", "acted"),
        other => return (other.to_string(), format!("did {other}")),
    };
    (infinitive.into(), past.into())
}

fn object(record: &JournalRecord) -> String {
    let values = values(record);
    if !values.is_empty() {
        return values;
    }
    let class = record.class.map_or(String::new(), |class| format!(" {class}"));
    match (record.achieved, record.requested) {
        (Some(achieved), Some(requested)) => format!(" {achieved} of {requested}{class} entries"),
        (Some(achieved), None) => format!(" {achieved}{class} entries"),
        (None, Some(requested)) => format!(" up to {requested}{class} entries"),
        (None, None) if record.class.is_some() => format!("{class} entries"),
        (None, None) => String::new(),
    }
}

fn values(record: &JournalRecord) -> String {
    match (record.from, record.to) {
        (Some(from), Some(to)) => format!(" from {from} to {to}{}", unit(record.name.as_deref())),
        (None, Some(to)) => format!(" to {to}{}", unit(record.name.as_deref())),
        _ => String::new(),
    }
}

/// The unit behind a value of this name: timeouts are seconds.
pub fn unit(name: Option<&str>) -> &'static str {
    if name.is_some_and(|name| name.contains("timeout")) { " s" } else { "" }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
