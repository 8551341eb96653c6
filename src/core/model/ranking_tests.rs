use serde_json::{Value, json};

use super::*;
use crate::core::model::Netns;

fn ranking(grouping: Grouping, names: Option<Vec<Option<String>>>) -> Value {
    let row = SourceRow {
        source: "10.0.0.1".into(),
        zone: None,
        entries: 2,
        share_percent: 50.0,
        new_per_second: None,
        tcp: 2,
        udp: 0,
        icmp: 0,
        other: 0,
        assured: Some(1),
        unreplied: None,
        idle: None,
        idle_unknown: None,
    };
    let ranking = Ranking {
        header: Header { schema: 1, taken_at: "then".into(), netns: Netns::default() },
        basis: Basis::Dump,
        synced: true,
        entries: 4,
        grouping,
        total: 3,
        rows: vec![row],
        names,
        unreadable_lines: None,
        not_told: None,
        part_only: false,
    };
    serde_json::to_value(ranking).expect("plain")
}

#[test]
fn sources_are_the_contracts_document() {
    let expected = json!({
        "schema": 1, "taken_at": "then", "netns": {"name": null, "inode": null},
        "basis": "dump", "synced": true, "entries": 4, "sources_total": 3,
        "sources": [{
            "source": "10.0.0.1", "zone": null, "entries": 2, "share_percent": 50.0, "new_per_second": null,
            "tcp": 2, "udp": 0, "icmp": 0, "other": 0, "assured": 1, "unreplied": null, "idle": null,
            "idle_unknown": null
        }]
    });
    assert_eq!(ranking(Grouping::Source, None), expected);
}

#[test]
fn other_groups_have_rows_with_keys_instead() {
    let document = ranking(Grouping::NatSource, None);
    assert_eq!((&document["group"], &document["rows_total"]), (&json!("nat-source"), &json!(3)));
    assert_eq!(document["rows"][0]["key"], "10.0.0.1");
    assert_eq!(document["rows"][0].get("source"), None);
    assert_eq!((document.get("sources"), &document["sources_total"]), (None, &Value::Null));
}

#[test]
fn a_name_is_there_only_where_it_was_asked_for() {
    assert_eq!(ranking(Grouping::Source, None)["sources"][0].get("name"), None);
    let named = |name: Option<&str>| {
        ranking(Grouping::Source, Some(vec![name.map(String::from)]))["sources"][0]["name"].clone()
    };
    assert_eq!((named(Some("a.example")), named(None)), (json!("a.example"), Value::Null));
}
