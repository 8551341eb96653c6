//! Facts of single entries that an agent has heard and seen, which one look at the table does not tell.

use serde::{Deserialize, Serialize};

use super::candidate::EntryId;
use super::record::Netns;
use super::remembered::EntryRow;

/// An entry as earlier scans of the agent saw it. Times are from the moment of the answer.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct ObservedBefore {
    /// Seconds until it expires by what they saw: with another expiry now, a packet came since.
    pub expires_in_seconds: f64,
    /// For how long no packet has come, if it still has that expiry.
    pub silent_seconds: f64,
    /// Packets of both directions, the low 32 bits; 0 without accounting.
    pub packets: u32,
    /// A packet was once seen to come.
    pub renewed: bool,
}

/// An entry that the agent gave a second chance. Times are from the moment of the answer.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct GivenChance {
    /// Seconds until it is gone, unless a packet comes: with another expiry now, one came.
    pub expires_in_seconds: f64,
    /// For how long it has had its second chance.
    pub given_seconds: f64,
    /// For how long no packet has come, if it still has that expiry.
    pub silent_seconds: f64,
}

/// Facts that an agent knows of one entry.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Knowledge {
    /// Another program wrote its time left, or may have: that proves nothing.
    pub foreign: bool,
    /// None where no scan saw it, or its idleness did not have to be observed.
    #[serde(default)]
    pub observed: Option<ObservedBefore>,
    /// None where it was given none, or has had a packet since.
    #[serde(default)]
    pub second_chance: Option<GivenChance>,
}

/// The answer to a question for what an agent knows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KnowledgeDocument {
    /// Version of the format, always 1.
    pub schema: u32,
    /// RFC 3339, UTC.
    pub taken_at: String,
    /// Network namespace of the agent.
    pub netns: Netns,
    /// Another program has written entries that are there, or may have: which, `foreign` tells of each.
    pub others_update: bool,
    /// The timeouts, policies and flowtables that were in force in this boot, as far as agents saw; only where no
    /// entry is asked for.
    #[serde(default)]
    pub seen: Option<serde_json::Value>,
    /// One for each entry that was asked for, in order.
    pub entries: Vec<Knowledge>,
}

impl KnowledgeDocument {
    /// Entries that may be asked for at once: with IPv6 addresses they fit into a request of 64 KiB.
    pub const MOST: usize = 200;
}

impl From<&EntryId> for EntryRow {
    fn from(id: &EntryId) -> Self {
        EntryRow::new(id, false)
    }
}
