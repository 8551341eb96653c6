//! The classes in which entries are missed least first.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Status, TcpInfo, TcpState};
use super::tuple::{TCP, UDP, UDPLITE};

/// A class of entries, in the order in which they are given up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// TCP in CLOSE or TIME_WAIT, with everything acknowledged that either side sent.
    Closed,
    /// Entries that were never answered.
    Unreplied,
    /// Answered UDP to a short-lived service (DNS, NTP), not ASSURED.
    UdpShort,
    /// Other answered UDP.
    Udp,
    /// Every other protocol.
    Other,
    /// TCP in ESTABLISHED, answered.
    Established,
    /// Entries that fair share takes; no entry is of this class by itself.
    FairShare,
}

impl Class {
    /// The classes that an entry can be of, in order.
    pub const ALL: [Class; 6] =
        [Class::Closed, Class::Unreplied, Class::UdpShort, Class::Udp, Class::Other, Class::Established];

    /// Those, and what only fair share takes: every class that a flush can be of.
    pub const FLUSHED: [Class; 7] = [
        Class::Closed,
        Class::Unreplied,
        Class::UdpShort,
        Class::Udp,
        Class::Other,
        Class::Established,
        Class::FairShare,
    ];

    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Class::Closed => "closed",
            Class::Unreplied => "unreplied",
            Class::UdpShort => "udp-short",
            Class::Udp => "udp",
            Class::Other => "other",
            Class::Established => "established",
            Class::FairShare => "fair-share",
        }
    }

    /// The class of an entry; `None` for what is never given up (a handshake that was answered, a half-closed
    /// connection: a server that thinks after the client's FIN sits in CLOSE_WAIT) and for what is not understood.
    ///
    /// TIME_WAIT and CLOSE with unacknowledged data are not closed: a FIN that is sent twice while the peer's link
    /// loses everything gives TIME_WAIT, and the retransmissions still come.
    ///
    /// UDP that is ASSURED is a stream, whatever its port: the kernel has seen packets in both directions for longer
    /// than 2 s (`nf_conntrack_udp_packet`), which no single question and answer takes.
    pub fn of(entry: &Entry, udp_short_ports: &[u16]) -> Option<Class> {
        let replied = entry.status.seen_reply();
        match entry.original.protocol {
            TCP => match entry.tcp?.state {
                TcpState::Close | TcpState::TimeWait => {
                    let acknowledged = !entry.tcp?.any(TcpInfo::UNACKNOWLEDGED);
                    acknowledged.then_some(Class::Closed)
                }
                TcpState::SynSent | TcpState::SynSent2 if !replied => Some(Class::Unreplied),
                TcpState::Established => Some(Class::Established),
                _ => None,
            },
            _ if !replied => Some(Class::Unreplied),
            UDP | UDPLITE => {
                let port = entry.original.destination_port();
                let short = port.is_some_and(|p| udp_short_ports.contains(&p));
                let stream = entry.status.any(Status::ASSURED | Status::EXPECTED);
                Some(if short && !stream { Class::UdpShort } else { Class::Udp })
            }
            _ => Some(Class::Other),
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
