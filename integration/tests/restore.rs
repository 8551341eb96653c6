//! What the agent changed goes back: on SIGTERM, after SIGKILL and a restart, by `revert`; never under the count.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::agent::{Agent, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{self, Flow, source};
use crate::harness::hostwide::{self, MAX, Restore};
use crate::harness::pressed::{
    ESTABLISHED, FIRST, SECTIONS, raised, shortened, to_be_raised, to_be_shortened,
};
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("restore::timeouts_go_back_after_sigkill_and_a_restart", timeouts_after_sigkill).needs(&[Need::Age]),
    test("restore::timeouts_go_back_by_revert_without_an_agent", timeouts_by_revert).needs(&[Need::Age]),
    test("restore::revert_under_pressure_says_that_the_agent_acts_again", under_pressure).needs(&[Need::Age]),
    test("restore::revert_says_so_where_the_whole_state_directory_is_gone", directory_gone)
        .needs(&[Need::Age]),
    test("restore::a_timeout_set_just_before_pressure_is_what_goes_back", just_before).needs(&[Need::Age]),
    test("restore::sigterm_puts_max_back", on_sigterm).needs(&[Need::HostWide]),
    test("restore::sigint_puts_max_back", on_sigint).needs(&[Need::HostWide]),
    test("restore::after_sigkill_the_next_agent_knows_the_baseline", after_sigkill).needs(&[Need::HostWide]),
    test("restore::revert_without_an_agent_puts_max_back", revert_alone).needs(&[Need::HostWide]),
    test("restore::revert_asks_the_running_agent", revert_asks).needs(&[Need::HostWide]),
    test("restore::max_is_never_lowered_under_the_count", never_under_count).needs(&[Need::HostWide]),
    test("restore::restore_on_exit_never_leaves_max", never_restored).needs(&[Need::HostWide]),
];

/// A gateway whose agent shortened a timeout and was killed: per namespace, so no host-wide value is at stake.
fn shortened_and_killed() -> (Topology, Setup) {
    let (topology, setup) = to_be_shortened();
    shortened(setup.start(), &topology, 432_000).killed();
    assert!(topology.gateway.sysctl_number(ESTABLISHED) < 432_000, "nobody put it back");
    (topology, setup)
}

fn timeouts_after_sigkill() {
    let (topology, setup) = shortened_and_killed();
    assert_eq!(setup.start().stop(), 0);
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 432_000);
}

fn timeouts_by_revert() {
    let (topology, setup) = shortened_and_killed();
    let reverted = setup.json(&["revert"]);
    assert_eq!(reverted["schema"], 1);
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 432_000);
}

fn under_pressure() {
    let (topology, setup) = to_be_shortened();
    let agent = shortened(setup.start(), &topology, 432_000);
    let reverted = setup.ctctl(&["--json", "revert"]);
    assert_eq!(reverted.code, 1, "{reverted:?}");
    // Sentences in JSON too have commands as they are to be typed.
    let netns = topology.gateway.path().display().to_string();
    let netns = netns.rsplit('/').next().expect("a name");
    let waits = format!("ctctl --netns {netns}");
    assert!(reverted.stdout.contains("432000") && reverted.stdout.contains(&waits), "{reverted:?}");
    assert!(reverted.stdout.contains(" pause, before"), "{reverted:?}");
    assert_eq!(setup.ctctl(&["pause"]).code, 0);
    let reverted = setup.ctctl(&["revert"]);
    assert!(reverted.code == 0 && !reverted.stdout.contains(" pause, before"), "{reverted:?}");
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 432_000);
    assert_eq!(agent.stop(), 0);
}

fn directory_gone() {
    let (topology, setup) = shortened_and_killed();
    std::fs::remove_dir_all(setup.state()).expect("the state directory");
    let answer = setup.ctctl(&["revert"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("is gone") && answer.stderr.contains("not known any more"), "{answer:?}");
    assert_ne!(topology.gateway.sysctl_number(ESTABLISHED), 432_000, "nobody knows what it was");
    // One that ended in order leaves nothing to say.
    topology.gateway.set_sysctl(ESTABLISHED, 432_000);
    assert_eq!(setup.start().stop(), 0);
    std::fs::remove_dir_all(setup.state()).expect("the state directory");
    assert_eq!(setup.ctctl(&["revert"]).code, 0);
}

/// An operator's value that the agent has had no time to notice before it acts on it.
fn just_before() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(3000, 100, 100_000));
    let setup = Setup::new(&topology.gateway, &format!("{}[flush]\nenabled = false\n", limit(5000)));
    let agent = setup.start();
    topology.gateway.set_sysctl(ESTABLISHED, 300_000);
    fill(&topology.gateway, (0..2000).map(|n| Flow::established(source(n), SERVER4, 7000, 0)));
    assert_eq!(shortened(agent, &topology, 300_000).stop(), 0);
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 300_000);
}

