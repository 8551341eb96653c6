//! What a kernel was recorded to say of entries that were made on purpose: tests/captures/README.md tells how, and
//! the expectations here are written from that.

use ctctl::core::model::{
    DCCP, Entry, Event, EventKind, GRE, ICMP, ICMPV6, L4, SCTP, Status, TCP, TcpInfo, TcpState, Tuple, UDP,
    UDPLITE,
};
use ctctl::linux::attribute::{Attributes, Message, Messages, NLMSG_DONE};
use ctctl::linux::decode;

use super::recorded::{DUMP, EVENTS, datagrams};
use super::typed;

/// The messages of a capture, each held against the typed parse of its bytes.
fn messages(capture: &'static [u8]) -> Vec<Message<'static>> {
    let mut all = Vec::new();
    for datagram in datagrams(capture) {
        let mut at = 0;
        for message in Messages(datagram) {
            let message = message.expect("a whole message");
            let end = at + 16 + message.payload.len();
            if let Some(event) = decode::event(&message).expect("readable") {
                let typed = typed::parse(&datagram[at..end]).expect("typed");
                assert_eq!(typed::entry(typed::attributes(&typed)), Some(event.entry));
            }
            at = end.next_multiple_of(4);
            all.push(message);
        }
        assert_eq!(at, datagram.len());
    }
    all
}

/// The entries of the dump.
pub fn entries() -> Vec<Entry> {
    let read = |message: &Message<'_>| decode::entry(message).expect("readable");
    messages(DUMP).iter().filter_map(read).collect()
}

fn events() -> Vec<Event> {
    messages(EVENTS).iter().map(|m| decode::event(m).expect("readable").expect("an event")).collect()
}

const C: &str = "10.1.0.1";
const S: &str = "10.1.0.9";
const SILENT: &str = "10.1.0.66";
const C6: &str = "2001:db8::1";
const S6: &str = "2001:db8::9";
const I: &str = "10.2.0.1";
const J: &str = "10.2.0.2";

/// NAT was consulted (`IPS_NAT_DONE_MASK`), as for every entry that packets made where NAT chains are.
const MADE: u32 = Status::CONFIRMED | 0x180;
const ANSWERED: u32 = MADE | Status::SEEN_REPLY;
const HELD: u32 = ANSWERED | Status::ASSURED;
/// WINDOW_SCALE | SACK_PERM | MAXACK_SET, `IP_CT_TCP_FLAG_*`: both ends of a connection on this host.
const OPEN: u8 = 0x23;
/// The same of the end that closed first (CLOSE_INIT).
const CLOSED: u8 = 0x27;
/// SACK_PERM | BE_LIBERAL: what conntrack(8) sets.
const LIBERAL: u8 = 0x0a;

fn tuple(source: &str, destination: &str, protocol: u8, l4: L4) -> Tuple {
    let address = |text: &str| text.parse().expect("address");
    Tuple { source: address(source), destination: address(destination), protocol, l4 }
}

fn ports(source: u16, destination: u16) -> L4 {
    L4::Ports { source, destination }
}

/// Whose reply is its inverse, with its status, base timeout and packets.
fn flow(original: Tuple, status: u32, timeout: u32, packets: u64) -> Entry {
    let l4 = match original.l4 {
        L4::Ports { source, destination } => ports(destination, source),
        L4::Icmp { kind: 8, code, id } => L4::Icmp { kind: 0, code, id },
        L4::Icmp { kind: 128, code, id } => L4::Icmp { kind: 129, code, id },
        other => other,
    };
    let reply = Tuple { source: original.destination, destination: original.source, l4, ..original };
    Entry {
        original,
        reply: Some(reply),
        status: Status(status),
        timeout_seconds: Some(timeout),
        packets: Some(packets),
        ..Entry::default()
    }
}

fn tcp(state: TcpState, flags: (u8, u8), entry: Entry) -> Entry {
    let (flags_original, flags_reply) = flags;
    Entry { tcp: Some(TcpInfo { state, flags_original, flags_reply }), ..entry }
}

fn connections() -> Vec<Entry> {
    use TcpState::{Close, CloseWait, Established, LastAck, SynRecv, SynSent, TimeWait};
    let to = |sport, server, dport| tuple(C, server, TCP, ports(sport, dport));
    let control = to(40008, S, 21);
    let inserted = |sport| tuple(I, J, TCP, ports(sport, 80));
    let balanced = Tuple { source: S.parse().expect("address"), ..tuple(S, C, TCP, ports(8080, 40007)) };
    vec![
        tcp(Established, (OPEN, OPEN), flow(to(40001, S, 8080), HELD, 432_000, 3)),
        tcp(Established, (OPEN, OPEN), flow(tuple(C6, S6, TCP, ports(40002, 8080)), HELD, 432_000, 3)),
        tcp(SynSent, (3, 0), flow(to(40003, SILENT, 81), MADE, 120, 1)),
        tcp(TimeWait, (CLOSED, OPEN), flow(to(40004, S, 8080), HELD, 120, 6)),
        tcp(CloseWait, (CLOSED, OPEN), flow(to(40005, S, 8080), HELD, 60, 5)),
        tcp(Close, (OPEN, OPEN), flow(to(40006, S, 8080), HELD, 10, 4)),
        Entry {
            reply: Some(balanced),
            ..tcp(
                Established,
                (OPEN, OPEN),
                flow(to(40007, "10.1.0.80", 80), HELD | Status::DST_NAT, 432_000, 3),
            )
        },
        Entry {
            helper: true,
            ..tcp(Established, (OPEN, OPEN), flow(control, HELD | Status::HELPER, 432_000, 7))
        },
        Entry {
            master: Some(control),
            ..tcp(Established, (OPEN, OPEN), flow(to(40009, S, 51201), HELD | Status::EXPECTED, 432_000, 3))
        },
        tcp(
            SynRecv,
            (LIBERAL, LIBERAL),
            flow(inserted(1001), Status::CONFIRMED | Status::SEEN_REPLY, 600, 0),
        ),
        Entry {
            mark: 0xfedc_ba98,
            ..tcp(
                LastAck,
                (LIBERAL, LIBERAL),
                flow(inserted(1002), Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED, 600, 0),
            )
        },
    ]
}

fn datagram_flows() -> Vec<Entry> {
    let to = |sport, dport| tuple(C, S, UDP, ports(sport, dport));
    let inserted = |sport| tuple(I, J, UDP, ports(sport, 53));
    vec![
        flow(to(5001, 53), ANSWERED, 30, 2),
        flow(to(5002, 9), MADE, 30, 1),
        flow(tuple(C6, S6, UDP, ports(5003, 53)), ANSWERED, 30, 2),
        flow(tuple(C, S, UDPLITE, ports(5004, 53)), ANSWERED, 30, 2),
        Entry { zone: 7, ..flow(to(5005, 7001), ANSWERED, 30, 2) },
        // Zone 8 of the original direction alone.
        Entry { zone: 8, reply_zone: Some(0), ..flow(to(5006, 7002), MADE, 30, 1) },
        // Zone 9 of the reply direction alone: the original one is in the default zone.
        Entry { reply_zone: Some(9), ..flow(to(5007, 7003), MADE, 30, 1) },
        Entry { mark: 0x2a, ..flow(to(5008, 6001), MADE, 30, 1) },
        flow(to(5009, 6002), MADE, 30, 1),
        Entry {
            reply: Some(tuple(S, "10.1.0.90", UDP, ports(5300, 6666))),
            ..flow(to(5010, 5300), ANSWERED | Status::SRC_NAT, 30, 2)
        },
        Entry { zone: 4660, ..flow(inserted(1003), Status::CONFIRMED, 600, 0) },
        flow(inserted(1004), Status::CONFIRMED, 600, 0),
        flow(inserted(1005), Status::CONFIRMED, 1, 0),
    ]
}

fn other_protocols() -> Vec<Entry> {
    let echo = |kind| L4::Icmp { kind, code: 0, id: 0x1234 };
    vec![
        flow(tuple(C, S, ICMP, echo(8)), ANSWERED, 30, 2),
        flow(tuple(C6, S6, ICMPV6, echo(128)), ANSWERED, 30, 2),
        flow(tuple(C, SILENT, SCTP, ports(3001, 3868)), MADE, 10, 1),
        flow(tuple(C6, S6, SCTP, ports(3001, 3868)), MADE, 10, 1),
        // No key, and with keys.
        flow(tuple(C, SILENT, GRE, ports(0, 0)), MADE, 30, 1),
        flow(tuple(I, J, GRE, ports(0x11, 0x22)), Status::CONFIRMED, 600, 0),
        // The recorded kernel knows no more of DCCP than of protocol 253.
        flow(tuple(C, SILENT, DCCP, L4::None), MADE, 600, 1),
        flow(tuple(C, SILENT, 253, L4::None), MADE, 600, 1),
        flow(tuple(C6, S6, 253, L4::None), MADE, 600, 1),
    ]
}

/// When it was recorded.
const RECORDED: u64 = 1_795_231_954;

/// Without what a recording cannot know beforehand, which is held to its bounds: the id, the start, and up to two
/// seconds of the timeout.
fn settled(entry: &Entry, base: Option<u32>) -> Entry {
    assert_ne!(entry.id, 0);
    assert!(entry.started_unix_seconds.is_none_or(|s| s.abs_diff(RECORDED) < 5), "{entry:?}");
    let near = |left: u32| base.is_some_and(|base| left <= base && left + 2 >= base);
    let timeout_seconds =
        entry.timeout_seconds.map(|left| if near(left) { base.unwrap_or(left) } else { left });
    Entry { id: 0, started_unix_seconds: None, timeout_seconds, ..*entry }
}

#[test]
fn the_dump_holds_exactly_what_was_made() {
    let expected = [connections(), datagram_flows(), other_protocols()].concat();
    let mut read = entries();
    for expected in &expected {
        let same = |e: &&Entry| e.original == expected.original;
        let found = read.iter().filter(same).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{expected:?}");
        assert_eq!(settled(found[0], expected.timeout_seconds), *expected);
        assert!(found[0].started_unix_seconds.is_some());
        read.retain(|e| e.original != expected.original);
    }
    // Neighbour discovery is not tracked, and nothing else was sent but an ICMPv6 error to protocol 253 and SCTP,
    // which belongs to its flow.
    assert_eq!(read, []);
    let last = messages(DUMP).last().map(|m| (m.kind, m.sequence, m.errno()));
    assert_eq!(last, Some((NLMSG_DONE, 77, Ok(0))));
    let mut ids: Vec<_> = entries().iter().map(|e| e.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), expected.len());
}

