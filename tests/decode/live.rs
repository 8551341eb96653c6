//! The requests against the kernel that runs, each test in a namespace of its own: nothing goes but what was named.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ctctl::core::model::{
    Class, DCCP, Entry, GRE, ICMP, ICMPV6, L4, SCTP, Status, TCP, TcpInfo, TcpState, TimeoutPolicy, Tuple,
    UDP, UDPLITE,
};
use ctctl::linux::attribute::{Attributes, Messages};
use ctctl::linux::deleter::{Deleted, Deleter, Witness};
use ctctl::linux::modules::Asking;
use ctctl::linux::request;
use ctctl::linux::socket::Netlink;
use ctctl::linux::table;
use ctctl::linux::timeout_policies::{self, HeardPolicies, PolicyListener};
use netlink_packet_netfilter::conntrack::ConntrackMessage;

use super::generated::{self, ZoneIn};
use super::namespace::{inside, nft};

/// `NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE`.
const CREATE: u16 = 0x605;

fn addresses(v6: bool) -> (IpAddr, IpAddr) {
    let text = if v6 { ("2001:db8::1", "2001:db8::9") } else { ("10.0.0.1", "192.0.2.1") };
    (text.0.parse().expect("address"), text.1.parse().expect("address"))
}

fn entry(v6: bool, protocol: u8, l4: L4) -> Entry {
    let (source, destination) = addresses(v6);
    let inverse = match l4 {
        L4::Ports { source, destination } => L4::Ports { source: destination, destination: source },
        L4::Icmp { kind, code, id } => {
            // Echo, timestamp, information request and their answers; for ICMPv6 echo.
            let kind = if protocol == ICMPV6 { 129 } else { [14, 0][usize::from(kind == 8)] };
            L4::Icmp { kind, code, id }
        }
        L4::None => L4::None,
    };
    let reply = Tuple { source: destination, destination: source, protocol, l4: inverse };
    let tcp = TcpInfo { state: TcpState::Established, flags_original: 0, flags_reply: 0 };
    Entry {
        original: Tuple { source, destination, protocol, l4 },
        reply: Some(reply),
        status: Status(Status::SEEN_REPLY | Status::ASSURED | Status::CONFIRMED),
        timeout_seconds: Some(900),
        tcp: (protocol == TCP).then_some(tcp),
        ..Entry::default()
    }
}

/// Of every kind; some differ from another in nothing but the zone.
pub fn kinds() -> Vec<(Entry, ZoneIn)> {
    let ports = |source, destination| L4::Ports { source, destination };
    let icmp = |kind, id| L4::Icmp { kind, code: 0, id };
    let mut kinds = Vec::new();
    for (v6, echo, protocol) in [(false, 8, ICMP), (true, 128, ICMPV6)] {
        kinds.extend([
            entry(v6, TCP, ports(1000, 80)),
            entry(v6, UDP, ports(1000, 53)),
            entry(v6, protocol, icmp(echo, 7)),
            entry(v6, protocol, icmp(echo, 8)),
            entry(v6, SCTP, ports(1000, 3868)),
            entry(v6, GRE, ports(0x11, 0x22)),
            entry(v6, DCCP, ports(1000, 5001)),
            entry(v6, UDPLITE, ports(1000, 53)),
            entry(v6, 253, L4::None),
            entry(v6, 4, L4::None),
        ]);
    }
    kinds.push(entry(false, ICMP, icmp(13, 7)));
    kinds.push(Entry { mark: 0xfedc_ba98, ..entry(false, TCP, ports(1001, 80)) });
    let mut kinds: Vec<_> = kinds.into_iter().map(|entry| (entry, ZoneIn::Whole)).collect();
    let same = |zone| Entry { zone, ..entry(false, UDP, ports(1000, 53)) };
    kinds.extend([(same(7), ZoneIn::Whole), (same(u16::MAX), ZoneIn::Whole)]);
    // A zone of the original direction alone leaves the reply in the default zone, where it must differ.
    let translated = |entry: Entry, l4| Entry { reply: entry.reply.map(|r| Tuple { l4, ..r }), ..entry };
    kinds.push((translated(same(0x1234), ports(53, 1234)), ZoneIn::Original));
    let echo = Entry { zone: 7, ..entry(true, ICMPV6, icmp(128, 7)) };
    kinds.push((translated(echo, icmp(129, 1234)), ZoneIn::Original));
    // One of the reply direction alone leaves the original one in the default zone, where it must differ.
    let answered = Entry { zone: 0x4321, ..entry(false, UDP, ports(1002, 53)) };
    kinds.push((answered, ZoneIn::Reply));
    kinds
}

