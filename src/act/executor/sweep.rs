//! One way through the table: first those that are known to be idle, then all of it.

use std::io;
use std::time::{Duration, Instant};

use super::Writer;
use super::chunk::{UnderWay, ask, settle};
use super::waiting;
use crate::core::model::{Candidate, Entry, Flush, Judged, Pace};
use crate::core::sweep::{Allowed, Pacing, Rules};
use crate::linux::deleter::Deleted;
use crate::linux::second_chance::Shortened;
use crate::linux::socket::Netlink;
use crate::linux::table::{self, Chunk, Walk};

/// Judges the entries of a sweep.
pub trait Judge {
    /// Judges one entry; `None` for one that this dump has shown a moment ago.
    fn judge(&mut self, entry: &Entry) -> Option<Judged>;
    /// Nothing is done to an entry that was judged, or a second chance is given to it.
    fn stays(&mut self, entry: &Entry, judged: &Judged);
    /// An entry that was judged idle for `idle_seconds` has been left `grace_seconds`.
    fn given_grace(&mut self, _entry: &Entry, _idle_seconds: u32, _grace_seconds: u32) {}
}

/// Tells a sweep about the table that it goes through. A sweep of no acts needs no answer.
pub trait Surroundings: Judge {
    /// Reads again what the judgement rests on, for it may have changed while the sweep runs.
    fn refresh(&mut self) {}
    /// Returns the number of entries in the table right now.
    fn count(&mut self) -> Option<u64> {
        None
    }
    /// True if something that the judgement rests on has changed just now: asked once a chunk, so it has to cost
    /// nothing.
    fn outdated(&mut self) -> bool {
        false
    }
    /// Entries that came since the sweep began: as many more may go before the table is where it is to be.
    fn came(&self) -> u64 {
        0
    }
    /// Entries that come in a second, for the first moments, in which [`Surroundings::came`] cannot tell yet.
    fn coming_per_second(&self) -> u64 {
        0
    }
    /// From here on the whole table is walked: what was counted before is met again.
    fn dump_begins(&mut self) {}
    /// Entries that are asked for before the table is walked.
    fn candidates(&mut self) -> Vec<Candidate> {
        Vec::new()
    }
    /// Those of them that were not asked for.
    fn not_asked(&mut self, _candidates: &[Candidate]) {}
    /// True if the sweep is to end here (a stop, a pause).
    fn halted(&self) -> bool {
        false
    }
}

/// Result of a sweep.
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
    /// Number of second chances that were given.
    pub chances_given: u64,
    /// Pacing delay that the second chances of this sweep leave to the next ones, at the plan's pace.
    pub chances_owed: Duration,
    /// Pacing delay that the deletions of this sweep leave to the next ones.
    pub deletions_owed: Duration,
    /// Number of candidates that were asked for.
    pub recalled: usize,
    /// The sweep went through the whole table.
    pub whole: bool,
    /// Messages of the dump that could not be read.
    pub unreadable: u64,
}

/// Interval at which the facts that the judgement rests on are read again.
const REFRESH: Duration = Duration::from_millis(250);

/// Goes through the table; of what is eligible takes what the flushes name, at the plan's pace, and stops when that is
/// enough. Without flushes it is a scan. It goes on where the last one `left` off, then asks for the candidates, then
/// walks the whole table once.
///
/// # Errors
/// As the dump's; what was done until then is lost from the report, not from the table.
pub fn sweep(
    writer: &mut dyn Writer,
    flushes: &[&Flush],
    pace: &Pace,
    left: &mut Option<Walk>,
    judge: &mut dyn Surroundings,
) -> io::Result<Swept> {
    let mut sweeping = Sweeping::new(writer, flushes, pace, judge);
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
    let Sweeping { swept, rules, deletions, chances, began, .. } = sweeping;
    let now = began.elapsed();
    Ok(Swept {
        freed: rules.freed(),
        requested: rules.requested(),
        deletions_owed: deletions.owed(now),
        chances_owed: chances.owed(now),
        ..swept
    })
}

