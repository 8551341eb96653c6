//! The timeout sysctl that governs an entry, by its protocol and state.

use super::entry::{Entry, TcpInfo, TcpState};
use super::timeouts::{TIMEOUTS, Timeout};
use super::tuple::{DCCP, GRE, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE};

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// The timeout of this name, found when the program is compiled: entries are looked at by the million.
const fn at(name: &str) -> Timeout {
    let mut i = 0;
    while i < TIMEOUTS.len() {
        if same(TIMEOUTS[i].name, name) {
            return Timeout::of_place(i as u8);
        }
        i += 1;
    }
    panic!("no timeout has this name")
}

/// By the kernel's number of the state (`tcp_timeouts` in net/netfilter/nf_conntrack_proto_tcp.c). NONE and SYN_SENT2
/// have no sysctl.
const TCP_STATES: [Option<Timeout>; 9] = [
    None,
    Some(at("tcp_timeout_syn_sent")),
    Some(at("tcp_timeout_syn_recv")),
    Some(at("tcp_timeout_established")),
    Some(at("tcp_timeout_fin_wait")),
    Some(at("tcp_timeout_close_wait")),
    Some(at("tcp_timeout_last_ack")),
    Some(at("tcp_timeout_time_wait")),
    Some(at("tcp_timeout_close")),
];

impl Timeout {
    /// The timeout that an ordinary packet of this entry sets, as it is now; `None` where no sysctl says it. A tracker
    /// of its own (GRE, SCTP, DCCP) never takes `generic_timeout`. GRE keeps what it was born with (`ct->proto.gre`),
    /// so that a new value is for new flows alone; a timeout policy or a helper may set another.
    pub fn governing(entry: &Entry) -> Option<Timeout> {
        let (replied, assured) = (entry.status.seen_reply(), entry.status.assured());
        Some(match entry.original.protocol {
            // Data that nobody has acknowledged holds an open connection to less than `tcp_timeout_established`.
            TCP if entry.tcp?.state == TcpState::Established && entry.tcp?.any(TcpInfo::UNACKNOWLEDGED) => {
                const { at("tcp_timeout_unacknowledged") }
            }
            TCP => {
                return TCP_STATES.get(usize::from(entry.tcp?.state.to_kernel())).copied().flatten();
            }
            // ASSURED by the packet that first sets the stream's timeout (nf_conntrack_udp_packet).
            UDP | UDPLITE if assured => const { at("udp_timeout_stream") },
            UDP | UDPLITE => const { at("udp_timeout") },
            ICMP => const { at("icmp_timeout") },
            ICMPV6 => const { at("icmpv6_timeout") },
            GRE if replied => const { at("gre_timeout_stream") },
            GRE => const { at("gre_timeout") },
            SCTP if assured => const { at("sctp_timeout_established") },
            SCTP | DCCP => return None,
            _ => const { at("generic_timeout") },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Status, Tuple};

    #[test]
    fn every_protocol_and_state_has_the_timeout_that_the_kernel_gives_it() {
        let entry = |protocol, status| Entry {
            original: Tuple { protocol, ..Tuple::default() },
            status: Status(status),
            ..Entry::default()
        };
        let tcp = |state| {
            let tcp = Some(TcpInfo { state, flags_original: 0, flags_reply: 0 });
            Entry { tcp, ..entry(TCP, Status::SEEN_REPLY | Status::ASSURED) }
        };
        let unacknowledged = |state| {
            let flags_reply = TcpInfo::UNACKNOWLEDGED;
            Entry { tcp: Some(TcpInfo { state, flags_original: 0, flags_reply }), ..tcp(TcpState::None) }
        };
        let (replied, assured) = (Status::SEEN_REPLY, Status::SEEN_REPLY | Status::ASSURED);
        for (entry, name) in [
            (tcp(TcpState::SynSent), Some("tcp_timeout_syn_sent")),
            (tcp(TcpState::SynSent2), None),
            (tcp(TcpState::None), None),
            (tcp(TcpState::Unknown(200)), None),
            (tcp(TcpState::Established), Some("tcp_timeout_established")),
            (unacknowledged(TcpState::Established), Some("tcp_timeout_unacknowledged")),
            (unacknowledged(TcpState::LastAck), Some("tcp_timeout_last_ack")),
            (tcp(TcpState::TimeWait), Some("tcp_timeout_time_wait")),
            (tcp(TcpState::Close), Some("tcp_timeout_close")),
            (entry(TCP, 0), None),
            (entry(UDP, 0), Some("udp_timeout")),
            (entry(UDP, replied), Some("udp_timeout")),
            (entry(UDPLITE, assured), Some("udp_timeout_stream")),
            (entry(ICMP, replied), Some("icmp_timeout")),
            (entry(ICMPV6, 0), Some("icmpv6_timeout")),
            (entry(GRE, 0), Some("gre_timeout")),
            (entry(GRE, assured), Some("gre_timeout_stream")),
            (entry(SCTP, assured), Some("sctp_timeout_established")),
            (entry(SCTP, replied), None),
            (entry(DCCP, assured), None),
            (entry(50, 0), Some("generic_timeout")),
            (entry(4, assured), Some("generic_timeout")),
        ] {
            assert_eq!(Timeout::governing(&entry).map(Timeout::name), name, "{entry:?}");
        }
    }
}
