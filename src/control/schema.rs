//! The messages as JSON: the server reads calls and writes replies and errors, the client the other way round.

use std::io::{self, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Call, Refusal, RefusalKind, Reply};
use crate::core::model::{EntryRow, HandFlush, KnowledgeDocument, SortBy, TopSources};
use crate::error::Exit;

/// Name of the interface.
pub const INTERFACE: &str = "io.ctctl.Control";
/// Text of the interface, the answer to `GetInterfaceDescription`.
pub const DESCRIPTION: &str = include_str!("io.ctctl.Control.varlink");
/// Name of the interface that every Varlink service has.
pub const SERVICE_INTERFACE: &str = "org.varlink.service";
/// Text of the interface that every Varlink service has.
pub const SERVICE_DESCRIPTION: &str = include_str!("org.varlink.service.varlink");

/// The request in a message.
#[derive(Clone, PartialEq, Debug)]
pub enum Asked {
    /// A method of ctctl's interface.
    Call(Call),
    /// The method `org.varlink.service.GetInfo`.
    Info,
    /// The method `org.varlink.service.GetInterfaceDescription`, of one of the two interfaces.
    Description(&'static str),
}

/// A call as it was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The request, or the error that answers it.
    pub asked: Result<Asked, Fault>,
    /// True if the caller takes more than one reply.
    pub more: bool,
    /// True if the caller wants no reply.
    pub oneway: bool,
}

/// An error that goes out as a reply.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Fault {
    InterfaceNotFound(String),
    MethodNotFound(String),
    MethodNotImplemented(String),
    InvalidParameter(String),
    ExpectedMore,
    Refused(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault::Refused(refusal)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parameters: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "is_false")]
    more: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    oneway: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    upgrade: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Reads a call.
///
/// # Errors
/// The bytes are no Varlink call (no JSON, no UTF-8, nested too deeply, fields that Varlink does not have, both `more`
/// and `oneway`): no reply is possible, and the connection has to be closed.
pub fn decode(message: &[u8]) -> Result<Request, String> {
    let envelope: Envelope = serde_json::from_slice(message).map_err(|e| e.to_string())?;
    let Envelope { method, parameters, more, oneway, upgrade } = envelope;
    if more && oneway {
        return Err("both more and oneway".into());
    }
    let asked = match asked(&method, Parameters(parameters.unwrap_or_default())) {
        // No method of this service upgrades the connection to another protocol.
        Ok(_) if upgrade => Err(Fault::MethodNotImplemented(method)),
        asked => asked,
    };
    Ok(Request { asked, more, oneway })
}

fn asked(method: &str, mut parameters: Parameters) -> Result<Asked, Fault> {
    let (interface, name) = method.rsplit_once('.').unwrap_or((method, ""));
    let asked = match (interface, name) {
        (SERVICE_INTERFACE, "GetInfo") => Asked::Info,
        (SERVICE_INTERFACE, "GetInterfaceDescription") => Asked::Description(description(&mut parameters)?),
        (INTERFACE, _) => match call(name, &mut parameters)? {
            Some(call) => Asked::Call(call),
            None => return Err(Fault::MethodNotFound(method.into())),
        },
        (SERVICE_INTERFACE, _) => return Err(Fault::MethodNotFound(method.into())),
        _ => return Err(Fault::InterfaceNotFound(interface.into())),
    };
    parameters.end()?;
    Ok(asked)
}

fn description(parameters: &mut Parameters) -> Result<&'static str, Fault> {
    match parameters.take::<String>("interface")? {
        Some(name) if name == INTERFACE => Ok(DESCRIPTION),
        Some(name) if name == SERVICE_INTERFACE => Ok(SERVICE_DESCRIPTION),
        Some(name) => Err(Fault::InterfaceNotFound(name)),
        None => Err(Fault::InvalidParameter("interface".into())),
    }
}

