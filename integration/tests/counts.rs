//! The agent's counts equal a dump, whatever came and went meanwhile.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, churn, fill};
use crate::harness::flow::{self, Flow, L4, source, source6};
use crate::harness::table::{BySource, Counts, by_source, by_source_of_conntrack, rows};
use crate::harness::topology::{SERVER4, SERVER6, Topology};
use crate::harness::wait;
use crate::tests::harness::one_of_each;
use crate::{Test, test};

/// How soon after quiet the counts have to be right.
const QUIET: Duration = Duration::from_secs(15);
const SOURCES: u32 = 3000;

/// Nothing to do but count.
const COUNT_ONLY: &str = "[capacity]\nenabled = false\nbuckets = \"never\"\n[flush]\nenabled = false\n[timeouts]\nenabled = false\n";

pub const TESTS: &[Test] = &[
    test("counts::equal_a_dump_after_60k_flows_a_second_over_3000_sources", after_churn),
    test("counts::equal_a_dump_after_3_s_of_sigstop_under_load", after_sigstop),
    test("counts::equal_a_dump_after_older_entries_ended_silently", after_silent_ends),
    test("counts::equal_a_dump_after_silent_ends_of_one_size_again_and_again", same_size),
    test("counts::never_claim_to_be_in_step_while_wrong", honest_after_stops),
    test("counts::lose_nothing_in_a_stop_that_was_seen_before_and_say_how_late_they_were", room_for_stops),
    test("counts::are_in_doubt_where_rules_mask_events_and_equal_a_dump_all_the_same", masked),
    test("counts::equal_a_dump_when_one_identity_comes_goes_and_comes", same_identity),
    test("counts::keep_zones_families_and_protocols_apart", apart),
    test("counts::follow_what_the_agent_deletes_though_no_event_tells_of_it", own_deletions)
        .needs(&[Need::Age]),
];

/// The contract's rows as counts; panics on a row that says nothing sensible.
pub fn counts_of(document: &Value) -> BySource {
    let rows = document["sources"].as_array().expect("sources");
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap_or_else(|| panic!("{name} in {row}"));
    let parse = |row: &Value| {
        let source: IpAddr = row["source"].as_str().and_then(|s| s.parse().ok()).expect("an address");
        let counts = ["tcp", "udp", "icmp", "other"].map(|name| number(row, name));
        assert_eq!(counts.iter().sum::<u64>(), number(row, "entries"), "{row}");
        let [tcp, udp, icmp, other] = counts;
        ((source, number(row, "zone") as u16), Counts { tcp, udp, icmp, other })
    };
    rows.iter().map(parse).collect()
}

/// Waits until the agent, our dump and conntrack(8) say the same.
fn until_equal(setup: &Setup, topology: &Topology) -> BySource {
    wait::until("the agent's counts to equal a dump", QUIET, || {
        let document = setup.try_json(&["top-sources", "-n", "0"])?;
        assert_eq!(document["basis"], "agent", "a dump equals a dump: no proof");
        let counts = counts_of(&document);
        let dumped = by_source(&rows(&topology.gateway));
        let shown = (document["sources_total"].as_u64(), document["synced"].as_bool());
        if counts != dumped {
            let wrong = dumped.iter().find(|(key, value)| counts.get(key) != Some(value));
            let extra = counts.iter().find(|(key, value)| dumped.get(key) != Some(value));
            return Err(format!("{shown:?}: dumped {wrong:?} (of {}), counted {extra:?}", dumped.len()));
        }
        let listed = by_source_of_conntrack(&topology.gateway);
        if listed != counts {
            return Err("conntrack -L differs from our own dump".into());
        }
        if shown != (Some(counts.len() as u64), Some(true)) {
            return Err(format!("sources_total and synced are {shown:?}"));
        }
        Ok(counts)
    })
}

