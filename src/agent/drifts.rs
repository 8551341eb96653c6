//! Bounds the records of values that another program changes again and again: told a few times, then counted. A loop
//! that fights over a value every two seconds would fill the journal, which is bounded, and push out what the agent
//! did.

use std::collections::BTreeMap;

use crate::core::model::Draft;

/// Changes of one value that are told one by one.
const TOLD: u32 = 3;
/// Period at whose end the changes beyond are told together; after as long without one each is told again.
const PERIOD_SECONDS: f64 = 600.0;

/// One value's changes since a period began.
#[derive(Debug)]
struct Fight {
    since_seconds: f64,
    told: u32,
    left_out: u64,
    /// From the first of those that were left out to the last.
    whole: Option<Draft>,
}

/// By name of the value.
#[derive(Debug, Default)]
pub(super) struct Drifts(BTreeMap<String, Fight>);

impl Drifts {
    /// Takes a change; gives it back if it is to be told by itself.
    pub(super) fn take(&mut self, draft: Draft, now_seconds: f64) -> Option<Draft> {
        let Some(name) = draft.name.clone() else { return Some(draft) };
        let none = Fight { since_seconds: now_seconds, told: 0, left_out: 0, whole: None };
        let fight = self.0.entry(name).or_insert(none);
        if fight.told < TOLD {
            fight.told += 1;
            return Some(draft);
        }
        fight.left_out += 1;
        let from = fight.whole.take().map_or(draft.from, |whole| whole.from);
        fight.whole = Some(Draft { from, ..draft });
        None
    }

    /// Those that were left out in periods that are over by now, a record for each value.
    pub(super) fn over(&mut self, now_seconds: f64) -> Vec<Draft> {
        let mut told = Vec::new();
        self.0.retain(|name, fight| {
            let passed = now_seconds - fight.since_seconds;
            if passed < PERIOD_SECONDS {
                return true;
            }
            let lasts = fight.left_out > 0;
            told.extend(summary(name, fight, passed));
            fight.since_seconds = now_seconds;
            lasts
        });
        told
    }

    /// All that were left out: the agent ends.
    pub(super) fn end(&mut self, now_seconds: f64) -> Vec<Draft> {
        let each = |(name, fight): (&String, &mut Fight)| {
            let passed = now_seconds - fight.since_seconds;
            summary(name, fight, passed)
        };
        self.0.iter_mut().filter_map(each).collect()
    }
}

fn summary(name: &str, fight: &mut Fight, passed_seconds: f64) -> Option<Draft> {
    let whole = fight.whole.take()?;
    let n = std::mem::take(&mut fight.left_out);
    let to = whole.to.map_or(String::new(), |to| format!(", to {to} in the end"));
    let reason = format!(
        "someone else changed {name} {n} more times in the last {passed_seconds:.0} s{to}: those changes are told in this \
         one record"
    );
    Some(Draft { reason, ..whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::RecordEvent;

    fn change(name: &str, from: u64, to: u64) -> Draft {
        Draft {
            name: Some(name.into()),
            from: Some(from),
            to: Some(to),
            ..Draft::new(0, RecordEvent::Drift, "someone else")
        }
    }

    #[test]
    fn a_fight_of_two_seconds_is_told_thrice_and_then_once_in_ten_minutes() {
        let mut drifts = Drifts::default();
        let mut told = Vec::new();
        for n in 0..1800_u64 {
            let now = n as f64 * 2.0;
            told.extend(drifts.over(now));
            told.extend(drifts.take(change("udp_timeout", 30 + n, 31 + n), now));
        }
        assert_eq!(told.len(), 3 + 5, "an hour of 1800 changes");
        assert!(told[..3].iter().all(|draft| draft.reason == "someone else"));
        assert_eq!(
            told[3].reason,
            "someone else changed udp_timeout 297 more times in the last 600 s, to 330 in the end: those changes \
             are told in this one record"
        );
        assert_eq!((told[3].from, told[3].to, told[3].event), (Some(33), Some(330), RecordEvent::Drift));
        let rest = drifts.end(3600.0);
        assert_eq!(rest.len(), 1);
        assert!(rest[0].reason.contains(" 300 more times in the last 600 s"), "{}", rest[0].reason);
        assert!(drifts.end(3600.0).is_empty());
    }

    #[test]
    fn what_comes_seldom_or_of_other_values_is_told_each_time() {
        let mut drifts = Drifts::default();
        for n in 0..50_u64 {
            let now = n as f64 * 250.0;
            assert!(drifts.over(now).is_empty());
            assert!(drifts.take(change("udp_timeout", n, n + 1), now).is_some(), "{n}");
            assert!(drifts.take(change(&format!("value_{n}"), 1, 2), now).is_some());
            assert!(drifts.take(Draft::new(0, RecordEvent::Drift, "a file"), now).is_some());
        }
    }

    #[test]
    fn after_ten_quiet_minutes_each_is_told_again() {
        let mut drifts = Drifts::default();
        for n in 0..10 {
            drifts.take(change("max", n, n + 1), n as f64);
        }
        assert_eq!(drifts.over(600.0).len(), 1);
        assert!(drifts.take(change("max", 1, 2), 900.0).is_none(), "it may go on");
        assert_eq!(drifts.over(1200.0).len(), 1);
        assert!(drifts.over(1800.0).is_empty());
        assert!(drifts.take(change("max", 1, 2), 1801.0).is_some());
    }
}
