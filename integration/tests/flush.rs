//! `flush`: what an operator wants gone goes, and nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::agent::{CTCTL, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{self, Flow, L4, source, source6};
use crate::harness::living::Living;
use crate::harness::table::{self, rows};
use crate::harness::terminal::Terminal;
use crate::harness::tool::{Answer, run, tool};
use crate::harness::topology::{CLIENT4, Family, SERVER4, SERVER6, Topology};
use crate::harness::traffic::Tcp;
use crate::harness::wait;
use crate::tests::foreign_update::set_left;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("flush::filters_take_what_matches_of_both_families_and_zones", by_filter),
    test("flush::stale_takes_what_the_agent_would_and_no_living_flow", stale).needs(&[Need::Age]),
    test("flush::it_refuses_without_a_wish_or_a_yes", refuses),
    test("flush::on_a_terminal_it_asks", asks),
    test("flush::into_a_pipe_it_shows_what_it_asks_about", piped),
    test("flush::protected_entries_stay_unless_asked_for", protected),
    test("flush::masters_stay_in_whatever_order_a_walk_meets_them", masters),
    test("flush::stale_masters_stay_for_their_children", stale_masters).needs(&[Need::Age]),
    test("flush::more_than_are_kept_go_in_one_walk_each_once", many),
    test("flush::a_limit_holds", limited),
    test("flush::within_a_limit_the_least_recently_active_go_and_are_shown", chosen).needs(&[Need::Age]),
    test("flush::what_has_changed_since_it_was_shown_stays", changed).needs(&[Need::Age]),
    test("flush::an_interrupted_one_says_that_it_did_part_only", interrupted),
    test("flush::flows_that_are_busy_go_where_a_filter_names_them", busy),
    test("flush::what_another_program_changed_is_not_stale_where_an_agent_heard_it", changed_by_others)
        .needs(&[Need::Age]),
    test("flush::beside_an_agent_its_counts_stay_right_and_nothing_is_regretted", beside_agent)
        .needs(&[Need::Age]),
];

const PATIENCE: Duration = Duration::from_secs(20);

fn young(topology: &Topology, sections: &str) -> Setup {
    let mut setup = Setup::new(&topology.gateway, sections);
    setup.aged = false;
    setup
}

fn sources(topology: &Topology) -> BTreeSet<String> {
    rows(&topology.gateway).iter().map(|row| format!("{}@{}", row.source, row.zone)).collect()
}

fn by_filter() {
    let topology = Topology::new();
    let zoned = |zone, n| Flow { zone, ..Flow::established(source(n), SERVER4, 1024, 0) };
    let v6 = |n| Flow::new(source6(n), SERVER6, L4::Udp(1, 53), 100);
    fill(&topology.gateway, [zoned(0, 1), zoned(7, 1), zoned(8, 1), zoned(0, 2), zoned(7, 2)]);
    fill(&topology.gateway, [v6(1), v6(2)]);
    let setup = young(&topology, "");
    let (one, six) = (source(1).to_string(), source6(1).to_string());
    let dry = setup.json(&["flush", "--dry-run", "-s", &one]);
    assert_eq!((&dry["matched"], &dry["deleted"], &dry["dry_run"]), (&3.into(), &0.into(), &true.into()));
    assert_eq!(topology.count(), 7, "a dry run deletes nothing");
    let text = setup.ctctl(&["flush", "-s", &one, "-w", "7", "--yes"]);
    assert_eq!(text.code, 0, "{text:?}");
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert_eq!(lines[0], "1 entry of 1 source matches", "{text:?}");
    assert_eq!(lines.last(), Some(&"deleted 1 entry; 0 already gone, 0 revived"), "{text:?}");
    let left = |expected: &[&str]| {
        assert_eq!(sources(&topology), expected.iter().map(|s| (*s).to_owned()).collect())
    };
    let [two, six_two] = [source(2).to_string(), source6(2).to_string()];
    let at = |address: &str, zone: u16| format!("{address}@{zone}");
    left(&[&at(&one, 0), &at(&one, 8), &at(&two, 0), &at(&two, 7), &at(&six, 0), &at(&six_two, 0)]);
    // Neither zone 0 nor the one source of IPv6.
    let json = setup.json(&["flush", "--yes", "--not", "-w", "0", "--not", "-s", &six]);
    assert_eq!(
        (&json["matched"], &json["deleted"], &json["sources_total"]),
        (&2.into(), &2.into(), &2.into()),
        "{json}"
    );
    left(&[&at(&one, 0), &at(&two, 0), &at(&six, 0), &at(&six_two, 0)]);
    let json = setup.json(&["flush", "--yes", "-f", "ipv6", "-s", "::/0", "-p", "udp", "--dport", "53"]);
    assert_eq!(json["deleted"], 2, "{json}");
    left(&[&at(&one, 0), &at(&two, 0)]);
    let none = setup.ctctl(&["flush", "--yes", "-s", "203.0.113.1"]);
    assert_eq!((none.code, topology.count()), (0, 2), "what matches nothing is no error: {none:?}");
}

