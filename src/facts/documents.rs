//! Facts become the documents that commands print: the same for the agent and for a command that reads the kernel
//! itself.

use std::collections::BTreeMap;

use crate::core::model::{
    ActionRow, Basis, Bounds, Class, ClassRegret, ClassRow, ClassScan, Header, Netns, Plan, PlanDocument,
    RevertDocument, RevertRow, Scan, Settings, Snapshot, SnapshotDocument, SourceCount, SourceRow,
    StatusDocument, TimeoutRow, Unclassed, UnclassedRow, Value,
};
use crate::core::policy;

/// Makes the head of a document: schema, namespace, time.
pub fn header(netns: &Netns, taken_at: String) -> Header {
    Header { schema: 1, taken_at, netns: netns.clone() }
}

/// `status`, without the agent's own part. `baseline`: values before the agent, where they are known.
pub fn status(
    header: Header,
    snapshot: &Snapshot,
    plan: &Plan,
    settings: &Settings,
    baseline: &BTreeMap<Value, u64>,
) -> StatusDocument {
    let ceiling = policy::ceiling(snapshot, settings);
    let net_growth_per_second = snapshot.net_growth_per_second.map(rounded);
    // What the table grows by came in, even if it was not heard yet.
    let new_per_second =
        snapshot.new_per_second.map(|new| rounded(new).max(net_growth_per_second.unwrap_or(0.0)));
    let told = |sentences: &[String]| match within_protection(snapshot, settings) {
        true => sentences.iter().filter(|text| Some(*text) != plan.overprotected.as_ref()).cloned().collect(),
        false => sentences.to_vec(),
    };
    StatusDocument {
        header,
        level: plan.level,
        entries: snapshot.entries,
        max: snapshot.max,
        limit: policy::limit(snapshot, settings).unwrap_or(0),
        buckets: snapshot.buckets,
        usage_percent: rounded(policy::usage_percent(snapshot, settings)),
        new_per_second,
        net_growth_per_second,
        seconds_to_full: seconds_to_full(snapshot, settings),
        drops: snapshot.drops,
        reasons: told(&plan.reasons),
        bounds: Bounds {
            max_ceiling: ceiling.entries,
            bytes_per_entry: snapshot.memory.bytes_per_entry,
            memory_budget_bytes: ceiling.memory_budget_bytes,
            memory_entries: ceiling.memory_entries,
            summary: policy::headroom(snapshot, settings),
            reason: format!(
                "{}; bytes an entry {}",
                policy::outlook(snapshot, settings),
                snapshot.memory.bytes_per_entry_basis
            ),
        },
        timeouts: timeouts(snapshot, settings, baseline),
        classes: snapshot.scan.as_ref().map(|scan| classes(scan, snapshot, plan)),
        unclassed: snapshot.scan.as_ref().map(|scan| unclassed(scan, snapshot)),
        unproven: snapshot.scan.as_ref().map(|scan| scan.unproven.clone()),
        classes_age_seconds: scan_age(snapshot),
        classes_before_act: snapshot.scan.as_ref().is_some_and(|scan| scan.acted_since),
        protected: snapshot.scan.as_ref().map(|scan| scan.protected),
        waiting: told(&plan.waiting),
        agent: None,
        last_actions: Vec::new(),
    }
}

/// True if the scan that the document shows met no more entries that configuration protects than it may: the alarm lasts
/// until nine tenths of that, and a scan that is not shown is no ground for it.
fn within_protection(snapshot: &Snapshot, settings: &Settings) -> bool {
    let liftable = snapshot.scan.as_ref().map_or(0, |scan| scan.liftable);
    policy::limit(snapshot, settings)
        .is_none_or(|limit| liftable as f64 <= limit as f64 * settings.protect.max_percent / 100.0)
}

/// Seconds until the table is full: 0 where it is, whether it grows or not, and none where it does not grow.
pub fn seconds_to_full(snapshot: &Snapshot, settings: &Settings) -> Option<f64> {
    let is_full = policy::limit(snapshot, settings).is_some_and(|limit| snapshot.entries >= limit);
    if is_full { Some(0.0) } else { policy::seconds_to_full(snapshot, settings).map(rounded) }
}

