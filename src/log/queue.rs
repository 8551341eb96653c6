//! The queue of log lines between the threads that log and the one that writes.
//!
//! A reader of standard error that does not read, and a journald that is stopped, block write(2) and sendto(2) for any
//! length of time. So events are kept as they were recorded, in a bounded queue, and one thread formats and writes
//! them. If the queue is full, the newest are dropped and counted.
//!
//! `tracing_appender::non_blocking` does not fit: it carries bytes for a writer, which `tracing_journald` cannot use,
//! and its guard reports on standard error that it could not finish, which blocks there for ever.

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

/// Largest number of queued lines.
const MOST_LINES: usize = 1024;
/// Largest number of queued bytes of text: a reason in the journal has up to 16 KiB.
const MOST_BYTES: usize = 1024 * 1024;
/// Largest number of fields kept of one event; the agent's events have ten at most.
const MOST_FIELDS: usize = 32;
/// Longest wait at the end of the process for lines that are queued.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Interval between reports of dropped lines while the queue never runs empty.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

static DROPPED: AtomicU64 = AtomicU64::new(0);
static QUEUED_BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Time of the event that this thread is writing.
    static EVENT_TIME: Cell<Option<Timestamp>> = const { Cell::new(None) };
}

/// Returns the number of lines of this process that were dropped because earlier lines were not read in time.
pub fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

enum Item {
    Event(Box<Recorded>),
    /// Flush request; the sender is dropped once every line before it is written.
    Flush(SyncSender<()>),
}

/// Layer that puts events into the queue.
pub(super) struct QueueLayer(SyncSender<Item>);

/// Receiving end of the queue, before the writing thread starts.
pub(super) struct QueueReader(Receiver<Item>);

/// Lines that are queued. Dropping it waits until they are written, for half a second at most.
#[derive(Default)]
pub struct Pending(Option<SyncSender<Item>>);

/// Creates a queue, and returns its two ends.
pub(super) fn queue() -> (QueueLayer, QueueReader) {
    let (send, receive) = sync_channel(MOST_LINES);
    (QueueLayer(send), QueueReader(receive))
}

impl QueueLayer {
    /// Returns a handle whose drop waits for the queued lines.
    pub(super) fn pending(&self) -> Pending {
        Pending(Some(self.0.clone()))
    }
}

impl<S: Subscriber> Layer<S> for QueueLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let recorded = Recorded::new(event);
        let bytes = recorded.bytes();
        if QUEUED_BYTES.fetch_add(bytes, Relaxed) < MOST_BYTES
            && self.0.try_send(Item::Event(recorded)).is_ok()
        {
            return;
        }
        QUEUED_BYTES.fetch_sub(bytes, Relaxed);
        DROPPED.fetch_add(1, Relaxed);
    }
}

impl QueueReader {
    /// Starts the thread that writes to `output`. If it cannot be started (no memory, no process left), all lines count
    /// as dropped.
    pub(super) fn write_to(self, output: impl Subscriber + Send) {
        let _ = thread::Builder::new().name("log".into()).spawn(move || self.run(&output));
    }

    fn run(self, output: &impl Subscriber) {
        let (mut reported, mut reported_at) = (0, Instant::now());
        let mut waiting = None;
        loop {
            let item = match self.0.try_recv() {
                Ok(item) => {
                    if reported_at.elapsed() >= REPORT_INTERVAL {
                        report_dropped(&mut reported);
                        reported_at = Instant::now();
                    }
                    item
                }
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    if report_dropped(&mut reported) {
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

/// Queues a line on the number of dropped lines, if it has grown since the last report. If that line is dropped too,
/// the report is tried again. Returns true if there was something to report.
fn report_dropped(reported: &mut u64) -> bool {
    let dropped = dropped();
    let new = dropped > *reported;
    if new {
        tracing::warn!(
            "{dropped} log lines have been dropped so far: those before them were not read in time"
        );
        if self::dropped() == dropped {
            *reported = dropped;
        }
    }
    new
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(lines) = self.0.take() else { return };
        let until = Instant::now() + DRAIN_TIMEOUT;
        // No value is sent on this channel: its sending end is dropped once all lines are written.
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

/// Returns the time of the event that is being written, which may have waited in the queue.
pub(super) fn event_time() -> Timestamp {
    EVENT_TIME.get().unwrap_or_else(Timestamp::now)
}

/// Writes the time of the event in UTC.
pub(super) struct EventTime;

impl FormatTime for EventTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", event_time().strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    }
}

/// An event that outlives the call in which it was recorded.
struct Recorded {
    at: Timestamp,
    metadata: &'static Metadata<'static>,
    fields: Vec<(Field, FieldValue)>,
}

enum FieldValue {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
    /// Text from `Debug`.
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
        let text = |(_, kept): &(Field, FieldValue)| match kept {
            FieldValue::Text(text) | FieldValue::Debug(Verbatim(text)) => text.len(),
            _ => 0,
        };
        self.fields.iter().map(text).sum()
    }

    /// Passes the event to `output` as if it happened now on this thread, except for its time.
    fn write(&self, output: &impl Subscriber) {
        let debugs: Vec<_> = self.fields.iter().map(|(_, kept)| kept.as_debug()).collect();
        let mut values = self.fields.iter().zip(&debugs).map(|((field, kept), debug)| {
            let value: &dyn Value = match (kept, debug) {
                (FieldValue::Bool(value), _) => value,
                (FieldValue::I64(value), _) => value,
                (FieldValue::U64(value), _) => value,
                (FieldValue::F64(value), _) => value,
                (FieldValue::Text(value), _) => value,
                (FieldValue::Debug(_), debug) => debug,
            };
            (field, Some(value))
        });
        let Some(first) = values.next() else { return };
        let mut set: [(&Field, Option<&dyn Value>); MOST_FIELDS] = [(first.0, None); MOST_FIELDS];
        set[0] = first;
        set[1..].iter_mut().zip(values).for_each(|(slot, value)| *slot = value);
        EVENT_TIME.set(Some(self.at));
        let values = self.metadata.fields().value_set(&set);
        let event = Event::new(self.metadata, &values);
        if output.event_enabled(&event) {
            output.event(&event);
        }
        EVENT_TIME.set(None);
    }

    fn keep(&mut self, field: &Field, kept: FieldValue) {
        if self.fields.len() < MOST_FIELDS {
            self.fields.push((field.clone(), kept));
        }
    }
}

impl FieldValue {
    fn as_debug(&self) -> Option<field::DebugValue<&Verbatim>> {
        match self {
            FieldValue::Debug(text) => Some(field::debug(text)),
            _ => None,
        }
    }
}

impl Visit for Recorded {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, FieldValue::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, FieldValue::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, FieldValue::U64(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, FieldValue::F64(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, FieldValue::Text(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, FieldValue::Debug(Verbatim(format!("{value:?}"))));
    }
}
