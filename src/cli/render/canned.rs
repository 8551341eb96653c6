//! Documents that the tests of rendering start from.

use jiff::tz::TimeZone;

use super::Style;
use crate::core::model::{
    AgentStatus, Basis, Bounds, Class, ClassRow, ClassScan, Drops, Header, JournalRecord, Level, Netns,
    Queue, RecordEvent, RevertDocument, RevertRow, SourceRow, StatusDocument, TimeoutRow, TopSources,
};

/// Returns a style without colour, in a zone two hours east of UTC.
pub fn style(width: Option<usize>) -> Style {
    Style { width, colour: false, zone: TimeZone::fixed(jiff::tz::offset(2)).into(), verbosity: 0 }
}

/// Returns the namespace of the host.
pub fn netns() -> Netns {
    Netns { name: Some("host".into()), inode: 4_026_531_840 }
}

/// Returns the header of every document.
pub fn header() -> Header {
    Header { schema: 1, taken_at: "2026-11-21T02:49:52Z".into(), netns: netns() }
}

/// Returns the status of a gateway at level normal.
pub fn status() -> StatusDocument {
    let timeout = |name: &str, baseline, current, floor| TimeoutRow {
        name: name.into(),
        baseline_seconds: Some(baseline),
        current_seconds: current,
        floor_seconds: floor,
    };
    let class = |class, entries, idle, free| ClassRow {
        entries,
        oldest_idle_seconds: Some(idle),
        oldest_is_exact: true,
        would_free: free,
        ..ClassRow::seen(&ClassScan::empty(class))
    };
    StatusDocument {
        header: header(),
        level: Level::Normal,
        entries: 7900,
        max: 65_536,
        limit: 65_536,
        buckets: 65_536,
        usage_percent: 12.054,
        new_per_second: Some(120.0),
        net_growth_per_second: Some(3.2),
        seconds_to_full: Some(17_990.0),
        drops: Drops { chaintoolong: Some(0), ..Drops::default() },
        reasons: vec!["usage is 12.1 % (7900 of 65536 entries), below high_percent 80".into()],
        bounds: Bounds {
            max_ceiling: 262_144,
            bytes_per_entry: 384,
            memory_budget_bytes: 100_663_296,
            memory_entries: 262_144,
            summary: "65536, may rise to 262144 (10 % of 960.0 MiB memory at 384 bytes an entry)".into(),
            reason: "memory_percent (10 %) of memory".into(),
        },
        timeouts: vec![
            timeout("tcp_timeout_established", 432_000, 7440, 7440),
            timeout("tcp_timeout_close", 10, 10, 10),
            timeout("udp_timeout_stream", 120, 120, 60),
        ],
        classes: Some(vec![class(Class::Closed, 300, 59, 280), class(Class::Established, 7000, 7440, 0)]),
        unclassed: None,
        unproven: None,
        classes_age_seconds: Some(7.5),
        classes_before_act: false,
        protected: Some(12),
        waiting: vec!["max goes back below 49152 entries".into()],
        agent: Some(agent()),
        last_actions: vec![JournalRecord {
            action: Some("raise-max".into()),
            name: Some("max".into()),
            from: Some(32_768),
            to: Some(65_536),
            ..record(RecordEvent::Done)
        }],
    }
}

fn agent() -> AgentStatus {
    AgentStatus {
        pid: 812,
        started_at: "2026-11-21T01:00:00Z".into(),
        version: "0.1.0".into(),
        synced: true,
        events: 12_345,
        sources: 2,
        journal_ok: true,
        regret_percent: Some(0.1),
        queue: Some(Queue {
            buffer_bytes: 128_000_000,
            wanted_bytes: 128_000_000,
            queued_bytes: 0,
            lag_seconds: 0.001,
            longest_stall_seconds: 0.07,
            most_per_second: 300.0,
        }),
        capabilities: vec!["CAP_NET_ADMIN".into()],
        ..AgentStatus::default()
    }
}

/// Returns a record in which only the event and a reason are set.
pub fn record(event: RecordEvent) -> JournalRecord {
    JournalRecord {
        schema: 1,
        at: "2026-11-21T02:49:52.5Z".into(),
        seq: 1,
        id: 1,
        boot_id: "b".into(),
        netns: netns(),
        event,
        level: None,
        level_before: None,
        action: None,
        name: None,
        class: None,
        from: None,
        to: None,
        requested: None,
        achieved: None,
        duration_seconds: None,
        reason: "because".into(),
        usage_before_percent: None,
        usage_after_percent: None,
        acts_together: None,
        dry_run: false,
        by: None,
        until: None,
        changes: Vec::new(),
    }
}

/// Returns the answer with these sources (address, zone, entries), all of them TCP.
pub fn top_sources(sources: &[(&str, u16, u64)]) -> TopSources {
    let entries: u64 = sources.iter().map(|(.., n)| n).sum();
    let row = |&(source, zone, n): &(&str, u16, u64)| SourceRow {
        source: source.into(),
        zone: Some(zone),
        entries: n,
        share_percent: n as f64 * 100.0 / entries.max(1) as f64,
        new_per_second: None,
        tcp: n,
        udp: 0,
        icmp: 0,
        other: 0,
        assured: None,
        unreplied: None,
        idle: None,
        idle_unknown: None,
    };
    TopSources {
        header: header(),
        basis: Basis::Agent,
        synced: true,
        entries,
        sources_total: sources.len() as u64,
        sources: sources.iter().map(row).collect(),
    }
}

/// Returns the document of a revert with one row for max per result.
pub fn revert(results: &[&str]) -> RevertDocument {
    let row = |result: &&str| RevertRow {
        name: "max".into(),
        from: 98_304,
        to: 65_536,
        result: result.to_string(),
        reason: None,
    };
    RevertDocument { header: header(), values: results.iter().map(row).collect(), waiting: Vec::new() }
}
