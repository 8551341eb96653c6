//! A dry run decides, journals, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::namespace::Namespace;
use crate::harness::table::{Row, rows};
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::tests::harness::one_of_each;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("dry_run::the_option_changes_nothing_and_journals", by_option).needs(&[Need::Age]),
    test("dry_run::the_configuration_changes_nothing_and_journals", by_configuration).needs(&[Need::Age]),
    test("dry_run::plan_changes_nothing_and_says_why", plan).needs(&[Need::Age]),
];

/// Every sysctl of conntrack that the namespace has, but the count.
fn sysctls(namespace: &Namespace) -> BTreeMap<String, String> {
    namespace.enter(|| {
        let files = std::fs::read_dir("/proc/sys/net/netfilter").expect("sysctls").flatten();
        let named = files.map(|file| (file.file_name().to_string_lossy().into_owned(), file.path()));
        let wanted =
            named.filter(|(name, _)| name.starts_with("nf_conntrack_") && name != "nf_conntrack_count");
        wanted.map(|(name, path)| (name, std::fs::read_to_string(path).unwrap_or_default())).collect()
    })
}

fn crowd(topology: &Topology) {
    fill(&topology.gateway, one_of_each());
    fill(&topology.gateway, flow::established(20_000, 100, 100_000));
}

fn nothing_changes(agent: &str, args: &[&str]) {
    let topology = Topology::new();
    crowd(&topology);
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    setup.write(agent, &limit(10_000));
    let since = std::time::Instant::now();
    let before = sysctls(&topology.gateway);
    let identities = || rows(&topology.gateway).iter().map(Row::identity).collect::<BTreeSet<_>>();
    let entries = identities();
    let mut running = setup.spawn(args);
    running.ready();
    let decided = wait::until("a decision in the journal", Duration::from_secs(10), || {
        setup.acts().into_iter().find(|act| act["action"] == "flush").ok_or("no flush yet")
    });
    assert_eq!(decided["dry_run"], true, "{decided}");
    wait::throughout("nothing goes", Duration::from_secs(3), || {
        let now = topology.count();
        if now == entries.len() as u64 { Ok(()) } else { Err(format!("{now} of {} entries", entries.len())) }
    });
    assert!(identities() == entries, "other entries than before");
    assert_eq!(sysctls(&topology.gateway), before);
    let least = rows(&topology.gateway).iter().filter_map(|row| row.left_seconds).min().unwrap_or(0);
    assert!(least > 3900 - since.elapsed().as_secs() as u32, "an entry's time left was cut to {least}");
    assert!(setup.acts().iter().all(|act| act["dry_run"] == true), "{:#?}", setup.acts());
    assert_eq!(running.status()["agent"]["dry_run"], true);
    assert_eq!(running.stop(), 0);
    assert_eq!(sysctls(&topology.gateway), before, "after its end too");
}

fn by_option() {
    nothing_changes("", &["--dry-run"]);
}

fn by_configuration() {
    nothing_changes("dry_run = true", &[]);
}

fn plan() {
    let topology = Topology::new();
    crowd(&topology);
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    let before = (sysctls(&topology.gateway), topology.count());
    let plan = setup.json(&["plan"]);
    assert_eq!(plan["schema"], 1);
    assert_eq!(plan["level"], "critical");
    let actions = plan["actions"].as_array().expect("actions");
    assert!(!actions.is_empty(), "{plan}");
    for action in actions {
        assert!(action["reason"].as_str().is_some_and(|why| why.len() > 10), "{action}");
    }
    assert_eq!((sysctls(&topology.gateway), topology.count()), before);
}
