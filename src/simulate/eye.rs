//! How the agent sees the modelled table: the same sieve that judges real entries judges one entry of each cohort.

use crate::model::{Class, Event, EventKind, Scan, Settings, Timeout, TimeoutValues};
use crate::policy::{OwnHost, Protection};
use crate::sieve::{Grounds, Judged, SharedSightings, Sieve};
use crate::state::{Bases, Identify, Observations, TimeoutHistory};

use super::cohort::{Cohort, Place};
use super::table::Table;

/// For how long the gateway has been up when a scenario begins: nothing has been idle for longer.
pub const UP_SECONDS: f64 = 30.0 * 86_400.0;

/// What proofs of idleness rest on.
pub struct Eye {
    protection: Protection,
    identify: Identify,
    sightings: SharedSightings,
    observations: Observations,
    history: TimeoutHistory,
}

impl Eye {
    /// Sees with these settings.
    pub fn new(settings: &Settings, timeouts: &TimeoutValues) -> Self {
        let mut history = TimeoutHistory::default();
        history.saw(timeouts, None);
        Eye {
            protection: Protection::new(settings.protect.clone(), OwnHost::default()),
            identify: Identify::default(),
            sightings: SharedSightings::default(),
            observations: Observations::default(),
            history,
        }
    }

    /// A timeout is about to be set.
    pub fn saw_timeout(&mut self, timeout: Timeout, seconds: u32, now: f64) {
        self.history.saw_one(timeout, seconds, Some((UP_SECONDS + now) as u32));
    }

    /// The event stream told that another program wrote these.
    pub fn hear(&mut self, table: &Table) {
        let mut sightings = self.sightings.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (place, cohort) in table.cohorts().filter(|(_, cohort)| cohort.foreign) {
            let entry = entry(table, place, cohort);
            sightings.event(&Event { kind: EventKind::New, entry, foreign: true }, &self.identify);
        }
    }

    /// Judges one entry of each cohort, and gives the scan that comes of it.
    pub fn scan(&mut self, table: &Table, settings: &Settings, duration_seconds: f64) -> Scan {
        let mut observations = std::mem::take(&mut self.observations);
        let mut sieve = self.sieve(table, settings, &mut observations);
        for (place, cohort) in table.cohorts() {
            let judged = sieve.judge(&entry(table, place, cohort));
            sieve.count_many(&judged, cohort.count);
        }
        let scan = sieve.finish(UP_SECONDS + table.now, duration_seconds, true, true);
        self.observations = observations;
        scan
    }

    /// Class and certain idleness of what may go, by the id of its cohort.
    pub fn eligible(&mut self, table: &Table, settings: &Settings) -> Vec<(u32, Class, u32, u64)> {
        // A look while a sweep is under way leaves no observation behind.
        let mut observations = self.observations.clone();
        let mut sieve = self.sieve(table, settings, &mut observations);
        let judged =
            table.cohorts().filter_map(|(place, cohort)| match sieve.judge(&entry(table, place, cohort)) {
                Judged { eligible: true, class: Some(class), idle_seconds: Some(idle), .. } => {
                    Some((cohort.id, class, idle, cohort.count))
                }
                _ => None,
            });
        judged.collect()
    }

    fn sieve<'a>(
        &'a self,
        table: &Table,
        settings: &'a Settings,
        observations: &'a mut Observations,
    ) -> Sieve<'a> {
        let grounds = Grounds {
            bases: Some(Bases::new(&self.history, &[], &[])),
            conntrackd: false,
            up_seconds: (UP_SECONDS + table.now) as u32,
            unix_seconds: 0,
            ..Grounds::default()
        };
        Sieve::new(
            &settings.flush,
            &self.protection,
            &self.identify,
            self.sightings.clone(),
            observations,
            grounds,
        )
    }
}

fn entry(table: &Table, place: &Place, cohort: &Cohort) -> crate::model::Entry {
    let left = (cohort.expires_seconds - table.now).max(0.0) as u32;
    place.state.entry(&table.traffic[place.group], cohort.id, left)
}
