//! The entries of one source: their texts, their order, and the cursor. Pure.

use std::cmp::Ordering;
use std::net::IpAddr;

use ratatui::crossterm::event::KeyCode;

use super::arrange::Name;
use super::ask::{Ask, after};
use super::cursor::Cursor;
use crate::cli::render::entry;
use crate::cli::render::quantity::UNKNOWN;
use crate::core::model::{Class, Entry, EntryId, IdleText, ShortDuration, Verdict};

/// Largest number of entries that are kept, the first ones in the order asked for: more than an operator scrolls
/// through.
pub const MOST_ROWS: usize = 1000;

/// Keys that connections are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum By {
    /// Certain idle time, the longest first.
    #[default]
    Idle,
    /// Time left until the entry expires, the longest first.
    Left,
    /// Destination address and port, in ascending order.
    Destination,
}

impl By {
    const ALL: [By; 3] = [By::Idle, By::Left, By::Destination];

    /// Returns the order in words, for a title.
    pub fn words(self, reversed: bool) -> &'static str {
        match (self, reversed) {
            (By::Idle, false) => "longest idle first",
            (By::Idle, true) => "shortest idle first",
            (By::Left, false) => "most time left first",
            (By::Left, true) => "least time left first",
            (By::Destination, false) => "by destination",
            (By::Destination, true) => "by destination, reversed",
        }
    }
}

/// Source whose connections are shown, and their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
    /// Source and zone of the connections.
    pub of: Name,
    /// Key that they are sorted by.
    pub by: By,
    /// True if the order is reversed. An unknown value comes last either way.
    pub reversed: bool,
}

impl Order {
    fn compare(&self, a: &Connection, b: &Connection) -> Ordering {
        let greatest_first = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) => self.in_direction(b.cmp(&a)),
            // An unknown value comes last.
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        let first = match self.by {
            By::Idle => greatest_first(a.idle_seconds, b.idle_seconds),
            By::Left => greatest_first(a.left_seconds, b.left_seconds),
            By::Destination => self.in_direction(a.destination.cmp(&b.destination)),
        };
        first.then_with(|| a.destination.cmp(&b.destination)).then_with(|| a.port.cmp(&b.port))
    }

    fn in_direction(&self, ordering: Ordering) -> Ordering {
        if self.reversed { ordering.reverse() } else { ordering }
    }

    /// Sorts connections, and keeps the first [`MOST_ROWS`].
    pub fn sort(&self, rows: &mut Vec<Connection>) {
        rows.sort_by(|a, b| self.compare(a, b));
        rows.truncate(MOST_ROWS);
    }
}

/// One connection with the texts that are shown.
#[derive(Clone, PartialEq, Debug)]
pub struct Connection {
    id: EntryId,
    destination: (IpAddr, Option<u16>),
    /// Source port; `None` if the protocol has no ports.
    port: Option<u16>,
    /// Lower bound of the certain idle time in seconds; `None` if nothing is certain.
    pub idle_seconds: Option<u32>,
    /// True if the idle time is exact.
    exact: bool,
    /// Time left in seconds (`CTA_TIMEOUT`); `None` if the kernel sent none.
    pub left_seconds: Option<u32>,
    /// Name of the protocol, or its number.
    pub protocol: String,
    /// State of TCP; for other protocols assured, replied or unreplied.
    pub state: &'static str,
    /// Destination as the client addressed it, before DNAT.
    pub to: String,
    /// Class of the entry; `None` if it is of no class.
    pub class: Option<Class>,
    /// Sentence on what would happen to the entry under pressure, with the reason.
    pub verdict: String,
    /// Line that `list` prints for the entry.
    pub details: String,
}

