//! The histogram is the policy's eye: what it counts too high is flushed in vain, too low is missed.

use proptest::prelude::*;

use super::generators::config;
use crate::core::model::{Class, Histogram};

fn of(values: &[u32]) -> Histogram {
    let mut histogram = Histogram::default();
    values.iter().for_each(|value| histogram.add(*value));
    histogram
}

#[test]
fn the_empty_one_has_nothing() {
    let empty = Histogram::default();
    assert_eq!((empty.total(), empty.at_least(0), empty.cut_for(1, 60)), (0, 0, 60));
}

#[test]
fn values_on_an_edge_are_counted_from_there() {
    let histogram = of(&[0, 3, 4, 5, 7440, 8192, u32::MAX]);
    assert_eq!(histogram.at_least(0), 7);
    assert_eq!(histogram.at_least(4), 5);
    assert_eq!(histogram.at_least(5), 4);
    // 7440 lies in a bin that begins at 7168: it is not known to be past the floor.
    assert_eq!(histogram.at_least(7440), 2);
    assert_eq!(histogram.at_least(8192), 2);
    assert_eq!(histogram.at_least(8193), 1);
}

#[test]
fn a_cut_is_the_largest_edge_that_has_enough() {
    let histogram = of(&[100, 10_240, 10_240, 20_480, 20_480, 20_480]);
    assert_eq!(histogram.cut_for(3, 60), 20_480);
    assert_eq!(histogram.cut_for(4, 60), 10_240);
    assert_eq!(histogram.cut_for(5, 60), 10_240);
    assert_eq!(histogram.cut_for(6, 60), 96);
    assert_eq!(histogram.cut_for(6, 97), 97, "no edge over the floor has six");
    assert_eq!(histogram.cut_for(7, 60), 60);
}

#[test]
fn the_largest_go_first() {
    let mut histogram = of(&[10, 10, 10_240, 20_480]);
    histogram.remove_largest(2);
    assert_eq!((histogram.total(), histogram.at_least(11)), (2, 0));
    histogram.remove_largest(u64::MAX);
    assert_eq!(histogram.total(), 0);
}

#[test]
fn a_scan_forgets_what_went() {
    let mut scan = super::fixtures::seen(&[(Class::Closed, &[(60, 100)]), (Class::Udp, &[(300, 50)])]);
    assert!(!scan.acted_since);
    scan.freed(Class::Closed, 70);
    assert!(scan.acted_since, "its figures are of before the act");
    let closed = &scan.classes[0];
    assert_eq!((scan.entries, closed.entries, closed.would_free, closed.idle.total()), (80, 30, 30, 30));
    scan.freed(Class::Closed, u64::MAX);
    scan.freed(Class::FairShare, 1);
    assert_eq!((scan.classes[0].would_free, scan.classes[3].would_free, scan.entries), (0, 50, 0));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn never_more_than_there_are(values in prop::collection::vec(any::<u32>(), 0..60), at in any::<u32>()) {
        let histogram = of(&values);
        let real = values.iter().filter(|value| **value >= at).count() as u64;
        prop_assert!(histogram.at_least(at) <= real);
        prop_assert_eq!(histogram.total(), values.len() as u64);
        // A bin is a quarter of its octave wide: what is a quarter older is counted for certain.
        let older = values.iter().filter(|value| u64::from(**value) > u64::from(at) + u64::from(at) / 4).count();
        prop_assert!(histogram.at_least(at) >= older as u64);
    }

    #[test]
    fn a_cut_covers_what_is_wanted_or_is_the_floor(
        values in prop::collection::vec(0u32..1_000_000, 0..60),
        wanted in 1u64..60,
        floor in 0u32..100_000,
    ) {
        let histogram = of(&values);
        let cut = histogram.cut_for(wanted, floor);
        prop_assert!(cut >= floor);
        prop_assert!(cut == floor || histogram.at_least(cut) >= wanted);
        prop_assert!(cut == floor || histogram.at_least(cut + 1) < wanted, "a larger one would do");
        prop_assert_eq!(histogram.at_least(floor) >= wanted, histogram.at_least(cut) >= wanted);
    }
}
