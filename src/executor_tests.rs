use super::chunk::{Asked, Ready, UnderWay, credit, settle};
use super::sweep::enough;
use super::throttle::Throttle;
use super::*;
use std::collections::VecDeque;
use std::time::Duration;

use crate::kernel::deleter::Deleter;
use crate::model::{Flush, Pace};

fn pace(per_second: u64) -> Pace {
    Pace {
        per_second,
        urgent_at_entries: 95_000,
        urgent_per_second: 200_000,
        enough_at_entries: 70_000,
        ..Pace::default()
    }
}

fn throttle(pace: &Pace) -> Throttle<'_> {
    Throttle::new(pace, pace.per_second, pace.urgent_at_entries)
}

fn swept(flushes: usize) -> Swept {
    Swept { freed: vec![0; flushes], requested: vec![0; flushes], ..Swept::default() }
}

#[test]
fn every_deletion_is_credited_to_the_flush_that_asked() {
    let mut swept = swept(3);
    credit(&mut swept, &[10, 0, 5], &Deleted { sent: 15, ..Deleted::default() });
    credit(&mut swept, &[0, 7, 0], &Deleted { sent: 7, ..Deleted::default() });
    assert_eq!((swept.requested, swept.freed), (vec![10, 7, 5], vec![10, 7, 5]));
    assert_eq!(swept.deleted.gone(), 22);
}

#[test]
fn what_did_not_go_is_asked_and_not_freed() {
    let mut swept = swept(3);
    let done =
        Deleted { sent: 30, already_gone: 8, failed: 4, errno: Some(libc::EPERM), stale: 0, revived: 0 };
    credit(&mut swept, &[10, 10, 10], &done);
    assert_eq!((swept.requested, swept.freed), (vec![10, 10, 10], vec![10, 8, 0]));
    assert_eq!((swept.deleted.already_gone, swept.deleted.errno), (8, Some(libc::EPERM)));
}

#[test]
fn what_was_too_old_to_be_sent_frees_nothing() {
    let mut swept = swept(2);
    credit(&mut swept, &[3, 4], &Deleted { stale: 7, ..Deleted::default() });
    assert_eq!((swept.requested, swept.freed, swept.deleted.stale), (vec![3, 4], vec![0, 0], 7));
}

#[test]
fn freed_never_exceeds_what_was_asked() {
    let mut swept = swept(2);
    credit(&mut swept, &[1, 2], &Deleted { sent: 50, ..Deleted::default() });
    credit(&mut swept, &[1, 2], &Deleted { sent: 3, already_gone: 50, ..Deleted::default() });
    assert_eq!((swept.requested, swept.freed), (vec![2, 4], vec![1, 2]));
}

#[test]
fn the_dry_hand_counts_and_changes_nothing() {
    let mut hand = DryHand::default();
    assert!(hand.dry());
    assert_eq!(hand.set("max", 1, 2), Ok(None));
    hand.take(&Entry::default(), Class::Closed, Instant::now());
    hand.take(&Entry::default(), Class::Closed, Instant::now());
    hand.begin(false).unwrap();
    assert_eq!(hand.told(false).unwrap().unwrap(), Deleted { sent: 2, ..Deleted::default() });
    assert!(hand.told(true).is_none());
}

/// Takes second chances as the hand on the kernel does, and answers as told.
struct Chancy {
    given: Vec<Entry>,
    answer: fn(&[Entry]) -> Shortened,
}

