//! The document of `status` as text: on one screen what an operator needs first, and with `-v` all of it.

use std::io::{self, Write};

use super::classes::{classes, unclassed};
use super::quantity::{UNKNOWN, bytes, count, counted, duration, moment, percent, rate, took};
use super::table::{self, name, number};
use super::text::{clipped, escape, piped, prose};
use super::{Style, history};
use crate::cli::called::complete;
use crate::cli::reach::NoAnswer;
use crate::core::model::{AgentStatus, ClassRow, Level, Queue, StatusDocument, TimeoutRow};

/// Column of the text after a label: the longest label, a colon and a space.
const INDENT: usize = 11;
/// Number of lines without `-v`: a screen has 24, and the prompt takes the last.
const SCREEN: usize = 23;
/// Largest numbers of sentences on what waits, rows of classes, and last actions. The first of these that fits the
/// screen is used.
const LAYOUTS: [(usize, usize, usize); 5] =
    [(3, usize::MAX, 3), (3, usize::MAX, 1), (2, 3, 1), (1, 2, 1), (1, 0, 1)];

/// Writes the level with its reason, then the table, the agent, and what waits; then classes and last actions.
///
/// # Errors
/// Those of the writer.
pub fn write(
    out: &mut dyn Write,
    status: &StatusDocument,
    without: Option<&NoAnswer>,
    style: &Style,
) -> io::Result<()> {
    let lines = match style.verbosity > 0 {
        true => whole(status, without, style)?,
        false => screen(status, without, style)?,
    };
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Returns the lines of the whole document.
fn whole(status: &StatusDocument, without: Option<&NoAnswer>, style: &Style) -> io::Result<Vec<String>> {
    let mut page = Page { lines: Vec::new(), style };
    page.level(status)?;
    for reason in status.reasons.iter().skip(1) {
        page.more(&complete(reason))?;
    }
    page.table_state(status)?;
    if !status.bounds.reason.is_empty() {
        page.more(&status.bounds.reason)?;
    }
    match &status.agent {
        Some(agent) => page.agent(agent, true)?,
        None => page.no_agent(without)?,
    }
    for waiting in status.waiting.iter().filter(|waiting| !status.reasons.contains(waiting)) {
        page.field("Waiting", &complete(waiting))?;
    }
    page.timeouts(&status.timeouts)?;
    page.lines.extend(drawn(|out| {
        classes(
            out,
            status.classes.as_deref(),
            status.classes_age_seconds,
            status.classes_before_act,
            style,
        )?;
        unclassed(out, status.unclassed.as_deref(), &status.reasons, style)?;
        if !status.last_actions.is_empty() {
            writeln!(out, "\n{}", style.bold("Last actions"))?;
        }
        status.last_actions.iter().try_for_each(|record| history::whole(out, record, "  ", style))
    })?);
    Ok(page.lines)
}

/// Returns the lines that fit a screen: classes that have entries, and a few sentences and actions, fewer if there is
/// more above them.
fn screen(status: &StatusDocument, without: Option<&NoAnswer>, style: &Style) -> io::Result<Vec<String>> {
    let mut page = Page { lines: Vec::new(), style };
    page.level(status)?;
    page.table_state(status)?;
    match &status.agent {
        Some(agent) => page.agent(agent, false)?,
        None => page.no_agent(without)?,
    }
    page.changed_timeouts(&status.timeouts);
    page.unclassed_state(status)?;
    let rows: Vec<ClassRow> =
        status.classes.iter().flatten().filter(|row| worth_a_line(row)).cloned().collect();
    let table =
        drawn(|out| classes(out, Some(&rows), status.classes_age_seconds, status.classes_before_act, style))?;
    let head = page.lines.len();
    for (sentences, rows, actions) in LAYOUTS {
        page.lines.truncate(head);
        page.sentences(status, sentences)?;
        page.lines.extend(first_rows(&table, rows));
        let actions = drawn(|out| history::lines(out, &status.last_actions, actions, "  ", style))?;
        if !actions.is_empty() {
            page.lines.push(style.bold("Last actions").into_owned());
        }
        page.lines.extend(actions);
        if page.lines.len() <= SCREEN {
            break;
        }
    }
    Ok(page.lines)
}

fn worth_a_line(row: &ClassRow) -> bool {
    row.entries > 0 || row.flushed > 0 || row.suspended
}

/// Returns the first rows of a table after its empty line, its heading and its titles, and the number of rows left out.
fn first_rows(table: &[String], rows: usize) -> Vec<String> {
    const ABOVE: usize = 3;
    match table.len().saturating_sub(ABOVE.saturating_add(rows)) {
        0 => table.to_vec(),
        _ if rows == 0 => Vec::new(),
        more => {
            let mut shown = table[..ABOVE + rows].to_vec();
            shown.push(format!("and {} (-v)", counted(more as u64, "line more", "lines more")));
            shown
        }
    }
}

fn drawn(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Vec<String>> {
    let mut text = Vec::new();
    write(&mut text)?;
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

struct Page<'a> {
    lines: Vec<String>,
    style: &'a Style,
}

impl Page<'_> {
    fn field(&mut self, label: &str, text: &str) -> io::Result<()> {
        let first = format!("{label:>width$}: ", width = INDENT - 2);
        let width = self.style.width;
        self.lines.extend(drawn(|out| prose(out, width, &first, INDENT, text))?);
        Ok(())
    }

    fn more(&mut self, text: &str) -> io::Result<()> {
        let (first, width) = (" ".repeat(INDENT), self.style.width);
        self.lines.extend(drawn(|out| prose(out, width, &first, INDENT, text))?);
        Ok(())
    }

    /// Adds one line, cut if it does not fit.
    fn brief(&mut self, label: &str, text: &str) {
        let colon = if label.is_empty() { ' ' } else { ':' };
        let width = self.style.width.unwrap_or_else(piped).saturating_sub(INDENT);
        let text = escape(text);
        let (shown, _) = clipped(&text, width);
        self.lines.push(format!("{label:>width$}{colon} {shown}", width = INDENT - 2));
    }

    fn alarm(&mut self, text: &str) -> io::Result<()> {
        let width = self.style.width.map(|width| width.saturating_sub(INDENT));
        let lines = drawn(|out| prose(out, width, "", 0, text))?;
        let painted = lines.iter().map(|line| format!("{:INDENT$}{}", "", self.style.alarm(line)));
        self.lines.extend(painted);
        Ok(())
    }

    /// Adds the level and the reason for it.
    fn level(&mut self, status: &StatusDocument) -> io::Result<()> {
        let plain = match status.reasons.first() {
            Some(reason) => format!("{}: {}", status.level, complete(reason)),
            None => format!("{}: {}", status.level, usage(status)),
        };
        let at = self.lines.len();
        self.field("Level", &plain)?;
        // The level is painted after wrapping: the escape codes must not count as columns.
        let painted = self.style.level(status.level);
        self.lines[at] = self.lines[at].replacen(status.level.name(), &painted, 1);
        Ok(())
    }

    fn table_state(&mut self, status: &StatusDocument) -> io::Result<()> {
        let netns = &status.header.netns;
        let named = netns.name.as_deref().unwrap_or("without a name");
        self.field("Namespace", &format!("{named} (inode {})", netns.inode))?;
        if status.limit == 0 {
            self.field("Usage", &usage(status))?;
        }
        self.field("Growth", &growth(status))?;
        self.field("Max", &max(status))?;
        let d = &status.drops;
        let drops = format!(
            "drop {}, early_drop {}, insert_failed {}, chaintoolong {}",
            d.drop,
            d.early_drop,
            d.insert_failed,
            count(d.chaintoolong)
        );
        self.field("Drops", &drops)?;
        match status.protected.filter(|n| *n > 0 || self.style.verbosity > 0) {
            Some(n) => self.field("Protected", &counted(n, "entry", "entries")),
            None => Ok(()),
        }
    }

    fn no_agent(&mut self, without: Option<&NoAnswer>) -> io::Result<()> {
        match without {
            Some(without) => self.field("Agent", &format!("{without}; read from the kernel")),
            None => self.field("Agent", "none"),
        }
    }

    fn agent(&mut self, agent: &AgentStatus, whole: bool) -> io::Result<()> {
        let since = moment(&agent.started_at, self.style.zone());
        let step = if agent.synced { "in step with the kernel" } else { "not in step with the kernel yet" };
        let first = format!("pid {}, since {since}, version {}", agent.pid, agent.version);
        let doubtful = if whole || agent.synced { "" } else { ", not in step yet" };
        self.field("Agent", &format!("{first}{doubtful}"))?;
        if agent.paused {
            self.alarm(&paused(agent, self.style))?;
        }
        let alarms: Vec<&str> = alarms(agent).collect();
        if !alarms.is_empty() {
            self.alarm(&alarms.join("; "))?;
        }
        if let Some(doubt) = &agent.doubt {
            let doubt = format!("the counts are in doubt: {doubt}");
            if whole { self.more(&doubt)? } else { self.brief("", &doubt) }
        }
        if agent.log_lines_dropped > 0 {
            let lines = counted(agent.log_lines_dropped, "log line", "log lines");
            self.more(&format!("{lines} dropped: those before were not read in time"))?;
        }
        if !whole {
            return Ok(());
        }
        let events = counted(agent.events, "event", "events");
        self.more(&format!("{step}, {events}, {}", counted(agent.sources, "source", "sources")))?;
        self.more(&format!(
            "{}, {}, {}",
            counted(agent.overruns, "overrun", "overruns"),
            counted(agent.lost_events, "lost event", "lost events"),
            counted(agent.resyncs, "resync", "resyncs"),
        ))?;
        if let Some(queue) = &agent.queue {
            self.more(&room(queue))?;
        }
        if agent.journal_ok {
            self.more("journal written")?;
        }
        if let Some(regret) = agent.regret_percent {
            self.more(&format!("regret {}", percent(regret)))?;
        }
        match agent.capabilities.is_empty() {
            true => self.more("no capabilities"),
            false => self.more(&format!("capabilities {}", agent.capabilities.join(", "))),
        }
    }

    /// Adds the first sentences on what waits and on what else bears on relief, a line each.
    fn sentences(&mut self, status: &StatusDocument, few: usize) -> io::Result<()> {
        let unclassed =
            status.unclassed.iter().flatten().flat_map(|row| [Some(row.sentence()), row.remedy()]);
        let told: Vec<String> = unclassed.flatten().collect();
        let others = status.reasons.iter().skip(1).filter(|reason| !status.waiting.contains(reason));
        let others = others.filter(|reason| !told.contains(reason));
        let all: Vec<&String> = status.waiting.iter().chain(others).collect();
        let shown = if all.len() > few { few.saturating_sub(1).max(1).min(all.len()) } else { all.len() };
        for (at, sentence) in all[..shown].iter().enumerate() {
            self.brief(if at == 0 { "Waiting" } else { "" }, &complete(sentence));
        }
        match all.len() - shown {
            0 => Ok(()),
            more => {
                self.more(&format!("and {} (-v)", counted(more as u64, "sentence more", "sentences more")))
            }
        }
    }

    /// Adds the state that holds most entries of no class, if these are much of the table, and a remedy: a line each.
    fn unclassed_state(&mut self, status: &StatusDocument) -> io::Result<()> {
        let rows = status.unclassed.as_deref().unwrap_or_default();
        let Some(row) = rows
            .first()
            .filter(|row| row.is_much() && (row.brief_remedy().is_some() || status.level > Level::Normal))
        else {
            return Ok(());
        };
        self.brief("No class", &row.brief());
        row.brief_remedy().map_or(Ok(()), |remedy| self.more(&complete(&remedy)))
    }

    /// Adds one line on timeouts that differ from their baseline, or that end every entry at once.
    fn changed_timeouts(&mut self, rows: &[TimeoutRow]) {
        let is = |row: &TimeoutRow, seconds: u32| i64::from(seconds) == row.current_seconds;
        let changed =
            |r: &&TimeoutRow| r.current_seconds <= 0 || r.baseline_seconds.is_some_and(|b| !is(r, b));
        let was = |row: &TimeoutRow| match (row.current_seconds, row.baseline_seconds.map(u64::from)) {
            (now @ ..=0, _) => format!("{} is {now}: entries end at birth (ctctl doctor)", row.name),
            (now, was) => format!("{} {now} s (was {} s)", row.name, count(was)),
        };
        let named: Vec<String> = rows.iter().filter(changed).map(was).collect();
        if let [first, more @ ..] = named.as_slice() {
            let more =
                if more.is_empty() { String::new() } else { format!(", and {} more (-v)", more.len()) };
            self.brief("Timeouts", &format!("{first}{more}"));
        }
    }

    /// Adds a table of all timeouts.
    fn timeouts(&mut self, rows: &[TimeoutRow]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = [
            name("TIMEOUT", |row: &TimeoutRow| row.name.clone()),
            number("BASELINE", 1, |row| count(row.baseline_seconds.map(u64::from))),
            number("NOW", 0, |row| row.current_seconds.to_string()),
            number("FLOOR", 2, |row| row.floor_seconds.to_string()),
        ];
        let style = self.style;
        self.lines.extend([String::new(), style.bold("Timeouts, in seconds").into_owned()]);
        self.lines.extend(drawn(|out| table::write(out, &columns, rows, style))?);
        Ok(())
    }
}

fn usage(status: &StatusDocument) -> String {
    match status.limit {
        0 => format!("{}, no limit", counted(status.entries, "entry", "entries")),
        limit => format!("{} of {limit} entries ({})", status.entries, percent(status.usage_percent)),
    }
}

fn max(status: &StatusDocument) -> String {
    let bounds = &status.bounds;
    if !bounds.summary.is_empty() {
        return bounds.summary.clone();
    }
    // An agent of an earlier version sends no summary.
    let max = if status.max == 0 { "none".into() } else { status.max.to_string() };
    format!("{max}, at most {}", bounds.max_ceiling)
}

fn growth(status: &StatusDocument) -> String {
    let full = match status.seconds_to_full {
        Some(seconds) if seconds <= 0.0 => ", full".into(),
        Some(seconds) if seconds.is_finite() => format!(", full in {}", duration(seconds)),
        _ => String::new(),
    };
    if status.new_per_second.is_none() && status.net_growth_per_second.is_none() {
        return format!("not known without events{full}");
    }
    let net = match rate(status.net_growth_per_second) {
        net if net == UNKNOWN || net.starts_with('-') => net,
        net => format!("+{net}"),
    };
    format!("{} new a second, {net} net{full}", rate(status.new_per_second))
}

fn room(queue: &Queue) -> String {
    let short = match queue.short() {
        true => format!(" of the {} that pace and stalls call for", bytes(queue.wanted_bytes)),
        false => String::new(),
    };
    format!(
        "room for {} ({}{short}), lag {}, longest stall {}",
        counted(queue.events(), "queued event", "queued events"),
        bytes(queue.buffer_bytes),
        took(queue.lag_seconds),
        took(queue.longest_stall_seconds),
    )
}

/// Returns the sentence that the agent is paused, with the end of the pause and the user who asked for it.
fn paused(agent: &AgentStatus, style: &Style) -> String {
    let until = match &agent.paused_until {
        Some(until) => format!(" until {}", moment(until, style.zone())),
        None => format!(" until `{}`", complete("ctctl resume")),
    };
    match &agent.paused_by {
        Some(by) => format!("paused{until}, asked by {by}"),
        None => format!("paused{until}: it watches and touches nothing"),
    }
}

fn alarms(agent: &AgentStatus) -> impl Iterator<Item = &'static str> {
    let all = [
        (agent.dry_run, "dry run: it decides and touches nothing"),
        (!agent.journal_ok, "the journal cannot be written"),
    ];
    all.into_iter().filter(|(on, _)| *on).map(|(_, text)| text)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
