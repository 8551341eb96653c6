//! The actor's thread: facts, state, policy, executor, journal, again and again. It reads top to bottom as the
//! drawing in `lib.rs`; what it decides is in `policy`, what it does in `executor`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::boot_files::BootFiles;
use super::chronicle::{Chronicle, Fullest};
use super::host_lease::HostLease;
use super::owned::{holds_host, owned_values};
use super::pause::Pause;
use super::reading::Reading;
use super::recording::{Disks, Recording};
use super::remembering::Remembering;
use super::rest::Rest;
use super::shared::{Numbers, Order, SharedView, Watch};
use super::sweeper::Sweeper;
use crate::act::executor::{DryWriter, KernelWriter, Writer};
use crate::act::journal::{Journal, TimeoutsSeen};
use crate::act::recovery::{Keeper, Noticed};
use crate::core::model::{Level, Netns, Paused, Settings, Snapshot, Value};
use crate::core::policy::{self, Memory};
use crate::core::sieve::SharedSightings;
use crate::core::state::{Identify, Rates, RegretMeter};
use crate::error::{Error, Result};
use crate::facts::gauge::Gauge;
use crate::linux::clock;
use crate::linux::deleter::Deleter;
use crate::linux::deleting::Deleting;
use crate::linux::modules::Asking;
use crate::linux::netns::Namespace;
use crate::linux::second_chance::Shortener;

/// Parts that the actor's thread is made of.
pub struct Parts {
    /// Network namespace that it acts in.
    pub namespace: Namespace,
    /// The operator's settings.
    pub settings: Settings,
    /// Decide and journal, change nothing.
    pub dry_run: bool,
    /// The lease on max and buckets, which one agent of the host has.
    pub host: HostLease,
    /// Directory of baseline and journal.
    pub state_dir: std::path::PathBuf,
    /// Shared with the events thread.
    pub identify: Identify,
    /// Shared with the events thread.
    pub sightings: SharedSightings,
    /// Shared with the events thread.
    pub regret: Arc<RegretMeter>,
    /// Published by the events thread.
    pub numbers: Arc<Numbers>,
    /// Copies for queries.
    pub view: SharedView,
    /// The events thread.
    pub watch: Watch,
    /// Orders to this thread.
    pub orders: Receiver<Order>,
    /// The other end of that, for what this one waits for.
    pub wake: SyncSender<Order>,
    /// Writers of the journal and of the other files.
    pub disks: Disks,
    /// Set while the agent was told to change nothing, before this thread or by it.
    pub pause: Pause,
}

/// Decisions in a row at most, before orders and the interval have their turn.
const ROUNDS: usize = 8;
/// Time after which a value whose record is not on disk is left alone until it is, and other acts do what they can.
pub(super) const RECORD: Duration = Duration::from_millis(20);
/// Interval at which values are compared with what the agent set.
const DRIFT_SECONDS: f64 = 1.0;
/// Backoff after an act that the kernel refused.
pub(super) const BACKOFF_SECONDS: f64 = 60.0;
/// Longest pacing delay left over from the last sweep that is waited out before a new one. A longer delay postpones
/// the sweep instead.
pub(super) const DEBT: Duration = Duration::from_millis(50);
/// Backoff after a sweep that failed for another reason than permission.
pub(super) const SHORT_BACKOFF_SECONDS: f64 = 0.5;
/// A dry run says the same thing again no sooner.
pub(super) const REPEAT_SECONDS: f64 = 60.0;

/// A kind of act that is postponed after a failure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Step {
    /// A value is set.
    Set(Value),
    /// Second chances are given.
    SecondChance,
    /// Entries are deleted.
    Flush,
}

