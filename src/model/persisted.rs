//! `persist`: what holds at boot from now on.

use serde::{Deserialize, Serialize};

use super::answer::Header;

/// `persist`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PersistDocument {
    /// As every document begins.
    #[serde(flatten)]
    pub header: Header,
    /// Nothing was written.
    pub dry_run: bool,
    /// Below which directory.
    pub root: String,
    /// What the files hold.
    pub values: Vec<PersistedValue>,
    /// The files, in the order in which they are read at boot.
    pub files: Vec<PersistedFile>,
    /// What another file sets after them: at boot that holds.
    pub overridden: Vec<Overriding>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// One value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PersistedValue {
    /// After `nf_conntrack_` (`max`, `tcp_timeout_established`).
    pub name: String,
    /// What is written.
    pub value: u64,
    /// What the kernel holds now.
    pub now: u64,
    /// Why the two differ.
    pub reason: Option<String>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PersistedFile {
    /// Where.
    pub path: String,
    /// `new`, `changed`, `unchanged`, or `removed`: an earlier one that nothing reads.
    pub change: String,
    /// Unified; empty where nothing changes.
    pub diff: String,
    /// Where the file before is kept.
    pub backup: Option<String>,
}

/// A line that comes later.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Overriding {
    /// After `nf_conntrack_`; `module` where the module itself is kept from loading.
    pub name: String,
    /// Where: `FILE:LINE`.
    pub place: String,
    /// What the line says.
    pub line: String,
}
