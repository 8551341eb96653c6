//! Log lines on their way from the threads that have something to say to the one that writes them.
//!
//! A reader of standard error that does not read, and a journald that is stopped, block write(2) and sendto(2) for as
//! long as they like. So events are kept as they were recorded, in a bounded queue, and one thread formats and writes
//! them. Where the queue is full, the newest are dropped and counted.
//!
//! `tracing_appender::non_blocking` was not taken: it carries bytes for a writer, which is no use to
//! `tracing_journald`, and its guard says on standard error that it could not finish, which blocks there for ever.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, Value, field};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::Context;

/// Lines that may wait.
const LINES: usize = 1024;
/// Bytes of text that may wait: a reason in the journal has up to 16 KiB.
const BYTES: usize = 1024 * 1024;
/// Fields of one event that are kept; the agent's have ten at most.
const FIELDS: usize = 32;
/// How long the end of the process waits for what is queued.
const DRAIN: Duration = Duration::from_millis(500);
/// How often lines that were dropped are told of while the queue never runs empty.
const AGAIN: Duration = Duration::from_secs(10);

static DROPPED: AtomicU64 = AtomicU64::new(0);
static QUEUED_BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// When the event happened that this thread is writing.
    static HAPPENED: Cell<Option<Timestamp>> = const { Cell::new(None) };
}

/// Lines of this process that were dropped because nobody read those before them.
pub fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

enum Item {
    Event(Box<Recorded>),
    /// Dropped once everything before it is written.
    Flush(SyncSender<()>),
}

/// The layer that queues.
pub(super) struct Lines(SyncSender<Item>);

/// The other end, not read yet.
pub(super) struct Unwritten(Receiver<Item>);

/// What is queued. Dropping it waits until that is written, for half a second at most.
#[derive(Default)]
pub struct Pending(Option<SyncSender<Item>>);

/// Both ends.
pub(super) fn queue() -> (Lines, Unwritten) {
    let (send, receive) = sync_channel(LINES);
    (Lines(send), Unwritten(receive))
}

impl Lines {
    /// To wait on at the end of the process.
    pub(super) fn pending(&self) -> Pending {
        Pending(Some(self.0.clone()))
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let recorded = Recorded::new(event);
        let bytes = recorded.bytes();
        if QUEUED_BYTES.fetch_add(bytes, Relaxed) < BYTES && self.0.try_send(Item::Event(recorded)).is_ok() {
            return;
        }
        QUEUED_BYTES.fetch_sub(bytes, Relaxed);
        DROPPED.fetch_add(1, Relaxed);
    }
}

impl Unwritten {
    /// Starts the thread that writes to `output`. Without one (no memory, no process left) all lines count as dropped.
    pub(super) fn write_to(self, output: impl Subscriber + Send) {
        let _ = thread::Builder::new().name("log".into()).spawn(move || self.run(&output));
    }

    fn run(self, output: &impl Subscriber) {
        let (mut told, mut told_at) = (0, Instant::now());
        let mut waiting = None;
        loop {
            let item = match self.0.try_recv() {
                Ok(item) => {
                    if told_at.elapsed() >= AGAIN {
                        tell_dropped(&mut told);
                        told_at = Instant::now();
                    }
                    item
                }
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    if tell_dropped(&mut told) {
                        continue;
                    }
                    drop(waiting.take());
                    let Ok(item) = self.0.recv() else { return };
                    item
                }
            };
            match item {
                Item::Event(recorded) => {
                    QUEUED_BYTES.fetch_sub(recorded.bytes(), Relaxed);
                    recorded.write(output);
                }
                Item::Flush(done) => waiting = Some(done),
            }
        }
    }
}

/// Queues a line on the lines that were dropped, if there are more of them than it said last. One that is itself dropped
/// is tried again. True if there was something to say.
fn tell_dropped(told: &mut u64) -> bool {
    let dropped = dropped();
    let new = dropped > *told;
    if new {
        tracing::warn!(
            "{dropped} log lines have been dropped so far: those before them were not read in time"
        );
        if self::dropped() == dropped {
            *told = dropped;
        }
    }
    new
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(lines) = self.0.take() else { return };
        let until = Instant::now() + DRAIN;
        // Nothing is sent there: the other end goes when all is written.
        let (done, written) = sync_channel(0);
        let mut item = Item::Flush(done);
        loop {
            item = match lines.try_send(item) {
                Ok(()) => break,
                Err(TrySendError::Full(item)) if Instant::now() < until => item,
                Err(_) => return,
            };
            thread::sleep(Duration::from_millis(5));
        }
        let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// When the event happened that is written, which may have waited.
pub(super) fn happened() -> Timestamp {
    HAPPENED.get().unwrap_or_else(Timestamp::now)
}

/// That time, in UTC.
pub(super) struct Occurrence;

impl FormatTime for Occurrence {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", happened().strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    }
}

/// An event that outlives the call that it was recorded in.
struct Recorded {
    at: Timestamp,
    metadata: &'static Metadata<'static>,
    fields: Vec<(Field, Kept)>,
}

enum Kept {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
    /// What `Debug` made of it.
    Debug(Verbatim),
}

struct Verbatim(String);

impl fmt::Debug for Verbatim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Recorded {
    fn new(event: &Event<'_>) -> Box<Recorded> {
        let mut recorded =
            Box::new(Recorded { at: Timestamp::now(), metadata: event.metadata(), fields: Vec::new() });
        event.record(&mut *recorded);
        recorded
    }

    fn bytes(&self) -> usize {
        let text = |(_, kept): &(Field, Kept)| match kept {
            Kept::Text(text) | Kept::Debug(Verbatim(text)) => text.len(),
            _ => 0,
        };
        self.fields.iter().map(text).sum()
    }

    /// Lets `output` have the event as if it had happened here and now, but for its time.
    fn write(&self, output: &impl Subscriber) {
        let debugs: Vec<_> = self.fields.iter().map(|(_, kept)| kept.as_debug()).collect();
        let mut values = self.fields.iter().zip(&debugs).map(|((field, kept), debug)| {
            let value: &dyn Value = match (kept, debug) {
                (Kept::Bool(value), _) => value,
                (Kept::I64(value), _) => value,
                (Kept::U64(value), _) => value,
                (Kept::F64(value), _) => value,
                (Kept::Text(value), _) => value,
                (Kept::Debug(_), debug) => debug,
            };
            (field, Some(value))
        });
        let Some(first) = values.next() else { return };
        let mut set: [(&Field, Option<&dyn Value>); FIELDS] = [(first.0, None); FIELDS];
        set[0] = first;
        set[1..].iter_mut().zip(values).for_each(|(slot, value)| *slot = value);
        HAPPENED.set(Some(self.at));
        let values = self.metadata.fields().value_set(&set);
        let event = Event::new(self.metadata, &values);
        if output.event_enabled(&event) {
            output.event(&event);
        }
        HAPPENED.set(None);
    }

    fn keep(&mut self, field: &Field, kept: Kept) {
        if self.fields.len() < FIELDS {
            self.fields.push((field.clone(), kept));
        }
    }
}

impl Kept {
    fn as_debug(&self) -> Option<field::DebugValue<&Verbatim>> {
        match self {
            Kept::Debug(text) => Some(field::debug(text)),
            _ => None,
        }
    }
}

impl Visit for Recorded {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, Kept::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, Kept::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, Kept::U64(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, Kept::F64(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, Kept::Text(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, Kept::Debug(Verbatim(format!("{value:?}"))));
    }
}
