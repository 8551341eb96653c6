//! Readers that the keys of [`super::tables`] name, and the faults of unknown keys.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use toml::de::DeValue;

use super::fault::{Fault, nearest, shown};
use super::tables::TABLES;
use super::value::{Read, Value};
use crate::core::model::network;
use crate::core::model::{Settings, TIMEOUTS, TimeoutSettings};

/// A table of the file.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Description for the generated file.
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

/// A key with its reader and its description.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Description of the effect, and of the grounds for the default; lines of the generated file.
    pub(super) about: &'static str,
    pub(super) set: fn(&mut Settings, &Value<'_, '_>) -> Read<()>,
    /// Returns the value as TOML writes it.
    pub(super) show: fn(&Settings) -> String,
}

impl Table {
    /// Returns the keys of the table; those of `[timeouts]` include the floor of every timeout that has one.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let floors = TIMEOUTS.iter().filter_map(|t| t.floor_key).filter(|_| self.name == "timeouts");
        self.keys.iter().map(|key| key.name).chain(floors).collect()
    }

    /// Reads one value into its field of the settings.
    pub(super) fn set(&self, settings: &mut Settings, value: &Value<'_, '_>) -> Read<()> {
        if let Some(key) = self.keys.iter().find(|key| key.name == value.key) {
            return (key.set)(settings, value);
        }
        if self.name == "timeouts"
            && let Some(timeout) = TimeoutSettings::timeout_of_key(value.key)
        {
            settings.timeouts.floors_seconds.insert(timeout, seconds(value)?);
            return Ok(());
        }
        Err(self.unknown_key(value))
    }

    fn unknown_key(&self, value: &Value<'_, '_>) -> Fault {
        let fault =
            Fault::new(value.key_at, format!("unknown key `{}` in [{}]", shown(value.key), self.name));
        let untouched = |t: &&crate::core::model::TimeoutSpec| {
            t.floor_key.is_none() && floor_key_of(t.name) == value.key && self.name == "timeouts"
        };
        if let Some(timeout) = TIMEOUTS.iter().find(untouched) {
            return fault.hint(format!("{} is never shortened, so it has no floor", timeout.name));
        }
        if let Some(hint) = belongs_elsewhere(value.key) {
            return fault.hint(hint);
        }
        let names = self.names();
        match nearest(value.key, &names) {
            Some(name) => fault.hint(format!("did you mean `{name}`?")),
            None => fault.hint(format!("[{}] takes {}", self.name, names.join(", "))),
        }
    }
}

/// Returns the fault of a root entry of the document that is none of [`TABLES`].
pub(super) fn unknown_table(root: &Value<'_, '_>) -> Fault {
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let is_table = matches!(root.content(), DeValue::Table(_));
    let kind = if is_table { "table" } else { "key" };
    let place = if is_table { "" } else { " outside any table" };
    let fault = Fault::new(root.key_at, format!("unknown {kind} `{}`{place}", shown(root.key)));
    if let Some(hint) = belongs_elsewhere(root.key) {
        return fault.hint(hint);
    }
    match nearest(root.key, &names) {
        Some(name) => fault.hint(format!("did you mean `[{name}]`?")),
        None => fault.hint(format!("the tables are {}", names.join(", "))),
    }
}

fn belongs_elsewhere(key: &str) -> Option<String> {
    let owners = TABLES.iter().filter(|table| table.names().contains(&key));
    let owners: Vec<String> = owners.map(|table| format!("[{}]", table.name)).collect();
    (!owners.is_empty()).then(|| format!("`{key}` belongs in {}", owners.join(" or ")))
}

/// Returns the key that the floor of a timeout would have: `tcp_fin_wait_floor_seconds` for `tcp_timeout_fin_wait`.
fn floor_key_of(timeout: &str) -> String {
    format!("{}_floor_seconds", timeout.replacen("_timeout", "", 1))
}

pub(super) fn watermark(value: &Value<'_, '_>) -> Read<f64> {
    value.number("a number above 0 and at most 100", |n| n > 0.0 && n <= 100.0)
}

/// Reads a span of time in the unit of its key. The bound keeps it inside the range of a `Duration`.
pub(super) fn span(value: &Value<'_, '_>) -> Read<f64> {
    value.span("a number from 0 to 4294967295", |n| (0.0..=f64::from(u32::MAX)).contains(&n))
}

pub(super) fn seconds(value: &Value<'_, '_>) -> Read<u32> {
    value.whole_span(1..=u32::MAX.into())
}

