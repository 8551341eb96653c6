//! Entries that an agent knows of the table, so that it need not be walked.

use crate::core::model::{Entry, EntryId, Identity};
use crate::linux::request;

/// All entries that can match, by what the kernel finds them by. It is asked for each: what holds of it is the kernel's
/// word of now.
#[derive(Clone, Debug)]
pub struct Known {
    entries: Vec<Entry>,
    children: bool,
}

impl Known {
    /// These are all; `children`: some of them may have children, which is then looked for. `None` where one of them
    /// cannot be asked for exactly: then there is nothing but a walk.
    pub fn new(all: impl IntoIterator<Item = EntryId>, children: bool) -> Option<Known> {
        let entries: Vec<Entry> = all.into_iter().map(|id| id.identity()).collect();
        entries
            .iter()
            .all(|entry| request::identifiable(entry).is_ok())
            .then_some(Known { entries, children })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// None of them has children.
    pub(super) fn childless(&self) -> bool {
        !self.children
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{L4, TCP, Tuple};

    #[test]
    fn what_cannot_be_asked_for_exactly_leaves_nothing_but_a_walk() {
        let of = |l4| {
            let original = Tuple { protocol: TCP, l4, ..Tuple::default() };
            EntryId { original, zone: 7, id: 9 }
        };
        let whole = of(L4::Ports { source: 1, destination: 2 });
        let known = Known::new([whole, whole], true).expect("both can be asked for");
        assert_eq!((known.len(), known.childless(), EntryId::from(&known.entries()[0])), (2, false, whole));
        assert!(Known::new([whole, of(L4::None)], false).is_none());
        assert!(Known::new([], false).is_some_and(|known| known.is_empty() && known.childless()));
    }
}