/// A sweep under way.
struct Sweeping<'a> {
    writer: &'a mut dyn Writer,
    rules: Rules<&'a Flush>,
    portion: Option<f64>,
    judge: &'a mut dyn Surroundings,
    swept: Swept,
    under_way: UnderWay,
    deletions: Pacing,
    chances: Pacing,
    began: Instant,
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
        writer: &'a mut dyn Writer,
        flushes: &'a [&'a Flush],
        pace: &Pace,
        judge: &'a mut dyn Surroundings,
    ) -> Self {
        let nothing = vec![0; flushes.len()];
        let before = if writer.dry() || flushes.is_empty() { None } else { judge.count() };
        let began = Instant::now();
        let deletions = Pacing::new(pace, pace.per_second, pace.urgent_at_entries);
        let deletions = deletions.expecting(judge.coming_per_second());
        Sweeping {
            writer,
            rules: Rules::new(flushes.iter().copied(), pace),
            portion: pace.portion,
            judge,
            swept: Swept { freed: nothing.clone(), requested: nothing, whole: true, ..Swept::default() },
            under_way: UnderWay::default(),
            deletions,
            chances: Pacing::new(pace, pace.chances_per_second, u64::MAX),
            began,
            refreshed: began,
            before,
            count: before,
            ended: false,
            failure: None,
        }
    }

    /// Walks on to the end of the table, or until it was enough: then that is where it was left.
    fn walk(&mut self, mut walk: Walk) -> io::Result<Option<Walk>> {
        // A scan deletes nothing, so that what is received ahead of it may age; and it goes to the end of the table.
        let ahead = self.swept.freed.is_empty();
        let walked = match ahead {
            true => walk.go_ahead(|chunk| self.chunk(chunk)),
            false => walk.go_on(|chunk| self.chunk(chunk)),
        };
        // The next sweep is not to meet again what is on its way out.
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
        self.portion = self.portion.map(|_| 1.0);
        let mut netlink = Netlink::open().map_err(|error| io::Error::other(error.to_string()))?;
        let recalled = table::recall(&mut netlink, &candidates, |chunk| self.chunk(chunk));
        let settled = self.settle_all();
        self.swept.recalled = recalled.and_then(|asked| settled.map(|()| asked))?;
        self.judge.not_asked(&candidates[self.swept.recalled..]);
        self.portion = self.rules.pace().portion;
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
        let (came, now) = (self.came(), self.began.elapsed());
        let allowed = Allowed {
            deletions: self.deletions.ready(came, now),
            second_chances: self.chances.ready(0, now),
            portion: self.portion,
            came,
            most: u64::MAX,
        };
        let urgent = self.portion.is_some() || self.deletions.outrun(self.count, now);
        let asked =
            ask(chunk, self.writer, &mut self.rules, (allowed, urgent), &mut *self.judge, &mut self.swept);
        let (to_go, to_wait) = (asked.deletions, asked.second_chances());
        if to_go + to_wait == 0 {
            return Ok(false);
        }
        let under_way = &mut self.under_way;
        settle(&asked, self.writer, &mut self.rules, &mut *self.judge, &mut self.swept, under_way)?;
        self.look();
        let now = self.began.elapsed();
        self.chances.owe(to_wait, self.count, now);
        if to_go > 0 {
            self.deletions.owe(to_go, self.count, now);
        }
        // No time for a grace any more: that is for the policy to decide anew.
        if to_wait > 0 && self.count.is_some_and(|count| count >= self.rules.pace().urgent_at_entries) {
            return Ok(true);
        }
        if self.rules.enough(self.count) {
            // If all of them go, which is known once they did.
            self.settle_all()?;
            self.look();
            if self.rules.enough(self.count) {
                return Ok(true);
            }
        }
        match to_go {
            0 => waiting::pause(&self.chances, self.began),
            _ => waiting::rest(&mut self.deletions, self.began, self.count, &mut *self.judge),
        }
        Ok(false)
    }

    /// Entries that came since the sweep began, by the events or by how much more there is than what went leaves:
    /// events tell it some milliseconds later, which is long where a table fills in sixty.
    fn came(&self) -> u64 {
        if self.writer.dry() {
            return 0;
        }
        let grown = self
            .before
            .zip(self.count)
            .map_or(0, |(before, count)| (count + self.swept.deleted.gone()).saturating_sub(before));
        self.judge.came().max(grown)
    }

    fn look(&mut self) {
        self.count = if self.writer.dry() { None } else { self.judge.count() };
    }

    /// Waits for what is under way.
    fn settle_all(&mut self) -> io::Result<()> {
        let settled = self.under_way.end(self.writer, &mut self.rules, &mut self.swept);
        match self.failure.take() {
            Some(error) => Err(error),
            None => settled,
        }
    }
}
