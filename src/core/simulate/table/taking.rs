//! Acts on the modelled table: entries are taken, shortened, reaped.

use std::collections::BTreeMap;

use super::{Cohort, Lost, Place, Random, Shelf, Table, drawn};

impl Table {
    /// Takes up to `n` of the cohorts that `matches` in the places that `within`, as chance has it; how many went.
    /// `of`: whose doing it is.
    pub fn take(
        &mut self,
        n: u64,
        random: &mut Random,
        of: fn(&mut Lost) -> &mut u64,
        within: impl Fn(&Place) -> bool,
        matches: impl Fn(&Place, &Cohort) -> bool,
    ) -> u64 {
        let fits = |(place, shelf): (&Place, &Shelf)| -> u64 {
            if !within(place) {
                return 0;
            }
            shelf.values().filter(|cohort| matches(place, cohort)).map(|cohort| cohort.count).sum()
        };
        let mut left: u64 = if n == 0 { 0 } else { self.shelves.iter().map(fits).sum() };
        let (mut wanted, mut gone) = (n.min(left), Vec::new());
        for (place, shelf) in self.shelves.iter_mut().filter(|(place, _)| within(place)) {
            if wanted == 0 {
                break;
            }
            for cohort in shelf.values_mut().filter(|cohort| matches(place, cohort)) {
                let taken = drawn(&mut wanted, &mut left, cohort.count, random);
                cohort.count -= taken;
                gone.push((*place, taken));
            }
            shelf.retain(|_, cohort| cohort.count > 0);
        }
        self.bury(gone, of)
    }

    fn bury(&mut self, gone: Vec<(Place, u64)>, of: fn(&mut Lost) -> &mut u64) -> u64 {
        let taken: u64 = gone.iter().map(|(_, count)| count).sum();
        for (place, count) in gone {
            self.forget(place, count);
            self.mourn(place, count, of);
        }
        self.gone_out += taken;
        taken
    }

    /// Takes `owed` entries of each cohort, by its id; returns the number that went.
    pub fn take_of(&mut self, owed: &BTreeMap<u32, u64>, of: fn(&mut Lost) -> &mut u64) -> u64 {
        let (mut owed, mut gone) = (owed.clone(), Vec::new());
        for (place, shelf) in &mut self.shelves {
            for cohort in shelf.values_mut() {
                let Some(wanted) = owed.get_mut(&cohort.id) else { continue };
                let taken = cohort.count.min(*wanted);
                *wanted -= taken;
                cohort.count -= taken;
                gone.push((*place, taken));
            }
            shelf.retain(|_, cohort| cohort.count > 0);
        }
        self.bury(gone, of)
    }

    /// Sets the time left of `counts` entries of each cohort, by its id; their next packet sets the full timeout
    /// again. Returns the cohorts that have it now, each with the id that it had.
    pub fn set_left(&mut self, counts: &BTreeMap<u32, u64>, left_seconds: f64) -> Vec<(u32, Place, Cohort)> {
        let expires_seconds = self.now + left_seconds;
        let (mut counts, mut moved) = (counts.clone(), Vec::new());
        for (place, shelf) in &mut self.shelves {
            // A time left is never raised.
            for cohort in shelf.values_mut().filter(|cohort| cohort.expires_seconds > expires_seconds) {
                let Some(wanted) = counts.get_mut(&cohort.id) else { continue };
                let count = cohort.count.min(*wanted);
                if count == 0 {
                    continue;
                }
                *wanted -= count;
                cohort.count -= count;
                let shortened =
                    Cohort { count, expires_seconds, grace: true, foreign: false, ..cohort.clone() };
                moved.push((cohort.id, *place, shortened));
            }
            shelf.retain(|_, cohort| cohort.count > 0);
        }
        for (_, place, cohort) in &mut moved {
            cohort.id = self.id();
            self.forget(*place, cohort.count);
            self.insert(*place, cohort.clone());
        }
        moved
    }

    /// Frees up to `n` expired entries, each group's in proportion; how many went.
    pub fn reap(&mut self, n: u64) -> u64 {
        let total = self.expired_entries();
        let share = n.min(total) as f64 / total.max(1) as f64;
        let mut left = n.min(total);
        for expired in &mut self.expired {
            let freed = ((*expired as f64 * share).ceil() as u64).min(*expired).min(left);
            *expired -= freed;
            left -= freed;
        }
        let freed = n.min(total) - left;
        self.gone_out += freed;
        freed
    }
}
