//! Hears what other programs change (`conntrack -U`, conntrackd), beside the event stream.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::shared::Numbers;
use crate::core::model::Event;
use crate::core::sieve::SharedSightings;
use crate::core::state::Identify;
use crate::error::Result;
use crate::linux::listener::Listener;

/// Room for what other programs change at once: some 6,000 entries.
const ROOM_BYTES: usize = 8 << 20;
/// Delay before a socket that failed is tried again.
const BREATH: Duration = Duration::from_millis(250);

/// The subscription to other writers' updates.
pub struct Foreign {
    /// To wait on, and to read.
    pub listener: Listener,
    /// Changes that were lost or could not be read, ever; the kernel's count is of 32 bits.
    lost: u32,
}

impl Foreign {
    /// Subscribes.
    ///
    /// # Errors
    /// As [`Listener::open`].
    pub fn open() -> Result<Self> {
        Ok(Foreign { listener: Listener::open_foreign_updates(ROOM_BYTES)?, lost: 0 })
    }

    /// Takes what is queued, in at most `calls` system calls; true if more may be waiting.
    pub fn drain(
        &mut self,
        batches: usize,
        sightings: &SharedSightings,
        identify: &Identify,
        numbers: &Numbers,
    ) -> bool {
        let mut noted: Vec<Event> = Vec::new();
        let drained = self.listener.drain(batches, |event| {
            if event.foreign {
                noted.push(*event);
            }
        });
        let (received, unreadable, more) = match drained {
            Ok(met) => {
                numbers.forged.fetch_add(met.forged, Relaxed);
                (met.received > 0, met.unreadable > 0, met.more)
            }
            Err(error) => {
                tracing::warn!(%error, "other programs' changes cannot be read");
                std::thread::sleep(BREATH);
                (true, true, false)
            }
        };
        if !received {
            return more;
        }
        let lost = self.listener.lost().unwrap_or(self.lost);
        if !noted.is_empty() {
            numbers.others_wrote();
        }
        let mut sightings = sightings.write().unwrap_or_else(PoisonError::into_inner);
        for event in &noted {
            sightings.event(event, identify);
        }
        if unreadable || lost != self.lost {
            self.lost = lost;
            sightings.deaf();
            tracing::warn!(
                "other programs' changes were lost: from here on observation alone proves idleness"
            );
        }
        more
    }
}
