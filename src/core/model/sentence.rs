//! A record of the journal as a sentence: the same for the log, `status` and `history`.

use super::record::{Draft, RecordEvent};
use super::value::Value;

/// Sign of a figure that is not known.
const UNKNOWN: &str = "-";

/// Time that an act took: milliseconds where seconds say nothing.
pub fn took(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s < 0.0 => UNKNOWN.into(),
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s => format!("{s:.1} s"),
    }
}

/// A percentage as text, such as `12.1 %`.
pub fn percent(value: f64) -> String {
    if value.is_finite() { format!("{value:.1} %") } else { UNKNOWN.into() }
}

/// The unit behind a value of this name: timeouts are seconds.
pub fn unit(name: Option<&str>) -> &'static str {
    match name.and_then(Value::named) {
        Some(Value::Timeout(_)) => " s",
        _ => "",
    }
}

/// A record in one sentence: the act and its result, the user that asked for it, and the reason.
pub fn sentence(record: &Draft) -> String {
    let text = outcome(record);
    match record.reason.is_empty() {
        true => text,
        false => format!("{text}: {}", record.reason),
    }
}

/// The act of a record and its result, with the user that asked for it.
pub fn outcome(record: &Draft) -> String {
    let mut text = what(record);
    if record.dry_run && record.event != RecordEvent::Done {
        text.push_str(" (dry run)");
    }
    text.push_str(&effect(record));
    if let Some(by) = &record.by {
        text.push_str(&format!(", asked by {by}"));
    }
    text
}

/// Usage and duration, where they say something of this act: a value is set at once, and a level is a usage.
fn effect(record: &Draft) -> String {
    if record.event == RecordEvent::Level {
        return String::new();
    }
    let mut text = match (record.usage_before_percent, record.usage_after_percent) {
        (Some(before), Some(after)) if record.name.is_none() || percent(before) != percent(after) => {
            format!(", {}from {} to {}", together(record), percent(before), percent(after))
        }
        (Some(usage), None) | (None, Some(usage)) => format!(", at {}", percent(usage)),
        _ => String::new(),
    };
    let quick = record.name.is_some() && record.duration_seconds.is_some_and(|s| s < 0.01);
    if let Some(seconds) = record.duration_seconds.filter(|_| !quick) {
        text.push_str(&format!(" in {}", took(seconds)));
    }
    text
}

/// Other acts of the same sweep, with which it shares the fall of usage and the time that it took.
fn together(record: &Draft) -> String {
    match record.acts_together.map_or(0, |acts| acts.saturating_sub(1)) {
        0 => String::new(),
        1 => "together with the other act of this sweep ".into(),
        others => format!("together with the {others} other acts of this sweep "),
    }
}

fn what(record: &Draft) -> String {
    let name = record.name.as_deref().unwrap_or("a value");
    let (infinitive, past) = verbs(record.action.as_deref().unwrap_or("act"), name);
    let object = object(record);
    match record.event {
        RecordEvent::Level => match (record.level, record.level_before) {
            (Some(level), Some(before)) => format!("level {level}, was {before}"),
            (Some(level), None) => format!("level is now {level}"),
            (None, _) => "level changed".into(),
        },
        RecordEvent::Drift => format!("found {name} changed{}", values(record)),
        RecordEvent::Reverted => format!("put {name} back{}", values(record)),
        RecordEvent::Done if record.dry_run => format!("would {infinitive}{object} (dry run)"),
        RecordEvent::Done => format!("{past}{object}"),
        RecordEvent::Intend => format!("about to {infinitive}{object}"),
        RecordEvent::Failed => format!("failed to {infinitive}{object}"),
        // Configuration protects more than `max_percent`; the record of its end says that it is within that again.
        RecordEvent::Deferred if record.action.as_deref() == Some("protect") => {
            "protection is over max_percent".into()
        }
        RecordEvent::Deferred => format!("put off: {infinitive}{object}"),
    }
}

/// An action's name as something to do and as something done.
fn verbs(action: &str, name: &str) -> (String, String) {
    let (infinitive, past) = match action {
        "raise-max" => ("raise max", "raised max"),
        "lower-max" => ("lower max", "lowered max"),
        "resize-buckets" => ("resize the buckets", "resized the buckets"),
        "set-events" => ("set nf_conntrack_events", "set nf_conntrack_events"),
        "set-timeout" => return (format!("set {name}"), format!("set {name}")),
        "restore-timeout" => return (format!("restore {name}"), format!("restored {name}")),
        "second-chance" => ("give a second chance to", "gave a second chance to"),
        "flush" => ("flush", "flushed"),
        "hand-flush" => ("delete", "deleted"),
        "pause" => ("pause", "paused"),
        "resume" => ("act again", "acts again"),
        "reload" => ("read the configuration again", "read the configuration again"),
        "protect" => ("keep protection within max_percent", "protection is within max_percent"),
        "release" => ("allow flushes of", "allowed flushes of"),
        "act" => ("act", "acted"),
        other => return (other.to_string(), format!("did {other}")),
    };
    (infinitive.into(), past.into())
}

fn object(record: &Draft) -> String {
    let values = values(record);
    if !values.is_empty() {
        return values;
    }
    if let Some(until) = &record.until {
        // Parts of a second are for programs.
        let end = until.find('.').unwrap_or(until.len());
        let zone = if until.ends_with('Z') && end < until.len() { "Z" } else { "" };
        return format!(" until {}{zone}", &until[..end]);
    }
    if record.action.as_deref() == Some("pause") {
        return " until resumed".into();
    }
    let class = record.class.map_or(String::new(), |class| format!(" {class}"));
    let by_hand = if record.action.as_deref() == Some("hand-flush") { " by hand" } else { "" };
    match (record.achieved, record.requested) {
        (Some(achieved), Some(requested)) => format!(" {achieved} of {requested}{class} entries{by_hand}"),
        (Some(achieved), None) => format!(" {achieved}{class} entries"),
        (None, Some(requested)) => format!(" up to {requested}{class} entries"),
        (None, None) if record.class.is_some() => format!("{class} entries"),
        (None, None) => String::new(),
    }
}

fn values(record: &Draft) -> String {
    match (record.from, record.to) {
        (Some(from), Some(to)) => format!(" from {from} to {to}{}", unit(record.name.as_deref())),
        (None, Some(to)) => format!(" to {to}{}", unit(record.name.as_deref())),
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod tests;
