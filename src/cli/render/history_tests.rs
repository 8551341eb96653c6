use super::*;
use crate::cli::render::canned;
use crate::core::model::{Class, Level};

fn raise(id: u64, event: RecordEvent) -> JournalRecord {
    JournalRecord {
        id,
        action: Some("raise-max".into()),
        name: Some("max".into()),
        from: Some(65_536),
        to: Some(98_304),
        reason: "usage 82 %".into(),
        ..canned::record(event)
    }
}

fn flush(id: u64, class: Class, event: RecordEvent) -> JournalRecord {
    JournalRecord {
        id,
        action: Some("flush".into()),
        class: Some(class),
        requested: Some(1500),
        achieved: (event == RecordEvent::Done).then_some(1200),
        duration_seconds: Some(0.0312),
        usage_before_percent: Some(82.0),
        usage_after_percent: Some(80.2),
        reason: "least missed first".into(),
        ..canned::record(event)
    }
}

fn drawn(records: &[JournalRecord], width: Option<usize>, verbosity: i8, limit: usize) -> String {
    let mut out = Vec::new();
    let style = Style { verbosity, ..canned::style(width) };
    write(&mut out, records, limit, &style).expect("memory");
    String::from_utf8(out).expect("text")
}

fn journal() -> Vec<JournalRecord> {
    let level = JournalRecord {
        id: 0,
        level: Some(Level::High),
        level_before: Some(Level::Normal),
        ..canned::record(RecordEvent::Level)
    };
    vec![
        level,
        raise(1, RecordEvent::Intend),
        flush(2, Class::Closed, RecordEvent::Intend),
        flush(2, Class::Closed, RecordEvent::Done),
        raise(1, RecordEvent::Done),
    ]
}

#[test]
fn an_act_is_one_line_and_v_shows_every_record() {
    let expected = "\
2026-11-21 04:49:52  level high, was normal: because
2026-11-21 04:49:52  flushed 1200 of 1500 closed entries, from 82.0 % to 80.2 % in 31 ms: least missed first
2026-11-21 04:49:52  raised max from 65536 to 98304: usage 82 %
";
    assert_eq!(drawn(&journal(), None, 0, 0), expected);
    let all = drawn(&journal(), None, 1, 0);
    assert_eq!(all.lines().count(), 5, "{all}");
    assert!(all.contains("  about to raise max from 65536 to 98304: usage 82 %\n"), "{all}");
}

#[test]
fn the_limit_counts_acts_and_with_v_records() {
    let raised = "2026-11-21 04:49:52  raised max from 65536 to 98304: usage 82 %\n";
    assert_eq!(drawn(&journal(), None, 0, 1), raised);
    assert_eq!(drawn(&journal(), None, 0, 2).lines().count(), 2);
    assert_eq!(drawn(&journal(), None, 1, 2).lines().count(), 2);
    assert_eq!(drawn(&journal(), None, 1, 4).lines().count(), 4);
}

#[test]
fn classes_that_went_together_are_one_act_and_so_is_a_revert() {
    let records = [
        flush(3, Class::Closed, RecordEvent::Intend),
        flush(3, Class::Closed, RecordEvent::Done),
        flush(3, Class::Udp, RecordEvent::Done),
        raise(4, RecordEvent::Reverted),
        JournalRecord {
            name: Some("events".into()),
            from: Some(1),
            to: Some(2),
            ..raise(4, RecordEvent::Reverted)
        },
    ];
    let text = drawn(&records, None, 0, 0);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("closed entries") && lines[0].contains("; flushed 1200 of 1500 udp"), "{text}");
    assert!(lines[1].contains("put max back from 65536 to 98304; put events back from 1 to 2"), "{text}");
}

#[test]
fn what_waits_or_was_put_off_first_is_still_told() {
    let records = [
        raise(5, RecordEvent::Intend),
        raise(5, RecordEvent::Deferred),
        raise(5, RecordEvent::Done),
        raise(6, RecordEvent::Intend),
    ];
    let text = drawn(&records, None, 0, 0);
    let said: Vec<&str> = text.lines().map(|line| &line[21..]).collect();
    assert_eq!(
        said,
        [
            "put off: raise max from 65536 to 98304: usage 82 %",
            "raised max from 65536 to 98304: usage 82 %",
            "about to raise max from 65536 to 98304: usage 82 %"
        ]
    );
}

#[test]
fn acts_of_two_boots_are_not_joined() {
    let other = JournalRecord { boot_id: "c".into(), ..raise(1, RecordEvent::Done) };
    assert_eq!(drawn(&[raise(1, RecordEvent::Intend), other], None, 0, 0).lines().count(), 2);
}

#[test]
fn a_line_fits_the_terminal_and_is_never_of_400_characters() {
    let long = JournalRecord { reason: "because of this ".repeat(40), ..raise(1, RecordEvent::Done) };
    for (width, most) in [(Some(80), 80), (Some(40), 40), (None, LONGEST)] {
        for verbosity in [0, 1] {
            let text = drawn(std::slice::from_ref(&long), width, verbosity, 0);
            assert!(text.lines().all(|line| line.chars().count() <= most), "{width:?} {text}");
        }
    }
    let cut = drawn(std::slice::from_ref(&long), Some(80), 0, 0);
    assert!(cut.ends_with("...\n(-v shows each record whole)\n"), "{cut}");
    assert!(drawn(&[long], Some(80), 1, 0).lines().count() > 8);
}

#[test]
fn the_end_of_a_pause_is_shown_in_local_time() {
    let pause = JournalRecord {
        action: Some("pause".into()),
        until: Some("2026-11-21T02:59:52Z".into()),
        reason: String::new(),
        ..canned::record(RecordEvent::Done)
    };
    assert!(drawn(&[pause], None, 0, 0).ends_with("  paused until 2026-11-21 04:59:52\n"));
}

#[test]
fn a_journal_cannot_drive_the_terminal() {
    let record = JournalRecord {
        action: Some("\x1b]0;x\x07".into()),
        at: "\x1b[2J".into(),
        reason: "two\nlines".into(),
        ..canned::record(RecordEvent::Done)
    };
    let expected = "\\u{1b}[2J  did \\u{1b}]0;x\\u{7}: two\\nlines\n";
    for verbosity in [0, 1] {
        assert_eq!(drawn(std::slice::from_ref(&record), Some(80), verbosity, 0), expected);
    }
}

#[test]
fn an_empty_journal_says_so() {
    assert_eq!(drawn(&[], None, 0, 0), "No records.\n");
}
