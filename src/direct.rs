//! The answers straight from the kernel, with no agent: one dump, one set of facts, the same policy.

mod beside;
mod events;
mod everywhere;
mod flush;
mod handing;
mod known;
mod list;
mod look;
mod masters;
mod meter;
mod ranking;
mod recent;
mod victims;
mod walked;
mod walks;
mod whole;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use meter::Meter;
pub use ranking::ranking;

use crate::act::executor::{self, DryWriter, Judge, Surroundings, Swept, Writer};
use crate::act::journal::{Baseline, Journal, TimeoutsSeen};
use crate::act::recovery::{self, Keeper};
use crate::core::model::{
    Basis, Draft, Entry, HandFlush, Header, Judged, KnowledgeDocument, Netns, Pace, PlanDocument,
    RevertDocument, Scan, Settings, Snapshot, SnapshotDocument, StatusDocument, Value,
};
use crate::core::policy::{self, Memory, Protection};
use crate::core::sieve::{SharedSightings, Sieve};
use crate::core::state::{Completeness, Dumped, Identify, Observations, SecondChances, Weighing};
use crate::error::{Error, Result};
use crate::facts::documents;
use crate::facts::gauge::{Gauge, NamespaceValues};
use crate::linux::modules::{Asking, Modules};
use crate::linux::netns::Namespace;
use crate::linux::socket::explain;
use crate::linux::{clock, process, sysctl};

pub use beside::KnowsEntries;

pub use crate::linux::netns::name_of_spec;
pub use crate::linux::stop::{ask_to_stop, until_continued};
use beside::Beside;
pub use events::{Told, events};
pub use everywhere::everywhere;
pub use flush::{Flush, Flushed, Preview, Wish};
pub use known::Known;
pub use list::{NotListed, Sink, list, list_details, list_loading_nothing};
use masters::Masters;
use recent::Recent;

/// A network namespace that the calling thread has entered.
pub struct Target {
    namespace: Namespace,
    others_write: bool,
    beside: Option<Beside>,
}

impl Target {
    /// Resolves the namespace.
    ///
    /// # Errors
    /// Exit 3 if there is no such namespace or this user may not look at it.
    pub fn resolve(netns: Option<&str>) -> Result<Target> {
        Ok(Target { namespace: Namespace::resolve(netns)?, others_write: false, beside: None })
    }

    /// A target where another program writes entries and nobody here knows which: the time left of none proves that
    /// it is idle.
    ///
    /// # Errors
    /// As dup(2).
    pub fn where_others_write(&self) -> Result<Target> {
        Ok(Target { namespace: self.clone_namespace()?, others_write: true, beside: None })
    }

    /// A target beside an agent that is asked of what one look at the table leaves unknown. `first`: its answer to a
    /// question of no entry.
    ///
    /// # Errors
    /// As dup(2).
    pub fn beside(
        &self,
        agent: Arc<Mutex<dyn KnowsEntries + Send>>,
        first: &KnowledgeDocument,
    ) -> Result<Target> {
        let beside = Some(Beside::new(agent, first));
        Ok(Target { namespace: self.clone_namespace()?, others_write: false, beside })
    }

    /// The agent beside it heard another program write entries.
    pub fn others_update(&self) -> bool {
        self.others_write || self.beside.as_ref().is_some_and(Beside::others_update)
    }

    fn is_beside_agent(&self) -> bool {
        self.beside.is_some()
    }

    fn clone_namespace(&self) -> Result<Namespace> {
        let failed = |error| Error::unreachable("network namespace", error);
        self.namespace.try_clone().map_err(failed)
    }

    /// Its name and inode.
    pub fn netns(&self) -> &Netns {
        self.namespace.netns()
    }

    /// The namespace itself.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Facts of other writers before anything was looked at.
    fn sightings(&self) -> SharedSightings {
        let sightings = SharedSightings::default();
        if self.others_write {
            sightings.write().unwrap_or_else(PoisonError::into_inner).deaf();
        }
        sightings
    }

    /// For who only looks: nothing is asked that would load a module beside ctnetlink's own.
    fn gauge(&self, settings: &Settings) -> Result<Gauge> {
        self.gauge_asking(settings, looking())
    }

    fn gauge_asking(&self, settings: &Settings, asking: Asking) -> Result<Gauge> {
        self.namespace.enter()?;
        let mut gauge = Gauge::open(&self.namespace, asking)?;
        let dir = state_dir(self.netns(), settings);
        gauge.remember_beside(&TimeoutsSeen::load(&dir, &clock::boot_id(), self.netns().inode));
        if let Some(seen) = self.beside.as_ref().and_then(Beside::seen) {
            gauge.believe(seen);
        }
        Ok(gauge)
    }
}

/// Questions of a command that only looks: those that loaded modules answer.
fn looking() -> Asking {
    Asking::Only(Modules::running(&sysctl::kernel_release()))
}

