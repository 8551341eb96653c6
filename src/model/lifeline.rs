//! `lifeline`: a way in past connection tracking.

use serde::{Deserialize, Serialize};

use super::answer::Header;

/// `lifeline`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LifelineDocument {
    /// As every document begins.
    #[serde(flatten)]
    pub header: Header,
    /// Ports of the gateway's own that are not tracked.
    pub ports: Vec<u16>,
    /// After this time the kernel forgets them; `None`: never.
    pub seconds: Option<u64>,
    /// The kernel has it.
    pub applied: bool,
    /// What nft(8) was given, or may be.
    pub ruleset: String,
    /// What to look at.
    pub warnings: Vec<String>,
}
