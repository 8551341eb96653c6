//! The hand's thread: facts, state, policy, executor, journal, again and again. It reads top to bottom as the
//! drawing in `lib.rs`; what it decides is in `policy`, what it does in `executor`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::chronicle::Chronicle;
use super::lease::HostLease;
use super::rates::Rates;
use super::shared::{Command, Numbers, Order, Reply1, SharedView, View, Watch};
use super::sweeper::{CensusTaker, Sweeper};
use crate::control::{Refusal, Reply};
use crate::documents;
use crate::error::Result;
use crate::executor::{DryHand, Hand, KernelHand, Refused, Swept};
use crate::gauge::{Gauge, NamespaceValues};
use crate::journal::{Journal, TimeoutsSeen};
use crate::kernel::clock;
use crate::kernel::netns::Namespace;
use crate::kernel::table::Deleter;
use crate::model::{
    Act, Action, Draft, Ended, EventsSetting, Flush, Netns, Outcome, Plan, RecordEvent, RestoreOnExit,
    Settings, Snapshot, Timeout,
};
use crate::policy::{self, Memory};
use crate::recovery::Keeper;
use crate::sieve::SharedSightings;
use crate::state::Identify;

/// What the thread is made of.
pub struct Ground {
    /// Where.
    pub namespace: Namespace,
    /// What the operator wants.
    pub settings: Settings,
    /// Decide and journal, change nothing.
    pub dry_run: bool,
    /// Whose max and buckets are.
    pub host: HostLease,
    /// Where baseline and journal live.
    pub state_dir: std::path::PathBuf,
    /// Shared with the events thread.
    pub identify: Identify,
    /// Shared with the events thread.
    pub sightings: SharedSightings,
    /// Published by the events thread.
    pub numbers: Arc<Numbers>,
    /// Copies for queries.
    pub view: SharedView,
    /// The events thread.
    pub watch: Watch,
    /// What is asked of this one.
    pub orders: Receiver<Order>,
}

/// How many decisions in a row are made before orders and the interval have their turn.
const ROUNDS: usize = 8;
/// How often other hands on the values are looked for.
const DRIFT_SECONDS: f64 = 1.0;
/// An act that the kernel refused is not tried again for so long.
const SULK_SECONDS: f64 = 60.0;
/// A dry run says the same thing again no sooner.
const REPEAT_SECONDS: f64 = 60.0;

/// The thread's state.
pub struct Acting {
    ground: Ground,
    netns: Netns,
    boot_id: String,
    /// As it is on disk.
    seen: TimeoutsSeen,
    settings: Arc<Settings>,
    gauge: Gauge,
    hand: Box<dyn Hand>,
    sweeper: Sweeper,
    keeper: Keeper,
    chronicle: Chronicle,
    memory: Memory,
    rates: Rates,
    paused_until_seconds: Option<f64>,
    drift_at_seconds: f64,
    /// Acts that failed, and until when they are left alone.
    sulking: BTreeMap<String, f64>,
    /// What a dry run said last, and when.
    said: Option<(String, f64)>,
    notes: Vec<String>,
}

impl Acting {
    /// Enters the namespace, reads its facts, and puts the baseline on disk before anything else.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read or the baseline cannot be written.
    pub fn open(mut ground: Ground) -> Result<Self> {
        ground.namespace.enter()?;
        let netns = ground.namespace.netns().clone();
        let mut gauge = Gauge::open(&ground.namespace)?;
        let snapshot = gauge.snapshot()?;
        let boot_id = clock::boot_id();
        let settings = Arc::new(ground.settings.clone());
        let owns_host = holds_host(&mut ground, &snapshot, &settings);
        let owned = owned_values(&gauge, &snapshot, owns_host);
        let (keeper, notes) = Keeper::take(&ground.state_dir, &boot_id, &netns, &owned, ground.dry_run)?;
        for (name, found) in keeper.baseline() {
            // What timeouts were before an earlier agent shortened them may still be some entry's base.
            if let (Some(timeout), Ok(seconds)) = (Timeout::named(&name), u32::try_from(found)) {
                gauge.history().saw_one(timeout, seconds);
            }
        }
        gauge.remember(&TimeoutsSeen::load(&ground.state_dir, &boot_id, netns.inode));
        let hand: Box<dyn Hand> = match ground.dry_run {
            true => Box::new(DryHand::default()),
            false => Box::new(KernelHand::new(gauge.values().clone(), Deleter::open()?)),
        };
        let journal = Journal::open(&ground.state_dir, &boot_id, netns.clone());
        let chronicle = Chronicle::new(journal, netns.clone(), ground.dry_run);
        let memory = Memory { baseline: keeper.baseline(), ..Memory::default() };
        let sweeper = Sweeper::new(
            &settings,
            gauge.look_at_host().clone(),
            &ground.identify,
            &ground.sightings,
            &ground.numbers,
        );
        let mut acting = Acting {
            netns,
            boot_id,
            seen: TimeoutsSeen::default(),
            settings,
            gauge,
            hand,
            sweeper,
            keeper,
            chronicle,
            memory,
            rates: Rates::default(),
            paused_until_seconds: None,
            drift_at_seconds: f64::NEG_INFINITY,
            sulking: BTreeMap::new(),
            said: None,
            notes: Vec::new(),
            ground,
        };
        for note in notes {
            acting.chronicle.note(note);
        }
        acting.begin(&snapshot);
        Ok(acting)
    }

