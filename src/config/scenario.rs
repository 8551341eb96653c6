//! A scenario file: TOML in, [`Scenario`] out, or one error that points at the line and column.

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, nearest, shown};
use super::value::{Read, Value};
use super::{keys, order, tables};
use crate::core::model::{
    Change, Costs, FlowEnd, FlowKind, GatewayModel, Happening, Scenario, Settings, Traffic,
};
use crate::error::Result;

/// Longest scenario, a hundred days: a longer one shows nothing more.
const LONGEST_SECONDS: f64 = 8_640_000.0;
/// Largest number of entries: more than a gateway has memory for.
const MOST_ENTRIES: u64 = 1_000_000_000;

/// Reads a scenario from text; `file` is the name that errors show. Its `[settings.*]` are set over `settings`.
///
/// # Errors
/// `Exit::Usage`, shown as `scenario: FILE:LINE:COLUMN: what is wrong`, as for [`super::parse`].
pub fn parse_scenario(text: &str, file: &str, settings: &Settings) -> Result<Scenario> {
    read(text, settings).map_err(|fault| {
        let mut error = fault.in_file(text, file);
        error.what = "scenario".into();
        error
    })
}

const TABLES: [&str; 8] =
    ["summary", "duration_seconds", "starts_at", "gateway", "costs", "settings", "traffic", "event"];

fn read(text: &str, settings: &Settings) -> Read<Scenario> {
    let document = DeTable::parse(text).map_err(|error| Fault::of_syntax(&error, text))?;
    let mut scenario = Scenario {
        summary: String::new(),
        duration_seconds: 0.0,
        starts_at_seconds: 0.0,
        gateway: GatewayModel::default(),
        costs: Costs::default(),
        settings: settings.clone(),
        traffic: Vec::new(),
        happenings: Vec::new(),
    };
    for root in Value::entries(document.get_ref()) {
        match root.key {
            "summary" => scenario.summary = root.text("a line of text")?.to_owned(),
            "duration_seconds" => scenario.duration_seconds = span(&root)?,
            "starts_at" => scenario.starts_at_seconds = time_of_day(&root)?,
            "gateway" => entries(&root, |v| gateway(&mut scenario.gateway, v))?,
            "costs" => entries(&root, |v| costs(&mut scenario.costs, v))?,
            "settings" => entries(&root, |table| settings_of(&mut scenario.settings, table))?,
            "traffic" => each(&root, |v| traffic(v).map(|traffic| scenario.traffic.push(traffic)))?,
            "event" => each(&root, |v| event(v).map(|happening| scenario.happenings.push(happening)))?,
            _ => return Err(unknown(&root, "a scenario", &TABLES)),
        }
    }
    if let Some(pressure) = document.get_ref().get("settings").and_then(|s| s.get_ref().as_table()) {
        order::check(&scenario.settings.pressure, pressure)?;
    }
    if scenario.duration_seconds <= 0.0 {
        return Err(Fault::new(0, "a scenario needs `duration_seconds`").hint("duration_seconds = 3600"));
    }
    if scenario.traffic.is_empty() {
        return Err(Fault::new(text.len(), "a scenario needs traffic")
            .hint("write [[traffic]] on a line of its own, and its keys below it"));
    }
    scenario.happenings.sort_by(|a, b| a.at_seconds.total_cmp(&b.at_seconds));
    Ok(scenario)
}

/// Passes the keys of a table to `each`, in their order.
fn entries(root: &Value<'_, '_>, mut each: impl FnMut(&Value<'_, '_>) -> Read<()>) -> Read<()> {
    let DeValue::Table(table) = root.content() else { return Err(root.takes("a table")) };
    Value::entries(table).iter().try_for_each(&mut each)
}

/// Passes the tables of a list of tables to `each`.
fn each(root: &Value<'_, '_>, mut each: impl FnMut(&Value<'_, '_>) -> Read<()>) -> Read<()> {
    let hint = || root.takes("a list of tables").hint(format!("write [[{}]] on a line of its own", root.key));
    let tables = root.elements().ok_or_else(hint)?;
    tables.iter().try_for_each(&mut each)
}

