//! Writes decisions and their outcomes to the journal and to the log, in the same words.

use super::drifts::Drifts;
use super::turns::Turns;
use crate::act::journal::{Journal, Ring};
use crate::core::model::sentence::sentence;
use crate::core::model::{
    Act, Action, ActionRow, Draft, Ended, JournalRecord, Level, Netns, Outcome, Plan, PressureSettings,
    RecordEvent, Turn,
};
use crate::metrics::Acts;

/// The fullest that the table was seen while a flush was under way.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fullest {
    /// Number of the act.
    pub act: u64,
    /// Usage after it, in percent.
    pub usage_percent: f64,
    /// Begin of the act, in seconds since the host came up.
    pub began_seconds: f64,
    /// Time at which that usage was seen, in seconds since the host came up.
    pub at_seconds: f64,
}

impl Fullest {
    /// True if the table was critical then, with `refused` packets refused meanwhile.
    pub fn critical(&self, refused: u64, pressure: &PressureSettings) -> bool {
        let full = self.usage_percent >= pressure.critical_percent;
        full || (refused > 0 && self.usage_percent >= pressure.high_percent)
    }
}

/// The journal and the log.
pub struct Chronicle {
    journal: Journal,
    netns: Netns,
    dry_run: bool,
    acts: Acts,
    /// Intents of a dry run's acts that are under way.
    intents: Vec<Draft>,
    /// The act that said that too much is protected.
    protection: Option<u64>,
    drifts: Drifts,
    levels: Turns,
    protections: Turns,
}

impl Chronicle {
    /// Writes into `journal`.
    pub fn new(journal: Journal, netns: Netns, dry_run: bool) -> Self {
        let (acts, drifts) = Default::default();
        let (levels, protections) = (Turns::of("the level"), Turns::of("what configuration protects"));
        let intents = Vec::new();
        Chronicle { journal, netns, dry_run, acts, intents, protection: None, drifts, levels, protections }
    }

    /// A number for an act.
    pub fn next_id(&mut self) -> u64 {
        self.journal.next_id()
    }

    /// False while records cannot be written.
    pub fn ok(&self) -> bool {
        self.journal.ok()
    }

    /// The journal's last records, for other threads.
    pub fn records(&self) -> Ring {
        self.journal.ring()
    }

    /// Counts of acts.
    pub fn acts(&self) -> &Acts {
        &self.acts
    }

    /// The newest records of acts, oldest first.
    pub fn last_actions(&self, n: usize) -> Vec<JournalRecord> {
        let told = |r: &JournalRecord| r.action.is_some() && r.event != RecordEvent::Intend;
        let mut records: Vec<JournalRecord> =
            self.journal.tail(usize::MAX).into_iter().filter(told).collect();
        records.drain(..records.len().saturating_sub(n));
        records
    }

    /// A record that waits for nothing.
    pub fn note(&mut self, draft: Draft) {
        self.acts.count(&Draft { dry_run: self.dry_run, ..draft.clone() });
        self.write(draft);
    }

    fn write(&mut self, draft: Draft) {
        let draft = Draft { dry_run: self.dry_run, ..draft };
        self.tell(&draft);
        self.journal.append(draft);
    }

    /// Records an act that an operator asked for: a dry run does that too, and it is no act of the policy's to be
    /// counted.
    pub fn asked(&mut self, draft: Draft) {
        self.tell(&draft);
        self.journal.append(draft);
    }

    /// Somebody else changed a value: counted each time, told within bounds.
    pub fn drift(&mut self, draft: Draft, now_seconds: f64) {
        self.acts.count(&draft);
        if let Some(draft) = self.drifts.take(draft, now_seconds) {
            self.write(draft);
        }
    }

    /// Tells of changes and turns that were left out, as far as that is due.
    pub fn tell_left_out(&mut self, now_seconds: f64) {
        let turned = [&mut self.levels, &mut self.protections].map(|turns| turns.over(now_seconds));
        let drifted = self.drifts.over(now_seconds);
        drifted.into_iter().chain(turned.into_iter().flatten()).for_each(|draft| self.write(draft));
    }

    /// Tells of all of them: the agent ends.
    pub fn tell_all_left_out(&mut self, now_seconds: f64) {
        let turned = [&mut self.levels, &mut self.protections].map(Turns::end);
        let drifted = self.drifts.end(now_seconds);
        drifted.into_iter().chain(turned.into_iter().flatten()).for_each(|draft| self.write(draft));
    }

    /// A turn of the level: counted each time, told within bounds.
    fn turned(&mut self, to: Level, draft: Draft, now_seconds: f64) {
        self.acts.count(&Draft { dry_run: self.dry_run, ..draft.clone() });
        let told = self.levels.take(to.name(), draft, now_seconds);
        told.into_iter().for_each(|draft| self.write(draft));
    }

