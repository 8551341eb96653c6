//! What operators ask of an agent, and what they are told: who paused, reloaded and flushed, how loud a level is, what
//! fits a screen, what a terminal shows.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::agent::{CTCTL, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::terminal::Terminal;
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("requests::who_asked_is_in_the_journal_the_log_and_status", who_asked),
    test("requests::a_flush_by_hand_is_recorded_without_an_agent_too", flushed_without_agent),
    test("requests::reload_says_what_changed_and_what_was_refused", reloaded),
    test("requests::high_is_a_warning_and_critical_an_error", severities),
    test("requests::the_log_says_what_a_flush_did", flush_in_log).needs(&[Need::Age]),
    test("requests::status_and_history_fit_a_screen", screens).needs(&[Need::Age]),
    test("requests::on_a_terminal_the_agent_speaks_to_a_person", agent_on_terminal),
    test("requests::hints_carry_where_they_were_asked", hints),
    test("requests::a_clean_stop_leaves_no_lock", locks),
];

fn topology(entries: u32) -> Topology {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(entries, 10, 0));
    topology
}

/// The last record of an action.
fn record(setup: &Setup, action: &str) -> Value {
    wait::until(&format!("a record of {action}"), Duration::from_secs(10), || {
        let records = setup.journal();
        records.iter().rev().find(|record| record["action"] == action).cloned().ok_or(records.len())
    })
}

fn asked_by(record: &Value, command: &str) {
    let by = &record["by"];
    assert!(by["uid"].is_u64() && by["pid"].is_u64(), "{record}");
    assert!(by["command"].as_str().is_some_and(|line| line.contains(command)), "{record}");
}

fn who_asked() {
    let topology = topology(500);
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    let agent = setup.start();
    assert_eq!(agent.status()["agent"]["paused_by"], Value::Null);

    assert_eq!(setup.ctctl(&["pause", "--for", "600"]).code, 0);
    let pause = record(&setup, "pause");
    asked_by(&pause, "pause --for 600");
    assert!(pause["event"] == "done" && pause["dry_run"] == false && pause["until"].is_string(), "{pause}");
    let status = agent.status();
    assert_eq!(status["agent"]["paused_until"], pause["until"]);
    asked_by(&serde_json::json!({ "by": status["agent"]["paused_by"] }), "pause --for 600");
    let text = setup.ctctl(&["status"]).stdout;
    assert!(text.contains("paused until ") && text.contains(", asked by uid "), "{text}");

    assert_eq!(setup.ctctl(&["flush", "-s", &flow::source(1).to_string(), "--yes"]).code, 0);
    let flush = record(&setup, "hand-flush");
    asked_by(&flush, "flush -s");
    assert!(flush["achieved"] == 50 && flush["requested"] == 50, "{flush}");

    assert_eq!(setup.ctctl(&["resume"]).code, 0);
    asked_by(&record(&setup, "resume"), "resume");
    assert_eq!(agent.status()["agent"]["paused_until"], Value::Null);
    let (status, history) = (setup.ctctl(&["status"]).stdout, setup.ctctl(&["history"]).stdout);
    for said in ["paused until ", "deleted 50 of 50 entries by hand", "acts again, asked by uid "] {
        assert!(history.contains(said), "{said:?}: {history}");
        wait::until("the log", Duration::from_secs(5), || {
            if agent.log().contains(said) { Ok(()) } else { Err(agent.log()) }
        });
    }
    assert!(status.contains("acts again, asked by uid "), "{status}");

    // One that ends by itself.
    assert_eq!(setup.ctctl(&["pause", "--for", "1"]).code, 0);
    wait::until("the end of the pause", Duration::from_secs(10), || {
        let resumed = record(&setup, "resume");
        let over = resumed["reason"].as_str().is_some_and(|why| why.contains("is over"));
        if over && resumed["by"].is_null() { Ok(()) } else { Err(resumed) }
    });
    assert_eq!(agent.stop(), 0);
}

fn flushed_without_agent() {
    let topology = topology(500);
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    let flush = |n| setup.ctctl(&["flush", "-s", &flow::source(n).to_string(), "--yes"]).code;
    assert_eq!(flush(1), 0);
    assert!(!setup.state().exists(), "where there has been no agent nothing is left behind");
    assert_eq!(setup.start().stop(), 0);
    assert_eq!(flush(2), 0);
    asked_by(&record(&setup, "hand-flush"), "flush -s");
}

