//! The listener: `GET /metrics` and nothing else.
//!
//! One task a connection, each with one request, 8 KiB of headers and ten seconds in all. Where there are as many as there
//! may be, the oldest that has not asked for anything yet makes room for the next; where all have asked, the oldest of them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Who makes the page.
pub trait Pages: Send + Sync + 'static {
    /// The page of this moment; from copies.
    fn page(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>>;
}

/// Where the page is asked for.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Request line and headers together; hyper takes no less than 8 KiB.
    pub header_bytes: usize,
    /// From the connection to the end of the headers.
    pub header: Duration,
    /// From the connection to its end.
    pub whole: Duration,
    /// What a connection that has not asked yet has at least, however many come after it.
    pub silent: Duration,
    /// What one that has asked has at least to read its answer.
    pub reading: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (header, whole) = (Duration::from_secs(5), Duration::from_secs(10));
        let (silent, reading) = (Duration::from_millis(20), Duration::from_secs(1));
        Limits { connections: 16, header_bytes: 8 << 10, header, whole, silent, reading }
    }
}

/// Answers until told to stop.
pub async fn serve(
    listener: Listener,
    pages: Arc<dyn Pages>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = Connections { limits, tasks: JoinSet::new(), open: Vec::new() };
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = connections.ended() => continue,
            accepted = accept(&listener) => accepted,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            // No descriptor left, most likely: accepting again at once would only burn a core.
            Err(_) => {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = connections.room() => {}
        }
        connections.begin(stream, pages.clone());
    }
}

/// A connection that has not ended.
struct Open {
    task: AbortHandle,
    since: Instant,
    /// Its request is complete.
    asked: Arc<AtomicBool>,
}

/// Those that have not ended, the oldest first.
struct Connections {
    limits: Limits,
    tasks: JoinSet<()>,
    open: Vec<Open>,
}

impl Connections {
    fn begin(&mut self, stream: Box<dyn Stream>, pages: Arc<dyn Pages>) {
        let (limits, asked) = (self.limits, Arc::new(AtomicBool::new(false)));
        let conversation = converse(stream, pages, limits, asked.clone());
        let task = self.tasks.spawn(async move {
            let _ = timeout(limits.whole, conversation).await;
        });
        self.open.push(Open { task, since: Instant::now(), asked });
    }

    /// Waits for the end of a connection; for ever where there is none.
    async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.open.retain(|open| open.task.id() != id),
            // One that was made to end is on the list no more.
            Some(Err(error)) => self.open.retain(|open| open.task.id() != error.id()),
            None => std::future::pending().await,
        }
    }

    /// Waits until one more connection may begin, for no longer than the oldest may stay at least.
    async fn room(&mut self) {
        while self.open.len() >= self.limits.connections.max(1) {
            let silent = self.open.iter().position(|open| !open.asked.load(Relaxed));
            let (oldest, stays) =
                (silent.unwrap_or(0), silent.map_or(self.limits.reading, |_| self.limits.silent));
            let until = self.open[oldest].since + stays;
            if Instant::now() >= until {
                self.open.remove(oldest).task.abort();
                return;
            }
            tokio::select! {
                () = self.ended() => {}
                // It may have asked by then.
                () = sleep_until(until) => {}
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn accept(listener: &Listener) -> io::Result<Box<dyn Stream>> {
    Ok(match listener {
        Listener::Tcp(listener) => Box::new(listener.accept().await?.0),
        Listener::Unix(listener) => Box::new(listener.accept().await?.0),
    })
}

async fn converse(stream: Box<dyn Stream>, pages: Arc<dyn Pages>, limits: Limits, asked: Arc<AtomicBool>) {
    let answers = service_fn(|request| {
        asked.store(true, Relaxed);
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(answer(&request, pages.as_ref()).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(limits.header_bytes)
        .keep_alive(false);
    // A client that goes away or talks nonsense has cost what it may cost.
    let _ = http.serve_connection(TokioIo::new(stream), answers).await;
}

async fn answer(request: &Request<Incoming>, pages: &dyn Pages) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    // hyper leaves the body of an answer to HEAD out, and keeps its length.
    let mut page = Response::new(Full::from(pages.page().await));
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(super::CONTENT_TYPE));
    page
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
