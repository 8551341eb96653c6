//! Tables that fit the terminal by leaving out columns, never by cutting a value: half an address is another one.

use std::io::{self, Write};

use super::Style;
use super::text::escape;

/// Spaces between two columns.
const GAP: usize = 2;

/// One column over rows of `R`.
pub struct Column<R> {
    title: &'static str,
    cell: fn(&R) -> String,
    right: bool,
    /// Order in which columns leave a narrow terminal, the largest first; a column of rank 0 stays.
    rank: u8,
}

/// Builds a right-aligned column of numbers. The column with the largest `rank` leaves a narrow terminal first; 0
/// stays.
pub fn number<R>(title: &'static str, rank: u8, cell: fn(&R) -> String) -> Column<R> {
    Column { title, cell, right: true, rank }
}

/// Builds a left-aligned column of names, which always stays.
pub fn name<R>(title: &'static str, cell: fn(&R) -> String) -> Column<R> {
    Column { title, cell, right: false, rank: 0 }
}

/// Writes a header and a line a row. Columns stay even if no row knows their value: which columns there are does not
/// depend on the origin of the answer. Cells are made twice, for their width and for their line, so that a million rows
/// are never held as text.
///
/// # Errors
/// Those of the writer.
pub fn write<R>(out: &mut dyn Write, columns: &[Column<R>], rows: &[R], style: &Style) -> io::Result<()> {
    let mut shown: Vec<(&Column<R>, usize)> = columns.iter().map(|c| (c, width(c, rows))).collect();
    fit(&mut shown, style.width);
    let header = line(&shown, |c| c.title.to_string());
    writeln!(out, "{}", style.bold(&header))?;
    for row in rows {
        writeln!(out, "{}", line(&shown, |c| cell(c, row)))?;
    }
    Ok(())
}

fn cell<R>(column: &Column<R>, row: &R) -> String {
    escape(&(column.cell)(row)).into_owned()
}

fn width<R>(column: &Column<R>, rows: &[R]) -> usize {
    let cells = rows.iter().map(|row| cell(column, row).chars().count());
    cells.max().unwrap_or(0).max(column.title.chars().count())
}

fn fit<R>(shown: &mut Vec<(&Column<R>, usize)>, width: Option<usize>) {
    let Some(width) = width else { return };
    while shown.iter().map(|(_, w)| w + GAP).sum::<usize>() > width.saturating_add(GAP) {
        let largest = shown.iter().enumerate().max_by_key(|(_, (c, _))| c.rank);
        match largest {
            Some((at, (column, _))) if column.rank > 0 => shown.remove(at),
            _ => return,
        };
    }
}

fn line<R>(shown: &[(&Column<R>, usize)], text: impl Fn(&Column<R>) -> String) -> String {
    let mut line = String::new();
    for (at, (column, width)) in shown.iter().enumerate() {
        if at > 0 {
            line.push_str("  ");
        }
        let text = text(column);
        // The padding of `format!` panics over a width of 65535.
        let pad = " ".repeat(width.saturating_sub(text.chars().count()));
        let (before, after) =
            if column.right { (pad.as_str(), text.as_str()) } else { (text.as_str(), pad.as_str()) };
        line.push_str(before);
        line.push_str(after);
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;
    use crate::cli::render::quantity::UNKNOWN;

    type Row = (&'static str, u64, Option<u64>);

    fn drawn(width: Option<usize>, rows: &[Row]) -> String {
        let columns = [
            name("SOURCE", |row: &Row| row.0.to_string()),
            number("ENTRIES", 0, |row| row.1.to_string()),
            number("IDLE", 1, |row| row.2.map_or(UNKNOWN.into(), |idle| idle.to_string())),
        ];
        let mut out = Vec::new();
        write(&mut out, &columns, rows, &canned::style(width)).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn numbers_stand_right_and_names_left() {
        let rows = [("10.0.0.1", 12345678, Some(1)), ("::1", 2, None)];
        let whole = "SOURCE     ENTRIES  IDLE\n10.0.0.1  12345678     1\n::1              2     -\n";
        assert_eq!(drawn(None, &rows), whole);
        assert_eq!(drawn(Some(24), &rows), whole);
    }

    #[test]
    fn a_narrow_terminal_loses_columns_and_no_value_is_cut() {
        let rows = [("10.0.0.1", 12345678, Some(1))];
        let narrow = "SOURCE     ENTRIES\n10.0.0.1  12345678\n";
        assert_eq!(drawn(Some(23), &rows), narrow);
        assert_eq!(drawn(Some(1), &rows), narrow);
    }

    #[test]
    fn a_column_that_knows_nothing_stays_and_says_so() {
        assert_eq!(drawn(None, &[("a", 1, None)]), "SOURCE  ENTRIES  IDLE\na             1     -\n");
        assert_eq!(drawn(None, &[]), "SOURCE  ENTRIES  IDLE\n");
    }

    #[test]
    fn a_name_of_any_length_is_printed() {
        let long: &str = "x".repeat(70_000).leak();
        assert!(drawn(Some(80), &[(long, 1, None), ("a", 1, None)]).contains(long));
    }

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert!(drawn(None, &[("\x1b[2J", 1, None)]).contains("\\u{1b}[2J  "));
    }
}
