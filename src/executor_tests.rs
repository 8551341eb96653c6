use super::*;

fn pace(per_second: u64) -> Pace {
    Pace { per_second, urgent_at_entries: 95_000, urgent_per_second: 200_000, enough_at_entries: 70_000 }
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
    hand.take(&Entry::default(), Instant::now());
    hand.take(&Entry::default(), Instant::now());
    assert_eq!(hand.settle().unwrap(), Deleted { sent: 2, ..Deleted::default() });
    assert_eq!(hand.settle().unwrap(), Deleted::default());
}

#[test]
fn deletions_are_paid_for_before_the_next() {
    let pace = pace(1000);
    let mut throttle = Throttle::new(&pace);
    assert!(throttle.ready());
    throttle.after(0, Some(90_000));
    assert!(throttle.ready(), "nothing was taken");
    let before = Instant::now();
    throttle.after(60_000, Some(90_000));
    assert!(!throttle.ready());
    let due = throttle.due;
    assert!(due >= before + Duration::from_secs(60));
    throttle.after(1000, None);
    assert_eq!(throttle.due, due + Duration::from_secs(1), "debts add up");
}

#[test]
fn the_pause_is_short_enough_for_the_next_chunk_to_stay_fresh() {
    let pace = pace(1);
    let before = Instant::now();
    Throttle::new(&pace).after(1_000_000, None);
    assert!(before.elapsed() >= Deleter::FRESH / 2);
    assert!(before.elapsed() < Deleter::FRESH * 20, "not for the whole debt of 12 days");
}

#[test]
fn a_table_about_to_be_full_is_not_made_to_wait_for_old_debts() {
    let pace = pace(1);
    let mut throttle = Throttle::new(&pace);
    throttle.after(3600, Some(94_999));
    assert!(throttle.due > Instant::now() + Duration::from_secs(3000));
    throttle.after(200, Some(95_000));
    // 200 at 200,000 a second.
    assert!(throttle.due < Instant::now() + Duration::from_secs(1));
}

#[test]
fn a_pace_of_nothing_is_one_a_second_and_no_division_by_zero() {
    let pace = pace(0);
    let mut throttle = Throttle::new(&pace);
    throttle.after(2, None);
    assert!(!throttle.ready());
}
