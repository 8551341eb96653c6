//! The findings of `doctor` as text.

use std::io::{self, Write};

use super::Style;
use super::quantity::{counted, moment};
use super::text::{escape, paragraph};
use crate::core::model::{DoctorDocument, Evidence, Finding, Severity};

const INDENT: usize = 4;

/// Writes each finding with its evidence, reason, fix and source; then the number of findings, and the parts that were
/// not examined. With `-q` a finding is one line, with `-v` the users of connection tracking follow.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, document: &DoctorDocument, style: &Style) -> io::Result<()> {
    for finding in &document.findings {
        one(out, finding, style)?;
    }
    let number = |severity| document.findings.iter().filter(|f| f.severity == severity).count() as u64;
    writeln!(
        out,
        "{}, {}, {}.",
        counted(number(Severity::Error), "error", "errors"),
        counted(number(Severity::Warning), "warning", "warnings"),
        counted(number(Severity::Note), "note", "notes")
    )?;
    for part in &document.not_examined {
        if part.failed || style.verbosity >= 0 {
            paragraph(out, style.width, "Not looked at: ", INDENT, &format!("{}: {}", part.what, part.why))?;
        }
    }
    if style.verbosity > 0 {
        for user in document.tracking_users.iter().flatten() {
            paragraph(out, style.width, "Tracks: ", INDENT, &format!("{} ({})", user.place, user.by))?;
        }
    }
    Ok(())
}

fn one(out: &mut dyn Write, finding: &Finding, style: &Style) -> io::Result<()> {
    let severity = finding.severity.name();
    let shown =
        if finding.severity == Severity::Error { style.alarm(severity) } else { style.bold(severity) };
    let title = format!("{}: {}", finding.id, finding.title);
    paragraph(out, style.width, &format!("{shown} "), INDENT, &title)?;
    if style.verbosity < 0 {
        return Ok(());
    }
    for evidence in &finding.evidence {
        writeln!(out, "    {}", escape(&place(evidence, style)))?;
    }
    paragraph(out, style.width, "    ", INDENT, &finding.explanation)?;
    if !finding.fix.is_empty() {
        writeln!(out, "    Fix:")?;
    }
    // Commands are for pasting, so they are never wrapped.
    for command in &finding.fix {
        writeln!(out, "        {}", escape(command))?;
    }
    paragraph(out, style.width, "    Source: ", INDENT, &finding.source.join("; "))?;
    writeln!(out)
}

/// Returns evidence as `file:line: text`, after its time if it has one.
fn place(evidence: &Evidence, style: &Style) -> String {
    let at = evidence.at.as_deref().map_or(String::new(), |at| format!("{} ", moment(at, style.zone())));
    let said = match (&evidence.file, evidence.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: {}", evidence.text),
        (Some(file), None) => format!("{file}: {}", evidence.text),
        _ => evidence.text.clone(),
    };
    at + &said
}
