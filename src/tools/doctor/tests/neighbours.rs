//! Who hears events, and what policies set.

use super::*;
use crate::core::model::TimeoutPolicy;

#[test]
fn a_listener_may_be_overrun_and_was_where_it_lost_events() {
    let with =
        |holder: Option<(u32, String)>, lost| changed(|r| r.listeners = vec![EventListener { holder, lost }]);
    let conntrack = || Some((42, "conntrack".to_owned()));
    let fix = alone(&with(conntrack(), 0), "event-listeners", Severity::Note);
    assert!(fix[0].starts_with("# conntrackd: NetlinkBufferSize 33554432 and") && fix.len() == 2);
    let facts = with(conntrack(), 14_732);
    alone(&facts, "event-listeners", Severity::Warning);
    let finding = findings(&facts).remove(0);
    assert_eq!(finding.title, "another program lost 14732 of conntrack's events");
    assert_eq!(
        finding.evidence[0].text,
        "conntrack (process 42) hears events of entries; 14732 were lost so far"
    );
    assert!(findings(&with(None, 0))[0].evidence[0].text.starts_with("a process that may not be looked at"));
}

#[test]
fn a_policy_is_told_with_what_it_sets() {
    let policy = |protocol, seconds: &[u32]| TimeoutPolicy { protocol, seconds: seconds.to_vec() };
    let with = |policies| changed(|r| r.policies = policies);
    let slow = ("ct timeout slow of table inet filter".to_owned(), policy(6, &[120, 432_000, 10]));
    let facts = with(vec![slow.clone()]);
    alone(&facts, "timeout-policy", Severity::Note);
    let finding = findings(&facts).remove(0);
    assert_eq!(
        finding.title,
        "flows under `ct timeout slow of table inet filter` do not follow the timeout sysctls"
    );
    assert_eq!(
        finding.evidence[0].text,
        "`ct timeout slow of table inet filter` (tcp) sets 10 to 432000 s, by the state of a flow"
    );
    let facts = with(vec![slow, ("nfct timeout dns".into(), policy(17, &[5]))]);
    let finding = findings(&facts).remove(0);
    assert_eq!(finding.title, "flows under 2 timeout policies do not follow the timeout sysctls");
    assert_eq!(finding.evidence[1].text, "`nfct timeout dns` (udp) sets 5 s");
}
