//! Sentences that the agent logs of itself at start.

use crate::core::model::{Settings, Snapshot};
use crate::core::policy;

/// Thresholds, ceiling, and what may be done, a sentence each.
pub fn lines(
    snapshot: &Snapshot,
    settings: &Settings,
    dry_run: bool,
    capabilities: &[String],
) -> Vec<String> {
    let pressure = &settings.pressure;
    let limit = policy::limit(snapshot, settings);
    let at = |percent: f64| match limit {
        Some(limit) => format!("{percent} % ({} entries)", (limit as f64 * percent / 100.0) as u64),
        None => format!("{percent} %"),
    };
    let mut lines = vec![
        match limit {
            Some(limit) => format!("{} of {limit} entries are in use", snapshot.entries),
            None => format!("{} entries, and no limit (nf_conntrack_max is 0)", snapshot.entries),
        },
        format!(
            "high at {}, critical at {}, relief down to {}, low below {}",
            at(pressure.high_percent),
            at(pressure.critical_percent),
            at(pressure.target_percent),
            at(pressure.low_percent)
        ),
        policy::outlook(snapshot, settings),
    ];
    let (capacity, timeouts, flush) = (&settings.capacity, &settings.timeouts, &settings.flush);
    let quota = capacity.limit > 0 && capacity.limit <= snapshot.max;
    let acts = [
        ("raise max", snapshot.owns_host_values, capacity.enabled && !quota),
        ("shorten timeouts", snapshot.may_set_timeouts, timeouts.enabled),
        ("flush idle entries", snapshot.may_flush, flush.enabled),
    ];
    let list = |wanted: fn(bool, bool) -> bool| -> String {
        let what: Vec<&str> = acts
            .iter()
            .filter(|(_, able, allowed)| wanted(*able, *allowed))
            .map(|(what, ..)| *what)
            .collect();
        what.join(", ")
    };
    let may = list(|able, allowed| able && allowed);
    lines.push(match (dry_run, may.is_empty()) {
        (_, true) => "may change nothing".to_owned(),
        (true, false) => format!("dry run: nothing is changed; it would be allowed to {may}"),
        (false, false) => format!("may {may}"),
    });
    let forbidden = list(|_, allowed| !allowed);
    if !forbidden.is_empty() {
        lines.push(format!("will not {forbidden}: the configuration says so"));
    }
    let unable = list(|able, allowed| allowed && !able);
    if !unable.is_empty() {
        lines.push(format!(
            "cannot {unable}: not this agent's to write (it may: {})",
            capabilities.join(", ")
        ));
    }
    lines
}
