//! Goes through the table for the actor, and remembers what it saw.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::shared::Numbers;
use super::untold::Untold;
use crate::act::executor::{self, Judge, Surroundings, Swept, Writer};
use crate::core::model::{
    Candidate, Candidates, Chances, Class, Entry, EntryId, Flush, Judged, Pace, ProtocolGroup, Scan, Settings,
};
use crate::core::policy::{OwnHost, Protection};
use crate::core::sieve::{SharedSightings, Sieve};
use crate::core::state::{Identify, Ledger, Observations, Weighing};
use crate::error::Result;
use crate::facts::gauge::Gauge;
use crate::linux::clock;
use crate::linux::socket::explain;
use crate::linux::table::Walk;

/// A flush goes on where the last one left the table, if that was no longer ago: what has become idle in the meantime
/// is in the part behind.
const KEEP_PLACE: Duration = Duration::from_secs(10);

/// Counts a dump by source while it is swept.
pub struct Recount {
    identify: Identify,
    /// Counts of the dump.
    pub ledger: Ledger,
}

impl Recount {
    /// Makes an empty count with room for `entries`; `remember`: each of them is to be known by what the kernel finds
    /// it by.
    pub fn new(identify: Identify, entries: u64, remember: bool) -> Self {
        let ledger = Ledger::with_room(usize::try_from(entries).unwrap_or(0));
        let ledger = if remember { ledger.remembering(identify.clone()) } else { ledger };
        Recount { identify, ledger }
    }

    fn see(&mut self, entry: &Entry) {
        let group = ProtocolGroup::of(entry.original.protocol);
        let fingerprint = self.identify.entry(entry);
        self.ledger.insert(fingerprint, entry.source_key(), group, 0);
        self.ledger.remember(fingerprint, || EntryId::from(entry));
    }
}

/// State that sweeps need and leave behind.
pub struct Sweeper {
    protection: Protection,
    identify: Identify,
    sightings: SharedSightings,
    numbers: Arc<Numbers>,
    observations: Observations,
    /// Entries that may go, as far as the last scan saw and that were not asked for since.
    candidates: Candidates,
    /// Entries that spoke in their grace, of which listeners are to be told.
    pub(super) untold: Untold,
    /// Place at which the last flush left the table.
    left: Option<Walk>,
    /// Means by which the next sweep weighs sources, if it is to.
    pub weighing: Option<Weighing>,
    /// The last scan; after a flush that stopped early, corrected by what went.
    pub last: Option<Scan>,
}

impl Sweeper {
    /// With the protection that holds now.
    pub fn new(
        settings: &Settings,
        own: OwnHost,
        identify: &Identify,
        sightings: &SharedSightings,
        numbers: &Arc<Numbers>,
    ) -> Self {
        Sweeper {
            numbers: numbers.clone(),
            protection: Protection::new(settings.protect.clone(), own),
            identify: identify.clone(),
            sightings: sightings.clone(),
            observations: Observations::default(),
            candidates: Candidates::default(),
            untold: Untold::default(),
            left: None,
            weighing: None,
            last: None,
        }
    }

    /// Other settings hold; what was seen under the old ones is forgotten.
    pub fn configure(&mut self, settings: &Settings, own: OwnHost) {
        self.protection = Protection::new(settings.protect.clone(), own);
        self.last = None;
        self.left = None;
        self.candidates.clear();
    }

    /// In calm the kernel need not keep a place for long: older ones hold on to the entry there
    /// (`ctnetlink_dump_table`).
    pub fn rest(&mut self) {
        self.left.take_if(|walk| walk.age() > KEEP_PLACE);
    }

    /// Observations of earlier scans.
    pub fn observations(&self) -> &Observations {
        &self.observations
    }

    /// The second chances that run.
    pub fn chances(&mut self) -> Chances {
        self.observations.chances.facts(clock::boottime_seconds() as u32)
    }

    /// One sweep; see [`executor::sweep`].
    ///
    /// # Errors
    /// Exit 3 where the table cannot be dumped.
    pub fn sweep(
        &mut self,
        gauge: &mut Gauge,
        writer: &mut dyn Writer,
        flushes: &[&Flush],
        pace: &Pace,
        settings: &Settings,
        recount: Option<&mut Recount>,
    ) -> Result<Swept> {
        let started = Instant::now();
        self.protection = Protection::new(settings.protect.clone(), gauge.look_at_host().clone());
        let (buckets, before) = (gauge.buckets()?, gauge.count()?);
        let may_ask = may_ask(flushes) && !writer.dry();
        // A scan is of the whole table; and so is what weighs it.
        let left = &mut self.left;
        left.take_if(|walk| !may_ask || walk.age() > KEEP_PLACE);
        let grounds = gauge.grounds();
        let mut sieve = Sieve::new(
            &settings.flush,
            &self.protection,
            &self.identify,
            self.sightings.clone(),
            &mut self.observations,
            grounds,
        );
        if let Some(weighing) = self.weighing.take() {
            sieve.weigh(weighing);
        }
        let numbers = self.numbers.clone();
        let new_before = numbers.new.load(Relaxed);
        let candidates = &mut self.candidates;
        let mut asks: Vec<Class> = flushes.iter().map(|flush| flush.class).collect();
        let walk_seconds = self.last.as_ref().map_or(0.0, |scan| scan.duration_seconds);
        if !may_ask || !shorter_to_ask(candidates.len() as u64, before, walk_seconds) {
            asks.clear();
        }
        let announces = gauge.heard_by_others();
        let mut view = SweepView {
            announces,
            untold: &mut self.untold,
            sieve,
            gauge,
            recount,
            candidates,
            asks,
            numbers,
            new_before,
            seen: 0,
        };
        let swept = executor::sweep(writer, flushes, pace, left, &mut view);
        let swept = swept.map_err(|error| explain("conntrack dump", &error))?;
        let SweepView { sieve, gauge, seen, .. } = view;
        let after = gauge.count()?;
        // Entries that came and went meanwhile may be missing or seen; a larger difference is a dump in doubt.
        let slack = 1000 + before.max(after) / 20 + before.abs_diff(after);
        let expected = before.max(after).saturating_add(swept.deleted.gone());
        let near = seen <= expected + slack && (!swept.whole || seen + slack >= before.min(after));
        let trusted = gauge.buckets()? == buckets && swept.unreadable == 0 && near;
        let scan =
            sieve.finish(clock::boottime_seconds(), started.elapsed().as_secs_f64(), swept.whole, trusted);
        let dry = writer.dry();
        // Entries that a dry run would have taken are still there, and were not counted.
        if dry && !flushes.is_empty() {
            return Ok(swept);
        }
        if swept.whole {
            self.last = Some(scan);
        }
        let Some(last) = &mut self.last else { return Ok(swept) };
        for (flush, n) in flushes.iter().zip(&swept.freed) {
            match flush.grace_seconds {
                Some(_) => last.given_grace(flush.class, *n),
                // Entries that went were not counted by a scan of the whole table.
                None if swept.whole => {}
                None if flush.lifts_protection => last.freed_of_protected(flush.class, *n),
                None => last.freed(flush.class, *n),
            }
        }
        Ok(swept)
    }
}

