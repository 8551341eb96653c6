//! The agent's side: one task a connection, each with its bounds.
//!
//! A connection over the bounds is accepted, told `Busy` and closed at once, so that the backlog stays empty for
//! those who may come in.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::frame::Frames;
use super::schema::{self, Asked, Fault, HistoryPage, Request};
use super::{Call, Refusal, Reply, Service};

/// What a connection may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Length of a request.
    pub request_bytes: usize,
    /// Length of a reply; longer answers go out in pages or not at all.
    pub message_bytes: usize,
    /// Rows of a page.
    pub page_rows: usize,
    /// Connections at once.
    pub connections: usize,
    /// Of these, kept for those who may change things.
    pub connections_kept: usize,
    /// Connections at once of one user that may not change things.
    pub connections_per_uid: usize,
    /// Paged answers at once to one user: each holds its rows, a million of them at worst, until they are sent.
    pub paged_per_uid: usize,
    /// Between a reply and the first byte of the next request.
    pub idle: Duration,
    /// From the first byte of a request (or from the reply before it, where it was sent early) to its last.
    pub request: Duration,
    /// For the service to answer.
    pub answer: Duration,
    /// For the client to take one message.
    pub write: Duration,
    /// For the client to take all pages of an answer.
    pub pages: Duration,
    /// For answers under way when the agent stops.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_bytes: 64 << 10,
            message_bytes: 4 << 20,
            page_rows: 500,
            connections: 32,
            connections_kept: 8,
            connections_per_uid: 8,
            paged_per_uid: 2,
            idle: Duration::from_secs(30),
            request: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            write: Duration::from_secs(5),
            pages: Duration::from_secs(60),
            stop: Duration::from_secs(2),
        }
    }
}

/// Who sits at the other end of a connection (SO_PEERCRED: as of its connect()).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Peer {
    uid: u32,
    may_change: bool,
}

/// `DEFAULT_OVERFLOWUID`: what every user without a mapping looks like from inside a user namespace.
const OVERFLOW_UID: u32 = 65534;

impl Peer {
    /// uid 0 may, and so may the agent's own user: who can be that user can stop the agent anyway. Not where that
    /// uid is the one that strangers share.
    fn new(uid: u32, own_uid: u32) -> Self {
        Peer { uid, may_change: uid == 0 || (uid == own_uid && uid != OVERFLOW_UID) }
    }
}

