//! One entry after the other, as the agent would judge it: what `list` prints and `flush` chooses from.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::Target;
use crate::error::{Error, Result};
use crate::gauge::Gauge;
use crate::kernel::attribute::Malformed;
use crate::kernel::request;
use crate::kernel::socket::{Netlink, explain};
use crate::kernel::table::{self, Chunk};
use crate::model::{Detail, Entry, Filters, Settings, Verdict};
use crate::policy::Protection;
use crate::sieve::{SharedSightings, Sieve};
use crate::state::{Identify, Observations};

/// A dump that goes on after its last entry went starts that bucket again (`ctnetlink_dump_table`): doubles are near.
const RECENT: usize = 256;

/// How often what the judgement rests on is read again: a dump lasts as long as its reader takes.
const REFRESH: Duration = Duration::from_millis(250);

/// The last few entries of a dump, to know doubles by.
pub(super) struct Recent<'a> {
    identify: &'a Identify,
    fingerprints: VecDeque<u64>,
}

impl<'a> Recent<'a> {
    pub(super) fn new(identify: &'a Identify) -> Self {
        Recent { identify, fingerprints: VecDeque::with_capacity(RECENT) }
    }

    /// True for an entry that was not seen a moment ago.
    pub(super) fn is_new(&mut self, entry: &Entry) -> bool {
        let fingerprint = self.identify.entry(entry);
        if self.fingerprints.contains(&fingerprint) {
            return false;
        }
        if self.fingerprints.len() == RECENT {
            self.fingerprints.pop_front();
        }
        self.fingerprints.push_back(fingerprint);
        true
    }
}

/// Goes through the table for a command, in constant memory: nothing is remembered of an entry that was handed on,
/// but that children name their masters.
pub(super) struct Looker<'a> {
    gauge: Gauge,
    settings: &'a Settings,
    filters: &'a Filters,
    identify: Identify,
    sightings: SharedSightings,
    children: bool,
}

/// What a walk met besides entries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walked {
    /// It went through the whole table.
    pub whole: bool,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// The table was resized meanwhile: entries may be missing, or there twice.
    pub resized: bool,
    /// Entries that were asked for by their identities.
    pub asked: u64,
    /// Those of them that are there still, wanted or not.
    pub there: u64,
}

impl Walked {
    /// # Errors
    /// Exit 3 where entries may be missing from what was handed on.
    pub(super) fn trusted(self) -> Result<()> {
        let error = |why: &str| Err(Error::unreachable("conntrack dump", why).hint("run it again"));
        match self {
            Walked { resized: true, .. } => {
                error("the table was resized meanwhile: entries may be missing or there twice")
            }
            Walked { unreadable: 1.., .. } => error("part of it could not be read"),
            _ => Ok(()),
        }
    }
}

impl<'a> Looker<'a> {
    pub(super) fn open(target: &Target, settings: &'a Settings, filters: &'a Filters) -> Result<Self> {
        let looker = Self::with(target.gauge(settings)?, settings, filters);
        Ok(Looker { sightings: target.sightings(), ..looker })
    }

    pub(super) fn with(gauge: Gauge, settings: &'a Settings, filters: &'a Filters) -> Self {
        let (identify, sightings) = (Identify::default(), SharedSightings::default());
        Looker { gauge, settings, filters, identify, sightings, children: false }
    }

    /// A walk met an entry that another one expected.
    pub(super) fn saw_children(&self) -> bool {
        self.children
    }

    /// Hands on every entry that the filters want, with its verdict, and after each chunk asks `breathe` whether to go
    /// on.
    pub(super) fn entries(
        &mut self,
        mut each: impl FnMut(&Entry, &Verdict, Instant),
        breathe: impl FnMut() -> bool,
    ) -> Result<Walked> {
        let read = |chunk: &Chunk<'_>| chunk.entries().collect::<Vec<_>>();
        self.walk(None, read, |entry| entry, |entry, verdict, seen| each(entry, verdict, seen), breathe)
    }

