//! Every call over a real socket, and the shape of what goes over it.

use std::time::Duration;

use ctctl::control::{Call, Limits};
use ctctl::core::model::{HandFlush, KnowledgeDocument, SortBy};
use ctctl::error::Exit;
use serde_json::{Value, json};

use super::canned::{self, Agent, Canned};

const I: &str = "io.ctctl.Control";

#[test]
fn every_call_round_trips() {
    let service = Canned::new(1234, 1001);
    let agent = Agent::start(service.clone(), Limits::default());
    let mut client = agent.client();
    assert_eq!(client.status().unwrap(), canned::status());
    assert_eq!(client.top_sources(0, SortBy::Entries).unwrap(), canned::top_sources(1234));
    assert_eq!(client.top_sources(3, SortBy::New).unwrap(), canned::top_sources(3));
    let source = std::net::IpAddr::from([10, 0, 0, 1]);
    assert_eq!(client.entries(source, Some(7)).unwrap(), canned::entries(1234));
    let asked_of = canned::entries(3).entries;
    assert_eq!(client.knowledge(asked_of.clone()).unwrap(), canned::knowledge(3));
    assert_eq!(client.plan().unwrap(), canned::plan());
    let since = Some("2025-01-01T00:00:00Z".to_string());
    let records: Vec<_> = (0..1001).map(canned::record).collect();
    assert_eq!(client.history(7, since.clone()).unwrap(), records);
    assert_eq!(client.pause(Some(1.5)).unwrap(), "paused");
    assert_eq!(client.pause(None).unwrap(), "paused");
    assert_eq!(client.resume().unwrap(), "resumed");
    assert_eq!(client.tell_flush(by_hand()).unwrap(), "recorded");
    assert_eq!(client.revert(true).unwrap(), canned::reverted());

    let error = client.revert(false).unwrap_err();
    assert_eq!(
        (error.exit, error.what.as_str(), error.why.as_str()),
        (Exit::No, "revert", "max has to wait")
    );
    assert_eq!(error.hint.as_deref(), Some("--force"));
    let error = client.reload().unwrap_err();
    assert_eq!((error.exit, error.hint.as_deref()), (Exit::Unreachable, Some("mend it")));

    let asked = std::mem::take(&mut *service.asked.lock().unwrap());
    let expected = [
        Call::GetStatus { look: true },
        Call::GetTopSources { limit: 0, rank: SortBy::Entries },
        Call::GetTopSources { limit: 3, rank: SortBy::New },
        Call::GetEntries { source, zone: Some(7) },
        Call::GetKnowledge { entries: asked_of },
        Call::GetPlan,
        Call::GetHistory { limit: 7, since },
        Call::Pause { seconds: Some(1.5) },
        Call::Pause { seconds: None },
        Call::Resume,
        Call::TellFlush(by_hand()),
        Call::Revert { force: true },
        Call::Revert { force: false },
        Call::Reload,
    ];
    assert_eq!(asked, expected);
}

fn by_hand() -> HandFlush {
    HandFlush { requested: 12, deleted: 11, duration_seconds: 0.5, wanted: "--stale".into() }
}

#[test]
fn no_rows_are_one_page() {
    let agent = Agent::start(Canned::new(0, 0), Limits::default());
    assert_eq!(agent.client().top_sources(0, SortBy::Entries).unwrap(), canned::top_sources(0));
    assert_eq!(agent.client().entries([10, 0, 0, 1].into(), None).unwrap(), canned::entries(0));
    assert_eq!(agent.client().history(0, None).unwrap(), []);
}

