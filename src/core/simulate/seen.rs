//! Cohorts, as a look at the modelled table sees them.

use super::cohort::{Cohort, Place};
use super::flow::State;
use crate::core::model::{Entry, Judged};

/// One cohort, as a look sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Identity of the cohort.
    pub id: u32,
    /// Index of the traffic that it is of.
    pub group: usize,
    /// State of its entries.
    pub state: State,
    /// Number of its entries.
    pub count: u64,
    /// One of them, as a dump would show it; each group of sources has a zone of its own.
    pub entry: Entry,
    /// The judgement of that one.
    pub judged: Judged,
}

impl Seen {
    /// They may go by their class.
    pub fn eligible(&self) -> bool {
        self.judged.eligible || self.judged.only_critical
    }

    /// Their certain idleness, if nothing protects them.
    pub fn idle_unprotected(&self) -> Option<u32> {
        self.judged.idle_unprotected()
    }

    pub(super) fn new(place: &Place, cohort: &Cohort, entry: Entry, judged: Judged) -> Self {
        let entry = Entry { zone: zone(place.group), ..entry };
        Seen { id: cohort.id, group: place.group, state: place.state, count: cohort.count, entry, judged }
    }
}

/// The zone that stands for a group of sources where the rules of a sweep ask whose an entry is.
pub fn zone(group: usize) -> u16 {
    u16::try_from(group).unwrap_or(u16::MAX)
}