/// Reads a number of entries: `nf_conntrack_max` is an unsigned int.
pub(super) fn entries(value: &Value<'_, '_>) -> Read<u64> {
    value.whole(0..=u32::MAX.into())
}

pub(super) fn ports(value: &Value<'_, '_>) -> Read<Vec<u16>> {
    value.list("a list of ports", |port| port.whole(1..=u16::MAX.into()))
}

pub(super) fn prefixes(value: &Value<'_, '_>) -> Read<(u8, u8)> {
    const WHAT: &str = "two prefix lengths, IPv4 and IPv6, such as [32, 64]";
    let lengths = value.elements().ok_or_else(|| value.takes(WHAT))?;
    let [v4, v6] = lengths.as_slice() else {
        return Err(value.takes(WHAT));
    };
    Ok((v4.whole(1..=32)?, v6.whole(1..=128)?))
}

pub(super) fn weights(value: &Value<'_, '_>) -> Read<Vec<(IpNet, f64)>> {
    const WHAT: &str = "a table of networks with their weights, such as { \"10.0.0.0/8\" = 20 }";
    let DeValue::Table(table) = value.content() else {
        return Err(value.takes(WHAT));
    };
    let mut seen = HashSet::new();
    let mut weights = Vec::new();
    for entry in Value::entries(table) {
        let Some(network) = network(entry.key) else {
            let what = format!("`{}` is neither an address nor a network", shown(entry.key));
            return Err(Fault::new(entry.key_at, what).hint("write it in quotes: \"10.0.0.0/8\" = 20"));
        };
        if !seen.insert(network) {
            return Err(Fault::new(entry.key_at, format!("{network} has a weight already")));
        }
        weights.push((network, entry.number("a number above 0", |n| n > 0.0)?));
    }
    Ok(weights)
}

/// Reads names as `ip netns` knows them (it takes no `/`, and `.` and `..` are no names), or absolute paths.
pub(super) fn namespaces(value: &Value<'_, '_>) -> Read<Vec<String>> {
    const WHAT: &str = "a namespace's name or absolute path, or a list of these";
    let named = |element: &Value<'_, '_>| {
        let name = element.text(WHAT)?;
        let is_name = !name.contains('/') && !matches!(name, "" | "." | "..");
        let fits = (is_name || name.starts_with('/')) && !name.contains(char::is_control);
        if fits { Ok(name.to_owned()) } else { Err(element.takes(WHAT)) }
    };
    let Some(elements) = value.elements() else {
        return named(value).map(|name| vec![name]);
    };
    let mut names = Vec::new();
    for element in &elements {
        let name = named(element)?;
        if names.contains(&name) {
            return Err(element.takes("each namespace once"));
        }
        names.push(name);
    }
    Ok(names)
}

pub(super) fn path(value: &Value<'_, '_>) -> Read<PathBuf> {
    let path = value.text("a path")?;
    if path.is_empty() {
        return Err(value.takes("a path").hint("without the key the default is used"));
    }
    if path.contains('\0') { Err(value.takes("a path without NUL")) } else { Ok(path.into()) }
}

/// Longest path of a socket: sun_path of unix(7) holds 108 bytes, the last of them NUL.
const LONGEST_SOCKET_PATH_BYTES: usize = 107;

pub(super) fn socket_path(value: &Value<'_, '_>) -> Read<PathBuf> {
    let path = path(value)?;
    let fits = path.as_os_str().len() <= LONGEST_SOCKET_PATH_BYTES;
    if fits { Ok(path) } else { Err(value.takes("a path of at most 107 bytes")) }
}

pub(super) fn group(value: &Value<'_, '_>) -> Read<String> {
    let name = value.text("a group's name")?;
    let fits = !name.contains(|c: char| c.is_control() || c == ':');
    if fits { Ok(name.to_owned()) } else { Err(value.takes("a group's name")) }
}

pub(super) fn listen(value: &Value<'_, '_>) -> Read<String> {
    const WHAT: &str = "ADDRESS:PORT, unix:PATH or \"\"";
    let text = value.text(WHAT)?;
    let fits = match text.strip_prefix("unix:") {
        Some(path) => !path.is_empty() && !path.contains('\0') && path.len() <= LONGEST_SOCKET_PATH_BYTES,
        None => text.is_empty() || text.parse::<SocketAddr>().is_ok(),
    };
    if fits {
        return Ok(text.to_owned());
    }
    Err(value
        .takes(WHAT)
        .hint("such as \"127.0.0.1:9466\", \"[::1]:9466\" or \"unix:/run/ctctl/metrics.sock\""))
}
