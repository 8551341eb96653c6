//! `persist`: what holds at boot from now on.

use serde::{Deserialize, Serialize};

use super::answer::Header;

/// The document of `persist`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PersistDocument {
    /// As every document begins.
    #[serde(flatten)]
    pub header: Header,
    /// Nothing was written.
    pub dry_run: bool,
    /// Below which directory.
    pub root: String,
    /// Values in the files.
    pub values: Vec<PersistedValue>,
    /// The files, in the order in which they are read at boot.
    pub files: Vec<PersistedFile>,
    /// Values that another file sets after them: at boot those hold.
    pub overridden: Vec<Overriding>,
    /// Sentences on what else there is to know.
    pub notes: Vec<String>,
}

/// A value that is made to hold at boot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PersistedValue {
    /// After `nf_conntrack_` (`max`, `tcp_timeout_established`).
    pub name: String,
    /// Value that is written.
    pub value: u64,
    /// Value that the kernel has now.
    pub now: u64,
    /// Reason for which the two differ.
    pub reason: Option<String>,
}

/// A file that is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PersistedFile {
    /// Path of the file.
    pub path: String,
    /// `new`, `changed`, `unchanged`, or `removed`: an earlier one that nothing reads.
    pub change: String,
    /// Unified; empty where nothing changes.
    pub diff: String,
    /// Path at which the file before is kept.
    pub backup: Option<String>,
}

/// A line that comes later.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Overriding {
    /// After `nf_conntrack_`; `module` where the module itself is kept from loading.
    pub name: String,
    /// Place of the line, `FILE:LINE`.
    pub place: String,
    /// Text of the line.
    pub line: String,
}