    /// What is said at start: thresholds, ceiling, and what may be done.
    pub fn introduction(&mut self) -> Result<Vec<String>> {
        let snapshot = self.facts()?;
        Ok(super::introduction::lines(
            &snapshot,
            &self.settings,
            self.ground.dry_run,
            &self.gauge.capabilities(),
        ))
    }

    fn begin(&mut self, snapshot: &Snapshot) {
        self.set_marks(snapshot);
        if self.settings.agent.events == EventsSetting::On {
            self.set_events();
        }
        let mut snapshot = snapshot.clone();
        snapshot.owns_host_values &= holds_host(&mut self.ground, &snapshot, &self.settings);
        if let Some(action) = policy::buckets_at_start(&snapshot, &self.settings) {
            self.act(&action, &Plan::default(), &snapshot);
        }
    }

    /// Entries that are born while `nf_conntrack_events` is 2 and nobody listens end without an event
    /// (`nf_ct_ecache_ext_add`).
    fn set_events(&mut self) {
        let Ok(now) = crate::executor::Values::read(self.gauge.values(), "events") else { return };
        if now == 1 {
            return;
        }
        let reason =
            "entries that are born while nobody listens end without an event unless nf_conntrack_events is 1";
        let draft = Draft {
            action: Some("set-events".into()),
            name: Some("events".into()),
            from: Some(now),
            to: Some(1),
            ..Draft::new(self.chronicle.next_id(), RecordEvent::Intend, reason)
        };
        let _ = self.keeper.will_write("events", now, 1);
        self.chronicle.durably(draft.clone());
        let event = match self.hand.set("events", now, 1) {
            Ok(_) => RecordEvent::Done,
            Err(refused) => {
                self.keeper.released("events");
                self.notes.push(format!("nf_conntrack_events stays at {now}: {}", words(&refused)));
                RecordEvent::Failed
            }
        };
        self.chronicle.note(Draft { event, ..draft });
    }

