//! Findings of a running kernel, on facts made by hand: a healthy gateway has none, each change of it one.

mod neighbours;
mod rules;

use super::*;
use crate::core::model::{
    AppliedBy, KernelMessage, MemoryFacts, Rule, Ruleset, Severity, Statistics, SysctlFile, SysctlLine,
    TrackingUser,
};

const GIB: u64 = 1 << 30;

/// A gateway that translates, with nothing to complain of.
fn healthy() -> Facts {
    let values = [
        ("max", "262144"),
        ("buckets", "262144"),
        ("count", "1000"),
        ("events", "1"),
        ("tcp_timeout_established", "86400"),
        ("tcp_loose", "1"),
        ("tcp_be_liberal", "0"),
    ];
    let masquerade = Rule { tracks_by: vec!["masq".into()], needs: true, ..Rule::default() };
    let runtime = Runtime {
        first: true,
        release: "6.18.0".into(),
        values: values.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        memory: MemoryFacts { total_bytes: 8 * GIB, bytes_per_entry: 448, ..MemoryFacts::default() },
        counters: Some((Statistics::default(), Statistics::default())),
        counted_seconds: 1.0,
        up_seconds: 100_000.0,
        table: Some(TableFacts { entries: 1000, whole: true, ..TableFacts::default() }),
        rules: Some(Ruleset { rules: vec![masquerade], policy_drop: false }),
        ..Runtime::default()
    };
    Facts {
        files: Some(Files { builtin: true, ..Files::default() }),
        runtime: Some(runtime),
        ..Facts::default()
    }
}

fn changed(change: impl FnOnce(&mut Runtime)) -> Facts {
    let mut facts = healthy();
    change(facts.runtime.as_mut().expect("a runtime"));
    facts
}

fn set(name: &str, value: &str) -> Facts {
    changed(|runtime| drop(runtime.values.insert(name.into(), value.into())))
}

fn ids(facts: &Facts) -> Vec<(String, Severity)> {
    findings(facts).into_iter().map(|finding| (finding.id, finding.severity)).collect()
}

/// One finding alone; gives its fix.
#[track_caller]
fn alone(facts: &Facts, id: &str, severity: Severity) -> Vec<String> {
    assert_eq!(ids(facts), [(id.to_owned(), severity)]);
    let finding = findings(facts).remove(0);
    assert!(!finding.evidence.is_empty() && !finding.source.is_empty() && !finding.explanation.is_empty());
    finding.fix
}

/// Does what `sysctl -w` and the write to hashsize in a fix do.
fn paste(facts: &mut Facts, fix: &[String]) {
    let runtime = facts.runtime.as_mut().expect("a runtime");
    for command in fix {
        let assignment =
            command.strip_prefix("sysctl -w net.netfilter.nf_conntrack_").and_then(|a| a.split_once('='));
        let resized =
            command.strip_prefix("echo ").and_then(|rest| Some(("buckets", rest.split_once(" > ")?.0)));
        if let Some((name, value)) = assignment.or(resized) {
            runtime.values.insert(name.into(), value.into());
        }
    }
}

