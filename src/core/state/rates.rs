//! Rates from totals, smoothed over two seconds or so.

/// New entries and net growth a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    last: Option<(f64, u64, u64)>,
    growth_now: f64,
    new_now: f64,
    new: Option<f64>,
    growth: Option<f64>,
}

impl Rates {
    const SECONDS: f64 = 2.0;
    /// Samples closer than this say more of the scheduler than of the table.
    const SHORTEST_SECONDS: f64 = 0.05;

    /// Takes the totals of one moment: entries in the table, entries that were ever new.
    pub fn sample(&mut self, now_seconds: f64, entries: u64, new: u64) {
        let Some((then, entries_then, new_then)) = self.last else {
            self.last = Some((now_seconds, entries, new));
            return;
        };
        let passed = now_seconds - then;
        if passed < Self::SHORTEST_SECONDS {
            return;
        }
        self.last = Some((now_seconds, entries, new));
        let weight = 1.0 - (-passed / Self::SECONDS).exp();
        let mix = |before: Option<f64>, rate: f64| Some(before.map_or(rate, |b| b + weight * (rate - b)));
        self.new_now = new.saturating_sub(new_then) as f64 / passed;
        self.new = mix(self.new, self.new_now);
        self.growth_now = (entries as f64 - entries_then as f64) / passed;
        // Somebody flushed the table: that is a step, and says nothing of how it grows from there.
        let stepped = entries < entries_then / 2;
        self.growth = if stepped { None } else { mix(self.growth, self.growth_now) };
    }

    /// New entries a second.
    pub fn new_per_second(&self) -> Option<f64> {
        self.new
    }

    /// New entries a second at the last sample: what the pace has to answer to.
    pub fn new_now_per_second(&self) -> f64 {
        self.new_now
    }

    /// New less ended entries a second. Growth that has ended is none, however fast it was a second ago.
    pub fn net_growth_per_second(&self) -> Option<f64> {
        self.growth.map(|growth| if growth > 0.0 { growth.min(self.growth_now.max(0.0)) } else { growth })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_its_rate_and_the_first_sample_none() {
        let mut rates = Rates::default();
        rates.sample(0.0, 100, 0);
        assert_eq!(rates.new_per_second(), None);
        for tick in 1..40u64 {
            rates.sample(tick as f64 * 0.25, 100 + tick * 10, tick * 25);
        }
        assert!((rates.new_per_second().unwrap() - 100.0).abs() < 1e-6);
        assert!((rates.net_growth_per_second().unwrap() - 40.0).abs() < 1e-6);
    }

    #[test]
    fn growth_after_the_table_was_flushed_whole_is_known_with_the_next_sample() {
        let mut rates = Rates::default();
        for (tick, entries) in [(0u32, 50_000), (1, 50_000), (2, 0), (3, 250), (4, 500)] {
            rates.sample(f64::from(tick) * 0.25, entries, 0);
            if tick == 2 {
                assert_eq!(rates.net_growth_per_second(), None);
            }
        }
        assert_eq!(rates.net_growth_per_second(), Some(1000.0));
    }
}
