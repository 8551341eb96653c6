//! `flush`: what an operator wants gone. Judged by the agent's own sieve, shown first, deleted one by one.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::time::Instant;

use hashbrown::HashMap;

use super::Target;
use super::known::Known;
use super::look::Looker;
use super::victims::{MostRecent, Victims};
use super::walked::Walked;
use super::walks::{Walks, is_sure};
use super::whole::partial;
use crate::act::executor::Taker;
use crate::core::model::{Entry, Filters, Settings, SourceKey, UnprovenCount, UnprovenCounts, Verdict};
use crate::core::policy::MASTER;
use crate::core::sweep::{ByHand, Fate};
use crate::error::Result;
use crate::linux::deleter::{Deleted, Still};
use crate::linux::socket::explain;
use crate::linux::stop::Stop;

/// The order of an operator to delete entries.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Filters that have to match.
    pub filters: &'a Filters,
    /// Only what the agent would give up at level high: of a class, idle for certain past its floor.
    pub stale: bool,
    /// Protected entries go as well.
    pub even_protected: bool,
    /// Entries at most, the least recently active first.
    pub limit: u64,
    /// Nothing is deleted afterwards.
    pub only_looks: bool,
    /// All that can match, where that is known: then no table is walked.
    pub known: Option<&'a Known>,
}

impl<'a> Wish<'a> {
    /// A looker for it.
    fn looker(&self, target: &Target, settings: &'a Settings) -> Result<Looker<'a>> {
        let looker = match self.only_looks {
            true => Looker::open(target, settings, self.filters)?,
            false => Looker::open_to_delete(target, settings, self.filters)?,
        };
        match self.known {
            Some(known) if known.childless() => Ok(looker),
            _ => Ok(looker.heeding_masters(self.stale)),
        }
    }

    fn these(&self) -> Option<&'a [Entry]> {
        self.known.map(Known::entries)
    }

    /// Its rules, of which up to `left` entries may go.
    fn rules(&self, left: u64) -> ByHand {
        ByHand { stale: self.stale, even_protected: self.even_protected, left }
    }

    /// True if entries go for their silence.
    fn for_silence(&self) -> bool {
        self.stale || self.filters.want_idleness()
    }

    /// Condition that an entry has to meet still, right before it goes, if it was not meant for its silence.
    fn still(&self) -> Option<Still> {
        let filters = self.filters.clone();
        (!self.for_silence()).then(|| Box::new(move |now: &Entry| filters.may_match(now)) as Still)
    }
}

/// Number of sources that are shown.
const SHOWN: usize = 5;

/// Entries that would go.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// Entries that match and may go.
    pub matched: u64,
    /// Entries that are meant and stay, protected.
    pub protected: u64,
    /// Entries that may go and that other connections expect: each stays in the count until its child has ended, for
    /// the child holds a reference (init_conntrack).
    pub masters: u64,
    /// Entries that would be stale, were it known which timeouts were in force before they were first looked at.
    pub presumed: u64,
    /// Entries that stay because nobody can tell for how long they have been idle, by why, where idleness is asked for.
    pub unproven: Vec<UnprovenCount>,
    /// Entries of which the agent did not tell what it knows.
    pub not_told: u64,
    /// Sources of what matches.
    pub sources_total: u64,
    /// Those of them with most entries.
    pub sources: Vec<(SourceKey, u64)>,
    /// Of what would go the most recently active: first those of which nobody can tell, then by certain idleness.
    pub most_recent: Vec<(Entry, Verdict)>,
    /// If fewer go than match, they are the least recently active. If not so, they are too many to be told apart
    /// before, and go as they are met.
    pub chosen: bool,
}

/// Result of a flush.
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
    /// The table was resized in each of its walks: entries that match may be left.
    pub part_only: bool,
    /// Entries of which the agent did not tell what it knows, so that some may be left.
    pub not_told: u64,
}

impl Flushed {
    /// Entries that were shown are asked for by identity: one that does not answer is gone, and one that is not
    /// `handed` on has changed.
    fn of(deleted: Deleted, (asked, there): (u64, u64), handed: u64, stop: &Stop) -> Self {
        Flushed {
            deleted: deleted.gone(),
            already_gone: deleted.already_gone + asked.saturating_sub(there),
            revived: deleted.revived + there.saturating_sub(handed),
            not_met: 0,
            failed: deleted.failed + deleted.stale,
            errno: deleted.errno,
            interrupted: stop.asked(),
            part_only: false,
            not_told: 0,
        }
    }

    /// The result for `shown` entries: each of them is in one of the counts.
    pub fn of_shown(self, shown: u64) -> Self {
        let met = self.deleted + self.already_gone + self.revived + self.failed;
        let not_met = if self.interrupted { 0 } else { shown.saturating_sub(met) };
        Flushed { not_met, ..self }
    }
}

