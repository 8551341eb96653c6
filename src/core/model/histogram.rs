//! Histograms of seconds, for idleness: exact to a quarter of an octave, of a fixed size.

use serde::{Deserialize, Serialize};

/// Logarithmic histogram of seconds, four bins to an octave.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Histogram {
    bins: Vec<u64>,
}

impl Histogram {
    /// The bin of a number of seconds, at most 123.
    pub(super) fn bin(seconds: u32) -> usize {
        if seconds < 4 {
            return seconds as usize;
        }
        let octave = 31 - seconds.leading_zeros();
        ((octave - 1) * 4 + ((seconds >> (octave - 2)) & 3)) as usize
    }

    /// The least number of seconds that falls into a bin.
    fn edge(bin: usize) -> u32 {
        if bin < 4 {
            return bin as u32;
        }
        let (octave, quarter) = (bin / 4 + 1, bin % 4);
        // 2^32 s and more is no idleness: such a bin can only come from a file.
        if octave > 31 { u32::MAX } else { ((4 + quarter) << (octave - 2)) as u32 }
    }

    /// Counts one value.
    pub fn add(&mut self, seconds: u32) {
        self.add_many(seconds, 1);
    }

    /// Counts one value `n` times.
    pub fn add_many(&mut self, seconds: u32, n: u64) {
        let bin = Self::bin(seconds);
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] = self.bins[bin].saturating_add(n);
    }

    /// Number of values in bins that begin at or over `seconds`: never more than there are.
    pub fn at_least(&self, seconds: u32) -> u64 {
        self.bins
            .iter()
            .enumerate()
            .filter(|(bin, _)| Self::edge(*bin) >= seconds)
            .fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// Seconds that the largest value under `floor` lacks to it at least; `None` where there is none.
    pub fn least_missing_to(&self, floor: u32) -> Option<u32> {
        let under = |bin: &usize| self.bins[*bin] > 0 && Self::edge(*bin) < floor;
        let bin = (0..self.bins.len()).rev().find(under)?;
        Some(floor.saturating_sub(Self::edge(bin + 1).saturating_sub(1)))
    }

    /// Takes `n` values away, the largest first.
    pub fn remove_largest(&mut self, mut n: u64) {
        for bin in self.bins.iter_mut().rev() {
            let taken = n.min(*bin);
            *bin -= taken;
            n -= taken;
        }
    }

    /// Counts all values of another.
    pub fn add_all(&mut self, other: &Histogram) {
        if self.bins.len() < other.bins.len() {
            self.bins.resize(other.bins.len(), 0);
        }
        self.bins.iter_mut().zip(&other.bins).for_each(|(bin, n)| *bin = bin.saturating_add(*n));
    }

    /// Number of values.
    pub fn total(&self) -> u64 {
        self.bins.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// The largest bin edge, not under `floor`, at or over which at least `wanted` values lie; `floor` itself where
    /// no edge has that many.
    pub fn cut_for(&self, wanted: u64, floor: u32) -> u32 {
        let mut sum = 0u64;
        for (bin, n) in self.bins.iter().enumerate().rev() {
            let edge = Self::edge(bin);
            if edge < floor {
                break;
            }
            sum = sum.saturating_add(*n);
            if sum >= wanted {
                return edge;
            }
        }
        floor
    }
}
