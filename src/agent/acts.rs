//! Plans become acts: recorded first, then done, then told.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::actor::{Actor, BACKOFF_SECONDS, DEBT, REPEAT_SECONDS, SHORT_BACKOFF_SECONDS, Step};
use super::chronicle::{Fullest, intended};
use crate::act::executor::{Refused, Swept, Values};
use crate::core::model::{Act, Action, ActionRow, Ended, Flush, Level, Outcome, Plan, Snapshot, Value};
use crate::core::policy;
use crate::error::Result;
use crate::linux::clock;

impl Actor {
    /// Said once, and shown for as long as the agent runs.
    pub(super) fn tell_unknown_sockets(&mut self) {
        if let Some(note) = self.gauge.sockets_not_known() {
            tracing::warn!(netns = %self.netns.key(), "{note}");
            self.notes.push(note.into());
        }
    }

    /// Relief waits for no look at the host's processes.
    pub(super) fn watch_neighbours(&mut self) {
        if let Err(error) = self.gauge.watch_neighbours() {
            tracing::warn!(%error, "no thread looks for conntrackd, so that relief waits for that");
        }
    }

    pub(super) fn tell_lost_policies(&mut self) {
        if self.gauge.policies_were_lost() {
            tracing::warn!(
                netns = %self.netns.key(),
                "changes of nftables were lost: a `ct timeout` policy may have come and gone unheard, so that time left \
                 proves no silence that reaches back before this"
            );
        }
    }

    /// Records what turned with this decision: the level, the share of protection (`before`), classes that are
    /// suspended. `refused`: packets that found no room since the decision before this one.
    pub(super) fn tell_turns(
        &mut self,
        before: (Level, bool),
        refused: u64,
        plan: &Plan,
        snapshot: &Snapshot,
    ) {
        let usage = policy::usage_percent(snapshot, &self.settings);
        let (mut level, overprotected) = before;
        // A flush may take seconds: what the table went through meanwhile is told once it is over.
        let pressure = &self.settings.pressure;
        let fullest = self.fullest.take().filter(|fullest| fullest.critical(refused, pressure));
        if let Some(fullest) = fullest.filter(|_| level.max(plan.level) < Level::Critical) {
            self.chronicle.passed_critical(level, &fullest, refused, snapshot.now_seconds);
            level = Level::Critical;
        }
        if plan.level != level {
            self.chronicle.level(level, plan, usage, snapshot.now_seconds);
        }
        if self.memory.overprotected != overprotected {
            self.chronicle.protection(!overprotected, plan, usage, snapshot.now_seconds);
        }
        self.chronicle.suspensions(plan);
    }

    /// Does what the plan says, in its order, those of entries as one in the place of the first; true if anything came
    /// of it. They may take seconds: what comes after them is told of the table as it is then, and left where somebody
    /// wants a stop.
    pub(super) fn perform(&mut self, plan: &Plan, snapshot: &Snapshot) -> bool {
        let plan = &*self.unsaid(plan, snapshot.now_seconds);
        if plan.actions.is_empty() {
            return false;
        }
        let mut acted = false;
        let of_entries = |a: &Action| matches!(a.act, Act::Flush(_) | Act::SecondChance(_));
        let first = plan.actions.iter().position(of_entries).unwrap_or(plan.actions.len());
        let (before, rest) = plan.actions.split_at(first);
        for action in before {
            acted |= self.act(action, plan, snapshot);
        }
        let flushed = self.acts_on_entries(plan, snapshot);
        acted |= flushed;
        let since = if flushed { self.gauge.count().ok() } else { None };
        let since = since.map(|entries| Snapshot { entries, ..snapshot.clone() });
        for action in rest.iter().filter(|a| !of_entries(a)) {
            if self.parts.numbers.halt.load(Relaxed) {
                break;
            }
            match self.act(action, plan, since.as_ref().unwrap_or(snapshot)) {
                true => acted = true,
                false if flushed => self.leave(action, plan.level),
                false => {}
            }
        }
        acted && !self.writer.dry()
    }

