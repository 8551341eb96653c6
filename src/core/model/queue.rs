//! Events that wait to be counted.

use serde::{Deserialize, Serialize};

/// The room that there is for them, the room that there should be, and how late they were counted.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Queue {
    /// The socket's buffer, as the kernel gave it.
    pub buffer_bytes: u64,
    /// The most events a second, times the longest stall, times what the kernel charges for a queued event; each no
    /// less than expected, and bounded by memory. More than `buffer_bytes` where the kernel gave less.
    pub wanted_bytes: u64,
    /// Of the buffer in use at the last tick.
    pub queued_bytes: u64,
    /// Seconds that the oldest of the events had waited that were counted in the last quarter of a second.
    pub lag_seconds: f64,
    /// The longest that events were left alone, since the start.
    pub longest_stall_seconds: f64,
    /// The most events in a second, since the start.
    pub most_per_second: f64,
}

impl Queue {
    /// Bytes that the kernel charges a socket for a queued event, whatever its length (its skb's truesize).
    pub const EVENT_BYTES: u64 = 1280;

    /// Events that there is room for.
    pub fn events(&self) -> u64 {
        self.buffer_bytes / Self::EVENT_BYTES
    }

    /// The kernel gave less than was asked for (`net.core.rmem_max`, without CAP_NET_ADMIN over the host).
    pub fn short(&self) -> bool {
        self.buffer_bytes < self.wanted_bytes
    }
}
