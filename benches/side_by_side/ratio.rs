//! Many measurements become one line: the median of ratios of neighbours in time, with the least and the most.

use std::fmt;

/// What is promised of a number.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    AtMost(f64),
    AtLeast(f64),
    Nothing,
}

impl Wanted {
    fn told(self, value: f64, unit: &str) -> String {
        let (sign, bound, met) = match self {
            Wanted::AtMost(bound) => ("<=", bound, value <= bound),
            Wanted::AtLeast(bound) => (">=", bound, value >= bound),
            Wanted::Nothing => return String::new(),
        };
        format!(", wanted {sign} {bound}{unit}: {}", if met { "met" } else { "MISSED" })
    }
}

/// The median of some numbers, the least and the most of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (n, last) = (sorted.len(), *sorted.last().expect("at least one run"));
        Spread { median: (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0, least: sorted[0], most: last }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median >= 99.5 { 0 } else { 3 - self.median.abs().max(1.0).log10() as usize };
        write!(f, "{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.least, self.most)
    }
}

/// Prints what `ours` is of `theirs`, pair by pair in the order of the runs.
pub fn of(what: &str, ours: &[f64], theirs: &[f64], wanted: Wanted) {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    let ratio = Spread::of(&ratios);
    println!("  {what}: {ratio} x{}", wanted.told(ratio.median, " x"));
}

/// Prints how long something took, or how much it had: it stands beside, for reckoning.
pub fn beside(what: &str, values: &[f64], unit: &str, wanted: Wanted) {
    let spread = Spread::of(values);
    println!("    {what}: {spread} {unit}{}", wanted.told(spread.median, &format!(" {unit}")));
}
