//! Preview and result of `flush` as text, and both together as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::Style;
use super::entry::{FlowRow, write_flow};
use super::quantity::counted;
use super::table::{self, name, number};
use crate::cli::args;
use crate::core::model::{Class, Ending, Header, IdleText, SourceKey, unproven};
use crate::direct::{Flushed, Preview};

/// First column's title in the table of sources.
pub const SOURCE: &str = "SOURCE";
/// Beginning of the heading above the most recently active entries.
pub const MOST_RECENT: &str = "Most recently active";

/// Beginning of the line on what was deleted.
pub const DELETED: &str = "deleted ";

/// Writes the number of entries that would be deleted, their sources, and the most recently active of them.
///
/// # Errors
/// Those of the writer.
pub fn write_preview(
    out: &mut dyn Write,
    preview: &Preview,
    options: &args::Flush,
    style: &Style,
) -> io::Result<()> {
    write!(out, "{}", matched(preview, options.stale))?;
    let cut = options.limit.filter(|limit| *limit < preview.matched);
    if let Some(limit) = cut {
        let which = if preview.chosen { "the least recently active" } else { "as they are met" };
        write!(out, "; {limit} at most are deleted, {which}")?;
    }
    match preview.protected {
        0 => writeln!(out)?,
        n => writeln!(out, "; {} protected, --even-protected takes them as well", stay(n))?,
    }
    if preview.masters > 0 {
        let which = counted(preview.masters, "of them is the master", "of them are masters");
        writeln!(
            out,
            "{which} of another connection (FTP, SIP, PPTP): its room comes back when that connection ends as well, \
             not before"
        )?;
    }
    if preview.presumed > 0 {
        let more = counted(preview.presumed, "more entry is", "more entries are");
        writeln!(
            out,
            "{more} idle for long only by the timeouts of today, and which were in force before nobody saw: an agent \
             proves it as they stay silent"
        )?;
    }
    if !preview.unproven.is_empty() {
        let n = unproven::total(&preview.unproven);
        let more = counted(n, "entry stays", "entries stay");
        writeln!(
            out,
            "{more}, since nobody can tell for how long {} been idle: {}",
            if n == 1 { "it has" } else { "they have" },
            unproven::reasons(&preview.unproven)
        )?;
    }
    if preview.matched == 0 {
        return Ok(());
    }
    let zones = preview.sources.iter().any(|(key, _)| key.zone != 0);
    let mut columns = vec![name(SOURCE, |(key, _): &(SourceKey, u64)| key.address.to_string())];
    if zones {
        columns.push(number("ZONE", 0, |(key, _)| key.zone.to_string()));
    }
    columns.push(number("ENTRIES", 0, |(_, entries)| entries.to_string()));
    table::write(out, &columns, &preview.sources, style)?;
    if preview.sources_total > preview.sources.len() as u64 {
        let more = preview.sources_total - preview.sources.len() as u64;
        writeln!(out, "and {}", counted(more, "more source", "more sources"))?;
    }
    let whose = if cut.is_some() && preview.chosen { " of those" } else { "" };
    writeln!(out, "{}", style.bold(&format!("{MOST_RECENT}{whose}:")))?;
    for (entry, verdict) in &preview.most_recent {
        write_flow(out, entry)?;
        write!(out, "  idle {}", IdleText::from(verdict))?;
        match verdict.second_chance || verdict.in_grace {
            true => writeln!(out, "  {}", Ending(verdict))?,
            false => writeln!(out)?,
        }
    }
    Ok(())
}

fn matched(preview: &Preview, stale: bool) -> String {
    let entries = counted(preview.matched, "entry", "entries");
    let sources = counted(preview.sources_total, "source", "sources");
    match (preview.matched, stale) {
        (0, true) => "nothing is stale".into(),
        (0, false) if preview.protected > 0 => "nothing that may go matches".into(),
        (0, false) => "nothing matches".into(),
        (1, true) => format!("{entries} of {sources} is stale"),
        (_, true) => format!("{entries} of {sources} are stale"),
        (1, false) => format!("{entries} of {sources} matches"),
        (_, false) => format!("{entries} of {sources} match"),
    }
}

fn stay(n: u64) -> String {
    format!("{} {}", counted(n, "entry", "entries"), if n == 1 { "stays" } else { "stay" })
}

/// Writes the result of the deletion.
///
/// # Errors
/// Those of the writer.
pub fn write_report(out: &mut dyn Write, flushed: &Flushed) -> io::Result<()> {
    let Flushed { already_gone, revived, .. } = flushed;
    let deleted = counted(flushed.deleted, "entry", "entries");
    write!(out, "{DELETED}{deleted}; {already_gone} already gone, {revived} revived")?;
    match flushed.not_met {
        0 => writeln!(out),
        n => writeln!(out, "; {n} ended or changed before their turn"),
    }
}

/// Document of `flush --json`.
#[derive(Serialize, Debug)]
pub struct FlushDocument<'a> {
    #[serde(flatten)]
    header: &'a Header,
    dry_run: bool,
    stale: bool,
    filters: String,
    matched: u64,
    protected: u64,
    masters: u64,
    presumed: u64,
    idle_unknown: u64,
    sources_total: u64,
    sources: Vec<SourceRow>,
    most_recent: Vec<RecentRow>,
    deleted: u64,
    already_gone: u64,
    revived: u64,
    not_met: u64,
    failed: u64,
    part_only: bool,
}

#[derive(Serialize, Debug)]
struct SourceRow {
    source: String,
    zone: u16,
    entries: u64,
}

#[derive(Serialize, Debug)]
struct RecentRow {
    #[serde(flatten)]
    flow: FlowRow,
    idle_seconds: Option<u32>,
    idle_at_least_seconds: Option<u32>,
    in_grace: bool,
    second_chance: bool,
    class: Option<Class>,
    protected: Option<&'static str>,
}

impl<'a> FlushDocument<'a> {
    /// Builds the document of a flush that is over, or that was only shown.
    pub fn new(header: &'a Header, options: &args::Flush, preview: &Preview, flushed: &Flushed) -> Self {
        let source = |(key, entries): &(SourceKey, u64)| SourceRow {
            source: key.address.to_string(),
            zone: key.zone,
            entries: *entries,
        };
        let recent = preview.most_recent.iter().map(|(entry, verdict)| RecentRow {
            flow: FlowRow::new(entry),
            idle_seconds: verdict.exact_seconds(),
            idle_at_least_seconds: verdict.idle_seconds,
            in_grace: verdict.in_grace,
            second_chance: verdict.second_chance,
            class: verdict.class,
            protected: verdict.protected,
        });
        FlushDocument {
            header,
            dry_run: options.dry_run,
            stale: options.stale,
            filters: options.filters.0.to_string(),
            matched: preview.matched,
            protected: preview.protected,
            masters: preview.masters,
            presumed: preview.presumed,
            idle_unknown: unproven::total(&preview.unproven),
            sources_total: preview.sources_total,
            sources: preview.sources.iter().map(source).collect(),
            most_recent: recent.collect(),
            deleted: flushed.deleted,
            already_gone: flushed.already_gone,
            revived: flushed.revived,
            not_met: flushed.not_met,
            failed: flushed.failed,
            part_only: flushed.part_only || flushed.interrupted,
        }
    }
}
