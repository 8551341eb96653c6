//! Pressure while the table fills: nothing new is refused as long as something dead can go.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{self, ESTABLISHED_SECONDS, Flow, L4, source};
use crate::harness::hostwide::Restore;
use crate::harness::table::rows;
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

const MAX: u32 = 65_536;
const IDLE_SECONDS: u32 = 8000;
/// Live entries that come in one go.
const AT_ONCE: u32 = 500;
/// enum sctp_conntrack.
const SCTP_ESTABLISHED: u8 = 4;

pub const TESTS: &[Test] = &[
    test("pressure::a_quota_is_held_while_live_entries_come", quota_held).needs(&[Need::Age]),
    test("pressure::a_jump_from_empty_to_full_between_two_looks_is_relieved", jump).needs(&[Need::Age]),
    test("pressure::timeouts_shorten_to_no_less_than_their_floor", timeouts_shorten).needs(&[Need::Age]),
    test(
        "pressure::the_timeout_of_what_fills_the_table_is_shortened_and_no_other",
        timeouts_of_what_is_there,
    )
    .needs(&[Need::Age]),
    test("pressure::below_high_nothing_is_touched", calm_is_untouched).needs(&[Need::Age]),
    test("pressure::nothing_new_is_refused_while_idle_entries_remain", nothing_refused)
        .needs(&[Need::HostWide, Need::Age]),
];

/// A table 70 % full of what is idle past the floor.
fn seventy_percent(topology: &Topology) {
    fill(&topology.gateway, flow::established(MAX * 7 / 10, 500, IDLE_SECONDS));
}

/// Live entries, one source for each hundred.
fn live(n: u32) -> Flow {
    Flow::established(source(10_000 + n / 100), SERVER4, (1024 + n % 100) as u16, 0)
}

/// Adds live entries, as many at a time as there is room for below `most`: the agent has to make room again and again,
/// however little of the machine it has. The pace that it holds is judged by `cargo bench -- admission`.
fn add_live(topology: &Topology, writer: &mut Writer, most: u32, total: u32) {
    let mut done = 0;
    while done < total {
        let room = wait::until("room for live entries", Duration::from_secs(30), || {
            let room = u64::from(most).saturating_sub(topology.count()) as u32;
            if room > 0 { Ok(room) } else { Err(format!("{done} of {total} came")) }
        });
        let more = room.min(AT_ONCE).min(total - done);
        (done..done + more).for_each(|n| writer.create(&live(n)));
        writer.flush();
        done += more;
    }
}

/// That every live entry which was written is there.
fn all_live(topology: &Topology, total: u32) {
    let recent = |left: Option<u32>| left.is_some_and(|left| left > ESTABLISHED_SECONDS - 1000);
    let kept = rows(&topology.gateway).into_iter().filter(|row| recent(row.left_seconds)).count();
    assert_eq!(kept, total as usize, "live entries");
}

fn nothing_refused() {
    const TOTAL: u32 = 60_000;
    let restore = Restore::new();
    let topology = Topology::new();
    restore.pin_max(MAX.into());
    seventy_percent(&topology);
    let setup = Setup::new(&topology.gateway, &format!("[capacity]\nbuckets = \"never\"\nceiling = {MAX}\n"));
    let agent = setup.start();
    let mut writer = Writer::new(&topology.gateway);
    add_live(&topology, &mut writer, MAX, TOTAL);
    let dead = |left: Option<u32>| left.is_some_and(|left| left <= ESTABLISHED_SECONDS - IDLE_SECONDS);
    let idle = rows(&topology.gateway).into_iter().filter(|row| dead(row.left_seconds)).count();
    assert!(
        writer.refused.is_empty(),
        "refused by errno {:?} while {idle} idle entries remained",
        writer.refused
    );
    all_live(&topology, TOTAL);
    assert_eq!(agent.stop(), 0);
}

