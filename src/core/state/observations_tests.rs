use super::*;

fn at(now: u32, expiry: u32) -> Sight {
    Sight { left: expiry - now, packets: None, fixed: false, one_way: false, now }
}

/// One scan of these, each by its fingerprint.
fn scan(observations: &mut Observations, sights: &[(u64, Sight)]) -> Vec<Option<Seen>> {
    observations.begin();
    let seen = sights.iter().map(|(fingerprint, sight)| observations.see(*fingerprint, *sight)).collect();
    observations.end(true, 0);
    seen
}

fn one(observations: &mut Observations, sight: Sight) -> Option<u32> {
    scan(observations, &[(1, sight)])[0].map(|seen| seen.silent_seconds)
}

#[test]
fn a_record_takes_twenty_bytes() {
    assert_eq!(size_of::<Observed>(), 20);
}

#[test]
fn counters_that_move_prove_life_whatever_the_expiry_and_others_bear_it_out() {
    let counted = |now, expiry, packets| Sight { packets: Some(packets), ..at(now, expiry) };
    let mut o = Observations::default();
    assert_eq!(one(&mut o, counted(1000, 9000, 5)), None);
    assert_eq!(one(&mut o, counted(1100, 9000, 5)), Some(95));
    assert_eq!(one(&mut o, counted(1210, 9000, 6)), Some(0), "the same expiry, and yet a packet");
    assert_eq!(one(&mut o, counted(1250, 9000, 6)), Some(35));
    assert_eq!(one(&mut o, counted(1260, 9500, 6)), Some(0), "zeroed in between, and counted up again");
    assert_eq!(one(&mut o, counted(1300, 9500, 3)), Some(0), "zeroed in between");
}

#[test]
fn a_fixed_timeout_is_told_by_its_counters_alone() {
    let fixed = |now, expiry, packets| Sight { fixed: true, packets, ..at(now, expiry) };
    let mut o = Observations::default();
    assert_eq!(one(&mut o, fixed(1000, 9000, None)), None);
    assert_eq!(one(&mut o, fixed(1100, 9000, None)), None);
    assert!(o.is_empty());
    one(&mut o, fixed(1000, 9000, Some(1)));
    assert_eq!(one(&mut o, fixed(1100, 9000, Some(1))), Some(95));
    assert_eq!(one(&mut o, fixed(1200, 9000, Some(2))), Some(0));
}

#[test]
fn what_a_whole_scan_does_not_see_is_forgotten_and_what_a_partial_one_does_not_is_kept() {
    let mut o = Observations::default();
    scan(&mut o, &[(1, at(10, 500)), (2, at(10, 500))]);
    o.begin();
    o.see(1, at(20, 500));
    o.end(false, 0);
    assert_eq!(o.len(), 2);
    scan(&mut o, &[(1, at(30, 500))]);
    assert_eq!(o.len(), 1);
    assert_eq!(scan(&mut o, &[(2, at(40, 500))]), [None], "seen for the first time again");
}

#[test]
fn a_table_larger_than_the_bound_is_silent_only_where_it_was_seen_to_be() {
    let mut o = Observations::bounded(100);
    let live: Vec<u64> = (0..300).collect();
    let dead: Vec<u64> = (1000..1150).collect();
    let (mut proven, mut scans) = (std::collections::HashSet::new(), 0);
    while proven.len() < dead.len() && scans < 100 {
        scans += 1;
        let now = 1000 + scans * 60;
        // The living come first in the table, and each has had a packet; what was proven dead goes.
        let mut sights: Vec<(u64, Sight)> = live.iter().map(|f| (*f, at(now, now + 400))).collect();
        sights.extend(dead.iter().filter(|f| !proven.contains(*f)).map(|f| (*f, at(now, 100_000))));
        for ((fingerprint, _), seen) in sights.iter().zip(scan(&mut o, &sights)) {
            assert!(o.len() <= 100);
            if seen.is_some_and(|seen| seen.silent_seconds >= 50) {
                assert!(*fingerprint >= 1000, "a live one was called silent");
                proven.insert(*fingerprint);
            }
        }
    }
    assert!(scans <= 20, "every dead one had its turn, after {scans} scans");
    assert_eq!(proven.len(), dead.len());
}

#[test]
fn a_one_way_flow_that_was_renewed_keeps_its_place_where_there_is_no_room() {
    let mut o = Observations::bounded(2);
    let one_way = |now, expiry| Sight { one_way: true, ..at(now, expiry) };
    scan(&mut o, &[(1, one_way(10, 100)), (2, at(10, 100)), (3, at(10, 100))]);
    scan(&mut o, &[(1, one_way(50, 150)), (2, at(50, 100)), (3, at(50, 100))]);
    let seen = scan(&mut o, &[(1, one_way(90, 150)), (2, at(90, 100)), (3, at(90, 100))]);
    assert_eq!(seen[0], Some(Seen { silent_seconds: 35, renewed: true }));
    assert_eq!(seen[1], Some(Seen { silent_seconds: 75, renewed: false }));
    assert_eq!(seen[2], None);
}

#[test]
fn memory_goes_back_with_the_table() {
    let mut o = Observations::default();
    let many: Vec<(u64, Sight)> =
        (0..100_000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), at(10, 500))).collect();
    scan(&mut o, &many);
    let full = o.records.slots_len();
    scan(&mut o, &many[..1000]);
    assert!(o.records.slots_len() < full / 16, "{} of {full}", o.records.slots_len());
}