fn stale() {
    let topology = Topology::new();
    let living = Living::open(&topology);
    let count = living.len() as u64;
    fill(&topology.gateway, flow::established(3000, 30, 8000));
    fill(&topology.gateway, (0..500).map(|n| Flow::established(source6(n), SERVER6, 9, 100)));
    let setup = Setup::new(&topology.gateway, &limit(100_000));
    let flushed = setup.json(&["flush", "--stale", "--yes"]);
    let deleted = flushed["deleted"].as_u64().expect("how many");
    // A living flow in TIME_WAIT or the like may be among the stale: what matters is that it lives on.
    assert!((3000..=3000 + count).contains(&deleted), "{flushed}");
    assert_eq!(flushed["matched"], flushed["deleted"], "{flushed}");
    assert!(topology.count() >= 500, "what has been idle for 100 s stays");
    assert_eq!(
        rows(&topology.gateway)
            .iter()
            .filter(|row| row.source.is_ipv6() && row.destination_port == 443)
            .count(),
        500
    );
    assert_eq!(setup.json(&["flush", "--stale", "--yes"])["deleted"], 0, "and nothing is left to flush");
    living.prove_alive();
}

fn said(answer: &Answer, code: i32) {
    assert_eq!((answer.code, answer.stdout.as_str()), (code, ""), "{answer:?}");
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("ctctl: ") && lines[1].starts_with("hint: "),
        "{answer:?}"
    );
}

fn refuses() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(10, 1, 0));
    let setup = young(&topology, "");
    for args in [
        &["flush"][..],
        &["flush", "--yes"],
        &["flush", "--dry-run"],
        &["flush", "-p", "tcp"],
        &["flush", "-p", "tcp", "--limit", "3"],
    ] {
        said(&setup.ctctl(args), 2);
    }
    assert_eq!(topology.count(), 10);
    for (args, told) in [
        (&["flush", "--stale"][..], "nothing is stale\n"),
        (&["flush", "-p", "udp"], "nothing matches\n"),
        (&["flush", "-p", "udp", "--limit", "3", "--yes"], "nothing matches\n"),
    ] {
        let nothing = setup.ctctl(args);
        assert_eq!(
            (nothing.code, nothing.stdout.as_str(), nothing.stderr.as_str()),
            (0, told, ""),
            "{args:?}"
        );
    }
}

/// `ctctl flush` on a terminal of its own, with this answer.
fn on_a_terminal(setup: &Setup, args: &str, answer: &str) -> Answer {
    let config = setup.config().display().to_string();
    let line = format!("{CTCTL} --netns {} --config {config} flush {args}", setup.netns);
    let mut command = tool("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    run(command, answer, PATIENCE)
}

fn asks() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(10, 2, 0));
    let setup = young(&topology, "");
    for no in ["n\n", "\n", "nonsense\n", "\u{4}"] {
        let declined = on_a_terminal(&setup, "-p tcp", no);
        assert_eq!(declined.code, 1, "{declined:?}");
        assert!(declined.stdout.contains("Delete 10 entries of 2 sources? [y/N]"), "{declined:?}");
        assert!(declined.stdout.contains("Most recently active:"), "{declined:?}");
        assert!(declined.stdout.contains("nothing was deleted"), "{declined:?}");
        assert_eq!(topology.count(), 10);
    }
    let agreed = on_a_terminal(&setup, "-p tcp --limit 4", "y\n");
    assert_eq!(agreed.code, 0, "{agreed:?}");
    assert!(
        agreed.stdout.contains("Delete 4 of 10 entries") && agreed.stdout.contains("deleted 4 entries"),
        "{agreed:?}"
    );
    assert_eq!(topology.count(), 6);
}

