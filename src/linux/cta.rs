//! Numbers of ctnetlink's attributes, by their names in the kernel's headers without `CTA_`
//! (include/uapi/linux/netfilter/nfnetlink_conntrack.h). Numbers in attributes are big-endian.

/// Original direction: a nest of [`tuple`].
pub const TUPLE_ORIG: u16 = 1;
/// Reply direction: a nest of [`tuple`].
pub const TUPLE_REPLY: u16 = 2;
/// `enum ip_conntrack_status`, 32 bits.
pub const STATUS: u16 = 3;
/// State of the protocol's tracker: a nest of [`protoinfo`].
pub const PROTOINFO: u16 = 4;
/// The helper of the entry: a nest whose first attribute is its name.
pub const HELP: u16 = 5;
/// Seconds before the entry expires, 32 bits; missing of an entry in a flowtable.
pub const TIMEOUT: u16 = 7;
/// Mark, 32 bits.
pub const MARK: u16 = 8;
/// Packets and bytes of the original direction: a nest of [`counters`].
pub const COUNTERS_ORIG: u16 = 9;
/// Packets and bytes of the reply direction: a nest of [`counters`].
pub const COUNTERS_REPLY: u16 = 10;
/// References to the entry, 32 bits.
pub const USE: u16 = 11;
/// Identity that tells an entry from a later one of the same tuple, 32 bits.
pub const ID: u16 = 12;
/// Original tuple of the entry that expected this one: a nest of [`tuple`].
pub const TUPLE_MASTER: u16 = 14;
/// Number of the security context, 32 bits; kernels before 2.6.37 alone.
pub const SECMARK: u16 = 17;
/// Zone of both directions, 16 bits.
pub const ZONE: u16 = 18;
/// Security context: a nest whose first attribute is its name.
pub const SECCTX: u16 = 19;
/// Begin and end of the entry: a nest of [`timestamp`].
pub const TIMESTAMP: u16 = 20;
/// The filter of a dump, since 5.8: a nest of [`filter`].
pub const FILTER: u16 = 25;
/// Bits of the status that a dump is filtered by, since 5.15; 32 bits.
pub const STATUS_MASK: u16 = 26;

/// One direction (`enum ctattr_tuple`).
pub mod tuple {
    /// Addresses: a nest of [`super::ip`].
    pub const IP: u16 = 1;
    /// Protocol and ports: a nest of [`super::proto`].
    pub const PROTO: u16 = 2;
    /// Zone of this direction alone, 16 bits.
    pub const ZONE: u16 = 3;
}

/// Addresses (`enum ctattr_ip`).
pub mod ip {
    /// Source address of IPv4.
    pub const V4_SRC: u16 = 1;
    /// Destination address of IPv4.
    pub const V4_DST: u16 = 2;
    /// Source address of IPv6.
    pub const V6_SRC: u16 = 3;
    /// Destination address of IPv6.
    pub const V6_DST: u16 = 4;
}

/// Protocol and ports (`enum ctattr_l4proto`).
pub mod proto {
    /// Number of the protocol, 8 bits.
    pub const NUM: u16 = 1;
    /// Source port, or the key of GRE; 16 bits.
    pub const SRC_PORT: u16 = 2;
    /// Destination port, or the key of GRE; 16 bits.
    pub const DST_PORT: u16 = 3;
    /// Identifier of an ICMP query, 16 bits.
    pub const ICMP_ID: u16 = 4;
    /// Type of ICMP, 8 bits.
    pub const ICMP_TYPE: u16 = 5;
    /// Code of ICMP, 8 bits.
    pub const ICMP_CODE: u16 = 6;
    /// Identifier of an ICMPv6 query, 16 bits.
    pub const ICMPV6_ID: u16 = 7;
    /// Type of ICMPv6, 8 bits.
    pub const ICMPV6_TYPE: u16 = 8;
    /// Code of ICMPv6, 8 bits.
    pub const ICMPV6_CODE: u16 = 9;
}

/// State of a tracker (`enum ctattr_protoinfo`).
pub mod protoinfo {
    /// A nest of [`super::tcp`].
    pub const TCP: u16 = 1;
    /// A nest whose first attribute is the state.
    pub const DCCP: u16 = 2;
    /// A nest whose first attribute is the state.
    pub const SCTP: u16 = 3;
    /// The state inside the nests of DCCP and SCTP, 8 bits.
    pub const STATE: u16 = 1;
}

/// State of TCP (`enum ctattr_protoinfo_tcp`).
pub mod tcp {
    /// `enum tcp_conntrack`, 8 bits.
    pub const STATE: u16 = 1;
    /// `IP_CT_TCP_FLAG_*` of the original direction and their mask, 8 bits each.
    pub const FLAGS_ORIGINAL: u16 = 4;
    /// `IP_CT_TCP_FLAG_*` of the reply direction and their mask, 8 bits each.
    pub const FLAGS_REPLY: u16 = 5;
}

/// Accounting (`enum ctattr_counters`).
pub mod counters {
    /// Packets, 64 bits.
    pub const PACKETS: u16 = 1;
    /// Bytes, 64 bits.
    pub const BYTES: u16 = 2;
}

/// Begin and end (`enum ctattr_tstamp`).
pub mod timestamp {
    /// Nanoseconds of the Unix epoch, 64 bits.
    pub const START: u16 = 1;
    /// Nanoseconds of the Unix epoch, 64 bits; in the event of the end alone.
    pub const STOP: u16 = 2;
}

/// A dump's filter (`enum ctattr_filter`).
pub mod filter {
    /// Fields of the original tuple that have to be the same, 32 bits.
    pub const ORIG_FLAGS: u16 = 1;
}

/// Names, in the nests of [`HELP`] and [`SECCTX`] (`enum ctattr_help`, `enum ctattr_secctx`).
pub const NAME: u16 = 1;

/// Statistics of one CPU (`enum ctattr_stats_cpu`), 32 bits each.
pub mod stats {
    /// Entries that were created over netlink.
    pub const INSERT: u16 = 8;
    /// Entries that could not be inserted.
    pub const INSERT_FAILED: u16 = 9;
    /// Packets that were dropped: the table was full, or an insertion failed.
    pub const DROP: u16 = 10;
    /// Entries that were dropped early to make room.
    pub const EARLY_DROP: u16 = 11;
    /// Insertions that failed because a chain was too long, since 5.15.
    pub const CHAIN_TOOLONG: u16 = 15;
}

/// Statistics of the namespace (`enum ctattr_stats_global`), 32 bits each.
pub mod stats_global {
    /// Entries in the namespace's table.
    pub const ENTRIES: u16 = 1;
    /// `nf_conntrack_max`, since 5.10.
    pub const MAX_ENTRIES: u16 = 2;
}

/// Expectations' statistics of one CPU (`enum ctattr_expect_stats`), 32 bits each.
pub mod stats_exp {
    /// Connections that were expected and came.
    pub const NEW: u16 = 1;
}
