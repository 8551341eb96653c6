use std::time::Duration;

use super::*;
use crate::core::model::{
    Class, Due, Entry, Flush, Holder, Judged, Pace, Rank, Share, SourceKey, Status, TCP, Tuple,
};

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

fn entry(source: u8) -> Entry {
    let original = Tuple { source: [10, 0, 0, source].into(), protocol: TCP, ..Tuple::default() };
    let status = Status(Status::SEEN_REPLY | Status::ASSURED | Status::CONFIRMED);
    Entry { original, status, timeout_seconds: Some(400_000), ..Entry::default() }
}

fn idle(class: Class, idle_seconds: u32) -> Judged {
    Judged::eligible(&entry(1), class, idle_seconds)
}

/// A protected entry that is past its floor.
fn protected(class: Class, idle_seconds: u32, liftable: bool) -> Judged {
    let judged = idle(class, idle_seconds);
    let protected = Some("the configuration");
    Judged { protected, eligible: false, liftable, held_by_protection: liftable, ..judged }
}

#[test]
fn an_act_takes_its_class_past_its_cut_off_within_its_budget() {
    let closed = Flush::of(Class::Closed, 5, 2);
    let mut rules = Rules::new([&closed], &Pace::default());
    let mut offer = |judged: Judged| rules.offer(&entry(1), &judged);
    assert_eq!(offer(idle(Class::Closed, 4)), Choice::Stay);
    assert_eq!(offer(idle(Class::Unreplied, 500)), Choice::Stay);
    assert_eq!(offer(Judged { idle_seconds: None, ..idle(Class::Closed, 5) }), Choice::Stay);
    assert_eq!(offer(Judged { eligible: false, ..idle(Class::Closed, 5) }), Choice::Stay);
    assert_eq!(offer(protected(Class::Closed, 500, true)), Choice::Stay);
    assert_eq!(offer(idle(Class::Closed, 5)), Choice::Delete(0));
    assert_eq!(offer(idle(Class::Closed, 6)), Choice::Delete(0));
    assert_eq!(offer(idle(Class::Closed, 7)), Choice::Stay, "the budget is spent");
}

#[test]
fn an_act_that_lifts_protection_takes_what_may_be_lifted_and_nothing_else() {
    let lifted = Flush { lifts_protection: true, ..Flush::of(Class::Closed, 5, 1) };
    let mut rules = Rules::new([&lifted], &Pace::default());
    rules.begin(Allowed { came: 1000, ..Allowed::default() });
    let mut offer = |judged: Judged| rules.offer(&entry(1), &judged);
    assert_eq!(offer(idle(Class::Closed, 500)), Choice::Stay);
    assert_eq!(offer(protected(Class::Closed, 500, false)), Choice::Stay);
    assert_eq!(offer(protected(Class::Closed, 500, true)), Choice::Delete(0));
    assert_eq!(offer(protected(Class::Closed, 500, true)), Choice::Stay, "whatever comes meanwhile");
}

#[test]
fn entries_under_their_own_floor_go_at_level_critical_alone() {
    let late = Judged { eligible: false, only_critical: true, ..idle(Class::Closed, 20) };
    let choice = |over: Option<u32>| {
        let flush = Flush { time_wait_over_seconds: over, ..Flush::of(Class::Closed, 5, 10) };
        Rules::new([&flush], &Pace::default()).offer(&entry(1), &late)
    };
    assert_eq!(
        [choice(None), choice(Some(21)), choice(Some(20))],
        [Choice::Stay, Choice::Stay, Choice::Delete(0)]
    );
}

#[test]
fn a_second_chance_is_given_once_and_never_raises_a_time_left() {
    let flush = Flush { grace_seconds: Some(60), ..Flush::of(Class::Established, 7440, 10) };
    let mut rules = Rules::new([&flush], &Pace::default());
    let left = |seconds| Entry { timeout_seconds: seconds, ..entry(1) };
    let judged = idle(Class::Established, 8000);
    assert_eq!(rules.offer(&left(Some(60)), &judged), Choice::Stay);
    assert_eq!(rules.offer(&left(None), &judged), Choice::Stay);
    assert_eq!(rules.offer(&left(Some(61)), &Judged { in_grace: true, ..judged }), Choice::Stay);
    assert_eq!(rules.offer(&left(Some(61)), &judged), Choice::SecondChance(0));
    rules.begin(Allowed { second_chances: false, ..Allowed::default() });
    assert_eq!(rules.offer(&left(Some(61)), &judged), Choice::Stay, "the pace says no");
}