impl Hand for Chancy {
    fn set(&mut self, _: &str, _: u64, _: u64) -> Result<Option<u64>, Refused> {
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
    fn eligible(&mut self, _: &Entry) -> Option<(Class, u32)> {
        None
    }
    fn idle_unprotected(&self) -> Option<u32> {
        None
    }
    fn stays(&mut self) {}
    fn given_grace(&mut self, entry: &Entry, idle_seconds: u32, grace_seconds: u32) {
        self.told.push((entry.id, idle_seconds, grace_seconds));
    }
    fn refresh(&mut self) {}
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
    let mut hand = Chancy { given: Vec::new(), answer };
    let chances: Vec<(Entry, u32)> = (0..4).map(|id| (Entry { id, ..Entry::default() }, 8000 + id)).collect();
    chances.iter().for_each(|(entry, _)| hand.give_grace(entry, Instant::now()));
    let flush = Flush { grace_seconds: Some(60), ..Flush::of(Class::Established, 7440, 10) };
    let closed = Flush::of(Class::Closed, 5, 10);
    let (mut swept, mut told) = (swept(2), Onlooker::default());
    let asked = Asked { taken: vec![0, 0], chances: vec![Vec::new(), chances], hurry: false };
    settle(&asked, &mut hand, &[&closed, &flush], &mut told, &mut swept, &mut UnderWay::new(2)).unwrap();
    assert_eq!(told.told, [(1, 8001, 60), (3, 8003, 60)]);
    assert_eq!((swept.requested, swept.freed, swept.chances_given), (vec![0, 3], vec![0, 2], 2));
    assert_eq!((swept.chances.revived, swept.chances.set), (1, vec![]));
}

#[test]
fn deletions_are_paid_for_before_the_next() {
    let pace = pace(1000);
    let mut throttle = throttle(&pace);
    assert!(throttle.ready(0));
    throttle.owe(0, Some(90_000));
    assert!(throttle.ready(0), "nothing was taken");
    let before = Instant::now();
    throttle.owe(60_000, Some(90_000));
    assert!(!throttle.ready(0));
    let due = throttle.due;
    assert!(due >= before + Duration::from_millis(59_990), "the chunk was begun a moment before");
    throttle.owe(1000, None);
    assert_eq!(throttle.due, due + Duration::from_secs(1), "debts add up");
}

#[test]
fn the_pause_is_short_enough_for_the_next_chunk_to_stay_fresh() {
    let pace = pace(1);
    let before = Instant::now();
    let mut throttle = throttle(&pace);
    throttle.owe(1_000_000, None);
    throttle.pause();
    assert!(before.elapsed() >= Deleter::FRESH / 2);
    assert!(before.elapsed() < Deleter::FRESH * 20, "not for the whole debt of 12 days");
}

#[test]
fn the_rest_before_the_next_chunk_ends_where_the_table_comes_to_be_about_to_be_full() {
    let pace = pace(1);
    let rests = |before: u64, counts: &[u64], halted| {
        let mut throttle = throttle(&pace);
        throttle.owe(3600, Some(90_000));
        let mut onlooker =
            Onlooker { counts: counts.iter().copied().collect(), halted, ..Onlooker::default() };
        throttle.rest(Some(before), &mut onlooker);
        (counts.len() - onlooker.counts.len(), throttle.due <= Instant::now())
    };
    assert_eq!(rests(90_000, &[91_000, 94_999, 95_000, 96_000], false), (3, true), "at the third look");
    assert_eq!(rests(90_000, &[96_000], true), (0, false), "a stop is not waited for");
    // Then it is paced by what is due there, and nobody needs to look.
    assert_eq!(rests(95_000, &[96_000], false), (0, false));
}

#[test]
fn a_table_about_to_be_full_is_not_made_to_wait_for_old_debts() {
    let pace = pace(1);
    let mut throttle = throttle(&pace);
    throttle.owe(3600, Some(94_999));
    assert!(throttle.due > Instant::now() + Duration::from_secs(3000));
    throttle.owe(200, Some(95_000));
    // 200 at 200,000 a second.
    assert!(throttle.due < Instant::now() + Duration::from_secs(1));
}

#[test]
fn what_comes_goes_beyond_the_pace() {
    let pace = pace(20_000);
    let mut throttle = throttle(&pace);
    // So long ago that what goes by between two lines is nothing.
    throttle.started = Instant::now() - Duration::from_secs(10);
    for coming in [0u64, 5_000, 50_000, 150_000, 400_000] {
        let came = (coming as f64 * throttle.started.elapsed().as_secs_f64()) as u64;
        assert!(throttle.ready(came));
        let most = throttle.rate(false) as u64;
        assert!(most <= 20_000.max(2 * coming).min(200_000 + coming), "{most} where {coming} come");
        assert!(
            most >= 20_000.max(19 * coming / 10).min(200_000 + 9 * coming / 10),
            "{most} where {coming} come"
        );
        throttle.owe(200_000, Some(95_000));
        let owed = throttle.due.saturating_duration_since(throttle.begun).as_secs_f64();
        assert!((200e3 / (200_001 + coming) as f64..=1.0).contains(&owed), "{owed} s where {coming} come");
        throttle.due = Instant::now();
    }
}

#[test]
fn a_pace_of_nothing_is_one_a_second_and_no_division_by_zero() {
    let pace = pace(0);
    let mut throttle = throttle(&pace);
    throttle.owe(2, None);
    assert!(!throttle.ready(0));
}

/// Deletes in its own time: tells of each batch only when it is waited for, and refuses the second.
#[derive(Default)]
struct Slow {
    taken: u64,
    begun: VecDeque<u64>,
    told: u64,
}

impl Hand for Slow {
    fn set(&mut self, _: &str, _: u64, _: u64) -> Result<Option<u64>, Refused> {
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
    let (mut hand, mut swept, mut told) = (Slow::default(), swept(1), Onlooker::default());
    let flush = Flush::of(Class::Closed, 5, 30);
    let mut under_way = UnderWay::new(1);
    let ready = Ready { deletions: true, chances: true, portion: None, came: 0, hurry: false };
    let enough = |swept: &Swept, under_way: &UnderWay, count| {
        enough(&[&flush], swept, under_way, ready, Some(count), &pace(1))
    };
    for n in [10, 10, 10] {
        assert!(!enough(&swept, &under_way, 100_000));
        (0..n).for_each(|_| hand.take(&Entry::default(), Class::Closed, Instant::now()));
        let asked = Asked { taken: vec![n], chances: vec![Vec::new()], hurry: false };
        settle(&asked, &mut hand, &[&flush], &mut told, &mut swept, &mut under_way).unwrap();
    }
    assert_eq!((swept.freed[0], under_way.of(0)), (0, 30));
    assert!(enough(&swept, &under_way, 100_000), "the budget is spent");
    assert!(enough(&swept, &UnderWay::new(1), 70_000), "the table is where it is to be");
    assert!(!enough(&swept, &UnderWay::new(1), 70_001));
    let error = under_way.end(&mut hand, &mut swept).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert_eq!((swept.freed[0], under_way.deletions()), (20, 0));
    assert!(hand.told(true).is_none());
    assert!(!enough(&swept, &under_way, 100_000), "ten are still owed");
}
