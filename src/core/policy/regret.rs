//! A class whose deletions are regretted suspends itself: its flows live, whatever the proof of idleness says.

use std::borrow::Cow;

use super::Memory;
use crate::core::model::{Act, Class, ClassRegret, ClassScan, Histogram, Plan, Snapshot, Suspension, Turn};

/// The regretted share of a class's deletions above which it is suspended.
const MOST_PERCENT: f64 = 1.0;
/// One flow that came back may be chance (a port used again by hand); two are a pattern.
const LEAST: u64 = 2;
/// Seconds without regret after which a suspension ends: the meter's window has run out by then.
const QUIET_SECONDS: f64 = 600.0;

/// Suspends and releases classes, with a sentence for each. Fair share is measured and never suspended: what it takes
/// may live, and its payers could end it by sending one packet each. For the same reason it may take what is of a
/// suspended class, as anything else, from payers above their level: else whoever has a class suspended would keep the
/// table critical for as long as its entries last.
pub(super) fn judge(snapshot: &Snapshot, memory: &mut Memory) -> Vec<Suspension> {
    let mut suspensions = Vec::new();
    for class in Class::ALL {
        let told_of = snapshot.regret.iter().find(|regret| regret.class == class).cloned();
        let regret = &told_of.unwrap_or_else(|| ClassRegret::none(class));
        let held = memory.suspended.contains(&class);
        // An earlier agent's meter went with it: what it last saw counts on.
        if let Some(last) = regret.last_seconds {
            memory.regretted_seconds.insert(class, last);
        }
        let last = memory.regretted_seconds.get(&class).copied();
        let quiet = last.is_none_or(|last| snapshot.now_seconds - last >= QUIET_SECONDS);
        let (turn, reason) = match (held, quiet) {
            (false, _) if !too_much(regret) => continue,
            (false, _) => (Turn::Begins, told(regret)),
            (true, false) if regret.last_seconds.is_none() => (Turn::Lasts, inherited(class)),
            (true, false) => (Turn::Lasts, told(regret)),
            (true, true) => {
                memory.suspended.remove(&class);
                let reason =
                    format!("{class} is flushed again: no regret has been seen for {QUIET_SECONDS} s");
                suspensions.push(Suspension { class, turn: Turn::Ends, reason });
                continue;
            }
        };
        memory.suspended.insert(class);
        suspensions.push(Suspension { class, turn, reason });
    }
    suspensions
}

/// Puts them into the plan, with the reasons of those that hold.
pub(super) fn tell(suspensions: Vec<Suspension>, plan: &mut Plan) {
    for held in suspensions.iter().filter(|suspension| suspension.turn != Turn::Ends) {
        plan.reasons.push(held.reason.clone());
        plan.waiting.push(held.reason.clone());
    }
    plan.suspensions.extend(suspensions);
}

fn too_much(regret: &ClassRegret) -> bool {
    regret.recent_heard >= LEAST && regret.recent_percent().is_none_or(|share| share > MOST_PERCENT)
}

fn inherited(class: Class) -> String {
    format!(
        "{class} is not flushed by its class, at any level (fair share may take of it at critical): the agent before this \
         one found flows that it took for idle alive; until no regret has been seen for {} minutes",
        QUIET_SECONDS / 60.0,
    )
}

fn told(regret: &ClassRegret) -> String {
    format!(
        "{} is not flushed by its class, at any level (fair share may take of it at critical): {} of {} flows deleted in the last minutes were heard of again within a \
         minute, more than {MOST_PERCENT} %; until no regret has been seen for {} minutes",
        regret.class,
        regret.recent_regretted,
        regret.recent_watched,
        QUIET_SECONDS / 60.0,
    )
}

/// The facts as relief may see them: nothing of a suspended class would be freed, so that the others bear what is to
/// go.
pub(super) fn without_suspended<'a>(snapshot: &'a Snapshot, memory: &Memory) -> Cow<'a, Snapshot> {
    let mut seen = Cow::Borrowed(snapshot);
    if !memory.suspended.is_empty()
        && let Some(scan) = &mut seen.to_mut().scan
    {
        let held = |class: &&mut ClassScan| memory.suspended.contains(&class.class);
        for class in scan.classes.iter_mut().filter(held) {
            class.would_free = 0;
            class.only_critical = Histogram::default();
            class.held_by_protection = Histogram::default();
            class.by_timeout.iter_mut().for_each(|governed| governed.may_go = 0);
        }
    }
    seen
}

/// However it came into the plan.
pub(super) fn withhold(memory: &Memory, plan: &mut Plan) {
    plan.actions.retain(|action| match &action.act {
        Act::Flush(flush) | Act::SecondChance(flush) => !memory.suspended.contains(&flush.class),
        _ => true,
    });
}