#[test]
fn a_payer_gives_up_what_it_owes_the_greatest_rank_first() {
    let holder = Holder::of(SourceKey { address: [10, 0, 0, 1].into(), zone: 0 }, (32, 64));
    let due = Due { holder, entries: 3, rank: Rank::of(true, 9000), at_rank: 1 };
    let share = Some(Share::Dues(vec![due]));
    let flush = Flush { share, ..Flush::of(Class::Established, 60, 100) };
    let mut rules = Rules::new([&flush], &Pace::default());
    let mut offer = |source, seconds| {
        let judged = Judged { eligible: false, past_floor: false, ..idle(Class::Established, seconds) };
        rules.offer(&entry(source), &judged)
    };
    assert_eq!(offer(2, 90_000), Choice::Stay, "it owes nothing");
    assert_eq!(offer(1, 59), Choice::Stay, "under the floor");
    assert_eq!(offer(1, 100), Choice::Stay, "of a lower rank");
    assert_eq!([offer(1, 9000), offer(1, 9000)], [Choice::Delete(0), Choice::Stay], "one of this rank");
    assert_eq!([offer(1, 90_000), offer(1, 90_000)], [Choice::Delete(0); 2]);
    assert_eq!(offer(1, 90_000), Choice::Stay, "all is paid");
    let forged = Entry { status: Status(Status::CONFIRMED), ..entry(1) };
    assert_eq!(rules.offer(&forged, &idle(Class::Established, 90_000)), Choice::Stay, "it may be forged");
}

#[test]
fn what_an_act_leaves_goes_by_the_next() {
    let acts = [Flush::of(Class::Closed, 100, 3), Flush::of(Class::Closed, 5, 1000)];
    let mut rules = Rules::new(acts, &Pace::default());
    let judged = idle(Class::Closed, 100);
    assert_eq!(rules.offer_many(&entry(1), &judged, 10), (Choice::Delete(0), 3));
    assert_eq!(rules.offer_many(&entry(1), &judged, 7), (Choice::Delete(1), 7));
    assert_eq!(rules.sent(), [3, 7]);
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn deletions_are_paid_for_before_the_next() {
    let pace = pace(1000);
    let mut pacing = pacing(&pace);
    let now = SECOND;
    assert!(pacing.ready(0, now));
    pacing.owe(0, Some(90_000), now);
    assert!(pacing.ready(0, now), "nothing was taken");
    pacing.owe(60_000, Some(90_000), now);
    assert!(!pacing.ready(0, now));
    let due = pacing.due;
    assert!(due >= now + Duration::from_millis(59_990), "the chunk was begun a moment before");
    pacing.owe(1000, None, now);
    assert_eq!(pacing.due, due + SECOND, "debts add up");
}

#[test]
fn a_table_about_to_be_full_is_not_made_to_wait_for_old_debts() {
    let pace = pace(1);
    let mut pacing = pacing(&pace);
    let now = SECOND;
    pacing.owe(3600, Some(94_999), now);
    assert!(pacing.due > now + 3000 * SECOND);
    pacing.owe(200, Some(95_000), now);
    // 200 at 200,000 a second.
    assert!(pacing.due < now + SECOND);
}

#[test]
fn what_comes_goes_beyond_the_pace() {
    let pace = pace(20_000);
    let mut pacing = pacing(&pace);
    let now = 10 * SECOND;
    for coming in [0u64, 5_000, 50_000, 150_000, 400_000] {
        let came = coming * now.as_secs();
        assert!(pacing.ready(came, now));
        let most = pacing.rate(false, now) as u64;
        assert!(most <= 20_000.max(2 * coming).min(200_000 + coming), "{most} where {coming} come");
        assert!(
            most >= 20_000.max(19 * coming / 10).min(200_000 + 9 * coming / 10),
            "{most} where {coming} come"
        );
        pacing.owe(200_000, Some(95_000), now);
        let owed = pacing.due.saturating_sub(pacing.begun).as_secs_f64();
        assert!((200e3 / (200_001 + coming) as f64..=1.0).contains(&owed), "{owed} s where {coming} come");
        pacing.let_go(now);
    }
}

#[test]
fn a_pace_of_nothing_is_one_a_second_and_no_division_by_zero() {
    let pace = pace(0);
    let mut pacing = pacing(&pace);
    pacing.owe(2, None, SECOND);
    assert!(!pacing.ready(0, SECOND));
}
