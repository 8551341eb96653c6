//! What the operator meets: refusals that say what to do, and hands that reach into the running agent.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::agent::{CTCTL, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::tool::{Answer, run, tool};
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::tests::counts::counts_of;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("operator::a_second_agent_refuses_and_names_the_first", second_agent),
    test("operator::without_an_agent_the_kernel_is_read", without_agent),
    test("operator::another_namespaces_agent_is_not_shown", other_namespace),
    test("operator::without_capabilities_exit_3_says_what_is_missing", no_capability),
    test("operator::another_user_gets_exit_3_and_what_is_missing", other_user).needs(&[Need::SecondUser]),
    test("operator::a_wrong_key_is_exit_2_with_its_line", wrong_key),
    test("operator::a_bad_configuration_on_reload_leaves_the_running_one", bad_reload),
    test("operator::paused_touches_nothing_and_resumed_acts", pause).needs(&[Need::Age]),
    test("operator::history_tells_what_was_done_and_why", history).needs(&[Need::Age]),
    test("operator::status_has_the_contracts_fields", status_fields),
];

const IDLE: u64 = 20_000;

fn fill_idle(topology: &Topology) {
    fill(&topology.gateway, flow::established(IDLE as u32, 100, 8000));
}

/// One line `ctctl: what: why`, and a hint where one is wanted.
fn said(answer: &Answer, code: i32, hint: bool) {
    assert_eq!(answer.code, code, "{answer:?}");
    assert_eq!(answer.stdout, "", "an error is on standard error");
    let lines: Vec<_> = answer.stderr.lines().collect();
    assert!(lines.first().is_some_and(|line| line.starts_with("ctctl: ")), "{answer:?}");
    assert!(!hint || lines.iter().any(|line| line.starts_with("hint: ")), "{answer:?}");
    assert!(lines.len() <= 2, "{answer:?}");
}

fn second_agent() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let first = setup.start();
    let mut second = setup.spawn(&[]);
    assert_eq!(second.ended(), 3);
    assert!(second.log().contains(&first.pid.to_string()), "it names pid {}: {}", first.pid, second.log());
    // Another socket and another state directory do not make another namespace.
    let elsewhere = Setup::new(&topology.gateway, &limit(1000));
    let mut third = elsewhere.spawn(&[]);
    assert_eq!(third.ended(), 3, "{}", third.log());
    assert!(third.log().contains(&first.pid.to_string()), "{}", third.log());
    assert_eq!(first.status()["agent"]["pid"], first.pid, "the first runs on");
    assert_eq!(first.stop(), 0);
    assert_eq!(elsewhere.start().stop(), 0, "and when it has ended, another may");
}

fn without_agent() {
    let topology = Topology::new();
    fill_idle(&topology);
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    let top = setup.json(&["top-sources", "-n", "0"]);
    assert_eq!((&top["basis"], &top["entries"]), (&"dump".into(), &IDLE.into()));
    assert_eq!(counts_of(&top).len(), 100);
    let three = setup.json(&["top-sources", "-n", "3"]);
    assert_eq!(three["sources"].as_array().map(Vec::len), Some(3));
    assert_eq!(three["sources_total"], 100);
    let status = setup.json(&["status"]);
    assert_eq!((&status["agent"], &status["entries"]), (&Value::Null, &IDLE.into()));
    assert_eq!(status["limit"], 10_000, "the configuration is read without an agent too");
    assert!(!setup.json(&["plan"])["actions"].as_array().expect("actions").is_empty());
    let inode = topology.gateway.inode();
    for document in [top, status] {
        assert_eq!(document["netns"]["inode"], inode);
        assert_eq!(document["netns"]["name"], topology.gateway.name);
        assert_eq!(document["schema"], 1);
    }
    for needs_agent in ["pause", "resume", "reload"] {
        said(&setup.ctctl(&[needs_agent]), 3, false);
    }
}

