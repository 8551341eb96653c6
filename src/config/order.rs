//! The order of the watermarks, which cannot be checked for one key alone.

use toml::de::DeTable;

use super::fault::Fault;
use crate::core::model::PressureSettings;

/// Checks that target <= low < high < critical. The fault is shown at the upper of the two values, or at the lower if
/// the upper is a default.
pub(super) fn check(pressure: &PressureSettings, document: &DeTable<'_>) -> Result<(), Fault> {
    let marks = [
        ("target_percent", pressure.target_percent),
        ("low_percent", pressure.low_percent),
        ("high_percent", pressure.high_percent),
        ("critical_percent", pressure.critical_percent),
    ];
    for pair in marks.windows(2) {
        let [lower, upper] = [pair[0], pair[1]];
        let may_equal = lower.0 == "target_percent";
        if lower.1 < upper.1 || (may_equal && lower.1 == upper.1) {
            continue;
        }
        return Err(fault(document, lower, upper, may_equal));
    }
    Ok(())
}

fn fault(document: &DeTable<'_>, lower: (&str, f64), upper: (&str, f64), may_equal: bool) -> Fault {
    let place = |key: &str| Some(document.get("pressure")?.get_ref().get(key)?.span().start);
    let (subject, at, relation, other) = match (place(upper.0), place(lower.0)) {
        (Some(at), _) => (upper, at, if may_equal { "at least" } else { "above" }, lower),
        // The lower value was set, because the defaults are in order.
        (None, at) => (lower, at.unwrap_or_default(), if may_equal { "at most" } else { "below" }, upper),
    };
    let set = place(other.0).is_some();
    let origin = if set { "" } else { ", the default" };
    let what =
        format!("`{}` must be {relation} `{}` ({}{origin}), not {}", subject.0, other.0, other.1, subject.1);
    let fault = Fault::new(at, what);
    let order = "target_percent <= low_percent < high_percent < critical_percent";
    if set { fault.hint(order) } else { fault.hint(format!("set `{}` too: {order}", other.0)) }
}