/// TCP and UDP in turn, long-lived.
fn flow(n: u32) -> Flow {
    let (from, port) = (source(n % SOURCES), (1024 + n / SOURCES) as u16);
    if n.is_multiple_of(2) {
        Flow::established(from, SERVER4, port, 0)
    } else {
        Flow::new(from, SERVER4, L4::Udp(port, 4500), 600)
    }
}

/// What was there before the agent has no event state and ends in silence, as nearly all does that a rescue deletes.
fn own_deletions() {
    const LIMIT: u64 = 10_000;
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(LIMIT as u32 * 7 / 10, 100, 8000));
    let setup = Setup::new(&topology.gateway, &limit(LIMIT));
    let agent = setup.start();
    until_equal(&setup, &topology);
    let resyncs = || agent.status()["agent"]["resyncs"].as_u64().expect("resyncs");
    let before = resyncs();
    fill(&topology.gateway, (0..LIMIT as u32 * 3 / 20).map(flow));
    wait::until("the table to be at its target", Duration::from_secs(5), || {
        let count = topology.count();
        if count * 100 <= LIMIT * 71 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    until_equal(&setup, &topology);
    assert_eq!(resyncs(), before, "another dump put it right");
    assert_eq!(agent.stop(), 0);
}

fn after_churn() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, COUNT_ONLY);
    let agent = setup.start();
    let mut writer = Writer::new(&topology.gateway);
    let rate = churn(&mut writer, 60_000, 240_000, 30_000, flow);
    assert!(writer.refused.is_empty(), "{:?}", writer.refused);
    eprintln!("counts: churned at {rate:.0} flows a second");
    let counts = until_equal(&setup, &topology);
    assert_eq!(counts.len(), SOURCES as usize);
    assert_eq!(topology.count(), 30_000);
    assert_eq!(agent.stop(), 0);
}

fn after_sigstop() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, COUNT_ONLY);
    let agent = setup.start();
    let mut writer = Writer::new(&topology.gateway);
    churn(&mut writer, 60_000, 30_000, 20_000, flow);
    agent.signal(Signal::SIGSTOP);
    churn(&mut writer, 60_000, 180_000, 20_000, |n| flow(n + 30_000));
    agent.signal(Signal::SIGCONT);
    churn(&mut writer, 60_000, 30_000, 20_000, |n| flow(n + 210_000));
    assert!(writer.refused.is_empty(), "{:?}", writer.refused);
    until_equal(&setup, &topology);
    let health = &agent.status()["agent"];
    let sum: u64 =
        ["overruns", "lost_events", "resyncs"].iter().filter_map(|name| health[name].as_u64()).sum();
    assert!(sum > 0, "3 s at 60k/s must have lost events, or the test proves nothing: {health}");
}

fn after_silent_ends() {
    let topology = Topology::new();
    // Without a listener and with nf_conntrack_events = 2, entries get no event state: no DESTROY ever.
    topology.gateway.set_sysctl("net/netfilter/nf_conntrack_events", 2);
    let soon = |flow: Flow| Flow { left_seconds: 6, ..flow };
    let all: Vec<Flow> = flow::established(20_000, 500, 0).collect();
    fill(&topology.gateway, all[..15_000].iter().cloned());
    fill(&topology.gateway, all[15_000..].iter().cloned().map(soon));
    let setup = Setup::new(&topology.gateway, COUNT_ONLY);
    let agent = setup.start();
    let mut writer = Writer::new(&topology.gateway);
    all[..5000].iter().for_each(|flow| writer.delete(flow));
    writer.flush();
    wait::until("5,000 entries to expire", Duration::from_secs(20), || {
        let left = rows(&topology.gateway).len();
        if left == 10_000 { Ok(()) } else { Err(format!("{left} left")) }
    });
    assert!(writer.refused.is_empty(), "{:?}", writer.refused);
    let counts = until_equal(&setup, &topology);
    assert_eq!(counts.values().map(|counts| counts.tcp).sum::<u64>(), 10_000);
    assert_eq!(agent.stop(), 0);
}