/// The output goes into a pipe that nobody has read yet when the question is there.
fn piped() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(10, 2, 0));
    let setup = young(&topology, "");
    let terminal = Terminal::new();
    let config = setup.config().display().to_string();
    let command = format!("{CTCTL} --netns {} --config {config} flush -p tcp", setup.netns);
    terminal.line(&format!("{command} | (read line; echo \"got $line\")"));
    let screen = terminal.shows(&["Delete 10 entries of 2 sources? [y/N]"]);
    let question = screen.split("Delete").next().unwrap_or_default();
    for shown in ["10 entries of 2 sources match", "SOURCE", "Most recently active:"] {
        assert!(question.contains(shown), "{shown}:\n{screen}");
    }
    terminal.line("y");
    terminal.shows(&["got deleted 10 entries"]);
    assert_eq!(topology.count(), 0);
}

fn protected() {
    let topology = Topology::new();
    let zoned = |zone, n| Flow { zone, ..Flow::established(source(n), SERVER4, 1024, 0) };
    let master = Flow::established(source(3), SERVER4, 21, 0);
    let child =
        Flow { master: Some(Box::new(master.clone())), ..Flow::established(source(3), SERVER4, 2000, 0) };
    fill(&topology.gateway, [zoned(0, 1), zoned(7, 1), master, child]);
    let setup = young(&topology, "[protect]\nzones = [7]\n");
    let flushed = setup.json(&["flush", "-p", "tcp", "--yes"]);
    assert_eq!((&flushed["deleted"], &flushed["protected"]), (&1.into(), &3.into()), "{flushed}");
    let left = topology.count();
    assert_eq!(left, 3, "the zone's, the master and its child");
    let shown = setup.ctctl(&["flush", "-p", "tcp", "--dry-run"]).stdout;
    assert!(shown.contains("3 entries stay protected") && shown.contains("--even-protected"), "{shown}");
    let shown = setup.ctctl(&["flush", "-p", "tcp", "--dry-run", "--even-protected"]).stdout;
    assert!(shown.contains("1 of them is the master of another connection"), "{shown}");
    let all = setup.json(&["flush", "-p", "tcp", "--yes", "--even-protected"]);
    assert_eq!(all["masters"], 1, "{all}");
    assert_eq!((&all["deleted"], &all["protected"]), (&3.into(), &0.into()), "{all}");
    assert_eq!(topology.count(), 0);
}

/// Half of the children are met before their masters, and those of other sources by no walk of one source.
fn masters() {
    let topology = Topology::new();
    (0..50).for_each(|n| fill(&topology.gateway, flow::control_and_transfer(n, SERVER4, 0)));
    let setup = young(&topology, "");
    let one = source(7).to_string();
    for args in [&["-s", one.as_str()][..], &["-p", "tcp"]] {
        let flushed = setup.json(&[&["flush", "--yes"], args].concat());
        let protected = if args[0] == "-s" { 1 } else { 100 };
        assert_eq!((&flushed["deleted"], &flushed["protected"]), (&0.into(), &protected.into()), "{flushed}");
    }
    assert_eq!(topology.count(), 100);
}

