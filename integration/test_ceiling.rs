//! max rises when it must, and never over its ceiling.

use std::cell::Cell;
use std::time::Duration;

use crate::agent::Setup;
use crate::environment::Need;
use crate::fill::{Writer, fill, paced};
use crate::flow;
use crate::hostwide::{self, MAX, Restore};
use crate::topology::Topology;
use crate::{Test, test, wait};

pub const TESTS: &[Test] = &[
    test("ceiling::max_rises_with_the_table_and_never_over_the_ceiling", never_over).needs(&[Need::HostWide]),
    test("ceiling::capacity_disabled_never_writes_max", disabled).needs(&[Need::HostWide]),
    test("ceiling::a_quota_below_max_never_raises_max", quota).needs(&[Need::HostWide]),
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