#[test]
fn half_closed_connections_that_a_long_timeout_keeps_are_named_with_it() {
    use crate::core::model::{Timeout, Unclassed};
    let timeout = Timeout::named("tcp_timeout_close_wait");
    let with = |entries, seconds: &str| {
        changed(|runtime| {
            runtime.values.insert("tcp_timeout_close_wait".into(), seconds.into());
            let mut seen = Unclassed { over_default: 700, ..Unclassed::empty("close-wait", timeout) };
            (seen.entries, seen.over_default_certain, seen.long_idle) = (entries, 690, 690);
            let table = runtime.table.as_mut().expect("a table");
            table.unclassed = vec![seen];
        })
    };
    let mut facts = with(900, "3600");
    let fix = alone(&facts, "half-closed-stay", Severity::Warning);
    assert!(
        fix.iter().any(|line| line.contains("ctctl flush --state close-wait --idle-over 10m")),
        "{fix:?}"
    );
    paste(&mut facts, &fix);
    assert_eq!(ids(&facts), [], "after the fix");
    let table =
        |facts: &mut Facts| facts.runtime.as_mut().unwrap().table.as_mut().unwrap().unclassed.remove(0);
    let mut facts = with(900, "3600");
    let seen = Unclassed {
        over_default_certain: 0,
        long_idle: 0,
        presumed_since_seconds: Some(22),
        ..table(&mut facts)
    };
    facts.runtime.as_mut().unwrap().table.as_mut().unwrap().unclassed.push(seen);
    let fix = alone(&facts, "half-closed-stay", Severity::Warning).join("\n");
    assert!(fix.contains("--idle-over 10m takes none of them before 9m38s after this scan"), "{fix}");
    assert_eq!(ids(&with(900, "60")), [], "the kernel's own");
    assert_eq!(ids(&with(99, "3600")), [], "few");
}

#[test]
fn a_healthy_gateway_has_no_finding() {
    assert_eq!(ids(&healthy()), []);
    assert_eq!(ids(&Facts::default()), []);
    let mut nothing = healthy();
    nothing.runtime = Some(Runtime::default());
    assert_eq!(ids(&nothing), [], "without conntrack");
}

#[test]
fn values_in_force_are_found_and_cured_by_the_printed_commands() {
    for (name, value, id, severity, mended) in [
        ("tcp_timeout_established", "60", "established-too-short", Severity::Error, "7440"),
        ("tcp_timeout_established", "299", "established-too-short", Severity::Error, "7440"),
        ("tcp_timeout_established", "300", "established-too-short", Severity::Warning, "7440"),
        ("tcp_timeout_established", "7439", "established-too-short", Severity::Warning, "7440"),
        ("tcp_timeout_established", "432000", "established-five-days", Severity::Note, "86400"),
        ("events", "0", "events-off", Severity::Warning, "1"),
        ("events", "2", "events-blind", Severity::Note, "1"),
        ("tcp_loose", "0", "tcp-loose-off", Severity::Note, "1"),
        ("tcp_be_liberal", "1", "tcp-be-liberal", Severity::Note, "0"),
        ("max", "0", "max-unlimited", Severity::Warning, "262144"),
        ("max", "-1", "max-unlimited", Severity::Warning, "262144"),
        ("buckets", "8192", "max-over-buckets", Severity::Warning, "65536"),
        ("max", "16384", "buckets-over-need", Severity::Note, "16384"),
        // A quarter of 8 GiB, at 448 bytes an entry.
        ("max", "20000000", "memory-of-max", Severity::Error, "4793490"),
    ] {
        let mut facts = set(name, value);
        if id == "memory-of-max" {
            facts.runtime.as_mut().expect("a runtime").values.insert("buckets".into(), "4194304".into());
        }
        let fix = alone(&facts, id, severity);
        paste(&mut facts, &fix);
        let written = if id == "buckets-over-need" { "buckets" } else { name };
        assert_eq!(facts.runtime.as_ref().expect("a runtime").values[written], mended, "{id}: {fix:?}");
        let left: Vec<_> = ids(&facts).into_iter().filter(|(left, _)| left == id).collect();
        assert_eq!(left, [], "{id}: {fix:?}");
    }
    let calm = changed(|r| {
        r.values.extend([("events".into(), "2".into()), ("count".into(), "0".into())]);
    });
    assert_eq!(ids(&calm), [], "no entry is older than a listener");
}

#[test]
fn the_fix_of_memory_never_goes_below_what_the_table_holds() {
    let facts = changed(|r| {
        r.values.extend(
            [("max", "16000000"), ("buckets", "4194304"), ("count", "9000000")]
                .map(|(n, v)| (n.into(), v.into())),
        );
    });
    let fix = alone(&facts, "memory-of-max", Severity::Warning);
    assert!(fix.iter().any(|command| command.ends_with("nf_conntrack_max=12000000")), "{fix:?}");
}

