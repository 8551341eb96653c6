//! Entries as the kernel and the agent see them, by the state of their flow.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::core::model::{
    Entry, FlowEnd, FlowKind, ICMP, L4, Status, TCP, TcpInfo, TcpState, Timeout, Traffic, Tuple, UDP,
};

/// The state of an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// A TCP connection.
    Tcp(Tcp),
    /// UDP without an answer.
    UdpOneWay,
    /// UDP with an answer, younger than 2 s: not ASSURED.
    UdpYoung,
    /// UDP with an answer, ASSURED.
    UdpStream,
    /// UDP with an answer to port 53, younger than 2 s: not ASSURED.
    Dns,
    /// An echo, answered.
    Icmp,
    /// Any other protocol, answered.
    Generic,
}

/// The states of TCP that flows here come to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Tcp {
    SynSent,
    Established,
    CloseWait,
    TimeWait,
    Close,
}

impl State {
    /// Of a flow that has just begun.
    pub fn at_birth(kind: FlowKind) -> State {
        match kind {
            FlowKind::Tcp => State::Tcp(Tcp::Established),
            FlowKind::Syn => State::Tcp(Tcp::SynSent),
            FlowKind::Udp => State::UdpYoung,
            FlowKind::OneWay => State::UdpOneWay,
            FlowKind::Dns => State::Dns,
            FlowKind::Icmp => State::Icmp,
            FlowKind::Generic => State::Generic,
        }
    }

    /// Of a flow that has been there for long.
    pub fn settled(kind: FlowKind) -> State {
        match kind {
            FlowKind::Udp => State::UdpStream,
            other => State::at_birth(other),
        }
    }

    /// After the flow's end.
    pub fn at_death(self, end: FlowEnd) -> State {
        match (self, end) {
            (State::Tcp(Tcp::Established), FlowEnd::Close) => State::Tcp(Tcp::TimeWait),
            (State::Tcp(Tcp::Established), FlowEnd::Reset) => State::Tcp(Tcp::Close),
            (State::Tcp(Tcp::Established), FlowEnd::HalfClosed) => State::Tcp(Tcp::CloseWait),
            (other, _) => other,
        }
    }

    /// ASSURED: early drop leaves it alone.
    pub fn assured(self) -> bool {
        matches!(self, State::Tcp(tcp) if tcp != Tcp::SynSent) || self == State::UdpStream
    }

    /// The collector may take it while the table is over 95 % (`gc_worker_can_early_drop`, `tcp_can_early_drop`).
    pub fn sheddable(self) -> bool {
        matches!(self, State::Tcp(Tcp::TimeWait | Tcp::Close | Tcp::CloseWait)) || !self.assured()
    }

    /// True if it was never answered.
    pub fn unreplied(self) -> bool {
        matches!(self, State::UdpOneWay | State::Tcp(Tcp::SynSent))
    }

    /// The timeout that a packet sets in this state.
    pub fn timeout(self) -> Timeout {
        let name = match self {
            State::Tcp(Tcp::SynSent) => "tcp_timeout_syn_sent",
            State::Tcp(Tcp::Established) => "tcp_timeout_established",
            State::Tcp(Tcp::CloseWait) => "tcp_timeout_close_wait",
            State::Tcp(Tcp::TimeWait) => "tcp_timeout_time_wait",
            State::Tcp(Tcp::Close) => "tcp_timeout_close",
            State::UdpStream => "udp_timeout_stream",
            State::UdpOneWay | State::UdpYoung | State::Dns => "udp_timeout",
            State::Icmp => "icmp_timeout",
            State::Generic => "generic_timeout",
        };
        Timeout::named(name).unwrap_or_else(|| unreachable!("{name} is one of TIMEOUTS"))
    }

    /// An entry in this state, as a dump would show one of `traffic`, with `left` seconds before it expires.
    pub fn entry(self, traffic: &Traffic, id: u32, left_seconds: u32) -> Entry {
        let (protocol, l4) = match self {
            State::Tcp(_) => (TCP, ports(443)),
            State::Dns => (UDP, ports(53)),
            State::UdpOneWay | State::UdpYoung | State::UdpStream => (UDP, ports(443)),
            State::Icmp => (ICMP, L4::Icmp { kind: 8, code: 0, id: 1 }),
            State::Generic => (50, L4::None),
        };
        let (source, destination) = (first_host(&traffic.network), far(&traffic.network));
        let original = Tuple { source, destination, protocol, l4 };
        let mut status = Status::CONFIRMED;
        if !self.unreplied() {
            status |= Status::SEEN_REPLY;
        }
        if self.assured() {
            status |= Status::ASSURED;
        }
        let tcp = match self {
            State::Tcp(tcp) => Some(TcpInfo { state: tcp.model(), flags_original: 0, flags_reply: 0 }),
            _ => None,
        };
        let reply = Some(Tuple { source: destination, destination: source, ..original });
        let (status, timeout_seconds) = (Status(status), Some(left_seconds));
        Entry { id, original, reply, status, timeout_seconds, tcp, ..Entry::default() }
    }
}

impl Tcp {
    fn model(self) -> TcpState {
        match self {
            Tcp::SynSent => TcpState::SynSent,
            Tcp::Established => TcpState::Established,
            Tcp::CloseWait => TcpState::CloseWait,
            Tcp::TimeWait => TcpState::TimeWait,
            Tcp::Close => TcpState::Close,
        }
    }
}

fn ports(destination: u16) -> L4 {
    L4::Ports { source: 40_000, destination }
}

fn first_host(network: &IpNet) -> IpAddr {
    network.hosts().next().unwrap_or(network.addr())
}

/// A server somewhere else, of the same family (RFC 5737, RFC 3849).
fn far(network: &IpNet) -> IpAddr {
    match network {
        IpNet::V4(_) => Ipv4Addr::new(203, 0, 113, 1).into(),
        IpNet::V6(_) => IpAddr::from([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    }
}
