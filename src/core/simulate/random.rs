//! The module's own chance: the same seed gives the same run on every machine.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

/// Above this many expected, a normal distribution is as good as the exact one.
const MANY: f64 = 64.0;

impl Random {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 to less than 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `value` rounded up or down by chance, so that the mean stays what it is.
    pub fn round(&mut self, value: f64) -> u64 {
        let whole = value.max(0.0).floor();
        whole as u64 + u64::from(self.share() < value - whole)
    }

    /// Standard normal (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// Puts a slice into an order of chance (Fisher and Yates).
    pub fn shuffle<T>(&mut self, slice: &mut [T]) {
        for last in (1..slice.len()).rev() {
            let other = (self.share() * (last + 1) as f64) as usize;
            slice.swap(last, other.min(last));
        }
    }

    /// Draws from Poisson's distribution with this mean.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean > MANY {
            let drawn = mean + mean.sqrt() * self.normal();
            return self.round(drawn.max(0.0));
        }
        // Knuth: as many as uniform draws keep their product over e^-mean.
        let (floor, mut product, mut n) = ((-mean).exp(), self.share(), 0);
        while product > floor {
            product *= self.share();
            n += 1;
        }
        n
    }

    /// Draws from the binomial distribution of `n` trials with chance `share`.
    pub fn binomial(&mut self, n: u64, share: f64) -> u64 {
        if n == 0 || share <= 0.0 {
            return 0;
        }
        if share >= 1.0 {
            return n;
        }
        if share > 0.5 {
            return n - self.binomial(n, 1.0 - share);
        }
        let mean = n as f64 * share;
        if n <= 16 {
            return (0..n).map(|_| u64::from(self.share() < share)).sum();
        }
        if mean <= MANY {
            // The gaps between two of them are geometric.
            let (log, mut at, mut found) = ((1.0 - share).ln(), 0.0, 0);
            loop {
                at += ((1.0 - self.share()).ln() / log).floor() + 1.0;
                if at > n as f64 {
                    return found;
                }
                found += 1;
            }
        }
        let drawn = mean + (mean * (1.0 - share)).sqrt() * self.normal();
        self.round(drawn.max(0.0)).min(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_variance(mut draw: impl FnMut() -> u64) -> (f64, f64) {
        let drawn: Vec<f64> = (0..20_000).map(|_| draw() as f64).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        (mean, variance)
    }

    #[test]
    fn draws_have_the_mean_and_the_variance_of_their_distribution() {
        let mut random = Random::new(1);
        for mean in [0.01, 0.7, 30.0, 1000.0] {
            let (m, v) = mean_and_variance(|| random.poisson(mean));
            assert!((m / mean - 1.0).abs() < 0.1 && (v / mean - 1.0).abs() < 0.15, "{mean}: {m} {v}");
        }
        for (n, share) in [(5u64, 0.3), (1000, 0.01), (1000, 0.9), (1_000_000, 0.2)] {
            let (mean, variance) = (n as f64 * share, n as f64 * share * (1.0 - share));
            let (m, v) = mean_and_variance(|| random.binomial(n, share));
            assert!(
                (m / mean - 1.0).abs() < 0.05 && (v / variance - 1.0).abs() < 0.1,
                "{n} {share}: {m} {v}"
            );
        }
    }

    #[test]
    fn a_seed_is_a_sequence() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| random.poisson(3.0)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
