//! `status --all`, and what `status --check` says of the agent.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::agent::{CTCTL, Setup, limit};
use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::tool::{run, tool};
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("everywhere::every_namespace_is_one_row_the_fullest_first", everywhere),
    test("everywhere::check_says_what_keeps_the_agent_from_acting", check),
];

const PATIENCE: Duration = Duration::from_secs(20);

fn everywhere() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(900, 10, 0));
    fill(&topology.server, flow::established(300, 10, 0));
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let agent = setup.start();
    // As a container: no name leads to it, and one process lives in it.
    let mut command = tool("unshare");
    command.args(["--net", "sleep", "600"]).stdin(Stdio::null());
    let mut container = command.spawn().expect("unshare");
    let _guard = Guard::new(Leftover::Process(container.id() as i32));
    let path = format!("/proc/{}/ns/net", container.id());
    let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    wait::until("the container's namespace", PATIENCE, || match std::fs::read_link(&path) {
        Ok(link) if link != own => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let all = |more: &[&str]| {
        let mut command = Command::new(CTCTL);
        command.arg("--config").arg(setup.config()).args(["status", "--all"]).args(more);
        run(command, "", PATIENCE)
    };
    let answer = all(&["--json"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let document: Value = serde_json::from_str(&answer.stdout).expect("one document");
    assert_eq!((&document["schema"], document["netns"]["inode"].is_u64()), (&1.into(), true));
    let rows = document["namespaces"].as_array().expect("rows");
    let of = |spec: &str| {
        let found: Vec<&Value> = rows.iter().filter(|row| row["spec"] == spec).collect();
        assert_eq!(found.len(), 1, "{spec}: {document:#}");
        found[0]
    };
    let gateway = of(&topology.gateway.name);
    assert_eq!(gateway["netns"]["inode"], topology.gateway.inode());
    assert_eq!((&gateway["entries"], &gateway["limit"]), (&900.into(), &1000.into()), "{gateway}");
    assert_eq!(
        (&gateway["level"], &gateway["agent"]["pid"]),
        (&"high".into(), &agent.pid.into()),
        "{gateway}"
    );
    let server = of(&topology.server.name);
    assert_eq!((&server["entries"], &server["agent"]), (&300.into(), &Value::Null), "{server}");
    let unnamed = of(&path);
    assert_eq!((&unnamed["netns"]["name"], &unnamed["entries"]), (&Value::Null, &0.into()));
    assert_eq!(unnamed["lowest_process"]["pid"], container.id());
    let inodes: Vec<u64> = rows.iter().filter_map(|row| row["netns"]["inode"].as_u64()).collect();
    let mut distinct = inodes.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!((inodes.len(), distinct.len()), (rows.len(), rows.len()), "{document:#}");
    assert!(rows.iter().filter(|row| row["spec"] == "host").count() <= 1, "{document:#}");
    let usage = |row: &Value| row["usage_percent"].as_f64().expect("a number");
    assert!(rows.windows(2).all(|two| usage(&two[0]) >= usage(&two[1])), "{document:#}");
    // A path that it names is one that --netns takes.
    let status = run(setup_less(&["--netns", &path, "status", "--json"]), "", PATIENCE);
    assert_eq!(status.code, 0, "{status:?}");
    let text = all(&[]).stdout;
    let line = text.lines().find(|line| line.starts_with(&topology.gateway.name)).expect("its line");
    assert!(line.contains("90.0 %") && line.contains(&format!("pid {}", agent.pid)), "{text}");
    let refused = run(setup_less(&["--netns", &path, "status", "--all"]), "", PATIENCE);
    assert_eq!(refused.code, 2, "{refused:?}");
    container.kill().expect("a signal");
    container.wait().expect("its end");
    assert_eq!(agent.stop(), 0);
}

/// With no configuration but the host's.
fn setup_less(args: &[&str]) -> Command {
    let mut command = Command::new(CTCTL);
    command.args(args);
    command
}

fn check() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(500, 10, 0));
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let ask = |more: &[&str]| setup.ctctl(&[&["status", "--check"], more].concat());
    let alone = ask(&[]);
    assert_eq!(alone.code, 0, "{alone:?}");
    assert!(alone.stdout.starts_with("CTCTL OK - 50.0 % of 1000 (500 entries) (no agent) | "), "{alone:?}");
    let required = ask(&["--require-agent"]);
    assert_eq!(required.code, 2, "{required:?}");
    assert!(required.stdout.starts_with("CTCTL CRITICAL - 50.0 % of 1000 (500 entries) (no agent) | "));
    // An option of --check alone.
    assert_eq!(setup.ctctl(&["status", "--require-agent"]).code, 2);
    let mut agent = setup.spawn(&["--dry-run"]);
    agent.ready();
    let dry = ask(&["--require-agent"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.stdout.contains("(500 entries) (dry run) | "), "{dry:?}");
    // The answer to an order comes after what `status` tells has changed, however the threads run.
    for _ in 0..20 {
        assert_eq!(setup.ctctl(&["pause"]).code, 0);
        let paused = ask(&[]);
        assert!(paused.stdout.contains("(500 entries) (paused) (dry run) | "), "{paused:?}");
        assert_eq!(setup.ctctl(&["resume"]).code, 0);
        let acting = ask(&[]);
        assert!(acting.stdout.contains("(500 entries) (dry run) | "), "{acting:?}");
    }
    // A full table is full in no time, whether it still grows or not.
    fill(&topology.gateway, flow::established(1000, 10, 0).skip(500));
    let full = wait::until("the agent to see it", PATIENCE, || {
        let status = agent.status();
        if status["entries"] == 1000 { Ok(status) } else { Err(status["entries"].to_string()) }
    });
    assert_eq!(full["seconds_to_full"], 0.0, "{full:#}");
    assert_eq!(ask(&[]).code, 2);
    assert_eq!(agent.stop(), 0);
    let alone = setup.json(&["status"]);
    assert_eq!(alone["seconds_to_full"], 0.0, "{alone:#}");
}
