//! Entries that the payers of a fair-share flush still owe.

use std::collections::HashMap;

use crate::core::model::{Due, Entry, Flush, Holder, Rank, Share};

/// Entries that one fair-share flush may still take of each payer.
#[derive(Clone, Debug)]
pub struct Dues {
    source_prefix: (u8, u8),
    unanswered: bool,
    of: HashMap<Holder, Due>,
}

impl Dues {
    /// All that a flush may take; `None` for a flush that is no fair share.
    pub fn new(flush: &Flush) -> Option<Self> {
        let dues: &[Due] = match flush.share.as_ref()? {
            Share::Unanswered => &[],
            Share::Dues(dues) => dues,
        };
        // All payers of a family are prefixes of one length.
        let len = |v4: bool| {
            let net = dues.iter().map(|due| due.holder.net).find(|net| net.addr().is_ipv4() == v4);
            net.map_or(128, |net| net.prefix_len())
        };
        Some(Dues {
            source_prefix: (len(true), len(false)),
            unanswered: flush.share == Some(Share::Unanswered),
            of: dues.iter().map(|due| (due.holder, *due)).collect(),
        })
    }

    /// Takes up to `count` entries like this one, which nothing protects and which has been idle for certain for
    /// `idle_seconds`: returns how many of them are owed, and owes as many less.
    pub fn take(&mut self, entry: &Entry, idle_seconds: u32, count: u64) -> u64 {
        let status = entry.status;
        if self.unanswered || !status.seen_reply() {
            return if self.unanswered && !status.seen_reply() { count } else { 0 };
        }
        let holder = Holder::of(entry.source_key(), self.source_prefix);
        let Some(due) = self.of.get_mut(&holder) else { return 0 };
        let rank = Rank::of(status.assured(), idle_seconds);
        let most = match rank.cmp(&due.rank) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => due.at_rank.min(due.entries),
            std::cmp::Ordering::Greater => due.entries,
        };
        let taken = u32::try_from(count).unwrap_or(u32::MAX).min(most);
        due.entries -= taken;
        due.at_rank -= if rank == due.rank { taken } else { 0 };
        taken.into()
    }
}