/// A gateway whose live table drives max up.
struct Gateway {
    topology: Topology,
    setup: Setup,
    live: Vec<Flow>,
    _restore: Restore,
}

impl Gateway {
    fn new() -> Self {
        let restore = Restore::new();
        restore.pin_max(FIRST);
        let (topology, setup, live) = to_be_raised();
        Gateway { topology, setup, live, _restore: restore }
    }

    /// An agent that has raised max.
    fn raised(&self) -> Agent<'_> {
        raised(&self.setup)
    }

    fn drain(&self) {
        let mut writer = Writer::new(&self.topology.gateway);
        self.live.iter().for_each(|flow| writer.delete(flow));
        writer.flush();
        assert_eq!(self.topology.count(), 0, "{:?}", writer.refused);
    }

    fn restored(&self) {
        assert_eq!(
            hostwide::read(MAX),
            FIRST,
            "max as the agent found it; journal: {:#?}",
            self.setup.acts()
        );
    }
}

fn on_signal(signal: Signal) {
    let gateway = Gateway::new();
    let mut agent = gateway.raised();
    gateway.drain();
    agent.signal(signal);
    assert_eq!(agent.ended(), 0);
    gateway.restored();
}

fn on_sigterm() {
    on_signal(Signal::SIGTERM);
}

fn on_sigint() {
    on_signal(Signal::SIGINT);
}

fn after_sigkill() {
    let gateway = Gateway::new();
    gateway.raised().killed();
    assert!(hostwide::read(MAX) > FIRST, "nobody put it back");
    gateway.drain();
    let next = gateway.setup.start();
    assert_eq!(next.stop(), 0);
    gateway.restored();
}

fn revert_alone() {
    let gateway = Gateway::new();
    gateway.raised().killed();
    gateway.drain();
    let reverted = gateway.setup.json(&["revert"]);
    assert_eq!(reverted["schema"], 1);
    gateway.restored();
    let again = gateway.setup.ctctl(&["revert"]);
    assert_eq!(again.code, 0, "nothing left to revert is no error: {again:?}");
    gateway.restored();
}

fn revert_asks() {
    let gateway = Gateway::new();
    let agent = gateway.raised();
    gateway.drain();
    let reverted = gateway.setup.ctctl(&["revert"]);
    assert_eq!(reverted.code, 0, "{}{}", reverted.stdout, reverted.stderr);
    gateway.restored();
    wait::throughout("the agent does not raise it again", Duration::from_secs(1), || {
        if hostwide::read(MAX) == FIRST { Ok(()) } else { Err(hostwide::read(MAX)) }
    });
    assert_eq!(agent.stop(), 0);
    gateway.restored();
}

fn never_under_count() {
    let gateway = Gateway::new();
    let agent = gateway.raised();
    // A table that the first max would not hold.
    let mut writer = Writer::new(&gateway.topology.gateway);
    let more: Vec<_> = flow::established(22_000, 200, 0).skip(gateway.live.len()).collect();
    more.iter().for_each(|flow| writer.create(flow));
    writer.flush();
    assert!(writer.refused.is_empty(), "{:?}", writer.refused);
    agent.stop();
    let max = hostwide::read(MAX);
    assert!(max >= 22_000, "max {max} under the count");
    let waits = gateway.setup.ctctl(&["revert"]);
    assert_eq!(waits.code, 1, "something waits: {}{}", waits.stdout, waits.stderr);
    assert!(waits.stdout.contains("max"), "it says what waits: {}", waits.stdout);
    assert!(hostwide::read(MAX) >= 22_000, "max under the count");
    more.iter().for_each(|flow| writer.delete(flow));
    writer.flush();
    gateway.drain();
    let reverted = gateway.setup.ctctl(&["revert"]);
    assert_eq!(reverted.code, 0, "{}{}", reverted.stdout, reverted.stderr);
    gateway.restored();
}

fn never_restored() {
    let gateway = Gateway::new();
    gateway.setup.write("restore_on_exit = \"never\"", SECTIONS);
    let agent = gateway.raised();
    gateway.drain();
    assert_eq!(agent.stop(), 0);
    assert!(hostwide::read(MAX) > FIRST, "left for the next start");
    // The next start still knows what was there before the first.
    gateway.setup.write("", SECTIONS);
    assert_eq!(gateway.setup.start().stop(), 0);
    gateway.restored();
}
