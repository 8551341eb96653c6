//! Facts at one moment: everything that the policy decides from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::groups::Group;
use super::histogram::Histogram;
use super::level::Level;
use super::neighbour::Conntrackds;
use super::regret::ClassRegret;
use super::share::Weighed;
use super::timeouts::{Timeout, TimeoutValues};
use super::unclassed::Unclassed;
use super::unproven::UnprovenCount;

/// The per-CPU statistics of the table, summed (`struct ip_conntrack_stat`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Drops {
    pub drop: u64,
    pub early_drop: u64,
    pub insert_failed: u64,
    /// `None` on kernels that do not count it (before 5.15).
    pub chaintoolong: Option<u64>,
}

/// Memory of the host, and its use by the table.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryFacts {
    /// Memory of the host, MemTotal.
    pub total_bytes: u64,
    /// Memory that is available, MemAvailable.
    pub available_bytes: u64,
    /// Memory set aside as huge pages.
    pub huge_pages_bytes: u64,
    /// Bytes that one entry takes, its extensions included.
    pub bytes_per_entry: u64,
    /// Basis of that: "measured on this kernel: …" or "assumed: …".
    pub bytes_per_entry_basis: String,
    /// Entries of all namespaces together (`nf_conntrack` objects in use), where slabinfo can be read.
    pub entries_all_namespaces: Option<u64>,
    /// Other network namespaces whose entries count against the same max, as far as can be seen.
    pub other_namespaces: u64,
}

/// Entries of one class whose protocol and state stand under one timeout ([`Timeout::governing`]).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Governed {
    /// Timeout that they stand under.
    pub timeout: Timeout,
    /// Entries, protected ones and those of unknown idleness included.
    pub entries: u64,
    /// Entries idle for certain, past the class's floor and not protected, in a second chance or not.
    pub may_go: u64,
    /// The longest certain idleness, protected entries excluded.
    pub oldest_idle_seconds: u32,
    /// Certain idleness of the unprotected entries.
    pub idle: Histogram,
}

/// Entries of one class, as a scan saw them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClassScan {
    /// Class of the entries.
    pub class: Class,
    /// Entries of the class, protected ones and those of unknown idleness included.
    pub entries: u64,
    /// Entries that something protects, whatever their idleness.
    #[serde(default)]
    pub protected: u64,
    /// Entries idle for certain, past their floor and not protected: what a flush of it would free.
    pub would_free: u64,
    /// Past the floor as well, but gone within `grace_seconds` unless a packet comes: a second chance was given, or
    /// as little is left anyway. Not in `would_free`.
    pub in_grace: u64,
    /// The longest certain idleness, protected entries excluded; none where that of no entry is known.
    pub oldest_idle_seconds: Option<u32>,
    /// `oldest_idle_seconds` is exact, and not only the least that it can be.
    #[serde(default)]
    pub oldest_is_exact: bool,
    /// Unprotected entries whose idleness is not known: they count as live.
    #[serde(default)]
    pub idle_unknown: u64,
    /// Certain idleness of the unprotected entries, without `only_critical`.
    pub idle: Histogram,
    /// Certain idleness of the unprotected entries that are past their class's floor and not past their own
    /// (TIME_WAIT): what a flush at level critical would free besides `would_free`.
    #[serde(default)]
    pub only_critical: Histogram,
    /// Certain idleness past the floor of entries that nothing keeps but a protection that may be lifted.
    #[serde(default)]
    pub held_by_protection: Histogram,
    /// The entries by the timeout that they stand under; those that stand under none are left out.
    #[serde(default)]
    pub by_timeout: Vec<Governed>,
}

impl ClassScan {
    /// Entries that may go at this level and not at those below it.
    pub fn goes_only_at(&self, level: Level) -> u64 {
        if level == Level::Critical { self.only_critical.total() } else { 0 }
    }

    /// Nothing of this class was seen yet.
    pub fn empty(class: Class) -> Self {
        ClassScan {
            class,
            entries: 0,
            protected: 0,
            would_free: 0,
            in_grace: 0,
            oldest_idle_seconds: None,
            oldest_is_exact: false,
            idle_unknown: 0,
            idle: Histogram::default(),
            only_critical: Histogram::default(),
            held_by_protection: Histogram::default(),
            by_timeout: Vec::new(),
        }
    }

    /// Count of the entries that stand under a timeout.
    pub fn governed(&mut self, timeout: Timeout) -> &mut Governed {
        let place = self.by_timeout.iter().position(|governed| governed.timeout == timeout);
        let place = place.unwrap_or_else(|| {
            let idle = Histogram::default();
            self.by_timeout.push(Governed { timeout, entries: 0, may_go: 0, oldest_idle_seconds: 0, idle });
            self.by_timeout.len() - 1
        });
        &mut self.by_timeout[place]
    }

    /// `n` entries went since. Which of the timeouts they stood under is not known: of each as many as its share of
    /// what may go.
    fn freed_by_timeout(&mut self, n: u64) {
        let all = self.by_timeout.iter().fold(0, |sum: u128, governed| sum + u128::from(governed.may_go));
        for governed in &mut self.by_timeout {
            let share = u128::from(governed.may_go) * u128::from(n) / all.max(1);
            let share = u64::try_from(share).unwrap_or(u64::MAX);
            governed.entries = governed.entries.saturating_sub(share);
            governed.may_go = governed.may_go.saturating_sub(share);
            governed.idle.remove_largest(share);
        }
    }
}

