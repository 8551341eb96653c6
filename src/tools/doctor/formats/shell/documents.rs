//! Here-documents (POSIX, 2.7.4).

use super::Reader;

/// A here-document that begins behind the line which names it.
pub(super) struct Document {
    pub(super) end: String,
    pub(super) tabs: bool,
    /// The command that it is the input of, counted from the beginning, once that has ended.
    pub(super) command: Option<usize>,
}

impl Reader<'_> {
    /// The bodies of here-documents that the line has named.
    pub(super) fn documents(&mut self) {
        for document in std::mem::take(&mut self.documents) {
            let mut body = String::new();
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
                self.at = (self.at + line.len() + 1).min(self.text.len());
                let line = if document.tabs { line.trim_start_matches('\t') } else { line };
                if line == document.end {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            let Some(mut at) = document.command.filter(|at| *at < self.found.len()) else { continue };
            self.found[at].input = Some(body);
            // The commands of a pipe pass it on.
            while self.found.get(at + 1).is_some_and(|next| next.piped) {
                self.found[at + 1].input = self.found[at].output();
                at += 1;
            }
        }
    }
}
