//! The baseline of what is one for the host, max and buckets. It lies beside the lease on them, so that whoever
//! holds the lease next, of whichever namespace, knows what was there before the first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::act::journal::{Baseline, Held, Loaded, Records, Ticket};
use crate::core::model::{Draft, Netns, RecordEvent, Value};

/// The host's baseline on disk, and whether this agent may write it.
#[derive(Debug, Default)]
pub(super) struct HostBaseline {
    dir: Option<PathBuf>,
    boot_id: String,
    /// RFC 3339, UTC.
    taken_at: String,
    /// This agent holds the lease.
    pub(super) owned: bool,
}

impl HostBaseline {
    pub(super) fn new(dir: Option<&Path>, boot_id: &str) -> Self {
        let taken_at = Baseline::new(boot_id, Netns { name: None, inode: 0 }).taken_at;
        HostBaseline { dir: dir.map(Path::to_owned), boot_id: boot_id.into(), taken_at, owned: false }
    }

    /// Reads the values that an earlier holder of the lease left, and a note about the file where there is one.
    pub(super) fn load(&self, dry: bool) -> (BTreeMap<Value, Held>, Option<Draft>) {
        let Some(dir) = &self.dir else { return Default::default() };
        let values = |baseline: Baseline| {
            baseline
                .values
                .into_iter()
                .filter(|(name, held)| name.is_of_host() && held.written.is_some())
                .collect()
        };
        // A dry run moves nothing aside. The file belongs to no namespace: its inode is 0.
        if dry {
            return (Baseline::peek(dir, &self.boot_id, 0).map(values).unwrap_or_default(), None);
        }
        match Baseline::load(dir, &self.boot_id, 0) {
            Loaded::Ours(baseline) => (values(baseline), None),
            Loaded::None => Default::default(),
            Loaded::SetAside { path, why } => {
                let note =
                    format!("the baseline of max and buckets was set aside as {}: {why}", path.display());
                (BTreeMap::new(), Some(Draft::new(0, RecordEvent::Drift, note)))
            }
            Loaded::Unreadable(why) => {
                let note = format!("the baseline of max and buckets cannot be read: {why}");
                (BTreeMap::new(), Some(Draft::new(0, RecordEvent::Drift, note)))
            }
        }
    }

    /// Writes what is held, and removes the file once nothing is. Only the lease's holder does; what fails leaves the
    /// namespace's own baseline, which has the same values.
    pub(super) fn save(&self, values: &BTreeMap<Value, Held>) {
        let Some(dir) = self.dir.as_ref().filter(|_| self.owned) else { return };
        let _ = match self.image(values) {
            Some(image) => image.save_before_write(dir).is_ok(),
            None => Baseline::remove(dir).is_ok(),
        };
    }

    /// Has `records` write what is held, or remove the file once nothing is.
    pub(super) fn want(&self, records: &Records, values: &BTreeMap<Value, Held>) -> Option<Ticket> {
        let path = Baseline::path(self.dir.as_ref().filter(|_| self.owned)?);
        Some(match self.image(values) {
            Some(image) => records.put(&path, image.text()),
            None => records.remove(&path),
        })
    }

    /// The file is another's from now on.
    pub(super) fn forget(&self, records: Option<&Records>) {
        if let (Some(records), Some(dir)) = (records, &self.dir) {
            records.forget(&Baseline::path(dir));
        }
    }

    /// The file's content; `None` if nothing is held.
    fn image(&self, values: &BTreeMap<Value, Held>) -> Option<Baseline> {
        let held = values.iter().filter(|(name, held)| name.is_of_host() && held.written.is_some());
        let held: BTreeMap<Value, Held> = held.map(|(name, held)| (*name, *held)).collect();
        let netns = Netns { name: Some("host".into()), inode: 0 };
        // Equal values make an equal file: it has no time of its own.
        let baseline = Baseline { taken_at: self.taken_at.clone(), ..Baseline::new(&self.boot_id, netns) };
        (!held.is_empty()).then_some(Baseline { values: held, ..baseline })
    }
}
