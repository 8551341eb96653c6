//! `status` as text, in the manner of `systemctl status`.

use std::io::{self, Write};

use super::quantity::{UNKNOWN, bytes, count, counted, duration, moment, percent, rate, took};
use super::table::{self, name, number};
use super::text::paragraph;
use super::{Style, history};
use crate::cli::reach::Without;
use crate::model::{AgentStatus, ClassRow, Queue, StatusDocument, TimeoutRow};

/// Where what follows a label begins: the longest label, a colon and a space.
const INDENT: usize = 11;

/// Writes the state of the table, then of the agent, then tables of timeouts and classes and the last actions.
///
/// # Errors
/// The writer's.
pub fn write(
    out: &mut dyn Write,
    status: &StatusDocument,
    without: Option<&Without>,
    style: &Style,
) -> io::Result<()> {
    let mut page = Page { out, style };
    page.table_state(status)?;
    match &status.agent {
        Some(agent) => page.agent(agent)?,
        None => page.no_agent(without)?,
    }
    for waiting in &status.waiting {
        page.field("Waiting", waiting)?;
    }
    page.timeouts(&status.timeouts)?;
    classes(page.out, status.classes.as_deref(), status.classes_age_seconds, style)?;
    if !status.last_actions.is_empty() {
        page.heading("Last actions")?;
    }
    status.last_actions.iter().try_for_each(|record| history::line(page.out, record, "  ", style))
}

struct Page<'a> {
    out: &'a mut dyn Write,
    style: &'a Style,
}

impl Page<'_> {
    fn field(&mut self, label: &str, text: &str) -> io::Result<()> {
        let first = format!("{label:>width$}: ", width = INDENT - 2);
        paragraph(self.out, self.style.width, &first, INDENT, text)
    }

    fn more(&mut self, text: &str) -> io::Result<()> {
        paragraph(self.out, self.style.width, &" ".repeat(INDENT), INDENT, text)
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.style.bold(text))
    }

    fn table_state(&mut self, status: &StatusDocument) -> io::Result<()> {
        let netns = &status.header.netns;
        let named = netns.name.as_deref().unwrap_or("without a name");
        self.field("Namespace", &format!("{named} (inode {})", netns.inode))?;
        // Painted, so past the escaping of what comes from elsewhere.
        writeln!(self.out, "{:>width$}: {}", "Level", self.style.level(status.level), width = INDENT - 2)?;
        for reason in &status.reasons {
            self.more(reason)?;
        }
        self.field("Usage", &usage(status))?;
        self.field("Max", &max(status))?;
        self.field("Growth", &growth(status))?;
        let d = &status.drops;
        let drops = format!(
            "drop {}, early_drop {}, insert_failed {}, chaintoolong {}",
            d.drop,
            d.early_drop,
            d.insert_failed,
            count(d.chaintoolong)
        );
        self.field("Drops", &drops)?;
        match status.protected {
            Some(n) => self.field("Protected", &counted(n, "entry", "entries")),
            None => Ok(()),
        }
    }

    fn no_agent(&mut self, without: Option<&Without>) -> io::Result<()> {
        match without {
            Some(without) => self.field("Agent", &format!("{without}; read from the kernel")),
            None => self.field("Agent", "none"),
        }
    }

    fn agent(&mut self, agent: &AgentStatus) -> io::Result<()> {
        let since = moment(&agent.started_at, self.style.zone());
        self.field("Agent", &format!("pid {}, since {since}, version {}", agent.pid, agent.version))?;
        for alarm in alarms(agent) {
            writeln!(self.out, "{:INDENT$}{}", "", self.style.alarm(alarm))?;
        }
        if let Some(doubt) = &agent.doubt {
            self.more(&format!("the counts are in doubt: {doubt}"))?;
        }
        self.more(&format!(
            "{}, {}, {}",
            if agent.synced { "in step with the kernel" } else { "not in step with the kernel yet" },
            counted(agent.events, "event", "events"),
            counted(agent.sources, "source", "sources"),
        ))?;
        self.more(&format!(
            "{}, {}, {}",
            counted(agent.overruns, "overrun", "overruns"),
            counted(agent.lost_events, "lost event", "lost events"),
            counted(agent.resyncs, "resync", "resyncs"),
        ))?;
        if let Some(queue) = &agent.queue {
            self.queue(queue)?;
        }
        if agent.journal_ok {
            self.more("journal written")?;
        }
        if agent.log_lines_dropped > 0 {
            let lines = counted(agent.log_lines_dropped, "log line", "log lines");
            self.more(&format!("{lines} dropped: those before were not read in time"))?;
        }
        if let Some(regret) = agent.regret_percent {
            self.more(&format!("regret {}", percent(regret)))?;
        }
        match agent.capabilities.is_empty() {
            true => self.more("no capabilities"),
            false => self.more(&format!("capabilities {}", agent.capabilities.join(", "))),
        }
    }

    fn queue(&mut self, queue: &Queue) -> io::Result<()> {
        let short = match queue.short() {
            true => format!(" of the {} that pace and stalls call for", bytes(queue.wanted_bytes)),
            false => String::new(),
        };
        self.more(&format!(
            "room for {} ({}{short}), lag {}, longest stall {}",
            counted(queue.events(), "queued event", "queued events"),
            bytes(queue.buffer_bytes),
            took(queue.lag_seconds),
            took(queue.longest_stall_seconds),
        ))
    }

    /// The timeouts that are not where they all agree, or with `-v` all.
    fn timeouts(&mut self, rows: &[TimeoutRow]) -> io::Result<()> {
        let all = self.style.verbosity > 0;
        let shown: Vec<&TimeoutRow> = rows.iter().filter(|row| all || differs(row)).collect();
        if shown.is_empty() {
            return Ok(());
        }
        let columns = [
            name("TIMEOUT", |row: &&TimeoutRow| row.name.clone()),
            number("BASELINE", 1, |row| count(row.baseline_seconds.map(u64::from))),
            number("NOW", 0, |row| row.current_seconds.to_string()),
            number("FLOOR", 2, |row| row.floor_seconds.to_string()),
        ];
        self.heading("Timeouts, in seconds")?;
        table::write(self.out, &columns, &shown, self.style)
    }
}

