//! The real kernel: fresh namespaces for every test, real traffic through a NAT gateway, the real binary.
//!
//! As root everything runs. As an ordinary user the suite runs again inside a user namespace, without the tests that
//! write host-wide values. What cannot run is reported as ignored with its reason; under CI=true it fails.
//!
//! With `CTCTL_TEST_COSTS=1` each test prints what it took: seconds, those spent waiting for the lock on host-wide
//! values, and CPU seconds of this process and of the children that it waited for. The CPU is one test's only with
//! `--test-threads 1`. CONTRIBUTING.md has the command that lists the tests by their cost.

mod harness;
#[path = "../src/core/state/tests/kernel_rules.rs"]
mod kernel_rules;
mod tests;

use harness::environment::{Allowed, Need};
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
        let asked = harness::cost::Start::now();
        let _lock = harness::hostwide::lock(self.alone());
        let started = harness::cost::Start::now();
        let values = || [harness::hostwide::MAX, harness::hostwide::BUCKETS].map(harness::hostwide::read);
        let before = values();
        {
            let _restore = self.alone().then(harness::hostwide::Restore::new);
            (self.run)();
        }
        harness::cost::report(self.name, &asked, &started);
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
        tests::harness::TESTS,
        tests::knowledge::TESTS,
        tests::live::TESTS,
        tests::closing::TESTS,
        tests::counts::TESTS,
        tests::pressure::TESTS,
        tests::fair_share::TESTS,
        tests::first_look::TESTS,
        tests::foreign_update::TESTS,
        tests::conntrackd::TESTS,
        tests::policies::TESTS,
        tests::pacing::TESTS,
        tests::hands::TESTS,
        tests::replay::TESTS,
        tests::requests::TESTS,
        tests::proofs::TESTS,
        tests::protect::TESTS,
        tests::local_life::TESTS,
        tests::observed::TESTS,
        tests::dry_run::TESTS,
        tests::list::TESTS,
        tests::events::TESTS,
        tests::everywhere::TESTS,
        tests::flush::TESTS,
        tests::remembering::TESTS,
        tests::operator::TESTS,
        tests::doctor::TESTS,
        tests::metrics::TESTS,
        tests::namespaces::TESTS,
        tests::edges::TESTS,
        tests::collisions::TESTS,
        tests::regret::TESTS,
        tests::rescue::TESTS,
        tests::resizes::TESTS,
        tests::restore::TESTS,
        tests::disk::TESTS,
        tests::second_chance::TESTS,
        tests::service::TESTS,
        tests::ceiling::TESTS,
        tests::simulate::TESTS,
        tests::lifeline::TESTS,
        tests::persist::TESTS,
        tests::unit::TESTS,
        tests::top::TESTS,
        tests::top_sources::TESTS,
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
    let environment = harness::environment::settle();
    harness::cleanup::on_interrupt();
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
