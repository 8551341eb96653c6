//! The result of `simulate` as text: a timeline, and a comparison of the strategies.

use std::io::{self, Write};

use super::Style;
use super::quantity::{UNKNOWN, duration};
use super::text::{escape, paragraph};
use crate::core::model::ShortDuration;
use crate::core::simulate::report::{Comparison, Document, Run, Spread};

/// Number of lines of the timeline.
const LINES: usize = 20;
/// Width of tables if the output is no terminal, or one that reports no width: these tables have many columns, and none
/// can be left out.
const WIDTH: usize = 80;

/// Writes the timeline of the first seed and the comparison over all of them. `idle`: strategies that never act and are
/// left out.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, document: &Document, idle: &[String], style: &Style) -> io::Result<()> {
    let width = Some(style.width.unwrap_or(WIDTH));
    let heading = format!("{}: {}", document.scenario, document.summary);
    paragraph(out, width, "", 2, &heading)?;
    let seeds = match document.seeds.as_slice() {
        [one] => format!("seed {one}"),
        several => format!("{} seeds, the timeline is that of {}", several.len(), several[0]),
    };
    let span = format!("{} of virtual time, {seeds}", duration(document.duration_seconds));
    paragraph(out, width, "", 0, &span)?;
    for strategy in idle {
        let text = format!("Left out: {strategy}: the same as none.");
        paragraph(out, width, "", 0, &text)?;
    }
    writeln!(out)?;
    timeline(out, document, style)?;
    writeln!(out)?;
    comparison(out, document, style)?;
    if style.verbosity > 0 {
        document.strategies.iter().try_for_each(|comparison| notes(out, comparison, style))?;
    }
    Ok(())
}

fn timeline(out: &mut dyn Write, document: &Document, style: &Style) -> io::Result<()> {
    let runs: Vec<&Run> = document.strategies.iter().filter_map(|strategy| strategy.runs.first()).collect();
    let Some(longest) = runs.iter().map(|run| run.timeline.len()).max() else { return Ok(()) };
    let every = (longest / LINES).max(1);
    let row = |at: usize| {
        let seconds = runs[0].timeline.get(at).map_or(0.0, |sample| sample.at_seconds);
        let time = ShortDuration::rough(seconds as u32).to_string();
        std::iter::once(time).chain(runs.iter().map(|run| entries(run, at))).collect()
    };
    let rows: Vec<Vec<String>> = (0..longest).step_by(every).map(row).collect();
    let text = "Entries, and behind the minus how many new flows of no attacker were refused so far \
                (k: thousand, M: million):";
    paragraph(out, Some(style.width.unwrap_or(WIDTH)), "", 0, text)?;
    grid(out, &head("TIME", document), &rows, style)
}

fn entries(run: &Run, at: usize) -> String {
    let Some(sample) = run.timeline.get(at) else { return String::new() };
    match sample.refused_legitimate {
        0 => short(sample.entries),
        refused => format!("{} -{}", short(sample.entries), short(refused)),
    }
}

/// Returns a number in three digits with its unit: `999`, `1.23k`, `65.5k`, `105M`.
fn short(count: u64) -> String {
    let (mut amount, mut unit) = (count as f64, 0);
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    // An amount of 999.5 would be rounded to four digits.
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    match (unit, amount) {
        (0, _) => count.to_string(),
        (_, a) if a < 9.995 => format!("{a:.2}{}", UNITS[unit]),
        (_, a) if a < 99.95 => format!("{a:.1}{}", UNITS[unit]),
        (_, a) => format!("{a:.0}{}", UNITS[unit]),
    }
}

fn head(first: &str, document: &Document) -> Vec<String> {
    let names = document.strategies.iter().map(|strategy| strategy.strategy.to_owned());
    std::iter::once(first.to_owned()).chain(names).collect()
}

/// A row of the comparison: its label, the figure's name, and the function that formats it.
type Figure = (&'static str, &'static str, fn(f64) -> String);

const FIGURES: [Figure; 12] = [
    ("peak entries", "peak_entries", whole),
    ("peak usage", "peak_usage_percent", |value| format!("{value:.0}%")),
    ("time full", "seconds_full", span),
    ("new flows refused", "refused_legitimate", whole),
    ("  of attackers", "refused_attackers", whole),
    ("live flows cut", "live_flows_deleted", whole),
    ("live flows expired", "live_flows_expired", whole),
    ("live flows shed", "live_flows_shed", whole),
    ("entries deleted", "deletions", whole),
    ("second chances", "second_chances", whole),
    ("values written", "sysctl_writes", whole),
    ("entries at the end", "last_entries", whole),
];

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn span(seconds: f64) -> String {
    ShortDuration::rough(seconds.min(f64::from(u32::MAX)) as u32).to_string()
}

