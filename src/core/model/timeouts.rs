//! The kernel's conntrack timeouts: names, defaults, and how far the agent may shorten each.

/// Facts of one timeout sysctl.
#[derive(Debug, PartialEq, Eq)]
pub struct TimeoutSpec {
    /// The sysctl's name after `nf_conntrack_`, which is also the contract's.
    pub name: &'static str,
    /// The kernel's compiled-in value in seconds (net/netfilter/nf_conntrack_proto_*.c).
    pub kernel_default_seconds: u32,
    /// The configuration key of its floor; `None` for a timeout that the agent never touches.
    pub floor_key: Option<&'static str>,
    /// The default floor in seconds.
    pub floor_seconds: u32,
    /// On what the floor stands.
    pub source: &'static str,
}

const fn fixed(name: &'static str, kernel_default_seconds: u32) -> TimeoutSpec {
    let (floor_key, source) = (None, "never touched");
    TimeoutSpec { name, kernel_default_seconds, floor_key, floor_seconds: kernel_default_seconds, source }
}

const fn floor(
    name: &'static str,
    kernel_default_seconds: u32,
    key: &'static str,
    floor_seconds: u32,
    source: &'static str,
) -> TimeoutSpec {
    TimeoutSpec { name, kernel_default_seconds, floor_key: Some(key), floor_seconds, source }
}

/// Every timeout, in the order in which they are shown.
pub const TIMEOUTS: &[TimeoutSpec] = &[
    floor(
        "tcp_timeout_established",
        432_000,
        "tcp_established_floor_seconds",
        7440,
        "RFC 5382 REQ-5: at least 2 h 4 min",
    ),
    floor(
        "tcp_timeout_syn_sent",
        120,
        "tcp_syn_sent_floor_seconds",
        60,
        "tcp_syn_retries: retransmissions at 1, 3, 7, 15 and 31 s",
    ),
    floor(
        "tcp_timeout_syn_recv",
        60,
        "tcp_syn_recv_floor_seconds",
        60,
        "kernel default; tcp_synack_retries end after 63 s",
    ),
    fixed("tcp_timeout_fin_wait", 120),
    fixed("tcp_timeout_close_wait", 60),
    floor("tcp_timeout_last_ack", 30, "tcp_last_ack_floor_seconds", 30, "kernel default"),
    floor("tcp_timeout_time_wait", 120, "tcp_time_wait_floor_seconds", 60, "TCP_TIMEWAIT_LEN of Linux hosts"),
    floor("tcp_timeout_close", 10, "tcp_close_floor_seconds", 10, "kernel default"),
    fixed("tcp_timeout_max_retrans", 300),
    fixed("tcp_timeout_unacknowledged", 300),
    floor("udp_timeout", 30, "udp_floor_seconds", 30, "kernel default, below RFC 4787 REQ-5 already"),
    floor("udp_timeout_stream", 120, "udp_stream_floor_seconds", 120, "RFC 4787 REQ-5: at least 2 min"),
    floor("icmp_timeout", 30, "icmp_floor_seconds", 60, "RFC 5508 REQ-2: at least 60 s"),
    floor("icmpv6_timeout", 30, "icmpv6_floor_seconds", 60, "RFC 5508 REQ-2: at least 60 s"),
    floor("generic_timeout", 600, "generic_floor_seconds", 240, "RFC 5382 REQ-5: transitory 4 min"),
    floor("gre_timeout", 30, "gre_floor_seconds", 30, "kernel default"),
    floor("gre_timeout_stream", 180, "gre_stream_floor_seconds", 180, "kernel default"),
    fixed("sctp_timeout_closed", 10),
    fixed("sctp_timeout_cookie_wait", 3),
    fixed("sctp_timeout_cookie_echoed", 3),
    floor(
        "sctp_timeout_established",
        210,
        "sctp_established_floor_seconds",
        210,
        "kernel default: hb.interval and path.max.retrans of RFC 9260",
    ),
    fixed("sctp_timeout_shutdown_sent", 3),
    fixed("sctp_timeout_shutdown_recd", 3),
    fixed("sctp_timeout_shutdown_ack_sent", 3),
    fixed("sctp_timeout_heartbeat_sent", 30),
    fixed("dccp_timeout_request", 240),
    fixed("dccp_timeout_respond", 480),
    fixed("dccp_timeout_partopen", 480),
    fixed("dccp_timeout_open", 43_200),
    fixed("dccp_timeout_closereq", 64),
    fixed("dccp_timeout_closing", 64),
    fixed("dccp_timeout_timewait", 240),
];

/// One of [`TIMEOUTS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeout(u8);

impl Timeout {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Timeout> {
        (0..TIMEOUTS.len() as u8).map(Timeout)
    }

    /// At this place of [`TIMEOUTS`].
    pub(super) const fn of_place(place: u8) -> Timeout {
        assert!((place as usize) < TIMEOUTS.len());
        Timeout(place)
    }

    /// By its name (`tcp_timeout_established`).
    pub fn named(name: &str) -> Option<Timeout> {
        TIMEOUTS.iter().position(|t| t.name == name).map(|i| Timeout(i as u8))
    }

    /// Facts of the timeout.
    pub fn spec(self) -> &'static TimeoutSpec {
        &TIMEOUTS[self.0 as usize]
    }

    /// The kernel's tracker that has it: `tcp`, `udp`, `generic` and so on.
    pub fn tracker(self) -> &'static str {
        self.name().split_once("_timeout").map_or("generic", |(tracker, _)| tracker)
    }

    /// Name of the sysctl after `nf_conntrack_`.
    pub fn name(self) -> &'static str {
        self.spec().name
    }
}

impl std::fmt::Debug for Timeout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Values of the timeouts, in seconds; a kernel that lacks one has no value for it.
pub type TimeoutValues = std::collections::BTreeMap<Timeout, u32>;

impl serde::Serialize for Timeout {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for Timeout {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Timeout::named(&name).ok_or_else(|| serde::de::Error::custom(format!("no timeout is called {name}")))
    }
}

/// A timeout policy: flows under it have bases of their own, and a dump does not say which flows those are.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TimeoutPolicy {
    /// IP protocol number.
    pub protocol: u8,
    /// Its timeouts, whatever their states.
    pub seconds: Vec<u32>,
}
