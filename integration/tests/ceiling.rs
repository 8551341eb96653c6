//! max rises when it must, and never over its ceiling.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::harness::agent::Setup;
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill, paced};
use crate::harness::flow;
use crate::harness::hostwide::{self, MAX, Restore};
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("ceiling::max_rises_with_the_table_and_never_over_the_ceiling", never_over).needs(&[Need::HostWide]),
    test("ceiling::capacity_disabled_never_writes_max", disabled).needs(&[Need::HostWide]),
    test("ceiling::a_quota_below_max_never_raises_max", quota).needs(&[Need::HostWide]),
    test("ceiling::an_entry_costs_what_the_slabs_grow_by", cost).needs(&[Need::HostWide]),
    test("ceiling::what_another_namespace_holds_is_taken_off", others).needs(&[Need::HostWide]),
];

const FIRST: u64 = 20_000;
const CEILING: u64 = 30_000;

/// Flushing and timeouts off: only max can help.
fn capacity(more: &str) -> String {
    format!(
        "[capacity]\nbuckets = \"never\"\n{more}\n[flush]\nenabled = false\n[timeouts]\nenabled = false\n"
    )
}

fn never_over() {
    let restore = Restore::new();
    let topology = Topology::new();
    restore.pin_max(FIRST);
    fill(&topology.gateway, flow::established(15_000, 200, 0));
    let setup = Setup::new(&topology.gateway, &capacity(&format!("ceiling = {CEILING}")));
    let agent = setup.start();
    let peak = Cell::new(0);
    let more: Vec<_> = flow::established(CEILING as u32, 200, 0).skip(15_000).collect();
    let mut writer = Writer::new(&topology.gateway);
    let watch = |_: &mut Writer| peak.set(peak.get().max(hostwide::read(MAX)));
    let each = |writer: &mut Writer, n: u32| writer.create(&more[n as usize]);
    paced(&mut writer, 5000, more.len() as u32 - 100, each, watch);
    assert!(writer.refused.is_empty(), "max did not rise in time: {:?}", writer.refused);
    wait::throughout("max stays under its ceiling", Duration::from_secs(2), || {
        let max = hostwide::read(MAX);
        peak.set(peak.get().max(max));
        if max <= CEILING { Ok(()) } else { Err(format!("max is {max}")) }
    });
    assert!((FIRST + 1..=CEILING).contains(&peak.get()), "the highest max was {}", peak.get());
    let status = agent.status();
    assert_eq!(status["max"], hostwide::read(MAX));
    assert!(status["bounds"]["max_ceiling"].as_u64().is_some_and(|c| c <= CEILING), "{}", status["bounds"]);
}

/// At critical with `sections`, max stays what it was.
fn stays(sections: &str) {
    let restore = Restore::new();
    let topology = Topology::new();
    restore.pin_max(FIRST);
    fill(&topology.gateway, flow::established(19_900, 200, 0));
    let setup = Setup::new(&topology.gateway, sections);
    let agent = setup.start();
    wait::throughout("max is left alone", Duration::from_secs(3), || {
        let max = hostwide::read(MAX);
        if max == FIRST { Ok(()) } else { Err(format!("max is {max}")) }
    });
    assert_eq!(agent.status()["level"], "critical");
}

fn disabled() {
    stays(&capacity("enabled = false"));
}

fn quota() {
    stays(&capacity("limit = 19000"));
}

/// Bytes in use in the kernel's caches of entries and of what their extensions may lie in.
fn slab_bytes() -> f64 {
    const CACHES: [&str; 4] = ["nf_conntrack", "kmalloc-128", "kmalloc-192", "kmalloc-256"];
    let text = std::fs::read_to_string("/proc/slabinfo").expect("slabinfo");
    let bytes = |row: &str| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let number = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
        match CACHES.contains(fields.first()?) {
            true => Some(number(1) * number(5) * 4096.0 / number(4)),
            false => None,
        }
    };
    text.lines().filter_map(bytes).sum()
}

/// By packets, which need an extension block of 128 bytes whatever is switched on, and by ctnetlink, which extends
/// entries by more. Alone on the host, for others use these caches too.
fn cost() {
    const ENTRIES: u32 = 100_000;
    for accounting in [0, 1] {
        for by_packets in [true, false] {
            let topology = Topology::new();
            for (name, value) in [("acct", accounting), ("timestamp", accounting), ("events", 1)] {
                topology.gateway.set_sysctl(&format!("net/netfilter/nf_conntrack_{name}"), value);
            }
            let setup = Setup::new(&topology.gateway, "");
            let before = slab_bytes();
            match by_packets {
                true => packets(&topology, ENTRIES),
                false => fill(&topology.gateway, flow::established(ENTRIES, 200, 0)),
            }
            let entries = topology.count();
            assert!(entries >= u64::from(ENTRIES), "{entries}");
            let real = (slab_bytes() - before) / entries as f64;
            let bounds = setup.json(&["status"])["bounds"].take();
            let told = bounds["bytes_per_entry"].as_f64().expect("a number");
            eprintln!("accounting {accounting}, by packets {by_packets}: {real:.0} bytes, told {told}");
            assert!((told / real - 1.0).abs() < 0.05, "{real:.0} bytes: {bounds}");
        }
    }
}

/// One datagram each to many addresses of the gateway's own loopback.
fn packets(topology: &Topology, count: u32) {
    topology.gateway.enter(|| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        for n in 0..count {
            // Nobody listens: what comes back is an error of a later call.
            let [_, b, c, d] = n.to_be_bytes();
            let _ = (0..3).find(|_| socket.send_to(b"x", (Ipv4Addr::new(127, b + 1, c, d), 4000)).is_ok());
        }
    });
}

/// Alone on the host, since the slab is one for all namespaces: 200 MiB for the table, and a second namespace full of
/// entries.
fn others() {
    const HELD: u32 = 100_000;
    let [ours, other] = [Topology::new(), Topology::new()];
    let meminfo = std::fs::read_to_string("/proc/meminfo").expect("meminfo");
    let total = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("MemTotal");
    let percent = 200.0 * 1024.0 * 100.0 / total;
    let setup = Setup::new(
        &ours.gateway,
        &format!("[capacity]\nmemory_percent = {percent:.4}\nkeep_available_percent = 1\n"),
    );
    fill(&other.gateway, flow::established(HELD, 200, 0));
    let bounds = setup.json(&["status"])["bounds"].take();
    let number = |name: &str| bounds[name].as_u64().unwrap_or_else(|| panic!("{name}: {bounds}"));
    assert!(bounds["reason"].to_string().contains("entries that other namespaces hold"), "{bounds}");
    let taken = number("memory_budget_bytes") / number("bytes_per_entry") - number("max_ceiling");
    // The kernel counts some free objects of its slabs as used.
    assert!((u64::from(HELD)..u64::from(HELD) * 2).contains(&taken), "{taken} of {HELD}: {bounds}");
}