/// Answers on `listener` until `stop` becomes true or its sender is gone. Returns when every connection has ended.
/// To be called on a runtime with I/O and time; never blocks it.
pub async fn serve(
    listener: UnixListener,
    service: Arc<dyn Service>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let own_uid = nix::unistd::geteuid().as_raw();
    let guests = Guests { limits: limits.clone(), seated: Arc::default() };
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            // Takes finished tasks out of the set; a panic in one ends that connection alone.
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, _)| Ok((stream.peer_cred()?.uid(), stream))) {
            Ok((uid, stream)) => {
                let peer = Peer::new(uid, own_uid);
                let Some(seat) = guests.seat(peer) else {
                    turn_away(&stream);
                    continue;
                };
                let frames = Frames::new(limits.request_bytes);
                let (service, limits) = (service.clone(), limits.clone());
                let connection = Connection { stream, frames, peer, seat, service, limits };
                tasks.spawn(connection.converse(stop.clone()));
            }
            // Out of descriptors, most likely: they come back as connections end, and a busy loop helps nobody.
            Err(error) => {
                tracing::warn!(%error, "control socket: accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(limits.stop, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Fits into the empty buffer of a new socket, and if not, the close says enough.
fn turn_away(stream: &UnixStream) {
    let refusal = Refusal::busy("too many connections").hint("ask again when others have been answered");
    let _ = stream.try_write(&schema::encode_fault(&refusal.into()));
}

/// Who is connected.
struct Guests {
    limits: Limits,
    seated: Arc<Mutex<HashMap<u32, Guest>>>,
}

struct Guest {
    connections: usize,
    paged: Arc<Semaphore>,
}

/// A connection's place, free again when dropped.
struct Seat {
    uid: u32,
    paged: Arc<Semaphore>,
    seated: Arc<Mutex<HashMap<u32, Guest>>>,
}

fn lock(seated: &Mutex<HashMap<u32, Guest>>) -> MutexGuard<'_, HashMap<u32, Guest>> {
    seated.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guests {
    fn seat(&self, peer: Peer) -> Option<Seat> {
        let mut seated = lock(&self.seated);
        let all: usize = seated.values().map(|guest| guest.connections).sum();
        let own = seated.get(&peer.uid).map_or(0, |guest| guest.connections);
        let limits = &self.limits;
        let free = match peer.may_change {
            true => all < limits.connections,
            false => {
                all < limits.connections.saturating_sub(limits.connections_kept)
                    && own < limits.connections_per_uid
            }
        };
        if !free {
            return None;
        }
        let paged = || Arc::new(Semaphore::new(limits.paged_per_uid));
        let guest = seated.entry(peer.uid).or_insert_with(|| Guest { connections: 0, paged: paged() });
        guest.connections += 1;
        Some(Seat { uid: peer.uid, paged: guest.paged.clone(), seated: self.seated.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seated = lock(&self.seated);
        if let Some(guest) = seated.get_mut(&self.uid) {
            guest.connections -= 1;
            if guest.connections == 0 {
                seated.remove(&self.uid);
            }
        }
    }
}

struct Connection {
    stream: UnixStream,
    frames: Frames,
    peer: Peer,
    seat: Seat,
    service: Arc<dyn Service>,
    limits: Limits,
}

impl Connection {
    async fn converse(mut self, mut stop: watch::Receiver<bool>) {
        let ended = loop {
            let message = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                message = self.next_message() => message,
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(error) => break error,
            };
            if let Err(error) = self.respond(&message).await {
                break error;
            }
        };
        tracing::debug!(uid = self.peer.uid, error = %ended, "control socket: connection closed");
    }

    /// The next request, or `None` at the end of the stream.
    async fn next_message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let now = Instant::now();
        let mut deadline = now + if self.frames.is_empty() { self.limits.idle } else { self.limits.request };
        let mut bytes = [0; 8192];
        loop {
            if let Some(message) = self.frames.take().map_err(|_| invalid("request too long"))? {
                return Ok(Some(message));
            }
            let count = timeout_at(deadline, self.stream.read(&mut bytes)).await??;
            if count == 0 {
                return Ok(None);
            }
            if self.frames.is_empty() {
                deadline = Instant::now() + self.limits.request;
            }
            self.frames.push(&bytes[..count]);
        }
    }

    /// Answers one request. An error is the end of the connection.
    async fn respond(&mut self, message: &[u8]) -> io::Result<()> {
        let Request { asked, more, oneway } = schema::decode(message).map_err(invalid)?;
        let answer = match asked {
            Ok(Asked::Info) => Ok(self.one(&schema::info())),
            Ok(Asked::Description(text)) => Ok(self.one(&serde_json::json!({ "description": text }))),
            Ok(Asked::Call(call)) => match self.ask(call).await {
                // The permit is held until the rows have gone.
                Ok((reply, _permit)) if more && !oneway => return self.send_pages(reply).await,
                Ok((reply, _permit)) => Ok(self.whole(&reply)),
                Err(refusal) => Err(refusal.into()),
            },
            Err(fault) => Err(fault),
        };
        match answer.and_then(|encoded| encoded) {
            _ if oneway => Ok(()),
            Ok(bytes) => self.send(&bytes).await,
            Err(fault) => self.send(&schema::encode_fault(&fault)).await,
        }
    }

    /// Has the service answer, if the peer may ask that.
    async fn ask(&self, call: Call) -> Result<(Reply, Option<OwnedSemaphorePermit>), Refusal> {
        if call.changes() && !self.peer.may_change {
            let message = format!("uid {} may look, but not change anything", self.peer.uid);
            return Err(Refusal::not_permitted(message).hint("run it as root"));
        }
        let (paged, wait) = (call.paged(), self.limits.answer);
        let asked = async {
            let permit = match paged {
                true => Some(self.seat.paged.clone().acquire_owned().await),
                false => None,
            };
            let reply = self.service.answer(call).await?;
            Ok((reply, permit.and_then(Result::ok)))
        };
        timeout(wait, asked).await.unwrap_or_else(|_| {
            let message = format!("the agent gave no answer within {} s", wait.as_secs_f64());
            Err(Refusal::busy(message).hint("ask again; if it stays so, see the agent's log"))
        })
    }

    fn one<T: serde::Serialize>(&self, parameters: &T) -> Result<Vec<u8>, Fault> {
        schema::encode_reply(parameters, false, self.limits.message_bytes).map_err(|_| too_long())
    }

    fn whole(&self, reply: &Reply) -> Result<Vec<u8>, Fault> {
        schema::encode_whole(reply, self.limits.message_bytes).map_err(|_| match reply {
            Reply::TopSources(_) | Reply::ManySources(..) | Reply::Entries(_) | Reply::History(_) => {
                Fault::ExpectedMore
            }
            _ => too_long(),
        })
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(self.limits.write, self.stream.write_all(bytes)).await?
    }

    async fn send_pages(&mut self, reply: Reply) -> io::Result<()> {
        match reply {
            Reply::TopSources(mut document) => {
                let rows = std::mem::take(&mut document.sources);
                let of = |range| rows.get(range).map_or_else(Vec::new, <[_]>::to_vec);
                self.send_rows(rows.len(), of, document, |document, rows| document.sources = rows).await
            }
            Reply::ManySources(document, rows) => {
                let of = |range| rows.of(range);
                self.send_rows(rows.len(), of, document, |document, rows| document.sources = rows).await
            }
            Reply::Entries(mut document) => {
                let rows = std::mem::take(&mut document.entries);
                let of = |range| rows.get(range).map_or_else(Vec::new, <[_]>::to_vec);
                self.send_rows(rows.len(), of, document, |document, rows| document.entries = rows).await
            }
            Reply::History(rows) => {
                let page = HistoryPage { records: Vec::new() };
                let of = |range| rows.get(range).map_or_else(Vec::new, <[_]>::to_vec);
                self.send_rows(rows.len(), of, page, |page, rows| page.records = rows).await
            }
            whole => {
                let bytes = self.whole(&whole).unwrap_or_else(|fault| schema::encode_fault(&fault));
                self.send(&bytes).await
            }
        }
    }

    /// Sends all of so many rows, each page a copy of `document` with its slice of them.
    async fn send_rows<D: serde::Serialize, R>(
        &mut self,
        rows: usize,
        of: impl Fn(Range<usize>) -> Vec<R>,
        mut document: D,
        put: fn(&mut D, Vec<R>),
    ) -> io::Result<()> {
        let deadline = Instant::now() + self.limits.pages;
        let mut size = self.limits.page_rows.max(1);
        let mut sent = 0;
        loop {
            let page = sent..rows.min(sent + size);
            let last = page.end == rows;
            put(&mut document, of(page.clone()));
            match schema::encode_reply(&document, !last, self.limits.message_bytes) {
                Ok(bytes) => timeout_at(deadline, self.send(&bytes)).await??,
                Err(_) if page.len() > 1 => {
                    size = page.len() / 2;
                    continue;
                }
                Err(_) => return self.send(&schema::encode_fault(&too_long())).await,
            }
            if last {
                return Ok(());
            }
            sent += page.len();
            // A reader that keeps up must not keep the thread from the others.
            tokio::task::yield_now().await;
        }
    }
}

fn too_long() -> Fault {
    Refusal::failed("the answer does not fit into one message").hint("ask for fewer rows").into()
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_change() {
        assert!(Peer::new(0, 0).may_change);
        assert!(Peer::new(0, 900).may_change);
        assert!(Peer::new(900, 900).may_change);
        assert!(!Peer::new(1000, 0).may_change);
        assert!(!Peer::new(1000, 900).may_change);
        assert!(!Peer::new(OVERFLOW_UID, OVERFLOW_UID).may_change);
    }

    #[test]
    fn seats_are_bounded_by_user_and_kept_for_root() {
        let limits =
            Limits { connections: 6, connections_kept: 2, connections_per_uid: 3, ..Limits::default() };
        let guests = Guests { limits, seated: Arc::default() };
        let seat = |uid| guests.seat(Peer::new(uid, 0));
        let mut held: Vec<Seat> = (0..3).filter_map(|_| seat(1000)).collect();
        assert_eq!(held.len(), 3);
        assert!(seat(1000).is_none(), "a user has three");
        held.extend(seat(1001));
        assert_eq!(held.len(), 4);
        assert!(seat(1002).is_none(), "the last two are root's");
        held.extend([seat(0), seat(0)].into_iter().flatten());
        assert_eq!(held.len(), 6);
        assert!(seat(0).is_none(), "all are taken");
        held.clear();
        assert!(lock(&guests.seated).is_empty(), "nothing is kept of who has left");
        assert!(seat(1000).is_some());
    }
}
