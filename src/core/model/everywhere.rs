//! `status --all`: every namespace of the host, the fullest first.

use serde::{Deserialize, Serialize};

use super::answer::Header;
use super::level::Level;
use super::record::Netns;
use super::snapshot::Drops;

/// The document of `status --all`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EverywhereDocument {
    /// As every document begins; the namespace is the caller's.
    #[serde(flatten)]
    pub header: Header,
    /// Entries of all of them together.
    pub entries: u64,
    /// The limit that each one's own entries are held against; 0 is none.
    pub max: u64,
    /// The fullest first.
    pub namespaces: Vec<NamespaceRow>,
    /// Reasons for which namespaces are missing, each once.
    pub refused: Vec<String>,
    /// Processes that do not show their namespace to this user.
    pub hidden_processes: u64,
}

/// Row of one namespace.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NamespaceRow {
    /// Its name, where it has one, and inode.
    pub netns: Netns,
    /// Name or path that `--netns` takes for it.
    pub spec: String,
    /// The process in it with the lowest id.
    pub lowest_process: Option<ProcessRow>,
    /// Entries in its table.
    pub entries: u64,
    /// Entries that usage is measured against: max, or the quota of its agent below it; 0 is none.
    pub limit: u64,
    /// Usage of the limit.
    pub usage_percent: f64,
    /// The agent's, or what usage alone makes.
    pub level: Level,
    /// As its agent counts.
    pub new_per_second: Option<f64>,
    /// As its agent foresees; 0 where the table is full.
    pub seconds_to_full: Option<f64>,
    /// Counters of its table; `None` on kernels without NF_CONNTRACK_PROCFS.
    pub drops: Option<Drops>,
    /// The agent that watches it.
    pub agent: Option<WatchingAgent>,
}

/// A process, by which a namespace without a name is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Id of the process.
    pub pid: u32,
    /// Its name (proc_pid_comm(5)).
    pub name: String,
}

/// An agent, as far as `status --all` tells of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WatchingAgent {
    /// Id of the agent's process.
    pub pid: u32,
    /// Path of the agent's socket.
    pub socket: String,
    /// It decides and touches nothing.
    pub dry_run: bool,
    /// It watches and touches nothing.
    pub paused: bool,
    /// Its counts are the kernel's.
    pub synced: bool,
}

impl EverywhereDocument {
    /// Puts the fullest first; those that are as full by entries, then by what leads to them.
    pub fn sort(&mut self) {
        self.namespaces.sort_by(|one, other| {
            let usage = other.usage_percent.total_cmp(&one.usage_percent);
            usage.then(other.entries.cmp(&one.entries)).then_with(|| one.spec.cmp(&other.spec))
        });
    }
}
