//! The thread that reads the entries of one source again and again, as long as they are looked at.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::connections::{Connection, MOST_ROWS, Order, Read};
use super::gather::{IDLE_SHARE, Message};
use crate::cli::knowing::Knowing;
use crate::cli::place::Place;
use crate::error::{Error, Result};
use crate::model::{Entry, Filters, Verdict, network};
use crate::survey::{self, Sink};

/// How often they are read, where that is cheap.
const EVERY: Duration = Duration::from_secs(2);

/// Which entries are looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    /// Their source, and the order.
    pub order: Order,
    /// Those of its entries that are wanted.
    pub filters: Filters,
}

/// Reads what is `asked` for, until something else is; nothing where nothing is.
pub fn read_connections(place: &Place, asked: &Receiver<Option<Wanted>>, out: &Sender<Message>) {
    let Ok(mut wanted) = asked.recv() else { return };
    loop {
        // Of what was asked meanwhile only the last.
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
                asked.recv_timeout(EVERY.max(began.elapsed().saturating_mul(IDLE_SHARE)))
            }
        };
        match next {
            Ok(next) => wanted = next,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// One reading under way.
struct Reading<'a> {
    asked: &'a Receiver<Option<Wanted>>,
    /// What was asked for instead meanwhile.
    next: Option<Option<Wanted>>,
    order: &'a Order,
    rows: Vec<Connection>,
    total: u64,
}

impl Reading<'_> {
    /// As `list` reads them: from the agent's memory of which there are where it has one, else by walking the table.
    fn read(&mut self, place: &Place, filters: &Filters) -> Result<()> {
        let (source, zone) = &self.order.of;
        let Some(net) = network(source) else {
            return Err(Error::usage("source", format!("{source} is no address")));
        };
        let filters = filters.of_source(net, *zone);
        let knowing = Knowing::of(place, &filters);
        let beside = place.beside_agent()?;
        let target = beside.as_ref().unwrap_or(&place.target);
        survey::list(target, &place.settings, &filters, knowing.known(), self).map(drop)
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
