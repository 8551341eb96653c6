//! Programs that work on the same table.

use serde::{Deserialize, Serialize};

/// Role of a conntrackd in the table, by its configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConntrackdRole {
    /// `Sync`: it tells a peer of each change, and writes the peer's entries after a failover.
    Sync,
    /// `Stats`: it counts and logs, and writes no entry.
    Stats,
    /// Its configuration could not be read or understood; it counts as one that syncs.
    #[default]
    Unknown,
}

/// A conntrackd in the namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Conntrackd {
    /// Process id, as /proc here shows it.
    pub pid: u32,
    /// Role of the process.
    pub role: ConntrackdRole,
    /// Reason for which the role is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Conntrackd {
    /// It writes entries, or may.
    pub fn syncs(&self) -> bool {
        self.role != ConntrackdRole::Stats
    }
}

/// The conntrackd of a namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Conntrackds(pub Vec<Conntrackd>);

impl Conntrackds {
    /// One of them writes entries, or may.
    pub fn sync(&self) -> bool {
        self.0.iter().any(Conntrackd::syncs)
    }
}
