//! Lines for a person at a terminal: time, level, sentence.

use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::queue;

/// Fields that are left out, because the sentence contains them or they are for programs: the journal and JSON have
/// them.
const OMITTED: [&str; 14] = [
    "achieved", "action", "class", "dry_run", "from", "id", "level", "message", "name", "netns", "restored",
    "to", "uid", "waiting",
];

/// Formats a line for a person.
pub(super) struct TerminalFormat {
    zone: TimeZone,
    colour: bool,
    /// Namespace of the first line that had one.
    first: OnceLock<String>,
    /// True once lines of a second namespace were written, so that each line has to name its own.
    several: AtomicBool,
}

impl TerminalFormat {
    pub(super) fn new(colour: bool) -> TerminalFormat {
        TerminalFormat {
            zone: TimeZone::system(),
            colour,
            first: OnceLock::new(),
            several: AtomicBool::new(false),
        }
    }

    /// True if the line has to name its namespace, because lines of several are written.
    fn names_namespace(&self, netns: &str) -> bool {
        if !netns.is_empty() && self.first.get_or_init(|| netns.to_owned()) != netns {
            self.several.store(true, Relaxed);
        }
        !netns.is_empty() && self.several.load(Relaxed)
    }
}

impl<S, N> FormatEvent<S, N> for TerminalFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let (word, code) = word(*event.metadata().level());
        let (on, off) = if self.colour && !code.is_empty() { (code, "\x1b[0m") } else { ("", "") };
        let time = queue::event_time().to_zoned(self.zone.clone()).strftime("%H:%M:%S");
        write!(to, "{time}  {on}{word:<7}{off}  ")?;
        if self.names_namespace(&line.netns) {
            write!(to, "{}: ", line.netns)?;
        }
        writeln!(to, "{}{}", line.message, line.rest)
    }
}

fn word(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::ERROR => ("error", "\x1b[1;31m"),
        Level::WARN => ("warning", "\x1b[1;33m"),
        Level::INFO => ("info", ""),
        Level::DEBUG => ("debug", "\x1b[2m"),
        Level::TRACE => ("trace", "\x1b[2m"),
    }
}

/// Parts of a line, without control characters.
#[derive(Default)]
struct Line {
    message: String,
    netns: String,
    /// Fields that the sentence does not contain: `: No such file`, ` (socket /run/x.sock)`.
    rest: String,
}

impl Line {
    fn put(&mut self, field: &Field, value: &str) {
        let value: String = value.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        // Writing into memory does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            "netns" => write!(self.netns, "{value}"),
            "error" => write!(self.rest, ": {value}"),
            name if OMITTED.contains(&name) => Ok(()),
            name => write!(self.rest, " ({name} {value})"),
        };
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}