/// Counts of a walk, of entries that are meant.
#[derive(Default)]
struct Met {
    matched: u64,
    protected: u64,
    masters: u64,
    presumed: u64,
    unproven: UnprovenCounts,
    sources: HashMap<SourceKey, u64>,
}

impl Met {
    /// Counts an entry of which up to all may go; true if it goes.
    fn goes(&mut self, rules: &mut ByHand, entry: &Entry, verdict: &Verdict) -> bool {
        let fate = rules.offer(verdict);
        match fate {
            Fate::Stays if verdict.presumed_stale() => self.presumed += 1,
            Fate::Stays => self.not_meant(verdict),
            Fate::Protected => self.protected += 1,
            Fate::Goes => {
                self.matched += 1;
                self.masters += u64::from(verdict.protected == Some(MASTER));
                *self.sources.entry(entry.source_key()).or_default() += 1;
            }
        }
        fate == Fate::Goes
    }

    /// Counts what is not stale as far as is known, where nothing is known.
    fn not_meant(&mut self, verdict: &Verdict) {
        let unknown = verdict.idle_seconds.is_none() && verdict.class.is_some();
        if let Some(why) = verdict.unproven.filter(|_| unknown && verdict.protected.is_none()) {
            self.unproven.add(why, 1);
        }
    }

    fn preview(self) -> Preview {
        let sources_total = self.sources.len() as u64;
        let mut sources: Vec<(SourceKey, u64)> = self.sources.into_iter().collect();
        sources.sort_unstable_by_key(|(key, entries)| (Reverse(*entries), *key));
        sources.truncate(SHOWN);
        let Met { matched, protected, masters, presumed, .. } = self;
        let unproven = self.unproven.rows();
        Preview {
            matched,
            protected,
            masters,
            presumed,
            unproven,
            sources_total,
            sources,
            ..Preview::default()
        }
    }
}

/// A flush in two steps: look, then delete.
pub struct Flush<'a> {
    looker: Looker<'a>,
    wish: Wish<'a>,
    victims: Victims,
}

impl<'a> Flush<'a> {
    /// Goes through the table and tells what would go.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read, or the table was resized meanwhile.
    pub fn preview(target: &Target, settings: &'a Settings, wish: Wish<'a>) -> Result<(Flush<'a>, Preview)> {
        let mut walks = Walks::default();
        while walks.another() {
            let mut looker = wish.looker(target, settings)?;
            let (mut met, mut victims) = (Met::default(), Victims::new(wish.limit));
            let mut rules = wish.rules(u64::MAX);
            let each = |entry: &Entry, verdict: &Verdict, _| {
                if met.goes(&mut rules, entry, verdict) {
                    victims.add(entry, verdict);
                }
            };
            let walked = looker.entries(wish.these(), each, || true)?;
            walked.trusted()?;
            // A preview need not show all for certain: an entry that goes is met again.
            if walks.ended_with(&walked, true) {
                let (most_recent, chosen) = (victims.most_recent(), victims.knows_all());
                let not_told = walked.not_told;
                met.unproven.add_all(walked.unproven);
                return Ok((
                    Flush { looker, wish, victims },
                    Preview { most_recent, chosen, not_told, ..met.preview() },
                ));
            }
        }
        Err(partial())
    }

    /// Goes through the table and deletes what is meant as it is met; tells what that was, and what came of it. Where
    /// entries may have been missed, for the table was resized meanwhile, it goes through it again, a few times at
    /// most. `progress` is told now and then how many went. No limit holds: which were active last is known at the end
    /// alone.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read, or refuses.
    pub fn at_once(
        target: &Target,
        settings: &'a Settings,
        wish: Wish<'a>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Preview, Flushed)> {
        let stop = Stop::catch().map_err(|error| explain("signals", &error))?;
        let (mut met, mut recent) = (Met::default(), MostRecent::default());
        // Its socket belongs to the namespace in which it is opened.
        target.namespace().enter()?;
        let mut taker = Taker::open(wish.still())?;
        let mut walks = Walks::default();
        let (mut unproven, mut rules) = (UnprovenCounts::default(), wish.rules(u64::MAX));
        let (mut whole, mut protected, mut not_told) = (false, 0, 0);
        while !whole && !stop.asked() && walks.another() {
            let mut looker = wish.looker(target, settings)?;
            let (matched, before) = (met.matched, taker.done());
            let goes = |entry: &Entry, verdict: &Verdict| {
                let goes = met.goes(&mut rules, entry, verdict);
                if goes {
                    recent.add(entry, verdict);
                }
                goes
            };
            let walked = delete(&mut looker, wish.these(), &mut taker, goes, &stop, progress)?;
            walked.trusted()?;
            let sure = met.matched == matched || is_sure(&mut looker, &walked, taker.done(), before)?;
            whole = walks.ended_with(&walked, sure);
            not_told = walked.not_told;
            // An entry that stays is met in every walk.
            protected = std::mem::take(&mut met.protected).max(protected);
            unproven = std::mem::take(&mut met.unproven);
            unproven.add_all(walked.unproven);
        }
        (met.protected, met.unproven) = (protected, unproven);
        let preview = Preview { most_recent: recent.all(), chosen: true, not_told, ..met.preview() };
        let part_only = walks.partial && !stop.asked();
        Ok((preview, Flushed { part_only, not_told, ..Flushed::of(taker.done(), (0, 0), 0, &stop) }))
    }

