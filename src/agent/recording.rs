//! No value is written before the record of it is on disk. The act is put off until it is, and this thread waits for
//! no disk: the thread that writes records wakes it.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::actor::{Actor, RECORD};
use super::acts::words;
use super::shared::Order;
use crate::act::executor::Values;
use crate::act::journal::{Records, SharedDisk, Ticket};
use crate::act::recovery::Readiness;
use crate::core::model::{Act, Action, Draft, EventsSetting, Level, Plan, RecordEvent, Snapshot, Value};
use crate::core::policy;
use crate::error::{Error, Result};

/// Longest wait of the start for the disk, before it goes on without the values that are set at start.
const START: Duration = Duration::from_secs(1);
/// An act that waits for its record for longer than this is journalled as deferred.
const SILENT: Duration = Duration::from_secs(1);

/// Writers of the files: the journal has its own, so that neither waits for the other.
#[derive(Clone)]
pub struct Disks {
    /// For the journal.
    pub journal: SharedDisk,
    /// For all other files.
    pub records: SharedDisk,
}

impl Disks {
    /// Two processes that do nothing else: a thread that waits for a dead disk keeps its process from ending.
    pub fn start() -> Disks {
        let disk = || {
            SharedDisk::of_another_process(super::FILES).unwrap_or_else(|error| {
                tracing::warn!(%error, "no process for the files: if their disk hangs, the agent cannot end");
                SharedDisk::of_this_process()
            })
        };
        Disks { journal: disk(), records: disk() }
    }

    /// Makes the writer of one namespace's files.
    pub(super) fn records(&self, wake: SyncSender<Order>) -> Result<Records> {
        // A queue that is full wakes as well.
        let records = Records::start(self.records.clone(), move || drop(wake.try_send(Order::Wake)));
        records.map_err(|error| Error::unreachable("agent", error))
    }
}

/// Acts whose record is on its way.
#[derive(Debug, Default)]
pub(super) struct Recording {
    intents: BTreeMap<Value, Intent>,
    /// An act was put off in this round.
    pub(super) waits: bool,
    /// nf_conntrack_events is to be set, as at each start.
    events: bool,
    /// The buckets are to be sized.
    buckets: bool,
    /// Timeouts of plans whose flush was done, while their record was on its way.
    left: Vec<Left>,
}

/// A timeout that a plan sets after its flush. The next plan finds the entries gone and would not name it, and so a
/// real run would not do what a dry run tells.
#[derive(Debug)]
struct Left {
    action: Action,
    level: Level,
    since: Instant,
}

/// An act that was journalled as intended.
#[derive(Debug)]
struct Intent {
    id: u64,
    action: String,
    level: Option<Level>,
    /// That it waits was journalled.
    told: bool,
}

impl Actor {
    /// Sets the values of the start, once their record is on disk.
    pub(super) fn begin(&mut self, snapshot: &Snapshot) {
        self.set_marks(snapshot);
        self.recording.events = self.settings.agent.events == EventsSetting::On;
        self.recording.buckets = true;
        if self.paused(snapshot.now_seconds) {
            tracing::info!(netns = %self.netns.key(), "paused, as it was before: nothing is set until that is over");
            return;
        }
        let mut snapshot = snapshot.clone();
        snapshot.owns_host_values &= self.holds_host(&snapshot);
        self.acts_of_start(&snapshot);
        if self.recording.waits {
            self.keeper.settle(START);
            self.acts_of_start(&snapshot);
        }
    }

    /// As far as they were put off.
    pub(super) fn acts_of_start(&mut self, snapshot: &Snapshot) {
        self.recording.waits = false;
        if self.recording.events {
            self.set_events();
        }
        if self.recording.buckets && !self.keeper.hangs_back(RECORD) {
            if let Some(action) = policy::buckets_at_start(snapshot, &self.settings) {
                self.act(&action, &Plan::default(), snapshot);
            }
            self.recording.buckets = self.keeper.prepared(Value::Buckets, snapshot.buckets).is_some();
        }
    }

    /// `nf_conntrack_events` is to be 1 again, once its record is on disk.
    pub(super) fn set_events_anew(&mut self) {
        self.recording.events = true;
        self.set_events();
    }

    /// Entries that are born while `nf_conntrack_events` is 2 and nobody listens end without an event
    /// (`nf_ct_ecache_ext_add`).
    fn set_events(&mut self) {
        let Ok(now) = self.gauge.values().read(Value::Events) else { return };
        if now == 1 {
            self.recording.events = false;
            return;
        }
        let reason =
            "entries that are born while nobody listens end without an event unless nf_conntrack_events is 1";
        let draft = Draft {
            action: Some("set-events".into()),
            name: Some(Value::Events.to_string()),
            from: Some(now),
            to: Some(1),
            ..Draft::new(0, RecordEvent::Intend, reason)
        };
        let Some(id) = self.recorded(draft.clone(), None) else { return };
        self.recording.events = false;
        let draft = Draft { id, ..draft };
        let event = match self.writer.set(Value::Events, now, 1) {
            Ok(None) => RecordEvent::Done,
            Ok(Some(_)) => {
                let _ = self.keeper.will_write(Value::Events, now, 1);
                RecordEvent::Done
            }
            Err(refused) => {
                self.keeper.released(Value::Events);
                self.notes.push(format!("nf_conntrack_events stays at {now}: {}", words(&refused)));
                RecordEvent::Failed
            }
        };
        self.chronicle.note(Draft { event, ..draft });
    }