    /// The same of these alone, asked for by their identities: what is there no more, or is another by now, is left out,
    /// and counted by what `asked` has more than `there`.
    pub(super) fn again(
        &mut self,
        these: &[Entry],
        mut each: impl FnMut(&Entry, &Verdict, Instant),
        breathe: impl FnMut() -> bool,
    ) -> Result<Walked> {
        let read = |chunk: &Chunk<'_>| chunk.entries().collect::<Vec<_>>();
        self.walk(
            Some(these),
            read,
            |entry| entry,
            |entry, verdict, seen| each(entry, verdict, seen),
            breathe,
        )
    }

    /// The whole table, with every attribute that the kernel tells.
    pub(super) fn details(
        &mut self,
        mut each: impl FnMut(&Detail),
        breathe: impl FnMut() -> bool,
    ) -> Result<Walked> {
        let read = |chunk: &Chunk<'_>| chunk.details().collect::<Vec<_>>();
        self.walk(None, read, |detail| &detail.entry, |detail, _, _| each(detail), breathe)
    }

    fn walk<T>(
        &mut self,
        these: Option<&[Entry]>,
        read: impl Fn(&Chunk<'_>) -> Vec<std::result::Result<T, Malformed>>,
        entry_of: impl Fn(&T) -> &Entry,
        mut each: impl FnMut(&T, &Verdict, Instant),
        mut breathe: impl FnMut() -> bool,
    ) -> Result<Walked> {
        let (gauge, filters, flush) = (&mut self.gauge, self.filters, &self.settings.flush);
        let children = &mut self.children;
        let protection = Protection::new(self.settings.protect.clone(), gauge.look_at_host().clone());
        let mut observations = Observations::none();
        let (buckets, grounds) = (gauge.buckets()?, gauge.grounds());
        let sightings = self.sightings.clone();
        let mut sieve = Sieve::new(flush, &protection, &self.identify, sightings, &mut observations, grounds);
        let mut recent = Recent::new(&self.identify);
        let (mut walked, mut refreshed) = (Walked { whole: true, ..Walked::default() }, Instant::now());
        let identities: Option<HashSet<u64>> =
            these.map(|these| these.iter().map(|entry| self.identify.entry(entry)).collect());
        let meant = |entry: &Entry| {
            identities.as_ref().is_none_or(|known| known.contains(&self.identify.entry(entry)))
        };
        let chunk = |chunk: &Chunk<'_>| {
            if refreshed.elapsed() >= REFRESH {
                sieve.refresh(gauge.grounds());
                refreshed = Instant::now();
            }
            for item in read(chunk) {
                let Ok(item) = item else {
                    walked.unreadable += 1;
                    continue;
                };
                let entry = entry_of(&item);
                // A child names its master whoever wants it.
                *children |= entry.master.is_some();
                if these.is_some() {
                    if !meant(entry) {
                        continue;
                    }
                    walked.there += 1;
                }
                if entry.master.is_none() && !filters.may_match(entry) {
                    continue;
                }
                let judged = sieve.judge(entry);
                if filters.matches(entry, judged.idle_seconds) && recent.is_new(entry) {
                    each(&item, &judged.verdict(entry, flush), chunk.filled_after);
                }
            }
            walked.whole = breathe();
            walked.whole
        };
        // Entries are read through one socket while grounds are read through another.
        let netlink = &mut Netlink::open()?;
        let asked = match these {
            None => table::dump_of(netlink, filters.family(), chunk).map(|()| 0),
            Some(these) => table::recall(netlink, these, chunk),
        };
        let asked = asked.map_err(|error| explain("conntrack dump", &error))?;
        // What cannot be asked for exactly was not.
        let known = these.into_iter().flatten().take(asked);
        walked.asked = known.filter(|entry| request::identifiable(entry).is_ok()).count() as u64;
        // Who is asked for by tuple is found however many buckets there are.
        walked.resized = these.is_none() && gauge.buckets()? != buckets;
        Ok(walked)
    }
}
