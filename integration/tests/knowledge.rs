//! What an agent has heard and seen of single entries, the commands beside it know too; what nobody knows is not a
//! number.

use std::time::Duration;

use serde_json::Value;

use crate::harness::agent::{Agent, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, L4, source};
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("knowledge::a_second_chance_is_told_as_one_by_every_command_beside_the_agent", second_chance)
        .needs(&[Need::Age]),
    test("knowledge::what_the_agent_saw_to_be_silent_is_stale_for_a_command_too", observed)
        .needs(&[Need::Age]),
    test("knowledge::a_timeout_in_force_since_a_moment_explains_no_old_silence_to_a_command", since)
        .needs(&[Need::Age]),
    test("knowledge::half_closed_connections_that_fill_the_table_are_named_with_their_timeout", half_closed)
        .needs(&[Need::Age]),
];

fn listed(setup: &Setup, args: &[&str]) -> Vec<Value> {
    let answer = setup.ctctl(&[&["list", "--json"], args].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect()
}

fn class<'a>(document: &'a Value, name: &str) -> &'a Value {
    let rows = document["classes"].as_array().expect("classes");
    rows.iter().find(|row| row["class"] == name).expect("a class")
}

/// As if an agent had looked at the timeouts when the host came up, and seen what holds now.
fn looked_long_ago(setup: &Setup) {
    assert_eq!(setup.start().stop(), 0);
    let path = setup.state().join("timeouts-seen.json");
    let mut known: Value = serde_json::from_slice(&std::fs::read(&path).expect("seen")).expect("JSON");
    // A record without a checksum is one of an agent that wrote none.
    known.as_object_mut().expect("an object").remove("checksum");
    known["first_look_seconds"] = 0.into();
    // However long the next one takes to look.
    known["last_look_seconds"] = 4_000_000_000_u32.into();
    known["watcher"] = Value::Null;
    std::fs::write(&path, known.to_string()).expect("written");
}

/// An agent that decides, looks and changes nothing.
fn watching(setup: &Setup) -> Agent<'_> {
    let mut agent = setup.spawn(&["--dry-run"]);
    agent.ready();
    agent
}

/// High at 800 of 1,000: 150 of 850 are given a second chance of a minute.
fn second_chance() {
    let topology = Topology::new();
    let port = |n: u32| (1024 + n) as u16;
    fill(&topology.gateway, (0..150).map(|n| Flow::established(source(1), SERVER4, port(n), 20_000)));
    fill(&topology.gateway, (0..700).map(|n| Flow::established(source(2), SERVER4, port(n), 8000)));
    let sections = limit(1000) + "[flush]\ngrace_seconds = 60\n[timeouts]\nenabled = false\n";
    let setup = Setup::new(&topology.gateway, &sections);
    let agent = setup.start();
    wait::until("second chances", Duration::from_secs(20), || {
        let waiting = agent.status()["waiting"].to_string();
        if waiting.contains("150 entries are in their second chance") { Ok(()) } else { Err(waiting) }
    });
    let rows = listed(&setup, &["-s", &source(1).to_string()]);
    assert_eq!(rows.len(), 150);
    for row in &rows {
        assert_eq!((&row["second_chance"], &row["idle_seconds"]), (&true.into(), &Value::Null), "{row}");
        assert!(row["idle_at_least_seconds"].as_u64() >= Some(20_000), "{row}");
        let left = row["timeout_seconds"].as_u64().expect("time left");
        assert_eq!(
            row["reason"],
            format!("stays: second chance, gone in {left}s unless a packet comes").replace("60s", "1m")
        );
    }
    let text = setup.ctctl(&["list", "-s", &source(1).to_string()]).stdout;
    assert!(
        text.lines().all(|line| line.contains("  idle >=5h33m") && line.contains("second chance, gone in ")),
        "{text}"
    );
    // They were active least recently, whatever little of their time is left.
    let preview = setup.json(&["flush", "-p", "tcp", "--dry-run"]);
    assert_eq!(preview["matched"], 850);
    let recent = preview["most_recent"].as_array().expect("entries");
    assert!(recent.len() == 5 && recent.iter().all(|row| row["second_chance"] == false), "{preview:#}");
    assert!(recent.iter().all(|row| row["original"]["source"] == source(2).to_string()), "{preview:#}");
    let one = setup.ctctl(&["flush", "-s", &source(1).to_string(), "--sport", "1024", "--dry-run"]).stdout;
    assert!(one.contains("  idle >=5h33m  second chance, gone in "), "{one}");
    assert_eq!(agent.stop(), 0);
}

