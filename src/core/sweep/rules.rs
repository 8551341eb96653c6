//! The rules by which a plan's acts take entries.

use std::borrow::Borrow;
use std::cmp::Reverse;

use super::dues::Dues;
use crate::core::model::{Class, Entry, Flush, Judged, Pace};

/// Acts of a plan, held against the entries of one sweep, batch after batch. `F` is a [`Flush`], owned or borrowed.
///
/// A batch begins with [`Rules::begin`], each of its entries is offered, and [`Rules::cut`] ends it in a plan that
/// takes a portion. The driver then says what it did: [`Rules::sent`] and [`Rules::ended`] of deletions,
/// [`Rules::gave`] of second chances. What was taken and has not ended counts against the budgets.
#[derive(Clone, Debug)]
pub struct Rules<F> {
    acts: Vec<Act<F>>,
    pace: Pace,
    allowed: Allowed,
    /// Deletions that the batch under way may still take.
    most: u64,
}

#[derive(Clone, Debug)]
struct Act<F> {
    flush: F,
    dues: Option<Dues>,
    /// Entries that it took in the batch under way.
    taken: u64,
    /// Deletions that were sent and have not ended.
    sent: u64,
    /// Entries that were deleted, or given a second chance.
    freed: u64,
    /// Entries that were asked for, whatever came of it.
    requested: u64,
}

/// Limits that the pace sets to one batch.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Allowed {
    /// Acts that delete may take.
    pub deletions: bool,
    /// Acts that give second chances may take.
    pub second_chances: bool,
    /// Urgent: at most this share of the batch goes, and all acts share one budget, the largest.
    pub portion: Option<f64>,
    /// Entries that came since the sweep began: as many more may go before the table is where it is to be.
    pub came: u64,
    /// Deletions of this batch at most.
    pub most: u64,
}

impl Default for Allowed {
    /// All that the budgets allow.
    fn default() -> Self {
        Allowed { deletions: true, second_chances: true, portion: None, came: 0, most: u64::MAX }
    }
}

/// Decision on an entry; the number is the act's, as it stands in the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// It is deleted by this act.
    Delete(usize),
    /// It is left the grace of this act.
    SecondChance(usize),
    /// Nothing is done to it.
    Stay,
}

/// Entries that go, all alike, until the end of their batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Victim<T> {
    /// The act that takes them.
    pub act: usize,
    /// Their certain idleness; the longest idle go first.
    pub idle_seconds: u32,
    /// Number of these entries.
    pub count: u64,
    /// The driver's name of them.
    pub item: T,
}

impl<F: Borrow<Flush>> Rules<F> {
    /// Rules of these acts, of which nothing has been done.
    pub fn new(acts: impl IntoIterator<Item = F>, pace: &Pace) -> Self {
        let act = |flush: F| {
            let dues = Dues::new(flush.borrow());
            Act { flush, dues, taken: 0, sent: 0, freed: 0, requested: 0 }
        };
        let acts = acts.into_iter().map(act).collect();
        Rules { acts, pace: *pace, allowed: Allowed::default(), most: u64::MAX }
    }

    /// The rules as they stand, with budgets that are never spent.
    pub fn without_budgets(&self) -> Rules<Flush> {
        let act = |act: &Act<F>| {
            // Half of the range leaves room to add to it.
            let flush = Flush { budget: u64::MAX / 4, ..act.flush.borrow().clone() };
            let Act { taken, sent, freed, requested, .. } = *act;
            Act { flush, dues: act.dues.clone(), taken, sent, freed, requested }
        };
        let acts = self.acts.iter().map(act).collect();
        Rules { acts, pace: self.pace, allowed: self.allowed, most: self.most }
    }

    /// Begins a batch.
    pub fn begin(&mut self, allowed: Allowed) {
        self.allowed = allowed;
        self.most = allowed.most;
    }

    /// Decides on one entry.
    pub fn offer(&mut self, entry: &Entry, judged: &Judged) -> Choice {
        self.offer_many(entry, judged, 1).0
    }