fn reloaded() {
    let topology = topology(10);
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let agent = setup.start();
    let same = setup.ctctl(&["reload"]);
    assert!(same.code == 0 && same.stdout.contains("nothing changed"), "{same:?}");
    setup.write("socket_group = \"adm\"", &limit(2000));
    let answer = setup.ctctl(&["reload"]);
    assert!(answer.stdout.contains("2 keys changed\n"), "{answer:?}");
    assert!(answer.stdout.contains("  [capacity] limit from 1000 to 2000\n"), "{answer:?}");
    assert!(
        answer.stdout.contains("[agent] socket_group from \"ctctl\" to \"adm\" (from the next"),
        "{answer:?}"
    );
    let told = record(&setup, "reload");
    asked_by(&told, "reload");
    let limit_changed = serde_json::json!(
        { "key": "[capacity] limit", "old": "1000", "new": "2000", "at_start": false }
    );
    assert!(told["changes"].as_array().is_some_and(|all| all.contains(&limit_changed)), "{told}");
    setup.write("", &limit(3000));
    let json = setup.json(&["reload"]);
    assert_eq!(json["changes"].as_array().map(Vec::len), Some(2), "{json}");
    setup.write("", "[capacity]\nlimt = 1\n");
    // Without the broken file among the command's own.
    let mut command = std::process::Command::new(CTCTL);
    command.args(["--netns", &setup.netns, "--socket"]).arg(setup.socket()).arg("reload");
    assert_eq!(crate::harness::tool::run(command, "", Duration::from_secs(20)).code, 2);
    wait::until("the refusal in the journal", Duration::from_secs(5), || {
        let last = record(&setup, "reload");
        if last["event"] == "failed" && last["reason"].to_string().contains("limt") {
            Ok(())
        } else {
            Err(last)
        }
    });
    setup.write("", &limit(4000));
    agent.signal(Signal::SIGHUP);
    wait::until("SIGHUP in the journal", Duration::from_secs(5), || {
        let last = record(&setup, "reload");
        if last["by"]["command"] == "SIGHUP" { Ok(()) } else { Err(last) }
    });
    assert_eq!(agent.stop(), 0);
}

fn severities() {
    let topology = topology(870);
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let agent = setup.start();
    let line = |level: &str| {
        wait::until(&format!("{level} in the log"), Duration::from_secs(10), || {
            let log = agent.log();
            let said = format!("level {level}, was ");
            log.lines().find(|line| line.contains(&said)).map(str::to_owned).ok_or(log.clone())
        })
    };
    let high = line("high");
    assert!(high.contains(" WARN ") && high.contains("at or over high_percent 80"), "{high}");
    setup.write("", &limit(900));
    assert_eq!(setup.ctctl(&["reload"]).code, 0);
    let critical = line("critical");
    assert!(critical.contains(" ERROR ") && critical.contains("critical_percent 95"), "{critical}");
    assert_eq!(agent.stop(), 0);
}

fn flush_in_log() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(4600, 10, 8000));
    let setup = Setup::new(&topology.gateway, &format!("{}[flush]\ngrace_seconds = 1\n", limit(4700)));
    let agent = setup.start();
    let line = wait::until("a flush in the log", Duration::from_secs(20), || {
        let log = agent.log();
        log.lines().find(|line| line.contains("flushed ")).map(str::to_owned).ok_or(log.clone())
    });
    assert!(line.contains(" established entries, from 9") && line.contains(" % to "), "{line}");
    assert_eq!(agent.stop(), 0);
}

fn command(setup: &Setup) -> String {
    let (socket, config) = (setup.socket(), setup.config());
    format!("{CTCTL} --netns {} --socket {} --config {}", setup.netns, socket.display(), config.display())
}

