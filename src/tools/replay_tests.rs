use super::*;
use crate::core::model::{Basis, Class, ClassScan, Header, Netns, Scan, Snapshot, Timeout};
use crate::core::policy::Memory;
use crate::error::Exit;
use proptest::prelude::*;

fn header() -> Header {
    let netns = Netns { name: Some("gw".into()), inode: 7 };
    Header { schema: 1, taken_at: "2026-11-21T02:49:52Z".into(), netns }
}

fn crowded(entries: u64, idle: u64, growth: f64, now_seconds: f64) -> Snapshot {
    let mut closed = ClassScan { entries: idle, would_free: idle, ..ClassScan::empty(Class::Closed) };
    (0..idle).for_each(|_| closed.idle.add(64));
    Snapshot {
        now_seconds,
        entries,
        max: 1000,
        buckets: 512,
        net_growth_per_second: Some(growth),
        timeouts: Timeout::all().map(|t| (t, t.spec().kernel_default_seconds)).collect(),
        scan: Some(Scan { at_seconds: now_seconds, trusted: true, classes: vec![closed], ..Scan::default() }),
        may_flush: true,
        ..Snapshot::default()
    }
}

fn text(snapshot: &Snapshot, memory: &Memory, settings: &Settings) -> String {
    let document = documents::recorded(header(), Basis::Agent, snapshot, memory, settings);
    serde_json::to_string_pretty(&document).unwrap()
}

fn recorded() -> String {
    text(&crowded(850, 300, 12.5, 1e6), &Memory::default(), &Settings::default())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// To the last bit of each float: a time that is off by one could be on the other side of a limit.
    #[test]
    fn the_replay_is_the_plan_that_was_made(
        entries in 0..1200u64, idle in 0..500u64, growth in -1e4..1e4f64, now in 0.0..1e9f64, target in 1.0..75.0f64,
    ) {
        let snapshot = crowded(entries, idle, growth, now);
        let mut settings = Settings::default();
        settings.pressure.target_percent = target;
        settings.timeouts.floors_seconds.insert(Timeout::named("udp_timeout").unwrap(), 31);
        let (_, memory) = policy::decide(&crowded(900, idle, growth, now - 0.1), &Memory::default(), &settings);
        let parsed = parse(&text(&snapshot, &memory, &settings), "f").unwrap();
        prop_assert_eq!((&parsed.snapshot, &parsed.settings), (&snapshot, &settings));
        let (live, _) = policy::decide(&snapshot, &memory, &settings);
        prop_assert_eq!(plan(&parsed, None).unwrap(), documents::plan(header(), &snapshot, &live));
    }

    #[test]
    fn no_text_panics(text in any::<String>(), cut in 0..4000usize) {
        let _ = parse(&text, "f");
        let whole = recorded();
        let _ = parse(whole.get(..cut.min(whole.len())).unwrap_or_default(), "f");
    }
}

#[test]
fn other_settings_give_the_plan_that_would_have_been() {
    let recorded = parse(&recorded(), "f").unwrap();
    let flushes = |settings: Option<&Settings>| plan(&recorded, settings).unwrap().actions.len();
    assert_eq!(flushes(None), 1);
    let mut settings = Settings::default();
    settings.flush.enabled = false;
    assert_eq!(flushes(Some(&settings)), 0);
}

fn refused(text: &str) -> String {
    let error = parse(text, "gw.json").unwrap_err();
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.hint.is_some(), "{error}");
    error.to_string()
}

#[test]
fn what_is_broken_is_shown_with_its_place() {
    assert_eq!(refused(""), "snapshot: gw.json:1:0: EOF while parsing a value");
    assert_eq!(refused("{\"schema\": 1}"), "snapshot: gw.json:1:13: missing field `snapshot`");
    let whole = recorded();
    let line = 1 + whole.lines().position(|line| line.contains("\"entries\": 850")).unwrap();
    let broken = whole.replace("\"entries\": 850", "\"entries\": \"many\"");
    assert!(refused(&broken).starts_with(&format!("snapshot: gw.json:{line}:")), "{}", refused(&broken));
    let broken = whole.replace("\"relieving\": false", "\"relieving\": 3");
    let error = plan(&parse(&broken, "f").unwrap(), None).unwrap_err();
    assert!(error.to_string().starts_with("snapshot: its memory: "), "{error}");
}

#[test]
fn a_newer_schema_is_refused_and_says_whose_it_is() {
    let newer = "{\"schema\": 2, \"version\": \"9.1.0\", \"everything\": \"else\"}";
    let error = parse(newer, "gw.json").unwrap_err();
    let words = "snapshot: gw.json: its schema is 2 (ctctl 9.1.0), and this version reads 1";
    assert_eq!(error.to_string(), words);
    assert!(error.hint.is_some_and(|hint| hint.contains("the version that recorded it")));
}

#[test]
fn fields_that_an_older_version_lacked_or_a_newer_one_has_are_no_fault() {
    let mut value: serde_json::Value = serde_json::from_str(&recorded()).unwrap();
    value["snapshot"].as_object_mut().unwrap().remove("drops");
    value["settings"]["pressure"].as_object_mut().unwrap().remove("horizon_seconds");
    value["snapshot"]["of_tomorrow"] = 1.into();
    value["memory"]["of_tomorrow"] = 1.into();
    let older = parse(&value.to_string(), "f").unwrap();
    assert_eq!(plan(&older, None).unwrap(), plan(&parse(&recorded(), "f").unwrap(), None).unwrap());
}
