//! One entry, as a line of text and as one of JSON.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::text::escape;
use crate::core::model::{
    Class, Entry, Event, GRE, Header, IdleText, L4, Netns, ShortDuration, Status, TCP, Tuple, Unproven,
    Verdict, protocol_name,
};

/// Writes the flow, its translation, the time left, the idle time, the class, and the verdict with its reason.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, entry: &Entry, verdict: &Verdict) -> io::Result<()> {
    write_flow(out, entry)?;
    if let Some(left) = entry.timeout_seconds {
        write!(out, "  left {}", ShortDuration::rough(left))?;
    }
    write!(out, "  idle {}", IdleText::from(verdict))?;
    writeln!(out, "  class {}  {}", verdict.class.map_or("-", Class::name), escape(&verdict.to_string()))
}

/// Writes protocol, state, both ends with their ports (or ICMP type, GRE keys), translation, zone and mark.
///
/// # Errors
/// Those of the writer.
pub fn write_flow(out: &mut dyn Write, entry: &Entry) -> io::Result<()> {
    let original = &entry.original;
    write!(out, "{:<7} ", protocol(entry))?;
    write!(out, "{:<11}  {:<21} > {:<21}", state(entry), source(original), destination(original))?;
    match original.l4 {
        L4::Icmp { kind, code, id } => write!(out, "  type {kind} code {code} id {id}")?,
        L4::Ports { source, destination } if original.protocol == GRE => {
            write!(out, "  srckey {source:#x} dstkey {destination:#x}")?;
        }
        _ => {}
    }
    if let Some(to) = translated_source(entry) {
        write!(out, "  snat {to}")?;
    }
    if let Some(to) = translated_destination(entry) {
        write!(out, "  dnat {to}")?;
    }
    match (entry.zone, entry.reply_zone) {
        (0, None) => {}
        (zone, None) => write!(out, "  zone {zone}")?,
        (zone @ 1.., _) => write!(out, "  zone-orig {zone}")?,
        (_, Some(zone)) => write!(out, "  zone-reply {zone}")?,
    }
    if entry.mark != 0 {
        write!(out, "  mark {:#x}", entry.mark)?;
    }
    Ok(())
}

/// Writes the time of an event, its kind, its flow, and a note if another program caused it.
///
/// # Errors
/// Those of the writer.
pub fn write_event(out: &mut dyn Write, at: &jiff::Zoned, event: &Event) -> io::Result<()> {
    write!(out, "{}  {:<7}  ", at.strftime("%H:%M:%S%.3f"), event.kind.name())?;
    write_flow(out, &event.entry)?;
    if let Some(left) = event.entry.timeout_seconds {
        write!(out, "  left {}", ShortDuration::rough(left))?;
    }
    writeln!(out, "{}", if event.foreign { "  by another program" } else { "" })
}

/// Returns the protocol's name, or its number if ctctl has no name for it.
pub fn protocol(entry: &Entry) -> String {
    let number = entry.original.protocol;
    protocol_name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// Returns the state of a TCP connection; for other protocols assured, replied or unreplied. An event carries a TCP
/// state only if that changed.
pub fn state(entry: &Entry) -> &'static str {
    match entry.tcp {
        Some(tcp) => tcp.state.name(),
        None if entry.original.protocol == TCP => "-",
        None if entry.status.assured() => "assured",
        None if entry.status.seen_reply() => "replied",
        None => "unreplied",
    }
}

fn end(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (address, None) => address.to_string(),
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
    }
}

fn source(tuple: &Tuple) -> String {
    end(tuple.source, tuple.source_port().filter(|_| tuple.protocol != GRE))
}

/// Returns address and port of a destination, as `192.0.2.1:53` or `[2001:db8::1]:53`.
pub fn destination(tuple: &Tuple) -> String {
    end(tuple.destination, tuple.destination_port().filter(|_| tuple.protocol != GRE))
}

fn translated_source(entry: &Entry) -> Option<String> {
    entry.source_nat().map(destination)
}

fn translated_destination(entry: &Entry) -> Option<String> {
    let reply = entry.reply.as_ref()?;
    let plain = (reply.source, reply.source_port())
        == (entry.original.destination, entry.original.destination_port());
    (entry.status.any(Status::DST_NAT) || !plain).then(|| source(reply))
}

/// One entry of `list --json`.
#[derive(Serialize, Debug)]
pub struct EntryDocument<'a> {
    schema: u32,
    taken_at: &'a str,
    netns: &'a Netns,
    #[serde(flatten)]
    flow: FlowRow,
    timeout_seconds: Option<u32>,
    /// Idle time in seconds; null if it is not known exactly.
    idle_seconds: Option<u32>,
    /// Lower bound of the idle time in seconds; null if nothing is certain.
    idle_at_least_seconds: Option<u32>,
    presumed_idle_seconds: Option<u32>,
    /// Reason why the idle time is not proven; null if it is.
    idle_unproven: Option<Unproven>,
    class: Option<Class>,
    floor_seconds: Option<u32>,
    protected: Option<&'static str>,
    eligible: bool,
    in_grace: bool,
    second_chance: bool,
    reason: String,
}

