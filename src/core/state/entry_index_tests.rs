use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Of few sources, in two zones, of every kind of tuple.
fn id(n: u8) -> EntryId {
    let address = |last: u8| match n % 3 {
        0 => IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, last.into()]),
        _ => IpAddr::from([10, 0, 0, last]),
    };
    let (protocol, l4) = match n % 5 {
        0 => (47, L4::None),
        1 => (1, L4::Icmp { kind: 8, code: n, id: 300 + u16::from(n) }),
        _ => (6, L4::Ports { source: 1000 + u16::from(n), destination: 443 }),
    };
    let original = Tuple { source: address(n % 4), destination: address(100 + n), protocol, l4 };
    EntryId { original, zone: (n % 2).into(), id: 1 << 31 | u32::from(n) }
}

/// Each of its own source.
fn scattered(n: u32) -> EntryId {
    let source = Ipv4Addr::from(n).into();
    EntryId { original: Tuple { source, ..Tuple::default() }, zone: 0, id: 1 }
}

fn sorted(mut ids: Vec<EntryId>) -> Vec<EntryId> {
    ids.sort_unstable_by_key(|id| id.id);
    ids
}

#[test]
fn nodes_are_as_small_as_they_are_said_to_be() {
    assert_eq!((size_of::<Node<Ipv4Addr>>(), size_of::<Node<Ipv6Addr>>()), (28, 52));
}

#[test]
fn a_source_with_more_than_are_wanted_says_so() {
    let identify = Identify::default();
    let mut roll = EntryIndex::new(identify.clone());
    (0..150).map(id).for_each(|id| roll.insert(identify.id(&id), &id));
    let source = id(1).original.source;
    let all = roll.of(source, None, 150).expect("all");
    assert_eq!(roll.of(source, None, all.len()).map(|all| all.len()), Some(all.len()));
    assert_eq!(roll.of(source, Some(0), all.len() - 1), None, "however few are of the zone");
    assert_eq!(roll.of([192, 0, 2, 1].into(), None, 0), Some(Vec::new()), "who has none");
}

#[test]
fn memory_goes_when_entries_go() {
    let identify = Identify::default();
    let mut roll = EntryIndex::new(identify.clone());
    let room = |roll: &EntryIndex| {
        let Page { nodes, by_identity, chains } = &roll.v4;
        nodes.capacity().max(by_identity.capacity()).max(chains.capacity())
    };
    (0..300_000).map(scattered).for_each(|id| roll.insert(identify.id(&id), &id));
    let full = room(&roll);
    (0..300_000).map(scattered).for_each(|id| roll.remove(identify.id(&id), id.original.source));
    assert!(roll.is_empty() && room(&roll) < full / 4, "{} of {full}", room(&roll));
}

#[test]
fn memory_does_not_grow_while_others_come_and_go() {
    let identify = Identify::default();
    let mut roll = EntryIndex::new(identify.clone());
    // 70 % of what 2^15 buckets can hold: hashbrown doubles where more than half of that is there.
    const THERE: u32 = 20_000;
    let room = |roll: &EntryIndex| (roll.v4.by_identity.num_buckets(), roll.v4.chains.num_buckets());
    (0..THERE).map(scattered).for_each(|id| roll.insert(identify.id(&id), &id));
    let before = room(&roll);
    for n in THERE..20 * THERE {
        let old = scattered(n - THERE);
        roll.remove(identify.id(&old), old.original.source);
        roll.insert(identify.id(&scattered(n)), &scattered(n));
    }
    assert_eq!((roll.len(), room(&roll)), (THERE as usize, before));
}

proptest! {
    #[test]
    fn whoever_came_and_did_not_go_is_found_by_its_source(steps in prop::collection::vec((0u8..60, any::<bool>()), 0..300)) {
        let identify = Identify::default();
        let mut roll = EntryIndex::new(identify.clone());
        let mut there: BTreeMap<u8, EntryId> = BTreeMap::new();
        for (n, comes) in steps {
            let id = id(n);
            if comes {
                roll.insert(identify.id(&id), &id);
                there.insert(n, id);
            } else {
                roll.remove(identify.id(&id), id.original.source);
                there.remove(&n);
            }
            prop_assert_eq!(roll.len(), there.len());
            prop_assert_eq!(roll.get(identify.id(&id), id.original.source), comes.then_some(id));
        }
        for source in (0..60).map(|n| id(n).original.source) {
            for zone in [None, Some(0), Some(1)] {
                let wanted = |id: &&EntryId| {
                    id.original.source == source && zone.is_none_or(|zone| id.zone == zone)
                };
                let expected: Vec<EntryId> = there.values().filter(wanted).copied().collect();
                prop_assert_eq!(roll.of(source, zone, 60).map(sorted), Some(sorted(expected)));
            }
        }
    }
}