pub fn create(netlink: &mut Netlink, entry: &Entry, zone_in: ZoneIn) {
    let sequence = netlink.next_sequence();
    // The kernel gives the id.
    let attributes = generated::attributes(entry, zone_in).into_iter().filter(|a| {
        use netlink_packet_core::Nla;
        a.kind() != 12
    });
    let message = ConntrackMessage::New(attributes.collect());
    let bytes = generated::message(message, entry.original.source.is_ipv4(), |header| {
        (header.flags, header.sequence_number) = (CREATE, sequence);
    });
    netlink.ask(&bytes, sequence, |_| {}).unwrap_or_else(|error| panic!("{entry:?}: {error}"));
}

pub fn dump(netlink: &mut Netlink) -> Vec<Entry> {
    let mut entries = Vec::new();
    table::dump(netlink, |chunk| {
        entries.extend(chunk.entries().map(|e| e.expect("readable")));
        true
    })
    .expect("a dump");
    entries
}

/// Deletes one; a machine that stood still between looking and sending tries again.
/// What was seen so long ago is looked at once more.
const A_WHILE: Duration = Duration::from_millis(5);

fn delete(deleter: &mut Deleter, entry: &Entry) -> Deleted {
    loop {
        deleter.push(entry, Instant::now() - A_WHILE).unwrap_or_else(|error| panic!("{entry:?}: {error}"));
        let deleted = deleter.flush().expect("sent");
        if deleted.stale == 0 {
            return deleted;
        }
    }
}

/// The same but for what time changes.
pub fn same(one: &Entry, other: &Entry) -> bool {
    let still = |e: &Entry| Entry { timeout_seconds: None, ..*e };
    still(one) == still(other)
}

fn assert_same(left: &[Entry], right: &[Entry], what: &Entry) {
    assert_eq!(left.len(), right.len(), "{what:?}");
    assert!(left.iter().all(|e| right.iter().any(|r| same(e, r))), "{what:?}");
}

/// Sends one request that is answered by an error alone; its errno, 0 for none.
fn errno(netlink: &mut Netlink, bytes: &[u8]) -> i32 {
    netlink.send(bytes).expect("sent");
    match netlink.receive(libc::MSG_DONTWAIT) {
        Ok(answer) => Messages(answer).next().expect("one").expect("message").errno().expect("errno"),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            0
        }
    }
}

#[test]
fn a_delete_takes_the_one_that_it_names() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        let kinds = kinds();
        kinds.iter().for_each(|(entry, zone_in)| create(&mut netlink, entry, *zone_in));
        let mut table = dump(&mut netlink);
        assert_eq!(table.len(), kinds.len());
        for made in kinds.iter().map(|(entry, zone_in)| generated::read_back(*entry, *zone_in)) {
            let seen = |e: &&Entry| {
                // A kernel without a tracker for DCCP or UDP-Lite shows the number alone.
                let bare = e.original.l4 == L4::None && [DCCP, UDPLITE].contains(&e.original.protocol);
                let l4 = if bare { L4::None } else { made.original.l4 };
                (e.zones(), e.mark, e.original) == (made.zones(), made.mark, Tuple { l4, ..made.original })
                    && e.tcp.map(|t| t.state) == made.tcp.map(|t| t.state)
                    && e.timeout_seconds.is_some_and(|left| left <= 900 && left > 800)
            };
            assert_eq!(table.iter().filter(seen).count(), 1, "{made:?}");
        }
        let (count, _) = table::count_and_max(&mut netlink).expect("count");
        assert_eq!(count, kinds.len() as u64);
        let mut deleter = Deleter::open().expect("netlink");
        while let Some(victim) = table.pop() {
            let missed = Deleted { sent: 1, already_gone: 1, ..Deleted::default() };
            let wrong = Entry { id: victim.id.wrapping_add(1).max(1), ..victim };
            assert_eq!(delete(&mut deleter, &wrong), missed, "{victim:?}");
            let elsewhere = Entry { zone: victim.zone ^ 0x100, ..victim };
            assert_eq!(delete(&mut deleter, &elsewhere), missed, "{victim:?}");
            let before = [&table[..], &[victim]].concat();
            assert_same(&dump(&mut netlink), &before, &victim);
            // With the time that it has left by now: more than seconds gone by look like a packet.
            let now = dump(&mut netlink).into_iter().find(|e| same(e, &victim)).expect("still there");
            let deleted = delete(&mut deleter, &now);
            assert_eq!((deleted.sent, deleted.gone(), deleted.errno), (1, 1, None), "{victim:?}");
            assert_same(&dump(&mut netlink), &table, &victim);
            assert_eq!(delete(&mut deleter, &victim), missed, "a second time: {victim:?}");
        }
    });
}