#[test]
fn an_attribute_that_nobody_reads_changes_nothing() {
    let label = messages(DUMP).into_iter().find(|m| {
        let attributes = m.attributes().into_iter().flatten().flatten();
        // CTA_LABELS: bit 5 of 128.
        attributes.into_iter().any(|(kind, value)| kind == 22 && value[0] == 1 << 5 && value.len() == 16)
    });
    let entry = label.map(|m| decode::entry(&m)).expect("a label").expect("readable").expect("entry");
    assert_eq!(entry.original, tuple(C, S, UDP, ports(5009, 6002)));
    let reply_zone = messages(DUMP).into_iter().find(|m| {
        let reply = m.attributes().into_iter().flatten().flatten().find(|(kind, _)| *kind == 2);
        reply.is_some_and(|(_, nest)| Attributes(nest).flatten().any(|a| a == (3, &[0, 9][..])))
    });
    let entry = reply_zone.map(|m| decode::entry(&m)).expect("a zone").expect("readable").expect("entry");
    assert_eq!((entry.zone, entry.reply_zone, entry.original.source_port()), (0, Some(9), Some(5007)));
}

/// What the stream said of one flow, in order.
fn story(original: Tuple) -> Vec<Event> {
    events().into_iter().filter(|e| e.entry.original == original).collect()
}