fn timeouts(snapshot: &Snapshot, settings: &Settings, baseline: &BTreeMap<Value, u64>) -> Vec<TimeoutRow> {
    let row = |(timeout, seconds): (&crate::core::model::Timeout, &u32)| {
        let baseline = baseline.get(&Value::Timeout(*timeout)).and_then(|v| u32::try_from(*v).ok());
        // A floor is never above the baseline, and what is never touched stays where it is.
        let kept = baseline.unwrap_or(*seconds);
        let floor = settings.timeouts.floor_seconds(*timeout).unwrap_or(kept).min(kept);
        TimeoutRow {
            name: timeout.name().into(),
            baseline_seconds: baseline,
            current_seconds: (*seconds).into(),
            floor_seconds: floor,
        }
    };
    let negative = |(timeout, seconds): (&crate::core::model::Timeout, &i64)| TimeoutRow {
        name: timeout.name().into(),
        baseline_seconds: baseline.get(&Value::Timeout(*timeout)).and_then(|v| u32::try_from(*v).ok()),
        current_seconds: *seconds,
        floor_seconds: settings
            .timeouts
            .floor_seconds(*timeout)
            .unwrap_or(timeout.spec().kernel_default_seconds),
    };
    let mut rows: Vec<TimeoutRow> = snapshot.timeouts.iter().map(row).collect();
    rows.extend(snapshot.negative_timeouts.iter().map(negative));
    rows
}

fn scan_age(snapshot: &Snapshot) -> Option<f64> {
    snapshot.scan.as_ref().map(|scan| rounded((snapshot.now_seconds - scan.at_seconds).max(0.0)))
}

/// The classes of the scan, and fair share where it took anything.
fn classes(scan: &Scan, snapshot: &Snapshot, plan: &Plan) -> Vec<ClassRow> {
    let row = |seen: &ClassScan| {
        let regret = snapshot.regret.iter().find(|regret| regret.class == seen.class);
        ClassRow {
            flushed: regret.map_or(0, |regret| regret.flushed),
            regretted: regret.map_or(0, |regret| regret.regretted),
            regret_percent: regret.and_then(ClassRegret::percent).map(rounded),
            suspended: plan.suspends(seen.class),
            ..ClassRow::seen(seen)
        }
    };
    let shared = snapshot.regret.iter().any(|regret| regret.class == Class::FairShare);
    let fair_share = shared.then(|| ClassScan::empty(Class::FairShare));
    scan.classes.iter().chain(&fair_share).map(row).collect()
}

/// The entries of no class, with the timeouts as they are.
fn unclassed(scan: &Scan, snapshot: &Snapshot) -> Vec<UnclassedRow> {
    let now = |seen: &Unclassed| seen.timeout.and_then(|timeout| snapshot.timeouts.get(&timeout)).copied();
    scan.unclassed.iter().map(|seen| seen.row(now(seen), scan.entries)).collect()
}

/// `plan`, made of these facts.
pub fn plan(header: Header, snapshot: &Snapshot, plan: &Plan) -> PlanDocument {
    PlanDocument {
        header,
        level: plan.level,
        reasons: plan.reasons.clone(),
        actions: plan.actions.iter().map(ActionRow::from).collect(),
        classes: snapshot.scan.as_ref().map(|scan| classes(scan, snapshot, plan)),
        unclassed: snapshot.scan.as_ref().map(|scan| unclassed(scan, snapshot)),
        unproven: snapshot.scan.as_ref().map(|scan| scan.unproven.clone()),
        classes_age_seconds: scan_age(snapshot),
        classes_before_act: snapshot.scan.as_ref().is_some_and(|scan| scan.acted_since),
        scan: plan.scan,
        waiting: plan.waiting.clone(),
    }
}

/// `plan --snapshot`: all that a plan is made of.
pub fn recorded(
    header: Header,
    basis: Basis,
    snapshot: &Snapshot,
    memory: &policy::Memory,
    settings: &Settings,
) -> SnapshotDocument {
    SnapshotDocument {
        schema: header.schema,
        taken_at: header.taken_at,
        netns: header.netns,
        version: env!("CARGO_PKG_VERSION").into(),
        basis,
        snapshot: snapshot.clone(),
        // Plain numbers, names and lists: they always become JSON.
        memory: serde_json::to_value(memory).unwrap_or_default(),
        settings: settings.clone(),
    }
}

