use super::chunk::{Asked, UnderWay, settle};
use super::waiting::{pause, rest};
use super::*;
use std::collections::VecDeque;
use std::time::Duration;

use crate::core::model::{Flush, Judged, Pace, Value};
use crate::core::sweep::{Choice, Pacing, Rules};
use crate::linux::deleter::Deleter;

fn pace(per_second: u64) -> Pace {
    Pace {
        per_second,
        urgent_at_entries: 95_000,
        urgent_per_second: 200_000,
        enough_at_entries: 70_000,
        ..Pace::default()
    }
}

fn pacing(pace: &Pace) -> Pacing {
    Pacing::new(pace, pace.per_second, pace.urgent_at_entries)
}

fn swept(flushes: usize) -> Swept {
    Swept { freed: vec![0; flushes], requested: vec![0; flushes], ..Swept::default() }
}

const CLASSES: [Class; 3] = [Class::Closed, Class::Unreplied, Class::Established];

/// Three flushes of three classes that take whatever is offered.
fn rules() -> Rules<&'static Flush> {
    let flush = |class| &*Box::leak(Box::new(Flush::of(class, 0, 1000)));
    Rules::new(CLASSES.map(flush), &Pace::default())
}

/// Sends so many deletions of each flush, of which this came.
fn credit(rules: &mut Rules<&Flush>, swept: &mut Swept, taken: &[u64], done: &Deleted) {
    for (class, n) in CLASSES.into_iter().zip(taken) {
        let judged = Judged::eligible(&Entry::default(), class, 0);
        (0..*n).for_each(|_| assert_ne!(rules.offer(&Entry::default(), &judged), Choice::Stay));
    }
    let sent = rules.sent();
    assert_eq!(sent, taken);
    rules.ended(&sent, done.gone());
    swept.deleted.add(*done);
}

#[test]
fn every_deletion_is_credited_to_the_flush_that_asked() {
    let (mut rules, mut swept) = (rules(), swept(3));
    credit(&mut rules, &mut swept, &[10, 0, 5], &Deleted { sent: 15, ..Deleted::default() });
    credit(&mut rules, &mut swept, &[0, 7, 0], &Deleted { sent: 7, ..Deleted::default() });
    assert_eq!((rules.requested(), rules.freed()), (vec![10, 7, 5], vec![10, 7, 5]));
    assert_eq!(swept.deleted.gone(), 22);
}

#[test]
fn what_did_not_go_is_asked_and_not_freed() {
    let (mut rules, mut swept) = (rules(), swept(3));
    let done =
        Deleted { sent: 30, already_gone: 8, failed: 4, errno: Some(libc::EPERM), stale: 0, revived: 0 };
    credit(&mut rules, &mut swept, &[10, 10, 10], &done);
    assert_eq!((rules.requested(), rules.freed()), (vec![10, 10, 10], vec![10, 8, 0]));
    assert_eq!((swept.deleted.already_gone, swept.deleted.errno), (8, Some(libc::EPERM)));
}

#[test]
fn what_was_too_old_to_be_sent_frees_nothing() {
    let (mut rules, mut swept) = (rules(), swept(3));
    credit(&mut rules, &mut swept, &[3, 4, 0], &Deleted { stale: 7, ..Deleted::default() });
    assert_eq!((rules.requested(), rules.freed(), swept.deleted.stale), (vec![3, 4, 0], vec![0, 0, 0], 7));
}

#[test]
fn freed_never_exceeds_what_was_asked() {
    let (mut rules, mut swept) = (rules(), swept(3));
    credit(&mut rules, &mut swept, &[1, 2, 0], &Deleted { sent: 50, ..Deleted::default() });
    credit(&mut rules, &mut swept, &[1, 2, 0], &Deleted { sent: 3, already_gone: 50, ..Deleted::default() });
    assert_eq!((rules.requested(), rules.freed()), (vec![2, 4, 0], vec![1, 2, 0]));
}