/// A difference that a dump removed may come again, of the same size: it is another one.
fn same_size() {
    let topology = Topology::new();
    topology.gateway.set_sysctl("net/netfilter/nf_conntrack_events", 2);
    let all: Vec<Flow> = flow::established(9000, 500, 0).collect();
    fill(&topology.gateway, all.iter().cloned());
    let setup = Setup::new(&topology.gateway, COUNT_ONLY);
    let agent = setup.start();
    let mut writer = Writer::new(&topology.gateway);
    for ended in all.chunks(1000).take(4) {
        ended.iter().for_each(|flow| writer.delete(flow));
        writer.flush();
        until_equal(&setup, &topology);
    }
    assert!(writer.refused.is_empty(), "{:?}", writer.refused);
    assert_eq!(agent.stop(), 0);
}

/// As many entries of one source end unheard as entries of another begin: the sum stays, and is wrong of both.
fn masked() {
    const EACH: u16 = 200;
    const RULES: &str = "table ip m {
        chain c {
            type filter hook output priority -150
            udp dport 9000 ct event set new
        }
    }";
    let topology = Topology::new();
    let gateway = &topology.gateway;
    let send = |from: &str, to: &str| {
        gateway.enter(|| {
            for port in 0..EACH {
                let socket = UdpSocket::bind((from, 10_000 + port)).expect("a port of the loopback network");
                socket.send_to(b"x", to).expect("a datagram");
            }
        });
    };
    let setup = Setup::new(gateway, COUNT_ONLY);
    let agent = setup.start();
    gateway.must("nft", &["-f", "-"], RULES);
    wait::until("the agent to see the rules", QUIET, || match &agent.status()["agent"]["doubt"] {
        Value::Null => Err("no doubt"),
        _ => Ok(()),
    });
    let until_right = || {
        wait::until("the agent's counts to equal a dump", QUIET, || {
            let counts = counts_of(&setup.try_json(&["top-sources", "-n", "0"])?);
            let dumped = by_source(&rows(gateway));
            if counts == dumped { Ok(counts) } else { Err(format!("{counts:?} is not {dumped:?}")) }
        })
    };
    for _ in 0..3 {
        send("127.0.0.2", "127.0.0.1:9000");
        let counts = until_right();
        let masked = counts.get(&(IpAddr::from([127, 0, 0, 2]), 0)).map(|counts| counts.udp);
        assert_eq!(masked, Some(EACH.into()), "{counts:?}");
        gateway.must("conntrack", &["-D", "-s", "127.0.0.2"], "");
        send("127.0.0.3", "127.0.0.1:9001");
        let dumped = by_source(&rows(gateway));
        let document = setup.json(&["top-sources", "-n", "0"]);
        let honest = document["synced"] == false || counts_of(&document) == dumped;
        assert!(honest, "in step, it says, and is wrong: {document}");
        until_right();
        gateway.must("conntrack", &["-D", "-s", "127.0.0.3"], "");
    }
    assert_eq!(agent.stop(), 0);
}

/// Stopped under load, again and again: events from before a loss still lie in the queue when the dump begins.
fn honest_after_stops() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, COUNT_ONLY);
    let agent = setup.start();
    let mut writer = Writer::new(&topology.gateway);
    for round in 0..3 {
        agent.signal(Signal::SIGSTOP);
        churn(&mut writer, 60_000, 100_000, 20_000, |n| flow(n + round * 100_000));
        agent.signal(Signal::SIGCONT);
        let dumped = by_source(&rows(&topology.gateway));
        wait::until("counts that claim to be in step", QUIET, || {
            let document = setup.try_json(&["top-sources", "-n", "0"])?;
            if document["synced"] != true {
                return Err("not yet".to_owned());
            }
            assert!(counts_of(&document) == dumped, "in step, it says, and is wrong in round {round}");
            Ok(())
        });
    }
    assert!(
        agent.status()["agent"]["lost_events"].as_u64() > Some(0),
        "nothing was lost: the test proves nothing"
    );
    assert_eq!(agent.stop(), 0);
}

