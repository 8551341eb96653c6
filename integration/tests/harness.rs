//! The suite proves itself before it is believed: these need no agent.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::harness::environment::Need;
use crate::harness::fill::{Writer, churn, fill};
use crate::harness::flow::{self, ESTABLISHED_SECONDS, Flow, L4, source, source6};
use crate::harness::hostwide::{self, Restore};
use crate::harness::living::{self, Living};
use crate::harness::table::{self, ESTABLISHED, by_source, by_source_of_conntrack, rows};
use crate::harness::tool::{run, tool};
use crate::harness::topology::{CLIENT4, Family, SERVER4, SERVER6, Topology};
use crate::harness::traffic::{Echo, OneWay, SilentServer, Tcp};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("harness::namespaces_are_gone_after_the_test", namespaces_are_gone),
    test("harness::each_kind_of_entry_is_written_and_read_back", each_kind),
    test("harness::filling_writes_every_entry_with_its_time_left", filling),
    test("harness::churn_leaves_the_newest", churn_leaves_the_newest),
    test("harness::both_families_talk_through_masquerade", both_families_talk),
    test("harness::a_flow_whose_entry_went_is_not_alive", dead_without_entry),
    test("harness::a_closed_window_and_missing_acks_shorten_the_time_left", short_bases),
    test("harness::a_half_closed_flow_answers", half_closed),
    test("harness::every_kind_of_live_flow_lives_without_an_agent", every_kind_of_life),
    test("harness::one_way_udp_keeps_its_translation", one_way),
    test("harness::a_command_that_hangs_is_killed_at_its_deadline", deadline_kills),
    test("harness::a_full_table_refuses_new_connections", full_table_refuses).needs(&[Need::HostWide]),
];

fn namespaces_are_gone() {
    let topology = Topology::new();
    let paths = [topology.client.path(), topology.gateway.path(), topology.server.path()];
    assert!(paths.iter().all(|path| path.exists()));
    drop(topology);
    assert!(!paths.iter().any(|path| path.exists()), "left: {paths:?}");
}

/// One of every kind that the kernel tells apart, by both families, and with zone, mark, helper and master.
pub fn one_of_each() -> Vec<Flow> {
    let mut flows = Vec::new();
    for n in 0..2 {
        let six = n == 1;
        let (from, to): (IpAddr, IpAddr) =
            if six { (source6(9).into(), SERVER6.into()) } else { (source(9).into(), SERVER4.into()) };
        let with = |l4| Flow::new(from, to, l4, 4000);
        let states = 1..=8;
        flows.extend(states.map(|state| with(L4::Tcp(1000 + u16::from(state), 80, state))));
        flows.extend([with(L4::Udp(2000, 53)), with(L4::Udp(2001, 4500)).unreplied()]);
        flows.extend([
            with(L4::Sctp(3000, 80, 4)),
            with(L4::Gre(7, 8)),
            with(L4::Echo(77)),
            with(L4::Number(99)),
        ]);
        flows.push(Flow { zone: 7, mark: 0x12, ..with(L4::Udp(2000, 53)) });
    }
    let parent = Flow { helper: Some("ftp"), ..Flow::established(source(9), SERVER4, 21, 0) };
    let child = Flow::established(source(9), SERVER4, 20_000, 0);
    flows.extend([parent.clone(), Flow { master: Some(Box::new(parent)), ..child }]);
    flows
}

fn each_kind() {
    let topology = Topology::new();
    let flows = one_of_each();
    fill(&topology.gateway, flows.clone());
    let rows = rows(&topology.gateway);
    assert_eq!(rows.len(), flows.len());
    assert_eq!(topology.count(), flows.len() as u64);
    assert_eq!(by_source(&rows), by_source_of_conntrack(&topology.gateway), "two readers of one table");
    let zoned: Vec<_> = rows.iter().filter(|row| row.zone == 7).collect();
    assert!(zoned.len() == 2 && zoned.iter().all(|row| row.mark == 0x12), "{zoned:?}");
    let established = rows.iter().filter(|row| row.tcp_state == Some(ESTABLISHED));
    assert_eq!(established.count(), 4, "state 3 of each family, the parent and the child");
    let expected = table::of_port(&topology, 6, 20_000).expect("the child");
    assert_eq!(expected.status & 1, 1, "IPS_EXPECTED comes with a master: {expected:?}");
    let mut writer = Writer::new(&topology.gateway);
    writer.set_left(&flows[2], 77);
    writer.flush();
    let short = |row: &table::Row| row.left_seconds.is_some_and(|left| left <= 77);
    let updated: Vec<_> = table::rows(&topology.gateway).into_iter().filter(short).collect();
    assert!(updated.len() == 1 && updated[0].source_port == 1003, "{updated:?}");
    flows.iter().rev().for_each(|flow| writer.delete(flow));
    writer.flush();
    assert_eq!(topology.count(), 0, "refused: {:?}", writer.refused);
}

fn filling() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(60_000, 100, 8000));
    assert_eq!(topology.count(), 60_000);
    let left = rows(&topology.gateway).iter().filter_map(|row| row.left_seconds).min();
    assert!(left.is_some_and(|left| left > ESTABLISHED_SECONDS - 8000 - 60), "{left:?}");
}

