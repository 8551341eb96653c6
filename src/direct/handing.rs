//! From what a walk meets to what a command gets: judged, filtered, once, and not before it is known who has children.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::beside::Beside;
use super::masters::Masters;
use super::recent::Recent;
use crate::core::model::{
    Entry, Filters, FlushSettings, Judged, Knowledge, KnowledgeDocument, UnprovenCounts, Verdict,
};
use crate::core::sieve::Sieve;
use crate::error::Result;
use crate::linux::clock;

/// Entries that are held at most until it is known who has children: 28 MB, as many as a walk of a million meets
/// meanwhile where a third of them may go.
const HELD: usize = 1 << 17;
/// Entries in 32 KiB of a dump: what they take to be deleted is less than the kernel takes for the chunks that wait.
const A_CHUNK: usize = 140;

/// Entries of which the agent is asked at once, and how long the first of them waits for others at most: what is seen
/// is to be acted on soon.
const ASKED: usize = KnowledgeDocument::MOST;
const GATHER: Duration = Duration::from_millis(10);

/// An entry that was met, when, and what an agent knows of it.
pub(super) struct Held<T> {
    item: T,
    seen: Instant,
    known: Option<(Knowledge, f64)>,
}

/// Counts of entries that the filters may want and of which something could not be told.
#[derive(Default)]
pub(super) struct NotTold {
    /// Entries that match but for their idleness, which is not known, by why.
    pub unproven: UnprovenCounts,
    /// Entries of which the agent did not tell what it knows.
    pub by_agent: u64,
}

/// Judges what a walk meets and hands on what the filters want.
pub(super) struct Handing<'a, T, O, E> {
    pub sieve: Sieve<'a>,
    pub recent: Recent<'a>,
    pub filters: &'a Filters,
    pub flush: &'a FlushSettings,
    pub entry_of: O,
    pub each: E,
    /// A look for children that has not ended.
    pub masters: Option<Masters>,
    /// An entry that is not past its floor is handed on before: it stays, whatever its children are.
    pub only_stale: bool,
    /// Filters match what is likely idle too: nothing is deleted.
    pub likely: bool,
    pub held: VecDeque<Held<T>>,
    /// The agent, as long as it answers, and entries of which it is to be asked.
    pub beside: Option<Beside>,
    pub asking: Vec<Held<T>>,
    pub not_told: NotTold,
}

impl<T, O: Fn(&T) -> &Entry, E: FnMut(&T, &Verdict, Instant)> Handing<'_, T, O, E> {
    /// An entry was met, as it was after `seen`.
    ///
    /// # Errors
    /// As [`Masters::wait`].
    pub(super) fn meet(&mut self, item: T, seen: Instant) -> Result<()> {
        let entry = (self.entry_of)(&item);
        // A child names its master whoever wants it.
        if entry.master.is_none() && !self.filters.may_match(entry) {
            return Ok(());
        }
        let held = Held { item, seen, known: None };
        let Some(beside) = &self.beside else { return self.take(held, None) };
        let judged = self.sieve.judge((self.entry_of)(&held.item));
        if !beside.may_know_more(&judged) {
            return self.take(held, Some(judged));
        }
        self.asking.push(held);
        if self.asking.len() >= ASKED || self.asking[0].seen.elapsed() >= GATHER {
            return self.ask();
        }
        Ok(())
    }

    /// Asks the agent of those that wait for it, and takes them.
    fn ask(&mut self) -> Result<()> {
        let mut asking = std::mem::take(&mut self.asking);
        let Some(beside) = self.beside.take_if(|_| !asking.is_empty()) else { return Ok(()) };
        match beside.ask(asking.iter().map(|held| (self.entry_of)(&held.item))) {
            Some(told) => {
                for (held, known) in asking.iter_mut().zip(&told.known) {
                    held.known = Some((*known, told.at_seconds));
                }
                self.beside = Some(beside);
            }
            None => {
                self.not_told.by_agent += asking.len() as u64;
                if beside.others_update() {
                    // Which of all that is still to come another program wrote nobody tells any more.
                    self.sieve.distrust();
                }
            }
        }
        asking.into_iter().try_for_each(|held| self.take(held, None))
    }

    /// All is known of an entry that will be; `judged` is its judgement, where it has one.
    fn take(&mut self, held: Held<T>, judged: Option<Judged>) -> Result<()> {
        if self.masters.is_none() {
            let judged = judged.unwrap_or_else(|| self.judge(&held));
            self.hand_on_judged(&held, &judged);
            return Ok(());
        }
        if self.only_stale {
            let judged = judged.unwrap_or_else(|| self.judge(&held));
            // It stays, whoever its children are.
            if !judged.past_floor || judged.in_grace {
                self.hand_on_judged(&held, &judged);
                return Ok(());
            }
        }
        self.held.push_back(held);
        match self.held.len() < HELD {
            true => Ok(()),
            false => self.masters.take().map_or(Ok(()), Masters::wait),
        }
    }

    /// In a lull of the walk, hands on some of what is held, once it is known who has children; false where there is
    /// nothing to hand on. Later is soon enough, for what comes out of the dump meanwhile is young only now.
    ///
    /// # Errors
    /// As [`Masters::wait`].
    pub(super) fn release_some(&mut self) -> Result<bool> {
        if self.asking.first().is_some_and(|held| held.seen.elapsed() >= GATHER) {
            self.ask()?;
        }
        if let Some(masters) = self.masters.take_if(|masters| masters.ended()) {
            masters.wait()?;
        }
        let some = self.masters.is_none() && !self.held.is_empty();
        if some {
            self.hand_on_held(A_CHUNK);
        }
        Ok(some)
    }

    /// Waits until that is known, and hands on all of it.
    ///
    /// # Errors
    /// As [`Masters::wait`].
    pub(super) fn release(&mut self) -> Result<()> {
        self.ask()?;
        if let Some(masters) = self.masters.take() {
            masters.wait()?;
        }
        self.hand_on_held(self.held.len());
        Ok(())
    }

    fn hand_on_held(&mut self, most: usize) {
        for _ in 0..most {
            let Some(held) = self.held.pop_front() else { return };
            self.hand_on(&held);
        }
    }

    fn judge(&mut self, held: &Held<T>) -> Judged {
        let entry = (self.entry_of)(&held.item);
        match &held.known {
            Some((known, told_at)) => {
                let seen_at = clock::boottime_seconds() - held.seen.elapsed().as_secs_f64();
                self.sieve.judge_knowing(entry, known, *told_at, seen_at)
            }
            None => self.sieve.judge(entry),
        }
    }

    fn hand_on(&mut self, held: &Held<T>) {
        let judged = self.judge(held);
        self.hand_on_judged(held, &judged);
    }

    fn hand_on_judged(&mut self, held: &Held<T>, judged: &Judged) {
        let entry = (self.entry_of)(&held.item);
        let idle =
            if self.likely { judged.presumed_seconds.max(judged.idle_seconds) } else { judged.idle_seconds };
        if !self.filters.matches(entry, idle) {
            let unproven = judged.unproven.filter(|_| judged.protected.is_none());
            let at_most = judged.presumed_seconds.unwrap_or(u32::MAX);
            if let Some(why) = unproven
                && self.filters.matches(entry, Some(at_most))
            {
                self.not_told.unproven.add(why, 1);
            }
            return;
        }
        if self.recent.is_new(entry) {
            (self.each)(&held.item, &judged.verdict(entry, self.flush), held.seen);
        }
    }
}
