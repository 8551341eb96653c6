//! The client of the control socket, for the commands: blocking, with a bound on every wait and on every message.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::frame::Frames;
use super::schema::{self, DecodedReply, HistoryPage};
use super::socket::{ConnectError, dial};
use super::{Call, Refusal, RefusalKind};
use crate::core::model::{
    EntriesOfSource, EntryRow, HandFlush, JournalRecord, KnowledgeDocument, PlanDocument, Reloaded,
    RevertDocument, SnapshotDocument, SortBy, StatusDocument, TopSources,
};
use crate::error::{Error, Result};

/// Longest wait for one message of an answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to a call that changes something: the server allows 30 s.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(35);
/// Longest time without a call after which a connection is used again: the server closes it after 30 s.
const REUSE_LIMIT: Duration = Duration::from_secs(10);
/// Time during which a question is repeated to an agent that is busy. Places are free again within milliseconds, and
/// without the agent a command walks the whole table.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// First and longest pause between two tries.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];
/// Longest message that is accepted, in bytes.
const MOST_MESSAGE_BYTES: usize = 16 << 20;
/// Largest number of rows that an answer is joined from.
const MOST_ROWS: usize = 1 << 23;

/// A connection to the agent. After an error the next call connects again.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: Option<(UnixStream, Instant)>,
    /// Longest wait for one message of an answer to a question.
    patience: Duration,
}

#[derive(serde::Deserialize)]
struct Done {
    message: String,
}

/// End of a call that was sent.
enum Ended {
    Answered,
    /// The agent was busy before it sent any part of the answer.
    Busy(Refusal),
}

impl Client {
    /// Connects, waiting for at most 5 s.
    ///
    /// # Errors
    /// Tells apart that there is no agent, that this user may not ask it, and any other failure.
    pub fn connect(path: &Path) -> std::result::Result<Client, ConnectError> {
        let stream = dial(path)?;
        Ok(Client { path: path.into(), stream: Some((stream, Instant::now())), patience: REPLY_TIMEOUT })
    }

    /// Sets the longest wait for one message, for commands that can do without the answer.
    pub fn with_timeout(&mut self, patience: Duration) -> &mut Client {
        self.patience = patience;
        self
    }

    /// Asks for the status, with classes from a scan that is not too old.
    ///
    /// # Errors
    /// The agent refused (its own exit and hint), or it does not answer, or not in this interface: exit 3. All other
    /// calls fail in these ways too.
    pub fn status(&mut self) -> Result<StatusDocument> {
        self.one("status", &Call::GetStatus { look: true })
    }