#[test]
fn what_an_agent_holds_is_no_mistake_of_the_operator() {
    let facts = changed(|r| {
        r.values.insert("tcp_timeout_established".into(), "60".into());
        r.held_by_agent.insert("tcp_timeout_established".into(), 432_000);
    });
    assert_eq!(ids(&facts), []);
}

#[test]
fn dead_connections_weigh_when_they_are_many() {
    let mut facts = set("tcp_timeout_established", "432000");
    let table = TableFacts {
        entries: 60_000,
        established: 60_000,
        established_idle: 50_000,
        ..TableFacts::default()
    };
    facts.runtime.as_mut().expect("a runtime").table = Some(table.clone());
    alone(&facts, "established-five-days", Severity::Warning);
    // Of which nobody can tell, those weigh nothing.
    let unknown = TableFacts { established_idle: 0, established_unknown: 50_000, ..table };
    facts.runtime.as_mut().expect("a runtime").table = Some(unknown);
    alone(&facts, "established-five-days", Severity::Note);
    let evidence = findings(&facts).remove(0).evidence;
    let said: Vec<&str> = evidence.iter().map(|seen| seen.text.as_str()).collect();
    assert!(
        said.last().is_some_and(|text| text.contains("50000 of 60000") && text.contains("nobody can tell"))
    );
    assert!(!said.iter().any(|text| text.contains("silent for more than")), "{said:?}");
}

fn with_file(mut facts: Facts, key: &str, value: &str) -> Facts {
    let line = SysctlLine {
        line: 3,
        last: 3,
        text: format!("{key} = {value}"),
        physical: Vec::new(),
        key: key.into(),
        value: Some(value.into()),
        may_fail: false,
    };
    let file = SysctlFile {
        path: "/etc/sysctl.d/50-x.conf".into(),
        listed_as: "/etc/sysctl.d/50-x.conf".into(),
        applied_by: AppliedBy::Boot,
        lines_total: 3,
        comments: 2,
        lines: vec![line],
    };
    facts.files.as_mut().expect("files").sysctl.push(file);
    facts
}

#[test]
fn a_value_that_is_not_what_its_file_says() {
    let mut facts = with_file(healthy(), "net/nf_conntrack_max", "65536");
    let fix = alone(&facts, "runtime-differs", Severity::Warning);
    // What is in force goes into the file; that the file's lower value refuses connections is said.
    assert!(fix[0].contains("max is 262144 now and the table holds 1000"), "{fix:?}");
    assert!(fix[1].starts_with("sed ") && fix[1].contains("nf_conntrack_max = 262144"), "{fix:?}");
    assert!(fix[2].starts_with("# or") && fix.len() == 3, "{fix:?}");
    facts.runtime.as_mut().expect("a runtime").values.insert("count".into(), "70000".into());
    assert!(
        alone(&facts, "runtime-differs", Severity::Warning)[0].contains("every new connection is refused")
    );
    let old = with_file(healthy(), "net/ipv4/ip_conntrack_max", "65536");
    let fix = alone(&old, "sysctl-renamed", Severity::Error);
    assert!(fix[0].starts_with("# max is 262144") && fix[1].contains("nf_conntrack_max = 262144"), "{fix:?}");
    let mut higher = with_file(healthy(), "net/nf_conntrack_max", "300000");
    let fix = alone(&higher, "runtime-differs", Severity::Warning);
    assert_eq!(fix, ["sysctl -w net.netfilter.nf_conntrack_max=300000"]);
    paste(&mut higher, &fix);
    assert_eq!(ids(&higher), []);
    let mut agents = with_file(healthy(), "net/nf_conntrack_max", "65536");
    agents.runtime.as_mut().expect("a runtime").held_by_agent.insert("max".into(), 65_536);
    alone(&agents, "runtime-differs", Severity::Note);
    let rounded = with_file(healthy(), "net/netfilter/nf_conntrack_buckets", "262000");
    assert_eq!(ids(&rounded), [], "the kernel rounds buckets up");
    let mut elsewhere = with_file(healthy(), "net/nf_conntrack_max", "65536");
    elsewhere.runtime.as_mut().expect("a runtime").first = false;
    assert_eq!(ids(&elsewhere), [], "files are for the first namespace");
}

