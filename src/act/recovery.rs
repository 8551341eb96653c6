//! The baseline in use: what the agent found, what it wrote, and how that goes back. Shared by the agent's end, by a
//! start after a crash, and by `ctctl revert`.

mod host;
mod notice;
mod prepare;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::act::executor::Values;
use crate::act::journal::{
    Baseline, Held, Loaded, Records, SharedDisk, TimeoutsSeen, broken_since_boot, has_trail, trail,
};
use crate::core::model::{Draft, Netns, RecordEvent, RevertRow, Value};
use crate::error::{Error, Result};
use host::HostBaseline;
pub use notice::Noticed;
use prepare::Prepared;
pub use prepare::Readiness;

/// Resizing the hash holds every packet for about half a microsecond an entry (`nf_conntrack_hash_resize`): up to here
/// that is 20 ms.
const SMALL_ENTRIES: u64 = 40_000;

const NOT_KNOWN: &str = "what was changed is not known any more: hold the values of `ctctl status -v` against those of \
                         your sysctl files";

/// Reason for which values may be held though neither a baseline nor the journal says so.
fn lost(dir: &Path, boot_id: &str, netns: &Netns) -> Option<String> {
    if has_trail(dir, boot_id, netns.inode) {
        return None;
    }
    let seen = TimeoutsSeen::load(dir, boot_id, netns.inode);
    match broken_since_boot(dir) {
        Some(path) => Some(format!("the baseline was broken and is set aside as {}", path.display())),
        // An agent that begins records its baseline first, and one that ends in order says when it looked last.
        None if seen.watcher.is_some() => {
            Some("an agent of this boot did not end in order, and its baseline is gone".into())
        }
        None => None,
    }
}

/// The error of a revert where the whole state directory of an agent that did not end in order is gone: its socket,
/// which it removes as it ends, is left of it alone.
pub fn directory_lost(dir: &Path, socket: &Path) -> Error {
    let (dir, socket) = (dir.display(), socket.display());
    let why = format!(
        "an agent did not end in order ({socket} is left of it), and its state directory {dir} is gone"
    );
    Error::no("revert", why).hint(NOT_KNOWN)
}

/// Keeps the baseline true, on disk and in memory.
#[derive(Debug)]
pub struct Keeper {
    dir: PathBuf,
    baseline: Baseline,
    /// A dry run writes none.
    dry: bool,
    /// Values that this agent held when somebody else wrote over them.
    displaced: BTreeMap<Value, Held>,
    /// Max and buckets, for the next owner of them.
    host: HostBaseline,
    /// Writer of an agent's files; `None` where this process writes them itself.
    records: Option<Records>,
    /// Values that are recorded as about to be written, and were not yet.
    prepared: BTreeMap<Value, Prepared>,
    /// Reason for which the baseline in the state directory was not taken.
    set_aside: Option<String>,
}

impl Keeper {
    /// Takes the baseline at start: what an earlier agent of this boot and namespace still holds keeps the value that
    /// it found; everything else is as it is now. The records to journal come with it.
    ///
    /// `dir` is the state directory, which is read and written by way of `disk`; in `host_dir` lies what an earlier
    /// owner of max and buckets left.
    ///
    /// # Errors
    /// Exit 3 if it cannot be put on disk: without it, a crash would leave values changed for ever.
    pub fn take(
        (dir, host_dir): (&Path, Option<&Path>),
        boot_id: &str,
        netns: &Netns,
        values: &BTreeMap<Value, u64>,
        dry: bool,
        disk: &SharedDisk,
    ) -> Result<(Keeper, Vec<Draft>)> {
        let mut notes = Vec::new();
        // A dry run moves no file of another agent's aside.
        let loaded = if dry { Loaded::None } else { disk.baseline(dir, boot_id, netns.inode) };
        let mut earlier = match loaded {
            Loaded::Ours(baseline) => baseline.values,
            Loaded::None => disk.trail(dir, boot_id, netns.inode),
            Loaded::SetAside { path, why } => {
                let note = format!("a baseline was set aside as {}: {why}", path.display());
                notes.push(Draft::new(0, RecordEvent::Drift, note));
                disk.trail(dir, boot_id, netns.inode)
            }
            Loaded::Unreadable(why) => return Err(Loaded::unreadable(why)),
        };
        // Whoever owned max and buckets last, of whichever namespace, knows best what they were.
        let mut host = HostBaseline::new(host_dir, boot_id);
        let (left, warning) = host.load(dry);
        notes.extend(warning);
        host.owned = values.keys().any(|name| name.is_of_host());
        if host.owned {
            earlier.extend(left);
        } else {
            earlier.retain(|name, _| !left.contains_key(name));
        }
        let mut baseline = Baseline::new(boot_id, netns.clone());
        for (name, &now) in values {
            let held = earlier.get(name).filter(|held| held.owns(now));
            let held = held.filter(|held| held.found != now);
            let kept = held.map(|held| Held { written: Some(now), ..*held });
            baseline.values.insert(*name, kept.unwrap_or(Held::found(now)));
            if let Some(held) = held {
                let note = format!("an earlier agent left {name} at {now}; it was {} before", held.found);
                notes.push(Draft { name: Some(name.to_string()), ..Draft::new(0, RecordEvent::Drift, note) });
            }
        }
        // A value that an earlier agent holds and this one may not write now (another owns the host's values) is not
        // forgotten.
        let held = earlier.iter().filter(|(_, held)| held.written.is_some());
        for (name, held) in held.filter(|(name, _)| !values.contains_key(*name)) {
            baseline.values.insert(*name, *held);
        }
        let keeper = Keeper { dry, host, ..Self::with(dir, baseline) };
        if !dry {
            disk.save(&keeper.baseline, dir)?;
            keeper.host.save(&keeper.baseline.values);
        }
        Ok((keeper, notes))
    }