    /// A value is about to be set.
    pub fn intended(&mut self, draft: Draft) {
        self.journal.append(Draft { dry_run: self.dry_run, ..draft });
    }

    /// A level was left for another.
    pub fn level(&mut self, before: Level, plan: &Plan, usage: f64, now_seconds: f64) {
        let draft = Draft {
            level: Some(plan.level),
            level_before: Some(before),
            usage_before_percent: Some(usage),
            ..Draft::new(0, RecordEvent::Level, plan.cause.clone())
        };
        self.turned(plan.level, draft, now_seconds);
    }

    /// Classes whose flush is left out from now on, or no longer.
    pub fn suspensions(&mut self, plan: &Plan) {
        for suspension in plan.suspensions.iter().filter(|s| s.turn != Turn::Lasts) {
            let id = self.next_id();
            // Flushes that were done are counted: the end of a suspension is none.
            let (event, action) = match suspension.turn {
                Turn::Ends => (RecordEvent::Done, "release"),
                _ => (RecordEvent::Deferred, "flush"),
            };
            let draft = Draft::new(id, event, suspension.reason.clone());
            self.note(Draft {
                level: Some(plan.level),
                action: Some(action.into()),
                class: Some(suspension.class),
                ..draft
            });
        }
    }

    /// Configuration protects more than `max_percent` of the table, or no more. Keeping it within is put off until
    /// critical, and done when it is within again: two records of one act, which is no `flush`, for those are counted.
    pub fn protection(&mut self, over: bool, plan: &Plan, usage: f64, now_seconds: f64) {
        let (event, why) = match over {
            true => (RecordEvent::Deferred, plan.overprotected.clone()),
            false => (RecordEvent::Done, None),
        };
        let id = if over { self.next_id() } else { self.protection.unwrap_or(0) };
        self.protection = Some(id);
        let draft =
            Draft::new(id, event, why.unwrap_or_else(|| "what it protects is within max_percent".into()));
        let (action, level) = (Some("protect".into()), Some(plan.level));
        let draft = Draft { action, level, usage_before_percent: Some(usage), ..draft };
        self.acts.count(&Draft { dry_run: self.dry_run, ..draft.clone() });
        let to = if over { "more than max_percent" } else { "within max_percent" };
        let told = self.protections.take(to, draft, now_seconds);
        told.into_iter().for_each(|draft| self.write(draft));
    }

    /// Entries are about to be deleted: that cannot be undone, so it waits for no disk. A number for each; where they
    /// are done `together`, in an urgent act, they are one act with one record.
    pub fn intend_lightly(
        &mut self,
        actions: &[&Action],
        together: bool,
        level: Level,
        usage: f64,
    ) -> Vec<u64> {
        let intents = if together { actions.get(..1).unwrap_or_default() } else { actions };
        let mut ids = Vec::new();
        for action in intents {
            let id = self.next_id();
            let mut record = draft(id, RecordEvent::Intend, action, level, usage);
            if together && actions.len() > 1 {
                let others: Vec<String> = actions[1..].iter().filter_map(floor_of).collect();
                record.reason += &format!("; with it go {}", others.join(", "));
                record.class = None;
            }
            let record = Draft { dry_run: self.dry_run, ..record };
            // Nothing can be cut short in a dry run, which may come to nothing.
            match self.dry_run {
                true => self.intents.push(record),
                false => drop(self.journal.append(record)),
            }
            ids.push(id);
        }
        let last = ids.last().copied().unwrap_or(0);
        ids.resize(actions.len(), last);
        ids
    }

    /// Records the outcomes of acts that one sweep did. Of those that are one act, the parts that met entries are
    /// told, each class by itself; if none did, that is told. A dry run that would take nothing is no act.
    pub fn outcomes(&mut self, outcomes: &[(u64, Outcome)], level: Level) {
        let intents = std::mem::take(&mut self.intents);
        let mut told: Vec<Draft> = Vec::new();
        for act in outcomes.chunk_by(|one, next| one.0 == next.0) {
            let before = told.len();
            let met = act.iter().filter(|(_, outcome)| outcome.requested > 0);
            told.extend(met.map(|(id, outcome)| ended(*id, outcome, level)));
            if let (true, Some((id, outcome))) = (told.len() == before, act.first())
                && outcome.ended != Ended::DryRun
            {
                let record = ended(*id, outcome, level);
                let class = record.class.filter(|_| act.len() == 1);
                told.push(Draft { class, ..record });
            }
        }
        let acts_together = Some(told.len() as u64).filter(|acts| *acts > 1);
        for intent in intents.into_iter().filter(|intent| told.iter().any(|end| end.id == intent.id)) {
            self.journal.append(intent);
        }
        told.into_iter().for_each(|end| self.note(Draft { acts_together, ..end }));
    }