/// Two scans of the agent prove what one look of a command does not.
fn observed() {
    const FLOOR_SECONDS: u32 = 5;
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(900, 9, 8000));
    let flush =
        format!("[flush]\nidle_proof = \"observed\"\nestablished_idle_floor_seconds = {FLOOR_SECONDS}\n");
    let setup = Setup::new(&topology.gateway, &(limit(1000) + &flush));
    // Alone it cannot tell, and says so with a number.
    let alone = setup.json(&["flush", "--stale", "--dry-run"]);
    assert_eq!((&alone["matched"], &alone["idle_unknown"]), (&0.into(), &900.into()), "{alone:#}");
    let status = setup.json(&["status"]);
    let seen = class(&status, "established");
    assert_eq!((&seen["oldest_idle_seconds"], &seen["idle_unknown"]), (&Value::Null, &900.into()), "{seen}");
    let text = setup.ctctl(&["status"]).stdout;
    let row = text.lines().find(|line| line.starts_with("established")).expect("a row");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>()[1..4], ["900", "-", "900"], "{text}");
    let top = setup.json(&["top-sources", "--by", "idle"]);
    let one = &top["sources"][0];
    assert_eq!((&one["idle"], &one["idle_unknown"]), (&Value::Null, &100.into()), "{top:#}");
    let plan = setup.json(&["plan"]);
    assert!(
        plan["reasons"].to_string().contains("900 of 900 entries have been idle cannot be proven"),
        "{plan:#}"
    );

    let agent = watching(&setup);
    wait::until("the agent to have seen them silent", Duration::from_secs(60), || {
        let plan = setup.json(&["plan"]);
        let free = &class(&plan, "established")["would_free"];
        if free == 900 { Ok(()) } else { Err(free.to_string()) }
    });
    let rows = listed(&setup, &[]);
    let eligible = rows.iter().filter(|row| row["eligible"] == true).count();
    assert_eq!((rows.len(), eligible), (900, 900), "{}", rows[0]);
    assert_eq!(listed(&setup, &["--idle-over", "5s"]).len(), 900);
    let top = setup.json(&["top-sources", "--by", "idle"]);
    let one = &top["sources"][0];
    assert_eq!((&one["idle"], &one["idle_unknown"]), (&100.into(), &0.into()), "{top:#}");
    let stale = setup.json(&["flush", "--stale", "--yes"]);
    assert_eq!((&stale["deleted"], &stale["idle_unknown"]), (&900.into(), &0.into()), "{stale:#}");
    assert_eq!(topology.count(), 0);
    assert_eq!(agent.stop(), 0);
}

/// Entries that are silent for a day, and a timeout that was shortened a moment ago.
fn since() {
    let topology = Topology::new();
    // Two hours less what these have left would be no silence worth the name.
    fill(&topology.gateway, (0..50).map(|n| Flow::established(source(n), SERVER4, 2000, 432_000 - 7000)));
    let setup = Setup::new(&topology.gateway, &limit(1000));
    looked_long_ago(&setup);
    let agent = setup.start();
    topology.gateway.set_sysctl("net/netfilter/nf_conntrack_tcp_timeout_established", 7440);
    wait::until("the agent to see the new timeout", Duration::from_secs(20), || {
        let status = agent.status();
        let rows = status["timeouts"].as_array().expect("timeouts").clone();
        let row = rows.iter().find(|row| row["name"] == "tcp_timeout_established").expect("a row").clone();
        if row["current_seconds"] == 7440 { Ok(()) } else { Err(row) }
    });
    let rows = listed(&setup, &[]);
    assert_eq!(rows.len(), 50);
    assert!(rows.iter().all(|row| row["eligible"] == true), "{}", rows[0]);
    assert_eq!(setup.json(&["flush", "--stale", "--yes"])["deleted"], 50);
    assert_eq!(agent.stop(), 0);
    // Alone, nobody knows since when it has been so short.
    fill(&topology.gateway, (0..50).map(|n| Flow::established(source(n), SERVER4, 2000, 432_000 - 7000)));
    let rows = listed(&setup, &[]);
    assert!(rows.iter().all(|row| row["eligible"] == false), "{}", rows[0]);
}