/// What a witness is told, in order: "goes", "gone" or "stayed".
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(&'static str, Entry)>>>);

impl Witness for Told {
    fn going(&mut self, entries: &[(Entry, Class)]) {
        assert!(entries.iter().all(|(_, class)| *class == Class::Other));
        self.0.lock().expect("told").extend(entries.iter().map(|(entry, _)| ("goes", *entry)));
    }

    fn stayed(&mut self, entry: &Entry, class: Class) {
        assert_eq!(class, Class::Other);
        self.0.lock().expect("told").push(("stayed", *entry));
    }

    fn gone(&mut self, entries: Vec<Entry>) {
        self.0.lock().expect("told").extend(entries.into_iter().map(|entry| ("gone", entry)));
    }
}

#[test]
fn a_witness_is_told_what_goes_before_and_what_did_not_go_after() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        kinds().iter().for_each(|(entry, zone_in)| create(&mut netlink, entry, *zone_in));
        let table = dump(&mut netlink);
        let told = Told::default();
        let mut deleter = Deleter::open().expect("netlink").witnessed(Box::new(told.clone()));
        let missing = Entry { id: table[0].id.wrapping_add(1).max(1), ..table[0] };
        loop {
            told.0.lock().expect("told").clear();
            let seen = Instant::now() - A_WHILE;
            // Two deletes of one entry in one batch: the second finds nothing. One without a class, one not there.
            for entry in [&table[0], &table[1], &table[0], &missing] {
                deleter.push_as(entry, Some(Class::Other), seen).expect("a whole entry");
            }
            deleter.push(&table[2], seen).expect("a whole entry");
            let deleted = deleter.flush().expect("sent");
            if deleted.stale == 0 {
                assert_eq!((deleted.gone(), deleted.already_gone), (3, 2));
                break;
            }
        }
        let before = [("goes", 0), ("goes", 1), ("goes", 0)];
        // Without a class it is no business of the meter's, but it is gone all the same.
        let after = [("gone", 0), ("gone", 1), ("gone", 2), ("stayed", 0)];
        let expected: Vec<_> = before.into_iter().chain(after).map(|(told, i)| (told, table[i])).collect();
        assert_eq!(*told.0.lock().expect("told"), expected);
    });
}

#[test]
fn a_batch_takes_all_that_it_names_and_tells_what_was_gone() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        kinds().iter().for_each(|(entry, zone_in)| create(&mut netlink, entry, *zone_in));
        let table = dump(&mut netlink);
        let mut deleter = Deleter::open().expect("netlink");
        let (stay, go) = table.split_at(4);
        loop {
            let seen = Instant::now();
            for entry in go.iter().chain(go) {
                deleter.push(entry, seen).expect("a whole entry");
            }
            assert_eq!(deleter.queued(), 2 * go.len() as u64);
            let deleted = deleter.flush().expect("sent");
            if deleted.stale == 0 {
                let number = go.len() as u64;
                assert_eq!((deleted.gone(), deleted.already_gone, deleted.failed), (number, number, 0));
                break;
            }
        }
        assert_same(&dump(&mut netlink), stay, &stay[0]);
        // What was seen long ago and has not run down by as much since had a packet.
        let long_ago = Instant::now().checked_sub(Duration::from_secs(20)).expect("uptime");
        deleter.push(&stay[0], long_ago).expect("a whole entry");
        assert_eq!(deleter.flush().expect("nothing sent"), Deleted { revived: 1, ..Deleted::default() });
        assert_same(&dump(&mut netlink), stay, &stay[0]);
    });
}

