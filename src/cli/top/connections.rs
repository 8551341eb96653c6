//! The entries of one source: what is shown of each, in which order, under a cursor. Pure.

use std::cmp::Ordering;
use std::net::IpAddr;

use ratatui::crossterm::event::KeyCode;

use super::arrange::Name;
use super::cursor::Cursor;
use super::model::{Ask, after};
use crate::cli::render::entry;
use crate::cli::render::quantity::UNKNOWN;
use crate::model::{Class, Entry, EntryId, IdleText, ShortDuration, Verdict};

/// Entries that are kept, the first in the order that is asked for: nobody scrolls further.
pub const MOST_ROWS: usize = 1000;

/// What connections are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum By {
    /// How long they have been idle for certain, the longest first.
    #[default]
    Idle,
    /// The time left, the most first.
    Left,
    /// Destination address and port.
    Destination,
}

impl By {
    const ALL: [By; 3] = [By::Idle, By::Left, By::Destination];

    /// In words, for a title.
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

/// Which connections, and in which order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
    /// Their source, in its zone.
    pub of: Name,
    /// What they are sorted by.
    pub by: By,
    /// The other way round. What is not known comes last either way.
    pub reversed: bool,
}

impl Order {
    fn compare(&self, a: &Connection, b: &Connection) -> Ordering {
        let greatest_first = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) => self.turned(b.cmp(&a)),
            // None is the least.
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        let first = match self.by {
            By::Idle => greatest_first(a.idle_seconds, b.idle_seconds),
            By::Left => greatest_first(a.left_seconds, b.left_seconds),
            By::Destination => self.turned(a.destination.cmp(&b.destination)),
        };
        first.then_with(|| a.destination.cmp(&b.destination)).then_with(|| a.port.cmp(&b.port))
    }

    fn turned(&self, ordering: Ordering) -> Ordering {
        if self.reversed { ordering.reverse() } else { ordering }
    }

    /// Puts them in order, and keeps the first of them.
    pub fn sort(&self, rows: &mut Vec<Connection>) {
        rows.sort_by(|a, b| self.compare(a, b));
        rows.truncate(MOST_ROWS);
    }
}

/// One connection, as it is shown.
#[derive(Clone, PartialEq, Debug)]
pub struct Connection {
    id: EntryId,
    destination: (IpAddr, Option<u16>),
    /// Source port, where the protocol has ports.
    port: Option<u16>,
    /// Certain idleness, the least that it can be.
    pub idle_seconds: Option<u32>,
    /// That is exact.
    exact: bool,
    /// `CTA_TIMEOUT`.
    pub left_seconds: Option<u32>,
    /// Name or number.
    pub protocol: String,
    /// State of TCP, of all else whether it was answered.
    pub state: &'static str,
    /// The destination as the client addressed it.
    pub to: String,
    /// Its class.
    pub class: Option<Class>,
    /// What would become of it under pressure, and why.
    pub verdict: String,
    /// The line that `list` prints of it.
    pub details: String,
}

impl Connection {
    /// Of an entry.
    pub fn new(entry: &Entry, verdict: &Verdict) -> Self {
        let mut details = Vec::new();
        // Memory takes every line.
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

    /// Source port.
    pub fn port(&self) -> String {
        self.port.map_or_else(|| UNKNOWN.into(), |port| port.to_string())
    }

    /// The time left.
    pub fn left(&self) -> String {
        short(self.left_seconds)
    }

    /// How long it has been idle for certain.
    pub fn idle(&self) -> String {
        IdleText { seconds: self.idle_seconds, exact: self.exact }.to_string()
    }
}

fn short(seconds: Option<u32>) -> String {
    seconds.map_or_else(|| UNKNOWN.into(), |seconds| ShortDuration::rough(seconds).to_string())
}

/// Connections as they were read.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    /// Which, and in which order.
    pub of: Order,
    /// The first of them.
    pub rows: Vec<Connection>,
    /// How many there are.
    pub total: u64,
    /// How long it took to read them.
    pub seconds: f64,
}

/// The connections of one source on the screen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Connections {
    order: Order,
    /// As they were read last, if they were.
    pub read: Option<Read>,
    /// A key asked for them.
    pub awaited: bool,
    /// Where one is in the list.
    pub cursor: Cursor,
}

impl Connections {
    /// Of this source; nothing was read yet.
    pub fn of(of: Name) -> Self {
        Connections { order: Order { of, ..Order::default() }, awaited: true, ..Connections::default() }
    }

    /// What is to be read.
    pub fn order(&self) -> Order {
        self.order.clone()
    }

    /// What was read.
    pub fn rows(&self) -> &[Connection] {
        self.read.as_ref().map_or(&[], |read| &read.rows)
    }

    /// The connection under the cursor.
    pub fn selected(&self) -> Option<&Connection> {
        self.rows().get(self.cursor.selected)
    }

    /// Shows what was read; the cursor stays on its connection, and at the top at the top.
    pub fn take(&mut self, read: Read) {
        let selected = self.selected().filter(|_| self.cursor.selected > 0).map(|connection| connection.id);
        let found = selected.and_then(|id| read.rows.iter().position(|connection| connection.id == id));
        let last = read.rows.len().saturating_sub(1);
        self.cursor.selected = found.unwrap_or(self.cursor.selected).min(last);
        (self.read, self.awaited) = (Some(read), false);
    }

    /// Others are wanted than those that were read.
    pub fn forget(&mut self) {
        (self.read, self.awaited) = (None, true);
        self.cursor.go_to_top();
    }

    /// Sorts by what comes next.
    pub fn sort_by_next(&mut self) -> Ask {
        self.order.by = after(&By::ALL, &self.order.by);
        self.sorted()
    }

    /// Turns the order round.
    pub fn reverse(&mut self) -> Ask {
        self.order.reversed = !self.order.reversed;
        self.sorted()
    }

    /// What was read is sorted at once; of more than that, others may come first.
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