/// The thread's state.
pub struct Actor {
    pub(super) parts: Parts,
    pub(super) netns: Netns,
    pub(super) boot_id: String,
    /// As it is on disk, or on its way there.
    pub(super) seen: TimeoutsSeen,
    pub(super) settings: Arc<Settings>,
    pub(super) gauge: Gauge,
    pub(super) writer: Box<dyn Writer>,
    pub(super) sweeper: Sweeper,
    pub(super) keeper: Keeper,
    pub(super) chronicle: Chronicle,
    pub(super) memory: Memory,
    /// The policy's memory at the beginning of the running round.
    pub(super) memory_before: Memory,
    /// Acts whose record is on its way to the disk.
    pub(super) recording: Recording,
    pub(super) rates: Rates,
    pub(super) pause: Option<Paused>,
    /// Since when a recount has been asked for.
    pub(super) recount_since: Option<Instant>,
    pub(super) drift_at_seconds: f64,
    /// Acts that failed, and until when they are left alone.
    pub(super) backoff: BTreeMap<Step, f64>,
    /// Until when the second chances given so far keep others waiting.
    pub(super) chances_due_seconds: f64,
    /// Time until which the pacing delay of deletions lasts, in seconds since the host came up.
    pub(super) deletions_due_seconds: f64,
    /// The fullest that the table was during the last flush, until it is told.
    pub(super) fullest: Option<Fullest>,
    /// Sentences that a dry run said of late, and when.
    pub(super) said: BTreeMap<String, f64>,
    pub(super) notes: Vec<String>,
    pub(super) reading: Reading,
    boot_files: BootFiles,
    rest: Rest,
}

impl Actor {
    /// Enters the namespace, reads its facts, and puts the baseline on disk before anything else.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read or the baseline cannot be written.
    pub fn open(mut parts: Parts) -> Result<Self> {
        parts.namespace.enter()?;
        let netns = parts.namespace.netns().clone();
        let mut gauge = Gauge::open(&parts.namespace, Asking::Anything)?;
        let snapshot = gauge.snapshot()?;
        let boot_id = clock::boot_id();
        let settings = Arc::new(parts.settings.clone());
        let owns_host = holds_host(&mut parts, &snapshot, &settings, Level::Normal);
        let owned = owned_values(&gauge, &snapshot, owns_host);
        let host_dir = parts.host.baseline_dir();
        let places = (parts.state_dir.as_path(), Some(host_dir.as_path()));
        let disk = &parts.disks.records;
        let (mut keeper, notes) = Keeper::take(places, &boot_id, &netns, &owned, parts.dry_run, disk)?;
        keeper.entrust(parts.disks.records(parts.wake.clone())?);
        for (name, found) in keeper.baseline() {
            // The value of a timeout before an earlier agent shortened it may still be some entry's base.
            if let (Value::Timeout(timeout), Ok(seconds)) = (name, u32::try_from(found)) {
                gauge.history().saw_one(timeout, seconds, None);
            }
        }
        let seen = parts.disks.records.timeouts_seen(&parts.state_dir, &boot_id, netns.inode);
        gauge.remember(&seen);
        let writer: Box<dyn Writer> = match parts.dry_run {
            true => Box::new(DryWriter::default()),
            false => {
                let deleter = Deleter::open()?.witnessed(Box::new(Remembering {
                    regret: parts.regret.clone(),
                    watch: parts.watch.clone(),
                }));
                let numbers = parts.numbers.clone();
                let deleting = Deleting::start(deleter, move || numbers.others_are_writing());
                let deleting = deleting.map_err(|error| Error::unreachable("agent", error))?;
                Box::new(KernelWriter::new(gauge.values().clone(), deleting, Shortener::open()?))
            }
        };
        let journal = Journal::open_on(&parts.disks.journal, &parts.state_dir, &boot_id, netns.clone());
        let chronicle = Chronicle::new(journal, netns.clone(), parts.dry_run);
        let memory = Memory {
            baseline: keeper.baseline(),
            suspended: seen.suspended.keys().copied().collect(),
            regretted_seconds: seen.suspended.into_iter().map(|(class, at)| (class, at.into())).collect(),
            ..Memory::default()
        };
        let sweeper = Sweeper::new(
            &settings,
            gauge.look_at_host().clone(),
            &parts.identify,
            &parts.sightings,
            &parts.numbers,
        );
        let mut actor = Actor {
            netns,
            boot_id,
            seen: TimeoutsSeen::default(),
            settings,
            gauge,
            writer,
            sweeper,
            keeper,
            chronicle,
            memory,
            memory_before: Memory::default(),
            recording: Recording::default(),
            rates: Rates::default(),
            pause: parts.pause.get(snapshot.now_seconds),
            recount_since: None,
            drift_at_seconds: f64::NEG_INFINITY,
            backoff: BTreeMap::new(),
            chances_due_seconds: f64::NEG_INFINITY,
            deletions_due_seconds: f64::NEG_INFINITY,
            fullest: None,
            said: BTreeMap::new(),
            notes: Vec::new(),
            reading: Reading::default(),
            boot_files: BootFiles::default(),
            rest: Rest::default(),
            parts,
        };
        actor.tell_unknown_sockets();
        actor.watch_neighbours();
        for note in notes {
            actor.chronicle.note(note);
        }
        actor.begin(&snapshot);
        Ok(actor)
    }

