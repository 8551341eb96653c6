//! Carries out orders to the actor, and its end.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::End;
use super::actor::Actor;
use super::owned::owned_values;
use super::service::still_told;
use super::shared::{Command, Order, ReplySender};
use super::sweeper::Recount;
use crate::act::executor::DryWriter;
use crate::control::{Refusal, Reply};
use crate::core::model::{Asker, Basis, Draft, Level, Plan, RestoreOnExit, RevertDocument, Snapshot};
use crate::core::policy;
use crate::core::state::Weighing;
use crate::error::Result;
use crate::facts::documents;
use crate::facts::gauge::NamespaceValues;
use crate::linux::clock;

impl Actor {
    /// Does what was asked; false at the end.
    pub(super) fn obey(&mut self, order: Order) -> bool {
        // A watermark is nobody's wish: who wants a stop may stand behind it.
        if !matches!(order, Order::Wake) {
            self.parts.numbers.halt.store(false, Relaxed);
        }
        match order {
            Order::Look(seen) => {
                self.look_for(&seen);
                let _ = seen.send(());
            }
            Order::Wake => {}
            Order::Recount => self.recount_since = Some(Instant::now()),
            Order::Pause(seconds, by, reply) => self.pause(seconds, by, reply),
            Order::Resume(by, reply) => self.resume(by, reply),
            Order::Reload(settings, by, reply) => self.reload(*settings, by, reply),
            Order::ReloadRefused(why, by) => self.reload_refused(&why, &by),
            Order::Flushed(flush, by, reply) => self.flushed_by_hand(flush, &by, reply),
            Order::Revert(force, by, reply) => self.revert(force, &by, reply),
            Order::Known(_, reply) if reply.is_closed() => {}
            Order::Known(entries, reply) => self.answer_known(&entries, reply),
            // A client that has gone does not want the table scanned.
            Order::Plan(reply) if reply.is_closed() => {}
            Order::Plan(reply) => self.answer_plan(reply),
            Order::Snapshot(reply) if reply.is_closed() => {}
            Order::Snapshot(reply) => self.answer_snapshot(reply),
            Order::Stop(end) => {
                self.stop(end);
                return false;
            }
        }
        self.parts.pause.set(self.pause.clone());
        true
    }

    /// A client that asks while a dump of seconds runs has gone before it is its turn, or was answered by that dump:
    /// the table is not scanned once for each.
    fn look_for(&mut self, asking: &oneshot::Sender<()>) {
        let last = self.sweeper.last.as_ref();
        if asking.is_closed() || last.is_some_and(|scan| still_told(scan, clock::boottime_seconds())) {
            return;
        }
        self.look();
    }

    /// A scan for those who ask, with nothing done.
    fn look(&mut self) {
        let planned = self.facts().map(|snapshot| policy::decide(&snapshot, &self.memory, &self.settings).0);
        let Ok(plan) = planned else { return };
        let mut none = DryWriter::default();
        let settings = self.settings.clone();
        let swept = self.sweeper.sweep(&mut self.gauge, &mut none, &[], &plan.pace, &settings, None);
        if let (Ok(_), Ok(snapshot)) = (swept, self.facts()) {
            // What is said rests on the same scan as the figures beside it.
            let (plan, _) = policy::decide(&snapshot, &self.memory, &self.settings);
            self.publish(&snapshot, &plan);
        }
    }

    /// Relief comes first: a dump takes a tenth of a second at 65,000 entries, in which a table under attack fills.
    pub(super) fn census_if_due(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        let waits = |since: Instant| self.memory.relieving && since.elapsed() < PATIENCE;
        if self.recount_since.is_some_and(|since| !waits(since)) {
            self.recount_since = None;
            self.recount();
        }
    }

    /// One dump for the counts, which is a scan for the policy as well.
    fn recount(&mut self) {
        let started = Instant::now();
        let entries = self.gauge.count().unwrap_or(0);
        let remember = self.parts.settings.agent.remember_entries;
        let mut taker = Recount::new(self.parts.identify.clone(), entries, remember);
        let settings = self.settings.clone();
        let mut none = DryWriter::default();
        let pace = crate::core::model::Pace::default();
        let swept = self.sweeper.sweep(&mut self.gauge, &mut none, &[], &pace, &settings, Some(&mut taker));
        let duration = started.elapsed();
        // One that was halted says nothing of the table, however good the scan before it was.
        let whole = swept.as_ref().is_ok_and(|swept| swept.whole);
        let good = whole && self.sweeper.last.as_ref().is_some_and(|scan| scan.trusted);
        if let Err(error) = &swept {
            self.warn_unreadable(error);
        }
        self.parts.watch.send(match good {
            true => Command::Adopt { ledger: Box::new(taker.ledger), duration },
            false => Command::Abandon { duration },
        });
    }

    fn revert(&mut self, force: bool, by: &Asker, reply: ReplySender) {
        let mut document = self.restore(force, Some(by));
        let acts_on = !self.writer.dry() && !self.paused(clock::boottime_seconds());
        if acts_on && self.memory.level > Level::Normal && !document.values.is_empty() {
            document.waiting.push(format!(
                "the agent goes on, and level {} lets it change values again at once: ctctl pause, before ctctl revert, \
                 keeps it from that",
                self.memory.level
            ));
        }
        let _ = reply.send(Ok(Reply::Reverted(document)));
    }

