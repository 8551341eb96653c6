//! Max-min fairness: the level to which whoever is above it is cut, so that nobody below it pays.

/// A holding, and the number of users for which it stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Claim {
    /// Entries that it holds.
    pub entries: u64,
    /// Multiple of what others keep that it may keep; above 0.
    pub weight: f64,
}

impl Claim {
    /// Entries for each user for which it stands.
    pub(super) fn height(&self) -> f64 {
        self.entries as f64 / self.weight
    }
}

/// Entries that each gives up so that `wanted` are given up together: all that is above one level, taken times the
/// weight. Never more than `wanted`; the odd ones that rounding leaves are asked of the holdings that would keep most
/// beyond the level.
pub(super) fn dues(claims: &[Claim], wanted: u64) -> Vec<u64> {
    let level = level(claims, wanted);
    let mut left = wanted;
    let mut dues: Vec<u64> = claims
        .iter()
        .map(|claim| {
            let kept = (level * claim.weight).ceil().min(u64::MAX as f64) as u64;
            let due = claim.entries.saturating_sub(kept).min(left);
            left -= due;
            due
        })
        .collect();
    for i in highest_above(level, claims, &dues).into_iter().take(left as usize) {
        dues[i] += 1;
    }
    dues
}

/// Holdings that keep more than the level even after `dues`, the highest first, else the first.
fn highest_above(level: f64, claims: &[Claim], dues: &[u64]) -> Vec<usize> {
    let kept = |i: usize| Claim { entries: claims[i].entries - dues[i], ..claims[i] }.height();
    let mut above: Vec<usize> = (0..claims.len()).filter(|&i| kept(i) > level).collect();
    above.sort_by(|&a, &b| kept(b).total_cmp(&kept(a)));
    above
}

/// The level: what all claims above it hold beyond it, times their weights, is `wanted`.
pub(super) fn level(claims: &[Claim], wanted: u64) -> f64 {
    let height = |claim: &Claim| claim.height();
    let mut by_height: Vec<&Claim> = claims.iter().collect();
    by_height.sort_by(|a, b| height(b).total_cmp(&height(a)));
    let (mut held, mut weights) = (0.0, 0.0);
    for (i, claim) in by_height.iter().enumerate() {
        held += claim.entries as f64;
        weights += claim.weight;
        let level = (held - wanted as f64) / weights;
        if by_height.get(i + 1).is_none_or(|next| level >= height(next)) {
            return level.max(0.0);
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claims(entries: &[u64]) -> Vec<Claim> {
        entries.iter().map(|&entries| Claim { entries, weight: 1.0 }).collect()
    }

    #[test]
    fn the_largest_are_cut_to_one_level() {
        assert_eq!(dues(&claims(&[100, 60, 10]), 40), [40, 0, 0]);
        assert_eq!(dues(&claims(&[100, 60, 10]), 60), [50, 10, 0]);
        assert_eq!(dues(&claims(&[10, 10, 10]), 4), [2, 1, 1]);
        assert_eq!(dues(&claims(&[5, 3]), 100), [5, 3]);
        assert_eq!(dues(&[], 7), Vec::<u64>::new());
    }

    #[test]
    fn who_stands_for_many_keeps_as_much_as_they() {
        let office = Claim { entries: 2000, weight: 400.0 };
        let others = Claim { entries: 12, weight: 1.0 };
        let claims: Vec<Claim> = [office].into_iter().chain([others; 100]).collect();
        let dues = dues(&claims, 500);
        assert_eq!(dues[0], 0);
        assert!(dues[1..].iter().all(|due| *due == 5));
    }

    #[test]
    fn the_odd_ones_are_whose_share_is_left_highest() {
        let claims: Vec<Claim> =
            [(11, 2.0), (3, 0.3), (11, 2.0)].map(|(entries, weight)| Claim { entries, weight }).into();
        // The level is 23 / 4.3 = 5.35: 0.3, 1.4 and 0.3 above it. The small one would keep 6.67 for each, the others
        // 5.5.
        assert_eq!(dues(&claims, 2), [0, 2, 0]);
    }

    proptest! {
        #[test]
        fn as_much_as_wanted_and_nobody_below_the_level_pays(
            held in prop::collection::vec((0..5000u64, 0.1..50.0f64), 0..60),
            wanted in 0..100_000u64,
        ) {
            let claims: Vec<Claim> = held.iter().map(|&(entries, weight)| Claim { entries, weight }).collect();
            let dues = dues(&claims, wanted);
            let all: u64 = claims.iter().map(|claim| claim.entries).sum();
            prop_assert_eq!(dues.iter().sum::<u64>(), wanted.min(all));
            // Whoever pays keeps as much as anybody who does not, but for one entry of either: none can be cut.
            let kept = |i: usize, more: f64| ((claims[i].entries - dues[i]) as f64 + more) / claims[i].weight;
            let least_payer = (0..claims.len()).filter(|i| dues[*i] > 0)
                .map(|i| kept(i, 1.0)).fold(f64::INFINITY, f64::min);
            let most_spared = (0..claims.len()).filter(|i| dues[*i] == 0)
                .map(|i| kept(i, -1.0)).fold(0.0, f64::max);
            prop_assert!(most_spared <= least_payer + 1e-6, "{} spared, {} paying", most_spared, least_payer);
        }
    }
}