fn screens() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(4600, 10, 8000));
    let setup = Setup::new(&topology.gateway, &limit(5000));
    let agent = setup.start();
    assert_eq!(setup.ctctl(&["pause", "--for", "1h"]).code, 0);
    let terminal = Terminal::new();
    for asked in ["status", "history"] {
        terminal.line(&format!("clear; {} {asked}", command(&setup)));
        let begins = if asked == "status" { "    Level: " } else { "20" };
        let screen = wait::until("the first line at the top and a prompt", Duration::from_secs(20), || {
            let screen = terminal.screen();
            let whole = screen.starts_with(begins) && screen.trim_end().ends_with("\n$");
            if whole { Ok(screen) } else { Err(screen) }
        });
        assert!(screen.contains("paused until "), "{screen}");
    }
    for asked in ["status", "plan", "history"] {
        for verbose in [&[][..], &["-v"]] {
            let answer = setup.ctctl(&[&[asked], verbose].concat());
            assert_eq!(answer.code, 0, "{answer:?}");
            let long = answer.stdout.lines().find(|line| line.chars().count() >= 400);
            assert_eq!(long, None, "{asked} {verbose:?}");
        }
    }
    let acts = setup.ctctl(&["history", "-n", "0"]).stdout.lines().count();
    let records = setup.ctctl(&["history", "-n", "0", "--json"]).stdout.lines().count();
    assert!(acts < records, "{acts} lines of {records} records");
    assert_eq!(agent.stop(), 0);
}

fn agent_on_terminal() {
    let topology = topology(870);
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let terminal = Terminal::new();
    terminal.resize(160, 40);
    // The form of the log that is there without a configuration.
    let config = std::fs::read_to_string(setup.config()).expect("written");
    std::fs::write(setup.config(), config.replace("format = \"text\"", "format = \"auto\"")).expect("a file");
    terminal.line(&format!("clear; {} agent", command(&setup)));
    let typed = format!("in a second terminal: {} status", command(&setup).replace(CTCTL, "ctctl"));
    let screen = terminal.shows(&["ready"]);
    assert!(!screen.contains("ctctl::") && !screen.contains("room for"), "{screen}");
    let joined = |screen: &str| screen.lines().map(str::trim_end).collect::<Vec<_>>().join(" ");
    wait::until("what to type in a second terminal", Duration::from_secs(10), || {
        let screen = terminal.screen();
        // It may have been broken in the middle of a word by the edge of the terminal.
        let flat = |text: &str| text.replace(char::is_whitespace, "");
        if flat(&joined(&screen)).contains(&flat(&typed)) { Ok(()) } else { Err(screen) }
    });
    let screen = terminal.shows(&["warning  level high, was normal: usage is 87.0 %"]);
    let ready = screen.lines().find(|line| line.contains("ready")).expect("shown");
    let time = ready.split(' ').next().unwrap_or_default();
    assert!(time.len() == 8 && time.matches(':').count() == 2, "{ready}");
    terminal.key("C-c");
    terminal.shows(&["stopped"]);
    terminal.prompts();
}

fn hints() {
    let topology = topology(10);
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let [netns, socket, config] =
        [setup.netns.clone(), setup.socket().display().to_string(), setup.config().display().to_string()];
    let options = format!("--netns {netns} --config {config}");
    let with_socket = format!("--netns {netns} --socket {socket} --config {config}");
    for (asked, told) in [
        (&["pause"][..], format!("`ctctl {with_socket} agent`")),
        (&["flush"], format!("`ctctl {with_socket} flush --stale`")),
    ] {
        let answer = setup.ctctl(asked);
        assert!(answer.stderr.contains(&told), "{told} {options}: {answer:?}");
    }
    let lifeline = setup.ctctl(&["lifeline", "--port", "22"]).stdout;
    for told in ["lifeline --apply, or nft -f", "lifeline --remove, or nft delete"] {
        assert!(lifeline.contains(&format!("ctctl {with_socket} {told}")), "{lifeline}");
    }
    let agent = setup.start();
    let mut second = setup.spawn(&[]);
    assert_eq!(second.ended(), 3);
    assert!(second.log().contains(&format!("`ctctl {options} status`")), "{}", second.log());
    assert_eq!(setup.ctctl(&["pause"]).stdout.matches(&format!("`ctctl {with_socket} resume`")).count(), 1);
    let plan = setup.ctctl(&["plan"]).stdout;
    let plan = plan.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plan.contains(&format!("`ctctl {with_socket} resume`")), "{plan}");
    assert_eq!(agent.stop(), 0);
}

fn locks() {
    let topology = topology(10);
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let name = format!("netns-{}.lock", topology.gateway.inode());
    let locks = |name: &str| {
        let places = [setup.dir.join(name), std::path::Path::new("/run/ctctl").join(name)];
        places.iter().filter(|path| path.exists()).count()
    };
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1] {
        let mut agent = setup.start();
        assert_eq!(locks(&name), 1);
        agent.signal(signal);
        assert_eq!(agent.ended(), 0);
        assert_eq!((locks(&name), setup.socket().exists()), (0, false), "{signal}");
    }
}