/// Makes the document of `revert`.
pub fn reverted(header: Header, values: Vec<RevertRow>) -> RevertDocument {
    let waits = |row: &&RevertRow| row.result == "waits";
    let tell = |row: &RevertRow| {
        let reason = row.reason.as_deref().unwrap_or("not now");
        format!("{} stays at {} instead of {}: {reason}", row.name, row.from, row.to)
    };
    let waiting = values.iter().filter(waits).map(tell).collect();
    RevertDocument { header, values, waiting }
}

/// Rows of `top-sources`; shares are of all `entries`.
pub fn source_rows(counts: impl IntoIterator<Item = SourceCount>, entries: u64) -> Vec<SourceRow> {
    let row = |c: SourceCount| SourceRow {
        source: c.address.to_string(),
        zone: Some(c.zone),
        entries: c.entries,
        share_percent: rounded(100.0 * c.entries as f64 / entries.max(1) as f64),
        new_per_second: c.new_per_second.map(rounded),
        tcp: c.tcp,
        udp: c.udp,
        icmp: c.icmp,
        other: c.other,
        assured: c.assured,
        unreplied: c.unreplied,
        idle: c.idle,
        idle_unknown: None,
    };
    counts.into_iter().map(row).collect()
}

/// Three decimals say all that a rate or a percentage can.
pub fn rounded(value: f64) -> f64 {
    // Of a negative nothing, nothing.
    (value * 1000.0).round() / 1000.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(snapshot: &Snapshot, plan: &Plan) -> StatusDocument {
        let netns = Netns { name: None, inode: 7 };
        status(header(&netns, String::new()), snapshot, plan, &Settings::default(), &BTreeMap::new())
    }

    #[test]
    fn no_table_grows_by_more_than_comes_in() {
        let rates = |new, net| {
            let snapshot = Snapshot {
                new_per_second: new,
                net_growth_per_second: net,
                max: 1000,
                ..Snapshot::default()
            };
            let status = of(&snapshot, &Plan::default());
            (status.new_per_second, status.net_growth_per_second)
        };
        assert_eq!(rates(Some(16.1), Some(22.7)), (Some(22.7), Some(22.7)));
        assert_eq!(rates(Some(16.1), Some(-3.0)), (Some(16.1), Some(-3.0)));
        assert_eq!(rates(None, Some(22.7)), (None, Some(22.7)));
    }

    #[test]
    fn the_share_of_protection_is_told_where_the_scan_that_is_shown_says_so() {
        let text = "configuration protects 105 entries".to_owned();
        let (reasons, waiting) = (vec!["usage".into(), text.clone()], vec![text.clone()]);
        let plan = Plan { reasons, waiting, overprotected: Some(text), ..Plan::default() };
        let told = |liftable| {
            let mut sieved = Scan { liftable, ..Scan::default() };
            sieved.acted_since = false;
            let status = of(&Snapshot { max: 500, scan: Some(sieved), ..Snapshot::default() }, &plan);
            (status.reasons.len(), status.waiting.len())
        };
        // 20 % of 500: the alarm lasts from 101 to 90.
        assert_eq!((told(101), told(100), told(95)), ((2, 1), (1, 0), (1, 0)));
        assert!(
            of(&Snapshot { max: 500, ..Snapshot::default() }, &plan).waiting.is_empty(),
            "no scan is shown"
        );
    }

    #[test]
    fn a_full_table_is_full_in_no_time_whether_it_grows_or_not() {
        let settings = Settings::default();
        let of = |entries, net_growth_per_second| {
            let snapshot = Snapshot { entries, max: 1000, net_growth_per_second, ..Snapshot::default() };
            seconds_to_full(&snapshot, &settings)
        };
        for growth in [None, Some(0.0), Some(-5.0), Some(100.0)] {
            assert_eq!((of(1000, growth), of(1001, growth)), (Some(0.0), Some(0.0)), "{growth:?}");
        }
        assert_eq!((of(900, Some(100.0)), of(999, Some(0.0)), of(999, None)), (Some(1.0), None, None));
        let unlimited = Snapshot { entries: 9, ..Snapshot::default() };
        assert_eq!(seconds_to_full(&unlimited, &settings), None);
    }
}
