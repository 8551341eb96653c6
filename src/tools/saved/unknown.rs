//! Counts entries whose status a text does not tell.

use std::collections::HashMap;

use super::fields::ShownEntry;
use crate::core::model::{Entry, Filters, GroupKey, NotTold, Question, SourceRow, Status, UnknownStatus};

/// Result of matching an entry against the filters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Matched {
    Yes,
    No,
    /// The text does not tell what the filters ask for.
    Undecided,
}

/// Numbers of entries whose status is not told, by group.
#[derive(Debug, Default)]
pub(super) struct UnknownStatuses {
    groups: HashMap<GroupKey, UnknownStatus>,
    all: UnknownStatus,
    undecided: u64,
}

impl UnknownStatuses {
    /// Matches the entry; if it matches, counts the parts of its status that are not told.
    pub(super) fn note(&mut self, shown: &ShownEntry, filters: &Filters, question: &Question) -> Matched {
        let matched = matches(shown, filters);
        match matched {
            Matched::Undecided => self.undecided += 1,
            Matched::Yes if !(shown.assured_told && shown.reply_told) => {
                let group = self.groups.entry(GroupKey::of(&shown.entry, question)).or_default();
                for count in [group, &mut self.all] {
                    count.assured += u64::from(!shown.assured_told);
                    count.unreplied += u64::from(!shown.reply_told);
                }
            }
            _ => {}
        }
        matched
    }

    /// Removes counts that are not known for certain from the rows. Returns how many entries of each row, and of all,
    /// have an unknown status.
    pub(super) fn take_out(self, rows: &mut [SourceRow]) -> NotTold {
        let groups: HashMap<(String, Option<u16>), UnknownStatus> =
            self.groups.into_iter().map(|(key, count)| ((key.to_string(), key.zone()), count)).collect();
        let of_row = |row: &mut SourceRow| {
            let count = groups.get(&(row.source.clone(), row.zone)).copied().unwrap_or_default();
            row.assured = row.assured.filter(|_| count.assured == 0);
            row.unreplied = row.unreplied.filter(|_| count.unreplied == 0);
            count
        };
        NotTold { rows: rows.iter_mut().map(of_row).collect(), all: self.all, undecided: self.undecided }
    }
}

/// Matches the entry with each status that it may have.
fn matches(shown: &ShownEntry, filters: &Filters) -> Matched {
    if shown.assured_told && shown.reply_told {
        return if filters.matches(&shown.entry, None) { Matched::Yes } else { Matched::No };
    }
    let flags = [(shown.assured_told, Status::ASSURED), (shown.reply_told, Status::SEEN_REPLY)];
    let mut possible = vec![shown.entry];
    for (_, flag) in flags.into_iter().filter(|(told, _)| !told) {
        let with = |entry: &Entry| Entry { status: Status(entry.status.0 | flag), ..*entry };
        let without = |entry: &Entry| Entry { status: Status(entry.status.0 & !flag), ..*entry };
        possible = possible.iter().flat_map(|entry| [with(entry), without(entry)]).collect();
    }
    let found = |wanted: bool| possible.iter().any(|entry| filters.matches(entry, None) == wanted);
    match (found(true), found(false)) {
        (true, true) => Matched::Undecided,
        (true, false) => Matched::Yes,
        _ => Matched::No,
    }
}
