//! `flush`: what an operator wants gone. Judged by the agent's own sieve, shown first, deleted one by one.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Instant;

use super::Target;
use super::look::{Looker, Walked};
use super::victims::Victims;
use crate::error::{Error, Result};
use crate::executor::Taker;
use crate::kernel::deleter::Still;
use crate::kernel::socket::explain;
use crate::kernel::stop::Stop;
use crate::model::{Entry, Filters, Settings, SourceKey, Verdict};

/// What is wanted gone.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What has to match.
    pub filters: &'a Filters,
    /// Only what the agent would give up at level high: of a class, idle for certain past its floor.
    pub stale: bool,
    /// What is protected goes as well.
    pub even_protected: bool,
    /// So many at most, the least recently active first.
    pub limit: u64,
}

/// What becomes of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Goes,
    Protected,
    NotMeant,
}

impl Wish<'_> {
    fn fate(&self, verdict: &Verdict) -> Fate {
        if self.stale && (!verdict.past_floor || verdict.in_grace) {
            return Fate::NotMeant;
        }
        match verdict.protected {
            Some(_) if !self.even_protected => Fate::Protected,
            _ => Fate::Goes,
        }
    }

    /// What an entry has to be still, right before it goes, if it was not meant for its silence.
    fn still(&self) -> Option<Still> {
        let silence = self.stale || self.filters.want_idleness();
        let filters = self.filters.clone();
        (!silence).then(|| Box::new(move |now: &Entry| filters.may_match(now)) as Still)
    }
}

/// How many sources are shown.
const SHOWN: usize = 5;

/// What would go.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// Entries that match and may go.
    pub matched: u64,
    /// Entries that are meant and stay, protected.
    pub protected: u64,
    /// Sources of what matches.
    pub sources_total: u64,
    /// Those of them with most entries.
    pub sources: Vec<(SourceKey, u64)>,
    /// Of what would go the most recently active: first those of which nobody can tell, then by certain idleness.
    pub most_recent: Vec<(Entry, Verdict)>,
    /// Where fewer go than match: they are the least recently active. Else they are too many to be told apart before,
    /// and go as they are met.
    pub chosen: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Entries that went.
    pub deleted: u64,
    /// Entries that had ended by themselves.
    pub already_gone: u64,
    /// Entries that a packet, or another program, has changed since: they are not what was meant any more.
    pub revived: u64,
    /// Entries that were shown and not met again as they were, where more were shown than are known one by one: they
    /// had ended, or are not what was meant any more.
    pub not_met: u64,
    /// Entries that the kernel did not delete, or that could not be looked at in time.
    pub failed: u64,
    /// errno of the last that failed.
    pub errno: Option<i32>,
    /// A signal came before the end.
    pub interrupted: bool,
}

impl Flushed {
    /// The same, of so many that were shown: each is in one of the counts.
    pub fn of_shown(self, shown: u64) -> Self {
        let met = self.deleted + self.already_gone + self.revived + self.failed;
        let not_met = if self.interrupted { 0 } else { shown.saturating_sub(met) };
        Flushed { not_met, ..self }
    }
}

/// A flush in two steps: look, then delete.
pub struct Flush<'a> {
    looker: Looker<'a>,
    wish: Wish<'a>,
    victims: Victims,
}

impl<'a> Flush<'a> {
    /// Goes through the table and tells what would go; twice, where connections have children.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read, or the table was resized meanwhile.
    pub fn preview(target: &Target, settings: &'a Settings, wish: Wish<'a>) -> Result<(Flush<'a>, Preview)> {
        let mut looker = Looker::open(target, settings, wish.filters)?;
        let (mut preview, mut victims) = Flush::look(&mut looker, wish)?;
        if looker.saw_children() {
            // What came before its child was not known to be a master.
            (preview, victims) = Flush::look(&mut looker, wish)?;
        }
        Ok((Flush { looker, wish, victims }, preview))
    }