fn call(name: &str, parameters: &mut Parameters) -> Result<Option<Call>, Fault> {
    Ok(Some(match name {
        "GetStatus" => Call::GetStatus { look: parameters.take("look")?.unwrap_or(true) },
        "GetTopSources" => Call::GetTopSources {
            limit: parameters.take("limit")?.unwrap_or(0),
            rank: parameters.take("by")?.unwrap_or_default(),
        },
        "GetEntries" => {
            Call::GetEntries { source: parameters.need("source")?, zone: parameters.take("zone")? }
        }
        "GetKnowledge" => {
            let entries: Vec<EntryRow> = parameters.take("entries")?.unwrap_or_default();
            if entries.len() > KnowledgeDocument::MOST {
                return Err(Fault::InvalidParameter("entries".into()));
            }
            Call::GetKnowledge { entries }
        }
        "GetPlan" => Call::GetPlan,
        "GetSnapshot" => Call::GetSnapshot,
        "GetHistory" => Call::GetHistory {
            limit: parameters.take("limit")?.unwrap_or(0),
            since: parameters.take("since")?,
        },
        "Pause" => {
            let seconds: Option<f64> = parameters.take("seconds")?;
            // Duration::from_secs_f64 panics on a number that a duration cannot hold.
            if seconds.is_some_and(|s| !(s > 0.0 && s <= f64::from(u32::MAX))) {
                return Err(Fault::InvalidParameter("seconds".into()));
            }
            Call::Pause { seconds }
        }
        "Resume" => Call::Resume,
        "Reload" => Call::Reload,
        "TellFlush" => Call::TellFlush(HandFlush {
            requested: parameters.need("requested")?,
            deleted: parameters.need("deleted")?,
            duration_seconds: parameters.need("duration_seconds")?,
            wanted: parameters.need("wanted")?,
        }),
        "Revert" => Call::Revert { force: parameters.take("force")?.unwrap_or(false) },
        _ => return Ok(None),
    }))
}

struct Parameters(Map<String, Value>);

impl Parameters {
    /// Removes a parameter; in Varlink null means that it is missing.
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        let value = self.0.remove(name).unwrap_or(Value::Null);
        serde_json::from_value(value).map_err(|_| Fault::InvalidParameter(name.into()))
    }

    fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Fault> {
        self.take(name)?.ok_or_else(|| Fault::InvalidParameter(name.into()))
    }

    fn end(self) -> Result<(), Fault> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(Fault::InvalidParameter(name)),
            None => Ok(()),
        }
    }
}

/// Writes a call with its NUL; `more` is set for paged calls.
pub fn encode_call(call: &Call) -> Vec<u8> {
    let (name, parameters) = match call {
        Call::GetStatus { look: true } => ("GetStatus", Value::Null),
        Call::GetStatus { look: false } => ("GetStatus", json!({ "look": false })),
        Call::GetTopSources { limit, rank: SortBy::Entries } => ("GetTopSources", json!({ "limit": limit })),
        Call::GetTopSources { limit, rank } => ("GetTopSources", json!({ "limit": limit, "by": rank })),
        Call::GetEntries { source, zone } => ("GetEntries", json!({ "source": source, "zone": zone })),
        Call::GetKnowledge { entries } => ("GetKnowledge", json!({ "entries": entries })),
        Call::GetPlan => ("GetPlan", Value::Null),
        Call::GetSnapshot => ("GetSnapshot", Value::Null),
        Call::GetHistory { limit, since } => ("GetHistory", json!({ "limit": limit, "since": since })),
        Call::Pause { seconds } => ("Pause", json!({ "seconds": seconds })),
        Call::Resume => ("Resume", Value::Null),
        Call::Reload => ("Reload", Value::Null),
        Call::TellFlush(flush) => ("TellFlush", serde_json::to_value(flush).unwrap_or_default()),
        Call::Revert { force } => ("Revert", json!({ "force": force })),
    };
    let mut message = json!({ "method": format!("{INTERFACE}.{name}") });
    if !parameters.is_null() {
        message["parameters"] = parameters;
    }
    if call.paged() {
        message["more"] = true.into();
    }
    let mut bytes = message.to_string().into_bytes();
    bytes.push(0);
    bytes
}

/// Error: a reply would be longer than a message may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

/// Writes a reply with its NUL, of at most `limit_bytes`.
///
/// # Errors
/// The reply does not fit; no more than the limit was held.
pub fn encode_reply<T: Serialize>(
    parameters: &T,
    continues: bool,
    limit_bytes: usize,
) -> Result<Vec<u8>, TooLong> {
    #[derive(Serialize)]
    struct Message<'a, T> {
        parameters: &'a T,
        #[serde(skip_serializing_if = "is_false")]
        continues: bool,
    }
    let mut bounded = Bounded { bytes: Vec::new(), limit_bytes };
    let message = Message { parameters, continues };
    serde_json::to_writer(&mut bounded, &message).map_err(|_| TooLong)?;
    bounded.write_all(&[0]).map_err(|_| TooLong)?;
    Ok(bounded.bytes)
}

struct Bounded {
    bytes: Vec<u8>,
    limit_bytes: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit_bytes - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The records of one page of `GetHistory`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Records, oldest first.
    pub records: Vec<crate::core::model::JournalRecord>,
}

