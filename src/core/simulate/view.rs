//! The agent's view of the modelled table: the sieve that judges real entries judges one entry of each cohort.

use crate::core::model::{Chances, Event, EventKind, Features, Scan, Settings, Timeout, Traffic};
use crate::core::policy::{OwnHost, Protection};
use crate::core::sieve::{Grounds, SharedSightings, Sieve};
use crate::core::state::{Bases, Identify, Observations, TimeoutHistory};

use super::cohort::{Cohort, Place};
use super::second_chance::Given;
use super::seen::Seen;
use super::table::Table;
use super::weighing;

/// For how long the gateway has been up when a scenario begins: nothing has been idle for longer.
pub const UP_SECONDS: f64 = 30.0 * 86_400.0;

/// State that proofs of idleness rest on.
pub struct AgentView {
    protection: Protection,
    identify: Identify,
    sightings: SharedSightings,
    observations: Observations,
    history: TimeoutHistory,
    given: Given,
    opened_seconds: f64,
}

impl AgentView {
    /// Opens now, with these settings.
    pub fn new(settings: &Settings, table: &Table) -> Self {
        let mut history = TimeoutHistory::default();
        history.saw(&table.timeouts, None);
        AgentView {
            protection: Protection::new(settings.protect.clone(), OwnHost::default()),
            identify: Identify::default(),
            sightings: SharedSightings::default(),
            observations: Observations::default(),
            history,
            given: Given::default(),
            opened_seconds: table.now,
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

    /// Judges one entry of each cohort, and gives the scan that comes of it; `weigh`: with who holds the table.
    pub fn scan(&mut self, table: &Table, settings: &Settings, duration_seconds: f64, weigh: bool) -> Scan {
        let mut observations = std::mem::take(&mut self.observations);
        let mut sieve = self.sieve(table, settings, &mut observations);
        let mut seen = Vec::new();
        for (place, cohort) in table.cohorts() {
            let entry = entry(table, place, cohort);
            let judged = sieve.judge(&entry);
            sieve.count_many(&judged, cohort.count);
            seen.push(Seen::new(place, cohort, entry, judged));
        }
        let mut scan = sieve.finish(UP_SECONDS + table.now, duration_seconds, true, true);
        self.observations = observations;
        self.given.scanned(table);
        if weigh {
            // Sources that were there when the agent came are known for as long as anybody can say.
            let since = self.opened_seconds.max(table.now - settings.pressure.calm_seconds);
            let young = |traffic: &Traffic| traffic.from_seconds > since;
            scan.weighed = Some(weighing::weigh(&seen, &table.traffic, &settings.flush, young).into());
        }
        scan
    }

    /// The cohorts, as a sweep under way sees them.
    pub fn look(&self, table: &Table, settings: &Settings) -> Vec<Seen> {
        // It leaves no observation behind.
        let mut observations = self.observations.clone();
        let mut sieve = self.sieve(table, settings, &mut observations);
        let see = |(place, cohort): (&Place, &Cohort)| {
            let entry = entry(table, place, cohort);
            Seen::new(place, cohort, entry, sieve.judge(&entry))
        };
        table.cohorts().map(see).collect()
    }

    /// A cohort that was idle for `idle_seconds` has been given a second chance just now.
    pub fn given_grace(&mut self, table: &Table, given: (&Place, &Cohort), idle_seconds: u32, grace: u32) {
        let (place, cohort) = given;
        let now = UP_SECONDS + table.now;
        let fingerprint = self.identify.entry(&entry(table, place, cohort));
        self.observations.chances.give(fingerprint, idle_seconds, grace, now as u32);
        self.given.give(cohort.id, cohort.count, now + f64::from(grace));
    }

    /// The second chances that run.
    pub fn chances(&mut self, table: &Table) -> Chances {
        self.given.facts(UP_SECONDS + table.now)
    }

    fn sieve<'a>(
        &'a self,
        table: &Table,
        settings: &'a Settings,
        observations: &'a mut Observations,
    ) -> Sieve<'a> {
        let grounds = Grounds {
            bases: Some(Bases::new(&self.history, &[], &Features::default())),
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

fn entry(table: &Table, place: &Place, cohort: &Cohort) -> crate::core::model::Entry {
    let left = (cohort.expires_seconds - table.now).max(0.0) as u32;
    place.state.entry(&table.traffic[place.group], cohort.id, left)
}
