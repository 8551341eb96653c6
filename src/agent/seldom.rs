//! A warning that is given once, and then ever more rarely, for as long as its reason lasts.

use std::time::{Duration, Instant};

/// Time at which the next one is due.
#[derive(Debug, Default)]
pub struct Seldom {
    due: Option<Instant>,
    pause: Duration,
    left_out: u64,
}

impl Seldom {
    const FIRST: Duration = Duration::from_secs(60);
    const LONGEST: Duration = Duration::from_secs(3600);

    /// The reason shows once more: how many times it was not told since the last warning, if one is due now.
    pub fn again(&mut self, now: Instant) -> Option<u64> {
        if self.due.is_some_and(|due| now < due) {
            self.left_out += 1;
            return None;
        }
        self.pause = (2 * self.pause).clamp(Self::FIRST, Self::LONGEST);
        self.due = Some(now + self.pause);
        Some(std::mem::take(&mut self.left_out))
    }

    /// The reason is over: the next one is told at once.
    pub fn over(&mut self) {
        *self = Seldom::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_rarer_and_anew_after_it_was_over() {
        let (mut seldom, begun) = (Seldom::default(), Instant::now());
        let mut told = Vec::new();
        for second in 0..4 * 3600 {
            if let Some(left_out) = seldom.again(begun + Duration::from_secs(second)) {
                told.push((second, left_out));
            }
        }
        let seconds: Vec<u64> = told.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [0, 60, 180, 420, 900, 1860, 3780, 7380, 10_980]);
        assert_eq!(told[1].1, 59);
        seldom.over();
        assert_eq!(seldom.again(begun + Duration::from_secs(4 * 3600)), Some(0));
    }
}
