//! The same facts, the same decisions: recorded and replayed, dry and real.

use std::time::Duration;

use serde_json::Value;

use crate::harness::agent::{CTCTL, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, L4, source};
use crate::harness::tool::{run, tool};
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("replay::a_recorded_plan_is_the_live_one", recorded).needs(&[Need::Age]),
    test("replay::a_dry_run_decides_as_a_real_one_does", dry_and_real).needs(&[Need::Age]),
    test("replay::a_dry_run_decides_as_a_real_one_does_on_a_mixed_table", dry_and_real_mixed)
        .needs(&[Need::Age]),
];

/// Its number (enum tcp_conntrack).
const TIME_WAIT: u8 = 7;

fn crowd(topology: &Topology) {
    fill(&topology.gateway, flow::established(20_000, 100, 100_000));
}

/// `plan --from` as a user without any right, who reads the snapshot from standard input.
fn replayed(text: &str) -> Value {
    let mut command = tool("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", CTCTL, "plan", "--from", "-", "--json"]);
    let answer = run(command, text, Duration::from_secs(20));
    assert_eq!(answer.code, 0, "{answer:?}");
    serde_json::from_str(&answer.stdout).expect("JSON")
}

/// Without what a second's passing changes.
fn timeless(mut plan: Value) -> Value {
    plan["taken_at"] = Value::Null;
    let text = plan.to_string();
    let words: Vec<&str> = text.split(' ').collect();
    // "the longest for 100003 s": the seconds since the fill.
    let old = |i: usize| i > 1 && words[i - 1] == "for" && words[i - 2] == "longest";
    let kept: Vec<&str> = (0..words.len()).map(|i| if old(i) { "N" } else { words[i] }).collect();
    serde_json::from_str(&kept.join(" ")).expect("JSON")
}

fn recorded() {
    let topology = Topology::new();
    crowd(&topology);
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    let same = |basis: &str| {
        let record = setup.ctctl(&["plan", "--snapshot"]);
        assert_eq!(record.code, 0, "{record:?}");
        let document: Value = serde_json::from_str(&record.stdout).expect("JSON");
        assert_eq!((&document["schema"], &document["basis"]), (&1.into(), &basis.into()));
        let (then, live) = (replayed(&record.stdout), setup.json(&["plan"]));
        assert_eq!(then["taken_at"], document["taken_at"]);
        assert!(live["actions"].as_array().is_some_and(|actions| actions.len() > 1), "{live}");
        let oldest = |mut plan: Value| {
            let rows = plan["classes"].as_array_mut().expect("classes");
            rows.iter_mut().for_each(|row| row["oldest_idle_seconds"] = Value::Null);
            timeless(plan)
        };
        assert_eq!(oldest(then), oldest(live));
    };
    same("dump");
    // Paused, so that the table stays as full.
    setup.write("", &limit(1_000_000));
    let agent = setup.start();
    assert_eq!(setup.ctctl(&["pause"]).code, 0);
    setup.write("", &limit(10_000));
    assert_eq!(setup.ctctl(&["reload"]).code, 0);
    wait::until("the level", Duration::from_secs(5), || {
        if agent.status()["level"] == "critical" { Ok(()) } else { Err(agent.status()["level"].clone()) }
    });
    let record = setup.ctctl(&["plan", "--snapshot"]);
    let document: Value = serde_json::from_str(&record.stdout).expect("JSON");
    assert_eq!(document["basis"], "agent");
    assert_eq!(document["memory"]["baseline"]["tcp_timeout_established"], 432_000);
    let (then, mut live) = (replayed(&record.stdout), setup.json(&["plan"]));
    // The agent says of itself that it is paused; a file is not.
    let paused = |r: &Value| r.as_str().is_some_and(|r| r.starts_with("paused"));
    live["reasons"].as_array_mut().expect("reasons").retain(|reason| !paused(reason));
    assert_eq!(timeless(then)["actions"], timeless(live)["actions"]);
    assert_eq!(agent.stop(), 0);
}

/// What was decided, in order: everything of a record that the decision makes.
fn decisions(setup: &Setup, n: usize) -> Vec<Value> {
    let intends =
        setup.acts().into_iter().filter(|act| act["event"] == "intend" && act["action"] != "set-events");
    let fields = |act: Value| {
        let of = |name: &str| act[name].clone();
        let names = ["action", "name", "class", "from", "to", "requested", "level", "reason"];
        Value::Array(names.map(of).into())
    };
    intends
        .map(fields)
        .map(|decision| timeless(serde_json::json!({ "decision": decision })))
        .take(n)
        .collect()
}