impl<'a> EntryDocument<'a> {
    /// Builds the document of an entry, with the header that every document has.
    pub fn new(header: &'a Header, entry: &Entry, verdict: &Verdict) -> Self {
        EntryDocument {
            schema: header.schema,
            taken_at: &header.taken_at,
            netns: &header.netns,
            flow: FlowRow::new(entry),
            timeout_seconds: entry.timeout_seconds,
            idle_seconds: verdict.exact_seconds(),
            idle_at_least_seconds: verdict.idle_seconds,
            presumed_idle_seconds: verdict.presumed_seconds,
            idle_unproven: verdict.unproven,
            class: verdict.class,
            floor_seconds: verdict.floor_seconds,
            protected: verdict.protected,
            eligible: verdict.eligible(),
            in_grace: verdict.in_grace,
            second_chance: verdict.second_chance,
            reason: verdict.to_string(),
        }
    }
}

/// One line of `events --json`.
#[derive(Serialize, Debug)]
pub struct EventDocument<'a> {
    schema: u32,
    taken_at: &'a str,
    netns: &'a Netns,
    event: &'static str,
    /// Number of events lost since the last such line, for the event `lost` only; `lost_total` counts all since the
    /// start.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_total: Option<u64>,
    #[serde(flatten)]
    of: Option<EventRow>,
}

#[derive(Serialize, Debug)]
struct EventRow {
    foreign: bool,
    #[serde(flatten)]
    flow: FlowRow,
    timeout_seconds: Option<u32>,
}

impl<'a> EventDocument<'a> {
    /// Builds the line of an event.
    pub fn of_event(header: &'a Header, event: &Event) -> Self {
        let of = EventRow {
            foreign: event.foreign,
            flow: FlowRow::new(&event.entry),
            timeout_seconds: event.entry.timeout_seconds,
        };
        EventDocument { of: Some(of), ..Self::head(header, event.kind.name()) }
    }

    /// Builds the line that says that `lost` events found no room in the socket's buffer.
    pub fn lost(header: &'a Header, lost: u64, lost_total: u64) -> Self {
        EventDocument { lost: Some(lost), lost_total: Some(lost_total), ..Self::head(header, "lost") }
    }

    fn head(header: &'a Header, event: &'static str) -> Self {
        let Header { schema, taken_at, netns } = header;
        EventDocument { schema: *schema, taken_at, netns, event, lost: None, lost_total: None, of: None }
    }
}

/// Tuples, state, translation and marks of a flow in JSON.
#[derive(Serialize, Debug)]
pub struct FlowRow {
    protocol: String,
    protocol_number: u8,
    state: Option<&'static str>,
    original: TupleRow,
    reply: Option<TupleRow>,
    source_nat: Option<String>,
    destination_nat: Option<String>,
    /// Zone of the original direction.
    zone: u16,
    /// Zone of the reply direction.
    zone_reply: u16,
    mark: u32,
    id: u32,
    status: Vec<&'static str>,
    helper: bool,
    packets: Option<u64>,
    /// Time of creation in RFC 3339; null without `nf_conntrack_timestamp`.
    started_at: Option<String>,
}

impl FlowRow {
    /// Builds the row of an entry.
    pub fn new(entry: &Entry) -> Self {
        FlowRow {
            protocol: protocol(entry),
            protocol_number: entry.original.protocol,
            state: entry.tcp.map(|tcp| tcp.state.name()),
            original: TupleRow::new(&entry.original),
            reply: entry.reply.as_ref().map(TupleRow::new),
            source_nat: translated_source(entry),
            destination_nat: translated_destination(entry),
            zone: entry.zone,
            zone_reply: entry.zones()[1],
            mark: entry.mark,
            id: entry.id,
            status: STATUS.iter().filter(|(bit, _)| entry.status.any(*bit)).map(|(_, name)| *name).collect(),
            helper: entry.helper,
            packets: entry.packets,
            started_at: entry.started_unix_seconds.and_then(moment),
        }
    }
}

fn moment(unix_seconds: u64) -> Option<String> {
    let at = i64::try_from(unix_seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map(|at| at.to_string())
}

/// Bits of the status that mean something outside the kernel, with their names in JSON.
const STATUS: [(u32, &str); 9] = [
    (Status::EXPECTED, "expected"),
    (Status::SEEN_REPLY, "seen-reply"),
    (Status::ASSURED, "assured"),
    (Status::SRC_NAT, "src-nat"),
    (Status::DST_NAT, "dst-nat"),
    (Status::FIXED_TIMEOUT, "fixed-timeout"),
    (Status::HELPER, "helper"),
    (Status::OFFLOAD, "offload"),
    (Status::HW_OFFLOAD, "hw-offload"),
];

#[derive(Serialize, Debug)]
struct TupleRow {
    source: IpAddr,
    destination: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    sport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_key: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_key: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_id: Option<u16>,
}

impl TupleRow {
    fn new(tuple: &Tuple) -> Self {
        let (ports, keys) = match tuple.l4 {
            L4::Ports { source, destination } if tuple.protocol == GRE => (None, Some((source, destination))),
            L4::Ports { source, destination } => (Some((source, destination)), None),
            _ => (None, None),
        };
        let icmp = match tuple.l4 {
            L4::Icmp { kind, code, id } => Some((kind, code, id)),
            _ => None,
        };
        TupleRow {
            source: tuple.source,
            destination: tuple.destination,
            sport: ports.map(|(source, _)| source),
            dport: ports.map(|(_, destination)| destination),
            source_key: keys.map(|(source, _)| source),
            destination_key: keys.map(|(_, destination)| destination),
            icmp_type: icmp.map(|(kind, ..)| kind),
            icmp_code: icmp.map(|(_, code, _)| code),
            icmp_id: icmp.map(|(.., id)| id),
        }
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
