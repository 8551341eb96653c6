//! The server of the control socket: one task a connection, each with its bounds.
//!
//! A connection over the bounds is accepted, answered `Busy` and closed at once, so that the backlog stays empty for
//! users that may connect. Users that may not change anything get a bounded part of a core together, whatever they ask
//! and on any number of connections; answers are kept for a moment, so that a repeated question costs the other threads
//! nothing.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::cache::{self, AnswerCache};
use super::connections::{ConnectionLimiter, ConnectionPermit, Peer};
use super::frame::Frames;
use super::limits::Limits;
use super::schema::{self, Asked, Fault, HistoryPage, Request};
use super::share::{Account, Metered, thread_time};
use super::{Call, Caller, Refusal, Reply, Service};
use crate::core::model::{EntriesOfSource, TopSources};

/// Answers on `listener` until `stop` becomes true or its sender is gone. Returns when every connection has ended. To
/// be called on a runtime with I/O and time; never blocks it.
pub async fn serve(
    listener: UnixListener,
    service: Arc<dyn Service>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let own_uid = nix::unistd::geteuid().as_raw();
    let (limiter, answers) = (ConnectionLimiter::new(limits.clone()), Arc::new(AnswerCache::default()));
    let mut throttle = RefusalThrottle::default();
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            // Finished tasks leave the set here; a panic in one ends only its connection.
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, _)| Ok((stream.peer_cred()?, stream))) {
            Ok((who, stream)) => {
                let peer = Peer::new(who.uid(), own_uid).with_pid(who.pid());
                let before = thread_time();
                // accept(2) and the wakeup of poll before it cost about as much time again.
                let spent = || 2 * thread_time().saturating_sub(before);
                let Some(permit) = limiter.admit(peer) else {
                    refuse(stream);
                    throttle.refused(spent()).await;
                    continue;
                };
                let frames = Frames::new(limits.request_bytes);
                let (service, answers, limits) = (service.clone(), answers.clone(), limits.clone());
                let account = permit.account.clone();
                let connection = Connection { stream, frames, peer, permit, service, answers, limits };
                let conversation = connection.converse(stop.clone());
                match account {
                    Some(account) => {
                        account.charge(spent());
                        tasks.spawn(Metered::new(account, conversation))
                    }
                    None => tasks.spawn(conversation),
                };
            }
            // Most likely there are no descriptors left: they come back as connections end, and a busy loop would not
            // help.
            Err(error) => {
                tracing::warn!(%error, "control socket: accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(limits.stop, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Bound on the CPU time for connections that are refused one after the other.
#[derive(Default)]
struct RefusalThrottle {
    burst: Duration,
    last: Option<Instant>,
}

impl RefusalThrottle {
    /// CPU time that may be spent in one burst of refused connections.
    const BURST: Duration = Duration::from_millis(2);
    /// Length of the rest after a burst, as a multiple of the CPU time spent in it.
    const REST: u32 = 4;
    /// Time without a refused connection that ends a burst.
    const QUIET: Duration = Duration::from_millis(50);

    async fn refused(&mut self, spent: Duration) {
        let now = Instant::now();
        if self.last.replace(now).is_none_or(|last| now - last > Self::QUIET) {
            self.burst = Duration::ZERO;
        }
        self.burst += spent;
        if self.burst >= Self::BURST {
            sleep(self.burst * Self::REST).await;
            self.burst = Duration::ZERO;
        }
    }
}

/// Tells the client that there are too many connections. The message fits into the empty buffer of a new socket; if it
/// does not, the close says enough.
fn refuse(stream: UnixStream) {
    let refusal = Refusal::busy("too many connections").hint("ask again when others have been answered");
    let _ = stream.try_write(&schema::encode_fault(&refusal.into()));
}

struct Connection {
    stream: UnixStream,
    frames: Frames,
    peer: Peer,
    permit: ConnectionPermit,
    service: Arc<dyn Service>,
    answers: Arc<AnswerCache>,
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

    /// Returns the next request, or `None` at the end of the stream.
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

    /// Answers one request. An error ends the connection.
    async fn respond(&mut self, message: &[u8]) -> io::Result<()> {
        let Request { asked, more, oneway } = schema::decode(message).map_err(invalid)?;
        if let Some(wait) = self.permit.account.as_ref().map(Account::wait).filter(|wait| !wait.is_zero()) {
            // `Metered` has delayed this request already, for as long as a client waits.
            return match oneway {
                true => Ok(()),
                false => self.send(&schema::encode_fault(&self.overdrawn(wait).into())).await,
            };
        }
        let answer = match asked {
            Ok(Asked::Info) => Ok(self.one(&schema::info())),
            Ok(Asked::Description(text)) => Ok(self.one(&serde_json::json!({ "description": text }))),
            Ok(Asked::Call(call)) => match self.ask(call).await {
                // The permit is held until the rows are sent.
                Ok((reply, _permit)) if more && !oneway => return self.send_pages(&reply).await,
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

    fn overdrawn(&self, wait: Duration) -> Refusal {
        let message = format!("uid {} has had its share of the agent's time for now", self.peer.uid);
        Refusal::busy(message)
            .hint(format!("ask again in {:.0} s, and less often", wait.as_secs_f64().ceil()))
    }

    /// Asks the service, if the peer is allowed to make this call.
    async fn ask(&self, call: Call) -> Result<(Arc<Reply>, Option<OwnedSemaphorePermit>), Refusal> {
        if call.changes() && !self.peer.may_change {
            let message = format!("uid {} may look, but not change anything", self.peer.uid);
            return Err(Refusal::not_permitted(message).hint("run it as root"));
        }
        let patience = self.limits.answer;
        let permit = match call.paged() {
            true => match timeout(patience, self.permit.paged.clone().acquire_owned()).await {
                Ok(permit) => permit.ok(),
                Err(_) => return Err(cache::late(patience)),
            },
            false => None,
        };
        if call.changes() {
            let caller = Caller { uid: self.peer.uid, pid: self.peer.pid };
            let answer = cache::change(&self.service, call, caller, patience).await;
            self.answers.forget();
            return Ok((answer?, None));
        }
        // A user that may change things gets a new answer at once. A plan is the exception: it may need a scan of the
        // table.
        let keep = match self.peer.may_change && !matches!(call, Call::GetPlan | Call::GetSnapshot) {
            true => Duration::ZERO,
            false => self.limits.keep,
        };
        let (answer, took) = self.answers.ask(&self.service, call, keep, patience).await;
        if let Some(account) = &self.permit.account {
            // This is the time of other threads. They may have been busy with something else: one answer must not use
            // up more than the burst, which would refuse the next.
            account.charge(took.min(Duration::from_secs_f64(self.limits.share_per_uid.burst_seconds)));
        }
        Ok((answer?, permit))
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

    async fn send_pages(&mut self, reply: &Reply) -> io::Result<()> {
        match reply {
            Reply::TopSources(document) => {
                let rows = &document.sources;
                let of = |range| rows.get(range).map_or_else(Vec::new, <[_]>::to_vec);
                let page = TopSources { sources: Vec::new(), header: document.header.clone(), ..*document };
                self.send_rows(rows.len(), of, page, |document, rows| document.sources = rows).await
            }
            Reply::ManySources(document, rows) => {
                let of = |range| rows.of(range);
                self.send_rows(rows.len(), of, document.clone(), |document, rows| document.sources = rows)
                    .await
            }
            Reply::Entries(document) => {
                let rows = &document.entries;
                let of = |range| rows.get(range).map_or_else(Vec::new, <[_]>::to_vec);
                let page =
                    EntriesOfSource { entries: Vec::new(), header: document.header.clone(), ..*document };
                self.send_rows(rows.len(), of, page, |document, rows| document.entries = rows).await
            }
            Reply::History(rows) => {
                let page = HistoryPage { records: Vec::new() };
                let of = |range| rows.get(range).map_or_else(Vec::new, <[_]>::to_vec);
                self.send_rows(rows.len(), of, page, |page, rows| page.records = rows).await
            }
            whole => {
                let bytes = self.whole(whole).unwrap_or_else(|fault| schema::encode_fault(&fault));
                self.send(&bytes).await
            }
        }
    }

    /// Sends `rows` rows in pages, each page a copy of `document` with its part of them.
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
            // A reader that keeps up must not keep the thread from other connections.
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