    /// The number of the act that `intent` is the record of, if it may be done now: its record is on disk, or it puts
    /// back what was found, which is as good as done in every record. Else the act is put off. `also`: what has to be
    /// on disk as well.
    pub(super) fn recorded(&mut self, intent: Draft, also: Option<Ticket>) -> Option<u64> {
        let (Some(name), Some(from), Some(to)) =
            (intent.name.as_deref().and_then(Value::named), intent.from, intent.to)
        else {
            return None;
        };
        if !self.recording.intents.contains_key(&name) {
            let id = self.chronicle.next_id();
            let action = intent.action.clone().unwrap_or_default();
            let kept = Intent { id, action, level: intent.level, told: false };
            self.recording.intents.insert(name, kept);
            self.chronicle.intended(Draft { id, ..intent.clone() });
        }
        let goes_back = self.keeper.baseline().get(&name) == Some(&to);
        let readiness = match self.writer.dry() || goes_back {
            true => Readiness::Ready,
            false => self.keeper.prepare(name, (from, to), also),
        };
        let why = match readiness {
            Readiness::Ready => return self.recording.intents.remove(&name).map(|intent| intent.id),
            Readiness::Waits(since) if since < SILENT => None,
            Readiness::Waits(since) => {
                Some(format!("the disk has not answered for {:.1} s", since.as_secs_f64()))
            }
            Readiness::Failed(why) => Some(why),
        };
        self.recording.waits = true;
        if let (Some(why), Some(kept)) = (why, self.recording.intents.get_mut(&name))
            && !kept.told
        {
            kept.told = true;
            let reason = format!(
                "{name} stays at {from} until the record of what it was is on disk ({why}); wanted: {}",
                intent.reason
            );
            self.chronicle.note(Draft { id: kept.id, event: RecordEvent::Deferred, reason, ..intent });
        }
        None
    }

    /// A raise, or a shorter timeout, as it was recorded: where the figures change from one look to the next, the
    /// record of the last ones would never be on disk in time.
    pub(super) fn as_recorded(&self, action: &Action) -> Action {
        let mut action = action.clone();
        match &mut action.act {
            Act::RaiseMax { from, to } => {
                let recorded = self.keeper.prepared(Value::Max, *from);
                *to = recorded.filter(|recorded| *recorded > *from && recorded <= to).unwrap_or(*to);
            }
            Act::SetTimeout { timeout, from, to } => {
                let recorded = self.keeper.prepared(Value::Timeout(*timeout), (*from).into());
                let recorded = recorded.and_then(|seconds| u32::try_from(seconds).ok());
                *to = recorded.filter(|recorded| *recorded < *from && recorded >= to).unwrap_or(*to);
            }
            _ => {}
        }
        action
    }

    /// Records of acts that are not wanted any more, by the time they are on disk, are taken back.
    pub(super) fn withdraw(&mut self, actions: &[Action]) {
        let of_start = (self.recording.events, self.recording.buckets);
        let left: Vec<Action> = self.recording.left.iter().map(|left| left.action.clone()).collect();
        let wanted = |name: Value| {
            let of_start = (of_start.0 && name == Value::Events) || (of_start.1 && name == Value::Buckets);
            let names = |action: &Action| action.act.value().is_some_and(|(of, ..)| of == name);
            of_start || actions.iter().chain(&left).any(names)
        };
        for name in self.keeper.withdraw(wanted) {
            let Some(intent) = self.recording.intents.remove(&name) else { continue };
            let reason = format!("{name} was not to be changed any more before its record was on disk");
            let draft = Draft::new(intent.id, RecordEvent::Deferred, reason);
            self.chronicle.note(Draft {
                action: Some(intent.action),
                level: intent.level,
                name: Some(name.to_string()),
                ..draft
            });
        }
    }

    /// Tells the policy to leave max alone while no record gets to the disk.
    pub(super) fn allow_for_records(&self, snapshot: &mut Snapshot) {
        if snapshot.owns_host_values && self.keeper.hangs_back(RECORD) {
            snapshot.owns_host_values = false;
            snapshot.host_values_owner = Some("the record of what it is now is not on disk yet".into());
        }
    }

    /// Keeps a timeout that was put off after the flush of its plan, until its record is on disk.
    pub(super) fn leave(&mut self, action: &Action, level: Level) {
        let (Act::SetTimeout { .. }, Some((name, ..))) = (&action.act, action.act.value()) else { return };
        if self.recording.intents.contains_key(&name) {
            self.recording.left.push(Left { action: action.clone(), level, since: Instant::now() });
        }
    }

    /// Sets the timeouts that earlier plans left, as far as their records are on disk and `plan` does not name them
    /// itself; true if one was set.
    pub(super) fn acts_left(&mut self, plan: &Plan, snapshot: &Snapshot) -> bool {
        let mut acted = false;
        for left in std::mem::take(&mut self.recording.left) {
            let Some((name, ..)) = left.action.act.value() else { continue };
            let named = |action: &Action| action.act.value().is_some_and(|(of, ..)| of == name);
            if plan.actions.iter().any(named) || left.since.elapsed() >= SILENT {
                continue;
            }
            if !self.keeper.is_recorded(name) {
                self.recording.waits = true;
                self.recording.left.push(left);
                continue;
            }
            // It was taken back from the count of writes when it was put off.
            self.memory.writes.push((snapshot.now_seconds, true));
            acted |= self.act(&left.action, &Plan { level: left.level, ..Plan::default() }, snapshot);
        }
        acted
    }

    /// Sentence on the values that wait for the disk, for `status`.
    pub(super) fn waits_for_disk(&self) -> Option<String> {
        let trouble = self.keeper.trouble()?;
        let names: Vec<&str> = self.recording.intents.keys().map(|value| value.name()).collect();
        Some(match names.is_empty() {
            true => trouble,
            false => format!("{trouble}; until then these stay as they are: {}", names.join(", ")),
        })
    }
}
