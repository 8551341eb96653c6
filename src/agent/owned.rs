//! The values that this pipeline may write.

use std::collections::BTreeMap;

use super::actor::Parts;
use crate::act::executor::Values;
use crate::core::model::{Level, Settings, Snapshot, Timeout, Value};
use crate::facts::gauge::Gauge;

/// True if max and buckets are this agent's to write. A dry run writes nothing and needs no lease; an agent that would
/// never raise max (a quota below it, `enabled = false`) keeps none from others.
/// Of the namespaces of one agent, one under pressure has it before one that is calm.
pub(super) fn holds_host(parts: &mut Parts, snapshot: &Snapshot, settings: &Settings, level: Level) -> bool {
    let capacity = &settings.capacity;
    let wanted = capacity.enabled && (capacity.limit == 0 || capacity.limit > snapshot.max);
    let wanted = wanted && snapshot.owns_host_values;
    parts.dry_run || parts.host.hold(wanted, level > Level::Normal, snapshot.now_seconds)
}

/// The values that this agent may change, as they are.
pub(super) fn owned_values(gauge: &Gauge, snapshot: &Snapshot, owns_host: bool) -> BTreeMap<Value, u64> {
    let touched = |t: &Timeout| t.spec().floor_key.is_some();
    let timeouts = snapshot.timeouts.iter().filter(|(t, _)| touched(t));
    let mut values: BTreeMap<Value, u64> =
        timeouts.map(|(t, seconds)| (Value::Timeout(*t), u64::from(*seconds))).collect();
    if let Ok(events) = gauge.values().read(Value::Events) {
        values.insert(Value::Events, events);
    }
    if owns_host && snapshot.owns_host_values {
        values.insert(Value::Max, snapshot.max);
        values.insert(Value::Buckets, snapshot.buckets);
    }
    values
}
