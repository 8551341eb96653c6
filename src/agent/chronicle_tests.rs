//! What an act leaves in the journal.

use super::*;
use crate::act::journal::trail;
use crate::core::model::{Class, Flush};

struct Desk {
    dir: tempfile::TempDir,
    chronicle: Chronicle,
}

impl Desk {
    fn new() -> Self {
        Desk::of(false)
    }

    fn of(dry_run: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let netns = Netns { name: None, inode: 7 };
        let journal = Journal::open(dir.path(), "b", netns.clone());
        Desk { dir, chronicle: Chronicle::new(journal, netns, dry_run) }
    }

    /// Acts that came to so much each; the records of it.
    fn act(&mut self, came_to: &[(Class, u64)], together: bool) -> Vec<JournalRecord> {
        let actions: Vec<Action> = came_to.iter().map(|(class, _)| action(*class)).collect();
        let actions: Vec<&Action> = actions.iter().collect();
        let ids = self.chronicle.intend_lightly(&actions, together, Level::Critical, 97.0);
        let dry_run = self.chronicle.dry_run;
        let outcome = |(action, (_, n)): (&&Action, &(Class, u64))| Outcome {
            action: (*action).clone(),
            ended: if dry_run { Ended::DryRun } else { Ended::Done },
            requested: *n,
            achieved: *n,
            already_gone: 0,
            duration_seconds: 0.1,
            usage_before_percent: 97.0,
            usage_after_percent: 70.0,
        };
        let outcomes: Vec<Outcome> = actions.iter().zip(came_to).map(outcome).collect();
        let outcomes: Vec<(u64, Outcome)> = ids.into_iter().zip(outcomes).collect();
        self.chronicle.outcomes(&outcomes, Level::Critical);
        self.chronicle.journal.tail(usize::MAX)
    }
}

fn action(class: Class) -> Action {
    let reason = format!("{class} entries go as they are met");
    Action { act: Act::Flush(Flush::of(class, 5, 100)), reason }
}

/// Event, class and entries asked for.
fn told(records: &[JournalRecord]) -> Vec<(RecordEvent, Option<Class>, Option<u64>)> {
    records.iter().map(|record| (record.event, record.class, record.requested)).collect()
}

use RecordEvent::{Done, Intend};

#[test]
fn of_an_act_in_a_hurry_only_the_classes_that_were_met_are_told() {
    let mut desk = Desk::new();
    let met = [(Class::Closed, 0), (Class::Unreplied, 40), (Class::Udp, 0), (Class::Established, 7)];
    let records = desk.act(&met, true);
    let expected = [
        (Intend, None, Some(100)),
        (Done, Some(Class::Unreplied), Some(40)),
        (Done, Some(Class::Established), Some(7)),
    ];
    assert_eq!(told(&records), expected);
    assert!(records.iter().all(|record| record.id == records[0].id), "the records of one act share its id");
    for class in ["closed entries go", "unreplied entries from 5 s", "established entries from 5 s"] {
        assert!(records[0].reason.contains(class), "{}", records[0].reason);
    }
    assert!(trail(desk.dir.path(), "b", 7).is_empty(), "nothing is left to be put back");
}

#[test]
fn the_end_of_an_act_that_met_nothing_is_told_once() {
    let none = [(Class::Closed, 0), (Class::Unreplied, 0), (Class::Udp, 0)];
    let records = Desk::new().act(&none, true);
    assert_eq!(told(&records), [(Intend, None, Some(100)), (Done, None, Some(0))]);
    assert_eq!(records[0].id, records[1].id);
    // One class is named, whatever it came to.
    let records = Desk::new().act(&none[..1], true);
    let closed = Some(Class::Closed);
    assert_eq!(told(&records), [(Intend, closed, Some(100)), (Done, closed, Some(0))]);
}

