//! Lines for a person at a terminal: the time, how bad it is, a sentence.

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

/// Fields that the sentence says already, or that are for programs: the journal and JSON have them.
const SAID: [&str; 14] = [
    "achieved", "action", "class", "dry_run", "from", "id", "level", "message", "name", "netns", "restored",
    "to", "uid", "waiting",
];

/// The form of a line.
pub(super) struct Person {
    zone: TimeZone,
    colour: bool,
    /// The namespace of the first line that had one.
    first: OnceLock<String>,
    /// There are lines of another one too, so that each has to say which it is about.
    several: AtomicBool,
}

impl Person {
    pub(super) fn new(colour: bool) -> Person {
        Person { zone: TimeZone::system(), colour, first: OnceLock::new(), several: AtomicBool::new(false) }
    }

    /// The name of the namespace, where lines of more than one are written.
    fn which(&self, netns: &str) -> bool {
        if !netns.is_empty() && self.first.get_or_init(|| netns.to_owned()) != netns {
            self.several.store(true, Relaxed);
        }
        !netns.is_empty() && self.several.load(Relaxed)
    }
}

impl<S, N> FormatEvent<S, N> for Person
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let (word, code) = word(*event.metadata().level());
        let (on, off) = if self.colour && !code.is_empty() { (code, "\x1b[0m") } else { ("", "") };
        let time = queue::happened().to_zoned(self.zone.clone()).strftime("%H:%M:%S");
        write!(to, "{time}  {on}{word:<7}{off}  ")?;
        if self.which(&line.netns) {
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

/// What a line is made of; nothing of it drives the terminal.
#[derive(Default)]
struct Line {
    message: String,
    netns: String,
    /// What the sentence does not say: `: No such file`, ` (socket /run/x.sock)`.
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
            name if SAID.contains(&name) => Ok(()),
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
