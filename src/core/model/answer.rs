//! The documents that commands print and the control socket carries (the contract's "JSON").

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::level::Level;
use super::plan::ActionRow;
use super::queue::Queue;
use super::record::{JournalRecord, Netns};
use super::snapshot::{ClassScan, Drops};
use super::unclassed::UnclassedRow;
use super::unproven::UnprovenCount;
use super::wish::Asker;

/// Head of every document.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format, always 1.
    pub schema: u32,
    /// RFC 3339, UTC.
    pub taken_at: String,
    /// Network namespace that it is of.
    pub netns: Netns,
}

/// Source of counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Basis {
    Agent,
    Dump,
}

/// One row of `top-sources`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SourceRow {
    /// Address, or prefix in CIDR form.
    pub source: String,
    /// `None` for the default zone alone where zones are not in use is never printed: it is 0 then.
    pub zone: Option<u16>,
    pub entries: u64,
    pub share_percent: f64,
    pub new_per_second: Option<f64>,
    pub tcp: u64,
    pub udp: u64,
    pub icmp: u64,
    pub other: u64,
    pub assured: Option<u64>,
    pub unreplied: Option<u64>,
    pub idle: Option<u64>,
    /// Entries whose idleness is not known; `None` where it was not judged.
    #[serde(default)]
    pub idle_unknown: Option<u64>,
}

/// Counts of one source, before they become a row.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub struct SourceCount {
    pub address: IpAddr,
    pub zone: u16,
    pub entries: u64,
    pub new_per_second: Option<f64>,
    pub tcp: u64,
    pub udp: u64,
    pub icmp: u64,
    pub other: u64,
    pub assured: Option<u64>,
    pub unreplied: Option<u64>,
    pub idle: Option<u64>,
}

/// The document of `top-sources`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TopSources {
    #[serde(flatten)]
    pub header: Header,
    pub basis: Basis,
    pub synced: bool,
    pub entries: u64,
    pub sources_total: u64,
    pub sources: Vec<SourceRow>,
}

/// `status`' bounds of max.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Bounds {
    pub max_ceiling: u64,
    pub bytes_per_entry: u64,
    pub memory_budget_bytes: u64,
    /// Entries that fit into that, less those of other namespaces.
    #[serde(default)]
    pub memory_entries: u64,
    /// max, how far it may rise and by what, in one sentence whose figures add up.
    #[serde(default)]
    pub summary: String,
    pub reason: String,
}

/// `status`' row of a timeout.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TimeoutRow {
    pub name: String,
    pub baseline_seconds: Option<u32>,
    /// Below zero where an operator made it so: the kernel takes that, and entries are expired when they are made.
    pub current_seconds: i64,
    pub floor_seconds: u32,
}

/// `status`' row of a class.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ClassRow {
    pub class: Class,
    pub entries: u64,
    /// Entries that something protects: the columns on idleness leave them out.
    #[serde(default)]
    pub protected: u64,
    /// The longest certain idleness; `None` where the class has entries and that of none of them is known.
    pub oldest_idle_seconds: Option<u32>,
    /// That is exact, and not only the least that it can be.
    #[serde(default)]
    pub oldest_is_exact: bool,
    /// Unprotected entries whose idleness is not known: they count as live.
    #[serde(default)]
    pub idle_unknown: u64,
    pub would_free: u64,
    pub in_grace: u64,
    /// Deleted by this agent since it started.
    #[serde(default)]
    pub flushed: u64,
    /// Of these, flows that were heard of again within a minute: they lived.
    #[serde(default)]
    pub regretted: u64,
    /// Their share; `None` where nothing was deleted.
    #[serde(default)]
    pub regret_percent: Option<f64>,
    /// Not flushed at any level, because too much of it was regretted.
    #[serde(default)]
    pub suspended: bool,
}

impl ClassRow {
    /// Row of a class that a scan saw, with nothing deleted yet.
    pub fn seen(seen: &ClassScan) -> Self {
        ClassRow {
            class: seen.class,
            entries: seen.entries,
            protected: seen.protected,
            // Nothing is unknown of no entries.
            oldest_idle_seconds: if seen.entries == 0 { Some(0) } else { seen.oldest_idle_seconds },
            oldest_is_exact: seen.oldest_is_exact,
            idle_unknown: seen.idle_unknown,
            would_free: seen.would_free,
            in_grace: seen.in_grace,
            flushed: 0,
            regretted: 0,
            regret_percent: None,
            suspended: false,
        }
    }
}