/// What each class would free, in the order in which they go, as of a look at the table of that age.
///
/// # Errors
/// The writer's.
pub fn classes(
    out: &mut dyn Write,
    rows: Option<&[ClassRow]>,
    age_seconds: Option<f64>,
    style: &Style,
) -> io::Result<()> {
    let Some(rows) = rows.filter(|rows| !rows.is_empty()) else { return Ok(()) };
    let mut columns = vec![
        name("CLASS", |row: &ClassRow| row.class.to_string()),
        number("ENTRIES", 0, |row| row.entries.to_string()),
        number("OLDEST IDLE", 2, |row| duration(row.oldest_idle_seconds.into())),
        number("WOULD FREE", 1, |row| row.would_free.to_string()),
    ];
    if rows.iter().any(|row| row.flushed > 0) {
        columns.push(number("FLUSHED", 4, |row| row.flushed.to_string()));
        columns.push(number("REGRET", 3, |row| row.regret_percent.map_or(UNKNOWN.into(), percent)));
    }
    let seen = age_seconds.filter(|age| *age >= 1.0).map(|age| format!(" (seen {} ago)", duration(age)));
    let heading = format!("Classes, the first to go first{}", seen.unwrap_or_default());
    writeln!(out, "\n{}", style.bold(&heading))?;
    table::write(out, &columns, rows, style)?;
    for row in rows.iter().filter(|row| row.suspended) {
        let alarm = format!("{} is suspended: flows that it took for idle lived", row.class);
        writeln!(out, "  {}", style.alarm(&alarm))?;
    }
    Ok(())
}

fn usage(status: &StatusDocument) -> String {
    match status.limit {
        0 => format!("{}, no limit", counted(status.entries, "entry", "entries")),
        limit => format!("{} / {limit} ({})", status.entries, percent(status.usage_percent)),
    }
}

fn max(status: &StatusDocument) -> String {
    let bounds = &status.bounds;
    let reason = if bounds.reason.is_empty() { String::new() } else { format!(": {}", bounds.reason) };
    format!(
        "{}, at most {} ({} of memory, {} an entry){reason}; {}",
        if status.max == 0 { "none".into() } else { status.max.to_string() },
        bounds.max_ceiling,
        bytes(bounds.memory_budget_bytes),
        bytes(bounds.bytes_per_entry),
        counted(status.buckets, "bucket", "buckets"),
    )
}

fn growth(status: &StatusDocument) -> String {
    if status.new_per_second.is_none() && status.net_growth_per_second.is_none() {
        return "not known without events".into();
    }
    let net = match rate(status.net_growth_per_second) {
        net if net == UNKNOWN || net.starts_with('-') => net,
        net => format!("+{net}"),
    };
    let full = match status.seconds_to_full {
        Some(seconds) if seconds.is_finite() => format!(", full in {}", duration(seconds)),
        _ => String::new(),
    };
    format!("{} new a second, {net} net{full}", rate(status.new_per_second))
}

fn alarms(agent: &AgentStatus) -> impl Iterator<Item = &'static str> {
    let all = [
        (agent.paused, "paused: it watches and touches nothing"),
        (agent.dry_run, "dry run: it decides and touches nothing"),
        (!agent.journal_ok, "the journal cannot be written"),
    ];
    all.into_iter().filter(|(on, _)| *on).map(|(_, text)| text)
}

fn differs(row: &TimeoutRow) -> bool {
    row.current_seconds != row.floor_seconds || row.baseline_seconds.is_some_and(|b| b != row.current_seconds)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
