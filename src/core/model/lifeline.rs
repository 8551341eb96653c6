//! `lifeline`: a way in past connection tracking.

use serde::{Deserialize, Serialize};

use super::answer::Header;

/// The document of `lifeline`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LifelineDocument {
    /// As every document begins.
    #[serde(flatten)]
    pub header: Header,
    /// Ports of the gateway's own that the rules let past tracking.
    pub ports: Vec<u16>,
    /// After this time the kernel forgets them; `None`: never.
    pub seconds: Option<u64>,
    /// It was done, and not only shown.
    pub applied: bool,
    /// Rules that nft(8) was given, or may be; comments alone where there are refusals.
    pub ruleset: String,
    /// Sentences on what to look at.
    pub warnings: Vec<String>,
    /// Rules in force that would lock the ports out if this was loaded.
    #[serde(default)]
    pub refusals: Vec<String>,
    /// Reason for which the rules in force could not be looked at; `None`: they were.
    #[serde(default)]
    pub not_checked: Option<String>,
    /// Table that the kernel had before; `None`: it was not asked, or this nft cannot say.
    pub before: Option<LifelineTable>,
    /// Table that the kernel has now.
    pub now: Option<LifelineTable>,
}

/// The table of `lifeline` in the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LifelineTable {
    /// It is there, be it without a port: the kernel ends ports alone.
    pub is_there: bool,
    /// Ports that it lets past.
    pub ports: Vec<LifelinePort>,
}

/// A port that is let past.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LifelinePort {
    /// TCP, of this host.
    pub port: u16,
    /// Until the kernel ends it; `None`: never.
    pub left_seconds: Option<u64>,
}
