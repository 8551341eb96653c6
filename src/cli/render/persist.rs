//! The files of `persist` as text.

use std::io::{self, Write};

use super::Style;
use super::text::{escape, paragraph};
use crate::core::model::PersistDocument;

/// Writes the diff of every file, the values that are not written as they are now, and those that will not hold.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, document: &PersistDocument, style: &Style) -> io::Result<()> {
    let changed = || document.files.iter().filter(|file| file.change != "unchanged");
    for file in changed() {
        for line in file.diff.lines() {
            writeln!(out, "{}", style.diff(&escape(line)))?;
        }
    }
    for row in &document.values {
        if let Some(reason) = &row.reason {
            paragraph(out, style.width, &format!("{} is written as {}: ", row.name, row.value), 4, reason)?;
        }
    }
    for note in &document.notes {
        paragraph(out, style.width, "Note: ", 4, note)?;
    }
    for row in &document.overridden {
        let what = format!("{} says `{}` and is read later: at boot that holds", row.place, row.line);
        paragraph(out, style.width, &style.alarm("Will not hold: "), 4, &format!("{}: {what}", row.name))?;
    }
    if changed().next().is_none() {
        return writeln!(out, "Nothing to write: the files say so already.");
    }
    for file in changed() {
        let kept = file.backup.as_ref().map_or(String::new(), |backup| format!(", kept before as {backup}"));
        let done = if document.dry_run { "Would be written" } else { "Written" };
        writeln!(out, "{done}: {} ({}{kept})", escape(&file.path), file.change)?;
    }
    Ok(())
}