    /// Those that are due, as one. Where the table is about to be full within a second, old debts do not count.
    fn acts_on_entries(&mut self, plan: &Plan, snapshot: &Snapshot) -> bool {
        let now = snapshot.now_seconds;
        let growing = self.parts.numbers.growing_per_second.load(Relaxed);
        let urgent = snapshot.entries.saturating_add(growing) >= plan.pace.urgent_at_entries;
        let owed = Duration::try_from_secs_f64(self.deletions_due_seconds - now).unwrap_or_default();
        let paid = urgent || owed <= DEBT;
        if !urgent && paid && plan.actions.iter().any(|action| matches!(action.act, Act::Flush(_))) {
            std::thread::sleep(owed);
        }
        let due = |action: &&Action| match action.act {
            Act::Flush(_) => paid,
            Act::SecondChance(_) => now >= self.chances_due_seconds,
            _ => false,
        };
        let actions: Vec<&Action> = plan.actions.iter().filter(due).collect();
        !actions.is_empty() && !self.backs_off(Step::Flush, now) && self.flush(&actions, plan, snapshot)
    }

    /// A dry run changes nothing, so that the same acts come back at every look, by a scan or without one: each is said
    /// once a minute.
    fn unsaid<'p>(&mut self, plan: &'p Plan, now: f64) -> Cow<'p, Plan> {
        let mut plan = Cow::Borrowed(plan);
        if self.writer.dry() {
            let (level, said) = (plan.level, &mut self.said);
            said.retain(|_, at| now - *at < REPEAT_SECONDS);
            plan.to_mut().actions.retain(|action| match said.entry(saying(level, action)) {
                Entry::Vacant(new) => {
                    new.insert(now);
                    true
                }
                Entry::Occupied(_) => false,
            });
        }
        plan
    }

    pub(super) fn backs_off(&self, step: Step, now: f64) -> bool {
        self.backoff.get(&step).is_some_and(|until| now < *until)
    }

    /// Sets one value: recorded first, then written, then told. Where the record is not on disk yet, it is put off.
    pub(super) fn act(&mut self, action: &Action, plan: &Plan, snapshot: &Snapshot) -> bool {
        let Some((name, from, to)) = action.act.value() else { return false };
        if self.backs_off(Step::Set(name), snapshot.now_seconds) {
            return false;
        }
        // Somebody may have set it since the last look at other programs: then that is what is to go back to.
        let theirs = self.heed(&[(name, from)].into(), snapshot.now_seconds);
        if theirs && matches!(action.act, Act::RestoreTimeout { .. } | Act::LowerMax { .. }) {
            return false;
        }
        if self.memory.overrides.get(&name).is_some_and(|write| write.at_seconds == snapshot.now_seconds) {
            // It was the agent's until a moment ago: the next decision knows, and nothing was raised by this one.
            if name == Value::Max {
                self.memory.raised_at_seconds = None;
            }
            return false;
        }
        let action = &self.as_recorded(action);
        let to = action.act.value().map_or(to, |(.., to)| to);
        let mut seen = None;
        if let Act::SetTimeout { timeout, to, .. } | Act::RestoreTimeout { timeout, to, .. } = action.act
            && !self.writer.dry()
        {
            let since = Some(snapshot.now_seconds as u32);
            self.gauge.history().saw_one(timeout, to, since);
            seen = self.saved_seen();
        }
        let usage = policy::usage_percent(snapshot, &self.settings);
        let Some(id) = self.recorded(intended(action, plan.level, usage), seen) else {
            self.memory.put_off(&action.act, &self.memory_before);
            return false;
        };
        let started = Instant::now();
        let set = self.writer.set(name, from, to);
        let ended = match &set {
            Ok(Some(_)) => Ended::Done,
            Ok(None) => Ended::DryRun,
            Err(refused @ Refused::Changed(_)) => Ended::Deferred(words(refused)),
            Err(refused) => {
                self.backoff.insert(Step::Set(name), snapshot.now_seconds + BACKOFF_SECONDS);
                Ended::Failed(words(refused))
            }
        };
        match &set {
            Ok(Some(now)) if self.keeper.baseline().get(&name) == Some(now) => self.keeper.released(name),
            // The kernel may round: what it kept is what was written.
            Ok(Some(kept)) => drop(self.keeper.will_write(name, from, *kept)),
            Ok(None) => {}
            Err(_) => self.keeper.unwritten(name, from),
        }
        let done = set.is_ok();
        let after = self.usage_now(snapshot);
        let outcome = Outcome {
            action: action.clone(),
            ended,
            requested: 1,
            achieved: u64::from(done && !self.writer.dry()),
            already_gone: 0,
            duration_seconds: started.elapsed().as_secs_f64(),
            usage_before_percent: usage,
            usage_after_percent: after,
        };
        self.chronicle.outcome(id, &outcome, plan.level);
        done
    }

    /// Flushes what the plan names, and gives second chances, in one sweep.
    fn flush(&mut self, actions: &[&Action], plan: &Plan, snapshot: &Snapshot) -> bool {
        let flushes: Vec<&Flush> = actions
            .iter()
            .filter_map(|action| match &action.act {
                Act::Flush(flush) | Act::SecondChance(flush) => Some(flush),
                _ => None,
            })
            .collect();
        let usage = policy::usage_percent(snapshot, &self.settings);
        let together = plan.pace.portion.is_some();
        let ids = self.chronicle.intend_lightly(actions, together, plan.level, usage);
        self.gauge.forget_fullest();
        let (began_seconds, started) = (clock::boottime_seconds(), Instant::now());
        let swept = self.sweep(&flushes, plan);
        let duration_seconds = started.elapsed().as_secs_f64();
        let after = self.usage_now(snapshot);
        self.fullest = self.gauge.fullest().map(|(entries, at_seconds)| Fullest {
            act: ids[0],
            usage_percent: self.usage_of(entries, snapshot),
            began_seconds,
            at_seconds,
        });
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
        self.rest(&flushes, &swept, failure.is_some(), snapshot.now_seconds);
        let mut outcomes = Vec::new();
        for (i, action) in actions.iter().enumerate() {
            let chance = flushes[i].grace_seconds.is_some();
            let ended = match (&failure, refused(&swept, chance)) {
                (Some(why), _) => Ended::Failed(why.clone()),
                (None, Some(errno)) => Ended::Failed(std::io::Error::from_raw_os_error(errno).to_string()),
                _ if self.writer.dry() => Ended::DryRun,
                _ => Ended::Done,
            };
            let mut action = (*action).clone();
            if let Some(more) = swept.freed[i].checked_sub(flushes[i].budget).filter(|more| *more > 0) {
                action.reason += &format!("; {more} more went, for as many new ones came while it went on");
            }
            let last_of_kind = flushes[i + 1..].iter().all(|later| later.grace_seconds.is_some() != chance);
            if let Some(stale) = stale(&swept, chance).filter(|_| last_of_kind) {
                action.reason += &stale;
            }
            let outcome = Outcome {
                action,
                ended,
                requested: swept.requested[i],
                achieved: swept.freed[i],
                already_gone: if chance { swept.chances.already_gone } else { swept.deleted.already_gone },
                duration_seconds,
                usage_before_percent: usage,
                usage_after_percent: after,
            };
            outcomes.push((ids[i], outcome));
        }
        self.chronicle.outcomes(&outcomes, plan.level);
        let freed = swept.freed.iter().sum::<u64>();
        if !self.writer.dry() {
            // A second chance frees nothing yet: what counts is what the kernel deleted.
            let now = clock::boottime_seconds();
            self.memory.flushed(snapshot, now, swept.deleted.gone());
            // Entries that were too old to act on are there still: no reason to wait for something to free.
            let there = swept.deleted.stale + swept.chances.stale;
            self.memory.achieved(snapshot, &plan.pace, now, freed.saturating_add(there));
        }
        freed > 0
    }

    /// Backs off from acts that were refused, and keeps deletions and second chances to their pace from one sweep to
    /// the next.
    fn rest(&mut self, flushes: &[&Flush], swept: &Swept, failed: bool, now: f64) {
        const EPERM: i32 = nix::errno::Errno::EPERM as i32;
        if flushes.iter().any(|flush| flush.grace_seconds.is_some()) {
            self.chances_due_seconds = clock::boottime_seconds() + swept.chances_owed.as_secs_f64();
        }
        if !self.writer.dry() {
            let due = clock::boottime_seconds() + swept.deletions_owed.as_secs_f64();
            self.deletions_due_seconds = self.deletions_due_seconds.max(due);
        }
        if let Some(errno) = refused(swept, true) {
            tracing::warn!(errno, "the kernel refuses second chances");
            self.backoff.insert(Step::SecondChance, now + BACKOFF_SECONDS);
        }
        let refused = refused(swept, false);
        if let Some(errno) = refused.filter(|errno| *errno == EPERM) {
            tracing::warn!(errno, "the kernel refuses deletions");
            self.backoff.insert(Step::Flush, now + BACKOFF_SECONDS);
        } else if failed || refused.is_some() {
            self.backoff.insert(Step::Flush, now + SHORT_BACKOFF_SECONDS);
        }
    }

    pub(super) fn sweep(&mut self, flushes: &[&Flush], plan: &Plan) -> Result<Swept> {
        let settings = self.settings.clone();
        self.sweeper.sweep(&mut self.gauge, self.writer.as_mut(), flushes, &plan.pace, &settings, None)
    }

    fn usage_now(&mut self, snapshot: &Snapshot) -> f64 {
        let entries = self.gauge.count().unwrap_or(snapshot.entries);
        self.usage_of(entries, snapshot)
    }

    fn usage_of(&self, entries: u64, snapshot: &Snapshot) -> f64 {
        let values = self.gauge.values();
        let max = values.read(Value::Max).unwrap_or(snapshot.max);
        policy::usage_percent(&Snapshot { entries, max, ..Snapshot::default() }, &self.settings)
    }
}