    /// Runs until told to stop.
    pub fn run(mut self) {
        loop {
            for _ in 0..ROUNDS {
                match self.round() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(netns = %self.netns.key(), %error, "the table cannot be read");
                        break;
                    }
                }
                // A stop or a question waits for no more than one act.
                if let Ok(order) = self.ground.orders.try_recv()
                    && !self.obey(order)
                {
                    return;
                }
            }
            let interval = Duration::from_millis(self.settings.agent.interval_ms);
            match self.ground.orders.recv_timeout(interval) {
                Ok(order) => {
                    if !self.obey(order) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.stop(),
            }
        }
    }

    /// Facts, decision, acts, journal. True if there is more to decide at once.
    fn round(&mut self) -> Result<bool> {
        let snapshot = self.facts()?;
        self.notice_others(&snapshot);
        let (plan, memory) = policy::decide(&snapshot, &self.memory, &self.settings);
        let before = self.memory.level;
        self.memory = memory;
        if plan.level != before {
            self.chronicle.level(before, &plan, policy::usage_percent(&snapshot, &self.settings));
        }
        self.set_marks(&snapshot);
        self.publish(&snapshot, &plan);
        if self.paused(snapshot.now_seconds) {
            return Ok(false);
        }
        let acted = self.perform(&plan, &snapshot);
        if plan.scan {
            self.sweep(&[], &plan)?;
        }
        if acted {
            self.publish(&snapshot, &plan);
        }
        Ok(acted || plan.scan)
    }

    fn facts(&mut self) -> Result<Snapshot> {
        let mut snapshot = self.gauge.snapshot()?;
        snapshot.owns_host_values &= holds_host(&mut self.ground, &snapshot, &self.settings);
        self.rates.sample(snapshot.now_seconds, snapshot.entries, self.ground.numbers.new.load(Relaxed));
        snapshot.new_per_second = self.rates.new_per_second();
        snapshot.net_growth_per_second = self.rates.net_growth_per_second();
        snapshot.scan = self.sweeper.last.clone();
        Ok(snapshot)
    }

    /// Does what the plan says, in its order; true if anything came of it.
    fn perform(&mut self, plan: &Plan, snapshot: &Snapshot) -> bool {
        if plan.actions.is_empty() || self.repeats(plan, snapshot.now_seconds) {
            return false;
        }
        let mut acted = false;
        let flushes: Vec<&Action> = plan.actions.iter().filter(|a| matches!(a.act, Act::Flush(_))).collect();
        for action in plan.actions.iter().filter(|a| !matches!(a.act, Act::Flush(_))) {
            acted |= self.act(action, plan, snapshot);
        }
        if !flushes.is_empty() && !self.sulks("flush", snapshot.now_seconds) {
            acted |= self.flush(&flushes, plan, snapshot);
        }
        acted && !self.hand.dry()
    }

    /// A dry run changes nothing, so that the same plan comes back at every look: it is said once a minute.
    fn repeats(&mut self, plan: &Plan, now: f64) -> bool {
        if !self.hand.dry() {
            return false;
        }
        let saying: Vec<&str> = plan.actions.iter().map(|a| a.act.name()).collect();
        let saying = format!("{}: {}", plan.level, saying.join(", "));
        let same = self.said.as_ref().is_some_and(|(said, at)| *said == saying && now - at < REPEAT_SECONDS);
        if !same {
            self.said = Some((saying, now));
        }
        same
    }

    fn sulks(&self, what: &str, now: f64) -> bool {
        self.sulking.get(what).is_some_and(|until| now < *until)
    }

    /// Sets one value: recorded first, then written, then told.
    fn act(&mut self, action: &Action, plan: &Plan, snapshot: &Snapshot) -> bool {
        let (name, from, to) = match action.act {
            Act::RaiseMax { from, to } | Act::LowerMax { from, to } => ("max", from, to),
            Act::ResizeBuckets { from, to } => ("buckets", from, to),
            Act::SetTimeout { timeout, from, to } | Act::RestoreTimeout { timeout, from, to } => {
                (timeout.name(), from.into(), to.into())
            }
            Act::Flush(_) | Act::SecondChance(_) => return false,
        };
        if self.sulks(name, snapshot.now_seconds) {
            return false;
        }
        if let Act::SetTimeout { timeout, to, .. } | Act::RestoreTimeout { timeout, to, .. } = action.act {
            self.gauge.history().saw_one(timeout, to);
            self.save_seen();
        }
        let usage = policy::usage_percent(snapshot, &self.settings);
        let id = self.chronicle.intend(action, plan.level, usage);
        let recorded = self.keeper.will_write(name, from, to);
        let started = Instant::now();
        let set = self.hand.set(name, from, to);
        let ended = match &set {
            Ok(Some(_)) => Ended::Done,
            Ok(None) => Ended::DryRun,
            Err(Refused::Changed(_)) => {
                Ended::Deferred(words(set.as_ref().err().unwrap_or(&Refused::Changed(0))))
            }
            Err(refused) => {
                self.sulking.insert(name.into(), snapshot.now_seconds + SULK_SECONDS);
                Ended::Failed(words(refused))
            }
        };
        match &set {
            // The kernel rounds buckets up: what it kept is what was written.
            Ok(Some(kept)) if *kept != to => drop(self.keeper.will_write(name, from, *kept)),
            Ok(Some(now)) if self.keeper.baseline().get(name) == Some(now) => self.keeper.released(name),
            Ok(_) => {}
            Err(_) => self.keeper.unwritten(name, from),
        }
        if let Err(error) = recorded {
            tracing::warn!(%error, "the baseline could not be brought up to date");
        }
        let done = set.is_ok();
        let after = self.usage_now(snapshot);
        let outcome = Outcome {
            action: action.clone(),
            ended,
            requested: 1,
            achieved: u64::from(done && !self.hand.dry()),
            already_gone: 0,
            duration_seconds: started.elapsed().as_secs_f64(),
            usage_before_percent: usage,
            usage_after_percent: after,
        };
        self.chronicle.outcome(id, &outcome, plan.level);
        done
    }

    /// Flushes what the plan names, in one sweep.
    fn flush(&mut self, actions: &[&Action], plan: &Plan, snapshot: &Snapshot) -> bool {
        let flushes: Vec<&Flush> = actions
            .iter()
            .filter_map(|action| match &action.act {
                Act::Flush(flush) => Some(flush),
                _ => None,
            })
            .collect();
        let usage = policy::usage_percent(snapshot, &self.settings);
        let ids: Vec<u64> =
            actions.iter().map(|a| self.chronicle.intend_lightly(a, plan.level, usage)).collect();
        let started = Instant::now();
        let swept = self.sweep(&flushes, plan);
        let duration_seconds = started.elapsed().as_secs_f64();
        let after = self.usage_now(snapshot);
        let (swept, failure) = match swept {
            Ok(swept) => (swept, None),
            Err(error) => {
                let nothing = vec![0; flushes.len()];
                (
                    Swept { freed: nothing.clone(), requested: nothing, ..Swept::default() },
                    Some(error.to_string()),
                )
            }
        };
        let refused = swept.deleted.errno.filter(|_| swept.deleted.gone() == 0);
        if failure.is_some() || refused.is_some() {
            self.sulking.insert("flush".into(), snapshot.now_seconds + SULK_SECONDS);
        }
        for (i, action) in actions.iter().enumerate() {
            let ended = match (&failure, refused) {
                (Some(why), _) => Ended::Failed(why.clone()),
                (None, Some(errno)) => Ended::Failed(std::io::Error::from_raw_os_error(errno).to_string()),
                _ if self.hand.dry() => Ended::DryRun,
                _ => Ended::Done,
            };
            let outcome = Outcome {
                action: (*action).clone(),
                ended,
                requested: swept.requested[i],
                achieved: swept.freed[i],
                already_gone: swept.deleted.already_gone,
                duration_seconds,
                usage_before_percent: usage,
                usage_after_percent: after,
            };
            self.chronicle.outcome(ids[i], &outcome, plan.level);
        }
        swept.freed.iter().sum::<u64>() > 0
    }

    fn sweep(&mut self, flushes: &[&Flush], plan: &Plan) -> Result<Swept> {
        let settings = self.settings.clone();
        self.sweeper.sweep(&mut self.gauge, self.hand.as_mut(), flushes, &plan.pace, &settings, None)
    }

    fn usage_now(&mut self, snapshot: &Snapshot) -> f64 {
        let entries = self.gauge.count().unwrap_or(snapshot.entries);
        let values = self.gauge.values();
        let max = crate::executor::Values::read(values, "max").unwrap_or(snapshot.max);
        policy::usage_percent(&Snapshot { entries, max, ..Snapshot::default() }, &self.settings)
    }

    /// Values that changed without this agent.
    fn notice_others(&mut self, snapshot: &Snapshot) {
        if snapshot.now_seconds - self.drift_at_seconds < DRIFT_SECONDS {
            return;
        }
        self.drift_at_seconds = snapshot.now_seconds;
        let now = owned_values(&self.gauge, snapshot, snapshot.owns_host_values);
        for note in self.keeper.notice(&now) {
            self.chronicle.note(note);
        }
        self.memory.baseline = self.keeper.baseline();
        self.save_seen();
    }

    /// Timeouts that were in force outlive this agent, for the proofs of the next.
    fn save_seen(&mut self) {
        let seen = self.gauge.seen(&self.boot_id);
        if seen != self.seen && seen.save(&self.ground.state_dir).is_ok() {
            self.seen = seen;
        }
    }

    fn paused(&self, now: f64) -> bool {
        self.paused_until_seconds.is_some_and(|until| now < until)
    }

    fn set_marks(&self, snapshot: &Snapshot) {
        let limit = policy::limit(snapshot, &self.settings).unwrap_or(0) as f64;
        let pressure = &self.settings.pressure;
        for (mark, percent) in
            self.ground.numbers.marks.iter().zip([pressure.high_percent, pressure.critical_percent])
        {
            mark.store((limit * percent / 100.0) as u64, Relaxed);
        }
    }

    fn publish(&mut self, snapshot: &Snapshot, plan: &Plan) {
        let view = View {
            snapshot: snapshot.clone(),
            plan: plan.clone(),
            baseline: self.keeper.baseline(),
            settings: self.settings.clone(),
            paused: self.paused(snapshot.now_seconds),
            dry_run: self.ground.dry_run,
            journal_ok: self.chronicle.ok(),
            capabilities: self.gauge.capabilities(),
            last_actions: self.chronicle.last_actions(10),
            notes: self.notes.clone(),
        };
        *self.ground.view.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(view));
    }

    /// Does what was asked; false at the end.
    fn obey(&mut self, order: Order) -> bool {
        self.ground.numbers.halt.store(false, Relaxed);
        match order {
            Order::Look(seen) => {
                self.look();
                let _ = seen.send(());
            }
            Order::Wake => {}
            Order::Census => self.census(),
            Order::Pause(seconds, reply) => self.pause(seconds, reply),
            Order::Resume(reply) => {
                let was = self.paused_until_seconds.take().is_some();
                answer(reply, if was { "acting again" } else { "it was not paused" });
            }
            Order::Reload(settings, reply) => self.reload(*settings, reply),
            Order::Revert(force, reply) => self.revert(force, reply),
            Order::Plan(reply) => self.answer_plan(reply),
            Order::Stop => {
                self.stop();
                return false;
            }
        }
        true
    }

    /// A scan for those who ask, with nothing done.
    fn look(&mut self) {
        let planned = self.facts().map(|snapshot| policy::decide(&snapshot, &self.memory, &self.settings).0);
        let Ok(plan) = planned else { return };
        let mut none = DryHand::default();
        let settings = self.settings.clone();
        let swept = self.sweeper.sweep(&mut self.gauge, &mut none, &[], &plan.pace, &settings, None);
        if let (Ok(_), Ok(snapshot)) = (swept, self.facts()) {
            self.publish(&snapshot, &plan);
        }
    }

    /// One dump for the counts, which is a scan for the policy as well.
    fn census(&mut self) {
        let started = Instant::now();
        let mut taker = CensusTaker::new(self.ground.identify.clone());
        let settings = self.settings.clone();
        let mut none = DryHand::default();
        let pace = crate::model::Pace::default();
        let swept = self.sweeper.sweep(&mut self.gauge, &mut none, &[], &pace, &settings, Some(&mut taker));
        let duration = started.elapsed();
        let good = swept.is_ok() && self.sweeper.last.as_ref().is_some_and(|scan| scan.trusted);
        if let Err(error) = &swept {
            tracing::warn!(netns = %self.netns.key(), %error, "the table cannot be dumped");
        }
        self.ground.watch.send(match good {
            true => Command::Adopt { ledger: Box::new(taker.ledger), duration },
            false => Command::Abandon { duration },
        });
    }

    fn pause(&mut self, seconds: Option<f64>, reply: Reply1) {
        let now = clock::boottime_seconds();
        self.paused_until_seconds = Some(seconds.map_or(f64::INFINITY, |s| now + s));
        tracing::info!(netns = %self.netns.key(), "paused");
        answer(
            reply,
            &match seconds {
                Some(seconds) => {
                    format!("paused for {seconds:.0} s: the agent watches on and changes nothing")
                }
                None => "paused until `ctctl resume`: the agent watches on and changes nothing".to_owned(),
            },
        );
    }

    fn reload(&mut self, settings: Settings, reply: Reply1) {
        let fixed = |s: &Settings| (s.agent.netns.clone(), s.agent.socket.clone(), s.agent.state_dir.clone());
        let mut message = "the configuration was read again".to_owned();
        if fixed(&settings) != fixed(&self.settings) || settings.agent.dry_run != self.settings.agent.dry_run
        {
            message += "; netns, socket, state_dir and dry_run hold from the next start on";
        }
        self.settings = Arc::new(settings);
        self.sweeper.configure(&self.settings, self.gauge.look_at_host().clone());
        tracing::info!(netns = %self.netns.key(), "{message}");
        answer(reply, &message);
    }

    fn revert(&mut self, force: bool, reply: Reply1) {
        let document = self.restore(force);
        let _ = reply.send(Ok(Reply::Reverted(document)));
    }

    fn restore(&mut self, force: bool) -> crate::model::RevertDocument {
        let values: std::rc::Rc<NamespaceValues> = self.gauge.values().clone();
        // Without a count, no max is known to be safe to lower.
        let entries = self.gauge.count().unwrap_or(u64::MAX / 200);
        let rows = match self.hand.dry() {
            true => Vec::new(),
            false => self.keeper.restore(&values, entries, self.settings.pressure.low_percent, force),
        };
        let id = self.chronicle.next_id();
        for row in &rows {
            self.chronicle.note(Draft::reverted(id, row));
        }
        documents::reverted(documents::header(&self.netns, clock::now_rfc3339()), rows)
    }

    fn answer_plan(&mut self, reply: Reply1) {
        let planned = self.facts().and_then(|snapshot| {
            let (plan, _) = policy::decide(&snapshot, &self.memory, &self.settings);
            if !plan.scan {
                return Ok(plan);
            }
            // Only a look: what is seen is kept, nothing is done.
            let mut none = DryHand::default();
            let settings = self.settings.clone();
            self.sweeper.sweep(&mut self.gauge, &mut none, &[], &plan.pace, &settings, None)?;
            let snapshot = self.facts()?;
            Ok(policy::decide(&snapshot, &self.memory, &self.settings).0)
        });
        let document = planned
            .map(|plan| documents::plan(documents::header(&self.netns, clock::now_rfc3339()), &plan))
            .map(Reply::Plan)
            .map_err(Refusal::from);
        let _ = reply.send(document);
    }

    fn stop(&mut self) {
        if self.settings.agent.restore_on_exit == RestoreOnExit::Never {
            let name = self.netns.key();
            tracing::info!(netns = %name, "stopped; values stay as they are (restore_on_exit = \"never\")");
            return;
        }
        let document = self.restore(false);
        for waiting in &document.waiting {
            tracing::warn!(netns = %self.netns.key(), "{waiting}");
        }
        self.keeper.close();
        let restored = document.values.iter().filter(|row| row.result == "restored").count();
        tracing::info!(netns = %self.netns.key(), restored, waiting = document.waiting.len(), "stopped");
    }
}