    /// Makes the lines that are logged at start: thresholds, ceiling, and the agent's rights.
    pub fn introduction(&mut self) -> Result<Vec<String>> {
        let snapshot = self.facts()?;
        Ok(super::introduction::lines(
            &snapshot,
            &self.settings,
            self.parts.dry_run,
            &self.gauge.capabilities(),
        ))
    }

    /// Runs until told to stop.
    pub fn run(mut self) {
        loop {
            for _ in 0..ROUNDS {
                if self.rests() {
                    break;
                }
                match self.round() {
                    // There is more to decide.
                    Ok(true) => self.rest.ends(),
                    Ok(false) => break,
                    Err(error) => {
                        self.warn_unreadable(&error);
                        break;
                    }
                }
                // A stop or a question waits for no more than one act.
                if !self.obey_all(None) {
                    return;
                }
            }
            self.census_if_due();
            self.sweeper.rest();
            let interval = Duration::from_millis(self.settings.agent.interval_ms).min(self.tell_who_spoke());
            let soon = self.recording.waits && !self.keeper.hangs_back(RECORD);
            let interval = if soon { interval.min(RECORD) } else { interval };
            match self.parts.orders.recv_timeout(interval) {
                Ok(order) => {
                    if !self.obey_all(Some(order)) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.stop(super::End::Stop),
            }
        }
    }

    /// There is nothing to decide that was not decided a moment ago.
    fn rests(&mut self) -> bool {
        let (numbers, now) = (&self.parts.numbers, Instant::now());
        if self.memory.level == Level::Normal && self.rest.goes_on(numbers, now) {
            return true;
        }
        self.rest.begins(numbers, now);
        false
    }

    /// All that was asked for by now, so that no act comes between a watermark that was crossed and a stop behind it;
    /// false at the end.
    fn obey_all(&mut self, first: Option<Order>) -> bool {
        let orders: Vec<Order> = first.into_iter().chain(self.parts.orders.try_iter()).collect();
        // A question changes nothing.
        if orders.iter().any(|order| !matches!(order, Order::Known(..))) {
            self.rest.ends();
        }
        orders.into_iter().all(|order| self.obey(order))
    }

    /// Facts, decision, acts, journal. True if there is more to decide at once.
    fn round(&mut self) -> Result<bool> {
        let snapshot = self.facts()?;
        self.notice_others(&snapshot);
        let refused = policy::refused(&snapshot, &self.memory);
        let (plan, memory) = policy::decide(&snapshot, &self.memory, &self.settings);
        let before = (self.memory.level, self.memory.overprotected);
        self.end_pause(snapshot.now_seconds);
        let paused = self.paused(snapshot.now_seconds);
        // The decisions of a dry run are not carried out either.
        let memory = match paused || self.writer.dry() {
            true => memory.without_acts_since(&self.memory),
            false => memory,
        };
        self.memory_before = std::mem::replace(&mut self.memory, memory);
        self.withdraw(if paused { &[] } else { &plan.actions });
        self.tell_turns(before, refused, &plan, &snapshot);
        if self.suspended() != self.seen.suspended && !self.writer.dry() {
            self.save_seen();
        }
        self.set_marks(&snapshot);
        self.publish(&snapshot, &plan);
        if paused {
            return Ok(false);
        }
        self.acts_of_start(&snapshot);
        let acted = self.acts_left(&plan, &snapshot) | self.perform(&plan, &snapshot);
        if plan.scan {
            self.sweeper.weighing = plan.weigh.then(|| self.weighing(snapshot.now_seconds));
            self.sweep(&[], &plan)?;
        }
        if acted {
            self.publish(&snapshot, &plan);
        }
        Ok(acted || plan.scan)
    }

    pub(super) fn facts(&mut self) -> Result<Snapshot> {
        let read = self.gauge.snapshot();
        self.tell_what_was_read(&read);
        let mut snapshot = read?;
        let writable = snapshot.owns_host_values;
        snapshot.owns_host_values &= self.holds_host(&snapshot);
        snapshot.host_values_owner = self.parts.host.owner().filter(|_| writable && !self.writer.dry());
        self.allow_for_records(&mut snapshot);
        self.rates.sample(snapshot.now_seconds, snapshot.entries, self.parts.numbers.new.load(Relaxed));
        snapshot.new_per_second =
            self.rates.new_per_second().map(|smooth| smooth.max(self.rates.new_now_per_second()));
        snapshot.net_growth_per_second = self.rates.net_growth_per_second();
        snapshot.scan = self.sweeper.last.clone();
        snapshot.chances = self.sweeper.chances();
        snapshot.may_give_grace &= !self.backs_off(Step::SecondChance, snapshot.now_seconds);
        snapshot.regret = self.parts.regret.tell(snapshot.now_seconds);
        Ok(snapshot)
    }

    /// Asks for max and buckets; where they became another namespace's, they are no longer this one's to put back.
    pub(super) fn holds_host(&mut self, snapshot: &Snapshot) -> bool {
        let holds = holds_host(&mut self.parts, snapshot, &self.settings, self.memory.level);
        if !holds && self.keeper.give_up_host() {
            self.memory.baseline = self.keeper.baseline();
        }
        holds
    }

    /// Values that changed without this agent.
    fn notice_others(&mut self, snapshot: &Snapshot) {
        if snapshot.now_seconds - self.drift_at_seconds < DRIFT_SECONDS {
            return;
        }
        self.drift_at_seconds = snapshot.now_seconds;
        let now = owned_values(&self.gauge, snapshot, snapshot.owns_host_values && !self.writer.dry());
        self.heed(&now, snapshot.now_seconds);
        self.look_beside(&now, snapshot.now_seconds);
        self.chronicle.tell_left_out(snapshot.now_seconds);
        self.tell_lost_policies();
        self.save_seen();
    }

    /// Journals what other programs did, and remembers it for the decisions to come; true if there was anything.
    pub(super) fn heed(&mut self, values: &BTreeMap<Value, u64>, now_seconds: f64) -> bool {
        let files = &mut self.boot_files;
        let noticed = self.keeper.notice(values, || files.read());
        let any = !noticed.is_empty();
        for Noticed { drift, was_held, draft } in noticed {
            // A timeout that the agent had not touched has a new baseline and no more; max under pressure is wished
            // for.
            let value = draft.name.as_deref().and_then(Value::named);
            let wished = was_held || (value == Some(Value::Max) && self.memory.level > Level::Normal);
            if let Some(value) = value.filter(|_| wished) {
                self.memory.overridden(value, drift, now_seconds);
            }
            self.chronicle.drift(draft, now_seconds);
        }
        self.memory.baseline = self.keeper.baseline();
        any
    }
}
