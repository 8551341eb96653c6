//! Half-open and half-closed connections that a timeout above the kernel's own keeps: they are of no class, so that no
//! flush by class takes them, and a table can fill with them.

use super::cure::seen;
use super::facts::Facts;
use crate::core::model::{Finding, Severity, Unclassed, UnclassedRow};

/// Fewer entries fill no table.
const MANY: u64 = 100;

/// States that hold a tenth of the table or more, under a timeout that is longer than the kernel's own.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(table) = facts.runtime.as_ref().and_then(|runtime| runtime.table.as_ref()) else {
        return Vec::new();
    };
    let row = |seen: &Unclassed| {
        let now = seen.timeout.and_then(|timeout| facts.in_force(timeout.name()));
        seen.row(now.and_then(|(seconds, _)| u32::try_from(seconds).ok()), table.entries)
    };
    let rows = table.unclassed.iter().map(row).filter(|row| row.entries >= MANY && row.is_much());
    rows.filter_map(|row| finding(facts, &row)).collect()
}

fn finding(facts: &Facts, row: &UnclassedRow) -> Option<Finding> {
    let (name, now, own) = (row.timeout.as_deref()?, row.timeout_seconds?, row.default_seconds?);
    let (_, evidence) = facts.in_force(name).filter(|_| now > own)?;
    let state = row.state.to_uppercase().replace('-', "_");
    let title = format!("{} of {} entries are TCP in {state}, kept for {now} s", row.entries, row.of_entries);
    let held = row.idle_told(own).into_iter().map(seen);
    // Entries that are there keep the timeout of their last packet: the new one is for those to come.
    let flush = row.flush_hint().unwrap_or_default().replace('`', "");
    let left = format!("# entries that are there keep the time left: {flush}");
    Some(
        Finding::new("half-closed-stay", Severity::Warning, title)
            .because(format!(
                "Connections in this state are never given up by class, since the other side may still send: what ends \
                 them is their timeout, which is {} times the kernel's own. kube-proxy sets tcp_timeout_close_wait to \
                 an hour (conntrack.tcpCloseWaitTimeout), and sets it again whenever it starts.",
                now / own.max(1)
            ))
            .seen(evidence)
            .seen(held)
            .fix(facts.set(name, own.into()).into_iter().chain([left]))
            .source(&["tcp_timeouts, net/netfilter/nf_conntrack_proto_tcp.c", "kube-proxy, conntrack.tcpCloseWaitTimeout"]),
    )
}
