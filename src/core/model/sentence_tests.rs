use super::super::{Asker, Changed, Class, Level};
use super::*;

fn raise(event: RecordEvent) -> Draft {
    Draft {
        action: Some("raise-max".into()),
        name: Some("max".into()),
        from: Some(65_536),
        to: Some(98_304),
        ..Draft::new(1, event, "usage 82 %")
    }
}

#[test]
fn each_event_is_a_sentence() {
    for (event, text) in [
        (RecordEvent::Intend, "about to raise max from 65536 to 98304: usage 82 %"),
        (RecordEvent::Done, "raised max from 65536 to 98304: usage 82 %"),
        (RecordEvent::Failed, "failed to raise max from 65536 to 98304: usage 82 %"),
        (RecordEvent::Deferred, "put off: raise max from 65536 to 98304: usage 82 %"),
        (RecordEvent::Reverted, "put max back from 65536 to 98304: usage 82 %"),
        (RecordEvent::Drift, "found max changed from 65536 to 98304: usage 82 %"),
    ] {
        assert_eq!(sentence(&raise(event)), text);
    }
}

#[test]
fn a_level_is_said_once_with_the_one_before_and_the_threshold() {
    let reason = "usage is 92.0 % (4600 of 5000 entries), at or over high_percent 80";
    let level = Draft {
        level: Some(Level::High),
        level_before: Some(Level::Normal),
        usage_before_percent: Some(92.0),
        ..Draft::new(0, RecordEvent::Level, reason)
    };
    assert_eq!(sentence(&level), format!("level high, was normal: {reason}"));
    let earlier_version = Draft { level_before: None, ..level };
    assert_eq!(sentence(&earlier_version), format!("level is now high: {reason}"));
}

#[test]
fn a_flush_says_how_many_went_and_what_usage_became() {
    let flush = Draft {
        action: Some("flush".into()),
        class: Some(Class::Established),
        requested: Some(4585),
        achieved: Some(4585),
        duration_seconds: Some(0.0312),
        usage_before_percent: Some(92.0),
        usage_after_percent: Some(70.0),
        ..Draft::new(1, RecordEvent::Done, "least missed first")
    };
    let text = "flushed 4585 of 4585 established entries, from 92.0 % to 70.0 % in 31 ms: least missed first";
    assert_eq!(sentence(&flush), text);
}

#[test]
fn no_act_of_a_sweep_claims_the_fall_of_all_of_them() {
    let flush = |acts_together| Draft {
        action: Some("flush".into()),
        class: Some(Class::Closed),
        requested: Some(30),
        achieved: Some(30),
        usage_before_percent: Some(200.0),
        usage_after_percent: Some(74.0),
        acts_together,
        ..Draft::new(1, RecordEvent::Done, "why")
    };
    let alone = "flushed 30 of 30 closed entries, from 200.0 % to 74.0 %: why";
    assert_eq!((sentence(&flush(None)).as_str(), sentence(&flush(Some(1))).as_str()), (alone, alone));
    assert_eq!(
        sentence(&flush(Some(3))),
        "flushed 30 of 30 closed entries, together with the 2 other acts of this sweep from 200.0 % to 74.0 %: why"
    );
}

#[test]
fn a_dry_run_never_reads_as_done() {
    let dry = |event| sentence(&Draft { dry_run: true, ..raise(event) });
    assert_eq!(dry(RecordEvent::Done), "would raise max from 65536 to 98304 (dry run): usage 82 %");
    assert_eq!(dry(RecordEvent::Intend), "about to raise max from 65536 to 98304 (dry run): usage 82 %");
}

#[test]
fn a_timeout_has_its_unit_and_no_duration_that_says_nothing() {
    let record = Draft {
        action: Some("restore-timeout".into()),
        name: Some("udp_timeout_stream".into()),
        from: Some(120),
        to: Some(300),
        duration_seconds: Some(0.000_05),
        usage_before_percent: Some(60.0),
        usage_after_percent: Some(60.0),
        ..Draft::new(1, RecordEvent::Done, "")
    };
    assert_eq!(sentence(&record), "restored udp_timeout_stream from 120 to 300 s");
}

#[test]
fn what_was_asked_for_says_by_whom_and_until_when() {
    let by = Asker { uid: Some(0), command: Some("ctctl pause --for 10m".into()), ..Asker::default() };
    let asked = |action: &str| Draft {
        action: Some(action.into()),
        by: Some(by.clone()),
        ..Draft::new(1, RecordEvent::Done, "")
    };
    let pause = Draft { until: Some("2026-11-21T02:59:52.123456Z".into()), ..asked("pause") };
    let who = "asked by uid 0 (`ctctl pause --for 10m`)";
    assert_eq!(sentence(&pause), format!("paused until 2026-11-21T02:59:52Z, {who}"));
    assert_eq!(sentence(&asked("pause")), format!("paused until resumed, {who}"));
    assert_eq!(sentence(&asked("resume")), format!("acts again, {who}"));
    let flush = Draft { requested: Some(12), achieved: Some(11), ..asked("hand-flush") };
    assert_eq!(sentence(&flush), format!("deleted 11 of 12 entries by hand, {who}"));
    let change =
        |at_start| Changed { key: "[capacity] limit".into(), old: "0".into(), new: "5000".into(), at_start };
    assert_eq!(change(false).to_string(), "[capacity] limit from 0 to 5000");
    assert_eq!(change(true).to_string(), "[capacity] limit from 0 to 5000 (from the next start on)");
}