/// kube-proxy keeps CLOSE_WAIT for an hour.
fn half_closed() {
    const CLOSE_WAIT: u8 = 5;
    let topology = Topology::new();
    topology.gateway.set_sysctl("net/netfilter/nf_conntrack_tcp_timeout_close_wait", 3600);
    let half = |n: u32| {
        Flow::new(source(n % 30), SERVER4, L4::Tcp((1024 + n) as u16, 443, CLOSE_WAIT), 2900 - n / 3)
    };
    fill(&topology.gateway, (0..900).map(half));
    let setup = Setup::new(&topology.gateway, &limit(960));
    let says = |text: &str, all: &[&str]| {
        // However it is wrapped.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        all.iter().for_each(|words| assert!(text.contains(words), "{words}: {text}"));
    };
    for (command, words) in [
        (
            "plan",
            [
                "900 of 900 entries are TCP in CLOSE_WAIT",
                "900 of them have presumably been idle for longer than 60 s",
                "flush --state close-wait --idle-over 10m` takes none of them before",
                "tcp_timeout_close_wait is 3600 s, 60 times the kernel's own 60 s",
                "set net.netfilter.nf_conntrack_tcp_timeout_close_wait to 60",
            ],
        ),
        (
            "status",
            [
                "No class: ",
                "none is idle for 10m for certain until",
                "CLOSE_WAIT",
                "900 TCP in CLOSE_WAIT: tcp_timeout_close_wait is 3600 s, not 60 s",
                "set it to 60",
            ],
        ),
    ] {
        let text = setup.ctctl(&[command]).stdout;
        says(&text, &words);
        let row = &setup.json(&[command])["unclassed"][0];
        let told = (&row["state"], &row["entries"], &row["timeout_seconds"], &row["default_seconds"]);
        assert_eq!(told, (&"close-wait".into(), &900.into(), &3600.into(), &60.into()), "{row}");
        let idle = (&row["over_default"], &row["over_default_certain"], &row["long_idle"]);
        assert_eq!(idle, (&900.into(), &0.into(), &0.into()), "{row}");
    }
    let plan = setup.json(&["plan"]);
    assert!(!plan["reasons"].to_string().contains("higher ceiling"), "{plan:#}");
    let doctor = setup.ctctl(&["doctor", "--json", "--sample", "0s"]).stdout;
    let doctor: Value = serde_json::from_str(&doctor).expect("JSON");
    let findings = doctor["findings"].as_array().expect("findings");
    let finding = findings.iter().find(|finding| finding["id"] == "half-closed-stay").expect("named");
    assert!(
        finding["title"].as_str().is_some_and(|title| title.contains("CLOSE_WAIT, kept for 3600 s")),
        "{finding}"
    );
    // One base alone fits; that it was in force before anyone looked is likely, and proves nothing yet.
    assert_eq!(listed(&setup, &["--state", "close-wait", "--idle-over", "10m"]).len(), 900);
    assert_eq!(listed(&setup, &["--state", "close-wait", "--idle-over", "50m"]).len(), 0);
    let wanted = ["flush", "--state", "close-wait", "--idle-over", "10m", "--yes"];
    let unproven = setup.json(&wanted);
    assert_eq!((&unproven["deleted"], &unproven["idle_unknown"]), (&0.into(), &900.into()), "{unproven:#}");
    // Where an agent has looked for long enough it is proven.
    looked_long_ago(&setup);
    let text = setup.ctctl(&["plan"]).stdout;
    says(&text, &["flush --state close-wait --idle-over 10m` takes the 900 that are proven idle"]);
    // Pasted as it stands, it acts on this namespace.
    let doctor = setup.ctctl(&["doctor", "--json", "--sample", "0s"]).stdout;
    assert!(doctor.contains(" flush --state close-wait") && !doctor.contains("ctctl flush"), "{doctor}");
    let flushed = setup.json(&wanted);
    assert_eq!((&flushed["deleted"], &flushed["idle_unknown"]), (&900.into(), &0.into()), "{flushed:#}");
}
