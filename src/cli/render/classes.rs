//! Classes and entries of no class, as the last scan saw them: for `status` and `plan`.

use std::io::{self, Write};

use super::Style;
use super::quantity::{UNKNOWN, duration, percent};
use super::table::{self, name, number};
use super::text::prose;
use crate::cli::called::complete;
use crate::core::model::{ClassRow, UnclassedRow};

/// Writes the number of entries that each class would free, in the order in which classes are deleted. `age_seconds` is
/// the age of the scan; `before_act`: entries went since.
///
/// # Errors
/// Those of the writer.
pub fn classes(
    out: &mut dyn Write,
    rows: Option<&[ClassRow]>,
    age_seconds: Option<f64>,
    before_act: bool,
    style: &Style,
) -> io::Result<()> {
    let Some(rows) = rows.filter(|rows| !rows.is_empty()) else { return Ok(()) };
    let mut columns = vec![
        name("CLASS", |row: &ClassRow| row.class.to_string()),
        number("ENTRIES", 0, |row| row.entries.to_string()),
        number("OLDEST IDLE", 2, oldest_idle),
        number("WOULD FREE", 1, |row| row.would_free.to_string()),
        number("FLUSHED", 4, |row| row.flushed.to_string()),
        number("REGRET", 3, |row| row.regret_percent.map_or(UNKNOWN.into(), percent)),
    ];
    if rows.iter().any(|row| row.idle_unknown > 0) {
        columns.insert(3, number("IDLE UNKNOWN", 2, |row| row.idle_unknown.to_string()));
    }
    // Between the entries and what is told of the others alone.
    if rows.iter().any(|row| row.protected > 0) {
        columns.insert(2, number("PROTECTED", 2, |row| row.protected.to_string()));
    }
    let shown = age_seconds.filter(|age| before_act || *age >= 1.0);
    let since = if before_act { ", before the last act" } else { "" };
    let seen = shown.map(|age| format!(" (seen {} ago{since})", duration(age)));
    let heading = format!("Classes, the first to go first{}", seen.unwrap_or_default());
    writeln!(out, "\n{}", style.bold(&heading))?;
    table::write(out, &columns, rows, style)?;
    for row in rows.iter().filter(|row| row.suspended) {
        let alarm = format!("{} is suspended: flows that it took for idle lived", row.class);
        writeln!(out, "  {}", style.alarm(&alarm))?;
    }
    Ok(())
}

/// Returns the longest idle time in the class: `-` if it has no entry or none is known, with `>=` if it may be longer.
fn oldest_idle(row: &ClassRow) -> String {
    match row.oldest_idle_seconds.filter(|_| row.entries > 0) {
        None => UNKNOWN.into(),
        Some(seconds) if row.oldest_is_exact => duration(seconds.into()),
        Some(seconds) => format!(">={}", duration(seconds.into())),
    }
}

/// Writes a description and a remedy for entries of no class that are much of the table, or with `-v` for all of them.
/// Sentences in `said` were printed before and are left out.
///
/// # Errors
/// Those of the writer.
pub fn unclassed(
    out: &mut dyn Write,
    rows: Option<&[UnclassedRow]>,
    said: &[String],
    style: &Style,
) -> io::Result<()> {
    let shown = |row: &&UnclassedRow| style.verbosity > 0 || row.is_much();
    for row in rows.unwrap_or_default().iter().filter(shown) {
        let told = [Some(row.sentence()), row.remedy().filter(|_| row.is_much())];
        for text in told
            .iter()
            .flatten()
            .filter(|text| !said.contains(text) && !said.contains(&complete(text).into()))
        {
            prose(out, style.width, "  ", 2, &complete(text))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;
    use crate::core::model::{Class, ClassScan};

    #[test]
    fn figures_of_before_the_last_act_are_marked_however_young_they_are() {
        let rows = [ClassRow::seen(&ClassScan::empty(Class::Closed))];
        let heading = |age, before_act| {
            let mut out = Vec::new();
            classes(&mut out, Some(&rows), Some(age), before_act, &canned::style(None)).expect("memory");
            let text = String::from_utf8(out).expect("text");
            text.lines()
                .nth(1)
                .expect("a heading")
                .trim_start_matches("Classes, the first to go first")
                .to_owned()
        };
        assert_eq!((heading(0.25, false).as_str(), heading(7.0, false).as_str()), ("", " (seen 7 s ago)"));
        assert!(heading(0.25, true).ends_with(" ago, before the last act)"), "{}", heading(0.25, true));
    }
}
