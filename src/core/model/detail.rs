//! Attributes of an entry that conntrack(8) shows, beyond those that counting and judging need.

use super::entry::Entry;
use super::tuple::Tuple;

/// Packets and bytes of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Counters {
    pub packets: u64,
    pub bytes: u64,
}

/// An entry with every attribute that the kernel told.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Detail {
    /// Attributes that all others look at.
    pub entry: Entry,
    /// Number of the state of SCTP (`enum sctp_conntrack`) or DCCP (`enum ct_dccp_states`).
    pub other_state: Option<u8>,
    /// `CTA_ZONE`: both directions are in it.
    pub zone: Option<u16>,
    /// Zone of the original direction alone.
    pub zone_original: Option<u16>,
    /// Zone of the reply direction alone.
    pub zone_reply: Option<u16>,
    /// Of the original direction, with `nf_conntrack_acct`.
    pub counters_original: Option<Counters>,
    /// Packets and bytes of the reply direction.
    pub counters_reply: Option<Counters>,
    /// `CTA_STATUS` is there.
    pub has_status: bool,
    /// `CTA_MARK`, 0 too.
    pub mark: Option<u32>,
    /// Number of the security context, `CTA_SECMARK`.
    pub secmark: Option<u32>,
    /// Name of the security context, `CTA_SECCTX_NAME`.
    pub secctx: Option<String>,
    /// Name of the helper, `CTA_HELP_NAME`.
    pub helper: Option<String>,
    /// References to the entry, `CTA_USE`.
    pub use_count: Option<u32>,
    /// `CTA_TIMESTAMP_STOP` in seconds of the Unix epoch; 0 for what has not ended.
    pub stopped_unix_seconds: u64,
}

impl Detail {
    /// Reply direction; where the kernel told none, as conntrack(8) takes it: nothing.
    pub fn reply(&self) -> Tuple {
        self.entry.reply.unwrap_or_default()
    }
}
