//! One way through the table: first those that are known to be idle, then all of it.

use std::io;
use std::time::{Duration, Instant};

use super::Hand;
use super::chunk::{Ready, UnderWay, ask, settle};
use super::share::Collector;
use super::throttle::Throttle;
use crate::kernel::deleter::Deleted;
use crate::kernel::grace::Shortened;
use crate::kernel::socket::Netlink;
use crate::kernel::table::{self, Chunk, Walk};
use crate::model::{Candidate, Class, Entry, Flush, Pace};

/// Who judges the entries of a sweep.
pub trait Judge {
    /// Class and certain idleness of an entry that may go.
    fn eligible(&mut self, entry: &Entry) -> Option<(Class, u32)>;
    /// Certain idleness of the entry judged last, if it is unprotected: what fair share may take.
    fn idle_unprotected(&self) -> Option<u32>;
    /// The same of the entry judged last, were it not for a protection that may be lifted.
    fn held_by_protection(&self) -> Option<(Class, u32)> {
        None
    }
    /// The same of the entry judged last, where it may go at level critical alone.
    fn only_critical(&self) -> Option<(Class, u32)> {
        None
    }
    /// The entry judged last stays.
    fn stays(&mut self);
    /// The entry judged last is gone within the grace anyway, unless a packet comes.
    fn in_grace(&self) -> bool {
        false
    }
    /// An entry that was judged idle for so long has been left so many seconds.
    fn given_grace(&mut self, _entry: &Entry, _idle_seconds: u32, _grace_seconds: u32) {}
    /// Time to read again what may have changed while the sweep runs.
    fn refresh(&mut self);
    /// Entries in the table right now.
    fn count(&mut self) -> Option<u64>;
    /// Something that the judgement rests on has changed just now: asked once a chunk, so it has to cost nothing.
    fn outdated(&mut self) -> bool {
        false
    }
    /// Entries that came since the sweep began: as many more may go before the table is where it is to be.
    fn came(&self) -> u64 {
        0
    }
    /// What comes in a second, for the first moments, in which [`Judge::came`] cannot tell yet.
    fn coming_per_second(&self) -> u64 {
        0
    }
    /// From here on the whole table is walked: what was counted before is met again.
    fn dump_begins(&mut self) {}
    /// Who is asked for before the table is walked.
    fn candidates(&mut self) -> Vec<Candidate> {
        Vec::new()
    }
    /// Those of them that were not asked for.
    fn not_asked(&mut self, _candidates: &[Candidate]) {}
    /// The sweep is to end here (a stop, a pause).
    fn halted(&self) -> bool {
        false
    }
}

/// What a sweep came to.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// For each flush of the plan, how many entries went or got their second chance (or would have).
    pub freed: Vec<u64>,
    /// For each flush, how many were asked for.
    pub requested: Vec<u64>,
    /// All deletions together.
    pub deleted: Deleted,
    /// All second chances together, without the entries.
    pub chances: Shortened,
    /// How many were given.
    pub chances_given: u64,
    /// For so long the second chances of this sweep keep the next ones waiting, at the plan's pace.
    pub chances_owed: Duration,
    /// The same of its deletions.
    pub deletions_owed: Duration,
    /// How many of the candidates were asked for.
    pub recalled: usize,
    /// The sweep went through the whole table.
    pub whole: bool,
    /// Messages of the dump that could not be read.
    pub unreadable: u64,
}

/// How often what the judgement rests on is read again.
const REFRESH: Duration = Duration::from_millis(250);

/// Goes through the table; of what is eligible takes what the flushes name, at the plan's pace, and stops when that is
/// enough. Without flushes it is a scan. It goes on where the last one `left` off, then asks for the candidates, then
/// walks the whole table once.
///
/// # Errors
/// As the dump's; what was done until then is lost from the report, not from the table.
pub fn sweep(
    hand: &mut dyn Hand,
    flushes: &[&Flush],
    pace: &Pace,
    left: &mut Option<Walk>,
    judge: &mut dyn Judge,
) -> io::Result<Swept> {
    let mut sweeping = Sweeping::new(hand, flushes, pace, judge);
    if let Some(walk) = left.take() {
        *left = sweeping.walk(walk)?;
    }
    if !sweeping.ended {
        sweeping.recall()?;
    }
    if !sweeping.ended {
        sweeping.judge.dump_begins();
        *left = sweeping.walk(Walk::begin()?)?;
        sweeping.swept.whole &= !sweeping.ended;
    } else {
        sweeping.swept.whole = false;
    }
    sweeping.swept.deletions_owed = sweeping.deletions.due.saturating_duration_since(Instant::now());
    sweeping.swept.chances_owed = sweeping.chances.due.saturating_duration_since(Instant::now());
    Ok(sweeping.swept)
}