/// The time of day as documents have it: RFC 3339 in UTC, always with microseconds.
pub fn now() -> String {
    clock::now_rfc3339()
}

/// Head of a document of this moment.
pub fn header(target: &Target) -> Header {
    documents::header(target.netns(), clock::now_rfc3339())
}

/// Directory in which an agent that runs as root keeps the baseline of max and buckets, beside the lease on them.
pub const HOST_DIR: &str = "/run/ctctl/host";

/// Directory in which the agent of a namespace keeps baseline and journal.
pub fn state_dir(netns: &Netns, settings: &Settings) -> PathBuf {
    settings.agent.state_dir.clone().unwrap_or_else(|| PathBuf::from("/var/lib/ctctl").join(netns.key()))
}

/// Directories in which agents keep the baselines of a namespace: of its own values, and of the host's.
pub fn baseline_dirs(netns: &Netns, settings: &Settings) -> [PathBuf; 2] {
    [state_dir(netns, settings), PathBuf::from(HOST_DIR)]
}

/// `status`.
///
/// # Errors
/// Exit 3 where the kernel cannot be read.
pub fn status(target: &Target, settings: &Settings) -> Result<StatusDocument> {
    let snapshot = facts(target, settings)?;
    let (plan, _) = policy::decide(&snapshot, &Memory::once(), settings);
    let header = header(target);
    Ok(documents::status(header, &snapshot, &plan, settings, &found(target, settings)))
}

/// The values that an agent found before it changed them, as far as it left word.
fn found(target: &Target, settings: &Settings) -> BTreeMap<Value, u64> {
    let dir = state_dir(target.netns(), settings);
    let baseline = Baseline::peek(&dir, &clock::boot_id(), target.netns().inode);
    baseline.iter().flat_map(|b| &b.values).map(|(name, held)| (*name, held.found)).collect()
}

/// `plan`.
///
/// # Errors
/// As [`status`].
pub fn plan(target: &Target, settings: &Settings) -> Result<PlanDocument> {
    let snapshot = facts(target, settings)?;
    // From nothing: the table is as full as it is, and nothing was seen before.
    let (plan, _) = policy::decide(&snapshot, &Memory::once(), settings);
    Ok(documents::plan(header(target), &snapshot, &plan))
}

/// `plan --snapshot`: all that [`plan`] is made of.
///
/// # Errors
/// As [`status`].
pub fn recorded(target: &Target, settings: &Settings) -> Result<SnapshotDocument> {
    let snapshot = facts(target, settings)?;
    let header = header(target);
    Ok(documents::recorded(header, Basis::Dump, &snapshot, &Memory::once(), settings))
}

fn facts(target: &Target, settings: &Settings) -> Result<Snapshot> {
    let mut gauge = target.gauge(settings)?;
    let mut snapshot = gauge.snapshot()?;
    // Masters are known before, so that none of them is said to be free to go.
    let (identify, sightings) = (Identify::default(), target.sightings());
    if let Some(masters) = Masters::look(identify.clone(), sightings.clone(), Duration::ZERO)? {
        masters.wait()?;
    }
    let mut scan = |weigh| {
        let (gauge, identify, sightings) = (&mut gauge, &identify, &sightings);
        Scanning { gauge, settings, weigh, identify, sightings, heed: &mut Unheeded }.scan()
    };
    let first = scan(false)?;
    snapshot.now_seconds = snapshot.now_seconds.max(first.at_seconds);
    snapshot.scan = Some(first);
    snapshot.chances.room = SecondChances::BOUND as u64;
    if policy::decide(&snapshot, &Memory::once(), settings).0.weigh {
        snapshot.scan = Some(scan(true)?);
    }
    // A scan that took a while is not one from the future: the facts are as of its end.
    let ended = snapshot.scan.as_ref().map_or(0.0, |scan| scan.at_seconds);
    snapshot.now_seconds = snapshot.now_seconds.max(ended);
    Ok(snapshot)
}

/// `revert` without an agent.
///
/// # Errors
/// Exit 1 where nothing is known to be changed, 3 where values cannot be written.
pub fn revert(
    target: &Target,
    settings: &Settings,
    left: Option<&Path>,
    force: bool,
) -> Result<RevertDocument> {
    target.namespace.enter()?;
    let dir = state_dir(target.netns(), settings);
    if let Some(socket) = left.filter(|_| !dir.exists()) {
        return Err(recovery::directory_lost(&dir, socket));
    }
    let boot_id = clock::boot_id();
    let mut keeper = Keeper::found(&dir, &boot_id, target.netns())?.beside(Path::new(HOST_DIR));
    let values = NamespaceValues::open()?;
    let entries = policy::fullest_entries(&Gauge::open(&target.namespace, looking())?.snapshot()?);
    let rows = keeper.restore(&values, entries, settings.pressure.low_percent, force);
    keeper.close();
    if !rows.is_empty() {
        let mut journal = Journal::open(&dir, &boot_id, target.netns().clone());
        let id = journal.next_id();
        for row in &rows {
            journal.append(Draft { by: Some(process::this()), ..Draft::reverted(id, row) });
        }
    }
    let mut document = documents::reverted(header(target), rows);
    document.waiting.extend(keeper.set_aside().map(str::to_owned));
    Ok(document)
}

