//! The interface file against the code: each method is handled and no other, and what is sent is what it says.

use std::collections::BTreeSet;

use ctctl::control::{Call, Limits, Refusal, Reply, schema};
use ctctl::core::model::{Changed, HandFlush, Reloaded, SortBy};
use serde_json::{Value, json};

use super::canned::{self, Agent, Canned};
use super::idl::{Interface, Type};

fn calls() -> Vec<Call> {
    // A new variant does not compile here until it is in the list.
    let counted = |call: &Call| match call {
        Call::GetStatus { .. } | Call::GetTopSources { .. } | Call::GetHistory { .. } => {}
        Call::GetPlan | Call::GetSnapshot | Call::GetEntries { .. } | Call::GetKnowledge { .. } => {}
        Call::Pause { .. } | Call::Resume | Call::Reload | Call::TellFlush(_) | Call::Revert { .. } => {}
    };
    let since = Some("2025-01-01T00:00:00Z".into());
    let calls = vec![
        Call::GetStatus { look: false },
        Call::GetTopSources { limit: 3, rank: SortBy::New },
        Call::GetEntries { source: "2001:db8::1".parse().unwrap(), zone: Some(7) },
        Call::GetKnowledge { entries: canned::entries(2).entries },
        Call::GetPlan,
        Call::GetSnapshot,
        Call::GetHistory { limit: 3, since },
        Call::Pause { seconds: Some(60.0) },
        Call::Resume,
        Call::Reload,
        Call::TellFlush(HandFlush {
            requested: 12,
            deleted: 11,
            duration_seconds: 0.5,
            wanted: "--stale".into(),
        }),
        Call::Revert { force: true },
    ];
    calls.iter().for_each(counted);
    calls
}

fn message(call: &Call) -> Value {
    let mut bytes = schema::encode_call(call);
    assert_eq!(bytes.pop(), Some(0));
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn every_method_of_the_file_is_handled_and_no_other() {
    let interface = Interface::parse(schema::DESCRIPTION);
    assert_eq!(interface.name, schema::INTERFACE);
    let in_code: BTreeSet<String> =
        calls().iter().map(|c| message(c)["method"].as_str().unwrap().into()).collect();
    let in_file: BTreeSet<String> =
        interface.methods.keys().map(|name| format!("{}.{name}", schema::INTERFACE)).collect();
    assert_eq!(in_code, in_file);
    for method in in_file {
        // What a method cannot do without.
        let parameters = match method.rsplit('.').next() {
            Some("GetEntries") => json!({ "source": "10.0.0.1" }),
            Some("TellFlush") => {
                json!({ "requested": 2, "deleted": 1, "duration_seconds": 0.5, "wanted": "-s 10.0.0.1" })
            }
            _ => json!({}),
        };
        let message = json!({ "method": method, "parameters": parameters }).to_string();
        let request = schema::decode(message.as_bytes()).unwrap();
        assert!(matches!(request.asked, Ok(schema::Asked::Call(_))), "{method}: {:?}", request.asked);
    }
}

#[test]
fn every_parameter_is_of_the_declared_name_and_type() {
    let interface = Interface::parse(schema::DESCRIPTION);
    for call in calls() {
        let message = message(&call);
        let name = message["method"].as_str().unwrap().rsplit('.').next().unwrap();
        let parameters = message.get("parameters").cloned().unwrap_or(json!({}));
        interface.check(&interface.methods[name].0, &parameters, name);
        let read = schema::decode(message.to_string().as_bytes()).unwrap();
        assert_eq!(read.asked, Ok(schema::Asked::Call(call.clone())));
        assert_eq!(read.more, call.paged());
    }
}

#[test]
fn every_answer_is_of_the_declared_shape() {
    let interface = Interface::parse(schema::DESCRIPTION);
    let agent = Agent::start(Canned::new(5, 5), Limits::default());
    for call in calls() {
        let message = message(&call);
        let name = message["method"].as_str().unwrap().rsplit('.').next().unwrap();
        let reply = agent.raw().ask(&message.to_string());
        match reply.get("error").and_then(Value::as_str) {
            None => interface.check(&interface.methods[name].1, &reply["parameters"], name),
            // The canned answer to Reload.
            Some(error) => assert_eq!((name, error), ("Reload", "io.ctctl.Control.Failed")),
        }
    }
    let change =
        Changed { key: "[capacity] limit".into(), old: "0".into(), new: "5000".into(), at_start: false };
    let reloaded = Reloaded { message: "1 key changed".into(), changes: vec![change] };
    let mut bytes = schema::encode_whole(&Reply::Reloaded(reloaded), 1 << 16).unwrap();
    assert_eq!(bytes.pop(), Some(0));
    let reply: Value = serde_json::from_slice(&bytes).unwrap();
    interface.check(&interface.methods["Reload"].1, &reply["parameters"], "Reload");
}

#[test]
fn every_error_is_of_the_declared_shape() {
    let ours = Interface::parse(schema::DESCRIPTION);
    let service = Interface::parse(schema::SERVICE_DESCRIPTION);
    let text = || "x".to_string();
    let faults = [
        schema::Fault::Refused(Refusal::not_permitted("x")),
        schema::Fault::Refused(Refusal::failed("x").hint("y")),
        schema::Fault::Refused(Refusal::busy("x")),
        schema::Fault::InterfaceNotFound(text()),
        schema::Fault::MethodNotFound(text()),
        schema::Fault::MethodNotImplemented(text()),
        schema::Fault::InvalidParameter(text()),
        schema::Fault::ExpectedMore,
    ];
    let mut seen = BTreeSet::new();
    for fault in faults {
        let mut bytes = schema::encode_fault(&fault);
        assert_eq!(bytes.pop(), Some(0));
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        let (interface, name) = message["error"].as_str().unwrap().rsplit_once('.').unwrap();
        let file = if interface == ours.name { &ours } else { &service };
        assert_eq!(interface, file.name);
        file.check(&file.errors[name], &message["parameters"], name);
        seen.insert(name.to_string());
    }
    assert!(ours.errors.keys().all(|name| seen.contains(name)), "{seen:?}");
}

#[test]
#[should_panic(expected = "GetStatus")]
fn the_check_itself_notices_a_missing_field() {
    let interface = Interface::parse(schema::DESCRIPTION);
    let output = &interface.methods["GetStatus"].1;
    assert!(matches!(output, Type::Struct(fields) if fields.len() > 10));
    interface.check(output, &json!({"schema": 1}), "GetStatus");
}