/// A client that asks about one namespace, at the socket of another's agent.
fn other_namespace() {
    let [ours, other] = [Topology::new(), Topology::new()];
    fill(&ours.gateway, flow::established(500, 10, 0));
    fill(&other.gateway, flow::established(70, 7, 0));
    let setup = Setup::new(&ours.gateway, &limit(10_000));
    let _agent = setup.start();
    let mut command = Command::new(CTCTL);
    command.args(["--netns", &other.gateway.name, "--socket"]).arg(setup.socket());
    command.args(["top-sources", "-n", "0", "--json"]);
    let answer = run(command, "", Duration::from_secs(20));
    assert_eq!(answer.code, 0, "{answer:?}");
    let document: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!((&document["basis"], &document["entries"]), (&"dump".into(), &70.into()));
    assert_eq!(document["netns"]["inode"], other.gateway.inode());
    assert!(!answer.stderr.is_empty(), "it says that the agent is another namespace's");
}

/// `ctctl` in the gateway's own namespace, below `wrapper`.
fn confined(topology: &Topology, wrapper: &[&str], program: &str, args: &[&str]) -> Answer {
    topology.gateway.enter(|| {
        let mut command = tool("setpriv");
        command.args(wrapper).arg(program).args(args);
        run(command, "", Duration::from_secs(20))
    })
}

fn refuses(topology: &Topology, wrapper: &[&str], program: &str) {
    for command in [
        &["agent"][..],
        &["top-sources", "--json"],
        &["plan"],
        &["list"],
        &["list", "--like-conntrack"],
        &["events"],
        &["flush", "--stale", "--yes"],
    ] {
        // Nowhere to write either: what is missing first is the capability.
        let args = [&["--socket", "/nonexistent/ctctl.sock"], command].concat();
        let answer = confined(topology, wrapper, program, &args);
        assert_eq!(answer.code, 3, "{args:?}: {answer:?}");
        assert!(answer.stderr.contains("CAP_NET_ADMIN"), "{args:?} says what is missing: {answer:?}");
        assert!(answer.stderr.contains("hint: "), "{args:?} says how to get it: {answer:?}");
        assert_eq!(answer.stdout, "");
    }
}

fn no_capability() {
    let topology = Topology::new();
    refuses(&topology, &["--bounding-set=-all", "--inh-caps=-all"], CTCTL);
}

fn other_user() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, "");
    // Where the build is may be closed to others.
    let copy = setup.dir.join("ctctl");
    std::fs::copy(CTCTL, &copy).expect("a copy of the binary");
    let wrapper = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    refuses(&topology, &wrapper, &copy.display().to_string());
}

fn wrong_key() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, "[pressure]\nhigh_percnt = 80\n");
    let text = std::fs::read_to_string(setup.config()).expect("the configuration");
    let line = 1 + text.lines().position(|line| line.starts_with("high_percnt")).expect("the wrong key");
    let check = |text: &str| {
        assert!(text.contains("ctctl.toml") && text.contains("high_percnt"), "file and key: {text}");
        let place = [format!(":{line}:"), format!("line {line}")];
        assert!(place.iter().any(|place| text.contains(place)), "line {line}: {text}");
    };
    let mut agent = setup.spawn(&[]);
    assert_eq!(agent.ended(), 2);
    check(&agent.log());
    let plan = setup.ctctl(&["plan"]);
    said(&plan, 2, false);
    check(&plan.stderr);
}

fn bad_reload() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let agent = setup.start();
    setup.write("", "[pressure]\nhigh_percent = 12\n[capacity]\nlimit = 2000\n");
    let refused = setup.ctctl(&["reload"]);
    assert_eq!(refused.code, 2, "target <= low < high does not hold: {refused:?}");
    assert!(refused.stderr.contains("ctctl.toml"), "{refused:?}");
    assert_eq!(agent.status()["limit"], 1000, "the running configuration is in force");
    agent.signal(Signal::SIGHUP);
    wait::throughout("SIGHUP with a bad file changes nothing", Duration::from_millis(500), || {
        if agent.status()["limit"] == 1000 { Ok(()) } else { Err(agent.status()["limit"].clone()) }
    });
    setup.write("", &limit(3000));
    assert_eq!(setup.ctctl(&["reload"]).code, 0);
    assert_eq!(agent.status()["limit"], 3000);
    setup.write("", &limit(4000));
    agent.signal(Signal::SIGHUP);
    wait::until("SIGHUP to be heard", Duration::from_secs(5), || {
        if agent.status()["limit"] == 4000 { Ok(()) } else { Err("not yet") }
    });
    assert_eq!(agent.stop(), 0);
}

