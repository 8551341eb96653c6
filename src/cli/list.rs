//! The command `ctctl list`.

use std::io::{self, Write};

use super::place::Place;
use super::remembered::RememberedEntries;
use super::render::quantity::counted;
use super::render::{conntrack, entry};
use super::{args, beside, output};
use crate::core::model::{Detail, Entry, Header, Verdict, unproven};
use crate::direct::{self, NotListed, Sink};
use crate::error::{Error, Result};

const FOREIGN_WRITER_NOTICE: &str = "the agent heard another program write entries: the time left of those does \
     not show for how long they are idle";

/// Prints entries in the order in which the kernel dumps them.
///
/// # Errors
/// The kernel cannot be read, or the table was resized during the dump.
pub fn run(place: &Place, options: &args::List) -> Result<u8> {
    let (settings, filters) = (&place.settings, &options.filters.0);
    // clap cannot refuse this combination: --json is an option of every command.
    if place.json && options.like_conntrack {
        return Err(Error::usage("usage", "--like-conntrack is text and cannot be --json")
            .hint("leave out one of the two"));
    }
    let remembered = RememberedEntries::ask(place, filters);
    let shown = !options.like_conntrack || filters.need_idleness();
    let beside = if shown { place.beside_agent()? } else { None };
    let target = beside.as_ref().unwrap_or(&place.target);
    if target.others_update() && place.style.verbosity >= 0 {
        output::notice(FOREIGN_WRITER_NOTICE);
    }
    let mut listed = Ok(NotListed::default());
    output::print(|out| {
        let header = place.json.then(|| direct::header(target));
        let mut lines = Lines { out, place, header, written: Ok(()) };
        listed = match options.like_conntrack {
            true => direct::list_details(target, settings, filters, remembered.known(), &mut lines),
            false => direct::list(target, settings, filters, remembered.known(), &mut lines),
        };
        lines.written
    })?;
    let left_open = listed?;
    if filters.need_idleness() && !left_open.unproven.is_empty() && place.style.verbosity >= 0 {
        let entries =
            counted(unproven::total(&left_open.unproven), "entry more matches", "entries more match");
        output::notice(&format!(
            "{entries} but for the idleness, which nobody can tell: {}",
            unproven::reasons(&left_open.unproven)
        ));
    }
    match left_open.not_told {
        0 => Ok(0),
        entries => Err(beside::not_told("list", entries)),
    }
}

/// Writes one line per entry; the first line that cannot be written ends the list.
struct Lines<'a> {
    out: &'a mut dyn Write,
    place: &'a Place,
    /// Header of JSON lines; `None` for text.
    header: Option<Header>,
    written: io::Result<()>,
}

impl Lines<'_> {
    fn write(&mut self, line: impl FnOnce(&mut dyn Write, Option<&Header>) -> io::Result<()>) {
        if self.written.is_ok() {
            self.written = line(self.out, self.header.as_ref());
        }
    }

    /// Flushes the output, so that the reader gets every entry dumped so far. Returns false if the output is closed.
    fn flush_lines(&mut self) -> bool {
        if self.written.is_ok() {
            self.written = self.out.flush();
        }
        if self.header.is_some() {
            self.header = Some(direct::header(&self.place.target));
        }
        self.written.is_ok()
    }
}

impl Sink<(&Entry, &Verdict)> for Lines<'_> {
    fn entry(&mut self, (entry, verdict): (&Entry, &Verdict)) {
        self.write(|out, header| match header {
            Some(header) => output::json(out, &entry::EntryDocument::new(header, entry, verdict)),
            None => entry::write(out, entry, verdict),
        });
    }

    fn breathe(&mut self) -> bool {
        self.flush_lines()
    }
}

impl Sink<&Detail> for Lines<'_> {
    fn entry(&mut self, detail: &Detail) {
        self.write(|out, _| conntrack::write(out, detail));
    }

    fn breathe(&mut self) -> bool {
        self.flush_lines()
    }
}
