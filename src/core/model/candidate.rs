//! Entries that a scan found idle past their floor: who is looked at first when something has to go.

use super::class::Class;
use super::entry::Entry;
use super::tuple::Tuple;

/// By what the kernel finds an entry again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its original tuple.
    pub original: Tuple,
    /// Zone of the original direction.
    pub zone: u16,
    /// Identity of the entry, `CTA_ID`.
    pub id: u32,
    /// Class that the entry was of.
    pub class: Class,
}

/// An entry that the kernel finds again by its original tuple, zone and id.
pub trait Identity {
    /// An entry of which this much holds, whatever else it says.
    fn identity(&self) -> Entry;
}

/// No more of an entry than what the kernel finds it by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EntryId {
    /// Its original tuple.
    pub original: Tuple,
    /// Zone of the original direction.
    pub zone: u16,
    /// Identity of the entry, `CTA_ID`.
    pub id: u32,
}

impl From<&Entry> for EntryId {
    fn from(entry: &Entry) -> Self {
        EntryId { original: entry.original, zone: entry.zone, id: entry.id }
    }
}

impl Identity for EntryId {
    fn identity(&self) -> Entry {
        Entry { original: self.original, zone: self.zone, id: self.id, ..Entry::default() }
    }
}

impl Identity for Candidate {
    fn identity(&self) -> Entry {
        Entry { original: self.original, zone: self.zone, id: self.id, ..Entry::default() }
    }
}

impl Identity for Entry {
    fn identity(&self) -> Entry {
        *self
    }
}

impl Candidate {
    /// An entry of this class.
    pub fn new(class: Class, entry: &Entry) -> Self {
        Candidate { original: entry.original, zone: entry.zone, id: entry.id, class }
    }
}

/// The candidates of the last scan, least missed first, in bounded memory: where there are more than there is room for,
/// the most missed are left out. Nothing rests on their being here: each is asked for and judged anew before it goes,
/// and what is not here is found by a dump.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    of: [Vec<Candidate>; Class::ALL.len()],
    bound: Option<usize>,
}

impl Candidates {
    /// 56 bytes each: 3.5 MiB.
    pub const BOUND: usize = 1 << 16;

    /// With room for fewer.
    #[cfg(test)]
    pub fn bounded(bound: usize) -> Self {
        Candidates { bound: Some(bound), ..Candidates::default() }
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.of.iter().map(Vec::len).sum()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A new scan begins: what the last one saw is of no use any more.
    pub fn clear(&mut self) {
        self.of.iter_mut().for_each(Vec::clear);
    }

    /// An entry may go.
    pub fn remember(&mut self, candidate: Candidate) {
        let Some(place) = Class::ALL.iter().position(|class| *class == candidate.class) else { return };
        if self.len() >= self.bound.unwrap_or(Self::BOUND) {
            // Whoever is missed more makes room.
            let Some(more_missed) = self.of[place + 1..].iter_mut().rev().find(|of| !of.is_empty()) else {
                return;
            };
            more_missed.pop();
        }
        self.of[place].push(candidate);
    }

    /// Takes out those of some classes, least missed first.
    pub fn take(&mut self, classes: impl Fn(Class) -> bool) -> Vec<Candidate> {
        let wanted = Class::ALL.iter().zip(&mut self.of).filter(|(class, _)| classes(**class));
        wanted.flat_map(|(_, of)| std::mem::take(of)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(class: Class, id: u32) -> Candidate {
        Candidate::new(class, &Entry { id, ..Entry::default() })
    }

    fn ids(candidates: &[Candidate]) -> Vec<u32> {
        candidates.iter().map(|candidate| candidate.id).collect()
    }

    #[test]
    fn the_least_missed_come_first_and_only_those_that_are_asked_for() {
        let mut candidates = Candidates::default();
        let seen = [(Class::Established, 1), (Class::Closed, 2), (Class::Udp, 3), (Class::Closed, 4)];
        seen.into_iter().for_each(|(class, id)| candidates.remember(candidate(class, id)));
        assert_eq!(ids(&candidates.take(|class| class != Class::Udp)), [2, 4, 1]);
        assert_eq!((candidates.len(), ids(&candidates.take(|_| true))), (1, vec![3]));
        assert!(candidates.is_empty());
    }

    #[test]
    fn where_room_runs_short_the_most_missed_are_left_out() {
        let mut candidates = Candidates::bounded(3);
        for id in 0..5 {
            candidates.remember(candidate(Class::Established, id));
        }
        candidates.remember(candidate(Class::Udp, 10));
        candidates.remember(candidate(Class::Closed, 11));
        candidates.remember(candidate(Class::FairShare, 12));
        assert_eq!(ids(&candidates.take(|_| true)), [11, 10, 0]);
    }
}
