//! The entries of one source as an agent remembers them: they replace a walk of the whole table.

use std::time::Duration;

use super::output;
use super::place::Place;
use super::reach;
use crate::core::model::{EntryRow, Filters};
use crate::direct::Known;

/// Longest wait for the agent: a walk of a million entries takes about this long.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);

/// All entries that the filters can match, if they name one source and an agent remembers its entries. If not, the
/// command walks the table; the reason is printed with `-v` only.
pub struct RememberedEntries {
    known: Option<Known>,
}

impl RememberedEntries {
    /// Asks the agent of `place` for the entries of the one source that `filters` names, if they do.
    pub fn ask(place: &Place, filters: &Filters) -> RememberedEntries {
        let nothing = RememberedEntries { known: None };
        let Some(source) = filters.only_source() else { return nothing };
        let told = |text: &str| {
            if place.style.verbosity > 0 {
                output::notice(text);
            }
        };
        let zone = filters.only_zone();
        let netns = place.target.netns();
        let all = reach::asked(&place.socket, netns, |client| {
            client.with_timeout(ANSWER_TIMEOUT).entries(source, zone)
        });
        let all = match all {
            Ok(all) => all,
            Err(without) => {
                told(&format!("{without}; walking the table"));
                return nothing;
            }
        };
        let children = all.entries.iter().any(|row| row.has_children);
        let known = Known::new(all.entries.iter().map(EntryRow::id), children);
        match &known {
            Some(known) => told(&format!("the agent knows {source}'s entries: {}", known.len())),
            None => told("not all entries can be asked for one by one; walking the table"),
        }
        RememberedEntries { known }
    }

    /// Returns the entries; `None` if the table has to be walked.
    pub fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }
}