    /// Asks for the status at no cost to the agent: classes may be missing, because no scan is made for it.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn status_without_scan(&mut self) -> Result<StatusDocument> {
        self.one("status", &Call::GetStatus { look: false })
    }

    /// Asks for the largest sources; a `limit` of 0 means all. An agent refuses a `rank` that it does not keep.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn top_sources(&mut self, limit: u64, rank: SortBy) -> Result<TopSources> {
        let call = Call::GetTopSources { limit, rank };
        self.joined("top-sources", &call, |page: &mut TopSources| &mut page.sources)
    }

    /// Asks for the entries of one source, in one zone if one is given. An agent that does not know all of them
    /// refuses.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn entries(&mut self, source: IpAddr, zone: Option<u16>) -> Result<EntriesOfSource> {
        let call = Call::GetEntries { source, zone };
        self.joined("entries", &call, |page: &mut EntriesOfSource| &mut page.entries)
    }

    /// Asks what the agent knows of these entries, at most [`KnowledgeDocument::MOST`]; an empty list asks for the
    /// facts that hold for all entries.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn knowledge(&mut self, entries: Vec<EntryRow>) -> Result<KnowledgeDocument> {
        self.one("knowledge", &Call::GetKnowledge { entries })
    }

    /// Asks what the policy would do now.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn plan(&mut self) -> Result<PlanDocument> {
        self.one("plan", &Call::GetPlan)
    }

    /// Asks for all that a plan is made from (`plan --snapshot`).
    ///
    /// # Errors
    /// Those of `status`.
    pub fn snapshot(&mut self) -> Result<SnapshotDocument> {
        self.one("plan", &Call::GetSnapshot)
    }

    /// Asks for journal records, oldest first; a `limit` of 0 means all, `since` is RFC 3339.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn history(&mut self, limit: u64, since: Option<String>) -> Result<Vec<JournalRecord>> {
        let mut whole = Vec::new();
        self.pages("history", &Call::GetHistory { limit, since }, |page: HistoryPage| {
            whole.extend(page.records);
            whole.len()
        })?;
        Ok(whole)
    }

    /// Makes the agent change nothing for `seconds`, or until `resume`. Returns its answer.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn pause(&mut self, seconds: Option<f64>) -> Result<String> {
        self.one("pause", &Call::Pause { seconds }).map(|done: Done| done.message)
    }

    /// Makes the agent act again. Returns its answer.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn resume(&mut self) -> Result<String> {
        self.one("resume", &Call::Resume).map(|done: Done| done.message)
    }

    /// Makes the agent read its configuration again. Returns the changes.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn reload(&mut self) -> Result<Reloaded> {
        self.one("reload", &Call::Reload)
    }

    /// Makes the agent record in its journal a flush that an operator ran.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn tell_flush(&mut self, flush: HandFlush) -> Result<String> {
        self.one("flush", &Call::TellFlush(flush)).map(|done: Done| done.message)
    }

    /// Makes the agent put back what it changed.
    ///
    /// # Errors
    /// Those of `status`.
    pub fn revert(&mut self, force: bool) -> Result<RevertDocument> {
        self.one("revert", &Call::Revert { force })
    }

    fn one<T: DeserializeOwned>(&mut self, what: &str, call: &Call) -> Result<T> {
        let mut answer = None;
        self.exchange(what, call, |value, continues| {
            if continues {
                return Err(not_understood(what, "more replies than were asked for"));
            }
            answer = Some(parse(what, value)?);
            Ok(())
        })?;
        answer.ok_or_else(|| not_understood(what, "no reply"))
    }

    /// Returns the first page with the `rows` of all pages.
    fn joined<T: DeserializeOwned, R>(
        &mut self,
        what: &str,
        call: &Call,
        rows: fn(&mut T) -> &mut Vec<R>,
    ) -> Result<T> {
        let mut whole: Option<T> = None;
        self.pages(what, call, |mut page: T| match &mut whole {
            None => rows(whole.insert(page)).len(),
            Some(whole) => {
                rows(whole).append(rows(&mut page));
                rows(whole).len()
            }
        })?;
        whole.ok_or_else(|| not_understood(what, "no page"))
    }

    /// Passes each page to `join`, which returns the number of rows so far.
    fn pages<T: DeserializeOwned>(
        &mut self,
        what: &str,
        call: &Call,
        mut join: impl FnMut(T) -> usize,
    ) -> Result<()> {
        let mut rows = 0;
        self.exchange(what, call, |value, continues| {
            let before = std::mem::replace(&mut rows, join(parse(what, value)?));
            match continues && (rows == before || rows > MOST_ROWS) {
                true => Err(not_understood(what, "pages without end")),
                false => Ok(()),
            }
        })
    }

    /// Sends a call and passes on its replies, each with true if more follow. Repeats a question while the agent is
    /// busy.
    fn exchange(
        &mut self,
        what: &str,
        call: &Call,
        mut heard: impl FnMut(Value, bool) -> Result<()>,
    ) -> Result<()> {
        let ([mut pause, longest], started) = (RETRY_PAUSES, Instant::now());
        loop {
            match self.converse(what, call, &mut heard)? {
                Ended::Answered => return Ok(()),
                Ended::Busy(refusal) if call.changes() || started.elapsed() > BUSY_TIMEOUT => {
                    return Err(refused(what, refusal));
                }
                Ended::Busy(_) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(longest);
        }
    }

    fn converse(
        &mut self,
        what: &str,
        call: &Call,
        heard: &mut impl FnMut(Value, bool) -> Result<()>,
    ) -> Result<Ended> {
        let stream = match self.stream.take() {
            Some((stream, used)) if used.elapsed() < REUSE_LIMIT => stream,
            _ => dial(&self.path)?,
        };
        let mut inbox = Inbox { stream, frames: Frames::new(MOST_MESSAGE_BYTES) };
        let sent = inbox.send(&schema::encode_call(call));
        let mut first = true;
        loop {
            let wait = if call.changes() { CHANGE_TIMEOUT } else { self.patience };
            // A server that turned the connection away sent the reason before it closed it, so the reply is read first.
            let message = match inbox.receive(wait) {
                Ok(message) => message,
                Err(error) => return Err(no_reply(what, sent.as_ref().err().unwrap_or(&error))),
            };
            match schema::decode_reply(&message).map_err(|why| not_understood(what, why))? {
                DecodedReply::Parameters(value, continues) => {
                    heard(value, continues)?;
                    if continues {
                        first = false;
                        continue;
                    }
                    self.stream = Some((inbox.stream, Instant::now()));
                    return Ok(Ended::Answered);
                }
                DecodedReply::Refused(refusal) if refusal.kind == RefusalKind::Busy => match first {
                    true => return Ok(Ended::Busy(refusal)),
                    false => return Err(refused(what, refusal)),
                },
                DecodedReply::Refused(refusal) => {
                    self.stream = Some((inbox.stream, Instant::now()));
                    return Err(refused(what, refusal));
                }
                DecodedReply::Varlink(error, named) => {
                    return Err(Error::unreachable(
                        what,
                        format!("the agent answers {error} {named}").trim(),
                    )
                    .hint("agent and command are of different versions: restart the agent"));
                }
            }
        }
    }
}

fn parse<T: DeserializeOwned>(what: &str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| not_understood(what, error))
}

fn refused(what: &str, refusal: Refusal) -> Error {
    let Refusal { exit, message, hint, .. } = refusal;
    Error { exit, what: what.into(), why: message, hint }
}

fn not_understood(what: &str, why: impl std::fmt::Display) -> Error {
    Error::unreachable(what, format!("the agent's answer is not understood: {why}"))
        .hint("agent and command may be of different versions: restart the agent")
}

fn no_reply(what: &str, error: &io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "the agent does not answer in time".to_string()
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            "the agent closed the connection".to_string()
        }
        _ => format!("control socket: {error}"),
    };
    Error::unreachable(what, why).hint("see the agent's log, and whether it still runs")
}

struct Inbox {
    stream: UnixStream,
    frames: Frames,
}

impl Inbox {
    /// Writes a call. It is far smaller than a socket's buffer: one write takes it, or the server is stuck.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        self.stream.write_all(bytes)
    }

    /// Returns the next message, if it is complete within `wait`.
    fn receive(&mut self, wait: Duration) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + wait;
        let mut bytes = vec![0; 64 << 10];
        loop {
            let long = |_| io::Error::new(io::ErrorKind::InvalidData, "a message of more than 16 MiB");
            if let Some(message) = self.frames.take().map_err(long)? {
                return Ok(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.frames.push(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