/// The buffer follows from pace and stalls: what overran it once does not a second time.
fn room_for_stops() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, COUNT_ONLY);
    let agent = setup.start();
    let mut writer = Writer::new(&topology.gateway);
    let mut begun = 0;
    let mut stop_while = |flows: u32| {
        agent.signal(Signal::SIGSTOP);
        let reached = churn(&mut writer, 60_000, flows, 20_000, |n| flow(n + begun));
        agent.signal(Signal::SIGCONT);
        begun += flows;
        reached
    };
    let told = |agent: &crate::harness::agent::Agent| {
        let health = &agent.status()["agent"];
        let queue =
            |name: &str| health["queue"][name].as_f64().unwrap_or_else(|| panic!("{name} in {health}"));
        let lost = health["lost_events"].as_u64().expect("lost_events");
        (
            lost,
            queue("buffer_bytes"),
            queue("wanted_bytes"),
            queue("longest_stall_seconds"),
            queue("most_per_second"),
        )
    };
    let (_, room, wanted, ..) = told(&agent);
    assert!(room >= 128e6 && room >= wanted, "{room} of {wanted} bytes");
    let reached = stop_while(120_000);
    until_equal(&setup, &topology);
    let (lost, larger, wanted, stall, pace) = told(&agent);
    assert!(lost > 0, "no event was lost: the test proves nothing");
    assert!(stall > 1.0 && pace > reached * 5.0 / 6.0, "{stall} s, {pace} of {reached} a second");
    assert!(
        larger > room && larger >= wanted && wanted >= (stall * pace * 1280.0).min(250e6),
        "{larger} bytes"
    );
    stop_while(75_000);
    wait::until("a lag to be told", QUIET, || {
        match agent.status()["agent"]["queue"]["lag_seconds"].as_f64() {
            Some(lag) if lag > 0.5 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    until_equal(&setup, &topology);
    assert_eq!(told(&agent).0, lost, "lost in the second stop too, though it was shorter");
    assert_eq!(agent.stop(), 0);
}

fn same_identity() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, COUNT_ONLY);
    let _agent = setup.start();
    let all: Vec<Flow> = flow::established(3000, 100, 0).collect();
    let mut writer = Writer::new(&topology.gateway);
    for flow in &all {
        for _ in 0..4 {
            writer.create(flow);
            writer.delete(flow);
        }
        writer.create(flow);
    }
    writer.flush();
    let counts = until_equal(&setup, &topology);
    assert_eq!(counts.values().map(|counts| counts.tcp).sum::<u64>(), 3000);
    for flow in &all[..1500] {
        writer.delete(flow);
        writer.create(flow);
        writer.delete(flow);
    }
    writer.flush();
    let counts = until_equal(&setup, &topology);
    assert_eq!(counts.values().map(|counts| counts.tcp).sum::<u64>(), 1500);
    assert!(writer.refused.is_empty(), "{:?}", writer.refused);
}

fn apart() {
    let topology = Topology::new();
    let mut older = one_of_each();
    let six = |n: u32| Flow::new(source6(n % 50), SERVER6, L4::Udp((1024 + n / 50) as u16, 53), 600);
    older.extend((0..500).map(six));
    fill(&topology.gateway, older);
    let setup = Setup::new(&topology.gateway, COUNT_ONLY);
    let _agent = setup.start();
    until_equal(&setup, &topology);
    let many = (0..60).flat_map(|n| (0..3).map(move |zone| (n, zone)));
    fill(
        &topology.gateway,
        many.map(|(n, zone)| Flow { zone, ..Flow::established(source(n + 100), SERVER4, 1024, 0) }),
    );
    fill(&topology.gateway, (500..1000).map(six));
    let counts = until_equal(&setup, &topology);
    let of_source = |n: u32| counts.keys().filter(|(from, _)| *from == source(n)).count();
    assert_eq!(of_source(100), 3, "one row for each zone");
}
