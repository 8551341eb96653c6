//! Bounds on what clients of the control socket may take.

use std::time::Duration;

use super::share::Share;

/// Bounds on a connection.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest request, in bytes.
    pub request_bytes: usize,
    /// Longest reply, in bytes; longer answers go out in pages or not at all.
    pub message_bytes: usize,
    /// Largest number of rows of a page.
    pub page_rows: usize,
    /// Largest number of open connections.
    pub connections: usize,
    /// Number of connections reserved for users that may change things.
    pub connections_kept: usize,
    /// Largest number of open connections of one user that may not change things.
    pub connections_per_uid: usize,
    /// Largest number of paged answers under way to one user: each holds its rows, a million of them at worst, until
    /// they are sent.
    pub paged_per_uid: usize,
    /// Longest time between a reply and the first byte of the next request.
    pub idle: Duration,
    /// Longest time from the first byte of a request (or from the reply before it, if it was sent early) to its last.
    pub request: Duration,
    /// Longest time for the service to answer.
    pub answer: Duration,
    /// Longest time for the client to take one message.
    pub write: Duration,
    /// Longest time for the client to take all pages of an answer.
    pub pages: Duration,
    /// Longest time for answers under way when the agent stops.
    pub stop: Duration,
    /// Time for which an answer is reused for the same question.
    pub keep: Duration,
    /// Time spent for one user that may not change things: CPU time of this thread, and the service's time for its
    /// answers.
    pub share_per_uid: Share,
    /// Time spent for all users together that may not change things.
    pub share_of_all: Share,
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
            keep: Duration::from_millis(250),
            share_per_uid: Share { per_second: 0.1, burst_seconds: 0.5 },
            share_of_all: Share { per_second: 0.25, burst_seconds: 1.25 },
        }
    }
}