#[test]
fn pages_are_whole_documents_within_the_bound() {
    let limits = Limits { page_rows: 500, message_bytes: 20_000, ..Limits::default() };
    let agent = Agent::start(Canned::new(1200, 0), limits);
    let mut raw = agent.raw();
    raw.send(&format!(r#"{{"method":"{I}.GetTopSources","more":true}}"#));
    let (mut rows, mut pages) = (Vec::new(), 0);
    loop {
        let bytes = raw.bytes().unwrap();
        assert!(bytes.len() < 20_000, "{} bytes", bytes.len());
        let page: Value = serde_json::from_slice(&bytes).unwrap();
        let document: ctctl::core::model::TopSources =
            serde_json::from_value(page["parameters"].clone()).unwrap();
        assert_eq!((document.sources_total, document.synced), (1200, true));
        assert!((1..=500).contains(&document.sources.len()));
        rows.extend(document.sources);
        pages += 1;
        if page["continues"] != json!(true) {
            break;
        }
    }
    assert_eq!(rows, canned::top_sources(1200).sources);
    assert!(pages > 3, "{pages} pages");
}

#[test]
fn without_more_an_answer_fits_or_is_refused() {
    let agent = Agent::start(Canned::new(1000, 0), Limits { message_bytes: 20_000, ..Limits::default() });
    let mut raw = agent.raw();
    let small = raw.ask(&format!(r#"{{"method":"{I}.GetTopSources","parameters":{{"limit":5}}}}"#));
    assert_eq!(small["parameters"]["sources"].as_array().unwrap().len(), 5);
    assert_eq!(small.get("continues"), None);
    let large = raw.ask(&format!(r#"{{"method":"{I}.GetTopSources","parameters":{{"limit":null}}}}"#));
    assert_eq!(large["error"], "org.varlink.service.ExpectedMore");
}

#[test]
fn errors_name_what_is_wrong() {
    let service = Canned::new(1, 1);
    let agent = Agent::start(service.clone(), Limits::default());
    let mut raw = agent.raw();
    let s = "org.varlink.service";
    let cases = [
        (json!({"method": "org.example.X"}), "InterfaceNotFound", json!({"interface": "org.example"})),
        (json!({"method": "Nothing"}), "InterfaceNotFound", json!({"interface": "Nothing"})),
        (json!({"method": format!("{I}.No")}), "MethodNotFound", json!({"method": format!("{I}.No")})),
        (json!({"method": format!("{s}.No")}), "MethodNotFound", json!({"method": format!("{s}.No")})),
        (
            json!({"method": format!("{I}.GetStatus"), "upgrade": true}),
            "MethodNotImplemented",
            json!({"method": format!("{I}.GetStatus")}),
        ),
        (
            json!({"method": format!("{s}.GetInterfaceDescription"), "parameters": {"interface": "a.b"}}),
            "InterfaceNotFound",
            json!({"interface": "a.b"}),
        ),
    ];
    for (call, error, parameters) in cases {
        let expected = json!({"error": format!("{s}.{error}"), "parameters": parameters});
        assert_eq!(raw.ask(&call.to_string()), expected, "{call}");
    }
    let wrong = [
        ("GetStatus", json!({"verbose": true}), "verbose"),
        ("GetStatus", json!({"look": 1}), "look"),
        ("GetTopSources", json!({"limit": -1}), "limit"),
        ("GetTopSources", json!({"limit": 1.5}), "limit"),
        ("GetTopSources", json!({"by": "size"}), "by"),
        ("GetTopSources", json!({"limit": 1, "offset": 2}), "offset"),
        ("GetEntries", json!({}), "source"),
        ("GetEntries", json!({"source": "10.0.0.0/8"}), "source"),
        ("GetEntries", json!({"source": "::1", "zone": 65536}), "zone"),
        ("GetKnowledge", json!({"entries": [{"source": "10.0.0.1"}]}), "entries"),
        ("GetKnowledge", json!({"entries": canned::entries(KnowledgeDocument::MOST + 1).entries}), "entries"),
        ("GetHistory", json!({"since": 5}), "since"),
        ("Pause", json!({"seconds": 0}), "seconds"),
        ("Pause", json!({"seconds": -1}), "seconds"),
        ("Pause", json!({"seconds": 1e300}), "seconds"),
        ("Revert", json!({"force": "yes"}), "force"),
    ];
    for (method, parameters, name) in wrong {
        let call = json!({"method": format!("{I}.{method}"), "parameters": parameters});
        let reply = raw.ask(&call.to_string());
        assert_eq!(reply["error"], format!("{s}.InvalidParameter"), "{call}");
        assert_eq!(reply["parameters"]["parameter"], name, "{call}");
    }
    assert_eq!(*service.asked.lock().unwrap(), [], "nothing wrong reaches the service");
}

#[test]
fn the_service_describes_itself() {
    let agent = Agent::start(Canned::new(1, 1), Limits::default());
    let mut raw = agent.raw();
    let info = raw.ask(r#"{"method":"org.varlink.service.GetInfo"}"#);
    assert_eq!(info["parameters"]["interfaces"], json!(["org.varlink.service", I]));
    let ask =
        json!({"method": "org.varlink.service.GetInterfaceDescription", "parameters": {"interface": I}});
    let text = raw.ask(&ask.to_string())["parameters"]["description"].clone();
    assert_eq!(text, include_str!("../../src/control/io.ctctl.Control.varlink"));
}

#[test]
fn pipelined_calls_are_answered_in_order_and_oneway_calls_not_at_all() {
    let service = Canned::new(1, 1);
    let agent = Agent::start(service.clone(), Limits::default());
    let mut raw = agent.raw();
    let call = |name: &str, rest: &str| format!("{{\"method\":\"{I}.{name}\"{rest}}}");
    let calls = [
        call("GetStatus", ""),
        call("Resume", ",\"oneway\":true"),
        call("Nothing", ",\"oneway\":true"),
        call("GetHistory", ",\"oneway\":true"),
        call("Pause", ",\"oneway\":false,\"more\":true"),
    ];
    raw.send(&calls.join("\0"));
    assert_eq!(raw.reply().unwrap()["parameters"]["entries"], 810);
    assert_eq!(raw.reply().unwrap(), json!({"parameters": {"message": "paused"}}));
    let asked = service.asked.lock().unwrap();
    let history = Call::GetHistory { limit: 0, since: None };
    assert_eq!(
        *asked,
        [Call::GetStatus { look: true }, Call::Resume, history, Call::Pause { seconds: None }]
    );
}

#[test]
fn a_service_that_does_not_answer_is_busy() {
    let service = Canned::new(1, 1);
    service.gate.send_replace(false);
    let agent = Agent::start(service, Limits { answer: Duration::from_millis(50), ..Limits::default() });
    let mut client = agent.client();
    let error = client.plan().unwrap_err();
    assert_eq!(error.exit, Exit::Unreachable);
    assert!(error.why.contains("within 0.05 s"), "{error}");
    client.status().unwrap();
}

#[test]
fn stop_lets_answers_under_way_finish() {
    let service = Canned::new(1, 1);
    service.gate.send_replace(false);
    let mut agent = Agent::start(service.clone(), Limits { stop: canned::PATIENCE, ..Limits::default() });
    let (mut waiting, mut idle) = (agent.raw(), agent.raw());
    idle.ask(&format!(r#"{{"method":"{I}.GetStatus"}}"#));
    waiting.send(&format!(r#"{{"method":"{I}.GetPlan"}}"#));
    while !service.asked.lock().unwrap().contains(&Call::GetPlan) {
        std::thread::yield_now();
    }
    agent.stop.send(true).unwrap();
    assert_eq!(idle.reply(), None, "an idle connection ends at once");
    service.gate.send_replace(true);
    assert_eq!(waiting.reply().unwrap()["parameters"]["level"], "critical");
    assert_eq!(waiting.reply(), None);
    agent.join();
    assert!(!agent.path.exists(), "the socket goes with the server");
}
