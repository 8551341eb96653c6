//! No value is written before the record of it is on disk, and nobody waits for that.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Keeper;
use crate::act::journal::{Baseline, Recorded, Records, Ticket};
use crate::core::model::Value;

/// A value that is recorded as about to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Prepared {
    pub(super) from: u64,
    pub(super) to: u64,
    tickets: Vec<Ticket>,
}

/// State of the record that has to be on disk before a value is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// Its record is on disk.
    Ready,
    /// The record has been on its way to the disk for this time.
    Waits(Duration),
    /// The record cannot be written; that is tried again.
    Failed(String),
}

impl Keeper {
    /// Has `records` write the files from now on, and look after them.
    pub fn entrust(&mut self, records: Records) {
        if !self.dry {
            self.want(&records);
        }
        self.records = Some(records);
    }

    /// Records that `to` is about to be written over `from`, and says whether that is on disk; asked again with the
    /// same values, whether it is by now. `also`: what has to be there as well.
    pub fn prepare(&mut self, name: Value, (from, to): (u64, u64), also: Option<Ticket>) -> Readiness {
        if self.dry {
            return Readiness::Ready;
        }
        let same =
            self.prepared.get(&name).is_some_and(|prepared| (prepared.from, prepared.to) == (from, to));
        if !same {
            let prepared = Prepared { from, to, tickets: also.into_iter().collect() };
            self.prepared.insert(name, prepared);
            let Some(records) = &self.records else {
                let saved = self.image().save_before_write(&self.dir);
                self.host.save(&self.image().values);
                return saved.map_or_else(|error| Readiness::Failed(error.why), |()| Readiness::Ready);
            };
            let tickets = self.want(records);
            if let Some(prepared) = self.prepared.get_mut(&name) {
                prepared.tickets.extend(tickets);
            }
        }
        self.prepared.get(&name).map_or(Readiness::Ready, |prepared| self.readiness(prepared))
    }

    fn readiness(&self, prepared: &Prepared) -> Readiness {
        let Some(records) = &self.records else { return Readiness::Ready };
        let mut readiness = Readiness::Ready;
        for ticket in &prepared.tickets {
            readiness = match (records.recorded(ticket), readiness) {
                (_, failed @ Readiness::Failed(_)) => failed,
                (Recorded::Failed(why), _) => Readiness::Failed(why),
                (Recorded::Waits(since), Readiness::Waits(longer)) => Readiness::Waits(longer.max(since)),
                (Recorded::Waits(since), Readiness::Ready) => Readiness::Waits(since),
                (Recorded::Yes, so_far) => so_far,
            };
        }
        readiness
    }

    /// True if a value is recorded as about to be written, and the record is on disk.
    pub fn is_recorded(&self, name: Value) -> bool {
        self.prepared.get(&name).is_some_and(|prepared| self.readiness(prepared) == Readiness::Ready)
    }

    /// The value that is recorded as about to be written over `from`.
    pub fn prepared(&self, name: Value, from: u64) -> Option<u64> {
        self.prepared.get(&name).filter(|prepared| prepared.from == from).map(|prepared| prepared.to)
    }

    /// Takes back the records of values that are not to be written any more, once they are on disk; their names.
    pub fn withdraw(&mut self, still_wanted: impl Fn(Value) -> bool) -> Vec<Value> {
        let settled = |prepared: &Prepared| !matches!(self.readiness(prepared), Readiness::Waits(_));
        let gone = self.prepared.iter().filter(|(name, prepared)| !still_wanted(**name) && settled(prepared));
        let gone: Vec<Value> = gone.map(|(name, _)| *name).collect();
        if !gone.is_empty() {
            self.prepared.retain(|name, _| !gone.contains(name));
            let _ = self.save();
        }
        gone
    }

    /// Records cannot be written, or one has been on its way for `patience`.
    pub fn hangs_back(&self, patience: Duration) -> bool {
        let late = |prepared: &Prepared| match self.readiness(prepared) {
            Readiness::Ready => false,
            Readiness::Waits(since) => since >= patience,
            Readiness::Failed(_) => true,
        };
        self.trouble().is_some() || self.prepared.values().any(late)
    }

    /// Wants a file of the agent's to have this content.
    pub fn record(&self, path: &Path, text: String) -> Option<Ticket> {
        self.records.as_ref().map(|records| records.put(path, text))
    }

    /// Waits until everything is on disk, `wait` at most.
    pub fn settle(&self, wait: Duration) {
        let (Some(records), until) = (self.records.as_ref().filter(|_| !self.dry), Instant::now() + wait)
        else {
            return;
        };
        for ticket in self.want(records) {
            records.wait(&ticket, until);
        }
    }

    /// The trouble that keeps records from the disk, as a sentence.
    pub fn trouble(&self) -> Option<String> {
        self.records.as_ref().and_then(Records::trouble)
    }

    /// The end: waits until everything is on disk, `wait` at most.
    ///
    /// # Errors
    /// What is not, as a sentence.
    pub fn finish(&mut self, wait: Duration) -> Result<(), String> {
        self.records.take().map_or(Ok(()), |mut records| records.finish(Instant::now() + wait))
    }

    /// Content of the files: a value that is about to be written may be in the kernel already when they are read.
    fn image(&self) -> Baseline {
        let mut image = self.baseline.clone();
        for (name, prepared) in &self.prepared {
            image.will_write(*name, prepared.from, prepared.to);
        }
        image
    }

    pub(super) fn want(&self, records: &Records) -> Vec<Ticket> {
        let image = self.image();
        let own = records.put(&Baseline::path(&self.dir), image.text());
        self.host.want(records, &image.values).into_iter().chain([own]).collect()
    }
}

#[cfg(test)]
#[path = "prepare_tests.rs"]
mod tests;
