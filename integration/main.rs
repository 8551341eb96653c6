//! The real kernel: fresh namespaces for every test, real traffic through a NAT gateway, the real binary.
//!
//! As root everything runs. As an ordinary user the suite runs again inside a user namespace, without the tests that
//! write host-wide values. What cannot run is reported as ignored with its reason; under CI=true it fails.
//!
//! With `CTCTL_TEST_COSTS=1` each test prints what it took: seconds, those spent waiting for the lock on host-wide
//! values, and CPU seconds of this process and of the children that it waited for. The CPU is one test's only with
//! `--test-threads 1`. CONTRIBUTING.md has the command that lists the tests by their cost.

mod agent;
mod cleanup;
mod cost;
mod environment;
mod fill;
mod flow;
mod frames;
mod hostwide;
#[path = "../src/state/tests/kernel_rules.rs"]
mod kernel_rules;
mod living;
mod namespace;
mod netlink;
mod packets;
mod pressed;
mod scrape;
mod table;
mod terminal;
mod tool;
mod topology;
mod traffic;
mod unanswered;
mod wait;

mod test_ceiling;
mod test_closing;
mod test_collisions;
mod test_conntrackd;
mod test_counts;
mod test_disk;
mod test_doctor;
mod test_dry_run;
mod test_edges;
mod test_events;
mod test_everywhere;
mod test_fair_share;
mod test_first_look;
mod test_flush;
mod test_foreign_update;
mod test_hands;
mod test_harness;
mod test_knowledge;
mod test_lifeline;
mod test_list;
mod test_live;
mod test_local_life;
mod test_metrics;
mod test_namespaces;
mod test_observed;
mod test_operator;
mod test_pacing;
mod test_persist;
mod test_policies;
mod test_pressure;
mod test_proofs;
mod test_protect;
mod test_regret;
mod test_remembering;
mod test_replay;
mod test_requests;
mod test_rescue;
mod test_resizes;
mod test_restore;
mod test_second_chance;
mod test_service;
mod test_simulate;
mod test_top;
mod test_top_sources;
mod test_unit;

use environment::{Allowed, Need};
use libtest_mimic::{Arguments, Failed, Trial};

/// A test: its name says the behaviour.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    name: &'static str,
    needs: &'static [Need],
    run: fn(),
}

/// A test that runs wherever namespaces do.
pub const fn test(name: &'static str, run: fn()) -> Test {
    Test { name, needs: &[], run }
}

impl Test {
    /// The same, where the machine also allows `needs`.
    pub const fn needs(self, needs: &'static [Need]) -> Test {
        Test { needs, ..self }
    }

    fn alone(&self) -> bool {
        self.needs.contains(&Need::HostWide)
    }

    /// Runs it under the lock, and checks that the host's values are what they were.
    fn perform(self) -> Result<(), Failed> {
        let asked = cost::Start::now();
        let _lock = hostwide::lock(self.alone());
        let started = cost::Start::now();
        let values = || [hostwide::MAX, hostwide::BUCKETS].map(hostwide::read);
        let before = values();
        {
            let _restore = self.alone().then(hostwide::Restore::new);
            (self.run)();
        }
        cost::report(self.name, &asked, &started);
        let after = values();
        if before == after {
            return Ok(());
        }
        Err(format!("the host's max and buckets were {before:?} and are {after:?}").into())
    }

    fn trial(self, allowed: Allowed, ci: bool) -> Trial {
        let Err(reason) = allowed else { return Trial::test(self.name, move || self.perform()) };
        eprintln!("{}: {}: {reason}", if ci { "FAILS" } else { "IGNORED" }, self.name);
        let fails = move || Err(Failed::from(reason));
        Trial::test(self.name, fails).with_kind("not possible here").with_ignored_flag(!ci)
    }
}

fn tests() -> Vec<Test> {
    let mut all = [
        test_harness::TESTS,
        test_knowledge::TESTS,
        test_live::TESTS,
        test_closing::TESTS,
        test_counts::TESTS,
        test_pressure::TESTS,
        test_fair_share::TESTS,
        test_first_look::TESTS,
        test_foreign_update::TESTS,
        test_conntrackd::TESTS,
        test_policies::TESTS,
        test_pacing::TESTS,
        test_hands::TESTS,
        test_replay::TESTS,
        test_requests::TESTS,
        test_proofs::TESTS,
        test_protect::TESTS,
        test_local_life::TESTS,
        test_observed::TESTS,
        test_dry_run::TESTS,
        test_list::TESTS,
        test_events::TESTS,
        test_everywhere::TESTS,
        test_flush::TESTS,
        test_remembering::TESTS,
        test_operator::TESTS,
        test_doctor::TESTS,
        test_metrics::TESTS,
        test_namespaces::TESTS,
        test_edges::TESTS,
        test_collisions::TESTS,
        test_regret::TESTS,
        test_rescue::TESTS,
        test_resizes::TESTS,
        test_restore::TESTS,
        test_disk::TESTS,
        test_second_chance::TESTS,
        test_service::TESTS,
        test_ceiling::TESTS,
        test_simulate::TESTS,
        test_lifeline::TESTS,
        test_persist::TESTS,
        test_unit::TESTS,
        test_top::TESTS,
        test_top_sources::TESTS,
    ]
    .concat();
    // Those that run alone come last, so that the others do not wait behind them.
    all.sort_by_key(Test::alone);
    all
}

fn main() {
    let mut arguments = Arguments::from_args();
    let list = |test: Test| Trial::test(test.name, || Ok(()));
    if arguments.list {
        libtest_mimic::run(&arguments, tests().into_iter().map(list).collect()).exit();
    }
    // One line and no backtrace: the place says which expectation failed, the report at the end repeats why.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let environment = environment::settle();
    cleanup::on_interrupt();
    // Most tests wait for an agent or for the kernel: four of them keep two cores busy.
    arguments.test_threads.get_or_insert(4);
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let trial = |test: Test| {
        let allowed = environment.allows(test.needs);
        // A user namespace is enough for CI; only a machine that allows nothing fails there.
        test.trial(allowed, ci && environment.namespaces.is_err())
    };
    libtest_mimic::run(&arguments, tests().into_iter().map(trial).collect()).exit();
}