/// A sweep under way.
struct Sweeping<'a> {
    hand: &'a mut dyn Hand,
    flushes: &'a [&'a Flush],
    pace: &'a Pace,
    portion: Option<f64>,
    judge: &'a mut dyn Judge,
    swept: Swept,
    wanted: Wanted<'a>,
    under_way: UnderWay,
    deletions: Throttle<'a>,
    chances: Throttle<'a>,
    refreshed: Instant,
    /// Entries in the table when the sweep began, and after the last chunk of which anything went.
    before: Option<u64>,
    count: Option<u64>,
    /// The rest is not gone through: it was enough, or something failed.
    ended: bool,
    failure: Option<io::Error>,
}

impl<'a> Sweeping<'a> {
    fn new(
        hand: &'a mut dyn Hand,
        flushes: &'a [&'a Flush],
        pace: &'a Pace,
        judge: &'a mut dyn Judge,
    ) -> Self {
        let nothing = vec![0; flushes.len()];
        let before = if hand.dry() || flushes.is_empty() { None } else { judge.count() };
        let deletions = Throttle::new(pace, pace.per_second, pace.urgent_at_entries);
        let deletions = deletions.expecting(judge.coming_per_second());
        Sweeping {
            hand,
            flushes,
            pace,
            portion: pace.portion,
            judge,
            swept: Swept { freed: nothing.clone(), requested: nothing, whole: true, ..Swept::default() },
            wanted: Wanted::new(flushes),
            under_way: UnderWay::new(flushes.len()),
            deletions,
            chances: Throttle::new(pace, pace.chances_per_second, u64::MAX),
            refreshed: Instant::now(),
            before,
            count: before,
            ended: false,
            failure: None,
        }
    }

    /// Walks on to the end of the table, or until it was enough: then that is where it was left.
    fn walk(&mut self, mut walk: Walk) -> io::Result<Option<Walk>> {
        // A scan deletes nothing, so that what is received ahead of it may age; and it goes to the end of the table.
        let ahead = self.flushes.is_empty();
        let walked = match ahead {
            true => walk.go_ahead(|chunk| self.chunk(chunk)),
            false => walk.go_on(|chunk| self.chunk(chunk)),
        };
        // What comes next is not to meet again what is on its way out.
        let settled = self.settle_all();
        let at_end = walked.and_then(|at_end| settled.map(|()| at_end))?;
        Ok(Some(walk).filter(|_| !at_end && !ahead))
    }

    /// Asks for the candidates one by one.
    fn recall(&mut self) -> io::Result<()> {
        let candidates = self.judge.candidates();
        if candidates.is_empty() {
            return Ok(());
        }
        self.portion = self.pace.portion.map(|_| 1.0);
        let mut netlink = Netlink::open().map_err(|error| io::Error::other(error.to_string()))?;
        let recalled = table::recall(&mut netlink, &candidates, |chunk| self.chunk(chunk));
        let settled = self.settle_all();
        self.swept.recalled = recalled.and_then(|asked| settled.map(|()| asked))?;
        self.judge.not_asked(&candidates[self.swept.recalled..]);
        self.portion = self.pace.portion;
        Ok(())
    }

    /// Takes what is to go of the next chunk; false if nothing more is to be gone through.
    fn chunk(&mut self, chunk: &Chunk<'_>) -> bool {
        self.ended = self.judge.halted()
            || self.take(chunk).unwrap_or_else(|error| {
                self.failure = Some(error);
                true
            });
        !self.ended
    }

    /// True if that was enough.
    fn take(&mut self, chunk: &Chunk<'_>) -> io::Result<bool> {
        if self.judge.outdated() || self.refreshed.elapsed() >= REFRESH {
            self.judge.refresh();
            self.refreshed = Instant::now();
        }
        let came = self.came();
        let ready = Ready {
            deletions: self.deletions.ready(came),
            chances: self.chances.ready(0),
            portion: self.portion,
            came,
            hurry: self.portion.is_some() || self.deletions.outrun(self.count),
        };
        let asked =
            ask(chunk, self.hand, &mut self.wanted, ready, self.judge, &mut self.swept, &self.under_way);
        let (to_go, to_wait) = (asked.deletions(), asked.second_chances());
        if to_go + to_wait == 0 {
            return Ok(false);
        }
        settle(&asked, self.hand, self.flushes, self.judge, &mut self.swept, &mut self.under_way)?;
        self.look();
        self.chances.owe(to_wait, self.count);
        if to_go > 0 {
            self.deletions.owe(to_go, self.count);
        }
        // No time for a grace any more: that is for the policy to decide anew.
        if to_wait > 0 && self.count.is_some_and(|count| count >= self.pace.urgent_at_entries) {
            return Ok(true);
        }
        if self.enough(ready) {
            // If all of them go, which is known once they did.
            self.settle_all()?;
            self.look();
            if self.enough(ready) {
                return Ok(true);
            }
        }
        match to_go {
            0 => self.chances.pause(),
            _ => self.deletions.rest(self.count, self.judge),
        }
        Ok(false)
    }

    /// Entries that came since the sweep began, by the events or by how much more there is than what went leaves: events
    /// tell it some milliseconds later, which is long where a table fills in sixty.
    fn came(&self) -> u64 {
        if self.hand.dry() {
            return 0;
        }
        let grown = self
            .before
            .zip(self.count)
            .map_or(0, |(before, count)| (count + self.swept.deleted.gone()).saturating_sub(before));
        self.judge.came().max(grown)
    }

    fn look(&mut self) {
        self.count = if self.hand.dry() { None } else { self.judge.count() };
    }

    /// Waits for what is under way.
    fn settle_all(&mut self) -> io::Result<()> {
        let settled = self.under_way.end(self.hand, &mut self.swept);
        match self.failure.take() {
            Some(error) => Err(error),
            None => settled,
        }
    }

    fn enough(&self, ready: Ready) -> bool {
        enough(self.flushes, &self.swept, &self.under_way, ready, self.count, self.pace)
    }
}