/// True if known candidates may be asked for before the table is walked. To ask for an entry takes twice what it
/// takes to meet it in a dump, and waits for whoever else asks or writes (`nfnl_lock`): only where few of many are
/// wanted it is the shorter way. Acts other than flushes by class weigh the whole table.
fn may_ask(flushes: &[&Flush]) -> bool {
    let by_class =
        |flush: &&Flush| flush.share.is_none() && flush.grace_seconds.is_none() && !flush.lifts_protection;
    !flushes.is_empty() && flushes.iter().all(by_class)
}

/// True if `candidates` are asked for one by one, which takes twice as long for each as to meet it in a dump: they
/// are few of the `entries`, or the table is walked for those of other namespaces. A dump goes through all buckets of
/// the host (400 entries took 1.8 s beside a million, and were old when they came).
fn shorter_to_ask(candidates: u64, entries: u64, walk_seconds: f64) -> bool {
    const SECONDS_PER_ENTRY: f64 = 1.2e-6;
    // A walk that takes up to this multiple of its own entries' time may be that of a busy machine.
    const FOR_OTHERS: f64 = 10.0;
    let few = candidates <= entries / 3;
    let walk_is_for_others = walk_seconds >= FOR_OTHERS * SECONDS_PER_ENTRY * entries.max(candidates) as f64;
    few || (walk_is_for_others && walk_seconds > 0.02)
}

struct SweepView<'a, 'b> {
    /// Somebody listens to updates.
    announces: bool,
    untold: &'b mut Untold,
    sieve: Sieve<'a>,
    gauge: &'b mut Gauge,
    recount: Option<&'b mut Recount>,
    candidates: &'b mut Candidates,
    /// Those of these classes are asked for.
    asks: Vec<Class>,
    numbers: Arc<Numbers>,
    new_before: u64,
    seen: u64,
}

impl Judge for SweepView<'_, '_> {
    fn judge(&mut self, entry: &Entry) -> Option<Judged> {
        self.seen += 1;
        if let Some(recount) = &mut self.recount {
            recount.see(entry);
        }
        let judged = self.sieve.judge(entry);
        if judged.spoke && self.announces {
            self.untold.add(entry);
        }
        Some(judged)
    }

    fn stays(&mut self, entry: &Entry, judged: &Judged) {
        self.sieve.count(judged);
        if let Some(class) = judged.class.filter(|_| judged.eligible) {
            self.candidates.remember(Candidate::new(class, entry));
        }
    }

    fn given_grace(&mut self, entry: &Entry, idle_seconds: u32, grace_seconds: u32) {
        self.sieve.given_grace(entry, idle_seconds, grace_seconds, clock::boottime_seconds() as u32);
    }
}

impl Surroundings for SweepView<'_, '_> {
    fn refresh(&mut self) {
        let grounds = self.gauge.grounds();
        self.sieve.refresh(grounds);
    }

    fn count(&mut self) -> Option<u64> {
        self.gauge.count().ok()
    }

    fn candidates(&mut self) -> Vec<Candidate> {
        self.candidates.take(|class| self.asks.contains(&class))
    }

    fn not_asked(&mut self, candidates: &[Candidate]) {
        candidates.iter().for_each(|candidate| self.candidates.remember(*candidate));
    }

    fn dump_begins(&mut self) {
        self.sieve.recount();
        self.candidates.clear();
        self.seen = 0;
    }

    fn outdated(&mut self) -> bool {
        self.gauge.hear_policies()
    }

    fn coming_per_second(&self) -> u64 {
        self.numbers.growing_per_second.load(Relaxed)
    }

    fn came(&self) -> u64 {
        self.numbers.new.load(Relaxed).saturating_sub(self.new_before)
    }

    fn halted(&self) -> bool {
        self.numbers.halt.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_many_are_asked_for_and_those_of_a_small_namespace_beside_a_huge_one() {
        assert!(shorter_to_ask(20_000, 60_000, 0.1) && !shorter_to_ask(20_001, 60_000, 0.1));
        assert!(shorter_to_ask(400, 430, 1.8) && !shorter_to_ask(400, 430, 0.02));
        assert!(!shorter_to_ask(400, 430, 0.0), "no scan was made yet");
        assert!(!shorter_to_ask(65_536, 65_536, 0.2), "a busy machine");
    }
}