/// Keeps in the journal, without an agent, what was deleted by hand; where there has been no agent there is no journal
/// to keep it in.
pub fn record_flush(target: &Target, settings: &Settings, flush: HandFlush) {
    let dir = state_dir(target.netns(), settings);
    if !dir.is_dir() {
        return;
    }
    let mut journal = Journal::open(&dir, &clock::boot_id(), target.netns().clone());
    let id = journal.next_id();
    journal.append(Draft { by: Some(process::this()), ..Draft::by_hand(id, flush) });
}

/// Takes the entries of a scan.
trait Heed {
    /// A dump begins; what was told so far is told again.
    fn begins(&mut self);
    /// One entry, once.
    fn entry(&mut self, entry: &Entry, judged: &Judged);
}

/// A scan for its sums alone.
struct Unheeded;

impl Heed for Unheeded {
    fn begins(&mut self) {}
    fn entry(&mut self, _: &Entry, _: &Judged) {}
}

/// A scan of the whole table for a command.
struct Scanning<'a> {
    gauge: &'a mut Gauge,
    settings: &'a Settings,
    /// The sources that hold the table are weighed as well.
    weigh: bool,
    identify: &'a Identify,
    /// Facts that are known of entries before, by how `identify` names them.
    sightings: &'a SharedSightings,
    heed: &'a mut dyn Heed,
}

impl Scanning<'_> {
    /// Scans. A dump from which entries may be missing is repeated; after a few of them the last is handed on as not
    /// trusted.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read.
    fn scan(mut self) -> Result<Scan> {
        let mut completeness = Completeness::default();
        for attempt in 1.. {
            let (mut scan, dumped) = self.dump()?;
            let whole = completeness.reached_by(dumped);
            scan.trusted &= whole;
            if whole || attempt == Completeness::ATTEMPTS {
                return Ok(scan);
            }
        }
        unreachable!("the attempts end");
    }

    fn dump(&mut self) -> Result<(Scan, Dumped)> {
        let Scanning { gauge, settings, weigh, identify, sightings, heed } = self;
        let mut observations = Observations::none();
        let protection = Protection::new(settings.protect.clone(), gauge.look_at_host().clone());
        let started = Instant::now();
        let grounds = gauge.grounds();
        let (flush, sightings) = (&settings.flush, sightings.clone());
        let mut sieve = Sieve::new(flush, &protection, identify, sightings, &mut observations, grounds);
        if *weigh {
            // Without an agent nobody knows which sources are new: all are as good as old.
            sieve.weigh(Weighing::new(&settings.flush, HashSet::new()));
        }
        heed.begins();
        let watch = gauge.values().watch_buckets()?;
        let mut dumped = Dumped::begins(gauge.count()?);
        let recent = Recent::new(identify);
        let mut reader = Reader { sieve, recent, heed: &mut **heed, met: 0 };
        let swept = sweep(&mut reader);
        dumped.was_resized(whole::resized(watch));
        let swept = swept.map_err(|error| explain("conntrack dump", &error))?;
        dumped.meets(reader.met);
        dumped.counts(gauge.count()?);
        let trusted = swept.unreadable == 0;
        let took_seconds = started.elapsed().as_secs_f64();
        Ok((reader.sieve.finish(clock::boottime_seconds(), took_seconds, true, trusted), dumped))
    }
}

fn sweep(reader: &mut Reader<'_, '_>) -> io::Result<Swept> {
    let mut writer = DryWriter::default();
    let writer: &mut dyn Writer = &mut writer;
    let none: [&crate::core::model::Flush; 0] = [];
    executor::sweep(writer, &none, &Pace::default(), &mut None, reader)
}

struct Reader<'a, 'b> {
    sieve: Sieve<'a>,
    recent: Recent<'a>,
    heed: &'b mut dyn Heed,
    /// Entries that the dump handed over.
    met: u64,
}

impl Judge for Reader<'_, '_> {
    fn judge(&mut self, entry: &Entry) -> Option<Judged> {
        self.met += 1;
        if !self.recent.is_new(entry) {
            return None;
        }
        let judged = self.sieve.judge(entry);
        self.heed.entry(entry, &judged);
        Some(judged)
    }

    fn stays(&mut self, _: &Entry, judged: &Judged) {
        self.sieve.count(judged);
    }
}

impl Surroundings for Reader<'_, '_> {}
