//! Journal records as lines: one for each act, or with `-v` every record whole.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Style;
use super::quantity::moment;
use super::text::{clipped, escape, prose};
use crate::core::model::sentence::{self, outcome};
use crate::core::model::{Draft, JournalRecord, RecordEvent};

/// Longest line into a pipe, in columns.
const LONGEST: usize = 240;

/// Writes a line for each of the last `limit` acts (0: all), or with `-v` each record whole, after its time.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, records: &[JournalRecord], limit: usize, style: &Style) -> io::Result<()> {
    if records.is_empty() && style.verbosity >= 0 {
        return writeln!(out, "No records.");
    }
    let skipped = |n: usize| if limit == 0 { 0 } else { n.saturating_sub(limit) };
    if style.verbosity > 0 {
        let shown = &records[skipped(records.len())..];
        return shown.iter().try_for_each(|record| whole(out, record, "", style));
    }
    let acts = acts(records);
    let mut cut = false;
    for act in &acts[skipped(acts.len())..] {
        cut |= line(out, act, "", style)?;
    }
    match cut && style.width.is_some() && style.verbosity >= 0 {
        true => writeln!(out, "(-v shows each record whole)"),
        false => Ok(()),
    }
}

/// Writes the last `limit` acts, a line each, after `indent`.
///
/// # Errors
/// Those of the writer.
pub fn lines(
    out: &mut dyn Write,
    records: &[JournalRecord],
    limit: usize,
    indent: &str,
    style: &Style,
) -> io::Result<()> {
    let acts = acts(records);
    acts[acts.len().saturating_sub(limit)..]
        .iter()
        .try_for_each(|act| line(out, act, indent, style).map(drop))
}

/// Writes one record as a sentence after its time and `indent`, on as many lines as it needs.
///
/// # Errors
/// Those of the writer.
pub fn whole(out: &mut dyn Write, record: &JournalRecord, indent: &str, style: &Style) -> io::Result<()> {
    let first = format!("{indent}{}  ", moment(&record.at, style.zone()));
    prose(out, style.width, &first, indent.len() + 4, &sentence::sentence(&in_zone(record, style)))
}

/// Returns the sentence of a record: the act, its result, and the reason.
pub fn sentence(record: &JournalRecord) -> String {
    sentence::sentence(&Draft::from(record))
}

/// Records of one act, oldest first.
type Act<'a> = Vec<&'a JournalRecord>;

/// Joins records by act, in the order of each act's last record. A record without an act stands alone. An act that was
/// postponed and then done stays two: it was reported twice because it took long.
fn acts(records: &[JournalRecord]) -> Vec<Act<'_>> {
    let mut acts: Vec<(usize, Act<'_>)> = Vec::new();
    let mut open: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let key = (record.boot_id.as_str(), record.id);
        let joined = open.get(&key).copied().filter(|act| record.id != 0 && joins(&acts[*act].1, record));
        match joined {
            Some(act) => {
                acts[act].0 = at;
                acts[act].1.push(record);
            }
            None => {
                open.insert(key, acts.len());
                acts.push((at, vec![record]));
            }
        }
    }
    acts.sort_by_key(|(last, _)| *last);
    acts.into_iter().map(|(_, act)| act).collect()
}

/// True if a record continues the ones before it: an end after its intent, or another end of the same kind.
fn joins(act: &[&JournalRecord], record: &JournalRecord) -> bool {
    let last = act.last().map(|last| last.event);
    last == Some(RecordEvent::Intend) || (last == Some(record.event) && record.event != RecordEvent::Level)
}

/// Writes one line: the result, then as much of the reason as there is room for. Returns true if it was cut.
fn line(out: &mut dyn Write, act: &Act<'_>, indent: &str, style: &Style) -> io::Result<bool> {
    let Some(last) = act.last() else { return Ok(false) };
    let text = act_text(act, style);
    let first = format!("{indent}{}  ", moment(&last.at, style.zone()));
    let width = style.width.unwrap_or(LONGEST).saturating_sub(first.chars().count()).max(1);
    let text = escape(&text);
    let (shown, cut) = clipped(&text, width);
    writeln!(out, "{first}{shown}")?;
    Ok(cut)
}

/// Returns the results of an act, and its reason.
fn act_text(act: &Act<'_>, style: &Style) -> String {
    let ends: Vec<Draft> = act
        .iter()
        .filter(|record| record.event != RecordEvent::Intend || act.len() == 1)
        .map(|record| in_zone(record, style))
        .collect();
    match ends.as_slice() {
        [] => act.last().map(|last| sentence::sentence(&in_zone(last, style))).unwrap_or_default(),
        [one] => sentence::sentence(one),
        several => {
            // The last of those that one sweep did tells the fall of usage.
            let bare = |end: &Draft| match end.acts_together {
                Some(_) => outcome(&Draft {
                    usage_before_percent: None,
                    usage_after_percent: None,
                    duration_seconds: None,
                    ..end.clone()
                }),
                None => outcome(end),
            };
            let (last, before) = (several.last().map(outcome), &several[..several.len() - 1]);
            let each: Vec<String> = before.iter().map(bare).chain(last).collect();
            let why = several.last().map(|last| last.reason.as_str()).unwrap_or_default();
            if why.is_empty() { each.join("; ") } else { format!("{}: {why}", each.join("; ")) }
        }
    }
}

/// Returns the record with its times in the zone of `style`.
fn in_zone(record: &JournalRecord, style: &Style) -> Draft {
    let mut draft = Draft::from(record);
    draft.until = draft.until.map(|until| moment(&until, style.zone()));
    draft
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