fn unknown(value: &Value<'_, '_>, place: &str, known: &[&str]) -> Fault {
    let fault = Fault::new(value.key_at, format!("unknown key `{}` in {place}", shown(value.key)));
    match nearest(value.key, known) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault.hint(format!("{place} takes {}", known.join(", "))),
    }
}

fn span(value: &Value<'_, '_>) -> Read<f64> {
    value.span("a number of seconds from 0 to 8640000", |n| (0.0..=LONGEST_SECONDS).contains(&n))
}

fn cost(value: &Value<'_, '_>) -> Read<f64> {
    value.number("microseconds from 0 to 1000", |n| (0.0..=1000.0).contains(&n))
}

fn mib(value: &Value<'_, '_>) -> Read<u64> {
    value.whole::<u64>(1..=1 << 30).map(|mib| mib << 20)
}

fn time_of_day(value: &Value<'_, '_>) -> Read<f64> {
    const WHAT: &str = "a time of day such as \"18:30\"";
    let parts = value.text(WHAT)?.split_once(':');
    let number = |text: &str, below: u32| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten().filter(|n| *n < below)
    };
    match parts.map(|(hours, minutes)| (number(hours, 24), number(minutes, 60))) {
        Some((Some(hours), Some(minutes))) => Ok(f64::from(hours * 3600 + minutes * 60)),
        _ => Err(value.takes(WHAT)),
    }
}

fn gateway(gateway: &mut GatewayModel, value: &Value<'_, '_>) -> Read<()> {
    const KEYS: [&str; 5] = ["max", "buckets", "total_mib", "available_mib", "bytes_per_entry"];
    match value.key {
        "max" => gateway.max = value.whole(0..=u32::MAX.into())?,
        "buckets" => gateway.buckets = value.whole(512..=u32::MAX.into())?,
        "total_mib" => gateway.total_bytes = mib(value)?,
        "available_mib" => gateway.available_bytes = mib(value)?,
        "bytes_per_entry" => gateway.bytes_per_entry = value.whole(1..=65_536)?,
        _ => return Err(unknown(value, "[gateway]", &KEYS)),
    }
    Ok(())
}

fn costs(costs: &mut Costs, value: &Value<'_, '_>) -> Read<()> {
    const KEYS: [&str; 4] =
        ["scan_us_per_entry", "scan_us_per_bucket", "delete_us_per_entry", "update_us_per_entry"];
    match value.key {
        "scan_us_per_entry" => costs.scan_us_per_entry = cost(value)?,
        "scan_us_per_bucket" => costs.scan_us_per_bucket = cost(value)?,
        "delete_us_per_entry" => costs.delete_us_per_entry = cost(value)?,
        "update_us_per_entry" => costs.update_us_per_entry = cost(value)?,
        _ => return Err(unknown(value, "[costs]", &KEYS)),
    }
    Ok(())
}

/// Reads a table such as `[settings.pressure]`: its keys are those of the configuration's table.
fn settings_of(settings: &mut Settings, root: &Value<'_, '_>) -> Read<()> {
    let table = tables::TABLES.iter().find(|table| table.name == root.key);
    let table = table.ok_or_else(|| keys::unknown_table(root))?;
    entries(root, |value| table.set(settings, value))
}

const TRAFFIC: [&str; 17] = [
    "name",
    "attacker",
    "network",
    "sources",
    "kind",
    "per_second",
    "from_seconds",
    "until_seconds",
    "even",
    "ramp_seconds",
    "lifetime_seconds",
    "packet_every_seconds",
    "end",
    "stock",
    "stale",
    "stale_idle_seconds",
    "committed",
];

const KINDS: [(&str, FlowKind); 7] = [
    ("tcp", FlowKind::Tcp),
    ("syn", FlowKind::Syn),
    ("udp", FlowKind::Udp),
    ("one-way", FlowKind::OneWay),
    ("dns", FlowKind::Dns),
    ("icmp", FlowKind::Icmp),
    ("generic", FlowKind::Generic),
];