/// Idle control connections, whose transfers are under way: some are met long before anybody knows of their children.
fn stale_masters() {
    const MASTERS: u32 = 1000;
    const OTHERS: u32 = 60_000;
    let topology = Topology::new();
    let masters = (0..MASTERS).map(|n| Flow::established(source(n), SERVER4, 21, 8000));
    fill(&topology.gateway, masters.clone());
    let child =
        |(n, master)| Flow { master: Some(Box::new(master)), ..Flow::established(SERVER4, source(n), 20, 0) };
    fill(&topology.gateway, (0..MASTERS).zip(masters).map(child));
    fill(&topology.gateway, (0..MASTERS).map(|n| Flow::established(source(n), SERVER4, 22, 8000)));
    fill(&topology.gateway, flow::established(OTHERS, 600, 0));
    // Masters stay whatever is set: what their children hold on to would not be freed.
    for (sections, deleted) in [("[protect]\nhelpers = false\n", MASTERS), ("", 0)] {
        let setup = Setup::new(&topology.gateway, sections);
        let status = setup.json(&["status"]);
        let classes = status["classes"].as_array().expect("classes");
        let established = classes.iter().find(|seen| seen["class"] == "established");
        assert_eq!(
            established.map(|seen| seen["would_free"].as_u64()),
            Some(Some(deleted.into())),
            "{status}"
        );
        let flushed = setup.json(&["flush", "--stale", "--yes"]);
        let counts = [&flushed["deleted"], &flushed["protected"]].map(|n| n.as_u64());
        assert_eq!(counts, [deleted, MASTERS].map(|n| Some(n.into())), "{flushed}");
    }
    assert_eq!(topology.count(), u64::from(OTHERS + 2 * MASTERS));
}

/// A walk goes on where it was, though what it has met goes from under it.
fn many() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(140_000, 700, 0));
    fill(&topology.gateway, (0..500).map(|n| Flow::established(source6(n), SERVER6, 9, 100)));
    let setup = young(&topology, "");
    let flushed = setup.json(&["flush", "-f", "ipv4", "--yes"]);
    let counts = ["matched", "deleted", "already_gone", "revived", "not_met", "failed"]
        .map(|name| flushed[name].as_u64());
    assert_eq!(counts, [140_000, 140_000, 0, 0, 0, 0].map(Some), "{flushed}");
    assert_eq!((topology.count(), &flushed["sources_total"]), (500, &700.into()));
}

fn limited() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(5000, 50, 0));
    let setup = young(&topology, "");
    let flushed = setup.json(&["flush", "-p", "tcp", "--yes", "--limit", "1234"]);
    assert_eq!((&flushed["matched"], &flushed["deleted"]), (&5000.into(), &1234.into()), "{flushed}");
    assert_eq!(topology.count(), 3766);
    // What is left is not the same of each: the greatest are shown, the greatest first.
    let mut held = BTreeMap::<_, u64>::new();
    rows(&topology.gateway).iter().for_each(|row| *held.entry(row.source).or_default() += 1);
    let mut held: Vec<_> = held.into_iter().map(|(source, entries)| (Reverse(entries), source)).collect();
    held.sort_unstable();
    let shown = setup.json(&["flush", "-p", "tcp", "--dry-run"]);
    let shown = shown["sources"].as_array().expect("sources");
    let expected =
        held.iter().take(5).map(|(entries, source)| (Value::from(source.to_string()), entries.0.into()));
    let shown = shown.iter().map(|row| (row["source"].clone(), row["entries"].clone()));
    assert_eq!(shown.collect::<Vec<_>>(), expected.collect::<Vec<(Value, Value)>>());
}

fn chosen() {
    let topology = Topology::new();
    let idle = |n: u32, seconds| Flow::established(source(n), SERVER4, 1024, seconds);
    // The idle ones are neither the first nor the last that a walk meets.
    fill(&topology.gateway, (0..300).map(|n| idle(n, if n % 3 == 0 { 500 } else { 100 })));
    let setup = young(&topology, "");
    let shown = setup.ctctl(&["flush", "-p", "tcp", "--limit", "90", "--dry-run"]).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    let (count, recent) = (lines[0], &lines[lines.len() - 5..]);
    assert_eq!(count, "300 entries of 300 sources match; 90 at most are deleted, the least recently active");
    assert!(shown.contains("Most recently active of those:"), "{shown}");
    assert!(recent.iter().all(|line| line.contains("idle 8m")), "{shown}");
    let flushed = setup.json(&["flush", "-p", "tcp", "--limit", "90", "--yes"]);
    assert_eq!((&flushed["deleted"], &flushed["not_met"]), (&90.into(), &0.into()), "{flushed}");
    let left = |idle: u32| {
        let spoke = |row: &&table::Row| row.left_seconds.is_some_and(|left| left + idle <= 432_000);
        rows(&topology.gateway).iter().filter(spoke).count()
    };
    assert_eq!((left(100), left(500)), (210, 10), "90 of the 100 idlest are gone");
}

