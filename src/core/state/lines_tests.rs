use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::core::model::{Entry, EntryId, L4};
use crate::core::state::Identify;

/// A key, and something beside it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Beside(u64, u32);

impl Slot for Beside {
    fn key(&self) -> u64 {
        self.0
    }
}

/// Few, so that they meet; at both ends of the table and in between.
fn keys() -> impl Strategy<Value = u64> {
    let any = any::<u64>().prop_map(key);
    prop_oneof![2 => 1u64..40, 2 => (0u64..40).prop_map(|n| BITS - n), 1 => any]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn it_is_a_map_from_keys(steps in prop::collection::vec((0u8..6, keys(), 0u32..9), 0..400)) {
        let (mut ours, mut theirs) = (Lines::<Beside, 3>::default(), HashMap::new());
        for (step, key, n) in steps {
            match step {
                0 | 1 => {
                    let known = theirs.insert(key, n).is_some();
                    match ours.get_mut(key) {
                        Some(slot) => { prop_assert!(known); slot.1 = n }
                        None => { prop_assert!(!known); ours.add(Beside(key, n)) }
                    }
                }
                2 | 3 => prop_assert_eq!(ours.remove(key).map(|slot| slot.1), theirs.remove(&key)),
                4 if n == 0 => {
                    ours.retain(|slot| slot.1 % 2 == 0);
                    theirs.retain(|_, n| *n % 2 == 0);
                }
                _ => prop_assert_eq!(ours.get(key).map(|slot| slot.1), theirs.get(&key).copied()),
            }
            prop_assert_eq!(ours.len(), theirs.len());
        }
        ours.iter_mut().for_each(|slot| slot.1 += 1);
        let mut all: Vec<(u64, u32)> = ours.iter().map(|slot| (slot.0, slot.1)).collect();
        all.sort_unstable();
        let mut expected: Vec<(u64, u32)> = theirs.into_iter().map(|(key, n)| (key, n + 1)).collect();
        expected.sort_unstable();
        prop_assert_eq!(all, expected);
    }
}

/// As fingerprints are: spread evenly.
fn spread(n: u64) -> u64 {
    key(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9))
}

#[test]
fn however_many_come_and_go_it_takes_as_much_as_those_that_are_there() {
    const LIVE: u64 = 100_000;
    let mut set = Lines::<Beside, 8>::with_room(LIVE as usize);
    let slots = set.slots_len();
    for n in 0..LIVE {
        set.add(Beside(spread(n), 0));
    }
    for n in 0..20 * LIVE {
        assert!(set.remove(spread(n)).is_some());
        set.add(Beside(spread(n + LIVE), 0));
    }
    assert_eq!((set.len(), set.slots_len()), (LIVE as usize, slots));
    (20 * LIVE..21 * LIVE - 100).for_each(|n| assert!(set.remove(spread(n)).is_some()));
    assert!(set.slots_len() <= 1 << 16, "{} slots for {}", set.slots_len(), set.len());
    assert!(set.passed.iter().all(|passed| *passed <= 100), "who has gone is not counted");
    assert!((21 * LIVE - 100..21 * LIVE).all(|n| set.get(spread(n)).is_some()));
}

/// The upper bits choose: those of entries that differ in a port alone have to be spread as evenly as chance would.
#[test]
fn entries_that_are_alike_lie_apart() {
    let identify = Identify::default();
    let mut set = Lines::<Beside, 8>::with_room(60_000);
    for n in 0..60_000u32 {
        let mut id = EntryId::from(&Entry::default());
        id.original.source = std::net::Ipv4Addr::from(0x0a00_0000 + n / 100).into();
        id.original.l4 = L4::Ports { source: 1024 + (n % 100) as u16, destination: 443 };
        id.id = n;
        set.add(Beside(key(identify.id(&id)), 0));
    }
    let passed = set.passed.iter().map(|passed| f64::from(*passed)).sum::<f64>() / set.len() as f64;
    // Of Poisson(5.33) eight at most stay in a line: 3.2 % go on, some of them further, and make others go on.
    assert!((0.03..0.06).contains(&passed), "{passed} lines passed in the mean");
}

#[test]
fn nothing_is_in_an_empty_one() {
    let mut set = Lines::<Beside, 8>::default();
    assert!(set.get(1).is_none() && set.remove(1).is_none() && set.iter().next().is_none());
    set.retain(|_| false);
    set.add(Beside(1, 7));
    assert_eq!((set.len(), set.remove(1), set.len()), (1, Some(Beside(1, 7)), 0));
}
