//! One chunk of a sweep: what of it is asked for, and what came of that.

use std::collections::VecDeque;
use std::io;

use super::sweep::Wanted;
use super::{Hand, Judge, Swept};
use crate::kernel::deleter::Deleted;
use crate::kernel::table::Chunk;
use crate::model::{Entry, Flush};

/// Which acts the pace allows on the next chunk.
#[derive(Clone, Copy)]
pub(super) struct Ready {
    pub deletions: bool,
    pub chances: bool,
    /// Of the chunk at most this share goes.
    pub portion: Option<f64>,
    /// So many more than the budgets say.
    pub came: u64,
    /// What was seen some milliseconds ago is believed.
    pub hurry: bool,
}

/// What was asked for of one chunk.
pub(super) struct Asked {
    /// Deletions, for each flush.
    pub taken: Vec<u64>,
    /// Second chances, with the idleness of each, for each flush.
    pub chances: Vec<Vec<(Entry, u32)>>,
    /// As [`Ready`].
    pub hurry: bool,
}

impl Asked {
    pub fn deletions(&self) -> u64 {
        self.taken.iter().sum()
    }

    pub fn second_chances(&self) -> u64 {
        self.chances.iter().map(|chances| chances.len() as u64).sum()
    }

    fn of(&self, flush: usize) -> u64 {
        self.taken[flush] + self.chances[flush].len() as u64
    }
}

/// An entry that goes by a flush of the plan.
struct Victim {
    flush: usize,
    idle_seconds: u32,
    entry: Entry,
}

impl Asked {
    /// In a hurry: only the least missed go, the longest idle first; what stays will be met again.
    fn keep_to(&mut self, most: usize, victims: &mut Vec<Victim>, swept: &mut Swept) {
        if victims.len() <= most {
            return;
        }
        victims.sort_by_key(|victim| (victim.flush, std::cmp::Reverse(victim.idle_seconds)));
        victims.drain(most..).for_each(|victim| self.taken[victim.flush] -= 1);
        // Its histograms lack what stays.
        swept.whole = false;
    }
}

/// Takes of a chunk what the flushes name.
pub(super) fn ask(
    chunk: &Chunk<'_>,
    hand: &mut dyn Hand,
    wanted: &mut Wanted<'_>,
    ready: Ready,
    judge: &mut dyn Judge,
    swept: &mut Swept,
    under_way: &UnderWay,
) -> Asked {
    let flushes = swept.freed.len();
    let gone: Vec<u64> = (0..flushes).map(|i| swept.freed[i] + under_way.of(i)).collect();
    let all_gone: u64 = gone.iter().sum();
    let (mut victims, mut seen): (Vec<Victim>, usize) = (Vec::new(), 0);
    let mut asked = Asked { taken: vec![0; flushes], chances: vec![Vec::new(); flushes], hurry: ready.hurry };
    for entry in chunk.entries() {
        let Ok(entry) = entry else {
            swept.unreadable += 1;
            continue;
        };
        seen += 1;
        let eligible = judge.eligible(&entry);
        let (idle_unprotected, in_grace) = (judge.idle_unprotected(), judge.in_grace());
        let only_critical = judge.only_critical();
        // What is protected goes by no flush but one that lifts protection.
        let (lifts, named) = match eligible.or(only_critical) {
            None => (true, judge.held_by_protection()),
            named => (false, named),
        };
        let open = |i: usize, flush: &Flush| {
            let allowed = match flush.grace_seconds {
                None => ready.deletions,
                // Nobody gets a second one, and a time left is never raised.
                Some(grace) => {
                    ready.chances && !in_grace && entry.timeout_seconds.is_some_and(|left| left > grace)
                }
            };
            let late = only_critical.is_none_or(|(_, idle)| flush.takes_only_critical(idle));
            let meant = flush.share.is_some() || (flush.lifts_protection == lifts && late);
            let more = if i + 1 == flushes && flush.grace_seconds.is_none() { ready.came } else { 0 };
            let spent = match ready.portion {
                // Protection has a right to its share: no more than was planned is lifted, whatever comes.
                _ if flush.lifts_protection => gone[i] + asked.of(i) >= flush.budget,
                Some(_) => all_gone + asked.deletions() >= flush.budget + ready.came,
                None => gone[i] + asked.of(i) >= flush.budget + more,
            };
            allowed && meant && !spent
        };
        match (wanted.by(&entry, named, idle_unprotected, open), eligible) {
            (Some(i), Some((_, idle))) if wanted.gives_grace(i) => {
                hand.give_grace(&entry, chunk.filled_after);
                asked.chances[i].push((entry, idle));
                judge.stays();
            }
            (Some(i), _) if !wanted.gives_grace(i) => {
                let idle_seconds = idle_unprotected.unwrap_or(0);
                victims.push(Victim { flush: i, idle_seconds, entry });
                asked.taken[i] += 1;
            }
            _ => judge.stays(),
        }
    }
    if let Some(portion) = ready.portion {
        asked.keep_to((seen as f64 * portion).ceil() as usize, &mut victims, swept);
    }
    victims
        .iter()
        .for_each(|victim| hand.take(&victim.entry, wanted.class(victim.flush), chunk.filled_after));
    asked
}

