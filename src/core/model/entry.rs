//! An entry of the table (`struct nf_conn`), as ctnetlink tells of it, and what happens to it.

use super::tuple::{SourceKey, Tuple};

/// `enum ip_conntrack_status`, include/uapi/linux/netfilter/nf_conntrack_common.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status(pub u32);

impl Status {
    /// Child of an expectation.
    pub const EXPECTED: u32 = 1 << 0;
    /// Packets were seen in both directions.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// The kernel's early drop leaves it alone.
    pub const ASSURED: u32 = 1 << 2;
    /// In the hash.
    pub const CONFIRMED: u32 = 1 << 3;
    /// Source address is translated.
    pub const SRC_NAT: u32 = 1 << 4;
    /// Destination address is translated.
    pub const DST_NAT: u32 = 1 << 5;
    /// On its way out.
    pub const DYING: u32 = 1 << 9;
    /// No packet refreshes its timeout.
    pub const FIXED_TIMEOUT: u32 = 1 << 10;
    /// A helper is attached.
    pub const HELPER: u32 = 1 << 13;
    /// Its packets go through a flowtable and do not refresh it.
    pub const OFFLOAD: u32 = 1 << 14;
    /// IPS_HW_OFFLOAD: it is in a flowtable of the hardware.
    pub const HW_OFFLOAD: u32 = 1 << 15;

    /// True if any bit of `mask` is set.
    pub fn any(self, mask: u32) -> bool {
        self.0 & mask != 0
    }
    /// True if it is ASSURED (IPS_ASSURED).
    pub fn assured(self) -> bool {
        self.any(Self::ASSURED)
    }
    /// True if it was answered (IPS_SEEN_REPLY).
    pub fn seen_reply(self) -> bool {
        self.any(Self::SEEN_REPLY)
    }
}

/// `enum tcp_conntrack`, include/uapi/linux/netfilter/nf_conntrack_tcp.h.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum TcpState {
    None,
    SynSent,
    SynRecv,
    Established,
    FinWait,
    CloseWait,
    LastAck,
    TimeWait,
    Close,
    SynSent2,
    Unknown(u8),
}

impl TcpState {
    /// The state of a `CTA_PROTOINFO_TCP_STATE` value.
    pub fn from_kernel(value: u8) -> Self {
        match value {
            0 => Self::None,
            1 => Self::SynSent,
            2 => Self::SynRecv,
            3 => Self::Established,
            4 => Self::FinWait,
            5 => Self::CloseWait,
            6 => Self::LastAck,
            7 => Self::TimeWait,
            8 => Self::Close,
            9 => Self::SynSent2,
            other => Self::Unknown(other),
        }
    }

    /// The kernel's number of this state.
    pub fn to_kernel(self) -> u8 {
        match self {
            Self::None => 0,
            Self::SynSent => 1,
            Self::SynRecv => 2,
            Self::Established => 3,
            Self::FinWait => 4,
            Self::CloseWait => 5,
            Self::LastAck => 6,
            Self::TimeWait => 7,
            Self::Close => 8,
            Self::SynSent2 => 9,
            Self::Unknown(other) => other,
        }
    }

    /// The states of `enum tcp_conntrack`, without those that no entry is in.
    pub const ALL: [TcpState; 10] = [
        Self::None,
        Self::SynSent,
        Self::SynRecv,
        Self::Established,
        Self::FinWait,
        Self::CloseWait,
        Self::LastAck,
        Self::TimeWait,
        Self::Close,
        Self::SynSent2,
    ];

    /// In lower case with `-`; `unknown` for a number that the kernel's header does not have.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SynSent => "syn-sent",
            Self::SynRecv => "syn-recv",
            Self::Established => "established",
            Self::FinWait => "fin-wait",
            Self::CloseWait => "close-wait",
            Self::LastAck => "last-ack",
            Self::TimeWait => "time-wait",
            Self::Close => "close",
            Self::SynSent2 => "syn-sent2",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl std::fmt::Display for TcpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// `CTA_PROTOINFO_TCP`: the state and the flags of both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpInfo {
    /// State of the connection.
    pub state: TcpState,
    /// `IP_CT_TCP_FLAG_*` of the original direction.
    pub flags_original: u8,
    /// `IP_CT_TCP_FLAG_*` of the reply direction.
    pub flags_reply: u8,
}

