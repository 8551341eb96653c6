use proptest::prelude::*;

use super::*;
use crate::model::{GRE, ICMP, ICMPV6, TCP, UDP};

fn read(line: &str) -> Entry {
    entry(line).unwrap_or_else(|why| panic!("{line}: {why}")).expect("an entry")
}

fn ports(entry: &Entry) -> (u16, u16) {
    match entry.original.l4 {
        L4::Ports { source, destination } => (source, destination),
        other => panic!("{other:?}"),
    }
}

#[test]
fn conntracks_own_form() {
    let line = "tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=192.0.2.9 sport=40000 dport=443 src=192.0.2.9 \
        dst=198.51.100.1 sport=443 dport=1024 [ASSURED] mark=16 zone=7 use=1";
    let tcp = read(line);
    assert_eq!((tcp.original.source.to_string(), tcp.original.protocol), ("10.0.0.1".into(), TCP));
    assert_eq!((ports(&tcp), tcp.timeout_seconds), ((40000, 443), Some(431_999)));
    assert_eq!((tcp.tcp.map(|tcp| tcp.state), tcp.zone, tcp.mark), (Some(TcpState::Established), 7, 16));
    assert!(tcp.status.assured() && tcp.status.seen_reply());
    assert_eq!(tcp.reply.expect("there").destination.to_string(), "198.51.100.1");
}

#[test]
fn extended_with_id_and_counters_and_the_procs_form() {
    let line = "ipv6     10 udp      17 29 src=2001:db8::1 dst=2001:db8::2 sport=1 dport=53 packets=2 bytes=120 \
        [UNREPLIED] src=2001:db8::2 dst=2001:db8::1 sport=53 dport=1 packets=3 bytes=0 mark=0 use=1 id=4027281924";
    let udp = read(line);
    assert_eq!((udp.original.source.to_string(), udp.original.protocol), ("2001:db8::1".into(), UDP));
    assert_eq!((udp.id, udp.packets, udp.status.seen_reply()), (4_027_281_924, Some(5), false));
    let line = "ipv4     2 icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=55 src=10.0.0.2 dst=10.0.0.1 \
        type=0 code=0 id=55 mark=0 zone=0 use=2";
    let icmp = read(line);
    assert_eq!(icmp.original.protocol, ICMP);
    assert_eq!((icmp.original.l4, icmp.id), (L4::Icmp { kind: 8, code: 0, id: 55 }, 0));
    let six = read(
        "icmpv6 58 29 src=fe80::1 dst=fe80::2 type=128 code=0 id=7 src=fe80::2 dst=fe80::1 type=129 code=0 id=7 use=1 id=9",
    );
    assert_eq!((six.original.protocol, six.id), (ICMPV6, 9));
}

#[test]
fn keys_unknown_protocols_offloaded_flows_and_zones_of_one_direction() {
    let gre = read(
        "gre 47 179 src=10.0.0.1 dst=10.0.0.2 srckey=0x10 dstkey=0x0 src=10.0.0.2 dst=10.0.0.1 srckey=0x0 dstkey=0x10 use=1",
    );
    assert_eq!((gre.original.protocol, ports(&gre)), (GRE, (16, 0)));
    for line in [
        "unknown  99 599 src=10.0.0.1 dst=10.0.0.2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 mark=0 use=1",
        "ipv4     2 unknown  99 599 src=10.0.0.1 dst=10.0.0.2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 use=1",
    ] {
        let other = read(line);
        assert_eq!((other.original.protocol, other.original.l4), (99, L4::None), "{line}");
        assert_eq!(other.timeout_seconds, Some(599));
    }
    let line = "ipv4     2 tcp      6 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 zone-orig=3 src=10.0.0.2 dst=10.0.0.1 \
        sport=2 dport=1 zone-reply=4 [OFFLOAD] mark=0 use=2";
    let offloaded = read(line);
    assert_eq!((offloaded.timeout_seconds, offloaded.zone), (None, 3));
    assert_eq!(offloaded.reply_zone, Some(4));
    assert!(offloaded.status.any(Status::OFFLOAD));
}

#[test]
fn what_is_no_entry_says_why() {
    assert_eq!(entry(""), Ok(None));
    let shown = "conntrack v1.4.8 (conntrack-tools): 12 flow entries have been shown.";
    assert_eq!(entry(shown), Ok(None));
    for line in [
        "tcp",
        "tcp 6",
        "tcp 17 1 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2",
        "tcp 6 1 src=10.0.0.1 dst=10.0.0.256 sport=1 dport=2",
        "tcp 6 1 src=10.0.0.1 dst=2001:db8::1 sport=1 dport=2",
        "tcp 6 1 src=10.0.0.1 dst=10.0.0.2 sport=65536 dport=2",
        "tcp 6 1 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst",
        "udp 17 1 src=10.0.0.1 dst=10.0.0.2 src=10.0.0.1 dst=10.0.0.2 src=10.0.0.1 dst=10.0.0.2",
        "    [NEW] tcp      6 120 SYN_SENT src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2",
        "hello world",
        "udp 17 1 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=0 us",
    ] {
        assert!(entry(line).is_err(), "{line}");
    }
}

proptest! {
    #[test]
    fn no_text_is_a_panic(
        line in "(ipv4 |unknown |tcp |6 |99 |src=|dst=|10\\.0\\.0\\.1 |zone=|id=|code=|0x|\\[ASSURED\\] |[0-9]{1,12} |.){0,30}"
    ) {
        let _ = entry(&line);
    }
}