    /// The baseline that lies in a state directory, for `revert` without an agent.
    ///
    /// # Errors
    /// Exit 1 if there is one, but of another boot or namespace.
    pub fn found(dir: &Path, boot_id: &str, netns: &Netns) -> Result<Keeper> {
        match Baseline::load(dir, boot_id, netns.inode) {
            Loaded::Ours(baseline) => Ok(Self::with(dir, baseline)),
            Loaded::Unreadable(why) => Err(Loaded::unreadable(why)),
            // Gone or broken: what the journal says of this boot and namespace is all that is known.
            Loaded::None => {
                let lost = lost(dir, boot_id, netns).map(|why| Error::no("revert", why).hint(NOT_KNOWN));
                lost.map_or_else(|| Ok(Self::followed(dir, boot_id, netns)), Err)
            }
            Loaded::SetAside { path, why } => {
                let mut keeper = Self::followed(dir, boot_id, netns);
                let why = format!("the baseline was set aside as {}: {why}", path.display());
                if keeper.is_clear() {
                    return Err(Error::no("revert", why).hint(NOT_KNOWN));
                }
                keeper.set_aside = Some(format!("{why}; what the journal says was put back instead"));
                Ok(keeper)
            }
        }
    }

    fn followed(dir: &Path, boot_id: &str, netns: &Netns) -> Keeper {
        let values = trail(dir, boot_id, netns.inode);
        let baseline = Baseline { values, ..Baseline::new(boot_id, netns.clone()) };
        Self::with(dir, baseline)
    }

    fn with(dir: &Path, baseline: Baseline) -> Keeper {
        let host = HostBaseline::new(None, &baseline.boot_id);
        Keeper {
            dir: dir.to_owned(),
            baseline,
            dry: false,
            displaced: BTreeMap::new(),
            host,
            records: None,
            prepared: BTreeMap::new(),
            set_aside: None,
        }
    }

    /// Reason for which the baseline in the state directory was not taken, and what was done instead.
    pub fn set_aside(&self) -> Option<&str> {
        self.set_aside.as_deref()
    }

    /// Adds the values that an owner of max and buckets left in `host_dir`: they go back together with the values of
    /// this baseline.
    pub fn beside(mut self, host_dir: &Path) -> Keeper {
        self.host = HostBaseline::new(Some(host_dir), &self.baseline.boot_id);
        let (left, _) = self.host.load(true);
        let same = |(name, held): (&Value, &Held)| {
            self.baseline.values.get(name).is_some_and(|own| own.written == held.written)
        };
        self.host.owned = !left.is_empty() && left.iter().all(same);
        self
    }

    /// Values as they were before any agent changed them.
    pub fn baseline(&self) -> BTreeMap<Value, u64> {
        self.baseline.values.iter().map(|(name, held)| (*name, held.found)).collect()
    }