fn pause() {
    let topology = Topology::new();
    fill_idle(&topology);
    let setup = Setup::new(&topology.gateway, &limit(100_000));
    let agent = setup.start();
    assert_eq!(setup.ctctl(&["pause"]).code, 0);
    assert_eq!(agent.status()["agent"]["paused"], true);
    setup.write("", &limit(1000));
    assert_eq!(setup.ctctl(&["reload"]).code, 0);
    wait::throughout("paused, it watches on", Duration::from_secs(2), || {
        let count = topology.count();
        if count == IDLE { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert_eq!(agent.status()["level"], "critical", "it still sees");
    assert_eq!(setup.ctctl(&["resume"]).code, 0);
    wait::until("it to act again", Duration::from_secs(10), || {
        let count = topology.count();
        if count <= 800 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert_eq!(agent.status()["agent"]["paused"], false);
    assert_eq!(setup.ctctl(&["pause", "--for", "1s"]).code, 0);
    wait::until("the pause to end", Duration::from_secs(5), || {
        if agent.status()["agent"]["paused"] == false { Ok(()) } else { Err("paused") }
    });
    assert_eq!(agent.stop(), 0);
}

fn history() {
    let topology = Topology::new();
    fill_idle(&topology);
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    let agent = setup.start();
    let done = wait::until("a flush that is done", Duration::from_secs(10), || {
        let done = |act: &Value| act["event"] == "done" && act["action"] == "flush";
        setup.acts().into_iter().find(done).ok_or("none")
    });
    assert!(done["achieved"].as_u64().is_some_and(|n| n > 0 && n <= IDLE), "{done}");
    assert!(
        done["class"] == "established" && done["reason"].as_str().is_some_and(|why| why.len() > 10),
        "{done}"
    );
    let journal = setup.journal();
    let intends = journal.iter().position(|record| record["id"] == done["id"] && record["event"] == "intend");
    let ends = journal.iter().position(|record| record["seq"] == done["seq"]);
    assert!(intends.is_some() && intends < ends, "the intent is written before the outcome");
    for running in [true, false] {
        let answer = setup.ctctl(&["history", "--json"]);
        assert_eq!(answer.code, 0, "{answer:?}");
        let records: Vec<Value> =
            answer.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect();
        assert!(records.iter().any(|record| record["seq"] == done["seq"]), "agent running: {running}");
        assert!(records.windows(2).all(|two| two[0]["seq"].as_u64() < two[1]["seq"].as_u64()), "in order");
        let one = setup.ctctl(&["history", "-n", "1", "--json"]);
        assert_eq!(one.stdout.lines().count(), 1);
        let later = setup.ctctl(&["history", "--since", "2099-01-01T00:00:00Z", "--json"]);
        assert_eq!((later.code, later.stdout.as_str()), (0, ""));
        if running {
            agent.signal(Signal::SIGTERM);
            wait::until("the agent's end", Duration::from_secs(5), || {
                if setup.socket().exists() { Err("its socket is there") } else { Ok(()) }
            });
        }
    }
}

fn status_fields() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(900, 10, 0));
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let agent = setup.start();
    let status = agent.status();
    for name in
        ["schema", "taken_at", "level", "entries", "max", "limit", "buckets", "usage_percent", "bounds"]
    {
        assert!(!status[name].is_null(), "{name} is missing: {status}");
    }
    for name in ["new_per_second", "net_growth_per_second", "seconds_to_full", "classes", "protected"] {
        assert!(status.get(name).is_some(), "{name} may be null but not missing: {status}");
    }
    for name in ["drop", "early_drop", "insert_failed", "chaintoolong"] {
        assert!(status["drops"][name].is_u64(), "drops.{name}: {status}");
    }
    assert_eq!((&status["entries"], &status["level"]), (&900.into(), &"high".into()));
    let usage = status["usage_percent"].as_f64().expect("a number");
    assert!((usage - 90.0).abs() < 0.5, "{usage}");
    for name in
        ["pid", "started_at", "version", "overruns", "lost_events", "resyncs", "events", "capabilities"]
    {
        assert!(!status["agent"][name].is_null(), "agent.{name}: {status}");
    }
    assert_eq!(status["agent"]["journal_ok"], true);
    let text = setup.ctctl(&["status"]);
    assert!(text.code == 0 && !text.stdout.contains('\u{1b}'), "plain when piped: {}", text.stdout);
    assert_eq!(agent.stop(), 0);
}