#[test]
fn an_update_sets_the_time_left_and_makes_nothing() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        kinds().iter().for_each(|(entry, zone_in)| create(&mut netlink, entry, *zone_in));
        let table = dump(&mut netlink);
        for entry in &table {
            let update = request::update_timeout(entry, 333, 1).expect("an update");
            assert_eq!(errno(&mut netlink, &update), 0, "{entry:?}");
            let now = dump(&mut netlink);
            let changed: Vec<_> =
                now.iter().filter(|e| e.timeout_seconds.is_some_and(|t| t <= 333 && t > 300)).collect();
            assert_eq!(changed.len(), 1, "{entry:?}");
            assert!(same(changed[0], entry), "nothing but the time: {entry:?}");
            assert_same(&now, &table, entry);
            let back = request::update_timeout(entry, 900, 2).expect("an update");
            assert_eq!(errno(&mut netlink, &back), 0);
        }
        let mut deleter = Deleter::open().expect("netlink");
        for entry in &dump(&mut netlink) {
            assert_eq!(delete(&mut deleter, entry).gone(), 1);
            let update = request::update_timeout(entry, 333, 3).expect("an update");
            assert_eq!(errno(&mut netlink, &update), libc::ENOENT, "{entry:?}");
        }
        assert_eq!(dump(&mut netlink), []);
    });
}

/// Without its original tuple a delete is a flush, which is what the check before sending is for; without its ports it
/// is refused, so that a tuple of a protocol that the kernel may or may not track is no danger.
#[test]
fn what_the_check_refuses_would_have_emptied_the_table() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        let all = kinds();
        all.iter().for_each(|(entry, zone_in)| create(&mut netlink, entry, *zone_in));
        let table = dump(&mut netlink);
        let tracked = |e: &&Entry| e.original.l4 != L4::None;
        for entry in table.iter().filter(tracked) {
            let bare = Tuple { l4: L4::None, ..entry.original };
            let bare = Entry { original: bare, ..*entry };
            let attributes = generated::attributes(&bare, ZoneIn::Whole);
            let v4 = bare.original.source.is_ipv4();
            let bytes = generated::message(ConntrackMessage::Delete(attributes), v4, |h| h.flags = 1);
            assert_eq!(errno(&mut netlink, &bytes), libc::EINVAL, "{entry:?}");
        }
        assert_same(&dump(&mut netlink), &table, &table[0]);
        // Since 6.8 a flush minds CTA_ZONE; the default zone has no such attribute.
        let plain = table.iter().find(|e| e.zone == 0).expect("an entry of the default zone");
        let mut bytes = request::delete(plain, 1).expect("a delete");
        let tuple = 20 + 4 + Attributes(&bytes[20..]).next().expect("one").expect("tuple").1.len();
        bytes.drain(20..tuple.next_multiple_of(4));
        let length = (bytes.len() as u32).to_ne_bytes();
        bytes[..4].copy_from_slice(&length);
        assert_eq!(errno(&mut netlink, &bytes), 0, "a flush answers success");
        assert_eq!(dump(&mut netlink), []);
    });
}