/// Result of a scan of the whole table.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scan {
    /// Time at which it ended, `Snapshot::now_seconds`' clock.
    pub at_seconds: f64,
    /// Seconds that it took.
    pub duration_seconds: f64,
    /// Entries that it saw.
    pub entries: u64,
    /// Entries that are protected.
    pub protected: u64,
    /// Of these, how many are so by configuration and hold no end in this host: what `max_percent` meters. A
    /// protection that the kernel's own flags or the host's own sockets give cannot be lifted.
    #[serde(default)]
    pub liftable: u64,
    /// Unprotected entries that would be past their class's floor, were it known which timeouts were in force before
    /// they were first looked at.
    #[serde(default)]
    pub presumed: u64,
    /// Idleness of most of its entries can be proven by observation alone, so that scans are wanted in calm too.
    #[serde(default)]
    pub by_observation: bool,
    /// Entries went or got a second chance since: classes are as it saw them, less what is known to have gone.
    #[serde(default)]
    pub acted_since: bool,
    /// False if the dump may be partial or doubled (buckets resized, far from the count): never acted on.
    pub trusted: bool,
    /// One for each of [`Class::ALL`], in that order.
    pub classes: Vec<ClassScan>,
    /// Unprotected entries of a class whose idleness is not proven, by why; the most frequent reason first.
    #[serde(default)]
    pub unproven: Vec<UnprovenCount>,
    /// Entries of no class, by state.
    #[serde(default)]
    pub unclassed: Vec<Unclassed>,
    /// Entries by protocol and state.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Holders of the table, where the scan was asked to weigh them.
    #[serde(default)]
    pub weighed: Option<Arc<Weighed>>,
}

impl Scan {
    /// `n` entries of a class went since.
    pub fn freed(&mut self, class: Class, n: u64) {
        self.entries = self.entries.saturating_sub(n);
        self.acted_since |= n > 0;
        if class == Class::FairShare {
            // The holdings are others now.
            self.weighed = None;
        }
        if let Some(seen) = self.classes.iter_mut().find(|c| c.class == class) {
            seen.entries = seen.entries.saturating_sub(n);
            seen.idle_unknown = seen.idle_unknown.min(seen.entries);
            seen.only_critical
                .remove_largest(n.saturating_sub(seen.would_free.saturating_add(seen.in_grace)));
            seen.in_grace = seen.in_grace.saturating_sub(n.saturating_sub(seen.would_free));
            seen.would_free = seen.would_free.saturating_sub(n);
            seen.idle.remove_largest(n);
            seen.freed_by_timeout(n);
        }
    }

    /// `n` entries of a class went since whose protection was lifted.
    pub fn freed_of_protected(&mut self, class: Class, n: u64) {
        self.entries = self.entries.saturating_sub(n);
        self.protected = self.protected.saturating_sub(n);
        self.liftable = self.liftable.saturating_sub(n);
        self.acted_since |= n > 0;
        if let Some(seen) = self.classes.iter_mut().find(|c| c.class == class) {
            seen.entries = seen.entries.saturating_sub(n);
            seen.protected = seen.protected.saturating_sub(n);
            seen.held_by_protection.remove_largest(n);
        }
    }

    /// `n` entries of a class were given a second chance since.
    pub fn given_grace(&mut self, class: Class, n: u64) {
        if let Some(seen) = self.classes.iter_mut().find(|c| c.class == class) {
            let n = n.min(seen.would_free);
            self.acted_since |= n > 0;
            seen.would_free -= n;
            seen.in_grace += n;
        }
    }
}

/// The entries that were given a second chance and have not been seen to use it.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Chances {
    /// Number of entries in their second chance.
    pub waiting: u64,
    /// Time at which the first of them runs out, `Snapshot::now_seconds`' clock; 0 without any.
    pub first_ends_seconds: f64,
    /// Time at which the last of them runs out.
    pub last_ends_seconds: f64,
    /// Number of further ones that can be kept in mind: no entry beyond is given one.
    pub room: u64,
}

/// Facts at one moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// CLOCK_BOOTTIME in seconds.
    pub now_seconds: f64,
    /// `nf_conntrack_count` of the namespace.
    pub entries: u64,
    /// `nf_conntrack_max`; 0 means no limit.
    pub max: u64,
    /// Buckets of the hash table, `nf_conntrack_buckets`.
    pub buckets: u64,
    /// Packets and entries that were dropped, since boot.
    pub drops: Drops,
    /// Memory of the host, and the cost of an entry.
    pub memory: MemoryFacts,
    /// Timeouts of now, in seconds.
    pub timeouts: TimeoutValues,
    /// Those that are below zero: each packet then makes an entry that is expired when it is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub negative_timeouts: BTreeMap<Timeout, i64>,
    /// New entries a second, from events.
    pub new_per_second: Option<f64>,
    /// New less ended entries a second.
    pub net_growth_per_second: Option<f64>,
    /// The last scan.
    pub scan: Option<Scan>,
    /// Second chances that run.
    pub chances: Chances,
    /// Other sockets of the namespace that get an event for each update of an entry (conntrackd, `conntrack -E`).
    pub update_listeners: u64,
    /// The conntrackd of the namespace.
    pub conntrackd: Conntrackds,
    /// Deletions by class and those regretted; empty where none was ever made.
    #[serde(default)]
    pub regret: Vec<ClassRegret>,
    /// This agent may write host-wide values (max, buckets).
    pub owns_host_values: bool,
    /// The agent that writes them instead, and the remedy; `None` if not known.
    #[serde(default)]
    pub host_values_owner: Option<String>,
    /// This agent may write the namespace's timeouts.
    pub may_set_timeouts: bool,
    /// This agent may delete entries.
    pub may_flush: bool,
    /// The kernel takes this agent's updates of entries.
    pub may_give_grace: bool,
}
