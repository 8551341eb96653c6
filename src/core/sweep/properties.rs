//! Whatever the table, its order, the acts and the pace are.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::core::model::{Class, Entry, Flush, Judged, Pace, Status, TCP, Tuple};

/// An entry of a made-up table, with its judgement.
#[derive(Clone, Copy, Debug)]
struct Met {
    entry: Entry,
    judged: Judged,
}

fn met() -> impl Strategy<Value = Met> {
    let class = prop_oneof![Just(Class::Closed), Just(Class::Unreplied), Just(Class::Established)];
    let idle = proptest::option::weighted(0.8, 0u32..20_000);
    (class, idle, 0u8..6, any::<bool>(), any::<bool>(), 0u32..1000).prop_map(
        |(class, idle_seconds, fate, liftable, in_grace, left)| {
            let original = Tuple { source: [10, 0, 0, 1].into(), protocol: TCP, ..Tuple::default() };
            let status = Status(Status::SEEN_REPLY | Status::CONFIRMED);
            let entry = Entry { original, status, timeout_seconds: Some(left), ..Entry::default() };
            let idle = idle_seconds.unwrap_or(0);
            let known = idle_seconds.is_some();
            let floor = 5000;
            let protected = (fate == 0).then_some("the configuration");
            let past = known && idle >= floor;
            let judged = Judged {
                idle_seconds,
                order_seconds: idle_seconds,
                protected,
                eligible: protected.is_none() && past,
                only_critical: protected.is_none() && known && !past && fate == 1,
                liftable: protected.is_some() && liftable,
                held_by_protection: protected.is_some() && liftable && past,
                in_grace,
                past_floor: past,
                ..Judged::eligible(&entry, class, idle)
            };
            Met { entry, judged }
        },
    )
}

fn flush() -> impl Strategy<Value = Flush> {
    let class = prop_oneof![Just(Class::Closed), Just(Class::Unreplied), Just(Class::Established)];
    (class, 0u32..20_000, 0u64..60, 0u8..5, proptest::option::of(0u32..10_000)).prop_map(
        |(class, over, budget, kind, time_wait_over_seconds)| Flush {
            grace_seconds: (kind == 0).then_some(60),
            lifts_protection: kind == 1,
            time_wait_over_seconds,
            ..Flush::of(class, over, budget)
        },
    )
}

/// One entry that went: its place in the order that it was offered in, the act that took it, and its idleness.
type Gone = (usize, usize, Option<u32>);

/// Drives the rules over a table in batches, as the executor does; what was sent ends `lag` batches later.
fn drive(
    table: &[Met],
    acts: &[Flush],
    pace: &Pace,
    allowed: Allowed,
    (batch, lag): (usize, usize),
) -> (Vec<Gone>, Vec<Vec<Gone>>, Rules<Flush>) {
    let mut rules = Rules::new(acts.iter().cloned(), pace);
    let (mut gone, mut batches) = (Vec::new(), Vec::new());
    let mut under_way: VecDeque<Vec<u64>> = VecDeque::new();
    for (number, chunk) in table.chunks(batch).enumerate() {
        rules.begin(allowed);
        let (mut victims, mut of_batch) = (Vec::new(), Vec::new());
        let mut chances = vec![0; acts.len()];
        for (i, met) in chunk.iter().enumerate() {
            let (place, idle) = (number * batch + i, met.judged.idle_seconds);
            match rules.offer(&met.entry, &met.judged) {
                Choice::Delete(act) => {
                    let idle_seconds = met.judged.idle_unprotected().unwrap_or(0);
                    victims.push(Victim { act, idle_seconds, count: 1, item: (place, act, idle) });
                }
                Choice::SecondChance(act) => {
                    chances[act] += 1;
                    gone.push((place, act, idle));
                }
                Choice::Stay => {}
            }
        }
        rules.cut(chunk.len() as u64, &mut victims);
        of_batch.extend(victims.iter().map(|victim| victim.item));
        gone.extend(&of_batch);
        batches.push(of_batch);
        under_way.push_back(rules.sent());
        while under_way.len() > lag {
            let sent = under_way.pop_front().unwrap_or_default();
            let all = sent.iter().sum();
            rules.ended(&sent, all);
        }
        chances.iter().enumerate().for_each(|(act, n)| rules.gave(act, *n, *n));
    }
    (gone, batches, rules)
}

