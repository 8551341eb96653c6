//! Doubts the counts though their sum is the kernel's: ctnetlink is away, or was.

use std::sync::atomic::Ordering::Relaxed;

use super::Watcher;
use crate::linux::clock;
use crate::linux::ctnetlink::Change;

/// The least time between two comparisons with the table where rules mask events.
const MASKED_SECONDS: f64 = 2.0;

const MASKED: &str = "rules of this namespace keep the kernel from telling that some entries begin or end (`ct event set`, \
     CT --ctevents): each of them needs at least new, related and destroy";

impl Watcher {
    /// Looks whether ctnetlink is there and answers, and whether the table can be read at all. While it is not, and
    /// until a dump that began afterwards, the counts are in doubt: entries that began or ended meanwhile were told of
    /// by no event, and as many of one source as of another leave the sum as it was.
    pub(super) fn heed_ctnetlink(&mut self) {
        let change = self.ctnetlink.look();
        let numbers = &self.parts.numbers;
        let why = match (change, numbers.unreadable.get().or_else(|| numbers.unanswered.get())) {
            (_, Some(why)) => Some(why),
            (Change::Gone, None) => Some(
                "nf_conntrack_netlink was unloaded: the kernel tells no events (modprobe nf_conntrack_netlink)"
                    .to_owned(),
            ),
            (Change::None | Change::Reloaded, None) => None,
        };
        let (was_away, away) = (self.away, why.is_some());
        self.away = away;
        if away || was_away || change == Change::Reloaded {
            self.audit.doubt();
            self.doubted = true;
        }
        let key = self.parts.namespace.netns().key();
        match (&why, was_away) {
            (Some(why), false) => tracing::warn!(netns = %key, "the counts are in doubt: {why}"),
            (None, true) => {
                tracing::info!(netns = %key, "ctnetlink answers again: the table is counted anew")
            }
            (None, false) if change == Change::Reloaded => {
                tracing::warn!(netns = %key, "nf_conntrack_netlink was loaded anew: the table is counted anew");
            }
            _ => {}
        }
        self.heed_masks();
        if !away && (was_away || change == Change::Reloaded) {
            self.audit.hurry(clock::boottime_seconds(), self.recount_took.as_secs_f64());
        }
        let numbers = &self.parts.numbers;
        numbers.doubt.set(why.or_else(|| self.masked.then(|| MASKED.to_owned())));
    }

    /// Doubts the counts where rules mask events: as many unheard ends of one source as unheard births of another
    /// leave the sum as it was, so that the counts are compared with the table again and again, at 3 % of a core at
    /// most.
    fn heed_masks(&mut self) {
        let masked = self.parts.numbers.masked.load(Relaxed);
        let turned = std::mem::replace(&mut self.masked, masked) != masked;
        let now = clock::boottime_seconds();
        let every = (30.0 * self.recount_took.as_secs_f64()).max(MASKED_SECONDS);
        if turned || (masked && now - self.doubted_at_seconds >= every) {
            self.doubted_at_seconds = now;
            self.audit.doubt();
            self.doubted |= turned;
        }
    }
}