fn identities(topology: &Topology) -> BTreeSet<table::Identity> {
    rows(&topology.gateway).iter().map(table::Row::identity).collect()
}

/// Between the question and the answer.
fn changed() {
    let topology = Topology::new();
    let flows: Vec<Flow> = (0..40).map(|n| Flow::established(source(n), SERVER4, 1024, 500)).collect();
    fill(&topology.gateway, flows.clone());
    let setup = young(&topology, "");
    let terminal = Terminal::new();
    let config = setup.config().display().to_string();
    terminal
        .line(&format!("{CTCTL} --netns {} --config {config} flush --idle-over 5m; echo $?", setup.netns));
    terminal.shows(&["Delete 40 entries of 40 sources? [y/N]"]);
    let shown = identities(&topology);
    let mut writer = Writer::new(&topology.gateway);
    // Ten have spoken, ten have ended, ten are others by now; and one came that was never shown.
    flows[..10].iter().for_each(|flow| writer.set_left(flow, 432_000));
    flows[10..30].iter().for_each(|flow| writer.delete(flow));
    // What is made again at once has the place in memory that it had, and so its id.
    writer.fill((0..10).map(|n| Flow::established(source(100 + n), SERVER4, 1024, 0)));
    writer.fill(flows[20..30].iter().cloned());
    writer.fill([Flow::established(source(99), SERVER4, 1024, 500)]);
    let now = identities(&topology);
    let of = |flows: &[Flow], entry: &table::Identity| flows.iter().any(|flow| flow.source == entry.0);
    assert!(now.difference(&shown).any(|entry| of(&flows[20..30], entry)), "all of them have their old ids");
    terminal.line("y");
    let screen = terminal.shows(&["deleted 1", "\n0"]);
    let left = identities(&topology);
    let meant: BTreeSet<_> = now.intersection(&shown).filter(|entry| !of(&flows[..10], entry)).collect();
    assert_eq!(now.difference(&left).collect::<BTreeSet<_>>(), meant);
    let (gone, ended) = (meant.len(), 30 - meant.len());
    let told = format!("deleted {gone} entries; {ended} already gone, 10 revived\n");
    assert!(screen.contains(&told), "{screen}");
}

fn interrupted() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(150_000, 50, 0));
    let setup = young(&topology, "");
    let mut command = setup.client(&["flush", "-p", "tcp", "--yes"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("ctctl");
    let pid = child.id();
    // It catches signals from before it looks.
    wait::until("the deletion to begin", PATIENCE, || {
        let count = topology.count();
        if count < 150_000 { Ok(()) } else { Err(count) }
    });
    kill(Pid::from_raw(pid as i32), Signal::SIGINT).expect("a signal");
    let answer = Answer::from(child.wait_with_output().expect("its end"));
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.stderr.starts_with("ctctl: flush: interrupted before the end\nhint: "), "{answer:?}");
    let told = answer.stdout.lines().last().unwrap_or_default();
    assert!(told.starts_with("deleted ") && told.ends_with(" 0 revived"), "{answer:?}");
    assert!((1..150_000).contains(&topology.count()), "part of it went");
}