fn answer(reply: Reply1, message: &str) {
    let _ = reply.send(Ok(Reply::Done { message: message.to_owned() }));
}

fn words(refused: &Refused) -> String {
    match refused {
        Refused::Changed(now) => format!("someone else set it to {now} meanwhile"),
        Refused::Kernel(why) => why.clone(),
    }
}

/// True if max and buckets are this agent's to write. A dry run writes nothing and needs no lease; an agent that would
/// never raise max (a quota below it, `enabled = false`) keeps none from others.
fn holds_host(ground: &mut Ground, snapshot: &Snapshot, settings: &Settings) -> bool {
    let capacity = &settings.capacity;
    let wanted = capacity.enabled && (capacity.limit == 0 || capacity.limit > snapshot.max);
    ground.dry_run || ground.host.hold(wanted && snapshot.owns_host_values, snapshot.now_seconds)
}

/// The values that this agent may change, as they are.
fn owned_values(gauge: &Gauge, snapshot: &Snapshot, owns_host: bool) -> BTreeMap<String, u64> {
    let touched = |t: &Timeout| t.spec().floor_key.is_some();
    let timeouts = snapshot.timeouts.iter().filter(|(t, _)| touched(t));
    let mut values: BTreeMap<String, u64> =
        timeouts.map(|(t, seconds)| (t.name().to_owned(), u64::from(*seconds))).collect();
    if let Ok(events) = crate::executor::Values::read(gauge.values(), "events") {
        values.insert("events".into(), events);
    }
    if owns_host && snapshot.owns_host_values {
        values.insert("max".into(), snapshot.max);
        values.insert("buckets".into(), snapshot.buckets);
    }
    values
}