proptest! {
    #[test]
    fn nothing_protected_and_nothing_unproven_goes_in_whatever_order_entries_come(
        (table, again) in proptest::collection::vec(met(), 0..200).prop_flat_map(|table| {
            (Just(table.clone()), Just(table).prop_shuffle())
        }),
        acts in proptest::collection::vec(flush(), 0..4),
        batch in 1usize..50, lag in 0usize..4, portion in proptest::option::of(0.0f64..1.0), came in 0u64..30,
    ) {
        let allowed = Allowed { portion, came, ..Allowed::default() };
        for table in [table, again] {
            let (gone, _, _) = drive(&table, &acts, &Pace::default(), allowed, (batch, lag));
            for (place, act, _) in gone {
                let (met, flush) = (table[place], &acts[act]);
                let idle = met.judged.idle_seconds;
                prop_assert!(idle.is_some_and(|idle| idle >= flush.idle_over_seconds), "{met:?} by {flush:?}");
                prop_assert_eq!(met.judged.class, Some(flush.class));
                prop_assert_eq!(met.judged.protected.is_some(), flush.lifts_protection);
                prop_assert!(met.judged.protected.is_none() || met.judged.liftable);
                prop_assert!(met.judged.past_floor || met.judged.only_critical);
            }
        }
    }

    #[test]
    fn no_act_takes_more_than_its_budget_and_what_came(
        table in proptest::collection::vec(met(), 0..300),
        acts in proptest::collection::vec(flush(), 1..4),
        batch in 1usize..50, lag in 0usize..4, portion in proptest::option::of(0.0f64..1.0), came in 0u64..30,
    ) {
        let allowed = Allowed { portion, came, ..Allowed::default() };
        let (gone, _, rules) = drive(&table, &acts, &Pace::default(), allowed, (batch, lag));
        let of = |act: usize| gone.iter().filter(|(_, by, _)| *by == act).count() as u64;
        for (act, flush) in acts.iter().enumerate() {
            let lifted = if flush.lifts_protection { 0 } else { came };
            prop_assert!(of(act) <= flush.budget + lifted, "{} by {flush:?}", of(act));
        }
        let most: u64 = match portion {
            // One budget for all acts, but for those that lift protection.
            Some(_) => {
                let (lifting, others): (Vec<&Flush>, Vec<&Flush>) =
                    acts.iter().partition(|flush| flush.lifts_protection);
                let own: u64 = lifting.iter().map(|flush| flush.budget).sum();
                others.iter().map(|flush| flush.budget).max().unwrap_or(0) + own + came
            }
            None => acts.iter().map(|flush| flush.budget).sum::<u64>() + came,
        };
        prop_assert!(gone.len() as u64 <= most);
        prop_assert_eq!(rules.freed().iter().sum::<u64>() + rules.deletions_sent(), gone.len() as u64);
    }

    #[test]
    fn of_a_batch_at_most_the_portion_goes_and_the_longest_idle_of_an_act_first(
        table in proptest::collection::vec(met(), 1..200),
        budget in 0u64..300, portion in 0.0f64..1.0, batch in 1usize..60,
    ) {
        let acts = [Flush::of(Class::Closed, 5000, budget), Flush::of(Class::Established, 6000, budget)];
        let allowed = Allowed { portion: Some(portion), ..Allowed::default() };
        let (_, batches, rules) = drive(&table, &acts, &Pace::default(), allowed, (batch, 0));
        prop_assert!(rules.freed().iter().sum::<u64>() <= budget);
        for (number, gone) in batches.iter().enumerate() {
            let chunk = &table[number * batch..table.len().min((number + 1) * batch)];
            prop_assert!(gone.len() as f64 <= (chunk.len() as f64 * portion).ceil());
            for (act, flush) in acts.iter().enumerate() {
                let takes = |met: &&Met| {
                    met.judged.eligible
                        && met.judged.class == Some(flush.class)
                        && met.judged.idle_seconds >= Some(flush.idle_over_seconds)
                };
                let mut all: Vec<Option<u32>> = chunk.iter().filter(takes).map(|met| met.judged.idle_seconds).collect();
                let mut went: Vec<Option<u32>> =
                    gone.iter().filter(|(_, by, _)| *by == act).map(|(_, _, idle)| *idle).collect();
                all.sort_unstable_by(|a, b| b.cmp(a));
                went.sort_unstable_by(|a, b| b.cmp(a));
                prop_assert_eq!(&all[..went.len()], &went[..], "the longest idle");
            }
        }
    }

    #[test]
    fn a_dry_run_takes_the_entries_that_a_real_run_takes_however_late_deletions_end(
        table in proptest::collection::vec(met(), 0..300),
        acts in proptest::collection::vec(flush(), 0..4),
        batch in 1usize..50, lag in 1usize..6, portion in proptest::option::of(0.0f64..1.0),
    ) {
        let allowed = Allowed { portion, ..Allowed::default() };
        let (dry, ..) = drive(&table, &acts, &Pace::default(), allowed, (batch, 0));
        let (real, ..) = drive(&table, &acts, &Pace::default(), allowed, (batch, lag));
        prop_assert_eq!(dry, real);
    }

    #[test]
    fn many_alike_are_taken_as_one_after_the_other(
        met in met(), count in 0u64..100, acts in proptest::collection::vec(flush(), 0..4), came in 0u64..30,
    ) {
        let allowed = Allowed { came, ..Allowed::default() };
        let (mut one, mut many) = (Rules::new(acts.clone(), &Pace::default()), Rules::new(acts, &Pace::default()));
        one.begin(allowed);
        many.begin(allowed);
        let mut singles = Vec::new();
        (0..count).for_each(|_| singles.push(one.offer(&met.entry, &met.judged)));
        let mut together = Vec::new();
        while (together.len() as u64) < count {
            let left = count - together.len() as u64;
            let (choice, taken) = many.offer_many(&met.entry, &met.judged, left);
            together.extend((0..taken).map(|_| choice));
        }
        prop_assert_eq!(singles, together);
    }
}
