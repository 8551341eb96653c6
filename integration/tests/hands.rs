//! Other hands: an operator's value is theirs; what one owner of the host's max found, the next one knows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::agent::{CTCTL, Setup};
use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::hostwide::{self, MAX, Restore};
use crate::harness::namespace::Namespace;
use crate::harness::pressed::{
    ESTABLISHED, FIRST, SECTIONS, raised, shortened, to_be_raised, to_be_shortened,
};
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("hands::an_operators_timeout_stays_and_is_the_new_baseline", operators).needs(&[Need::Age]),
    test("hands::the_next_owner_of_max_knows_what_the_first_one_found", next_owner).needs(&[Need::HostWide]),
    test("hands::a_broken_host_baseline_is_set_aside_and_said", broken).needs(&[Need::HostWide]),
    test("hands::of_two_namespaces_of_an_agent_the_full_one_raises_max", one_process)
        .needs(&[Need::HostWide]),
    test("hands::of_two_agents_one_writes_max", one_writes).needs(&[Need::HostWide]),
];

const HOST_BASELINE: &str = "/run/ctctl/host/baseline.json";

fn drifts(setup: &Setup, words: &str) -> Result<Value, String> {
    let told =
        |r: &Value| r["event"] == "drift" && r["reason"].as_str().is_some_and(|why| why.contains(words));
    setup.journal().into_iter().find(told).ok_or_else(|| format!("no drift with {words:?}"))
}

fn operators() {
    let (topology, setup) = to_be_shortened();
    let agent = shortened(setup.start(), &topology, 432_000);
    topology.gateway.set_sysctl(ESTABLISHED, 300_000);
    wait::until("it to be noticed", Duration::from_secs(5), || {
        drifts(&setup, "to 300000 by someone else: that is its baseline now")
    });
    wait::throughout("it stays", Duration::from_secs(3), || {
        let now = topology.gateway.sysctl_number(ESTABLISHED);
        if now == 300_000 { Ok(()) } else { Err(now) }
    });
    let status = agent.status();
    let rows = status["timeouts"].as_array().expect("timeouts");
    let row = rows.iter().find(|row| row["name"] == "tcp_timeout_established").expect("its row");
    assert_eq!(row["baseline_seconds"], 300_000);
    assert_eq!(status["level"], "critical", "the pressure lasts");
    assert_eq!(agent.stop(), 0);
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 300_000);
}

/// A namespace with nothing in it, whose agent would own max if it could.
fn quiet() -> (Namespace, Setup) {
    let namespace = Namespace::new(&crate::harness::namespace::unique());
    let setup = Setup::new(&namespace, SECTIONS);
    (namespace, setup)
}

fn next_owner() {
    let restore = Restore::new();
    restore.pin_max(FIRST);
    let (topology, setup, _) = to_be_raised();
    let (_namespace, others) = quiet();
    let first = raised(&setup);
    let second = others.start();
    assert!(second.log().contains("owns nf_conntrack_max"), "{}", second.log());
    first.killed();
    let raised = hostwide::read(MAX);
    assert!(raised > FIRST, "nobody put it back");
    assert!(Path::new(HOST_BASELINE).exists(), "what was found lies beside the lease");
    // It tries for the lease every five seconds.
    wait::until("the second agent to take over", Duration::from_secs(15), || {
        drifts(&others, &format!("an earlier agent left max at {raised}; it was {FIRST} before"))
    });
    // max holds for the first one's namespace too: with its entries there, it would wait.
    topology.gateway.must("conntrack", &["-F"], "");
    assert_eq!(second.stop(), 0);
    assert_eq!(hostwide::read(MAX), FIRST, "journal: {:#?}", others.journal());
    assert!(!Path::new(HOST_BASELINE).exists(), "nothing is held any more");
    // The first one's own record is no reason to write max again.
    assert_eq!(setup.ctctl(&["revert"]).code, 0);
    assert_eq!(hostwide::read(MAX), FIRST);
}

