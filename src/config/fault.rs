//! Faults of a configuration, with their place in the text.

use crate::error::Error;

/// A fault at a byte of the text.
#[derive(Debug)]
pub(super) struct Fault {
    at: usize,
    what: String,
    hint: Option<String>,
}

impl Fault {
    pub(super) fn new(at: usize, what: impl Into<String>) -> Self {
        Fault { at, what: what.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Converts the parser's own error. An error without a place is about the end of the text.
    pub(super) fn of_syntax(error: &toml::de::Error, text: &str) -> Self {
        let span = error.span().unwrap_or(text.len()..text.len());
        let mut what = error.message().lines().collect::<Vec<_>>().join(", ");
        if what == "duplicate key" {
            what = format!("duplicate key `{}`", shown(text.get(span.clone()).unwrap_or_default()));
        }
        let is_bare_word = what.starts_with("invalid boolean");
        let fault = Fault::new(span.start, what);
        if is_bare_word { fault.hint("words other than true and false need quotes") } else { fault }
    }

    /// Returns the error for the operator, with line and column of `text`.
    pub(super) fn in_file(self, text: &str, file: &str) -> Error {
        let (line, column) = position(text, self.at);
        let error = Error::usage("configuration", format!("{file}:{line}:{column}: {}", self.what));
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Returns line and column of a byte, both from 1, the column in characters. A byte order mark takes no column.
fn position(text: &str, at: usize) -> (usize, usize) {
    let (mut line, mut column) = (1, 1);
    for (_, c) in text.char_indices().take_while(|(i, _)| *i < at) {
        match c {
            '\n' => (line, column) = (line + 1, 1),
            '\u{feff}' if (line, column) == (1, 1) => {}
            _ => column += 1,
        }
    }
    (line, column)
}

/// Returns text from the file as an error may show it: on one line, at most 120 characters.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut out: String = text.chars().take(LONGEST).flat_map(printable).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

fn printable(c: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if c.is_control() { (None, Some(c.escape_debug())) } else { (Some(c), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// Returns the candidate that `word` most likely stands for: the one with the fewest edits, at most one in three
/// characters, or one that begins with `word` and `_` (`interval` for `interval_ms`).
pub(crate) fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let word = word.to_lowercase();
    let within = (word.chars().count() / 3).max(1);
    let (edits, best) = candidates.iter().map(|c| (edits(&word, c), *c)).min()?;
    if edits <= within {
        return Some(best);
    }
    let begun = |c: &&&str| c.strip_prefix(word.as_str()).is_some_and(|rest| rest.starts_with('_'));
    candidates.iter().find(begun).copied()
}

/// Returns the number of edits between two words: insertions, deletions, replacements, and swaps of neighbours (optimal
/// string alignment). The result is the largest number for a word over 64 characters, longer than any key, so that the
/// cost stays bounded.
pub(crate) fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(65).collect(), b.chars().collect());
    if a.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
