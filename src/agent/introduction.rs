//! What the agent says of itself at start.

use crate::model::{Settings, Snapshot};
use crate::policy;

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
        policy::ceiling(snapshot, settings).reason,
    ];
    let allowed = [
        ("raise max", settings.capacity.enabled && snapshot.owns_host_values),
        ("shorten timeouts", settings.timeouts.enabled && snapshot.may_set_timeouts),
        ("flush idle entries", settings.flush.enabled && snapshot.may_flush),
    ];
    let list = |may: bool| -> Vec<&str> {
        allowed.iter().filter(|(_, m)| *m == may).map(|(what, _)| *what).collect()
    };
    let (may, may_not) = (list(true).join(", "), list(false).join(", "));
    lines.push(match (dry_run, may.is_empty()) {
        (true, _) => format!("dry run: nothing is changed; it would be allowed to {may}"),
        (false, true) => "may change nothing".to_owned(),
        (false, false) => format!("may {may}"),
    });
    if !may_not.is_empty() {
        lines.push(format!("may not {may_not} (capabilities: {})", capabilities.join(", ")));
    }
    lines
}