/// All that was wanted went, or the table is where it is to be, if what is under way goes too.
pub(super) fn enough(
    flushes: &[&Flush],
    swept: &Swept,
    under_way: &UnderWay,
    ready: Ready,
    count: Option<u64>,
    pace: &Pace,
) -> bool {
    let gone = |i: usize| swept.freed[i] + under_way.of(i);
    let all: u64 = (0..flushes.len()).map(gone).sum();
    let spent = match ready.portion {
        Some(_) => flushes.iter().all(|flush| all >= flush.budget + ready.came),
        None => {
            let wanted: u64 = flushes.iter().map(|flush| flush.budget).sum();
            let each = flushes.iter().enumerate().all(|(i, flush)| gone(i) >= flush.budget);
            each && all >= wanted + ready.came
        }
    };
    spent || count.is_some_and(|count| count.saturating_sub(under_way.deletions()) <= pace.enough_at_entries)
}

/// Which flush of a plan an entry goes by.
pub(super) struct Wanted<'a> {
    flushes: Vec<(&'a Flush, Option<Collector>)>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(flushes: &[&'a Flush]) -> Self {
        let with = |flush: &&'a Flush| (*flush, Collector::of(flush));
        Wanted { flushes: flushes.iter().map(with).collect() }
    }

    /// Nothing is deleted by this one.
    pub(super) fn gives_grace(&self, flush: usize) -> bool {
        self.flushes[flush].0.grace_seconds.is_some()
    }

    /// As what a flush takes entries.
    pub(super) fn class(&self, flush: usize) -> Class {
        self.flushes[flush].0.class
    }

    /// The first that names it and is `open` still. `eligible`: by its class; `idle`: by fair share.
    pub(super) fn by(
        &mut self,
        entry: &Entry,
        eligible: Option<(Class, u32)>,
        idle: Option<u32>,
        open: impl Fn(usize, &Flush) -> bool,
    ) -> Option<usize> {
        self.flushes.iter_mut().enumerate().position(|(i, (flush, collector))| {
            open(i, flush)
                && match (collector, eligible, idle) {
                    (None, Some((class, idle)), _) => flush.class == class && idle >= flush.idle_over_seconds,
                    (Some(collector), _, Some(idle)) => {
                        idle >= flush.idle_over_seconds && collector.collect(entry, idle)
                    }
                    _ => false,
                }
        })
    }
}
