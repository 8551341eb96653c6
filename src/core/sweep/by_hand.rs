//! Deletions that an operator asks for: `ctctl flush`.

use crate::core::model::Verdict;

/// The rules of one `flush`. What matches its filters is offered to it.
#[derive(Clone, Copy, Debug)]
pub struct ByHand {
    /// Only entries that the agent would delete at level high: of a class, idle for certain past their floor, and not
    /// in the grace of a second chance.
    pub stale: bool,
    /// Protected entries go as well.
    pub even_protected: bool,
    /// Entries that may still go.
    pub left: u64,
}

/// The fate of an entry that an operator's filters match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is to be deleted.
    Goes,
    /// It would go, were it not protected.
    Protected,
    /// It stays: it is not stale, or enough have gone.
    Stays,
}

impl ByHand {
    /// Decides on one entry; one that goes counts against those that are left.
    pub fn offer(&mut self, verdict: &Verdict) -> Fate {
        let fate = self.fate(verdict);
        match fate {
            Fate::Goes if self.left == 0 => Fate::Stays,
            Fate::Goes => {
                self.left -= 1;
                Fate::Goes
            }
            other => other,
        }
    }

    /// True if no entry goes any more.
    pub fn enough(&self) -> bool {
        self.left == 0
    }

    fn fate(&self, verdict: &Verdict) -> Fate {
        if self.stale && (!verdict.past_floor || verdict.in_grace) {
            return Fate::Stays;
        }
        match verdict.protected {
            Some(_) if !self.even_protected => Fate::Protected,
            _ => Fate::Goes,
        }
    }
}
