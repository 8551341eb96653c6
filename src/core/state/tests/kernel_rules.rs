//! Timeouts that the kernel may set for a packet, and in which state that leaves the entry: net/netfilter of Linux
//! 6.18.
//!
//! A packet may have several outcomes, for a window, a retransmission or a checksum decides between them; every outcome
//! of the kernel is among them. Random packets through a gateway hold these rules against the running kernel
//! (`integration/test_proofs.rs`), and random walks by them hold the proofs of idleness against these rules.

/// What a dump shows of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    pub protocol: u8,
    /// `enum tcp_conntrack`; 0 for other protocols.
    pub tcp_state: u8,
    /// `IPS_SEEN_REPLY`.
    pub replied: bool,
    /// `IPS_ASSURED`.
    pub assured: bool,
}

/// A TCP segment as `get_conntrack_index` sorts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segment {
    Syn,
    SynAck,
    Fin,
    Ack,
    Rst,
}

/// A packet that counts for the entry: one that is not invalid, and not let through unseen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// It comes from the reply's side.
    pub reply: bool,
    /// Of TCP alone.
    pub segment: Option<Segment>,
}

/// The entry after a packet, and the timeouts of which one has been set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    pub after: Shown,
    pub timeouts: Vec<&'static str>,
}

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

const SYN_SENT: u8 = 1;
const SYN_RECV: u8 = 2;
const ESTABLISHED: u8 = 3;
const TIME_WAIT: u8 = 7;

/// `tcp_conntracks`: the next state by direction, segment and state. `-` is invalid, `.` is let through and sets
/// nothing.
const NEXT: [[&str; 5]; 2] = [
    ["11.....119", "--2------2", "--4466678-", "3-3355778-", "-888888888"],
    ["-9-----1-9", "-2.......2", "--4466678-", "-.2355778.", "-888888888"],
];

const TCP_TIMEOUTS: [&str; 10] = [
    "",
    "tcp_timeout_syn_sent",
    "tcp_timeout_syn_recv",
    "tcp_timeout_established",
    "tcp_timeout_fin_wait",
    "tcp_timeout_close_wait",
    "tcp_timeout_last_ack",
    "tcp_timeout_time_wait",
    "tcp_timeout_close",
    "tcp_timeout_syn_sent",
];

const SCTP_TIMEOUTS: [&str; 8] = [
    "sctp_timeout_closed",
    "sctp_timeout_cookie_wait",
    "sctp_timeout_cookie_echoed",
    "sctp_timeout_established",
    "sctp_timeout_shutdown_sent",
    "sctp_timeout_shutdown_recd",
    "sctp_timeout_shutdown_ack_sent",
    "sctp_timeout_heartbeat_sent",
];

/// What may come of a packet that counts. `before`: the entry as it was; `None`: there was none.
pub fn outcomes(protocol: u8, before: Option<Shown>, packet: Packet) -> Vec<Outcome> {
    let born = Shown { protocol, tcp_state: 0, replied: false, assured: false };
    let shown = before.unwrap_or(born);
    // Set right after the tracker has seen the first answer (`nf_conntrack_in`).
    let replied = shown.replied || (packet.reply && before.is_some());
    let plain = |timeouts: &[&'static str]| {
        vec![Outcome { after: Shown { replied, ..shown }, timeouts: timeouts.to_vec() }]
    };
    match protocol {
        TCP => tcp(shown, packet, replied),
        // `nf_conntrack_udp_packet`: the answer that is the first to be seen has the timeout of none.
        UDP if shown.assured => plain(&["udp_timeout_stream"]),
        UDP if shown.replied => {
            let stream =
                Outcome { after: Shown { assured: true, ..shown }, timeouts: vec!["udp_timeout_stream"] };
            [plain(&["udp_timeout"]), vec![stream]].concat()
        }
        UDP => plain(&["udp_timeout"]),
        1 => plain(&["icmp_timeout"]),
        58 => plain(&["icmpv6_timeout"]),
        132 => [true, false]
            .map(|assured| {
                let after = Shown { replied, assured: shown.assured || assured, ..shown };
                Outcome { after, timeouts: SCTP_TIMEOUTS.to_vec() }
            })
            .into(),
        _ => plain(&["generic_timeout"]),
    }
}

/// `nf_conntrack_tcp_packet`.
fn tcp(shown: Shown, packet: Packet, replied: bool) -> Vec<Outcome> {
    let Some(segment) = packet.segment else { return Vec::new() };
    let old = shown.tcp_state;
    let row = NEXT[usize::from(packet.reply)][segment as usize];
    let next = row.as_bytes().get(usize::from(old)).copied().unwrap_or(b'-');
    let mut states = match next {
        // An answer to a SYN that was let through before: the connection is another one by now.
        b'.' if segment == Segment::SynAck && packet.reply => vec![SYN_RECV],
        b'-' | b'.' => Vec::new(),
        digit => vec![digit - b'0'],
    };
    // Where both sides have sent a SYN, the first ACK of either opens (IP_CT_TCP_FLAG_SIMULTANEOUS_OPEN).
    if segment == Segment::Ack && packet.reply && old == SYN_RECV {
        states.push(ESTABLISHED);
    }
    // A RST of another sequence number than the one that is expected leaves room for the answer of who knows better.
    if segment == Segment::Rst && !states.is_empty() {
        states.push(old);
    }
    let mut all = Vec::new();
    for state in states {
        // A SYN that opens a closed connection again makes another entry.
        let again = state == SYN_SENT && old >= TIME_WAIT;
        let after =
            Shown { tcp_state: state, replied: replied && !again, assured: shown.assured && !again, ..shown };
        let timeouts =
            vec![TCP_TIMEOUTS[usize::from(state)], "tcp_timeout_max_retrans", "tcp_timeout_unacknowledged"];
        let timeouts = if segment == Segment::Rst {
            vec!["tcp_timeout_close", "tcp_timeout_max_retrans"]
        } else {
            timeouts
        };
        for assured in [after.assured, replied && state == ESTABLISHED] {
            all.push(Outcome { after: Shown { assured, ..after }, timeouts: timeouts.clone() });
        }
    }
    all
}
