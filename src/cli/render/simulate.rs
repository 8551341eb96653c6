//! `simulate` as text: how it went, and how the strategies compare.

use std::io::{self, Write};

use super::Style;
use super::quantity::duration;
use super::table::{self, Column, name, number};
use super::text::{escape, paragraph};
use crate::simulate::report::{Comparison, Document, Run};

/// Lines of the timeline.
const LINES: usize = 20;

/// Writes the timeline of the first seed and the comparison over all of them.
///
/// # Errors
/// The writer's.
pub fn write(out: &mut dyn Write, document: &Document, style: &Style) -> io::Result<()> {
    let heading = format!("{}: {}", document.scenario, document.summary);
    paragraph(out, style.width, "", 0, &heading)?;
    let seeds = match document.seeds.as_slice() {
        [one] => format!("seed {one}"),
        several => format!("{} seeds, the timeline is that of {}", several.len(), several[0]),
    };
    writeln!(out, "{} of virtual time, {seeds}\n", duration(document.duration_seconds))?;
    timeline(out, document, style)?;
    writeln!(out)?;
    table::write(out, &columns(), &document.strategies, style)?;
    if style.verbosity > 0 {
        document.strategies.iter().try_for_each(|comparison| notes(out, comparison, style))?;
    }
    Ok(())
}

/// A moment, and what each strategy's table held then.
type Moment<'d> = (f64, Vec<(&'d Run, usize)>);

fn timeline(out: &mut dyn Write, document: &Document, style: &Style) -> io::Result<()> {
    let runs: Vec<&Run> = document.strategies.iter().filter_map(|strategy| strategy.runs.first()).collect();
    let Some(longest) = runs.iter().map(|run| run.timeline.len()).max() else { return Ok(()) };
    let every = (longest / LINES).max(1);
    let moment = |at: usize| -> Moment<'_> {
        let seconds = runs[0].timeline.get(at).map_or(0.0, |sample| sample.at_seconds);
        (seconds, runs.iter().map(|run| (*run, at)).collect())
    };
    let rows: Vec<Moment<'_>> = (0..longest).step_by(every).map(moment).collect();
    let cells: [fn(&Moment<'_>) -> String; 5] =
        [entries::<0>, entries::<1>, entries::<2>, entries::<3>, entries::<4>];
    let mut columns = vec![number("TIME", 0, |row: &Moment<'_>| duration(row.0))];
    for (comparison, cell) in document.strategies.iter().zip(cells) {
        columns.push(number(comparison.strategy, 0, cell));
    }
    writeln!(out, "Entries (and refused new flows so far, of no attacker):")?;
    table::write(out, &columns, &rows, style)
}

fn entries<const STRATEGY: usize>(row: &Moment<'_>) -> String {
    let sample = row.1.get(STRATEGY).and_then(|(run, at)| run.timeline.get(*at));
    sample.map_or(String::new(), |sample| match sample.refused_legitimate {
        0 => sample.entries.to_string(),
        refused => format!("{} (-{refused})", sample.entries),
    })
}

fn columns() -> Vec<Column<Comparison>> {
    vec![
        name("STRATEGY", |row: &Comparison| row.strategy.into()),
        number("PEAK", 0, |row| figure(row, "peak_entries")),
        number("USAGE", 2, percent),
        number("FULL", 0, seconds),
        number("REFUSED", 0, |row| figure(row, "refused_legitimate")),
        number("OF ATTACKERS", 3, |row| figure(row, "refused_attackers")),
        number("LIVE CUT", 0, |row| figure(row, "live_flows_deleted")),
        number("EXPIRED", 0, |row| figure(row, "live_flows_expired")),
        number("SHED", 0, |row| figure(row, "live_flows_shed")),
        number("DELETIONS", 4, |row| figure(row, "deletions")),
        number("WRITES", 5, |row| figure(row, "sysctl_writes")),
    ]
}

/// The mean, and from which to which where seeds differ.
fn figure(row: &Comparison, name: &str) -> String {
    spread(row, name, |value| format!("{value:.0}"))
}

fn percent(row: &Comparison) -> String {
    spread(row, "peak_usage_percent", |value| format!("{value:.0}%"))
}

fn seconds(row: &Comparison) -> String {
    spread(row, "seconds_full", duration)
}

fn spread(row: &Comparison, name: &str, text: impl Fn(f64) -> String) -> String {
    let Some(spread) = row.figure(name) else { return String::new() };
    match spread.least == spread.most {
        true => text(spread.mean),
        false => format!("{} ({}-{})", text(spread.mean), text(spread.least), text(spread.most)),
    }
}

fn notes(out: &mut dyn Write, comparison: &Comparison, style: &Style) -> io::Result<()> {
    let Some(run) = comparison.runs.first().filter(|run| !run.notes.is_empty()) else { return Ok(()) };
    writeln!(out, "\n{}:", escape(comparison.strategy))?;
    for note in &run.notes {
        let at = format!("{:>12}  ", duration(note.at_seconds));
        paragraph(out, style.width, &at, 14, &note.text)?;
    }
    Ok(())
}