#[test]
fn the_dry_hand_counts_and_changes_nothing() {
    let mut writer = DryWriter::default();
    assert!(writer.dry());
    assert_eq!(writer.set(Value::Max, 1, 2), Ok(None));
    writer.take(&Entry::default(), Class::Closed, Instant::now());
    writer.take(&Entry::default(), Class::Closed, Instant::now());
    writer.begin(false).unwrap();
    assert_eq!(writer.told(false).unwrap().unwrap(), Deleted { sent: 2, ..Deleted::default() });
    assert!(writer.told(true).is_none());
}

/// Takes second chances as the writer on the kernel does, and answers as told.
struct Chancy {
    given: Vec<Entry>,
    answer: fn(&[Entry]) -> Shortened,
}

impl Writer for Chancy {
    fn set(&mut self, _: Value, _: u64, _: u64) -> Result<Option<u64>, Refused> {
        Ok(None)
    }
    fn take(&mut self, _: &Entry, _: Class, _: Instant) {
        panic!("nothing is deleted");
    }
    fn begin(&mut self, _: bool) -> io::Result<()> {
        panic!("nothing is deleted");
    }
    fn told(&mut self, _: bool) -> Option<io::Result<Deleted>> {
        None
    }
    fn give_grace(&mut self, entry: &Entry, _: Instant) {
        self.given.push(*entry);
    }
    fn settle_chances(&mut self, _: u32) -> io::Result<Shortened> {
        Ok((self.answer)(&std::mem::take(&mut self.given)))
    }
    fn dry(&self) -> bool {
        false
    }
}

/// Of a table that is looked at now and then, until a sweep is to end.
#[derive(Default)]
struct Onlooker {
    told: Vec<(u32, u32, u32)>,
    counts: VecDeque<u64>,
    halted: bool,
}

impl Judge for Onlooker {
    fn judge(&mut self, _: &Entry) -> Option<Judged> {
        None
    }
    fn stays(&mut self, _: &Entry, _: &Judged) {}
    fn given_grace(&mut self, entry: &Entry, idle_seconds: u32, grace_seconds: u32) {
        self.told.push((entry.id, idle_seconds, grace_seconds));
    }
}

impl Surroundings for Onlooker {
    fn count(&mut self) -> Option<u64> {
        self.counts.pop_front()
    }
    fn halted(&self) -> bool {
        self.halted
    }
}

#[test]
fn only_those_that_got_their_second_chance_are_told_of_and_what_was_short_was_not_asked_for() {
    let answer = |given: &[Entry]| Shortened {
        set: vec![given[1], given[3]],
        revived: 1,
        shorter_already: 1,
        ..Shortened::default()
    };
    let mut writer = Chancy { given: Vec::new(), answer };
    let chances: Vec<(Entry, u32)> = (0..4).map(|id| (Entry { id, ..Entry::default() }, 8000 + id)).collect();
    chances.iter().for_each(|(entry, _)| writer.give_grace(entry, Instant::now()));
    let flush = Flush { grace_seconds: Some(60), ..Flush::of(Class::Established, 7440, 10) };
    let closed = Flush::of(Class::Closed, 5, 10);
    let (mut swept, mut told) = (swept(2), Onlooker::default());
    let mut rules = Rules::new([&closed, &flush], &Pace::default());
    for (entry, idle_seconds) in &chances {
        let entry = Entry { timeout_seconds: Some(400_000), ..*entry };
        let judged = Judged::eligible(&entry, Class::Established, *idle_seconds);
        assert_eq!(rules.offer(&entry, &judged), Choice::SecondChance(1));
    }
    let asked = Asked { deletions: 0, chances: vec![Vec::new(), chances], urgent: false };
    settle(&asked, &mut writer, &mut rules, &mut told, &mut swept, &mut UnderWay::default()).unwrap();
    assert_eq!(told.told, [(1, 8001, 60), (3, 8003, 60)]);
    assert_eq!((rules.requested(), rules.freed(), swept.chances_given), (vec![0, 3], vec![0, 2], 2));
    assert_eq!((swept.chances.revived, swept.chances.set), (1, vec![]));
}

#[test]
fn the_pause_is_short_enough_for_the_next_chunk_to_stay_fresh() {
    let pace = pace(1);
    let before = Instant::now();
    let mut pacing = pacing(&pace);
    pacing.owe(1_000_000, None, Duration::ZERO);
    pause(&pacing, before);
    assert!(before.elapsed() >= Deleter::FRESH / 2);
    assert!(before.elapsed() < Deleter::FRESH * 20, "not for the whole debt of 12 days");
}