    /// Decides on `count` entries that are all like this one: returns the choice for the first of them, and for how
    /// many of them it holds. The others are to be offered again, for an act that may take no more leaves them to the
    /// next.
    pub fn offer_many(&mut self, entry: &Entry, judged: &Judged, count: u64) -> (Choice, u64) {
        for i in 0..self.acts.len() {
            let taken = self.take(i, entry, judged, count);
            if taken > 0 {
                let act = &mut self.acts[i];
                act.taken += taken;
                return match act.flush.borrow().grace_seconds {
                    Some(_) => (Choice::SecondChance(i), taken),
                    None => {
                        self.most = self.most.saturating_sub(taken);
                        (Choice::Delete(i), taken)
                    }
                };
            }
        }
        (Choice::Stay, count)
    }

    /// Takes up to `count` such entries by an act.
    fn take(&mut self, i: usize, entry: &Entry, judged: &Judged, count: u64) -> u64 {
        let room = self.room(i);
        let act = &mut self.acts[i];
        let flush = act.flush.borrow();
        let room = match flush.grace_seconds {
            None if !self.allowed.deletions => 0,
            None if self.allowed.portion.is_some() => room,
            None => room.min(self.most),
            Some(_) if !self.allowed.second_chances => 0,
            Some(_) => room,
        };
        let count = count.min(room);
        if count == 0 {
            return 0;
        }
        match &mut act.dues {
            Some(dues) => match judged.idle_unprotected() {
                Some(idle) if idle >= flush.idle_over_seconds => dues.take(entry, idle, count),
                _ => 0,
            },
            None if names(flush, entry, judged) => count,
            None => 0,
        }
    }

    /// Entries that an act may still take by its budget.
    fn room(&self, i: usize) -> u64 {
        let Allowed { portion, came, .. } = self.allowed;
        let flush = self.flush(i);
        let gone = self.acts[i].gone();
        let last = i + 1 == self.acts.len() && flush.grace_seconds.is_none();
        match portion {
            // Protection has a right to its share: no more than was planned is lifted, however many entries come.
            _ if flush.lifts_protection => flush.budget.saturating_sub(gone),
            Some(_) if flush.grace_seconds.is_some() => (flush.budget + came).saturating_sub(self.gone()),
            // The longest idle of the batch are known at its end alone: then it is cut to the budget.
            Some(_) if self.gone_before() >= flush.budget + came => 0,
            Some(_) => u64::MAX,
            None => (flush.budget + if last { came } else { 0 }).saturating_sub(gone),
        }
    }

    /// Ends a batch of `met` entries where at most a portion of it goes: the longest idle of each act go, in the order
    /// of the acts, within the budgets, and the others leave `victims`; they will be met again. True if any was left.
    pub fn cut<T>(&mut self, met: u64, victims: &mut Vec<Victim<T>>) -> bool {
        let Some(portion) = self.allowed.portion else { return false };
        let mut most = ((met as f64 * portion).ceil() as u64).min(self.allowed.most);
        let (mut all, mut left) = (self.gone_before(), false);
        victims.sort_by_key(|victim| (victim.act, Reverse(victim.idle_seconds)));
        for victim in victims.iter_mut() {
            let budget = match self.flush(victim.act) {
                // Its own budget was kept as it was offered entries.
                flush if flush.lifts_protection => u64::MAX,
                flush => (flush.budget + self.allowed.came).saturating_sub(all),
            };
            let goes = victim.count.min(most).min(budget);
            (most, all) = (most - goes, all + goes);
            left |= goes < victim.count;
            self.acts[victim.act].taken -= victim.count - goes;
            victim.count = goes;
        }
        victims.retain(|victim| victim.count > 0);
        left
    }

    /// The deletions of the batch were sent: returns their number for each act.
    pub fn sent(&mut self) -> Vec<u64> {
        let sent = |act: &mut Act<F>| match act.flush.borrow().grace_seconds {
            Some(_) => 0,
            None => {
                let taken = std::mem::take(&mut act.taken);
                act.sent += taken;
                taken
            }
        };
        self.acts.iter_mut().map(sent).collect()
    }