    /// Deletes what was met and is still meant, as it is now. Where that was more than is kept, the table is gone
    /// through again, and once more where entries may have been missed, and what is meant goes as it is met, `limit`
    /// entries at most. `progress` is told now and then how many went.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read, or refuses.
    pub fn delete(mut self, limit: u64, progress: &mut dyn FnMut(u64)) -> Result<Flushed> {
        let stop = Stop::catch().map_err(|error| explain("signals", &error))?;
        let mut taker = Taker::open(self.wish.still())?;
        let mut rules = self.wish.rules(limit);
        if !self.wish.for_silence() {
            self.looker.ask_nobody();
        }
        let these = self.victims.kept();
        let mut walks = Walks::default();
        let (mut whole, mut asked, mut not_told) = (false, (0, 0), 0);
        while !whole && !rules.enough() && !stop.asked() && walks.another() {
            let (left_before, before) = (rules.left, taker.done());
            let goes = |_: &Entry, verdict: &Verdict| rules.offer(verdict) == Fate::Goes;
            let walked = delete(&mut self.looker, these.as_deref(), &mut taker, goes, &stop, progress)?;
            let sure = left_before == rules.left || is_sure(&mut self.looker, &walked, taker.done(), before)?;
            whole = walks.ended_with(&walked, sure);
            not_told = walked.not_told;
            // An entry that went in the walks before was there, and one that a lookup missed then is there now.
            let there = limit - left_before + walked.there;
            asked = (walked.asked, there.min(walked.asked));
        }
        let part_only = walks.partial && !rules.enough() && !stop.asked();
        Ok(Flushed { part_only, not_told, ..Flushed::of(taker.done(), asked, limit - rules.left, &stop) })
    }
}

/// Walks on, through all or `these`, and deletes of each chunk what `goes`.
fn delete(
    looker: &mut Looker<'_>,
    these: Option<&[Entry]>,
    taker: &mut Taker,
    mut goes: impl FnMut(&Entry, &Verdict) -> bool,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> Result<Walked> {
    let mut failure = None;
    let chunk = RefCell::new(Vec::new());
    let (gone, gone_before) = (looker.gone(), taker.done().gone());
    let each = |entry: &Entry, verdict: &Verdict, seen: Instant| {
        if goes(entry, verdict) {
            chunk.borrow_mut().push((*entry, seen));
        }
    };
    let breathe = || {
        failure = failure.take().or(taker.take(&mut chunk.borrow_mut()).err());
        progress(taker.done().gone());
        gone.set(taker.done().gone() - gone_before);
        failure.is_none() && !stop.asked()
    };
    let walked = looker.entries(these, each, breathe)?;
    failure.map_or(Ok(walked), |error| Err(explain("conntrack delete", &error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_is_what_is_past_its_floor_and_does_not_end_by_itself() {
        let filters = Filters::default();
        let fate = |stale, even_protected, verdict| {
            Wish { filters: &filters, stale, even_protected, limit: u64::MAX, only_looks: true, known: None }
                .rules(1)
                .offer(&verdict)
        };
        let past = Verdict { past_floor: true, ..Verdict::default() };
        let held = Verdict { protected: Some("a reason"), ..past };
        assert_eq!(fate(true, false, past), Fate::Goes);
        assert_eq!(fate(true, false, Verdict { in_grace: true, ..past }), Fate::Stays);
        assert_eq!(fate(true, true, Verdict::default()), Fate::Stays);
        assert_eq!((fate(true, false, held), fate(true, true, held)), (Fate::Protected, Fate::Goes));
        // What is deleted before its children leaves no room yet.
        let master = Verdict { protected: Some(MASTER), ..Verdict::default() };
        for (even_protected, masters) in [(false, 0), (true, 1)] {
            let filters = &filters;
            let wish =
                Wish { filters, stale: false, even_protected, limit: 1, only_looks: true, known: None };
            let mut met = Met::default();
            let mut rules = wish.rules(u64::MAX);
            met.goes(&mut rules, &Entry::default(), &master);
            met.goes(&mut rules, &Entry::default(), &held);
            assert_eq!(met.preview().masters, masters);
        }
        let alive = Verdict { in_grace: true, ..Verdict::default() };
        assert_eq!((fate(false, false, alive), fate(false, false, held)), (Fate::Goes, Fate::Protected));
    }
}
