//! Threads that gather what is shown, and the messages that they send.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals;

use super::arrange::{Arrangement, arrange};
use super::message::{IDLE_SHARE, Message};
use super::model::{Listing, Model};
use super::reading::{ReadRequest, read_connections};
use super::screen;
use crate::cli::place::Place;
use crate::cli::ranking_query::{LISTEN, RankingQuery};
use crate::cli::reach::{self, NoAnswer};
use crate::cli::render::quantity::took;
use crate::core::model::{Filters, Question, Ranking, SortBy, StatusDocument};
use crate::direct::Meter;
use crate::error::{Error, Result};

/// Interval between two looks at usage.
const USAGE_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest interval between two counts of sources.
const SOURCES_INTERVAL: Duration = Duration::from_secs(2);

/// Largest number of sources asked for if they are not folded: more than an operator scrolls through.
const MOST_SOURCES: usize = 1000;
/// Longest wait for the last drawing after a signal: a terminal that takes no more output must not keep the process.
const LAST_OUTPUT_TIMEOUT: Duration = Duration::from_secs(2);

/// Signals that would end the process at once and leave the terminal as it is. Signals of a fault in the process
/// (SIGSEGV) are not among them: it cannot go on after those.
const FATAL_SIGNALS: [i32; 13] = [
    SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGXCPU, SIGXFSZ, SIGVTALRM,
    SIGPROF, SIGIO,
];

/// A message to the thread that arranges.
enum ArrangeMessage {
    Table(Arc<Ranking>, String),
    How(Arrangement),
}

/// Senders to the gathering threads.
pub struct Gatherers {
    messages: Sender<Message>,
    query: Sender<RankingQuery>,
    arranging: Sender<ArrangeMessage>,
    connecting: Sender<Option<ReadRequest>>,
}

impl Gatherers {
    /// Starts all threads but the one that takes keys.
    ///
    /// # Errors
    /// Exit 3 if threads or signals are not available.
    pub fn start(place: Arc<Place>, model: &Model) -> Result<(Gatherers, Receiver<Message>)> {
        let (messages, received) = channel();
        let (query, asked) = channel();
        let (arranging, arranged) = channel();
        let (connecting, connected) = channel();
        let gatherers =
            Gatherers { messages: messages.clone(), query, arranging: arranging.clone(), connecting };
        gatherers.arrange(&model.how);
        gatherers.read(&model.how, &model.filters);
        let signals = Signals::new(FATAL_SIGNALS.iter().chain(&[SIGTSTP]));
        let signals = signals.map_err(|error| Error::unreachable("signals", error))?;
        let out = messages.clone();
        spawn("signals", move || watch_signals(signals, &out))?;
        let (out, at) = (messages.clone(), place.clone());
        spawn("usage", move || watch_usage(&at, &out))?;
        let (out, at) = (messages.clone(), place.clone());
        spawn("connections", move || read_connections(&at, &connected, &out))?;
        let out = messages.clone();
        spawn("sources", move || count_sources(&place, &asked, &arranging, &out))?;
        spawn("arrange", move || arrange_sources(&arranged, &messages))?;
        Ok((gatherers, received))
    }

    /// Starts the thread that takes keys, once the terminal is in raw mode.
    ///
    /// # Errors
    /// Exit 3 if the thread cannot be started.
    pub fn take_keys(&self) -> Result<()> {
        let out = self.messages.clone();
        spawn("keys", move || {
            loop {
                let message = match event::read() {
                    Ok(Event::Key(key)) => Message::Key(key),
                    Ok(Event::Resize(..)) => Message::Redraw,
                    Ok(_) => continue,
                    Err(_) => Message::End,
                };
                let end = matches!(message, Message::End);
                if out.send(message).is_err() || end {
                    return;
                }
            }
        })
    }

    /// Returns a sender of messages to the thread that draws.
    pub fn sender(&self) -> Sender<Message> {
        self.messages.clone()
    }

    /// Asks for the last counts in another arrangement.
    pub fn arrange(&self, how: &Arrangement) {
        let _ = self.arranging.send(ArrangeMessage::How(how.clone()));
    }

    /// Asks for new counts at once.
    pub fn read(&self, how: &Arrangement, filters: &Filters) {
        // Prefixes are summed over every source, and the least are known only if all sources are.
        let limit = if how.prefix.is_some() || how.reversed { 0 } else { MOST_SOURCES };
        let question = Question { rank: how.rank, limit, ..Question::default() };
        let _ = self.query.send(RankingQuery { question, filters: filters.clone(), direct: false });
    }

    /// Asks to read the entries of the shown source repeatedly, or to stop if no source's connections are shown.
    pub fn connect(&self, model: &Model) {
        let wanted = |order| ReadRequest { order, filters: model.filters.clone() };
        let _ = self.connecting.send(model.connections.as_ref().map(|shown| wanted(shown.order())));
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(work);
    spawned.map(drop).map_err(|error| Error::unreachable("top", error))
}

/// Forwards SIGTSTP, and ends the process at any other signal.
fn watch_signals(mut signals: Signals, out: &Sender<Message>) {
    for signal in &mut signals {
        if signal != SIGTSTP {
            break;
        }
        let _ = out.send(Message::Pause);
    }
    let _ = out.send(Message::End);
    // The drawing thread may be blocked on a terminal that takes no more output.
    std::thread::sleep(LAST_OUTPUT_TIMEOUT);
    screen::restore();
    std::process::exit(0);
}

/// Sends usage every second, from the agent or else from the kernel.
fn watch_usage(place: &Place, out: &Sender<Message>) {
    let started = Instant::now();
    let mut meter: Option<Meter<'_>> = None;
    let mut growth = Growth::default();
    loop {
        let asked = reach::asked(&place.socket, place.target.netns(), |client| client.status());
        let read = match asked {
            Ok(status) => Ok((status, None)),
            Err(without) => by_meter(place, &mut meter)
                .map(|status| (growth.fill(started.elapsed(), status), Some(without.to_string()))),
        };
        let second = started.elapsed().as_secs();
        let message = match read {
            Ok((status, without)) => Message::Status { second, status: Box::new(status), without },
            Err(error) => {
                meter = None;
                Message::Trouble(error.to_string())
            }
        };
        if out.send(message).is_err() {
            return;
        }
        std::thread::sleep(USAGE_INTERVAL);
    }
}

fn by_meter<'a>(place: &'a Place, meter: &mut Option<Meter<'a>>) -> Result<StatusDocument> {
    if meter.is_none() {
        *meter = Some(Meter::open(&place.target, &place.settings)?);
    }
    meter.as_mut().map_or_else(|| Err(Error::unreachable("top", "no meter")), Meter::read)
}

