use super::*;
use crate::cli::render::canned;
use crate::core::model::{Class, Level, Payer};

fn drawn(width: Option<usize>, plan: &PlanDocument, verbosity: i8) -> String {
    let mut out = Vec::new();
    let style = Style { verbosity, ..canned::style(width) };
    write(&mut out, plan, None, &style).expect("memory");
    String::from_utf8(out).expect("text")
}

fn plan() -> PlanDocument {
    let payers = (1..=7).map(|n| Payer { source: format!("10.0.0.{n}"), entries: n }).collect();
    let value = |action: &str, name: &str, from, to, reason: &str| ActionRow {
        action: action.into(),
        name: Some(name.into()),
        from: Some(from),
        to: Some(to),
        reason: reason.into(),
        ..ActionRow::default()
    };
    let flush = |class, idle, budget, reason: &str| ActionRow {
        action: "flush".into(),
        class: Some(class),
        idle_over_seconds: Some(idle),
        budget: Some(budget),
        reason: reason.into(),
        ..ActionRow::default()
    };
    PlanDocument {
        header: canned::header(),
        level: Level::Critical,
        reasons: vec!["usage is 96.2 % of 65536, over critical_percent (95 %)".into()],
        actions: vec![
            value("raise-max", "max", 65_536, 98_304, "the target needs 90100"),
            value("set-timeout", "tcp_timeout_established", 432_000, 7440, "12000 entries are idle longer"),
            flush(Class::Closed, 5, 1200, "least missed first"),
            ActionRow {
                share_level: Some(40),
                payers: Some(payers),
                ..flush(Class::FairShare, 60, 28, "nothing gentler is left")
            },
        ],
        classes: None,
        unclassed: None,
        unproven: None,
        classes_age_seconds: None,
        classes_before_act: false,
        scan: false,
        waiting: vec![],
    }
}

#[test]
fn piped_every_sentence_is_a_line() {
    let expected = "\
Level: critical
usage is 96.2 % of 65536, over critical_percent (95 %)

 1. raise max from 65536 to 98304
    the target needs 90100
 2. set tcp_timeout_established from 432000 to 7440 s
    12000 entries are idle longer
 3. flush up to 1200 closed entries idle over 5 s
    least missed first
 4. flush up to 28 fair-share entries idle over 1 min, no payer below 40
    nothing gentler is left
    10.0.0.1 gives up 1 entry
    10.0.0.2 gives up 2 entries
    10.0.0.3 gives up 3 entries
    10.0.0.4 gives up 4 entries
    10.0.0.5 gives up 5 entries
    and 2 payers (-v names all 7)
";
    assert_eq!(drawn(None, &plan(), 0), expected);
    assert_eq!(drawn(Some(80), &plan(), 0), expected);
    assert!(drawn(None, &plan(), 1).ends_with("    10.0.0.7 gives up 7 entries\n"));
}

#[test]
fn forty_columns_break_between_words() {
    let text = drawn(Some(40), &plan(), 0);
    let start = "\
Level: critical
usage is 96.2 % of 65536, over
critical_percent (95 %)

 1. raise max from 65536 to 98304
    the target needs 90100
 2. set tcp_timeout_established from
    432000 to 7440 s
";
    assert!(text.starts_with(start), "{text}");
    assert!(text.lines().all(|line| line.len() <= 40 || line.contains("-v shows")), "{text}");
}

#[test]
fn nothing_to_do_is_said() {
    let idle = PlanDocument {
        level: Level::Normal,
        reasons: vec!["usage is 12 %".into()],
        actions: vec![],
        ..plan()
    };
    assert_eq!(drawn(None, &idle, 0), "Level: normal\nusage is 12 %\n\nNothing to do.\n");
    let looks = PlanDocument { scan: true, ..idle };
    let expected = "Level: normal\nusage is 12 %\n\nThe table is looked at, and nothing else is done yet.\n";
    assert_eq!(drawn(None, &looks, 0), expected);
}

#[test]
fn an_action_without_its_fields_is_still_a_sentence() {
    let bare = ActionRow { action: "flush".into(), ..ActionRow::default() };
    assert_eq!(sentence(&bare), "flush entries");
    let odd = ActionRow { action: "set-timeout".into(), from: Some(1), to: Some(2), ..ActionRow::default() };
    assert_eq!(sentence(&odd), "set a value from 1 to 2");
}