    fn restore(&mut self, force: bool, by: Option<&Asker>) -> RevertDocument {
        let values: std::rc::Rc<NamespaceValues> = self.gauge.values().clone();
        // Without a count, no max is known to be safe to lower.
        self.gauge.look_again_at_memory();
        let entries = self.facts().map_or(u64::MAX / 200, |snapshot| policy::fullest_entries(&snapshot));
        let rows = match self.writer.dry() {
            true => Vec::new(),
            false => self.keeper.restore(&values, entries, self.settings.pressure.low_percent, force),
        };
        let id = self.chronicle.next_id();
        for row in &rows {
            self.chronicle.note(Draft { by: by.cloned(), ..Draft::reverted(id, row) });
        }
        documents::reverted(documents::header(&self.netns, clock::now_rfc3339()), rows)
    }

    /// Facts of now with a scan, and what would be done about them. What is seen is kept, nothing is done.
    fn planned(&mut self) -> Result<(Snapshot, Plan)> {
        // One scan for the classes, one more where they do not suffice.
        for _ in 0..2 {
            let snapshot = self.facts()?;
            let (plan, _) = policy::decide(&snapshot, &self.memory, &self.settings);
            if !plan.scan {
                return Ok((snapshot, plan));
            }
            self.sweeper.weighing = plan.weigh.then(|| self.weighing(snapshot.now_seconds));
            let mut none = DryWriter::default();
            let settings = self.settings.clone();
            self.sweeper.sweep(&mut self.gauge, &mut none, &[], &plan.pace, &settings, None)?;
        }
        let snapshot = self.facts()?;
        let (plan, _) = policy::decide(&snapshot, &self.memory, &self.settings);
        Ok((snapshot, plan))
    }

    /// Makes the means by which a scan weighs sources: the events thread knows which of them are new.
    pub(super) fn weighing(&self, now_seconds: f64) -> Weighing {
        const PATIENCE: Duration = Duration::from_secs(1);
        let since = (now_seconds - self.settings.pressure.calm_seconds).max(0.0);
        let (reply, young) = sync_channel(1);
        self.parts.watch.send(Command::Young { since_seconds: since as u32, reply });
        // A source that is not known to be young is as good as old.
        Weighing::new(&self.settings.flush, young.recv_timeout(PATIENCE).unwrap_or_default())
            .suspending(self.memory.suspended.clone())
    }

    fn answer_plan(&mut self, reply: ReplySender) {
        let paused = self.paused(clock::boottime_seconds());
        let document = self.planned().map(|(snapshot, mut plan)| {
            if paused {
                let until = self.pause.as_ref().and_then(|pause| pause.until.as_deref());
                let until = until.unwrap_or("`ctctl resume`");
                plan.reasons.push(format!("paused: the agent does none of this until {until}"));
            }
            documents::plan(documents::header(&self.netns, clock::now_rfc3339()), &snapshot, &plan)
        });
        let _ = reply.send(document.map(Reply::Plan).map_err(Refusal::from));
    }

    fn answer_snapshot(&mut self, reply: ReplySender) {
        let document = self.planned().map(|(snapshot, _)| {
            let header = documents::header(&self.netns, clock::now_rfc3339());
            documents::recorded(header, Basis::Agent, &snapshot, &self.memory, &self.settings)
        });
        let _ = reply.send(document.map(Box::new).map(Reply::Snapshot).map_err(Refusal::from));
    }

    pub(super) fn stop(&mut self, end: End) {
        self.chronicle.tell_all_left_out(clock::boottime_seconds());
        let why = match (end, self.settings.agent.restore_on_exit) {
            (End::Restart, _) => Some("for a restart"),
            (End::Stop, RestoreOnExit::Never) => Some("restore_on_exit = \"never\""),
            (End::Stop, RestoreOnExit::Stop) => None,
        };
        self.withdraw(&[]);
        if let Some(why) = why {
            self.save_last_look();
            self.end_records();
            tracing::info!(netns = %self.netns.key(), "stopped; values stay as they are ({why})");
            return;
        }
        // Values that another namespace of this agent left a moment ago are this one's to put back.
        if let Ok(snapshot) = self.facts() {
            let now = owned_values(&self.gauge, &snapshot, snapshot.owns_host_values);
            self.heed(&now, snapshot.now_seconds);
        }
        let document = self.restore(false, None);
        for waiting in &document.waiting {
            tracing::warn!(netns = %self.netns.key(), "{waiting}");
        }
        self.keeper.close();
        self.save_last_look();
        self.end_records();
        let restored = document.values.iter().filter(|row| row.result == "restored").count();
        tracing::info!(netns = %self.netns.key(), restored, waiting = document.waiting.len(), "stopped");
    }
}

impl Actor {
    /// A file that is not on disk by now stays as it is there: the next start holds it against the kernel's values.
    fn end_records(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        if let Err(why) = self.keeper.finish(PATIENCE) {
            tracing::warn!(netns = %self.netns.key(), "the records are not as they should be at the end: {why}");
        }
    }
}
