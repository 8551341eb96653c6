//! The HTTP listener: `GET /metrics` and nothing else.
//!
//! One task a connection, each with one request, 8 KiB of headers and ten seconds in all. When the limit of connections
//! is reached, the oldest one that has not sent its request makes room for the next; if all have sent theirs, the
//! oldest one.

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

/// Source of the page.
pub trait Pages: Send + Sync + 'static {
    /// Returns the current page, made from copies.
    fn page(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>>;
}

/// Socket on which the page is asked for.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Bounds on connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest number of open connections.
    pub connections: usize,
    /// Largest size of request line and headers together; hyper takes no less than 8 KiB.
    pub header_bytes: usize,
    /// Longest time from the connection to the end of the headers.
    pub header: Duration,
    /// Longest time from the connection to its end.
    pub whole: Duration,
    /// Shortest time that a connection gets to send its request, however many come after it.
    pub silent: Duration,
    /// Shortest time that a connection gets to read its answer once it has sent its request.
    pub reading: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (header, whole) = (Duration::from_secs(5), Duration::from_secs(10));
        let (silent, reading) = (Duration::from_millis(20), Duration::from_secs(1));
        Limits { connections: 16, header_bytes: 8 << 10, header, whole, silent, reading }
    }
}

/// Answers requests until `stop` becomes true.
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
            () = connections.wait_for_end() => continue,
            accepted = accept(&listener) => accepted,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            // Most likely there is no descriptor left: accepting again at once would only use up a core.
            Err(_) => {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = connections.wait_for_room() => {}
        }
        connections.begin(stream, pages.clone());
    }
}

/// A connection that has not ended.
struct OpenConnection {
    task: AbortHandle,
    since: Instant,
    /// True once its request is complete.
    asked: Arc<AtomicBool>,
}

/// Connections that have not ended, the oldest first.
struct Connections {
    limits: Limits,
    tasks: JoinSet<()>,
    open: Vec<OpenConnection>,
}

impl Connections {
    fn begin(&mut self, stream: Box<dyn Stream>, pages: Arc<dyn Pages>) {
        let (limits, asked) = (self.limits, Arc::new(AtomicBool::new(false)));
        let conversation = converse(stream, pages, limits, asked.clone());
        let task = self.tasks.spawn(async move {
            let _ = timeout(limits.whole, conversation).await;
        });
        self.open.push(OpenConnection { task, since: Instant::now(), asked });
    }

    /// Waits for the end of a connection; for ever if there is none.
    async fn wait_for_end(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.open.retain(|open| open.task.id() != id),
            // An aborted connection has left the list already.
            Some(Err(error)) => self.open.retain(|open| open.task.id() != error.id()),
            None => std::future::pending().await,
        }
    }

    /// Waits until one more connection may begin. Closes the oldest one once it has had its shortest time.
    async fn wait_for_room(&mut self) {
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
                () = self.wait_for_end() => {}
                // The oldest connection may have sent its request by then, so it is chosen anew.
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
    // A client that disconnects or sends no valid request has cost no more than its bounds.
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
    // For HEAD, hyper leaves out the body and keeps its length.
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
