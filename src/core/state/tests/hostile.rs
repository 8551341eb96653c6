//! Flows, sysctls, other writers and scans at hostile moments: of whatever is called idle for so many seconds, no
//! packet came for so many seconds.

use proptest::prelude::*;

use super::world::{After, FLOWS, Op, VALUES, World};
use crate::core::model::IdleProof;

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..FLOWS;
    let ms = || prop_oneof![3 => 0..4000u64, 2 => 0..100_000u64, 1 => 0..20_000_000u64];
    let unheard = prop_oneof![1..20u32, 121..4000u32];
    let after = prop_oneof![Just(After::Quiet), Just(After::Unanswered)];
    let modes = prop::sample::select(vec![
        IdleProof::Auto,
        IdleProof::Auto,
        IdleProof::Observed,
        IdleProof::Arithmetic,
    ]);
    prop_oneof![
        6 => ms().prop_map(Op::Wait),
        4 => (n(), after).prop_map(|(n, after)| Op::Packet(n, after)),
        3 => (n(), 0..60u8).prop_map(|(n, which)| Op::Coincidence(n, which)),
        2 => (any::<bool>(), 0..VALUES.len()).prop_map(|(stream, value)| Op::Sysctl(stream, value)),
        1 => (n(), ms()).prop_map(|(n, left)| Op::Foreign(n, left + 1000)),
        1 => (n(), ms(), any::<bool>()).prop_map(|(n, left, stays)| Op::Conntrackd(n, left + 1000, stays)),
        2 => (n(), unheard).prop_map(|(n, left)| Op::Unheard(n, left)),
        1 => Just(Op::Zeroed),
        1 => (n(), any::<bool>()).prop_map(|(n, day)| Op::Offload(n, day)),
        1 => n().prop_map(Op::Return),
        1 => n().prop_map(Op::Fixed),
        1 => Just(Op::Restart),
        8 => (modes, prop::bool::weighted(0.8)).prop_map(|(mode, whole)| Op::Scan(mode, whole)),
    ]
}

/// A silence that is proven, so that the property does not hold for want of claims.
fn claims(mode: IdleProof, ops: &[Op]) -> Option<u32> {
    let mut world = World::new([false, true, ops.iter().any(|op| matches!(op, Op::Offload(..)))], FLOWS);
    ops.iter().for_each(|op| world.act(op).expect("no false claim"));
    world.claims(mode)
}

#[test]
fn silence_is_proven_all_the_same() {
    let hour = 3_600_000;
    let scan = |mode| Op::Scan(mode, true);
    assert_eq!(claims(IdleProof::Auto, &[Op::Wait(hour)]), Some(3599));
    // Of five days an hour and a bit is left, then an hour: that may be another writer's.
    let nearly = |more| [Op::Wait(428_000_000u64 + more)];
    assert_eq!(claims(IdleProof::Auto, &nearly(0)), Some(427_999));
    assert_eq!(claims(IdleProof::Auto, &nearly(1_000_000)), None);
    let seen = [scan(IdleProof::Observed), Op::Wait(hour)];
    assert_eq!(claims(IdleProof::Observed, &seen), Some(3596));
    let under = [Op::Conntrackd(0, 100 * hour, true), scan(IdleProof::Auto), Op::Wait(hour)];
    assert_eq!(claims(IdleProof::Auto, &under), Some(3596), "beside conntrackd");
    let after = [Op::Conntrackd(0, 100 * hour, false), Op::Wait(hour)];
    assert_eq!(claims(IdleProof::Auto, &after), Some(3599), "since it was last seen");
    let back = [
        Op::Offload(0, true),
        Op::Wait(5 * hour),
        Op::Packet(0, After::Quiet),
        Op::Return(0),
        Op::Wait(1000),
    ];
    assert_eq!(claims(IdleProof::Auto, &back), None, "just out of a flowtable");
    let observed = [&back[..], &[scan(IdleProof::Auto), Op::Wait(hour)]].concat();
    assert_eq!(claims(IdleProof::Auto, &observed), Some(3596), "an hour after");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_called_idle_has_had_no_packet_for_so_long(
        ways in any::<[bool; 3]>(),
        room in 1..=FLOWS,
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new(ways, room);
        for op in &ops {
            world.act(op)?;
        }
    }
}