/// errno, if all deletions or all second chances of a sweep were refused.
fn refused(swept: &Swept, chance: bool) -> Option<i32> {
    match chance {
        true => swept.chances.errno.filter(|_| swept.chances_given == 0),
        false => swept.deleted.errno.filter(|_| swept.deleted.gone() == 0),
    }
}

/// Entries that stay for nothing but their age in this process, in words, of all deletions or of all second chances.
fn stale(swept: &Swept, chance: bool) -> Option<String> {
    let n = if chance { swept.chances.stale } else { swept.deleted.stale };
    (n > 0).then(|| {
        format!(
            "; {n} of those asked for stay: they were stale, for this process had no CPU between the look at them and the act, \
             and are met again by the next act"
        )
    })
}

/// The act and its object as text, without the figures.
fn saying(level: Level, action: &Action) -> String {
    let row = ActionRow::from(action);
    format!("{level} {} {:?} {:?} {:?}", row.action, row.name, row.class, row.share_level.is_some())
}

/// In the operator's words.
pub(super) fn words(refused: &Refused) -> String {
    match refused {
        Refused::Changed(now) => format!("someone else set it to {now} meanwhile"),
        Refused::Kernel(why) => why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::deleter::Deleted;

    #[test]
    fn what_was_too_old_to_act_on_is_told_with_its_count() {
        let deleted = Deleted { sent: 1, stale: 17, ..Deleted::default() };
        let swept = Swept { deleted, ..Swept::default() };
        let told = stale(&swept, false).expect("a sentence");
        assert!(told.contains("; 17 of those asked for stay: they were stale"), "{told}");
        assert_eq!(stale(&swept, true), None);
    }
}