impl Connection {
    /// Builds the connection of an entry.
    pub fn new(entry: &Entry, verdict: &Verdict) -> Self {
        let mut details = Vec::new();
        // Writing into memory does not fail.
        let _ = entry::write(&mut details, entry, verdict);
        Connection {
            id: EntryId::from(entry),
            destination: (entry.original.destination, entry.original.destination_port()),
            port: entry.original.source_port(),
            idle_seconds: verdict.idle_seconds,
            exact: verdict.exact,
            left_seconds: entry.timeout_seconds,
            protocol: entry::protocol(entry),
            state: entry::state(entry),
            to: entry::destination(&entry.original),
            class: verdict.class,
            verdict: verdict.to_string(),
            details: String::from_utf8_lossy(&details).trim_end().to_string(),
        }
    }

    /// Returns the source port as text, `-` if there is none.
    pub fn port(&self) -> String {
        self.port.map_or_else(|| UNKNOWN.into(), |port| port.to_string())
    }

    /// Returns the time left as text, `-` if it is unknown.
    pub fn left(&self) -> String {
        short(self.left_seconds)
    }

    /// Returns the certain idle time as text.
    pub fn idle(&self) -> String {
        IdleText { seconds: self.idle_seconds, exact: self.exact }.to_string()
    }
}

fn short(seconds: Option<u32>) -> String {
    seconds.map_or_else(|| UNKNOWN.into(), |seconds| ShortDuration::rough(seconds).to_string())
}

/// Result of one reading of a source's connections.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    /// Source and order that were asked for.
    pub of: Order,
    /// First connections in that order, at most [`MOST_ROWS`].
    pub rows: Vec<Connection>,
    /// Number of all connections that match.
    pub total: u64,
    /// Duration of the reading in seconds.
    pub seconds: f64,
}

/// The connections of one source on the screen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Connections {
    order: Order,
    /// Last reading; `None` before the first.
    pub read: Option<Read>,
    /// True from the key that asks for a reading until it arrives.
    pub awaited: bool,
    /// Cursor in the list of connections.
    pub cursor: Cursor,
}

impl Connections {
    /// Starts with the connections of this source; nothing is read yet.
    pub fn new(of: Name) -> Self {
        Connections { order: Order { of, ..Order::default() }, awaited: true, ..Connections::default() }
    }

    /// Returns the source and order to read.
    pub fn order(&self) -> Order {
        self.order.clone()
    }

    /// Returns the connections that were read.
    pub fn rows(&self) -> &[Connection] {
        self.read.as_ref().map_or(&[], |read| &read.rows)
    }

    /// Returns the connection under the cursor.
    pub fn selected(&self) -> Option<&Connection> {
        self.rows().get(self.cursor.selected)
    }

    /// Shows a new reading. The cursor stays on its connection, or on the first line if it was there.
    pub fn take(&mut self, read: Read) {
        let selected = self.selected().filter(|_| self.cursor.selected > 0).map(|connection| connection.id);
        let found = selected.and_then(|id| read.rows.iter().position(|connection| connection.id == id));
        let last = read.rows.len().saturating_sub(1);
        self.cursor.selected = found.unwrap_or(self.cursor.selected).min(last);
        (self.read, self.awaited) = (Some(read), false);
    }

    /// Drops the reading, because the filters changed.
    pub fn forget(&mut self) {
        (self.read, self.awaited) = (None, true);
        self.cursor.go_to_top();
    }

    /// Sorts by the next key.
    pub fn sort_by_next(&mut self) -> Ask {
        self.order.by = after(&By::ALL, &self.order.by);
        self.sorted()
    }

    /// Reverses the order.
    pub fn reverse(&mut self) -> Ask {
        self.order.reversed = !self.order.reversed;
        self.sorted()
    }

    /// Sorts the rows that were read at once, and asks for a new reading: rows that were not kept may come first now.
    fn sorted(&mut self) -> Ask {
        if let Some(read) = &mut self.read {
            read.of = self.order.clone();
            self.order.sort(&mut read.rows);
        }
        self.awaited = true;
        self.cursor.go_to_top();
        Ask::Connections
    }

    /// Moves the cursor as the key says.
    pub fn walk(&mut self, key: KeyCode) {
        self.cursor.walk(key, self.rows().len());
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
