//! An entry in the form of `conntrack -L` (conntrack-tools 1.4.7), for scripts that read that.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::text::escape;
use crate::core::model::{
    Counters, DCCP, Detail, GRE, ICMP, ICMPV6, L4, SCTP, Status, TCP, TcpState, Tuple, UDP, UDPLITE,
};

/// Names of `enum sctp_conntrack`; libnetfilter_conntrack uses them for DCCP's numbers too.
const SCTP_STATES: [&str; 10] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
    "HEARTBEAT_ACKED",
];

/// Writes one line.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, detail: &Detail) -> io::Result<()> {
    let entry = &detail.entry;
    write!(out, "{:<8} {}", protocol(entry.original.protocol), entry.original.protocol)?;
    if let Some(left) = entry.timeout_seconds {
        write!(out, " {left}")?;
    }
    if let Some(tcp) = entry.tcp {
        write!(out, " {}", tcp_state(tcp.state))?;
    }
    if let Some(state) = detail.other_state {
        write!(out, " {}", SCTP_STATES.get(usize::from(state)).unwrap_or(&SCTP_STATES[0]))?;
    }
    direction(out, &entry.original, ("orig", detail.zone_original), detail.counters_original)?;
    if detail.has_status && !entry.status.seen_reply() {
        write!(out, " [UNREPLIED]")?;
    }
    direction(out, &detail.reply(), ("reply", detail.zone_reply), detail.counters_reply)?;
    match entry.status {
        status if status.any(Status::HW_OFFLOAD) => write!(out, " [HW_OFFLOAD]")?,
        status if status.any(Status::OFFLOAD) => write!(out, " [OFFLOAD]")?,
        status if status.assured() => write!(out, " [ASSURED]")?,
        _ => {}
    }
    if let Some(mark) = detail.mark {
        write!(out, " mark={mark}")?;
    }
    if let Some(secmark) = detail.secmark {
        write!(out, " secmark={secmark}")?;
    }
    if let Some(secctx) = &detail.secctx {
        write!(out, " secctx={}", escape(secctx))?;
    }
    if let Some(zone) = detail.zone {
        write!(out, " zone={zone}")?;
    }
    if let Some(started) = entry.started_unix_seconds {
        let until = match detail.stopped_unix_seconds {
            0 => jiff::Timestamp::now().as_second().max(0) as u64,
            stopped => stopped,
        };
        write!(out, " delta-time={}", until.saturating_sub(started))?;
    }
    if let Some(helper) = &detail.helper {
        write!(out, " helper={}", escape(helper))?;
    }
    if let Some(count) = detail.use_count {
        write!(out, " use={count}")?;
    }
    writeln!(out)
}

fn direction(
    out: &mut dyn Write,
    tuple: &Tuple,
    (name, zone): (&str, Option<u16>),
    counters: Option<Counters>,
) -> io::Result<()> {
    write!(out, " src={} dst={}", Address(tuple.source), Address(tuple.destination))?;
    // `conntrack` prints 0 for a value that the kernel does not send (a protocol without its tracker).
    let (source, destination) = match tuple.l4 {
        L4::Ports { source, destination } => (source, destination),
        _ => (0, 0),
    };
    let (kind, code, id) = match tuple.l4 {
        L4::Icmp { kind, code, id } => (kind, code, id),
        _ => (0, 0, 0),
    };
    match tuple.protocol {
        GRE => write!(out, " srckey={source:#x} dstkey={destination:#x}")?,
        TCP | UDP | UDPLITE | SCTP | DCCP => write!(out, " sport={source} dport={destination}")?,
        ICMP | ICMPV6 => write!(out, " type={kind} code={code} id={id}")?,
        _ => {}
    }
    if let Some(zone) = zone {
        write!(out, " zone-{name}={zone}")?;
    }
    match counters {
        Some(Counters { packets, bytes }) => write!(out, " packets={packets} bytes={bytes}"),
        None => Ok(()),
    }
}