/// Writes a whole reply as one message.
///
/// # Errors
/// The reply does not fit.
pub fn encode_whole(reply: &Reply, limit_bytes: usize) -> Result<Vec<u8>, TooLong> {
    match reply {
        Reply::Status(document) => encode_reply(document, false, limit_bytes),
        Reply::TopSources(document) => encode_reply(document, false, limit_bytes),
        // A row is never shorter than its field names, which take over 100 bytes.
        Reply::ManySources(_, rows) if rows.len() > limit_bytes / 100 => Err(TooLong),
        Reply::ManySources(document, rows) => {
            let sources = rows.of(0..rows.len());
            encode_reply(&TopSources { sources, ..document.clone() }, false, limit_bytes)
        }
        Reply::Entries(document) => encode_reply(document, false, limit_bytes),
        Reply::Knowledge(document) => encode_reply(document, false, limit_bytes),
        Reply::Plan(document) => encode_reply(document, false, limit_bytes),
        Reply::Snapshot(document) => encode_reply(document, false, limit_bytes),
        Reply::History(records) => encode_reply(&json_records(records), false, limit_bytes),
        Reply::Reverted(document) => encode_reply(document, false, limit_bytes),
        Reply::Reloaded(reloaded) => encode_reply(reloaded, false, limit_bytes),
        Reply::Done { message } => encode_reply(&json!({ "message": message }), false, limit_bytes),
    }
}

fn json_records(records: &[crate::core::model::JournalRecord]) -> impl Serialize + '_ {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        records: &'a [crate::core::model::JournalRecord],
    }
    Borrowed { records }
}

/// Returns the answer to `GetInfo`.
pub fn info() -> Value {
    json!({
        "vendor": "ctctl",
        "product": "ctctl",
        "version": env!("CARGO_PKG_VERSION"),
        "url": "",
        "interfaces": [SERVICE_INTERFACE, INTERFACE],
    })
}

/// Writes an error with its NUL.
pub fn encode_fault(fault: &Fault) -> Vec<u8> {
    let service = |name: &str| format!("{SERVICE_INTERFACE}.{name}");
    let (error, parameters) = match fault {
        Fault::InterfaceNotFound(name) => (service("InterfaceNotFound"), json!({ "interface": name })),
        Fault::MethodNotFound(name) => (service("MethodNotFound"), json!({ "method": name })),
        Fault::MethodNotImplemented(name) => (service("MethodNotImplemented"), json!({ "method": name })),
        Fault::InvalidParameter(name) => (service("InvalidParameter"), json!({ "parameter": name })),
        Fault::ExpectedMore => (service("ExpectedMore"), json!({})),
        Fault::Refused(refusal) => {
            let mut parameters = json!({ "message": refusal.message, "hint": refusal.hint });
            if refusal.kind == RefusalKind::Failed {
                parameters["exit"] = (refusal.exit as u8).into();
            }
            (format!("{INTERFACE}.{:?}", refusal.kind), parameters)
        }
    };
    let mut bytes = json!({ "error": error, "parameters": parameters }).to_string().into_bytes();
    bytes.push(0);
    bytes
}

/// A reply as the client reads it.
#[derive(Clone, PartialEq, Debug)]
pub enum DecodedReply {
    /// Parameters, and true if more replies follow.
    Parameters(Value, bool),
    /// An error of ctctl's interface.
    Refused(Refusal),
    /// An error of Varlink itself: its name, and the name of a method or parameter in it.
    Varlink(String, String),
}

/// Reads a reply. Unknown fields are skipped, so that an older client understands a newer agent.
///
/// # Errors
/// The message is no Varlink reply.
pub fn decode_reply(message: &[u8]) -> Result<DecodedReply, String> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        parameters: Option<Map<String, Value>>,
        #[serde(default)]
        continues: bool,
        #[serde(default)]
        error: Option<String>,
    }
    let message: Message = serde_json::from_slice(message).map_err(|e| e.to_string())?;
    let parameters = message.parameters.unwrap_or_default();
    let Some(error) = message.error else {
        return Ok(DecodedReply::Parameters(Value::Object(parameters), message.continues));
    };
    let kind = match error.strip_prefix(INTERFACE) {
        Some(".NotPermitted") => RefusalKind::NotPermitted,
        Some(".Failed") => RefusalKind::Failed,
        Some(".Busy") => RefusalKind::Busy,
        _ => {
            let named = parameters.values().find_map(Value::as_str).unwrap_or_default().to_string();
            return Ok(DecodedReply::Varlink(error, named));
        }
    };
    let text = |name: &str| parameters.get(name).and_then(Value::as_str).map(str::to_string);
    let exit = match parameters.get("exit").and_then(Value::as_u64) {
        Some(1) => Exit::No,
        Some(2) => Exit::Usage,
        _ => Exit::Unreachable,
    };
    let message = text("message").ok_or_else(|| format!("{error} without a message"))?;
    Ok(DecodedReply::Refused(Refusal { kind, exit, message, hint: text("hint") }))
}