#[test]
fn a_name_that_this_kernel_lacks() {
    let facts = with_file(healthy(), "net/netfilter/nf_conntrack_dccp_loose", "1");
    alone(&facts, "sysctl-unknown-name", Severity::Warning);
    let mut unloaded = with_file(healthy(), "net/netfilter/nf_conntrack_dccp_loose", "1");
    unloaded.runtime.as_mut().expect("a runtime").values.clear();
    assert_eq!(ids(&unloaded), [], "nothing can be told without the module");
}

#[test]
fn counters_that_rise_are_worse_than_counters_that_rose() {
    let counters = |before: Statistics, after| changed(|r| r.counters = Some((before, after)));
    let none = Statistics::default();
    let full = Statistics { drop: 50, ..none };
    alone(&counters(none, full), "drops", Severity::Error);
    alone(&counters(full, full), "drops", Severity::Note);
    let collided = Statistics { drop: 50, insert_failed: 50, ..none };
    alone(&counters(none, collided), "insert-failed", Severity::Warning);
    alone(&counters(collided, collided), "insert-failed", Severity::Note);
    let shed = Statistics { early_drop: 5, ..none };
    alone(&counters(none, shed), "early-drop", Severity::Warning);
    alone(&counters(shed, shed), "early-drop", Severity::Note);
    let ports = |found| Statistics { found, ..none };
    alone(&counters(ports(5), ports(500)), "port-pressure", Severity::Warning);
    alone(&counters(ports(50_000), ports(50_000)), "port-pressure", Severity::Note);
    assert_eq!(ids(&counters(ports(5), ports(14))), [], "nine in a second");
    alone(&counters(ports(5), ports(15)), "port-pressure", Severity::Warning);
    assert_eq!(ids(&counters(ports(9999), ports(9999))), []);
}

#[test]
fn the_log_counts_for_its_namespace_and_its_time() {
    let message = |at: f64, text: &str| KernelMessage {
        path: "/dev/kmsg".into(),
        line: None,
        at_seconds: Some(at),
        text: text.into(),
        ..KernelMessage::default()
    };
    let full = "nf_conntrack: nf_conntrack: table full, dropping packet";
    let other = "nf_conntrack: nf_conntrack: table full in netns 4026532247, dropping packet";
    let logged = |messages: Vec<KernelMessage>| changed(|r| r.log = messages);
    alone(&logged(vec![message(99_000.0, full)]), "table-full-logged", Severity::Warning);
    alone(&logged(vec![message(9.0, full)]), "table-full-logged", Severity::Note);
    let title = findings(&logged(vec![message(99_000.0, other), message(99_001.0, full)])).remove(0).title;
    assert!(title.contains("2 times, in netns 4026532247, the host's namespace"), "{title}");
    let swallowed = logged(vec![message(9.0, full), message(10.0, "net_ratelimit: 7 callbacks suppressed")]);
    assert_eq!(ids(&swallowed).len(), 2);
    assert_eq!(
        ids(&logged(vec![message(10.0, "net_ratelimit: 7 callbacks suppressed")])),
        [],
        "of something else"
    );
    let many = (1..=5).map(|n| message(9.0, &format!("table full in netns {n}, dropping packet")));
    let title = findings(&logged(many.collect())).remove(0).title;
    assert!(title.ends_with("in netns 1, netns 2, netns 3 and 2 more"), "{title}");
    let within = |inode, drop| {
        let mut facts = logged(vec![message(99_000.0, other), message(99_000.0, full)]);
        let runtime = facts.runtime.as_mut().expect("a runtime");
        let dropped = Statistics { drop, ..Statistics::default() };
        (runtime.first, runtime.inode, runtime.counters) = (false, inode, Some((dropped, dropped)));
        findings(&facts).into_iter().find(|f| f.id == "table-full-logged").map(|finding| finding.title)
    };
    assert!(within(4_026_532_247, 1).is_some_and(|title| title.contains(" 1 times, in netns 4026532247")));
    assert_eq!(within(7, 1), None, "another namespace's");
    assert_eq!(within(4_026_532_247, 0), None, "one that is gone had the inode before");
    let since = |seconds| {
        let facts = changed(|r| {
            let dropped = Statistics { drop: 9, ..Statistics::default() };
            (r.first, r.inode, r.counters) = (false, 4_026_532_247, Some((dropped, dropped)));
            (r.log, r.since_seconds) = (vec![message(99_000.0, other)], Some(seconds));
        });
        findings(&facts).iter().filter(|finding| finding.id == "table-full-logged").count()
    };
    assert_eq!((since(98_000.0), since(99_100.0)), (1, 0), "made after the message");
}

