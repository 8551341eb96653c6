//! What the shipped scenarios tell, and that a seed tells it again; the command is held to its arguments.

use std::process::{Command, Output, Stdio};

use ctctl::config::parse_scenario;
use ctctl::core::model::{Scenario, Settings};
use ctctl::core::simulate::{SHIPPED, Strategy, run};

fn shipped(name: &str) -> Scenario {
    let shipped = SHIPPED.iter().find(|shipped| shipped.name == name).expect("shipped");
    parse_scenario(shipped.text, name, &Settings::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn scenario(text: &str) -> Scenario {
    parse_scenario(text, "a test", &Settings::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let scenario = shipped("flash-crowd");
    for strategy in Strategy::ALL {
        assert_eq!(run(&scenario, strategy, 7), run(&scenario, strategy, 7));
    }
    let figures = |seed| run(&scenario, Strategy::None, seed).figures;
    assert_ne!(figures(7), figures(8));
}

#[test]
fn the_agent_cuts_no_live_flow_in_any_shipped_scenario() {
    for name in SHIPPED.iter().map(|shipped| shipped.name).filter(|name| *name != "hundred-million") {
        let figures = run(&shipped(name), Strategy::Ctctl, 1).figures;
        assert_eq!((figures.live_flows_deleted, figures.live_flows_expired), (0, 0), "{name}");
    }
}

#[test]
fn the_agent_refuses_nobody_where_there_is_something_dead_or_memory() {
    for name in ["slow-leak", "port-scan", "flash-crowd", "dns-resolver", "memory-squeeze"] {
        let scenario = shipped(name);
        let agent = run(&scenario, Strategy::Ctctl, 1).figures;
        assert_eq!((agent.refused_legitimate, agent.live_flows_shed), (0, 0), "{name}");
        assert!(agent.peak_usage_percent < 95.0, "{name}: {}", agent.peak_usage_percent);
        let none = run(&scenario, Strategy::None, 1).figures;
        assert!(
            (none.refused_legitimate > 0 || name == "port-scan") && none.seconds_full > 0.0,
            "{name} without an agent"
        );
    }
}

#[test]
fn a_flood_of_assured_entries_pays_for_itself_and_the_table_comes_down_from_critical() {
    for (name, within_seconds) in [("assured-flood", 30.0), ("botnet", 90.0)] {
        let scenario = shipped(name);
        let none = run(&scenario, Strategy::None, 1).figures;
        let agent = run(&scenario, Strategy::Ctctl, 1);
        let figures = &agent.figures;
        // Small sources lose no live flow to it.
        let lost = (figures.live_flows_deleted, figures.live_flows_expired, figures.live_flows_shed);
        assert_eq!(lost, (0, 0, 0), "{name}");
        let refused = (figures.refused_legitimate, none.refused_legitimate);
        assert!(refused.0 * 100 < refused.1, "{name}: {refused:?} refused with the agent and without");
        let shared = agent.notes.iter().any(|note| note.text.contains("fair-share"));
        assert!(shared, "{name}: nothing went by fair share");
        let mut critical_since = None;
        for note in &agent.notes {
            match critical_since {
                None if note.text.starts_with("level is now critical") => {
                    critical_since = Some(note.at_seconds)
                }
                Some(since) if note.text.starts_with("level is now") => {
                    let seconds = note.at_seconds - since;
                    assert!(seconds < within_seconds, "{name}: critical for {seconds} s from {since} s on");
                    critical_since = None;
                }
                _ => {}
            }
        }
        assert_eq!(critical_since, None, "{name} ends critical");
    }
}

#[test]
fn who_holds_the_table_is_asked_before_it_is_full() {
    // Flushes that meet a handful do not put off the scan that weighs who holds it.
    for seed in 1..=4 {
        let figures = run(&shipped("assured-flood"), Strategy::Ctctl, seed).figures;
        assert_eq!((figures.seconds_full, figures.refused_legitimate), (0.0, 0), "seed {seed}");
    }
}

#[test]
fn a_leak_is_relieved_by_second_chances_and_no_live_flow_is_lost() {
    let figures = run(&shipped("slow-leak"), Strategy::Ctctl, 2).figures;
    let lost = (figures.live_flows_deleted, figures.live_flows_expired, figures.live_flows_shed);
    assert_eq!((lost, figures.refused_legitimate), ((0, 0, 0), 0));
    assert!(figures.second_chances > 10_000, "{figures:?}");
}

#[test]
fn a_nightly_flush_cuts_every_live_flow() {
    let figures = run(&shipped("slow-leak"), Strategy::Nightly, 1).figures;
    assert!(figures.live_flows_deleted > 3 * 800, "{}", figures.live_flows_deleted);
}

#[test]
fn a_flood_of_half_open_connections_mostly_eats_itself() {
    let none = run(&shipped("port-scan"), Strategy::None, 1).figures;
    assert!(none.early_dropped > 1_000_000 && none.refused_legitimate < 1000, "{none:?}");
    let flood = run(&shipped("assured-flood"), Strategy::None, 1).figures;
    assert!(flood.early_dropped == 0 && flood.refused_legitimate > 100_000, "{flood:?}");
}

#[test]
fn a_scenario_without_a_limit_and_one_with_nothing_in_it_end() {
    let text = "duration_seconds = 100\n[gateway]\nmax = 0\n[[traffic]]\nper_second = 10\n[[traffic]]\n";
    for strategy in Strategy::ALL {
        let figures = run(&scenario(text), strategy, 1).figures;
        assert_eq!(figures.refused_legitimate, 0);
    }
}

fn ctctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctctl"));
    command.env_remove("NO_COLOR").env_remove("COLUMNS").stdin(Stdio::null());
    command.args(arguments).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// A scenario of a few seconds, and its path.
fn small(more: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("small.toml");
    let scenario = format!(
        "summary = \"a < b & c\"\nduration_seconds = 120\n[gateway]\nmax = 4096\nbuckets = 4096\n\
         [[traffic]]\nper_second = 100\nkind = \"dns\"\n{more}"
    );
    std::fs::write(&path, scenario).expect("written");
    let path = path.display().to_string();
    (directory, path)
}

#[test]
fn the_document_begins_as_every_other_and_is_the_same_twice() {
    let (_directory, path) = small("");
    let output = ctctl(&["simulate", &path, "--json", "--seed", "1..3", "--seed", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(output.stdout, ctctl(&["simulate", &path, "--json", "--seed", "1..3"]).stdout);
    assert!(text(&output.stdout).starts_with("{\"schema\":1,\"taken_at\":\""));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(document["netns"], serde_json::json!({"name": null, "inode": null}));
    assert_eq!(document["seeds"], serde_json::json!([1, 2, 3]));
    let strategies = document["strategies"].as_array().expect("strategies");
    let names: Vec<_> =
        strategies.iter().map(|strategy| strategy["strategy"].as_str().expect("a name")).collect();
    assert_eq!(names, ["none", "folklore", "pf", "nightly", "ctctl"]);
    assert!(
        strategies.iter().all(|strategy| strategy["runs"].as_array().is_some_and(|runs| runs.len() == 3))
    );
}

#[test]
fn the_drawing_is_whole_and_text_cannot_end_an_element() {
    let (directory, path) = small("");
    let svg = directory.path().join("drawing.svg").display().to_string();
    let output = ctctl(&["simulate", &path, "--svg", &svg, "--strategy", "none", "--strategy", "ctctl"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("STRATEGY") && table.contains("none") && !table.contains("folklore"), "{table}");
    let drawing = std::fs::read_to_string(&svg).expect("the drawing");
    assert!(drawing.starts_with("<svg ") && drawing.ends_with("</svg>\n"));
    assert!(drawing.contains("a &lt; b &amp; c") && drawing.matches("<polygon").count() == 2);
    let output = ctctl(&["simulate", &path, "--svg", "/dev/null/no.svg"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn the_drawing_has_a_legend_and_axes_with_units_and_round_ticks() {
    let (directory, path) = small("");
    let svg = directory.path().join("drawing.svg").display().to_string();
    assert_eq!(ctctl(&["simulate", &path, "--svg", &svg]).status.code(), Some(0));
    let drawing = std::fs::read_to_string(&svg).expect("the drawing");
    let texts: Vec<&str> =
        drawing.split("</text>").filter_map(|part| part.rsplit_once('>').map(|(_, text)| text)).collect();
    for legend in ["entries", "live flows, of no attacker", "nf_conntrack_max", "agent at level critical"] {
        assert!(texts.contains(&legend), "{legend}: {texts:?}");
    }
    for tick in ["0s", "15s", "1m", "2m", "0", "5,000", "10,000"] {
        assert!(texts.contains(&tick), "{tick}: {texts:?}");
    }
    assert!(texts.iter().any(|text| text.starts_with("time since the beginning")), "{texts:?}");
}

#[test]
fn a_strategy_whose_hour_does_not_come_is_no_rival() {
    let (directory, path) = small("");
    let svg = directory.path().join("drawing.svg").display().to_string();
    let drawn = |arguments: &[&str]| {
        let output = ctctl(&[&["simulate", "--svg", &svg], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "off a terminal there is no progress");
        let drawing = std::fs::read_to_string(&svg).expect("the drawing");
        (drawing.matches("<polygon").count(), drawing, text(&output.stdout).to_string())
    };
    let (panels, drawing, table) = drawn(&[&path]);
    assert!(panels == 4 && !drawing.contains("nightly"), "{panels} panels");
    let heads = table.lines().filter(|line| line.starts_with("STRATEGY") || line.starts_with("TIME"));
    assert!(heads.clone().count() == 2 && heads.clone().all(|line| !line.contains("nightly")), "{table}");
    assert!(table.contains("Left out: nightly (conntrack -F at 03:00, which does not come here)"), "{table}");
    // Who asks for it sees it, and that it is none.
    let (panels, drawing, _) = drawn(&[&path, "--strategy", "nightly", "--strategy", "none"]);
    assert!(panels == 2 && drawing.contains("03:00, which does not come here"), "{panels} panels");
    let document = ctctl(&["simulate", &path, "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).expect("one document");
    let fires: Vec<_> = document["strategies"].as_array().expect("all").iter().map(|s| &s["fires"]).collect();
    assert_eq!(fires, [true, true, true, false, true]);
    let night = std::fs::read_to_string(&path).expect("the scenario");
    std::fs::write(&path, format!("starts_at = \"02:59\"\n{night}")).expect("written");
    let (panels, drawing, table) = drawn(&[&path]);
    assert!(panels == 5 && drawing.contains("nightly") && !table.contains("Left out"), "{table}");
}

#[test]
fn tables_fit_eighty_columns_off_a_terminal_too() {
    for seeds in ["1", "1..3"] {
        let output = ctctl(&["simulate", "failover", "--seed", seeds]);
        let table = text(&output.stdout);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert_eq!(table.contains("The mean over 3 seeds"), seeds != "1", "{table}");
    }
}

#[test]
fn shipped_scenarios_are_listed_shown_and_parse() {
    let listed = ctctl(&["simulate", "--list"]);
    let lines: Vec<&str> = text(&listed.stdout).lines().collect();
    assert_eq!(lines.len(), SHIPPED.len());
    for shipped in SHIPPED {
        let line = lines.iter().find(|line| line.starts_with(&format!("{} ", shipped.name)));
        assert!(line.is_some_and(|line| line.len() > shipped.name.len() + 20), "{}", shipped.name);
        assert_eq!(text(&ctctl(&["simulate", "--show", shipped.name]).stdout), shipped.text);
        self::shipped(shipped.name);
    }
}

#[test]
fn the_list_and_what_is_shown_are_documents_too() {
    let document = |args: &[&str]| -> serde_json::Value {
        let output = ctctl(args);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
    };
    let listed = document(&["--json", "simulate", "--list"]);
    assert_eq!((&listed["schema"], &listed["netns"]["name"]), (&1.into(), &serde_json::Value::Null));
    let rows = listed["scenarios"].as_array().expect("rows");
    assert_eq!(rows.len(), SHIPPED.len());
    for (row, shipped) in rows.iter().zip(SHIPPED) {
        assert_eq!(row["name"], shipped.name);
        assert!(row["summary"].as_str().is_some_and(|summary| summary.len() > 10), "{row}");
    }
    let shown = document(&["--json", "simulate", "--show", SHIPPED[0].name]);
    assert_eq!((&shown["schema"], &shown["toml"]), (&1.into(), &SHIPPED[0].text.into()));
}

#[test]
fn what_is_wrong_with_a_scenario_is_said_with_its_place() {
    for (more, place, why, hint) in [
        ("per_secnd = 1", "9:1", "unknown key `per_secnd` in [[traffic]]", "did you mean `per_second`?"),
        ("kind = \"tpc\"", "9:1", "duplicate key", ""),
        ("network = \"10.0.0.0/30\"\nsources = 90", "6:1", "10.0.0.0/30 has no room for 90 sources", "widen"),
        ("[[event]]\nat_seconds = 3", "9:1", "an event needs a change", "set_max"),
        ("[[event]]\nflush = true\nset_max = 3", "11:11", "`set_max` takes a table of its own", ""),
        ("[settings.pressure]\nhigh_percent = 99", "10:", "`high_percent`", ""),
        ("[settings.flsh]", "9:11", "unknown table `flsh`", "did you mean `[flush]`?"),
        ("[gatway]", "9:2", "unknown key `gatway` in a scenario", "did you mean `gateway`?"),
    ] {
        let (_directory, path) = small(more);
        let output = ctctl(&["simulate", &path]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more}: {error}");
        assert!(error.contains(&format!("{path}:{place}")) && error.contains(why), "{more}: {error}");
        assert!(error.starts_with("ctctl: scenario: ") && error.contains(hint), "{more}: {error}");
    }
    for (line, why) in [
        (["simulate", "slow-leek"], "no scenario is called slow-leek"),
        (["simulate", "/nowhere/at-all.toml"], "No such file"),
        (["simulate", "/proc/self/mem"], "error"),
    ] {
        let output = ctctl(&line);
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(
            error.starts_with("ctctl: scenario: ") && error.contains(why) && error.contains("hint: "),
            "{error}"
        );
    }
}
