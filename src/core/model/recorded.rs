//! Facts, memory and settings of one moment, as a file: what a plan can be made from again, anywhere.

use serde::{Deserialize, Serialize};

use super::answer::{Basis, Header};
use super::record::Netns;
use super::settings::Settings;
use super::snapshot::Snapshot;

/// `plan --snapshot`, and what `plan --from` reads.
///
/// The header stands here in full: what is flattened is parsed from a buffer, and an error then has no place.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SnapshotDocument {
    /// Version of the format, always 1.
    pub schema: u32,
    /// RFC 3339, UTC.
    pub taken_at: String,
    /// Network namespace that it is of.
    pub netns: Netns,
    /// Of the program that recorded it.
    pub version: String,
    /// Tells whether an agent's memory is in it, or nothing was seen before.
    pub basis: Basis,
    /// Facts of the moment.
    pub snapshot: Snapshot,
    /// Memory of the policy: its own, and for nobody else to read.
    pub memory: serde_json::Value,
    /// Settings of the operator.
    pub settings: Settings,
}

impl SnapshotDocument {
    /// Head of the plan's document.
    pub fn header(&self) -> Header {
        Header { schema: self.schema, taken_at: self.taken_at.clone(), netns: self.netns.clone() }
    }
}
