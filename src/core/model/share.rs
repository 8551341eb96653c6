//! Holders of the table, and the entries that they give up at fair share.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::tuple::SourceKey;

/// One source: an address, or the prefix that stands for one (`source_prefix`), in a zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Zone of the original direction.
    pub zone: u16,
    /// The prefix, its host bits cleared.
    pub net: IpNet,
}

impl Holder {
    /// Holder that a source counts for.
    pub fn of(key: SourceKey, source_prefix: (u8, u8)) -> Self {
        let (len, most) = match key.address {
            IpAddr::V4(_) => (source_prefix.0, 32),
            IpAddr::V6(_) => (source_prefix.1, 128),
        };
        let net = IpNet::new(key.address, len.min(most));
        Holder { zone: key.zone, net: net.map_or_else(|_| key.address.into(), |net| net.trunc()) }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let single = self.net.prefix_len() == self.net.max_prefix_len();
        match single {
            true => write!(f, "{}", self.net.addr())?,
            false => write!(f, "{}", self.net)?,
        }
        if self.zone > 0 { write!(f, " in zone {}", self.zone) } else { Ok(()) }
    }
}

/// Entries that one source holds. Those that never had a reply are left out: they can be forged in its name. So is
/// what goes by its class anyway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holding {
    /// Holder of the entries.
    pub holder: Holder,
    /// Answered entries, protected and live ones included.
    pub entries: u32,
    /// Those of them that are ASSURED.
    pub assured: u32,
    /// No address of it was known `calm_seconds` ago.
    pub young: bool,
}

/// Answered entries of one source that may go, all of one [`Rank`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Takeable {
    /// Index into [`Weighed::holdings`].
    pub holding: u32,
    /// Place in the order in which they go.
    pub rank: Rank,
    /// Number of entries.
    pub entries: u32,
}

/// The order in which the entries of one payer go, the greatest first: not ASSURED before ASSURED, then the longest
/// idle, by the bins of [`Histogram`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Rank(u8);

impl Rank {
    /// Rank of an entry that has been idle for certain for `idle_seconds`.
    pub fn of(assured: bool, idle_seconds: u32) -> Self {
        // A bin is at most 123.
        let bin = Histogram::bin(idle_seconds) as u8;
        Rank(if assured { bin } else { bin | 128 })
    }
}

/// Holders of the table, as a scan weighed them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Weighed {
    /// By holder, each once.
    pub holdings: Vec<Holding>,
    /// By holding, then by rank.
    pub takeable: Vec<Takeable>,
    /// Idleness of the unprotected entries that never had a reply and do not go by their class.
    pub unanswered: Histogram,
    /// All that never had a reply and do not go by their class, whether they may be taken now or not.
    #[serde(default)]
    pub unanswered_entries: u64,
    /// Entries of sources for which there was no room to count them: they never pay.
    pub beyond: u64,
}

/// Entries that one payer gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// Holder that pays.
    pub holder: Holder,
    /// Number of entries at most.
    pub entries: u32,
    /// Whatever goes before this rank goes.
    pub rank: Rank,
    /// Number of entries of this rank itself.
    pub at_rank: u32,
}

/// Entries that a fair-share flush takes.
#[derive(Clone, PartialEq, Debug)]
pub enum Share {
    /// Those that never had a reply, whoever they claim to be from.
    Unanswered,
    /// Those of payers, each as much as it is due.
    Dues(Vec<Due>),
}
