//! `list`: what the table holds, in its own words and in conntrack(8)'s.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, L4, source, source6};
use crate::harness::table::{self, IPS_ASSURED, IPS_CONFIRMED, IPS_SEEN_REPLY};
use crate::harness::tool::{run, tool};
use crate::harness::topology::{Family, SERVER4, SERVER6, Topology};
use crate::harness::traffic::{Echo, Tcp};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("list::like_conntrack_gives_the_same_set_of_lines", like_conntrack),
    test("list::filters_choose_what_conntracks_filters_choose", filters),
    test("list::each_entry_has_its_idle_time_class_and_verdict", verdicts).needs(&[Need::Age]),
    test("list::masters_of_live_children_stay_in_whatever_order_they_are_met", masters).needs(&[Need::Age]),
    test("list::its_reader_may_leave_after_a_line", head),
    test("list::an_empty_table_has_no_lines", empty),
];

const PATIENCE: Duration = Duration::from_secs(20);
/// IPS_FIXED_TIMEOUT.
const FIXED_TIMEOUT: u32 = 1 << 10;

/// An entry of everything that the kernel tracks: protocols, states, zones, marks, helpers, both families.
fn of_every_kind(topology: &Topology) {
    let other = |n: u32| IpAddr::from(source(n));
    let plain = |n, l4| Flow::new(other(n), SERVER4, l4, 5000);
    let both = |n, l4| [plain(n, l4), Flow::new(source6(n), SERVER6, l4, 5000)];
    let mut flows: Vec<Flow> = Vec::new();
    flows.extend((0..10).flat_map(|state| both(1, L4::Tcp(1024 + u16::from(state), 443, state))));
    flows.extend((1..9).flat_map(|state| both(2, L4::Sctp(1024 + u16::from(state), 443, state))));
    flows.extend(both(3, L4::Udp(1024, 53)).map(Flow::unreplied));
    flows.extend(both(3, L4::Gre(0x11, 0xabcd)));
    flows.extend(both(3, L4::Echo(77)));
    flows.extend(
        (1..=u8::MAX).filter(|n| ![1, 6, 17, 58, 132, 47, 136].contains(n)).map(|n| plain(4, L4::Number(n))),
    );
    flows.push(Flow { zone: 7, mark: 0x1234, ..plain(5, L4::Udp(1, 2)) });
    flows.push(Flow { status: IPS_CONFIRMED | IPS_SEEN_REPLY, ..plain(5, L4::Udp(3, 4)) });
    flows.push(Flow {
        status: IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED | FIXED_TIMEOUT,
        ..plain(5, L4::Udp(5, 6))
    });
    flows.push(Flow { left_seconds: 4_000_000, ..plain(5, L4::Tcp(5, 6, 3)) });
    let odd: IpAddr = "::1.2.3.4".parse().expect("an address");
    flows.push(Flow { source: odd, ..Flow::new(source6(9), SERVER6, L4::Udp(7, 8), 5000) });
    flows.push(Flow {
        source: "::ffff:1.2.3.4".parse().expect("an address"),
        ..Flow::new(source6(9), SERVER6, L4::Udp(7, 8), 5000)
    });
    fill(&topology.gateway, flows);
}

fn conntrack(topology: &Topology, args: &[&str]) -> BTreeSet<String> {
    let listed = topology.gateway.must("conntrack", &[&["-L"], args].concat(), "");
    listed.lines().map(str::to_owned).collect()
}

/// The same set of lines from both: the seconds may turn between the two.
fn same_lines(topology: &Topology, setup: &Setup, args: &[&str], theirs: &[&str]) -> usize {
    wait::until(&format!("{args:?} to be {theirs:?}"), PATIENCE, || {
        let answer = setup.ctctl(&[&["list", "--like-conntrack"], args].concat());
        assert_eq!(answer.code, 0, "{answer:?}");
        let ours: BTreeSet<String> = answer.stdout.lines().map(str::to_owned).collect();
        assert_eq!(ours.len(), answer.stdout.lines().count(), "each once");
        let theirs = conntrack(topology, theirs);
        match ours.symmetric_difference(&theirs).collect::<Vec<_>>().as_slice() {
            [] => Ok(ours.len()),
            differ => Err(format!("{} differ: {:#?}", differ.len(), &differ[..differ.len().min(6)])),
        }
    })
}