/// Returns the protocol's name in libnetfilter_conntrack.
fn protocol(number: u8) -> &'static str {
    match number {
        TCP => "tcp",
        UDP => "udp",
        UDPLITE => "udplite",
        ICMP => "icmp",
        ICMPV6 => "icmpv6",
        SCTP => "sctp",
        GRE => "gre",
        DCCP => "dccp",
        _ => "unknown",
    }
}

fn tcp_state(state: TcpState) -> &'static str {
    match state {
        TcpState::None | TcpState::Unknown(_) => "NONE",
        TcpState::SynSent => "SYN_SENT",
        TcpState::SynRecv => "SYN_RECV",
        TcpState::Established => "ESTABLISHED",
        TcpState::FinWait => "FIN_WAIT",
        TcpState::CloseWait => "CLOSE_WAIT",
        TcpState::LastAck => "LAST_ACK",
        TcpState::TimeWait => "TIME_WAIT",
        TcpState::Close => "CLOSE",
        TcpState::SynSent2 => "SYN_SENT2",
    }
}

/// An address in the form of inet_ntop(3): an IPv6 address whose first 96 bits are zero ends in the form of IPv4, where
/// Rust writes `::102:304`.
struct Address(IpAddr);

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V6(v6) if compatible(v6) => write!(f, "::{}", Ipv4Addr::from(u128::from(v6) as u32)),
            address => address.fmt(f),
        }
    }
}

fn compatible(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    bits >> 32 == 0 && bits >> 16 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Entry;

    fn line(detail: &Detail) -> String {
        let mut out = Vec::new();
        write(&mut out, detail).expect("memory");
        String::from_utf8(out).expect("text")
    }

    fn tuple(source: &str, destination: &str, protocol: u8, l4: L4) -> Tuple {
        let address = |text: &str| text.parse().expect("an address");
        Tuple { source: address(source), destination: address(destination), protocol, l4 }
    }

    /// Checks fields that a kernel without flowtables, security modules and DCCP does not produce.
    #[test]
    fn what_is_rare_has_its_place() {
        let ports = L4::Ports { source: 1, destination: 2 };
        let detail = Detail {
            entry: Entry {
                original: tuple("::1.2.3.4", "::ffff:1.2.3.4", DCCP, ports),
                reply: Some(tuple("::1", "2001:db8::1", DCCP, L4::None)),
                status: Status(Status::SEEN_REPLY | Status::ASSURED | Status::OFFLOAD),
                started_unix_seconds: Some(1000),
                ..Entry::default()
            },
            other_state: Some(4),
            zone_original: Some(9),
            zone_reply: Some(8),
            counters_original: Some(Counters { packets: 3, bytes: 400 }),
            has_status: true,
            mark: Some(0),
            secmark: Some(6),
            secctx: Some("system_u:object_r:\x1b".into()),
            helper: Some("ftp".into()),
            use_count: Some(2),
            stopped_unix_seconds: 1060,
            ..Detail::default()
        };
        let expected = "dccp     33 ESTABLISHED src=::1.2.3.4 dst=::ffff:1.2.3.4 sport=1 dport=2 zone-orig=9 \
            packets=3 bytes=400 src=::1 dst=2001:db8::1 sport=0 dport=0 zone-reply=8 [OFFLOAD] mark=0 secmark=6 \
            secctx=system_u:object_r:\\u{1b} delta-time=60 helper=ftp use=2\n";
        assert_eq!(line(&detail), expected);
        let hardware = Entry { status: Status(Status::HW_OFFLOAD | Status::OFFLOAD), ..detail.entry };
        let text = line(&Detail { entry: hardware, other_state: Some(99), ..detail });
        assert!(
            text.contains("[HW_OFFLOAD]") && text.contains(" NONE ") && text.contains("[UNREPLIED]"),
            "{text}"
        );
    }
}
