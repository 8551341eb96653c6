//! A line of the journal.

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::level::Level;
use super::wish::{Asker, Changed, HandFlush};

/// A network namespace as answers and journal name it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Netns {
    /// `host`, the name that `ip netns` knows, or nothing.
    pub name: Option<String>,
    /// Inode of the namespace; 0 where there is none (files, a simulation), which documents write as null.
    #[serde(with = "known_inode")]
    pub inode: u64,
}

/// No namespace has the inode 0.
mod known_inode {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(inode: &u64, to: S) -> Result<S::Ok, S::Error> {
        Some(*inode).filter(|inode| *inode != 0).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        Option::deserialize(from).map(Option::unwrap_or_default)
    }
}

impl Netns {
    /// The key that names its files: its name, or `net-INODE`.
    pub fn key(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("net-{}", self.inode))
    }
}

/// Kind of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum RecordEvent {
    Intend,
    Done,
    Failed,
    Deferred,
    Reverted,
    Level,
    Drift,
}

impl RecordEvent {
    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Intend => "intend",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Deferred => "deferred",
            Self::Reverted => "reverted",
            Self::Level => "level",
            Self::Drift => "drift",
        }
    }
}

/// A line of `journal.jsonl`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Version of the format, always 1.
    pub schema: u32,
    /// RFC 3339, UTC.
    pub at: String,
    /// Counts up for ever.
    pub seq: u64,
    /// The act that this record belongs to.
    pub id: u64,
    /// Boot that it is of (/proc/sys/kernel/random/boot_id).
    pub boot_id: String,
    /// Network namespace that it is of.
    pub netns: Netns,
    /// Kind of the record.
    pub event: RecordEvent,
    /// Level at that time.
    pub level: Option<Level>,
    /// Level before, where it has just changed.
    #[serde(default)]
    pub level_before: Option<Level>,
    /// `raise-max`, `flush` …
    pub action: Option<String>,
    /// Name of the value, for actions that set one.
    pub name: Option<String>,
    /// Class, for actions on entries.
    pub class: Option<Class>,
    /// Value before the act.
    pub from: Option<u64>,
    /// Value after the act.
    pub to: Option<u64>,
    /// Entries asked for.
    pub requested: Option<u64>,
    /// Entries that went.
    pub achieved: Option<u64>,
    /// Seconds that it took.
    pub duration_seconds: Option<f64>,
    /// Reason, as a sentence.
    pub reason: String,
    /// Usage before the act, in percent.
    pub usage_before_percent: Option<f64>,
    /// Usage after the act, in percent: after all acts of its sweep, where it shared one.
    pub usage_after_percent: Option<f64>,
    /// Number of acts that one sweep did together, this one included; the fall of usage is that of all of them.
    #[serde(default)]
    pub acts_together: Option<u64>,
    /// Nothing was changed.
    pub dry_run: bool,
    /// User that asked for it, where no policy decided it.
    #[serde(default)]
    pub by: Option<Asker>,
    /// Time at which it ends by itself: RFC 3339, UTC.
    #[serde(default)]
    pub until: Option<String>,
    /// Keys of the configuration that changed.
    #[serde(default)]
    pub changes: Vec<Changed>,
}

/// A record before the journal gives it its time, number, boot and namespace.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub struct Draft {
    pub id: u64,
    pub event: RecordEvent,
    pub level: Option<Level>,
    pub level_before: Option<Level>,
    pub action: Option<String>,
    pub name: Option<String>,
    pub class: Option<Class>,
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub requested: Option<u64>,
    pub achieved: Option<u64>,
    pub duration_seconds: Option<f64>,
    pub reason: String,
    pub usage_before_percent: Option<f64>,
    pub usage_after_percent: Option<f64>,
    pub acts_together: Option<u64>,
    pub dry_run: bool,
    pub by: Option<Asker>,
    pub until: Option<String>,
    pub changes: Vec<Changed>,
}

impl From<&JournalRecord> for Draft {
    fn from(record: &JournalRecord) -> Self {
        let record = record.clone();
        Draft {
            id: record.id,
            event: record.event,
            level: record.level,
            level_before: record.level_before,
            action: record.action,
            name: record.name,
            class: record.class,
            from: record.from,
            to: record.to,
            requested: record.requested,
            achieved: record.achieved,
            duration_seconds: record.duration_seconds,
            reason: record.reason,
            usage_before_percent: record.usage_before_percent,
            usage_after_percent: record.usage_after_percent,
            acts_together: record.acts_together,
            dry_run: record.dry_run,
            by: record.by,
            until: record.until,
            changes: record.changes,
        }
    }
}

impl Draft {
    /// Record of putting a value back.
    pub fn reverted(id: u64, row: &super::RevertRow) -> Self {
        let event = match row.result.as_str() {
            "restored" => RecordEvent::Reverted,
            "left" => RecordEvent::Drift,
            "waits" => RecordEvent::Deferred,
            _ => RecordEvent::Failed,
        };
        let reason = match &row.reason {
            None => format!("{} is back to what it was before the agent came", row.name),
            Some(reason) => reason.clone(),
        };
        let action = match row.name.as_str() {
            "max" => "lower-max",
            "buckets" => "resize-buckets",
            "events" => "set-events",
            _ => "restore-timeout",
        };
        Draft {
            action: Some(action.into()),
            name: Some(row.name.clone()),
            from: Some(row.from),
            to: Some(row.to),
            ..Draft::new(id, event, reason)
        }
    }

    /// Entries that `ctctl flush` deleted.
    pub fn by_hand(id: u64, flush: HandFlush) -> Self {
        Draft {
            action: Some("hand-flush".into()),
            requested: Some(flush.requested),
            achieved: Some(flush.deleted),
            duration_seconds: Some(flush.duration_seconds),
            ..Draft::new(id, RecordEvent::Done, flush.wanted)
        }
    }

    /// A record that says nothing but what happened and why.
    pub fn new(id: u64, event: RecordEvent, reason: impl Into<String>) -> Self {
        Draft {
            id,
            event,
            level: None,
            level_before: None,
            action: None,
            name: None,
            class: None,
            from: None,
            to: None,
            requested: None,
            achieved: None,
            duration_seconds: None,
            reason: reason.into(),
            usage_before_percent: None,
            usage_after_percent: None,
            acts_together: None,
            dry_run: false,
            by: None,
            until: None,
            changes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_none_has_no_inode() {
        for (inode, text) in [(0, r#"{"name":null,"inode":null}"#), (7, r#"{"name":null,"inode":7}"#)] {
            let netns = Netns { name: None, inode };
            assert_eq!(serde_json::to_string(&netns).expect("json"), text);
            assert_eq!(serde_json::from_str::<Netns>(text).expect("netns"), netns);
        }
        // As earlier versions wrote it.
        let old: Netns = serde_json::from_str(r#"{"name":"host","inode":0}"#).expect("netns");
        assert_eq!(old.inode, 0);
    }
}
