//! Counts anew from a dump, merged with what happened while it ran.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Watcher;
use crate::agent::shared::Order;
use crate::core::state::Ledger;
use crate::linux::clock;

impl Watcher {
    /// Only with an empty queue: an event that was queued before a loss tells of a birth whose end may be among what
    /// was lost, and must not be taken for something that happened while the dump ran.
    pub(super) fn begin_census(&mut self) {
        self.census_wanted = false;
        self.doubted = false;
        self.lost_before_recount = self.total_lost();
        self.sync.begin();
        if self.parts.actor.try_send(Order::Recount).is_err() {
            self.abandon(self.recount_took);
        }
    }

    pub(super) fn adopt(&mut self, ledger: Ledger, duration: Duration) {
        // Events of while the dump ran are in the queue: take them all in before the merge.
        self.drain();
        self.catch_up();
        let lost = self.total_lost();
        self.heed_ctnetlink();
        if lost != self.lost_before_recount || self.behind || self.doubted {
            return self.abandon(duration);
        }
        self.recount_took = duration;
        if self.sync.tally().resyncs > 0 {
            let unheard = ledger.unknown_to(self.sync.ledger());
            let mut sightings = self.parts.sightings.write().unwrap_or_else(PoisonError::into_inner);
            sightings.unheard(unheard);
            self.parts.numbers.others_write.store(sightings.others_write(), Relaxed);
        }
        if self.sync.adopt(ledger) {
            self.audit.resynced(clock::boottime_seconds(), duration.as_secs_f64());
            if let Ok(count) = self.sysctls.count() {
                self.audit.removed(count, self.sync.ledger().entries(), self.events_in_tick);
            }
        }
        self.publish(lost);
    }

    pub(super) fn abandon(&mut self, duration: Duration) {
        self.recount_took = duration;
        self.sync.abandon();
        self.audit.failed(clock::boottime_seconds(), duration.as_secs_f64());
    }
}