    /// Deletions that were sent together have ended, and this many of them deleted an entry. Errors do not say whose
    /// they were: the last act of the batch bears them.
    pub fn ended(&mut self, sent: &[u64], deleted: u64) {
        let mut missed = sent.iter().sum::<u64>().saturating_sub(deleted);
        for (act, sent) in self.acts.iter_mut().zip(sent).rev() {
            let lost = missed.min(*sent);
            missed -= lost;
            act.sent -= sent;
            act.requested += sent;
            act.freed += sent - lost;
        }
    }

    /// Deletions that were sent together have failed as a whole.
    pub fn failed(&mut self, sent: &[u64]) {
        self.acts.iter_mut().zip(sent).for_each(|(act, sent)| act.sent -= sent);
    }

    /// The second chances that an act took in the batch were given to `given` entries; `asked` of them needed one.
    pub fn gave(&mut self, i: usize, given: u64, asked: u64) {
        let act = &mut self.acts[i];
        act.taken = 0;
        act.freed += given;
        act.requested += asked;
    }

    /// True if all that was wanted went, or if the table has come down to where it is to be, given that what was sent
    /// goes too. `count`: entries in the table, where that is known.
    pub fn enough(&self, count: Option<u64>) -> bool {
        let (came, all) = (self.allowed.came, self.gone());
        let budgets = || self.acts.iter().map(|act| act.flush.borrow().budget);
        let spent = match self.allowed.portion {
            Some(_) => budgets().all(|budget| all >= budget + came),
            None => {
                let each = self.acts.iter().all(|act| act.gone() >= act.flush.borrow().budget);
                each && all >= budgets().sum::<u64>() + came
            }
        };
        let down = |count: u64| count.saturating_sub(self.deletions_sent()) <= self.pace.enough_at_entries;
        spent || count.is_some_and(down)
    }

    /// The flush of an act.
    pub fn flush(&self, i: usize) -> &Flush {
        self.acts[i].flush.borrow()
    }

    /// The class in whose name an act takes entries.
    pub fn class(&self, i: usize) -> Class {
        self.flush(i).class
    }

    /// The pace of the plan.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Entries that each act freed: deleted, or given a second chance.
    pub fn freed(&self) -> Vec<u64> {
        self.acts.iter().map(|act| act.freed).collect()
    }

    /// Entries that each act asked for.
    pub fn requested(&self) -> Vec<u64> {
        self.acts.iter().map(|act| act.requested).collect()
    }

    /// Deletions that were sent and have not ended.
    pub fn deletions_sent(&self) -> u64 {
        self.acts.iter().map(|act| act.sent).sum()
    }

    fn gone(&self) -> u64 {
        self.acts.iter().map(Act::gone).sum()
    }

    /// Entries that went or were sent before the batch under way.
    fn gone_before(&self) -> u64 {
        self.acts.iter().map(|act| act.freed + act.sent).sum()
    }
}

impl<F> Act<F> {
    fn gone(&self) -> u64 {
        self.freed + self.sent + self.taken
    }
}

/// True if a flush that is no fair share names such an entry.
fn names(flush: &Flush, entry: &Entry, judged: &Judged) -> bool {
    let (Some(class), Some(idle)) = (judged.class, judged.idle_seconds) else { return false };
    if class != flush.class || idle < flush.idle_over_seconds {
        return false;
    }
    match (flush.lifts_protection, flush.grace_seconds) {
        // A protected entry goes by no act but one that lifts protection, and such an act takes no other.
        (true, _) => judged.held_by_protection,
        // Nobody gets a second one, and a time left is never raised.
        (false, Some(grace)) => {
            judged.eligible && !judged.in_grace && entry.timeout_seconds.is_some_and(|left| left > grace)
        }
        (false, None) => judged.eligible || (judged.only_critical && flush.takes_only_critical(idle)),
    }
}