/// A quota in place of max: the kernel does not know it and refuses nothing, so only the agent makes the room.
fn quota_held() {
    const TOTAL: u32 = 45_000;
    let topology = Topology::new();
    seventy_percent(&topology);
    // Where growth ends in the middle of a relief, the rest of it is second chances.
    let short_grace = "[flush]\ngrace_seconds = 2\n";
    let setup = Setup::new(&topology.gateway, &(limit(MAX.into()) + short_grace));
    let agent = setup.start();
    let mut writer = Writer::new(&topology.gateway);
    add_live(&topology, &mut writer, MAX, TOTAL);
    all_live(&topology, TOTAL);
    wait::until("the table to leave the levels", Duration::from_secs(10), || {
        let count = topology.count();
        if count * 100 <= u64::from(MAX) * 80 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    all_live(&topology, TOTAL);
    assert_eq!(agent.stop(), 0);
}

/// The last scan met an empty table, and the next look finds a full one: the agent had no CPU meanwhile, or the quota
/// is so small that it fills between two looks.
fn jump() {
    // Entries that another program wrote are idle by what the agent saw itself: for so long.
    let floors = "[flush]\nestablished_idle_floor_seconds = 5\nemergency_idle_floor_seconds = 5\n";
    for (quota, stopped) in [(10_000, true), (400, false)] {
        let topology = Topology::new();
        let setup = Setup::new(&topology.gateway, &(limit(quota) + floors));
        let agent = setup.start();
        if stopped {
            agent.signal(Signal::SIGSTOP);
        }
        fill(&topology.gateway, flow::established(quota as u32 * 115 / 100, 100, IDLE_SECONDS));
        if stopped {
            agent.signal(Signal::SIGCONT);
        }
        wait::until("the table to be at its target", Duration::from_secs(25), || {
            let count = topology.count();
            if count * 100 <= quota * 71 { Ok(()) } else { Err(format!("{count} of {quota} entries")) }
        });
        assert_eq!(agent.stop(), 0);
    }
}

const ESTABLISHED: &str = "net/netfilter/nf_conntrack_tcp_timeout_established";

fn timeouts_shorten() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(20_000, 100, 100_000));
    let setup = Setup::new(&topology.gateway, &format!("{}[flush]\nenabled = false\n", limit(20_000)));
    let agent = setup.start();
    let shortened = wait::until("a shorter timeout", Duration::from_secs(10), || {
        let now = topology.gateway.sysctl_number(ESTABLISHED);
        if now < u64::from(ESTABLISHED_SECONDS) { Ok(now) } else { Err("unchanged") }
    });
    // tcp_established_floor_seconds; RFC 5382 REQ-5.
    assert!((7440..=100_000).contains(&shortened), "{shortened}");
    let status = agent.status();
    let rows = status["timeouts"].as_array().expect("timeouts");
    let row = rows.iter().find(|row| row["name"] == "tcp_timeout_established").expect("its row");
    assert_eq!(row["baseline_seconds"], ESTABLISHED_SECONDS);
    assert_eq!(row["floor_seconds"], 7440);
    for name in ["fin_wait", "close_wait"] {
        let now = topology.gateway.sysctl_number(&format!("net/netfilter/nf_conntrack_tcp_timeout_{name}"));
        assert_eq!(now, if name == "fin_wait" { 120 } else { 60 }, "{name} is never touched");
    }
    assert_eq!(topology.count(), 20_000, "shortening deletes nothing, and flushing is off");
    assert_eq!(agent.stop(), 0);
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), u64::from(ESTABLISHED_SECONDS), "put back");
}

/// By protocol and state: unanswered UDP stands under udp_timeout, GRE never under generic_timeout.
fn timeouts_of_what_is_there() {
    type Kind = (fn(u16) -> L4, bool, &'static str);
    let kinds: [Kind; 4] = [
        (|n| L4::Udp(1024 + n, 7777), false, "udp_timeout"),
        (|n| L4::Gre(1024 + n, 7), true, "gre_timeout_stream"),
        (L4::Echo, false, "icmp_timeout"),
        (|n| L4::Sctp(1024 + n, 7777, SCTP_ESTABLISHED), true, "sctp_timeout_established"),
    ];
    for (kind, replied, name) in kinds {
        let topology = Topology::new();
        let path = format!("net/netfilter/nf_conntrack_{name}");
        topology.gateway.set_sysctl(&path, 600);
        let flow = |n| {
            let flow = Flow::new(source(n), SERVER4, kind(n as u16), 500);
            if replied { flow } else { flow.unreplied() }
        };
        fill(&topology.gateway, (0..97).map(flow));
        let setup = Setup::new(&topology.gateway, &format!("{}[flush]\nenabled = false\n", limit(100)));
        let agent = setup.start();
        wait::until(&format!("a shorter {name}"), Duration::from_secs(10), || {
            let now = topology.gateway.sysctl_number(&path);
            if now < 600 { Ok(()) } else { Err("unchanged") }
        });
        assert_eq!(agent.stop(), 0);
        let acts = setup.acts();
        let set: BTreeSet<_> = acts
            .iter()
            .filter(|record| record["action"] == "set-timeout")
            .filter_map(|record| record["name"].as_str())
            .collect();
        assert_eq!(set, BTreeSet::from([name]));
        assert_eq!(topology.gateway.sysctl_number(&path), 600, "{name} is put back");
    }
}

fn calm_is_untouched() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(10_000, 100, 100_000));
    let setup = Setup::new(&topology.gateway, &limit(13_500));
    let agent = setup.start();
    wait::throughout("74 % is no pressure", Duration::from_secs(3), || {
        let count = topology.count();
        if count == 10_000 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    let status = agent.status();
    assert_eq!(status["level"], "normal");
    assert!(status["agent"]["regret_percent"].is_null(), "nothing was deleted");
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), u64::from(ESTABLISHED_SECONDS));
}