/// `status`' part on the agent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AgentStatus {
    pub pid: u32,
    pub started_at: String,
    pub version: String,
    pub dry_run: bool,
    pub paused: bool,
    /// Time at which the pause ends by itself; `None` where it is not paused, or for good.
    #[serde(default)]
    pub paused_until: Option<String>,
    /// User that asked for the pause.
    #[serde(default)]
    pub paused_by: Option<Asker>,
    pub synced: bool,
    /// Reason for which the counts are in doubt, where that is more than a recount that is due.
    #[serde(default)]
    pub doubt: Option<String>,
    pub overruns: u64,
    pub lost_events: u64,
    pub resyncs: u64,
    pub events: u64,
    pub sources: u64,
    pub journal_ok: bool,
    pub regret_percent: Option<f64>,
    /// Another program was heard to change entries (`conntrack -U`) or has made some that are there (`conntrack -I`),
    /// or may have: what is left of their time proves nothing to whoever did not hear which.
    #[serde(default)]
    pub others_update: bool,
    /// Events that wait to be counted.
    #[serde(default)]
    pub queue: Option<Queue>,
    /// Log lines of the agent's process that were dropped because nobody read those before them.
    #[serde(default)]
    pub log_lines_dropped: u64,
    pub capabilities: Vec<String>,
}

/// The document of `status`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Status {
    #[serde(flatten)]
    pub header: Header,
    pub level: Level,
    pub entries: u64,
    pub max: u64,
    pub limit: u64,
    pub buckets: u64,
    pub usage_percent: f64,
    pub new_per_second: Option<f64>,
    pub net_growth_per_second: Option<f64>,
    pub seconds_to_full: Option<f64>,
    pub drops: Drops,
    /// Sentences on the figures that the level rests on, and the bounds of relief.
    #[serde(default)]
    pub reasons: Vec<String>,
    pub bounds: Bounds,
    pub timeouts: Vec<TimeoutRow>,
    pub classes: Option<Vec<ClassRow>>,
    /// Entries of no class, by state: no flush by class takes them.
    #[serde(default)]
    pub unclassed: Option<Vec<UnclassedRow>>,
    /// Reasons for which the idleness of entries is not proven, with their numbers.
    #[serde(default)]
    pub unproven: Option<Vec<UnprovenCount>>,
    /// Age of the look at the table that `classes` and `protected` are of.
    #[serde(default)]
    pub classes_age_seconds: Option<f64>,
    /// Entries went since, so that the classes are of before the last act.
    #[serde(default)]
    pub classes_before_act: bool,
    pub protected: Option<u64>,
    pub waiting: Vec<String>,
    pub agent: Option<AgentStatus>,
    pub last_actions: Vec<JournalRecord>,
}

/// The document of `plan`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PlanDocument {
    #[serde(flatten)]
    pub header: Header,
    pub level: Level,
    pub reasons: Vec<String>,
    pub actions: Vec<ActionRow>,
    /// Entries that each class would free, where the table was looked at.
    #[serde(default)]
    pub classes: Option<Vec<ClassRow>>,
    /// Entries of no class, by state: no flush by class takes them.
    #[serde(default)]
    pub unclassed: Option<Vec<UnclassedRow>>,
    /// Reasons for which the idleness of entries is not proven, with their numbers.
    #[serde(default)]
    pub unproven: Option<Vec<UnprovenCount>>,
    /// Seconds since that look.
    #[serde(default)]
    pub classes_age_seconds: Option<f64>,
    /// Entries went since, so that the classes are of before the last act.
    #[serde(default)]
    pub classes_before_act: bool,
    /// The table is looked at next, before more is decided.
    #[serde(default)]
    pub scan: bool,
    /// Sentences on what has to wait.
    #[serde(default)]
    pub waiting: Vec<String>,
}

/// One value that `revert` dealt with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RevertRow {
    /// Name of the value (`max`, `tcp_timeout_established` …).
    pub name: String,
    /// Value that it had.
    pub from: u64,
    /// Value that it should have.
    pub to: u64,
    /// "restored", "left" (someone else set it meanwhile), "waits" or "failed".
    pub result: String,
    /// Reason for which it is not restored.
    pub reason: Option<String>,
}

/// The document of `revert`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RevertDocument {
    #[serde(flatten)]
    pub header: Header,
    pub values: Vec<RevertRow>,
    pub waiting: Vec<String>,
}
