//! The command `ctctl events`.

use std::io::{self, Write};

use jiff::Timestamp;

use super::place::Place;
use super::render::entry::EventDocument;
use super::render::quantity::counted;
use super::{args, output, render};
use crate::direct::{self, Sink, Told};
use crate::error::{Error, Result};

/// Prints events as they come.
///
/// # Errors
/// The kernel delivers no events.
pub fn run(place: &Place, options: &args::Events) -> Result<u8> {
    let filters = &options.filters.0;
    if filters.need_idleness() {
        let why = "'--idle-over' has no meaning for events: what something has just happened to is not idle";
        return Err(
            Error::usage("usage", why).hint("leave it out, or look at entries: ctctl list --idle-over 10m")
        );
    }
    let mut ended = Ok(());
    output::print(|out| {
        let mut lines = Lines { out, place, left: options.count, seen: 0, lost: 0, written: Ok(()) };
        ended = direct::events(&place.target, filters, &options.kinds(), &mut lines);
        if ended.is_ok() && place.style.verbosity >= 0 && !place.json {
            let events = counted(lines.seen, "event", "events");
            output::notice(&format!("{events} shown, {} lost", lines.lost));
        }
        lines.written
    })?;
    ended.map(|()| 0)
}

struct Lines<'a> {
    out: &'a mut dyn Write,
    place: &'a Place,
    /// Number of events still to print; `None` without `--count`.
    left: Option<u64>,
    seen: u64,
    lost: u64,
    written: io::Result<()>,
}

impl Sink<Told<'_>> for Lines<'_> {
    fn entry(&mut self, told: Told<'_>) {
        if self.written.is_err() || self.left == Some(0) {
            return;
        }
        if let Told::Lost(lost) = told {
            self.lost += lost;
        } else {
            self.seen += 1;
            self.left = self.left.map(|left| left - 1);
        }
        self.written = match (told, self.place.json) {
            (Told::Event(event), true) => {
                output::json(self.out, &EventDocument::of_event(&direct::header(&self.place.target), event))
            }
            (Told::Event(event), false) => {
                let at = Timestamp::now().to_zoned(self.place.style.zone().clone());
                render::entry::write_event(self.out, &at, event)
            }
            (Told::Lost(lost), true) => output::json(
                self.out,
                &EventDocument::lost(&direct::header(&self.place.target), lost, self.lost),
            ),
            (Told::Lost(lost), false) => {
                output::notice(&format!("{} lost, {} in all", counted(lost, "event", "events"), self.lost));
                Ok(())
            }
        };
    }

    fn breathe(&mut self) -> bool {
        if self.written.is_ok() {
            self.written = self.out.flush();
        }
        self.written.is_ok() && self.left != Some(0)
    }
}