/// Batches of deletions that were begun and have not been told of.
pub(super) struct UnderWay {
    batches: VecDeque<Vec<u64>>,
    /// For each flush.
    of: Vec<u64>,
}

impl UnderWay {
    pub fn new(flushes: usize) -> Self {
        UnderWay { batches: VecDeque::new(), of: vec![0; flushes] }
    }

    /// Deletions for a flush.
    pub fn of(&self, flush: usize) -> u64 {
        self.of[flush]
    }

    pub fn deletions(&self) -> u64 {
        self.of.iter().sum()
    }

    fn begun(&mut self, taken: &[u64]) {
        self.of.iter_mut().zip(taken).for_each(|(of, n)| *of += n);
        self.batches.push_back(taken.to_vec());
    }

    /// Credits what has ended.
    fn take(&mut self, hand: &mut dyn Hand, swept: &mut Swept) -> io::Result<()> {
        self.credit_next(hand, swept, false)
    }

    /// Waits for all of them, so that none is told of later.
    ///
    /// # Errors
    /// The first of theirs.
    pub fn end(&mut self, hand: &mut dyn Hand, swept: &mut Swept) -> io::Result<()> {
        let ended = self.credit_next(hand, swept, true);
        *self = UnderWay::new(self.of.len());
        ended
    }

    fn credit_next(&mut self, hand: &mut dyn Hand, swept: &mut Swept, wait: bool) -> io::Result<()> {
        let mut all = Ok(());
        while let Some(done) = self.batches.front().and_then(|_| hand.told(wait)) {
            let taken = self.batches.pop_front().unwrap_or_default();
            self.of.iter_mut().zip(&taken).for_each(|(of, n)| *of -= n);
            match done {
                Ok(done) => credit(swept, &taken, &done),
                Err(error) => all = all.and(Err(error)),
            }
        }
        all
    }
}

/// Begins what was asked for, and tells whom it met.
pub(super) fn settle(
    asked: &Asked,
    hand: &mut dyn Hand,
    flushes: &[&Flush],
    judge: &mut dyn Judge,
    swept: &mut Swept,
    under_way: &mut UnderWay,
) -> io::Result<()> {
    if asked.deletions() > 0 {
        hand.begin(asked.hurry)?;
        under_way.begun(&asked.taken);
    }
    under_way.take(hand, swept)?;
    for (i, chances) in asked.chances.iter().enumerate().filter(|(_, chances)| !chances.is_empty()) {
        let grace_seconds = flushes[i].grace_seconds.unwrap_or_default();
        let mut done = hand.settle_chances(grace_seconds)?;
        let mut set = std::mem::take(&mut done.set).into_iter().peekable();
        for (entry, idle_seconds) in chances {
            if set.next_if(|given| given == entry).is_some() {
                swept.freed[i] += 1;
                swept.chances_given += 1;
                if !hand.dry() {
                    judge.given_grace(entry, *idle_seconds, grace_seconds);
                }
            }
        }
        swept.requested[i] += chances.len() as u64 - done.shorter_already;
        swept.chances.add(done);
    }
    Ok(())
}

/// Gives a chunk's deletions to the flushes that asked for them; errors do not say whose they were, so the last
/// flush of the chunk bears them.
pub(super) fn credit(swept: &mut Swept, taken: &[u64], done: &Deleted) {
    let mut missed = taken.iter().sum::<u64>().saturating_sub(done.gone());
    for (i, asked) in taken.iter().enumerate().rev() {
        let lost = missed.min(*asked);
        missed -= lost;
        swept.requested[i] += asked;
        swept.freed[i] += asked - lost;
    }
    swept.deleted.add(*done);
}
