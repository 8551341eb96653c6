//! The values that hold today, without those that only an emergency made.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use super::Order;
use crate::act::journal::{Baseline, Held, trail};
use crate::core::model::{PersistedValue, Timeout, Value};
use crate::error::{Error, Result};
use crate::linux::netns::Namespace;
use crate::linux::root::Root;
use crate::linux::sysctl::ConntrackSysctls;
use crate::linux::{clock, module};

/// Switches of a namespace, and the kernel's defaults of them (nf_conntrack_pernet_init, nf_conntrack_tcp_init_net).
const SWITCHES: &[(&str, u64)] = &[
    ("events", 2),
    ("acct", 0),
    ("checksum", 1),
    ("log_invalid", 0),
    ("tcp_be_liberal", 0),
    ("tcp_ignore_invalid_rst", 0),
    ("tcp_loose", 1),
    ("tcp_max_retrans", 3),
    ("timestamp", 0),
];
/// Values that exist once for the host.
const HOST: [&str; 2] = ["buckets", "max"];

/// A value of the kernel, and its sysctl.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CurrentValue {
    pub(super) key: String,
    pub(super) now: u64,
    /// Value that the agent found before it changed it; `None` if it did not change it.
    pub(super) before: Option<u64>,
}

/// Values that the kernel holds now.
#[derive(Clone, Default, Debug)]
pub(super) struct Today {
    pub(super) values: BTreeMap<&'static str, CurrentValue>,
    /// True if this namespace may set max and buckets.
    pub(super) host: bool,
    /// True if nf_conntrack is built into the kernel: nothing is loaded, and modprobe.d is not read.
    pub(super) built_in: bool,
    /// True if the agent keeps events at 1.
    pub(super) events: bool,
}

impl Today {
    /// Reads the values of the calling thread's namespace.
    pub(super) fn read(kernel: &Root, namespace: &Namespace, order: &Order) -> Result<Today> {
        let sysctls = ConntrackSysctls::open_at(kernel.clone())?;
        let (boot_id, inode) = (clock::boot_id(), namespace.netns().inode);
        let held = all_held(order, &boot_id, inode)?;
        Ok(Today {
            values: read(&sysctls, &held, namespace.is_first()),
            host: namespace.is_first(),
            built_in: module::is_built_in(kernel, "nf_conntrack"),
            events: order.events,
        })
    }

    /// Returns the values that a file has to set: those that differ from the kernel's default, and those that another
    /// file sets.
    pub(super) fn worth_writing(&self, set_by_others: impl Fn(&str) -> bool) -> Vec<PersistedValue> {
        let default = |name: &str| {
            let switch = SWITCHES.iter().find(|(switch, _)| *switch == name).map(|(_, value)| *value);
            switch.or_else(|| Timeout::named(name).map(|t| t.spec().kernel_default_seconds.into()))
        };
        let order = HOST.into_iter().chain(SWITCHES.iter().map(|(name, _)| *name));
        let order = order.chain(Timeout::all().map(Timeout::name));
        let rows = order.filter_map(|name| Some((name, self.values.get(name)?)));
        let rows = rows.map(|(name, found)| self.row(name, found));
        rows.filter(|row| default(&row.name) != Some(row.value) || set_by_others(&row.name)).collect()
    }

    fn row(&self, name: &str, found: &CurrentValue) -> PersistedValue {
        let now = found.now;
        let (value, reason) = match found.before {
            Some(_) if name == "events" && self.events && now == 1 => (
                1,
                Some("the agent's, and wanted from boot on: every entry then ends with an event".to_owned()),
            ),
            Some(before) => {
                let why = format!("{now} is the agent's, made under pressure; {before} is what it found");
                (before, Some(why))
            }
            None => (now, None),
        };
        PersistedValue {
            name: name.into(),
            value,
            now,
            reason: reason.filter(|_| value != now || name == "events"),
        }
    }

    /// Returns sentences on what the files cannot set.
    pub(super) fn notes(&self, values: &[PersistedValue]) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.host {
            notes.push("max and buckets belong to the first network namespace and are left out".to_owned());
        }
        let buckets = values.iter().find(|row| row.name == "buckets").filter(|_| self.built_in);
        notes.extend(buckets.map(|row| {
            format!(
                "nf_conntrack is built into this kernel, which reads no modprobe.d for it: the buckets are set by \
                 sysctl.d, or on the kernel's command line by nf_conntrack.hashsize={}",
                row.value
            )
        }));
        notes
    }

    /// Returns the sysctl of a value, empty if it is unknown.
    pub(super) fn key(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |found| &found.key)
    }
}

fn read(
    sysctls: &ConntrackSysctls,
    held: &BTreeMap<Value, Held>,
    host: bool,
) -> BTreeMap<&'static str, CurrentValue> {
    let names = SWITCHES.iter().map(|(name, _)| *name).chain(Timeout::all().map(Timeout::name));
    let names = names.chain(HOST.into_iter().filter(|_| host));
    let found = names.filter_map(|name| {
        let now = sysctls.read(name).ok()?;
        let held = Value::named(name).and_then(|value| held.get(&value));
        let before = held.filter(|held| held.owns(now) && held.found != now);
        Some((name, CurrentValue { key: sysctls.key(name)?, now, before: before.map(|held| held.found) }))
    });
    found.collect()
}

/// Returns the values that agents changed: those of this namespace, and those of the host.
pub(super) fn all_held(order: &Order, boot_id: &str, inode: u64) -> Result<BTreeMap<Value, Held>> {
    let mut held = held(&order.state_dir, boot_id, inode)?;
    held.extend(held_of_host(&order.host_dir, boot_id)?);
    Ok(held)
}

/// Returns the values that the agent of this namespace changed: from its baseline, or without one from its journal.
fn held(dir: &Path, boot_id: &str, inode: u64) -> Result<BTreeMap<Value, Held>> {
    readable(dir)?;
    Ok(Baseline::peek(dir, boot_id, inode)
        .map_or_else(|| trail(dir, boot_id, inode), |baseline| baseline.values))
}

/// Returns max and buckets as their first owner found them, whichever namespace it watches. The file belongs to no
/// namespace, so it has inode 0.
fn held_of_host(dir: &Path, boot_id: &str) -> Result<BTreeMap<Value, Held>> {
    readable(dir)?;
    Ok(Baseline::peek(dir, boot_id, 0).map(|baseline| baseline.values).unwrap_or_default())
}

/// Checks that the baseline can be read, if it exists: only it tells which values the agent changed.
fn readable(dir: &Path) -> Result<()> {
    let path = dir.join("baseline.json");
    match std::fs::File::open(&path) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let why = format!("{}: {error}: which values are the agent's cannot be known", path.display());
            Err(Error::unreachable("persist", why).hint("run it as root"))
        }
        _ => Ok(()),
    }
}