/// Writes a line per figure: the mean, and below it the least and the most if seeds differ.
fn comparison(out: &mut dyn Write, document: &Document, style: &Style) -> io::Result<()> {
    if document.seeds.len() > 1 {
        let text = format!("The mean over {} seeds, and the least and the most:", document.seeds.len());
        paragraph(out, Some(style.width.unwrap_or(WIDTH)), "", 0, &text)?;
    }
    let mut rows = Vec::new();
    for (words, name, text) in FIGURES {
        let figures = || document.strategies.iter().map(|strategy| strategy.figure(name));
        let row = |label: &str, cell: &dyn Fn(&Spread) -> f64| {
            let cells = figures().map(|spread| spread.map_or(UNKNOWN.into(), |spread| text(cell(spread))));
            std::iter::once(label.to_owned()).chain(cells).collect::<Vec<String>>()
        };
        rows.push(row(words, &|spread| spread.mean));
        if figures().flatten().any(|spread| spread.least < spread.most) {
            rows.push(row("    least", &|spread| spread.least));
            rows.push(row("    most", &|spread| spread.most));
        }
    }
    grid(out, &head("STRATEGY", document), &rows, style)
}

/// Writes a table whose first column labels the row and whose other columns are numbers. Columns that do not fit beside
/// each other follow below, after the first column again: no column is left out, and no value is cut.
fn grid(out: &mut dyn Write, head: &[String], rows: &[Vec<String>], style: &Style) -> io::Result<()> {
    const GAP: usize = 2;
    let cells = |at: usize| rows.iter().filter_map(move |row| row.get(at)).chain(head.get(at));
    let width = |at: usize| cells(at).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let room = style.width.unwrap_or(WIDTH).saturating_sub(width(0));
    let mut next = 1;
    while next < head.len() {
        let (from, mut taken) = (next, 0);
        while next < head.len() && (next == from || taken + GAP + width(next) <= room) {
            taken += GAP + width(next);
            next += 1;
        }
        if from > 1 {
            writeln!(out)?;
        }
        let line = |row: &[String]| {
            let first = format!("{:<1$}", row[0], width(0));
            let rest = (from..next).map(|at| format!("{:>1$}", row[at], GAP + width(at)));
            std::iter::once(first).chain(rest).collect::<String>()
        };
        writeln!(out, "{}", style.bold(&line(head)))?;
        rows.iter().try_for_each(|row| writeln!(out, "{}", line(row)))?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;
    use crate::core::simulate::Strategy;
    use crate::core::simulate::report::{Figures, Sample};

    #[test]
    fn three_digits_tell_any_count() {
        let shown = [0, 7, 999, 1000, 65_536, 99_949, 99_951, 999_499, 999_500, 8_625_968, 104_857_600];
        let expected = ["0", "7", "999", "1.00k", "65.5k", "99.9k", "100k", "999k", "1.00M", "8.63M", "105M"];
        assert_eq!(shown.map(short), expected);
        assert!((0..64).all(|bits| short(1 << bits).len() <= 9));
    }

    #[test]
    fn a_hundred_million_entries_and_several_seeds_fit_eighty_columns() {
        let run = |seed: u64| {
            let figures = Figures {
                peak_entries: 104_857_600 - seed,
                seconds_full: 259_200.0 - seed as f64,
                refused_legitimate: 862_596_800 - seed,
                deletions: 999_999_999 - seed,
                ..Figures::default()
            };
            let sample = |n: u32| Sample {
                at_seconds: f64::from(n) * 1080.0,
                entries: 104_857_600,
                max: 104_857_600,
                living: 0,
                refused_legitimate: 862_596_800,
                level: None,
            };
            Run { seed, figures, timeline: (0..240).map(sample).collect(), notes: vec![] }
        };
        let compare = |strategy| Comparison::new(strategy, (1..4).map(run).collect());
        let document = Document {
            header: canned::header(),
            scenario: "hundred-million".into(),
            summary: "x ".repeat(80),
            duration_seconds: 259_200.0,
            seeds: vec![1, 2, 3],
            strategies: Strategy::ALL.into_iter().map(compare).collect(),
        };
        for width in [None, Some(80), Some(60), Some(40)] {
            let mut out = Vec::new();
            write(&mut out, &document, &[], &canned::style(width)).expect("memory");
            let text = String::from_utf8(out).expect("text");
            let most = width.unwrap_or(80);
            assert!(text.lines().all(|line| line.chars().count() <= most), "{width:?}:\n{text}");
            for part in ["105M -863M", "862596798", "    least", "nightly"] {
                assert!(text.contains(part), "{part}:\n{text}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_beside_each_other_stands_below() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<String>>();
        let head = texts(&["TIME", "none", "pf", "ctctl"]);
        let rows = [texts(&["0s", "1", "22", "333"]), texts(&["1d2h", "55555", "6", "7"])];
        let drawn = |width| {
            let mut out = Vec::new();
            grid(&mut out, &head, &rows, &canned::style(width)).expect("memory");
            String::from_utf8(out).expect("text")
        };
        let whole = "TIME   none  pf  ctctl\n0s        1  22    333\n1d2h  55555   6      7\n";
        assert_eq!((drawn(None).as_str(), drawn(Some(22)).as_str()), (whole, whole));
        let two =
            "TIME   none  pf\n0s        1  22\n1d2h  55555   6\n\nTIME  ctctl\n0s      333\n1d2h      7\n";
        assert_eq!(drawn(Some(21)), two);
        assert_eq!(drawn(Some(1)).lines().count(), 3 * 3 + 2, "a column at least");
    }
}