fn broken() {
    let restore = Restore::new();
    restore.pin_max(FIRST);
    let directory = Path::new(HOST_BASELINE).parent().expect("a directory");
    std::fs::create_dir_all(directory).expect("its directory");
    std::fs::write(HOST_BASELINE, "{\"schema\": 1, \"boot_id\"").expect("half a file");
    let (_namespace, setup) = quiet();
    let agent = setup.start();
    wait::until("it to be said", Duration::from_secs(5), || {
        drifts(&setup, "the baseline of max and buckets was set aside as")
    });
    assert_eq!(agent.stop(), 0);
    assert_eq!(hostwide::read(MAX), FIRST);
    assert!(!Path::new(HOST_BASELINE).exists());
    let aside = std::fs::read_dir(directory).expect("its directory").flatten();
    aside.filter(|f| f.file_name().to_string_lossy().contains("broken")).for_each(|file| {
        std::fs::remove_file(file.path()).expect("what was set aside");
    });
}

fn one_writes() {
    let restore = Restore::new();
    restore.pin_max(FIRST);
    let (namespace, others) = quiet();
    let owner = others.start();
    let (_topology, setup, _) = to_be_raised();
    let agent = setup.start();
    wait::throughout("max is the first agent's", Duration::from_secs(3), || {
        if hostwide::read(MAX) == FIRST { Ok(()) } else { Err(hostwide::read(MAX)) }
    });
    let plan = setup.json(&["plan"]);
    let told = |r: &Value| r.as_str().is_some_and(|r| r.contains("max is not raised"));
    assert!(plan["reasons"].as_array().is_some_and(|reasons| reasons.iter().any(told)), "{plan}");
    let status = agent.status();
    let waiting = status["waiting"].to_string();
    let named = format!("an agent with pid {}, for the namespace {}, has it", owner.pid, namespace.name);
    assert!(waiting.contains(&named) && waiting.contains("[agent] netns"), "{named}: {waiting}");
    assert!(agent.stop() == 0 && owner.stop() == 0);
    assert_eq!(hostwide::read(MAX), FIRST);
}

/// A namespace's part of an agent of several: socket and state lie under its name.
fn journal_of(namespace: &Namespace) -> String {
    std::fs::read_to_string(state_of(namespace).join("journal.jsonl")).unwrap_or_default()
}

fn state_of(namespace: &Namespace) -> PathBuf {
    Path::new("/var/lib/ctctl").join(&namespace.name)
}

fn one_process() {
    let restore = Restore::new();
    restore.pin_max(FIRST);
    let (quiet, setup) = quiet();
    let full = Topology::new();
    let names = [&quiet.name, &full.gateway.name];
    let _left = [&quiet, &full.gateway].map(|n| Guard::new(Leftover::Directory(state_of(n))));
    let config =
        format!("[agent]\nnetns = {names:?}\n[log]\nformat = \"text\"\n[metrics]\nlisten = \"\"\n{SECTIONS}");
    std::fs::write(setup.config(), config).expect("the configuration");
    let log = setup.dir.join("log");
    let mut command = std::process::Command::new(CTCTL);
    command.arg("--config").arg(setup.config()).arg("agent").stdin(std::process::Stdio::null());
    command.stderr(std::fs::File::create(&log).expect("a log")).stdout(std::process::Stdio::null());
    let mut agent = command.spawn().expect("the agent");
    let guard = Guard::new(Leftover::Process(agent.id() as i32));
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    // The quiet one is first, and has the lease while both are calm.
    wait::until("both to be ready", Duration::from_secs(20), || {
        if said().matches("ready").count() >= 2 { Ok(()) } else { Err(said()) }
    });
    fill(&full.gateway, flow::established(19_500, 200, 0));
    wait::until("max to be raised", Duration::from_secs(10), || {
        if hostwide::read(MAX) > FIRST { Ok(()) } else { Err(said()) }
    });
    full.gateway.must("conntrack", &["-F"], "");
    let pid = nix::unistd::Pid::from_raw(agent.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
    assert!(agent.wait().expect("its end").success(), "{}", said());
    guard.forget();
    let journals = [&quiet, &full.gateway].map(journal_of);
    assert_eq!(hostwide::read(MAX), FIRST, "{journals:?}\n{}", said());
    assert!(!said().contains("owns nf_conntrack_max"), "{}", said());
    assert!(!journals.iter().any(|j| j.contains("someone else")), "{journals:?}");
    assert!(journals[1].contains("raise-max") && !journals[0].contains("\"max\""), "{journals:?}");
    assert!(!Path::new(HOST_BASELINE).exists(), "nothing is held any more");
}