    /// Records that `to` is about to be written over `from`.
    ///
    /// # Errors
    /// If that cannot be recorded; the value may be written all the same, for the baseline is on disk already.
    pub fn will_write(&mut self, name: Value, from: u64, to: u64) -> Result<()> {
        self.prepared.remove(&name);
        self.baseline.will_write(name, from, to);
        self.save()
    }

    /// The value is back, or was never changed.
    pub fn released(&mut self, name: Value) {
        self.prepared.remove(&name);
        if let Some(held) = self.baseline.values.get_mut(&name) {
            held.written = None;
        }
        let _ = self.save();
    }

    /// The value was not written after all: it is as it was before.
    pub fn unwritten(&mut self, name: Value, from: u64) {
        self.prepared.remove(&name);
        if let Some(held) = self.baseline.values.get_mut(&name) {
            held.written = (from != held.found).then_some(from);
        }
        let _ = self.save();
    }

    fn save(&self) -> Result<()> {
        if self.dry {
            return Ok(());
        }
        if let Some(records) = &self.records {
            self.want(records);
            return Ok(());
        }
        self.host.save(&self.baseline.values);
        self.baseline.save_before_write(&self.dir)
    }

    /// Puts back every value that is still as the agent wrote it, as far as that is safe now.
    ///
    /// max is not lowered below `entries` x 100 / `low_percent`: the table would be under pressure again at once, or
    /// full. With `force` it is.
    pub fn restore(
        &mut self,
        values: &impl Values,
        entries: u64,
        low_percent: f64,
        force: bool,
    ) -> Vec<RevertRow> {
        let changed = self.baseline.values.iter().filter(|(_, held)| held.written.is_some());
        let changed: Vec<(Value, Held)> = changed.map(|(name, held)| (*name, *held)).collect();
        let mut rows = Vec::new();
        // The values that another agent wrote lie beside the lease on the host's values.
        let (hosts, _) = self.host.load(true);
        for (name, held) in changed {
            let another = hosts.get(&name).filter(|_| !self.host.owned);
            let row = restore_one(values, name, (held, another), (entries, low_percent), force);
            if row.as_ref().is_none_or(|row| row.result == "restored" || row.result == "left") {
                self.released(name);
            }
            rows.extend(row);
        }
        rows
    }

    /// Nothing is held any more: the next start takes a new baseline.
    pub fn is_clear(&self) -> bool {
        self.baseline.values.values().all(|held| held.written.is_none())
    }

    /// Removes a baseline that holds nothing.
    pub fn close(&mut self) {
        self.prepared.clear();
        if self.dry || !self.is_clear() {
            let _ = self.save();
            return;
        }
        match &self.records {
            Some(records) => drop(records.remove(&Baseline::path(&self.dir))),
            None => drop(Baseline::remove(&self.dir)),
        }
    }
}

fn restore_one(
    values: &impl Values,
    name: Value,
    (held, another): (Held, Option<&Held>),
    (entries, low_percent): (u64, f64),
    force: bool,
) -> Option<RevertRow> {
    let found = held.found;
    let row = |from: u64, result: &str, reason: Option<String>| {
        Some(RevertRow { name: name.to_string(), from, to: found, result: result.into(), reason })
    };
    let now = match values.read(name) {
        Ok(now) => now,
        Err(error) => return row(held.written.unwrap_or(found), "failed", Some(error.to_string())),
    };
    if now == found {
        return None;
    }
    if !held.owns(now) {
        let reason = match another.and_then(|held| held.written) {
            Some(written) if written == now => format!("another agent set it to {now} and puts it back"),
            _ => format!("someone else set it to {now}"),
        };
        return row(now, "left", Some(reason));
    }
    let safe = (entries as f64 * 100.0 / low_percent).ceil() as u64;
    if name == Value::Max && found != 0 && found < now && found < safe && !force {
        let reason =
            format!("{entries} entries are more than {low_percent} % of {found}: max would be short at once");
        return row(now, "waits", Some(reason));
    }
    if name == Value::Buckets && entries > SMALL_ENTRIES && !force {
        let reason = format!("moving {entries} entries would hold up every packet meanwhile");
        return row(now, "waits", Some(reason));
    }
    match values.write(name, found) {
        Ok(_) => row(now, "restored", None),
        Err(error) => row(now, "failed", Some(error.to_string())),
    }
}

#[cfg(test)]
mod hands_tests;
#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