/// Growth of the table without an agent, from the looks of the last seconds.
#[derive(Default)]
struct Growth {
    looks: VecDeque<(f64, u64)>,
}

impl Growth {
    const LOOKS: usize = 10;

    fn fill(&mut self, at: Duration, mut status: StatusDocument) -> StatusDocument {
        let now = at.as_secs_f64();
        if let Some((then, entries)) = self.looks.front().filter(|(then, _)| now - then >= 1.0) {
            let per_second = (status.entries as f64 - *entries as f64) / (now - then);
            status.net_growth_per_second = Some(per_second);
            let left = status.limit.saturating_sub(status.entries) as f64;
            // At less than one entry in ten seconds the time until the table is full is too long to matter.
            let is_full = status.limit > 0 && status.entries >= status.limit;
            status.seconds_to_full = match is_full {
                true => Some(0.0),
                false => (per_second >= 0.1).then_some(left / per_second),
            };
        }
        self.looks.push_back((now, status.entries));
        while self.looks.len() > Self::LOOKS {
            self.looks.pop_front();
        }
        status
    }
}

/// Counts sources when asked, and again after a while.
fn count_sources(
    place: &Place,
    asked: &Receiver<RankingQuery>,
    arranging: &Sender<ArrangeMessage>,
    out: &Sender<Message>,
) {
    let Ok(mut query) = asked.recv() else { return };
    loop {
        // Only the last of several questions is answered.
        query = asked.try_iter().last().unwrap_or(query);
        let began = Instant::now();
        let (counted, without) = match query.agent(place) {
            Ok(ranking) => (Ok(ranking), None),
            Err(without) => (query.kernel(place, LISTEN), Some(without)),
        };
        let cost = began.elapsed();
        let sent = match counted {
            Ok(ranking) => arranging
                .send(ArrangeMessage::Table(Arc::new(ranking), origin(without.as_ref(), cost)))
                .is_ok(),
            Err(error) => out.send(Message::Trouble(error.to_string())).is_ok(),
        };
        // Listening for new entries is waiting, not work.
        let listened = without.is_some() && query.question.rank == SortBy::New;
        let work = if listened { cost.saturating_sub(LISTEN) } else { cost };
        match asked.recv_timeout(SOURCES_INTERVAL.max(work.saturating_mul(IDLE_SHARE))) {
            _ if !sent => return,
            Ok(next) => query = next,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn origin(without: Option<&NoAnswer>, cost: Duration) -> String {
    match without {
        None => "counted by the agent".into(),
        Some(NoAnswer::NotKept(why)) => format!("from a dump ({}): {why}", took(cost.as_secs_f64())),
        Some(_) => format!("from a dump ({})", took(cost.as_secs_f64())),
    }
}

/// Arranges the last counts whenever they or the arrangement change: with a million sources that takes a while.
fn arrange_sources(arranged: &Receiver<ArrangeMessage>, out: &Sender<Message>) {
    let mut table: Option<(Arc<Ranking>, String)> = None;
    let mut how = Arrangement::default();
    while let Ok(first) = arranged.recv() {
        for told in std::iter::once(first).chain(arranged.try_iter()) {
            match told {
                ArrangeMessage::Table(ranking, origin) => table = Some((ranking, origin)),
                ArrangeMessage::How(other) => how = other,
            }
        }
        let Some((ranking, origin)) = &table else { continue };
        let (lines, total) = arrange(&ranking.rows, ranking.entries, &how);
        let listing = Listing {
            lines,
            total: if how.prefix.is_some() { total } else { ranking.total },
            entries: ranking.entries,
            synced: ranking.synced,
            origin: origin.clone(),
        };
        if out.send(Message::Listing(how.clone(), Box::new(listing))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;

    #[test]
    fn growth_is_what_two_looks_show() {
        let mut growth = Growth::default();
        let mut look = |second: u64, entries: u64| {
            let status = StatusDocument {
                entries,
                limit: 1000,
                net_growth_per_second: None,
                seconds_to_full: None,
                ..canned::status()
            };
            let filled = growth.fill(Duration::from_secs(second), status);
            (filled.net_growth_per_second, filled.seconds_to_full)
        };
        assert_eq!(look(0, 100), (None, None));
        assert_eq!(look(1, 200), (Some(100.0), Some(8.0)));
        assert_eq!(look(2, 100), (Some(0.0), None));
        assert_eq!(look(4, 60), (Some(-10.0), None));
        assert_eq!(look(5, 1000).1, Some(0.0));
        assert_eq!(look(6, 1000).1, Some(0.0), "full, whatever it does now");
        for second in 5..30 {
            look(second, 500);
        }
        assert_eq!(look(30, 500), (Some(0.0), None), "what is long ago counts no more");
    }
}