    /// The table was critical for a while, between two looks and in the middle of an act.
    pub fn passed_critical(&mut self, before: Level, fullest: &Fullest, refused: u64, now_seconds: f64) {
        let refused = match refused {
            0 => String::new(),
            n => format!(", and {n} packets were dropped for want of room"),
        };
        let why = format!(
            "in the middle of act {}, {:.1} s after its beginning and {:.1} s before this \
             record, usage was {:.1} %{refused}",
            fullest.act,
            (fullest.at_seconds - fullest.began_seconds).max(0.0),
            (now_seconds - fullest.at_seconds).max(0.0),
            fullest.usage_percent
        );
        let draft = Draft::new(fullest.act, RecordEvent::Level, why);
        let usage_before_percent = Some(fullest.usage_percent);
        let (level, level_before) = (Some(Level::Critical), Some(before));
        let draft = Draft { level, level_before, usage_before_percent, ..draft };
        self.turned(Level::Critical, draft, now_seconds);
    }

    /// Records the outcome of one act.
    pub fn outcome(&mut self, id: u64, outcome: &Outcome, level: Level) {
        self.note(ended(id, outcome, level));
    }

    /// Says what was done, in the words of `history`; journald can be asked for each of these fields. Level high is a
    /// warning and critical an error, so that whoever filters by priority hears of both.
    fn tell(&self, draft: &Draft) {
        let sentence = sentence(draft);
        let netns = self.netns.key();
        let action = draft.action.as_deref().unwrap_or("");
        let name = draft.name.as_deref().unwrap_or("");
        let class = draft.class.map_or("", |class| class.name());
        let (id, achieved) = (draft.id, draft.achieved.unwrap_or(0));
        let (from, to) = (draft.from.unwrap_or(0), draft.to.unwrap_or(0));
        let level = draft.level.map_or("", |level| level.name());
        let dry_run = draft.dry_run;
        match (draft.event, draft.level) {
            (RecordEvent::Level, Some(Level::Critical)) => tracing::error!(netns, level, "{sentence}"),
            (RecordEvent::Level, Some(Level::High)) => tracing::warn!(netns, level, "{sentence}"),
            (RecordEvent::Level, _) => tracing::info!(netns, level, "{sentence}"),
            (RecordEvent::Failed, _) => {
                tracing::warn!(netns, action, name, class, id, dry_run, "{sentence}");
            }
            _ if matches!(action, "flush" | "second-chance") => {
                tracing::info!(netns, action, class, id, achieved, dry_run, "{sentence}");
            }
            _ if draft.by.is_some() => {
                let uid = draft.by.as_ref().and_then(|by| by.uid).map_or(-1, i64::from);
                tracing::info!(netns, action, name, id, uid, "{sentence}");
            }
            _ => tracing::info!(netns, action, name, id, from, to, dry_run, "{sentence}"),
        }
    }
}

/// The record of an act that is about to be done; it has no number yet.
pub fn intended(action: &Action, level: Level, usage: f64) -> Draft {
    draft(0, RecordEvent::Intend, action, level, usage)
}

fn draft(id: u64, event: RecordEvent, action: &Action, level: Level, usage: f64) -> Draft {
    let row = ActionRow::from(action);
    let requested = match &action.act {
        Act::Flush(flush) | Act::SecondChance(flush) => Some(flush.budget),
        _ => None,
    };
    Draft {
        level: Some(level),
        action: Some(row.action),
        name: row.name,
        class: row.class,
        from: row.from,
        to: row.to,
        requested,
        usage_before_percent: Some(usage),
        ..Draft::new(id, event, row.reason)
    }
}

fn ended(id: u64, outcome: &Outcome, level: Level) -> Draft {
    let (event, why) = match &outcome.ended {
        Ended::Done | Ended::DryRun => (RecordEvent::Done, None),
        Ended::Deferred(why) => (RecordEvent::Deferred, Some(why)),
        Ended::Failed(why) => (RecordEvent::Failed, Some(why)),
    };
    let mut record = draft(id, event, &outcome.action, level, outcome.usage_before_percent);
    if let Some(why) = why {
        record.reason = format!("{why} (wanted: {})", record.reason);
    }
    Draft {
        requested: Some(outcome.requested),
        achieved: Some(outcome.achieved),
        duration_seconds: Some(outcome.duration_seconds),
        usage_after_percent: Some(outcome.usage_after_percent),
        ..record
    }
}

/// A class with the idleness from which on it goes.
fn floor_of(action: &&Action) -> Option<String> {
    let (Act::Flush(flush) | Act::SecondChance(flush)) = &action.act else { return None };
    let time_wait = flush.time_wait_over_seconds.filter(|seconds| *seconds != flush.idle_over_seconds);
    let time_wait = time_wait.map_or(String::new(), |seconds| format!(" (TIME_WAIT from {seconds} s on)"));
    Some(format!("{} entries from {} s of idleness on{time_wait}", flush.class, flush.idle_over_seconds))
}

#[cfg(test)]
#[path = "chronicle_tests.rs"]
mod tests;
