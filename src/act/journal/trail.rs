//! Follows the journal alone to the values that are still held: for when the baseline is gone or broken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Held;
use super::read::read;
use crate::core::model::{JournalRecord, RecordEvent, Value};

/// The values that an agent of this boot and namespace wrote and nobody put back, by following its acts in order.
/// Nothing where there is no journal.
pub fn trail(dir: &Path, boot_id: &str, inode: u64) -> BTreeMap<Value, Held> {
    let records = read(dir, 0, None, |_| {}).unwrap_or_default();
    let (mut held, mut doubtful) = (BTreeMap::new(), BTreeSet::new());
    for record in records.iter().filter(|r| r.boot_id == boot_id && r.netns.inode == inode && !r.dry_run) {
        follow(&mut held, &mut doubtful, record);
    }
    held.retain(|name, _| !doubtful.contains(name));
    held
}

/// True if the journal has records of this boot and namespace.
pub fn has_trail(dir: &Path, boot_id: &str, inode: u64) -> bool {
    let records = read(dir, 0, None, |_| {}).unwrap_or_default();
    records.iter().any(|r| r.boot_id == boot_id && r.netns.inode == inode && !r.dry_run)
}

/// An act that does not go on from where the last one ended is not to be followed: a record is missing or wrong.
fn follow(held: &mut BTreeMap<Value, Held>, doubtful: &mut BTreeSet<Value>, record: &JournalRecord) {
    let value = record.name.as_deref().and_then(Value::named);
    let (Some(value), Some(from), Some(to)) = (value, record.from, record.to) else { return };
    match record.event {
        RecordEvent::Done => {
            let kept = held.entry(value).or_insert(Held::found(from));
            if kept.written.is_some_and(|written| written != from) {
                doubtful.insert(value);
            }
            kept.written = Some(to);
            if kept.found == to {
                held.remove(&value);
            }
        }
        RecordEvent::Reverted | RecordEvent::Drift => {
            held.remove(&value);
            doubtful.remove(&value);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::journal::Journal;
    use crate::core::model::{Draft, Netns};

    #[test]
    fn what_was_written_and_not_put_back_is_held() {
        let dir = tempfile::tempdir().expect("a directory");
        let netns = Netns { name: None, inode: 7 };
        let mut journal = Journal::open(dir.path(), "b", netns);
        let mut act = |event, name: &str, from, to| {
            let draft = Draft {
                name: Some(name.into()),
                from: Some(from),
                to: Some(to),
                ..Draft::new(1, event, "why")
            };
            journal.append_durably(draft, std::time::Duration::from_secs(5));
        };
        act(RecordEvent::Done, "max", 100, 150);
        act(RecordEvent::Done, "max", 150, 225);
        act(RecordEvent::Done, "events", 2, 1);
        act(RecordEvent::Reverted, "events", 1, 2);
        act(RecordEvent::Done, "udp_timeout_stream", 300, 200);
        act(RecordEvent::Done, "udp_timeout_stream", 200, 300);
        act(RecordEvent::Failed, "generic_timeout", 600, 240);
        act(RecordEvent::Done, "udp_timeout", 30, 20);
        act(RecordEvent::Done, "udp_timeout", 25, 10);
        drop(journal);
        let held = trail(dir.path(), "b", 7);
        assert_eq!(held.keys().collect::<Vec<_>>(), [&Value::Max]);
        assert_eq!((held[&Value::Max].found, held[&Value::Max].written), (100, Some(225)));
        assert!(trail(dir.path(), "another boot", 7).is_empty());
        assert!(trail(dir.path(), "b", 8).is_empty());
    }
}