#[test]
fn the_rest_before_the_next_chunk_ends_where_the_table_comes_to_be_about_to_be_full() {
    let pace = pace(1);
    let rests = |before: u64, counts: &[u64], halted| {
        let mut pacing = pacing(&pace);
        let began = Instant::now();
        pacing.owe(3600, Some(90_000), Duration::ZERO);
        let mut onlooker =
            Onlooker { counts: counts.iter().copied().collect(), halted, ..Onlooker::default() };
        rest(&mut pacing, began, Some(before), &mut onlooker);
        (counts.len() - onlooker.counts.len(), pacing.owed(began.elapsed()).is_zero())
    };
    assert_eq!(rests(90_000, &[91_000, 94_999, 95_000, 96_000], false), (3, true), "at the third look");
    assert_eq!(rests(90_000, &[96_000], true), (0, false), "a stop is not waited for");
    // Then it is paced by what is due there, and nobody needs to look.
    assert_eq!(rests(95_000, &[96_000], false), (0, false));
}

/// Deletes in its own time: tells of each batch only when it is waited for, and refuses the second.
#[derive(Default)]
struct Slow {
    taken: u64,
    begun: VecDeque<u64>,
    told: u64,
}

impl Writer for Slow {
    fn set(&mut self, _: Value, _: u64, _: u64) -> Result<Option<u64>, Refused> {
        Ok(None)
    }
    fn take(&mut self, _: &Entry, _: Class, _: Instant) {
        self.taken += 1;
    }
    fn begin(&mut self, _: bool) -> io::Result<()> {
        self.begun.push_back(std::mem::take(&mut self.taken));
        Ok(())
    }
    fn told(&mut self, wait: bool) -> Option<io::Result<Deleted>> {
        let sent = if wait { self.begun.pop_front()? } else { return None };
        self.told += 1;
        match self.told {
            2 => Some(Err(io::ErrorKind::PermissionDenied.into())),
            _ => Some(Ok(Deleted { sent, ..Deleted::default() })),
        }
    }
    fn give_grace(&mut self, _: &Entry, _: Instant) {}
    fn settle_chances(&mut self, _: u32) -> io::Result<Shortened> {
        Ok(Shortened::default())
    }
    fn dry(&self) -> bool {
        false
    }
}

#[test]
fn what_is_under_way_counts_against_the_budget_and_none_is_left_untold_after_an_error() {
    let (mut writer, mut swept, mut told) = (Slow::default(), swept(1), Onlooker::default());
    let flush = Flush::of(Class::Closed, 5, 30);
    let mut rules = Rules::new([&flush], &pace(1));
    let mut under_way = UnderWay::default();
    let judged = Judged::eligible(&Entry::default(), Class::Closed, 5);
    for n in [10, 10, 10] {
        assert!(!rules.enough(Some(100_000)));
        for _ in 0..n {
            assert_eq!(rules.offer(&Entry::default(), &judged), Choice::Delete(0));
            writer.take(&Entry::default(), Class::Closed, Instant::now());
        }
        let asked = Asked { deletions: n, chances: vec![Vec::new()], urgent: false };
        settle(&asked, &mut writer, &mut rules, &mut told, &mut swept, &mut under_way).unwrap();
    }
    assert_eq!((rules.freed()[0], rules.deletions_sent()), (0, 30));
    assert!(rules.enough(Some(100_000)), "the budget is spent");
    assert_eq!(rules.offer(&Entry::default(), &judged), Choice::Stay, "the budget is spent");
    let nothing = Rules::new([&flush], &pace(1));
    assert!(nothing.enough(Some(70_000)), "the table is where it is to be");
    assert!(!nothing.enough(Some(70_001)));
    let error = under_way.end(&mut writer, &mut rules, &mut swept).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert_eq!((rules.freed()[0], rules.deletions_sent()), (20, 0));
    assert!(writer.told(true).is_none());
    assert!(!rules.enough(Some(100_000)), "ten are still owed");
}
