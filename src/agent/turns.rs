//! Bounds the records of a state that turns to and fro: told a few times, then counted. A level that flaps four times
//! a second would fill the journal, which is bounded, and push out what the agent did.

use std::collections::BTreeMap;

use crate::core::model::Draft;

/// Turns that are told one by one in each period.
const TOLD: u32 = 6;
/// Period after which as many turns are told one by one again.
const PERIOD_SECONDS: f64 = 600.0;
/// Quiet time after which turns that were left out are told together; it doubles after each time that this was done
/// in one period, so that a slow flapping has a bound too.
const QUIET_SECONDS: f64 = 10.0;

/// One thing that turns: the level, or the share of the table that configuration protects.
#[derive(Debug)]
pub(super) struct Turns {
    /// The state that turns, as the subject of a sentence.
    subject: &'static str,
    begun_seconds: f64,
    told: u32,
    /// Records of several turns in this period.
    summed_up: u32,
    left_out: Option<LeftOut>,
}

/// Turns that were not told.
#[derive(Debug)]
struct LeftOut {
    since_seconds: f64,
    last_seconds: f64,
    /// Turns to each state.
    to: BTreeMap<&'static str, u64>,
    /// The state that it turned to last.
    in_the_end: &'static str,
    last: Draft,
    /// Of usage, percent.
    least: f64,
    most: f64,
}

impl Turns {
    /// Nothing has turned yet.
    pub(super) fn of(subject: &'static str) -> Self {
        Turns { subject, begun_seconds: f64::NEG_INFINITY, told: 0, summed_up: 0, left_out: None }
    }

    /// Takes the record of a turn `to` something; gives back what is to be told now.
    pub(super) fn take(&mut self, to: &'static str, draft: Draft, now_seconds: f64) -> Vec<Draft> {
        let mut told = Vec::new();
        if now_seconds - self.begun_seconds >= PERIOD_SECONDS {
            told.extend(self.end());
            (self.begun_seconds, self.told, self.summed_up) = (now_seconds, 0, 0);
        }
        // One that is told has none before it that is not.
        if self.told < TOLD && self.left_out.is_none() {
            self.told += 1;
            told.push(draft);
            return told;
        }
        let usage = draft.usage_before_percent;
        let left_out = self.left_out.get_or_insert_with(|| LeftOut {
            since_seconds: now_seconds,
            last_seconds: now_seconds,
            to: BTreeMap::new(),
            in_the_end: to,
            last: draft.clone(),
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        });
        *left_out.to.entry(to).or_default() += 1;
        (left_out.last_seconds, left_out.in_the_end, left_out.last) = (now_seconds, to, draft);
        left_out.least = usage.map_or(left_out.least, |usage| left_out.least.min(usage));
        left_out.most = usage.map_or(left_out.most, |usage| left_out.most.max(usage));
        told
    }

    /// The record of those that were left out, if it is due.
    pub(super) fn over(&mut self, now_seconds: f64) -> Option<Draft> {
        let left_out = self.left_out.as_ref()?;
        let quiet = QUIET_SECONDS * f64::from(1u32 << self.summed_up.min(6));
        let due = now_seconds - left_out.last_seconds >= quiet
            || now_seconds - self.begun_seconds >= PERIOD_SECONDS;
        if due { self.end() } else { None }
    }

    /// The record of those that were left out: the agent ends.
    pub(super) fn end(&mut self) -> Option<Draft> {
        let left_out = self.left_out.take()?;
        self.summed_up += 1;
        let n: u64 = left_out.to.values().sum();
        let each: Vec<String> = left_out.to.iter().map(|(to, n)| format!("{n} to {to}")).collect();
        let usage = match left_out.least <= left_out.most {
            true => format!("; usage was {:.1} % to {:.1} % at them", left_out.least, left_out.most),
            false => String::new(),
        };
        let reason = format!(
            "{} turned {n} more times within {:.0} s ({}), in the end to {}{usage}: those turns are told in this one \
             record",
            self.subject,
            left_out.last_seconds - left_out.since_seconds,
            each.join(", "),
            left_out.in_the_end
        );
        Some(Draft { reason, level_before: None, ..left_out.last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Level, RecordEvent};

    fn turn(level: Level, usage: f64) -> Draft {
        Draft {
            level: Some(level),
            usage_before_percent: Some(usage),
            ..Draft::new(0, RecordEvent::Level, "usage")
        }
    }

    /// Turns between high and critical, so many apart; what was told, with its time.
    fn flap(turns: &mut Turns, n: u32, apart_seconds: f64) -> Vec<(f64, Draft)> {
        let mut told = Vec::new();
        for i in 0..n {
            let now = 1000.0 + f64::from(i) * apart_seconds;
            // It is asked each second.
            for second in 0..=apart_seconds as u32 {
                let asked = now - apart_seconds + f64::from(second);
                told.extend(turns.over(asked).map(|draft| (asked, draft)));
            }
            let level = [Level::Critical, Level::High][i as usize % 2];
            let draft = turn(level, 80.0 + f64::from(i % 20));
            told.extend(turns.take(level.name(), draft, now).into_iter().map(|draft| (now, draft)));
        }
        told
    }

    #[test]
    fn a_level_that_flaps_is_told_as_one_record_with_a_count() {
        let mut turns = Turns::of("the level");
        let told = flap(&mut turns, 46, 0.45);
        assert_eq!(told.len(), 6, "{told:?}");
        assert!(told.iter().all(|(_, draft)| draft.reason == "usage"));
        assert!(turns.over(1000.0 + 45.0 * 0.45 + 9.9).is_none());
        let rest = turns.over(1000.0 + 45.0 * 0.45 + 10.0).unwrap();
        assert_eq!(
            rest.reason,
            "the level turned 40 more times within 18 s (20 to critical, 20 to high), in the end to high; usage was 80.0 \
             % to 99.0 % at them: those turns are told in this one record"
        );
        assert_eq!((rest.event, rest.level), (RecordEvent::Level, Some(Level::High)));
        assert!(turns.over(1e9).is_none() && turns.end().is_none());
    }

    #[test]
    fn whatever_its_rate_a_day_of_flapping_has_its_bound() {
        for apart in [0.25, 1.0, 11.0, 21.0, 61.0, 170.0] {
            let mut turns = Turns::of("the level");
            let told = flap(&mut turns, (86_400.0 / apart) as u32, apart);
            assert!(told.len() <= 144 * 13, "{apart} s apart: {} records", told.len());
            let named = |draft: &Draft| {
                let words: Vec<&str> = draft.reason.split(' ').collect();
                if draft.reason == "usage" { 1 } else { words[3].parse::<u32>().unwrap() }
            };
            let last = turns.end();
            let sum: u32 = told.iter().map(|(_, draft)| draft).chain(&last).map(named).sum();
            assert_eq!(sum, (86_400.0 / apart) as u32, "{apart} s apart: each turn is counted once");
        }
    }

    #[test]
    fn what_turns_seldom_is_told_each_time() {
        let mut turns = Turns::of("the level");
        let told = flap(&mut turns, 50, 120.0);
        assert_eq!(told.len(), 50);
        assert!(told.iter().all(|(_, draft)| draft.reason == "usage"));
    }
}