#[test]
fn acts_of_their_own_are_each_told_to_their_end() {
    let records = Desk::new().act(&[(Class::Closed, 0), (Class::Udp, 3)], false);
    let (closed, udp) = (Some(Class::Closed), Some(Class::Udp));
    let expected = [
        (Intend, closed, Some(100)),
        (Intend, udp, Some(100)),
        (Done, closed, Some(0)),
        (Done, udp, Some(3)),
    ];
    assert_eq!(told(&records), expected);
    let ids: Vec<u64> = records.iter().map(|record| record.id).collect();
    assert_eq!((ids[0], ids[1]), (ids[2], ids[3]));
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn acts_of_one_sweep_share_the_fall_of_usage() {
    let records = Desk::new().act(&[(Class::Closed, 30), (Class::Udp, 3)], false);
    let together: Vec<_> = records.iter().map(|record| record.acts_together).collect();
    assert_eq!(together, [None, None, Some(2), Some(2)]);
    let alone = Desk::new().act(&[(Class::Closed, 30)], false);
    assert_eq!(alone[1].acts_together, None);
}

#[test]
fn a_dry_run_that_would_take_nothing_is_no_act() {
    for together in [false, true] {
        assert_eq!(told(&Desk::of(true).act(&[(Class::Closed, 0), (Class::Udp, 0)], together)), []);
    }
    let records = Desk::of(true).act(&[(Class::Closed, 0), (Class::Udp, 3)], false);
    let udp = Some(Class::Udp);
    assert_eq!(told(&records), [(Intend, udp, Some(100)), (Done, udp, Some(3))]);
    assert!(records.iter().all(|record| record.dry_run));
}

fn fullest(usage_percent: f64) -> Fullest {
    Fullest { act: 17, usage_percent, began_seconds: 1000.0, at_seconds: 1001.25 }
}

#[test]
fn full_or_refusing_packets_is_critical() {
    let pressure = PressureSettings::default();
    let critical = |usage, refused| fullest(usage).critical(refused, &pressure);
    assert!(critical(95.0, 0) && critical(80.0, 1));
    assert!(!critical(94.9, 0) && !critical(79.9, 5));
}

#[test]
fn a_critical_level_within_an_act_is_told_with_its_time() {
    let mut desk = Desk::new();
    desk.chronicle.passed_critical(Level::High, &fullest(96.25), 3, 1003.5);
    let records = desk.chronicle.journal.tail(1);
    let record = &records[0];
    assert_eq!((record.event, record.level), (RecordEvent::Level, Some(Level::Critical)));
    assert_eq!((record.id, record.usage_before_percent), (17, Some(96.25)));
    assert_eq!(record.level_before, Some(Level::High));
    assert_eq!(
        record.reason,
        "in the middle of act 17, 1.2 s after its beginning and 2.2 s before this record, usage \
         was 96.2 %, and 3 packets were dropped for want of room"
    );
}

/// 44 level records in 20 s were seen: what the agent did was pushed out of the ring, and of the files in the end.
#[test]
fn a_level_that_flaps_pushes_no_act_out() {
    let mut desk = Desk::new();
    desk.act(&[(Class::Closed, 7)], false);
    for turn in 0..2000u32 {
        let now = 1000.0 + f64::from(turn) * 0.25;
        let (before, level) =
            [(Level::High, Level::Critical), (Level::Critical, Level::High)][turn as usize % 2];
        let plan = Plan { level, ..Plan::default() };
        desk.chronicle.level(before, &plan, 95.0, now);
        desk.chronicle.protection(turn % 2 == 0, &plan, 95.0, now);
        desk.chronicle.tell_left_out(now);
    }
    desk.chronicle.tell_all_left_out(1500.0);
    let records = desk.chronicle.journal.tail(usize::MAX);
    assert_eq!(
        told(&records[..2]),
        [(Intend, Some(Class::Closed), Some(100)), (Done, Some(Class::Closed), Some(7))]
    );
    let levels: Vec<&JournalRecord> = records.iter().filter(|r| r.event == RecordEvent::Level).collect();
    assert_eq!(levels.len(), 7);
    let last = levels[6];
    assert!(last.reason.starts_with("the level turned 1994 more times"), "{}", last.reason);
    assert_eq!(last.level, Some(Level::High));
    assert_eq!(records.len(), 2 + 7 + 7);
}