    fn look(looker: &mut Looker<'a>, wish: Wish<'a>) -> Result<(Preview, Victims)> {
        let (mut preview, mut victims) = (Preview::default(), Victims::new(wish.limit));
        let mut sources = HashMap::<SourceKey, u64>::new();
        let walked = looker.entries(
            |entry, verdict, _| match wish.fate(verdict) {
                Fate::NotMeant => {}
                Fate::Protected => preview.protected += 1,
                Fate::Goes => {
                    preview.matched += 1;
                    victims.add(entry, verdict);
                    *sources.entry(entry.source_key()).or_default() += 1;
                }
            },
            || true,
        )?;
        walked.trusted()?;
        preview.sources_total = sources.len() as u64;
        let mut sources: Vec<(SourceKey, u64)> = sources.into_iter().collect();
        sources.sort_unstable_by_key(|(key, entries)| (Reverse(*entries), *key));
        sources.truncate(SHOWN);
        preview.sources = sources;
        (preview.most_recent, preview.chosen) = (victims.most_recent(), victims.knows_all());
        Ok((preview, victims))
    }

    /// Deletes what was met and is still meant, as it is now. Where that was more than is kept, the table is gone
    /// through again, and what is meant goes as it is met, `limit` entries at most. `progress` is told now and then how
    /// many went.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read, or refuses.
    pub fn delete(mut self, limit: u64, progress: &mut dyn FnMut(u64)) -> Result<Flushed> {
        let stop = Stop::catch().map_err(|error| explain("signals", &error))?;
        let mut taker = Taker::open(self.wish.still())?;
        let walked = self.hand_over(&mut taker, limit, &stop, progress);
        let deleted = taker.end().map_err(|error| explain("conntrack delete", &error));
        let (walked, handed) = walked?;
        let deleted = deleted?;
        // Who was shown is asked for by identity: who does not answer is gone, and who is not handed over has changed.
        Ok(Flushed {
            deleted: deleted.gone(),
            already_gone: deleted.already_gone + walked.asked.saturating_sub(walked.there),
            revived: deleted.revived + walked.there.saturating_sub(handed),
            not_met: 0,
            failed: deleted.failed + deleted.stale,
            errno: deleted.errno,
            interrupted: stop.asked(),
        })
    }

    /// What was met, and how much of it is to go.
    fn hand_over(
        &mut self,
        taker: &mut Taker,
        limit: u64,
        stop: &Stop,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Walked, u64)> {
        let wish = self.wish;
        let (mut left, mut failure) = (limit, None);
        let chunk = RefCell::new((Vec::<Entry>::new(), Instant::now()));
        let each = |entry: &Entry, verdict: &Verdict, seen| {
            let mut chunk = chunk.borrow_mut();
            if left > 0 && wish.fate(verdict) == Fate::Goes {
                left -= 1;
                chunk.0.push(*entry);
                chunk.1 = seen;
            }
        };
        let breathe = || {
            let (entries, seen) = &mut *chunk.borrow_mut();
            failure = taker.take(entries, *seen).err();
            entries.clear();
            progress(taker.gone());
            failure.is_none() && !stop.asked()
        };
        let walked = match self.victims.kept() {
            Some(victims) => self.looker.again(&victims, each, breathe),
            None => self.looker.entries(each, breathe),
        }?;
        if let Some(error) = failure {
            return Err(explain("conntrack delete", &error));
        }
        match walked.resized {
            true => {
                Err(Error::unreachable("flush", "the table was resized meanwhile: part of it was not seen")
                    .hint("run it again: what is left will be found"))
            }
            false => Ok((walked, limit - left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_is_what_is_past_its_floor_and_does_not_end_by_itself() {
        let filters = Filters::default();
        let fate = |stale, even_protected, verdict| {
            Wish { filters: &filters, stale, even_protected, limit: u64::MAX }.fate(&verdict)
        };
        let past = Verdict { past_floor: true, ..Verdict::default() };
        let held = Verdict { protected: Some("a reason"), ..past };
        assert_eq!(fate(true, false, past), Fate::Goes);
        assert_eq!(fate(true, false, Verdict { in_grace: true, ..past }), Fate::NotMeant);
        assert_eq!(fate(true, true, Verdict::default()), Fate::NotMeant);
        assert_eq!((fate(true, false, held), fate(true, true, held)), (Fate::Protected, Fate::Goes));
        let alive = Verdict { in_grace: true, ..Verdict::default() };
        assert_eq!((fate(false, false, alive), fate(false, false, held)), (Fate::Goes, Fate::Protected));
    }
}