const ENDS: [(&str, FlowEnd); 4] = [
    ("close", FlowEnd::Close),
    ("reset", FlowEnd::Reset),
    ("silent", FlowEnd::Silent),
    ("half-closed", FlowEnd::HalfClosed),
];

fn traffic(table: &Value<'_, '_>) -> Read<Traffic> {
    let mut traffic = Traffic::new(ipnet::IpNet::from(std::net::IpAddr::from([10, 0, 0, 1])));
    entries(table, |value| {
        match value.key {
            "name" => traffic.name = value.text("a name")?.to_owned(),
            "attacker" => traffic.attacker = value.truth()?,
            "network" => traffic.network = value.network()?,
            "sources" => traffic.sources = value.whole(1..=u32::MAX.into())?,
            "kind" => traffic.kind = value.choice(&KINDS)?,
            "per_second" => {
                let what = "new flows a second, from 0 to 10000000";
                traffic.per_second = value.number(what, |n| (0.0..=1e7).contains(&n))?;
            }
            "from_seconds" => traffic.from_seconds = span(value)?,
            "until_seconds" => traffic.until_seconds = span(value)?,
            "even" => traffic.even = value.truth()?,
            "ramp_seconds" => traffic.ramp_seconds = span(value)?,
            "lifetime_seconds" => traffic.lifetime_seconds = span(value)?,
            "packet_every_seconds" => {
                let what = "a number of seconds from 0.01 to 8640000";
                traffic.packet_every_seconds = value.span(what, |n| (0.01..=LONGEST_SECONDS).contains(&n))?;
            }
            "end" => traffic.end = value.choice(&ENDS)?,
            "stock" => traffic.stock = value.whole(0..=MOST_ENTRIES)?,
            "stale" => traffic.stale = value.whole(0..=MOST_ENTRIES)?,
            "stale_idle_seconds" => traffic.stale_idle_seconds = range(value)?,
            "committed" => traffic.committed = value.truth()?,
            _ => return Err(unknown(value, "[[traffic]]", &TRAFFIC)),
        }
        Ok(())
    })?;
    let host_bits = traffic.network.max_prefix_len() - traffic.network.prefix_len();
    if host_bits < 32 && traffic.sources > 1 << host_bits && traffic.sources > 1 {
        let what = format!("{} has no room for {} sources", traffic.network, traffic.sources);
        return Err(table.fault(what).hint("widen `network`: 10.0.0.0/8 has room for 16777216"));
    }
    Ok(traffic)
}

fn range(value: &Value<'_, '_>) -> Read<(f64, f64)> {
    const WHAT: &str = "two numbers of seconds, such as [7500, 432000]";
    let ends = value.elements().ok_or_else(|| value.takes(WHAT))?;
    let [least, most] = ends.as_slice() else { return Err(value.takes(WHAT)) };
    let (least, most) = (span(least)?, span(most)?);
    if least > most { Err(value.takes("the lesser first")) } else { Ok((least, most)) }
}

fn event(table: &Value<'_, '_>) -> Read<Happening> {
    const KEYS: [&str; 5] = ["at_seconds", "set_max", "set_available_mib", "flush", "restart_agent"];
    let (mut at_seconds, mut what) = (0.0, None);
    entries(table, |value| {
        let change = match value.key {
            "at_seconds" => {
                at_seconds = span(value)?;
                return Ok(());
            }
            "set_max" => Change::SetMax(value.whole(1..=u32::MAX.into())?),
            "set_available_mib" => Change::SetAvailableBytes(mib(value)?),
            "flush" | "restart_agent" if !value.truth()? => return Err(value.takes("true, or is left out")),
            "flush" => Change::Flush,
            "restart_agent" => Change::RestartAgent,
            _ => return Err(unknown(value, "[[event]]", &KEYS)),
        };
        match what.replace(change) {
            None => Ok(()),
            Some(_) => Err(value.takes("a table of its own: one [[event]] is one change")),
        }
    })?;
    let nothing = || table.fault("an event needs a change").hint(format!("one of {}", KEYS[1..].join(", ")));
    Ok(Happening { at_seconds, what: what.ok_or_else(nothing)? })
}