/// An agent that acts and one that tells, each on a table of its own; what both decided first, in order.
fn first_decisions(fill_up: fn(&Topology), decided: usize) -> (Vec<Value>, [Setup; 2], [Topology; 2]) {
    let topologies = [Topology::new(), Topology::new()];
    topologies.iter().for_each(fill_up);
    let setups = [0, 1].map(|i| Setup::new(&topologies[i].gateway, &limit(10_000)));
    let full = topologies[1].count();
    let (acting, mut telling) = (setups[0].start(), setups[1].spawn(&["--dry-run"]));
    telling.ready();
    for setup in &setups {
        wait::until("a flush in the journal", Duration::from_secs(10), || {
            let flushed = |act: &Value| act["event"] == "done" && act["action"] == "flush";
            setup.acts().into_iter().find(flushed).ok_or("none yet")
        });
    }
    // A dry run says a plan once a minute: the first one whole.
    let told = decisions(&setups[1], decided);
    assert_eq!(told.len(), decided, "{told:#?}");
    assert_eq!(told, decisions(&setups[0], decided));
    wait::until("the real one to reach its target", Duration::from_secs(10), || {
        let real = topologies[0].count();
        // What spoke or was seen too long ago stays: relief ends below low_percent.
        if real <= 7500 { Ok(()) } else { Err(real) }
    });
    let dry = topologies[1].count();
    assert!(dry <= full && dry + 10 >= full, "the dry one touched nothing: {dry} of {full}");
    // Longer than any scan serves, so that it has decided again, more than once.
    wait::throughout("the dry one says nothing twice", Duration::from_secs(12), || {
        let mut said = decisions(&setups[1], usize::MAX);
        let n = said.len();
        said.sort_by_key(Value::to_string);
        said.dedup_by_key(|decision| [0, 1, 2].map(|i| decision["decision"][i].clone()));
        if said.len() == n { Ok(()) } else { Err(format!("{:#?}", decisions(&setups[1], usize::MAX))) }
    });
    assert!(acting.stop() == 0 && telling.stop() == 0);
    (told, setups, topologies)
}

fn dry_and_real() {
    let (_, setups, _topologies) = first_decisions(crowd, 2);
    let ended = |setup: &Setup| -> Vec<(Value, Value)> {
        let done =
            setup.acts().into_iter().filter(|act| act["event"] == "done" && act["action"] != "set-events");
        done.map(|act| (act["action"].clone(), act["dry_run"].clone())).take(2).collect()
    };
    let names = |dry: bool| vec![("flush".into(), dry.into()), ("set-timeout".into(), dry.into())];
    assert_eq!((ended(&setups[0]), ended(&setups[1])), (names(false), names(true)));
}

/// Dead connections, closed ones, and more live ones than both: 96 % of the limit.
fn mixed(topology: &Topology) {
    let to = crate::harness::topology::SERVER4;
    fill(&topology.gateway, flow::established(3000, 100, 9000));
    let closed = |n: u32| Flow::new(source(n % 100), to, L4::Tcp(1024 + (n / 100) as u16, 80, TIME_WAIT), 60);
    fill(&topology.gateway, (0..2000).map(closed));
    let live = |n: u32| Flow::established(source(n % 100), to, 20_000 + (n / 100) as u16, 0);
    fill(&topology.gateway, (0..4600).map(live));
}

fn dry_and_real_mixed() {
    let (told, setups, _topologies) = first_decisions(mixed, 3);
    let flushes: Vec<_> =
        told.iter().map(|t| &t["decision"]).filter(|decision| decision[0] == "flush").collect();
    let of = |i: usize| (flushes[i][2].clone(), flushes[i][5].clone());
    assert_eq!(of(0), ("closed".into(), 2000.into()), "{told:#?}");
    assert_eq!(of(1), ("established".into(), 600.into()), "{told:#?}");
    let done = |setup: &Setup| {
        let acts = setup.acts().into_iter().filter(|act| act["event"] == "done" && act["action"] == "flush");
        acts.map(|act| act["achieved"].as_u64().unwrap_or(0)).take(2).collect::<Vec<_>>()
    };
    let (went, would) = (done(&setups[0]), done(&setups[1]));
    assert_eq!(would, [2000, 600]);
    assert!(went.iter().zip(&would).all(|(went, would)| went <= would && went * 10 >= would * 9), "{went:?}");
}