#[test]
fn hints_are_for_the_namespace_that_was_asked_for_and_that_the_message_names() {
    let facts = changed(|r| {
        r.program = "ctctl --netns blue --socket /x".into();
        r.log = vec![KernelMessage {
            at_seconds: Some(99_000.0),
            text: "nf_conntrack: table full in netns 7, dropping packet".into(),
            ..KernelMessage::default()
        }];
        r.namespaces.insert(7, ("green".into(), Some(90_000.0)));
    });
    let fix = alone(&facts, "table-full-logged", Severity::Warning);
    assert_eq!(fix[..2], ["ctctl --netns green top-sources -n 10", "ctctl --netns green plan"], "{fix:?}");
    let full = Statistics { drop: 9, ..Statistics::default() };
    let facts = changed(|r| {
        (r.first, r.enter, r.program) =
            (false, "ip netns exec blue ".into(), "ctctl --netns blue --socket /x".into());
        (r.taken_at, r.counters) = ("2026-01-01T00:00:00Z".into(), Some((Statistics::default(), full)));
    });
    let finding = findings(&facts).into_iter().find(|finding| finding.id == "drops").expect("found");
    assert!(finding.fix.contains(&"ctctl --netns blue --socket /x plan".to_owned()), "{:?}", finding.fix);
    assert_eq!(finding.evidence[0].at.as_deref(), Some("2026-01-01T00:00:00Z"));
    // Twice of it would be half of memory.
    let facts = changed(|r| {
        r.values.extend([("max", "7000000"), ("buckets", "2000000")].map(|(n, v)| (n.into(), v.into())));
        r.counters = Some((Statistics::default(), full));
    });
    let finding = findings(&facts).into_iter().find(|finding| finding.id == "drops").expect("found");
    assert!(!finding.fix.iter().any(|command| command.starts_with("sysctl")), "{:?}", finding.fix);
}

#[test]
fn kube_proxy_is_named() {
    let facts = changed(|r| r.programs.push((42, "kube-proxy".into())));
    alone(&facts, "other-manager", Severity::Note);
    let both = with_file(facts, "net/nf_conntrack_max", "262144");
    alone(&both, "other-manager", Severity::Warning);
}

#[test]
fn fixes_act_in_the_namespace_that_was_asked_for_and_leave_its_hosts_files() {
    let facts = changed(|r| {
        (r.first, r.enter) = (false, "ip netns exec blue ".into());
        r.values.insert("tcp_timeout_established".into(), "60".into());
    });
    let fix = alone(&facts, "established-too-short", Severity::Error);
    assert_eq!(fix, ["ip netns exec blue sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=7440"]);
}
