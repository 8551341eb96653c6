//! Lines as they are printed, and what their JSON holds.

use super::*;
use crate::core::model::{EventKind, Netns, TcpInfo, TcpState};

fn tuple(source: &str, destination: &str, protocol: u8, l4: L4) -> Tuple {
    let address = |text: &str| text.parse().expect("an address");
    Tuple { source: address(source), destination: address(destination), protocol, l4 }
}

fn translated() -> Entry {
    let ports = |source, destination| L4::Ports { source, destination };
    Entry {
        original: tuple("10.0.0.1", "192.0.2.9", TCP, ports(40000, 443)),
        reply: Some(tuple("10.9.9.9", "198.51.100.1", TCP, ports(8080, 1024))),
        tcp: Some(TcpInfo { state: TcpState::Established, flags_original: 0, flags_reply: 0 }),
        status: Status(Status::SEEN_REPLY | Status::ASSURED | Status::SRC_NAT | Status::DST_NAT),
        timeout_seconds: Some(431_999),
        zone: 5,
        mark: 0x1f,
        id: 77,
        started_unix_seconds: Some(1_700_000_000),
        ..Entry::default()
    }
}

fn verdict() -> Verdict {
    Verdict {
        class: Some(Class::Established),
        idle_seconds: Some(61),
        exact: true,
        presumed_seconds: None,
        floor_seconds: Some(7440),
        protocol: TCP,
        ..Verdict::default()
    }
}

fn line(entry: &Entry, verdict: &Verdict) -> String {
    let mut out = Vec::new();
    write(&mut out, entry, verdict).expect("memory");
    String::from_utf8(out).expect("text")
}

#[test]
fn a_line_says_everything_once() {
    assert_eq!(
        line(&translated(), &verdict()),
        "tcp     established  10.0.0.1:40000        > 192.0.2.9:443          snat 198.51.100.1:1024  \
         dnat 10.9.9.9:8080  zone 5  mark 0x1f  left 4d23h  idle 1m1s  class established  \
         stays: idle for less than 2h4m\n"
    );
    let least = line(&translated(), &Verdict { exact: false, ..verdict() });
    assert!(
        least.contains("  idle >=1m1s  class established  stays: not idle for 2h4m for certain"),
        "{least}"
    );
    let address = "2001:db8:1111:2222:3333:4444:5555:6666";
    let plain = Entry { original: tuple(address, "::1", 200, L4::None), ..Entry::default() };
    let text = line(&plain, &Verdict::default());
    assert!(text.starts_with(&format!("200     unreplied    {address} > ::1 ")), "{text}");
    assert!(text.contains("idle -  class -  stays: this is never given up"), "{text}");
}

#[test]
fn keys_and_identifiers_are_shown_as_what_they_are() {
    let gre = tuple("10.0.0.1", "10.0.0.2", GRE, L4::Ports { source: 1, destination: 2 });
    let text = |original| line(&Entry { original, ..Entry::default() }, &verdict());
    let (gre_text, keys) = (text(gre), " > 10.0.0.2               srckey 0x1 dstkey 0x2  idle ");
    assert!(gre_text.contains("10.0.0.1  ") && gre_text.contains(keys), "{gre_text}");
    let json = serde_json::to_value(TupleRow::new(&gre)).expect("JSON");
    assert_eq!((&json["source_key"], json.get("sport")), (&1.into(), None));
    let icmp = tuple("10.0.0.1", "10.0.0.2", 1, L4::Icmp { kind: 8, code: 0, id: 9 });
    assert!(text(icmp).contains(" > 10.0.0.2               type 8 code 0 id 9  idle "), "{}", text(icmp));
    let json = serde_json::to_value(TupleRow::new(&icmp)).expect("JSON");
    assert_eq!((&json["icmp_type"], &json["icmp_id"], json.get("dport")), (&8.into(), &9.into(), None));
}

#[test]
fn json_begins_with_the_head_of_every_document() {
    let netns = Netns { name: Some("gw".into()), inode: 7 };
    let header = Header { schema: 1, taken_at: "2026-11-20T08:00:00Z".into(), netns };
    let head = r#"{"schema":1,"taken_at":"2026-11-20T08:00:00Z","netns":{"name":"gw","inode":7},"#;
    let entry = serde_json::to_string(&EntryDocument::new(&header, &translated(), &verdict())).expect("JSON");
    assert!(entry.starts_with(head), "{entry}");
    let event = Event { kind: EventKind::Destroy, entry: translated(), foreign: true };
    let event = serde_json::to_string(&EventDocument::of_event(&header, &event)).expect("JSON");
    assert!(event.starts_with(&format!(r#"{head}"event":"destroy","foreign":true,"#)), "{event}");
    let lost = serde_json::to_string(&EventDocument::lost(&header, 3, 10)).expect("JSON");
    assert_eq!(lost, format!(r#"{head}"event":"lost","lost":3,"lost_total":10}}"#));
    let value: serde_json::Value = serde_json::from_str(&entry).expect("JSON");
    assert_eq!((&value["source_nat"], &value["eligible"]), (&"198.51.100.1:1024".into(), &false.into()));
    let told = ["timeout_seconds", "idle_seconds", "floor_seconds"].map(|name| value[name].as_u64());
    assert_eq!(told, [Some(431_999), Some(61), Some(7440)]);
    let of = |verdict: &Verdict| {
        let json = serde_json::to_value(EntryDocument::new(&header, &translated(), verdict)).expect("JSON");
        ["idle_seconds", "idle_at_least_seconds", "presumed_idle_seconds"].map(|name| json[name].as_u64())
    };
    assert_eq!(of(&verdict()), [Some(61), Some(61), None]);
    let least = Verdict { exact: false, presumed_seconds: Some(900), ..verdict() };
    assert_eq!(of(&least), [None, Some(61), Some(900)], "the least that it can be is not the value");
    assert_eq!(
        (&value["class"], &value["reason"]),
        (&"established".into(), &"stays: idle for less than 2h4m".into())
    );
    assert_eq!(value["started_at"], "2023-11-14T22:13:20Z", "a time as all times are");
    assert_eq!(value["status"], serde_json::json!(["seen-reply", "assured", "src-nat", "dst-nat"]));
}

#[test]
fn an_event_says_when_what_and_by_whom() {
    let at: jiff::Zoned = "2026-11-20T08:00:00.25+00:00[UTC]".parse().expect("a time");
    let mut out = Vec::new();
    let entry = Entry { tcp: None, timeout_seconds: None, ..translated() };
    write_event(&mut out, &at, &Event { kind: EventKind::New, entry, foreign: true }).expect("memory");
    let text = String::from_utf8(out).expect("text");
    assert!(text.starts_with("08:00:00.250  new      tcp     -            10.0.0.1:40000 "), "{text}");
    assert!(text.ends_with("mark 0x1f  by another program\n"), "{text}");
}
