//! The entries of one source as an agent remembers them, for what would else walk the table.

use std::time::Duration;

use super::output;
use super::place::Place;
use super::reach;
use crate::model::{EntryRow, Filters};
use crate::survey::Known;

/// To walk a million entries takes about as long.
const PATIENCE: Duration = Duration::from_millis(250);

/// All that the filters can match, if they name one source and an agent remembers its entries. Whoever has none does
/// without: that is said with `-v` alone.
pub struct Knowing {
    known: Option<Known>,
}

impl Knowing {
    /// Asks the agent.
    pub fn of(place: &Place, filters: &Filters) -> Knowing {
        let nothing = Knowing { known: None };
        let Some(source) = filters.only_source() else { return nothing };
        let told = |text: &str| {
            if place.style.verbosity > 0 {
                output::notice(text);
            }
        };
        let zone = filters.only_zone();
        let netns = place.target.netns();
        let all = reach::asked(&place.socket, netns, |client| client.within(PATIENCE).entries(source, zone));
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
        Knowing { known }
    }

    /// The entries.
    pub fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }
}