impl TcpInfo {
    /// `IP_CT_TCP_FLAG_CLOSE_INIT`: this direction sent the first FIN.
    pub const CLOSE_INIT: u8 = 0x04;
    /// `IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED`: data or a FIN of this direction has not been acknowledged.
    pub const UNACKNOWLEDGED: u8 = 0x10;

    /// True if a flag of `mask` is set in either direction.
    pub fn any(self, mask: u8) -> bool {
        (self.flags_original | self.flags_reply) & mask != 0
    }

    /// True if one direction may still send, though the state is TIME_WAIT or CLOSE.
    ///
    /// LAST_ACK and TIME_WAIT follow a FIN that one side sends twice as well as the FINs of both sides. A RST makes
    /// CLOSE of a connection that has seen a FIN without a check of its sequence number (`nf_conntrack_tcp_packet`,
    /// `tcp_can_early_drop`), so an endpoint may have ignored it. Only a RST before any FIN is checked.
    pub fn may_be_half_open(self) -> bool {
        match self.state {
            TcpState::TimeWait => true,
            TcpState::Close => self.any(Self::CLOSE_INIT),
            _ => false,
        }
    }
}

/// An entry of the table. Copied, never allocated.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Entry {
    /// Identity of the entry, `CTA_ID`.
    pub id: u32,
    /// Zone of the original direction (`CTA_ZONE`, or the zone inside `CTA_TUPLE_ORIG`): the kernel finds the entry by
    /// it.
    pub zone: u16,
    /// Zone of the reply direction, if it is another than `zone` (`ct original zone set`, `ct reply zone set`).
    pub reply_zone: Option<u16>,
    /// Tuple of the original direction.
    pub original: Tuple,
    /// Tuple of the reply direction.
    pub reply: Option<Tuple>,
    /// Bits of `enum ip_conntrack_status`.
    pub status: Status,
    /// `CTA_TIMEOUT`, seconds left; offloaded entries and DESTROY events have none.
    pub timeout_seconds: Option<u32>,
    /// State of a TCP connection; `None` of other protocols.
    pub tcp: Option<TcpInfo>,
    /// `CTA_MARK`; 0 where there is none.
    pub mark: u32,
    /// `CTA_HELP` is present.
    pub helper: bool,
    /// `CTA_TUPLE_MASTER`: the original tuple of the entry that expected this one.
    pub master: Option<Tuple>,
    /// Packets of both directions together, where accounting is on.
    pub packets: Option<u64>,
    /// `CTA_TIMESTAMP_START` in seconds of the Unix epoch, where timestamps are on.
    pub started_unix_seconds: Option<u64>,
}

impl Entry {
    /// Zones of the original and the reply direction; 0 is the default zone.
    pub fn zones(&self) -> [u16; 2] {
        [self.zone, self.reply_zone.unwrap_or(self.zone)]
    }

    /// The entry's zone in whichever direction it holds. A child is in the zone of its master by this alone, each in
    /// directions of its own (`nf_ct_zone_equal_any`), and names no zone with its master's tuple.
    pub fn zone_id(&self) -> u16 {
        if self.zone != 0 { self.zone } else { self.reply_zone.unwrap_or(0) }
    }

    /// Zone of both directions, as `conntrack -w` compares it (`CTA_ZONE`): 0 where only one direction has a zone.
    pub fn common_zone(&self) -> u16 {
        if self.reply_zone.is_none() { self.zone } else { 0 }
    }

    /// Source that this entry is counted for.
    pub fn source_key(&self) -> SourceKey {
        SourceKey { address: self.original.source, zone: self.zone }
    }
}

/// A message of the event stream.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Event {
    /// Kind of the event.
    pub kind: EventKind,
    /// The entry as the message shows it.
    pub entry: Entry,
    /// `nlmsghdr.nlmsg_pid` is not 0: another ctnetlink user caused it.
    pub foreign: bool,
}

/// Kind of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// The entry began (IPCT_NEW).
    New,
    /// Any other change.
    Update,
    /// The entry ended (IPCT_DESTROY).
    Destroy,
}

impl EventKind {
    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::New => "new",
            EventKind::Update => "update",
            EventKind::Destroy => "destroy",
        }
    }
}