#[test]
fn the_stream_tells_every_birth_once_and_who_caused_it() {
    for expected in [connections(), datagram_flows(), other_protocols()].concat() {
        let story = story(expected.original);
        let kinds: Vec<_> = story.iter().map(|e| e.kind).collect();
        assert_eq!(kinds[0], EventKind::New, "{expected:?}");
        assert_eq!(kinds.iter().filter(|k| **k == EventKind::New).count(), 1, "{expected:?}");
        // 10.2.0.1 are those that conntrack(8) inserted.
        assert_eq!(story[0].foreign, expected.original.source.to_string() == I, "{expected:?}");
        let born = settled(&story[0].entry, None);
        assert_eq!(
            (born.zones(), born.original, born.reply),
            (expected.zones(), expected.original, expected.reply)
        );
        assert_eq!((born.mark, born.master), (expected.mark, expected.master));
        assert_eq!((born.packets, born.started_unix_seconds), (None, None), "only the end has them");
    }
}

#[test]
fn the_stream_shows_a_connections_states_in_order() {
    use TcpState::{Established, FinWait, LastAck, SynRecv, SynSent, TimeWait};
    let story = story(tuple(C, S, TCP, ports(40004, 8080)));
    let states: Vec<_> = story.iter().map(|e| e.entry.tcp.expect("TCP").state).collect();
    // The server closed at once: its FIN carries the acknowledgement that would have shown CLOSE_WAIT.
    assert_eq!(states, [SynSent, SynRecv, Established, FinWait, LastAck, TimeWait]);
    assert!(story[1..].iter().all(|e| e.kind == EventKind::Update && !e.foreign));
    assert!(!story[0].entry.status.seen_reply() && story[1].entry.status.seen_reply());
    assert!(!story[1].entry.status.assured() && story[2].entry.status.assured());
}

#[test]
fn the_stream_tells_an_end_by_hand_from_an_end_by_time() {
    let by_hand = story(tuple(I, J, UDP, ports(1004, 53)));
    let kinds: Vec<_> = by_hand.iter().map(|e| (e.kind, e.foreign, e.entry.mark)).collect();
    assert_eq!(
        kinds,
        [(EventKind::New, true, 0), (EventKind::Update, true, 0x99), (EventKind::Destroy, true, 0x99)]
    );
    let by_time = story(tuple(I, J, UDP, ports(1005, 53)));
    let kinds: Vec<_> = by_time.iter().map(|e| (e.kind, e.foreign, e.entry.timeout_seconds)).collect();
    assert_eq!(kinds, [(EventKind::New, true, Some(1)), (EventKind::Destroy, false, None)]);
    for end in [by_hand[2], by_time[1]] {
        assert!(end.entry.status.any(Status::DYING));
        assert_eq!(end.entry.packets, Some(0));
        assert!(end.entry.started_unix_seconds.is_some());
    }
    assert_eq!(events().iter().filter(|e| e.kind == EventKind::Destroy).count(), 2);
}