fn churn_leaves_the_newest() {
    let topology = Topology::new();
    let flow = |n: u32| Flow::established(source(n % 50), SERVER4, (1024 + n / 50) as u16, 0);
    let mut writer = Writer::new(&topology.gateway);
    churn(&mut writer, 60_000, 60_000, 5000, flow);
    assert!(writer.refused.is_empty(), "{:?}", writer.refused);
    let ports: BTreeSet<u16> = rows(&topology.gateway).iter().map(|row| row.source_port).collect();
    assert_eq!(topology.count(), 5000);
    assert_eq!(ports.first(), Some(&(1024 + 55_000 / 50)));
}

fn both_families_talk() {
    let topology = Topology::new();
    for family in [Family::V4, Family::V6] {
        let mut tcp = Tcp::talking(&topology, family);
        let seen = tcp.server.peer_addr().expect("a peer").ip();
        assert_ne!(seen, family.client(), "the server sees the gateway, not the client");
        let entry = tcp.entry(&topology).expect("an entry");
        assert_eq!((entry.source, entry.tcp_state), (family.client(), Some(ESTABLISHED)));
        let echo = Echo::new(&topology, family);
        echo.first_answer(Duration::from_secs(5));
        assert_eq!(echo.answered(20), 20);
        tcp.alive().expect("still alive");
    }
}

fn delete(topology: &Topology, tcp: &Tcp) {
    let to = tcp.client.peer_addr().expect("a peer");
    let flow = Flow::new(CLIENT4, to.ip(), L4::Tcp(tcp.port(), to.port(), ESTABLISHED), 0);
    let mut writer = Writer::new(&topology.gateway);
    writer.delete(&flow);
    writer.flush();
    assert!(tcp.entry(topology).is_none(), "refused: {:?}", writer.refused);
}

fn dead_without_entry() {
    let topology = Topology::new();
    let mut tcp = Tcp::talking(&topology, Family::V4);
    delete(&topology, &tcp);
    tcp.patience(Duration::from_secs(1));
    assert!(
        tcp.alive().is_err(),
        "bytes came through without an entry: the test for life would prove nothing"
    );
}

/// The time left of the flow's entry, once it is at most `most`.
fn left_at_most(topology: &Topology, tcp: &Tcp, most: u32) {
    wait::until("a shorter base timeout", Duration::from_secs(5), || {
        let entry = tcp.entry(topology).ok_or("no entry")?;
        if entry.left_seconds.is_some_and(|left| left <= most) { Ok(()) } else { Err("longer") }
    });
}

fn short_bases() {
    let topology = Topology::new();
    let mut stalled = Tcp::talking(&topology, Family::V4);
    let sent = stalled.close_window();
    left_at_most(&topology, &stalled, 300);
    let mut unacknowledged = Tcp::talking(&topology, Family::V4);
    {
        let _silent = SilentServer::new(&topology, unacknowledged.client.peer_addr().expect("a peer").port());
        std::io::Write::write_all(&mut unacknowledged.client, b"client answers").expect("a write");
        left_at_most(&topology, &unacknowledged, 300);
    }
    let mut read = [0; 14];
    std::io::Read::read_exact(&mut unacknowledged.server, &mut read)
        .expect("the bytes that were not acknowledged");
    unacknowledged.alive().expect("alive when the server speaks again");
    stalled.alive_after_closed_window(sent).expect("alive when the window opens");
}

fn half_closed() {
    let topology = Topology::new();
    living::half_closed(&topology).alive_half_closed().expect("the late answer");
}

fn every_kind_of_life() {
    let topology = Topology::new();
    let living = Living::open(&topology);
    let policy = rows(&topology.gateway)
        .into_iter()
        .filter(|row| row.left_seconds.is_some_and(|left| (3500..=3600).contains(&left)));
    assert_eq!(policy.count(), 1, "a flow under the policy's own timeout");
    living.prove_alive();
}

fn one_way() {
    let topology = Topology::new();
    let udp = OneWay::new(&topology, Duration::from_millis(100));
    wait::until("datagrams", Duration::from_secs(5), || if udp.received() > 5 { Ok(()) } else { Err("few") });
    let entry = udp.entry(&topology).expect("an entry");
    assert_eq!(entry.status & table::IPS_SEEN_REPLY, 0, "one way");
    assert_eq!(udp.senders(), 1);
}

fn deadline_kills() {
    let start = Instant::now();
    let killed = std::panic::catch_unwind(|| {
        let mut sleep = tool("sleep");
        sleep.arg("1000");
        run(sleep, "", Duration::from_millis(50))
    });
    assert!(killed.is_err() && start.elapsed() < Duration::from_secs(5));
}

fn full_table_refuses() {
    const MAX: u64 = 65_536;
    let restore = Restore::new();
    let topology = Topology::new();
    let echo = Echo::new(&topology, Family::V4);
    let mut tcp = Tcp::talking(&topology, Family::V4);
    restore.pin_max(MAX);
    assert_eq!(hostwide::read(hostwide::MAX), MAX);
    let before = table::statistics(&topology.gateway)["drop"];
    let room = MAX - topology.count();
    fill(&topology.gateway, flow::established(room as u32, 100, 8000));
    assert_eq!(topology.count(), MAX);
    assert_eq!(echo.answered(3), 0, "a full table of ASSURED entries locks everybody out");
    assert!(table::statistics(&topology.gateway)["drop"] > before, "and counts what it refused");
    tcp.alive().expect("what is in the table goes on");
}
