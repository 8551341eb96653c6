//! The result of `revert` as text.

use std::io::{self, Write};

use super::Style;
use super::text::paragraph;
use crate::core::model::RevertDocument;
use crate::core::model::sentence::unit;

/// Writes each value with its result, and what waits.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, document: &RevertDocument, style: &Style) -> io::Result<()> {
    if document.values.is_empty() && document.waiting.is_empty() {
        return writeln!(out, "Nothing to put back.");
    }
    for row in &document.values {
        let reason = row.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let unit = unit(Some(&row.name));
        let text = format!("{} from {} to {}{unit}: {}{reason}", row.name, row.from, row.to, row.result);
        paragraph(out, style.width, "", 4, &text)?;
    }
    for waiting in &document.waiting {
        paragraph(out, style.width, "Waiting: ", 4, waiting)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;

    fn drawn(document: &RevertDocument) -> String {
        let mut out = Vec::new();
        write(&mut out, document, &canned::style(Some(40))).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_value_says_what_became_of_it() {
        let mut document = canned::revert(&["restored", "waits"]);
        document.values[1].reason = Some("80000 entries are over 65536".into());
        document.waiting.push("max goes back below 49152 entries".into());
        let expected = "\
max from 98304 to 65536: restored
max from 98304 to 65536: waits: 80000
    entries are over 65536
Waiting: max goes back below 49152
    entries
";
        assert_eq!(drawn(&document), expected);
        assert_eq!(drawn(&canned::revert(&[])), "Nothing to put back.\n");
    }
}