/// Somebody sets the time left of all of them again and again, as packets do.
fn busy() {
    let topology = Topology::new();
    let flows: Vec<Flow> = flow::established(20_000, 20, 0).collect();
    fill(&topology.gateway, flows.clone());
    let setup = young(&topology, "");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = Writer::new(&topology.gateway);
            while !stop.load(Ordering::Relaxed) {
                flows.iter().for_each(|flow| writer.set_left(flow, 432_000));
                writer.flush();
            }
        });
        let flushed = setup.try_json(&["flush", "-s", "10.128.0.0/9", "--yes"]);
        stop.store(true, Ordering::Relaxed);
        let flushed = flushed.expect("a flush");
        assert_eq!((&flushed["deleted"], &flushed["revived"]), (&20_000.into(), &0.into()), "{flushed}");
    });
    assert_eq!(topology.count(), 0);
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn changed_by_others() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let agent = setup.start();
    let mut tcp = Tcp::talking(&topology, Family::V4);
    // As if it had been silent for 12,000 s.
    set_left(&topology, &CLIENT4.to_string(), 420_000);
    wait::until("the agent to hear it", PATIENCE, || match &agent.status()["agent"]["others_update"] {
        Value::Bool(true) => Ok(()),
        other => Err(other.to_string()),
    });
    let answer = setup.ctctl(&["flush", "--stale", "--yes"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.stdout.contains("nothing is stale"), "{answer:?}");
    assert!(answer.stdout.contains("another program"), "{answer:?}");
    tcp.alive().expect("bytes through the gateway");
    set_left(&topology, &CLIENT4.to_string(), 420_000);
    let listed = setup.ctctl(&["list", "--json"]);
    assert!(listed.stderr.contains("another program"), "{listed:?}");
    let idle: Vec<Value> = listed.stdout.lines().map(|line| parsed(line)["idle_seconds"].clone()).collect();
    assert_eq!(idle, [Value::Null]);
    let top = setup.json(&["top-sources", "--by", "idle"]);
    let one = &top["sources"][0];
    let told = (&top["entries"], &one["idle"], &one["idle_unknown"]);
    assert_eq!(told, (&1.into(), &Value::Null, &1.into()), "{top:#}");
    // Without an agent nobody has heard it.
    assert_eq!(agent.stop(), 0);
    let listed = setup.ctctl(&["list", "--json"]);
    assert!(listed.stderr.is_empty() && parsed(&listed.stdout)["idle_seconds"].is_u64(), "{listed:?}");
}

fn beside_agent() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(5000, 50, 8000));
    let setup = Setup::new(&topology.gateway, &limit(100_000));
    let agent = setup.start();
    fill(
        &topology.gateway,
        (0..3000).map(|n| Flow::established(source6(n % 30), SERVER6, (1024 + n / 30) as u16, 0)),
    );
    let entries = |expected: u64| {
        wait::until(&format!("the agent to count {expected}"), PATIENCE, || {
            let top = setup.json(&["top-sources", "-n", "0"]);
            let counted = (&top["entries"], &top["synced"], &top["basis"]);
            match counted == (&expected.into(), &true.into(), &"agent".into()) {
                true => Ok(()),
                false => Err(format!("{counted:?}")),
            }
        });
    };
    entries(8000);
    let resyncs = agent.status()["agent"]["resyncs"].clone();
    assert_eq!(setup.json(&["flush", "--yes", "-s", &source6(3).to_string()])["deleted"], 100);
    entries(7900);
    assert_eq!(
        agent.status()["agent"]["resyncs"],
        resyncs,
        "it heard the end of what was born before its eyes"
    );
    // Of those that it heard another program make, time left proves nothing; which they are it tells.
    let listed = setup.ctctl(&["list", "--json"]).stdout;
    let rows: Vec<Value> = listed.lines().map(parsed).collect();
    let foreign = rows.iter().filter(|row| row["idle_unproven"] == "foreign").count();
    let eligible = rows.iter().filter(|row| row["eligible"] == true).count();
    assert_eq!((rows.len(), foreign, eligible), (7900, 2900, 5000));
    let stale = setup.json(&["flush", "--yes", "--stale"]);
    assert_eq!((&stale["deleted"], &stale["idle_unknown"]), (&5000.into(), &2900.into()), "{stale:#}");
    entries(2900);
    assert_eq!(setup.json(&["flush", "--yes", "-f", "ipv6"])["deleted"], 2900);
    entries(0);
    // What comes back is no mistake of the agent's.
    fill(&topology.gateway, (0..100).map(|n| Flow::established(source6(3), SERVER6, 1024 + n, 0)));
    entries(100);
    let status = agent.status();
    let regret = &status["agent"]["regret_percent"];
    assert!(regret.is_null() || regret == &Value::from(0.0), "{status}");
    assert_eq!(status["agent"]["lost_events"], 0, "{status}");
    let acts = setup.acts();
    assert!(acts.iter().all(|act| act["action"] != "flush"), "and the agent did nothing: {acts:?}");
    assert_eq!(agent.stop(), 0);
}
