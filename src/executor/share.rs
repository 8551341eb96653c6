//! A fair-share flush held against the entries of a sweep: whose they are, and how soon they go.

use std::collections::HashMap;

use crate::model::{Due, Entry, Flush, Holder, Rank, Share};

/// What is still due, for one flush of a plan.
#[derive(Debug)]
pub struct Collector {
    source_prefix: (u8, u8),
    unanswered: bool,
    dues: HashMap<Holder, Due>,
}

impl Collector {
    /// Nothing is collected yet; `None` for a flush that is no fair share.
    pub fn of(flush: &Flush) -> Option<Self> {
        let dues: &[Due] = match flush.share.as_ref()? {
            Share::Unanswered => &[],
            Share::Dues(dues) => dues,
        };
        // All payers of a family are prefixes of one length.
        let len = |v4: bool| {
            let net = dues.iter().map(|due| due.holder.net).find(|net| net.addr().is_ipv4() == v4);
            net.map_or(128, |net| net.prefix_len())
        };
        Some(Collector {
            source_prefix: (len(true), len(false)),
            unanswered: flush.share == Some(Share::Unanswered),
            dues: dues.iter().map(|due| (due.holder, *due)).collect(),
        })
    }

    /// Whether this entry, unprotected and idle for certain for so long, is due; then it counts as collected.
    pub fn collect(&mut self, entry: &Entry, idle_seconds: u32) -> bool {
        let status = entry.status;
        if self.unanswered || !status.seen_reply() {
            return self.unanswered && !status.seen_reply();
        }
        let holder = Holder::of(entry.source_key(), self.source_prefix);
        let Some(due) = self.dues.get_mut(&holder) else { return false };
        let rank = Rank::of(status.assured(), idle_seconds);
        if due.entries == 0 || rank < due.rank || (rank == due.rank && due.at_rank == 0) {
            return false;
        }
        due.entries -= 1;
        due.at_rank -= u32::from(rank == due.rank);
        true
    }
}
