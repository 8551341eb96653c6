//! The thread that reads the entries of one source repeatedly, as long as they are shown.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::connections::{Connection, MOST_ROWS, Order, Read};
use super::message::{IDLE_SHARE, Message};
use crate::cli::place::Place;
use crate::cli::remembered::RememberedEntries;
use crate::core::model::{Entry, Filters, Verdict, network};
use crate::direct::{self, Sink};
use crate::error::{Error, Result};

/// Shortest interval between two readings.
const INTERVAL: Duration = Duration::from_secs(2);

/// Entries to read.
#[derive(Clone, PartialEq, Debug)]
pub struct ReadRequest {
    /// Source and order of the entries.
    pub order: Order,
    /// Filters that the entries must match.
    pub filters: Filters,
}

/// Reads what is `asked` for repeatedly until another request comes; waits for one if nothing is asked for.
pub fn read_connections(place: &Place, asked: &Receiver<Option<ReadRequest>>, out: &Sender<Message>) {
    let Ok(mut wanted) = asked.recv() else { return };
    loop {
        // Only the last of several requests is answered.
        wanted = asked.try_iter().last().unwrap_or(wanted);
        let next = match &wanted {
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(these) => {
                let began = Instant::now();
                let mut reading = Reading { asked, next: None, order: &these.order, rows: vec![], total: 0 };
                let read = reading.read(place, &these.filters);
                if let Some(next) = reading.next {
                    wanted = next;
                    continue;
                }
                let read = read.map(|()| reading.done(began.elapsed())).map_err(|error| error.to_string());
                if out.send(Message::Connections(Box::new(read))).is_err() {
                    return;
                }
                asked.recv_timeout(INTERVAL.max(began.elapsed().saturating_mul(IDLE_SHARE)))
            }
        };
        match next {
            Ok(next) => wanted = next,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// A reading under way.
struct Reading<'a> {
    asked: &'a Receiver<Option<ReadRequest>>,
    /// Request that came during the reading and replaces it.
    next: Option<Option<ReadRequest>>,
    order: &'a Order,
    rows: Vec<Connection>,
    total: u64,
}

impl Reading<'_> {
    /// Reads entries as `list` does: by identity where an agent remembers them, else by a walk of the table.
    fn read(&mut self, place: &Place, filters: &Filters) -> Result<()> {
        let (source, zone) = &self.order.of;
        let Some(net) = network(source) else {
            return Err(Error::usage("source", format!("{source} is no address")));
        };
        let filters = filters.of_source(net, *zone);
        let remembered = RememberedEntries::ask(place, &filters);
        let beside = place.beside_agent()?;
        let target = beside.as_ref().unwrap_or(&place.target);
        direct::list(target, &place.settings, &filters, remembered.known(), self).map(drop)
    }

    fn done(mut self, took: Duration) -> Read {
        self.order.sort(&mut self.rows);
        Read { of: self.order.clone(), rows: self.rows, total: self.total, seconds: took.as_secs_f64() }
    }
}

impl Sink<(&Entry, &Verdict)> for Reading<'_> {
    fn entry(&mut self, (entry, verdict): (&Entry, &Verdict)) {
        self.total += 1;
        self.rows.push(Connection::new(entry, verdict));
        if self.rows.len() >= 2 * MOST_ROWS {
            self.order.sort(&mut self.rows);
        }
    }

    fn breathe(&mut self) -> bool {
        self.next = self.asked.try_iter().last().or(self.next.take());
        self.next.is_none()
    }
}
