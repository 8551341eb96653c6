//! From what a walk meets to what a command gets: judged, filtered, once, and not before it is known who has children.

use std::collections::VecDeque;
use std::time::Instant;

use super::look::Recent;
use super::masters::Masters;
use crate::error::Result;
use crate::model::{Entry, Filters, FlushSettings, Verdict};
use crate::sieve::{Judged, Sieve};

/// Entries that are held at most until it is known who has children: 28 MB, as many as a walk of a million meets
/// meanwhile where a third of them may go.
const HELD: usize = 1 << 17;
/// Entries in 32 KiB of a dump: what they take to be deleted is less than the kernel takes for the chunks that wait.
const A_CHUNK: usize = 140;

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
    /// What is not past its floor is handed on before: it stays, whoever its children are.
    pub only_stale: bool,
    pub held: VecDeque<(T, Instant)>,
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
        if self.masters.is_none() {
            self.hand_on(&item, seen);
            return Ok(());
        }
        if self.only_stale {
            let judged = self.sieve.judge(entry);
            // It stays, whoever its children are.
            if !judged.past_floor || judged.in_grace {
                self.hand_on_judged(&item, &judged, seen);
                return Ok(());
            }
        }
        self.held.push_back((item, seen));
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
        if let Some(masters) = self.masters.take() {
            masters.wait()?;
        }
        self.hand_on_held(self.held.len());
        Ok(())
    }

    fn hand_on_held(&mut self, most: usize) {
        for _ in 0..most {
            let Some((item, seen)) = self.held.pop_front() else { return };
            self.hand_on(&item, seen);
        }
    }

    fn hand_on(&mut self, item: &T, seen: Instant) {
        let entry = (self.entry_of)(item);
        let judged = self.sieve.judge(entry);
        self.hand_on_judged(item, &judged, seen);
    }

    fn hand_on_judged(&mut self, item: &T, judged: &Judged, seen: Instant) {
        let entry = (self.entry_of)(item);
        if self.filters.matches(entry, judged.idle_seconds) && self.recent.is_new(entry) {
            (self.each)(item, &judged.verdict(entry, self.flush), seen);
        }
    }
}
