use super::*;
use crate::cli::render::canned;
use crate::model::{Class, Level};

fn raise(event: RecordEvent) -> JournalRecord {
    JournalRecord {
        action: Some("raise-max".into()),
        name: Some("max".into()),
        from: Some(65_536),
        to: Some(98_304),
        reason: "usage 82 %".into(),
        ..canned::record(event)
    }
}

fn flush(event: RecordEvent) -> JournalRecord {
    JournalRecord {
        action: Some("flush".into()),
        class: Some(Class::Closed),
        requested: Some(1500),
        achieved: Some(1200),
        duration_seconds: Some(0.0312),
        usage_before_percent: Some(82.0),
        usage_after_percent: Some(80.2),
        reason: "least missed first".into(),
        ..canned::record(event)
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
    let level = JournalRecord { level: Some(Level::High), ..canned::record(RecordEvent::Level) };
    assert_eq!(sentence(&level), "level is now high: because");
}

#[test]
fn a_dry_run_never_reads_as_done() {
    let dry = |event| sentence(&JournalRecord { dry_run: true, ..raise(event) });
    assert_eq!(dry(RecordEvent::Done), "would raise max from 65536 to 98304 (dry run): usage 82 %");
    assert_eq!(dry(RecordEvent::Intend), "about to raise max from 65536 to 98304 (dry run): usage 82 %");
}

#[test]
fn a_timeout_has_its_unit() {
    let record = JournalRecord {
        action: Some("restore-timeout".into()),
        name: Some("udp_timeout_stream".into()),
        from: Some(120),
        to: Some(300),
        reason: String::new(),
        ..canned::record(RecordEvent::Done)
    };
    assert_eq!(sentence(&record), "restored udp_timeout_stream from 120 to 300 s");
}

#[test]
fn lines_begin_with_local_time_and_fit() {
    let records = [flush(RecordEvent::Done), raise(RecordEvent::Done)];
    let drawn = |width| {
        let mut out = Vec::new();
        write(&mut out, &records, &canned::style(width)).expect("memory");
        String::from_utf8(out).expect("text")
    };
    let piped = "\
2026-11-21 04:49:52  flushed 1200 of 1500 closed entries in 31 ms, usage from 82.0 % to 80.2 %: least missed first
2026-11-21 04:49:52  raised max from 65536 to 98304: usage 82 %
";
    assert_eq!(drawn(None), piped);
    let eighty = "\
2026-11-21 04:49:52  flushed 1200 of 1500 closed entries in 31 ms, usage from
    82.0 % to 80.2 %: least missed first
2026-11-21 04:49:52  raised max from 65536 to 98304: usage 82 %
";
    assert_eq!(drawn(Some(80)), eighty);
    let forty = "\
2026-11-21 04:49:52  flushed 1200 of
    1500 closed entries in 31 ms, usage
    from 82.0 % to 80.2 %: least missed
    first
2026-11-21 04:49:52  raised max from
    65536 to 98304: usage 82 %
";
    assert_eq!(drawn(Some(40)), forty);
}

#[test]
fn a_journal_cannot_drive_the_terminal() {
    let record = JournalRecord {
        action: Some("\x1b]0;x\x07".into()),
        at: "\x1b[2J".into(),
        reason: "two\nlines".into(),
        ..canned::record(RecordEvent::Done)
    };
    let mut out = Vec::new();
    write(&mut out, &[record], &canned::style(Some(80))).expect("memory");
    let text = String::from_utf8(out).expect("text");
    assert_eq!(text, "\\u{1b}[2J  did \\u{1b}]0;x\\u{7}: two\\nlines\n");
}

#[test]
fn an_empty_journal_says_so() {
    let mut out = Vec::new();
    write(&mut out, &[], &canned::style(None)).expect("memory");
    assert_eq!(out, b"No records.\n");
}