fn like_conntrack() {
    let topology = Topology::new();
    for name in ["acct", "timestamp"] {
        topology.gateway.set_sysctl(&format!("net/netfilter/nf_conntrack_{name}"), 1);
    }
    let _tcp = [Family::V4, Family::V6].map(|family| Tcp::talking(&topology, family));
    let echo = Echo::new(&topology, Family::V4);
    assert_eq!(echo.answered(3), 3);
    of_every_kind(&topology);
    let helper = Flow { helper: Some("ftp"), ..Flow::established(source(8), SERVER4, 21, 0) };
    // Where the kernel has no helper for FTP, the rest is compared all the same.
    if tool("modprobe").args(["-q", "nf_conntrack_ftp"]).status().is_ok_and(|status| status.success()) {
        fill(&topology.gateway, [helper]);
    }
    let mut setup = Setup::new(&topology.gateway, "");
    setup.aged = false;
    let lines = same_lines(&topology, &setup, &[], &[]);
    assert!(lines > 280, "only {lines} lines");
    assert_eq!(lines as u64, topology.count());
    // Zones of one direction alone, as policy routing makes them.
    let zones = "table inet z { chain p { type filter hook prerouting priority -300; \
        udp dport 4000 ct original zone set 9; udp dport 4001 ct zone set 10; udp dport 4002 ct reply zone set 11\n}\n}";
    topology.gateway.must("nft", &["-f", "-"], zones);
    let send = |to: (IpAddr, u16)| {
        let socket = topology.client.enter(|| std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket"));
        socket.send_to(b"x", to).expect("sent");
    };
    send((SERVER4.into(), 4000));
    send((SERVER4.into(), 4002));
    send((SERVER4.into(), 4001));
    wait::until("all to be tracked", PATIENCE, || {
        let zones: BTreeSet<u16> = table::rows(&topology.gateway).iter().map(|row| row.zone).collect();
        if zones.contains(&10) { Ok(()) } else { Err(format!("zones {zones:?}")) }
    });
    assert!(same_lines(&topology, &setup, &[], &[]) > lines);
    let listed = conntrack(&topology, &[]).into_iter().collect::<String>();
    for zone in ["zone-orig=9", "zone=10", "zone-reply=11"] {
        assert!(listed.contains(zone), "{zone} is in the list");
    }
    for (zone, one) in [("0", false), ("9", false), ("10", true), ("11", false)] {
        let lines = same_lines(&topology, &setup, &["-w", zone], &["-w", zone]);
        assert!(zone == "0" || lines == usize::from(one), "{lines} lines of zone {zone}");
    }
    // A zone of one direction is found again by it, and each goes by itself.
    for port in ["4000", "4001", "4002"] {
        let before = topology.count();
        let flushed = setup.json(&["flush", "-d", &SERVER4.to_string(), "--dport", port, "--yes"]);
        assert_eq!((&flushed["deleted"], before - topology.count()), (&1.into(), 1), "{port}: {flushed}");
    }
}

fn filters() {
    let topology = Topology::new();
    of_every_kind(&topology);
    let _tcp = Tcp::talking(&topology, Family::V4);
    let mut setup = Setup::new(&topology.gateway, "");
    setup.aged = false;
    let net = source(0).to_string() + "/30";
    let one = source(3).to_string();
    for (ours, theirs) in [
        (&["-s", &net][..], &["-s", &net][..]),
        (&["-s", &one, "-p", "gre"], &["-s", &one, "-p", "gre"]),
        (&["-p", "udp"], &["-p", "udp"]),
        (&["-p", "17", "--dport", "53"], &["-p", "udp", "--dport", "53"]),
        (&["-p", "tcp", "--sport", "1027"], &["-p", "tcp", "--sport", "1027"]),
        (&["-p", "tcp", "--state", "time-wait"], &["-p", "tcp", "--state", "TIME_WAIT"]),
        (&["-w", "7"], &["-w", "7"]),
        (&["-m", "0x34/0xff"], &["-m", "0x34/0xff"]),
        (&["-f", "ipv6"], &["-f", "ipv6"]),
        (&["--not", "-f", "ipv4"], &["-f", "ipv6"]),
        (&["--assured", "-f", "ipv4"], &["-f", "ipv4", "-u", "ASSURED"]),
        (&["--unreplied"], &["-u", "UNSET", "-u", "SEEN_REPLY"]),
        (&["--reply-source", "192.0.2.2", "-p", "tcp"], &["-r", "192.0.2.2", "-p", "tcp"]),
        (&["--nat-source", "192.0.2.1"], &["-n", "192.0.2.1"]),
    ] {
        // conntrack(8) has no word for what never had a reply.
        if theirs.contains(&"UNSET") {
            let answer = setup.ctctl(&[&["list", "--like-conntrack"], ours].concat());
            let all = conntrack(&topology, &[]);
            let unreplied = all.iter().filter(|line| line.contains("[UNREPLIED]")).count();
            assert_eq!((answer.stdout.lines().count(), unreplied > 0), (unreplied, true));
            continue;
        }
        assert!(same_lines(&topology, &setup, ours, theirs) > 0, "{ours:?}");
    }
    let count = |args: &[&str]| setup.ctctl(&[&["list"], args].concat()).stdout.lines().count();
    let all = topology.count() as usize;
    for filter in [
        &["-s", &net][..],
        &["--state", "established"],
        &["--dport", "53"],
        &["-w", "7"],
        &["--idle-over", "1m"],
    ] {
        let not = [&["--not"], filter].concat();
        assert_eq!(count(filter) + count(&not), all, "{filter:?} and its negation share all");
    }
    assert_eq!(count(&["-w", "7", "-w", "0"]), all, "repeated values are alternatives");
}

fn documents(setup: &Setup, args: &[&str]) -> Vec<Value> {
    let answer = setup.ctctl(&[&["list", "--json"], args].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect()
}

/// Idle control connections with transfers under way: a walk meets half of them before it meets who names them.
fn masters() {
    let topology = Topology::new();
    (0..50).for_each(|n| fill(&topology.gateway, flow::control_and_transfer(n, SERVER4, 8000)));
    fill(&topology.gateway, [Flow::established(source(60), SERVER4, 21, 8000)]);
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let one = source(7).to_string();
    for (args, listed, eligible) in [(&[][..], 101, 1), (&["-s", one.as_str()], 1, 0)] {
        let lines = documents(&setup, args);
        let may_go = lines.iter().filter(|line| line["eligible"] == true).count();
        assert_eq!((lines.len(), may_go), (listed, eligible), "{args:?}");
    }
}

fn verdicts() {
    let topology = Topology::new();
    let to = SERVER4;
    fill(
        &topology.gateway,
        [
            Flow::established(source(1), to, 1, 8000),
            Flow::established(source(2), to, 2, 100),
            Flow { zone: 7, ..Flow::established(source(3), to, 3, 8000) },
            Flow::new(source(4), to, L4::Tcp(4, 443, 5), 50),
            Flow::new(source6(5), SERVER6, L4::Tcp(5, 443, 7), 50),
            Flow::new(source(6), to, L4::Udp(6, 53), 40).unreplied(),
            Flow { status: IPS_CONFIRMED | IPS_SEEN_REPLY, ..Flow::new(source(7), to, L4::Udp(7, 53), 100) },
            Flow::new(source(8), to, L4::Udp(8, 53), 100),
        ],
    );
    let setup = Setup::new(&topology.gateway, &(limit(1000) + "[protect]\nzones = [7]\n"));
    let listed = documents(&setup, &[]);
    let of = |source: IpAddr| {
        let found = listed.iter().find(|line| line["original"]["source"] == source.to_string());
        found.unwrap_or_else(|| panic!("{source} is listed: {listed:?}"))
    };
    let check =
        |source: IpAddr, class: &str, idle: Option<std::ops::Range<u64>>, eligible: bool, reason: &str| {
            let line = of(source);
            assert_eq!((&line["class"], &line["eligible"]), (&class.into(), &eligible.into()), "{line}");
            let known = line["idle_seconds"].as_u64();
            assert!(
                known.is_some() == idle.is_some()
                    && known.iter().all(|s| idle.clone().expect("one").contains(s)),
                "{line}"
            );
            assert!(line["reason"].as_str().is_some_and(|said| said.contains(reason)), "{line}");
        };
    check(source(1).into(), "established", Some(8000..8030), true, "may go: idle for 2h4m or longer");
    check(source(2).into(), "established", Some(100..130), false, "stays: idle for less than 2h4m");
    check(source(3).into(), "established", Some(8000..8030), false, "stays: [protect] zones");
    assert_eq!(of(source(4).into())["class"], Value::Null);
    check(source6(5).into(), "closed", Some(69..100), true, "may go: idle for 1m");
    check(source(6).into(), "unreplied", None, false, "nobody can tell");
    check(source(7).into(), "udp-short", Some(19..50), true, "may go: idle for 10s");
    // A stream to the same port: the kernel has seen it speak for longer than two seconds.
    check(source(8).into(), "udp", Some(19..50), false, "stays: idle for less than 2m");
    for line in &listed {
        assert_eq!((&line["schema"], &line["netns"]["inode"]), (&1.into(), &topology.gateway.inode().into()));
    }
    // The same judgement as everywhere else.
    let stale = setup.json(&["flush", "--stale", "--dry-run"]);
    let eligible = listed.iter().filter(|line| line["eligible"] == true).count();
    assert_eq!((&stale["matched"], eligible), (&3.into(), 3));
    let idle = documents(&setup, &["--idle-over", "2h"]);
    assert_eq!(idle.len(), 2, "{idle:?}");
    let text = setup.ctctl(&["list", "-s", &source(1).to_string()]).stdout;
    assert!(text.starts_with("tcp     established  10.128.0.2:1") && text.lines().count() == 1, "{text}");
    assert!(text.contains("idle 2h13m") && text.contains("class established  may go"), "{text}");
    let of_two = setup.json(&["top-sources", "--idle-over", "2h", "-n", "0"]);
    assert_eq!(
        (&of_two["basis"], &of_two["entries"]),
        (&"dump".into(), &2.into()),
        "top-sources filters alike"
    );
}

fn head() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(60_000, 100, 0));
    let mut setup = Setup::new(&topology.gateway, "");
    setup.aged = false;
    for form in [&["list"][..], &["list", "--json"], &["list", "--like-conntrack"]] {
        let mut command = setup.client(form);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("ctctl");
        let mut line = String::new();
        let mut reader = BufReader::with_capacity(1, child.stdout.take().expect("a pipe"));
        reader.read_line(&mut line).expect("a line");
        drop(reader);
        assert!(line.contains("tcp"), "{line}");
        let output = child.wait_with_output().expect("its end");
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{form:?}");
    }
    // Each chunk is of its own moment.
    let listed = documents(&setup, &["-s", &source(1).to_string()]);
    let taken_at: BTreeSet<&str> = listed.iter().filter_map(|line| line["taken_at"].as_str()).collect();
    assert!(listed.len() == 600 && taken_at.len() > 1, "{} lines at {taken_at:?}", listed.len());
    let mut full = setup.client(&["list"]);
    full.stdout(std::fs::File::create("/dev/full").expect("/dev/full"));
    let output =
        full.stderr(Stdio::piped()).spawn().and_then(|child| child.wait_with_output()).expect("its end");
    assert_eq!(output.status.code(), Some(3), "a full disk is an error");
}

fn empty() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, "");
    for args in [&["list"][..], &["list", "--json"], &["list", "--like-conntrack"], &["list", "-p", "tcp"]] {
        let answer = run(setup.client(args), "", PATIENCE);
        assert_eq!((answer.code, answer.stdout.as_str(), answer.stderr.as_str()), (0, "", ""), "{args:?}");
    }
    let flushed = setup.json(&["flush", "--stale", "--yes"]);
    assert_eq!((&flushed["matched"], &flushed["deleted"]), (&0.into(), &0.into()));
}
