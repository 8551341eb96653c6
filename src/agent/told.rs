//! Figures that the actor lets other threads know.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use super::actor::Actor;
use super::shared::View;
use crate::core::model::{Plan, Snapshot};
use crate::core::policy;

impl Actor {
    pub(super) fn set_marks(&self, snapshot: &Snapshot) {
        let limit = policy::limit(snapshot, &self.settings).unwrap_or(0) as f64;
        let pressure = &self.settings.pressure;
        let percents = [pressure.low_percent, pressure.high_percent, pressure.critical_percent];
        for (mark, percent) in self.parts.numbers.marks.iter().zip(percents) {
            // Rounded down the actor was woken an entry early, saw no pressure yet, and slept for an interval more.
            mark.store((limit * percent / 100.0).ceil() as u64, Relaxed);
        }
    }

    pub(super) fn publish(&mut self, snapshot: &Snapshot, plan: &Plan) {
        let mut snapshot = snapshot.clone();
        // An act since then may have made a scan of its own: what is shown is of before it.
        if let (Some(shown), Some(last)) = (&mut snapshot.scan, &self.sweeper.last) {
            shown.acted_since |= last.acted_since || last.at_seconds > shown.at_seconds;
        }
        let view = View {
            new_per_second: self.rates.new_per_second(),
            plan: plan.clone(),
            baseline: self.keeper.baseline(),
            settings: self.settings.clone(),
            pause: self.pause.clone().filter(|_| self.paused(snapshot.now_seconds)),
            snapshot,
            dry_run: self.parts.dry_run,
            journal_ok: self.chronicle.ok(),
            capabilities: self.gauge.capabilities(),
            last_actions: self.chronicle.last_actions(10),
            acts: self.chronicle.acts().clone(),
            notes: self.notes.iter().cloned().chain(self.waits_for_disk()).collect(),
            disk_hangs: self.keeper.trouble().is_some(),
            records: self.chronicle.records(),
        };
        *self.parts.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(view));
    }

    /// Puts what the operator just ordered into the last view: pause, settings and their record. The client that
    /// ordered it asks for `status` next, and the round that publishes a whole view may come later.
    pub(super) fn publish_orders(&self) {
        let mut shared = self.parts.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = shared.as_mut() {
            let view = Arc::make_mut(view);
            view.pause = self.pause.clone();
            view.settings = self.settings.clone();
            view.last_actions = self.chronicle.last_actions(10);
            view.records = self.chronicle.records();
        }
    }
}