#[test]
fn timeout_policies_of_both_kinds_are_found() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        assert_eq!(timeout_policies::list(&mut netlink, &Asking::Anything).expect("asked"), []);
        let sequence = netlink.next_sequence();
        // CTA_TIMEOUT_TCP_SYN_SENT 1, CTA_TIMEOUT_TCP_ESTABLISHED 3.
        let policy = generated::timeout_policy("short", TCP, &[(1, 11), (3, 3333)], sequence);
        match netlink.ask(&policy, sequence, |_| {}) {
            Ok(()) => {
                let found = timeout_policies::list(&mut netlink, &Asking::Anything).expect("asked");
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].protocol, TCP);
                assert!([11, 3333].iter().all(|s| found[0].seconds.contains(s)), "{found:?}");
            }
            Err(error) => eprintln!("SKIPPED: a kernel without nfnetlink_cttimeout: {error}"),
        }
        let of_udp = |netlink: &mut Netlink| {
            let found = timeout_policies::list(netlink, &Asking::Anything).expect("asked");
            found.into_iter().filter(|p| p.protocol != TCP).collect::<Vec<_>>()
        };
        let object =
            "ct timeout short { protocol udp; l3proto ip; policy = { unreplied : 7, replied : 9 }; }";
        let helper = "ct helper ftp { type \"ftp\" protocol tcp; }";
        if nft(&format!("table ip t {{ {object}; {helper}; }}")) {
            assert_eq!(of_udp(&mut netlink), [TimeoutPolicy { protocol: UDP, seconds: vec![7, 9] }]);
        }
    });
}

/// A packet between the dump and the delete sets another time left, mostly a longer one, with data in flight a shorter
/// one: that entry stays, whatever its id says.
#[test]
fn an_entry_that_revives_before_its_delete_stays() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        for (entry, zone_in) in kinds() {
            create(&mut netlink, &entry, zone_in);
        }
        let seen = dump(&mut netlink);
        let mut deleter = Deleter::open().expect("netlink");
        for (entry, seconds) in seen.iter().flat_map(|entry| [(entry, 5000), (entry, 300)]) {
            let revived = request::update_timeout(entry, seconds, 1).expect("an update");
            assert_eq!(errno(&mut netlink, &revived), 0);
            let deleted = delete(&mut deleter, entry);
            assert_eq!((deleted.revived, deleted.sent, deleted.gone()), (1, 0, 0), "{entry:?}");
        }
        let now = dump(&mut netlink);
        assert_eq!(now.len(), seen.len());
        for entry in &now {
            assert_eq!(delete(&mut deleter, entry).gone(), 1, "as it is now it may go: {entry:?}");
        }
        assert_eq!(dump(&mut netlink), []);
    });
}

/// What was seen a moment ago is not asked for again, and goes by its id all the same.
#[test]
fn what_was_seen_a_moment_ago_goes_by_its_identity() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        kinds().iter().for_each(|(entry, zone_in)| create(&mut netlink, entry, *zone_in));
        let mut deleter = Deleter::open().expect("netlink");
        for entry in dump(&mut netlink) {
            let other = Entry { id: entry.id.wrapping_add(1).max(1), ..entry };
            for (entry, gone) in [(other, 0), (entry, 1), (entry, 0)] {
                deleter.push(&entry, Instant::now()).expect("a whole entry");
                assert_eq!(deleter.flush().expect("sent").gone(), gone, "{entry:?}");
            }
        }
        assert_eq!(dump(&mut netlink), []);
    });
}

/// Made and gone before anyone could list it, and flows under it would keep its base.
#[test]
fn a_timeout_policy_that_lives_for_a_moment_is_heard() {
    inside(|| {
        let Some(mut listener) = PolicyListener::open(&Asking::Anything) else {
            panic!("no subscription to nftables")
        };
        let object = "ct timeout brief { protocol tcp; l3proto ip; policy = { established : 4321 }; }";
        if nft(&format!("table ip brief {{ {object}; }}")) && nft("delete table ip brief") {
            let HeardPolicies { made, lost } = listener.heard();
            assert_eq!((made.len(), lost), (1, false), "{made:?}");
            assert_eq!((made[0].protocol, made[0].seconds.contains(&4321)), (TCP, true));
            assert_eq!(listener.heard(), HeardPolicies::default());
        }
        // More changes than there is room for: what of them is lost may have been policies.
        let rules: String =
            (0..20_000).map(|n| format!("add rule ip many many tcp dport {n} accept\n")).collect();
        let lost = (0..20).any(|_| {
            let made = nft(&format!("add table ip many\nadd chain ip many many\n{rules}"));
            !made || !nft("delete table ip many") || listener.lost() > 0
        });
        assert!(lost, "no room is without an end");
        if listener.lost() > 0 {
            assert!(listener.heard().lost);
            assert_eq!(listener.heard(), HeardPolicies::default(), "told once");
        }
    });
}
