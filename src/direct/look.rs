//! One entry after the other, as the agent would judge it: what `list` prints and `flush` chooses from.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use super::Target;
use super::beside::Beside;
use super::handing::{Handing, NotTold};
use super::masters::Masters;
use super::recent::Recent;
use super::walked::Walked;
use super::whole;
use crate::core::model::{Detail, Entry, Filters, Settings, UnprovenCounts, Verdict};
use crate::core::policy::Protection;
use crate::core::sieve::{SharedSightings, Sieve};
use crate::core::state::{Dumped, Identify, Observations};
use crate::error::{Error, Result};
use crate::facts::gauge::Gauge;
use crate::linux::attribute::Malformed;
use crate::linux::modules::Asking;
use crate::linux::request;
use crate::linux::socket::{Netlink, explain};
use crate::linux::table::{self, Chunk, Part, Reader};

/// Interval at which the facts that the judgement rests on are read again: a dump lasts as long as its reader takes.
const REFRESH: Duration = Duration::from_millis(250);

/// Goes through the table for a command, in constant memory: nothing is remembered of an entry that was handed on,
/// but that children name their masters.
pub(super) struct Looker<'a> {
    gauge: Gauge,
    settings: &'a Settings,
    filters: &'a Filters,
    identify: Identify,
    sightings: SharedSightings,
    beside: Option<Beside>,
    /// Filters match what is likely idle too, by timeouts that nobody saw: for who deletes nothing.
    likely: bool,
    /// Delay after the beginning of the next walk from which on masters are looked for with it; `None`: they are not.
    heeds_masters: Option<Duration>,
    /// Only what is past its floor may go.
    only_stale: bool,
    /// Entries that cannot match need not be walked through: children are looked for apart.
    part: bool,
    /// Entries of the walk under way that its caller has deleted so far.
    gone: Rc<Cell<u64>>,
}

impl<'a> Looker<'a> {
    pub(super) fn open(target: &Target, settings: &'a Settings, filters: &'a Filters) -> Result<Self> {
        Ok(Self::of(target, target.gauge(settings)?, settings, filters))
    }

    /// For who deletes: the sockets of this host are listed, whatever that loads.
    pub(super) fn open_to_delete(
        target: &Target,
        settings: &'a Settings,
        filters: &'a Filters,
    ) -> Result<Self> {
        let gauge = target.gauge_asking(settings, Asking::Anything)?;
        Ok(Self::of(target, gauge, settings, filters))
    }

    pub(super) fn of(target: &Target, gauge: Gauge, settings: &'a Settings, filters: &'a Filters) -> Self {
        let (sightings, beside) = (target.sightings(), target.beside.clone());
        Looker { sightings, beside, ..Self::with(gauge, settings, filters) }
    }

    fn with(gauge: Gauge, settings: &'a Settings, filters: &'a Filters) -> Self {
        let (identify, sightings) = (Identify::default(), SharedSightings::default());
        Looker {
            gauge,
            settings,
            filters,
            identify,
            sightings,
            beside: None,
            likely: false,
            heeds_masters: None,
            only_stale: false,
            part: false,
            gone: Rc::default(),
        }
    }

    /// The cell in which the caller writes the number of entries of the walk under way that it has deleted so far:
    /// the kernel counts fewer by those.
    pub(super) fn gone(&self) -> Rc<Cell<u64>> {
        self.gone.clone()
    }

    /// True if the last walk met all entries that there were. If its own figures leave that open, the table is dumped
    /// again, for the number of its entries alone.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read.
    pub(super) fn met_all(&mut self, walked: &Walked) -> Result<bool> {
        let dumped = &walked.dumped;
        match walked.part {
            _ if dumped.resized() => Ok(false),
            Some(Part::Whole) if dumped.is_whole() => Ok(true),
            Some(part) if part == Part::Whole || !dumped.was_steady() => {
                whole::is_confirmed(&mut self.gauge, part, dumped, 0)
            }
            _ => Ok(true),
        }
    }

    /// True if entries of the last walk, of which `deleted` went meanwhile, are known to have stayed where they were.
    /// Of the whole table the kernel's count tells, of those asked for by their identities that each was there; a
    /// part that was not watched all the time is dumped again, for the number of its entries alone.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read.
    pub(super) fn stayed(&mut self, walked: &Walked, deleted: u64) -> Result<bool> {
        let dumped = &walked.dumped;
        match walked.part {
            _ if dumped.resized() => Ok(false),
            _ if dumped.was_steady() => Ok(true),
            None => Ok(walked.there == walked.asked),
            Some(Part::Whole) => Ok(dumped.is_whole()),
            Some(part) => whole::is_confirmed(&mut self.gauge, part, dumped, deleted),
        }
    }

    /// Makes masters known before the first walk hands on entries that may go. `only_stale`: an entry that is not
    /// past its floor may not go, whatever its children are, and is handed on at once.
    pub(super) fn heeding_masters(self, only_stale: bool) -> Self {
        Looker { heeds_masters: Some(Duration::ZERO), only_stale, part: true, ..self }
    }

    /// Makes it wait for a reader that may have heard enough after a few lines.
    pub(super) fn without_haste(self) -> Self {
        const A_FEW_LINES: Duration = Duration::from_millis(20);
        Looker { heeds_masters: self.heeds_masters.map(|_| A_FEW_LINES), ..self }
    }

    /// From here on no agent is asked.
    pub(super) fn ask_nobody(&mut self) {
        self.beside = None;
    }

    /// Makes filters of idleness match entries that are idle by the timeouts that are known, for a caller that
    /// deletes nothing.
    pub(super) fn finding_likely(self) -> Self {
        Looker { likely: true, ..self }
    }

    /// Hands on every entry that the filters want, with its verdict, and after each chunk asks `breathe` whether to go
    /// on. `these`: of these alone, asked for by their identities: what is there no more, or is another by now, is left
    /// out, and counted by what `asked` has more than `there`.
    pub(super) fn entries(
        &mut self,
        these: Option<&[Entry]>,
        mut each: impl FnMut(&Entry, &Verdict, Instant),
        breathe: impl FnMut() -> bool,
    ) -> Result<Walked> {
        let read = |chunk: &Chunk<'_>| chunk.entries().collect::<Vec<_>>();
        self.walk(these, read, |entry| entry, |entry, verdict, seen| each(entry, verdict, seen), breathe)
    }

    /// The whole table or these alone, with every attribute that the kernel tells.
    pub(super) fn details(
        &mut self,
        these: Option<&[Entry]>,
        mut each: impl FnMut(&Detail),
        breathe: impl FnMut() -> bool,
    ) -> Result<Walked> {
        let read = |chunk: &Chunk<'_>| chunk.details().collect::<Vec<_>>();
        self.walk(these, read, |detail| &detail.entry, |detail, _, _| each(detail), breathe)
    }

    fn walk<T>(
        &mut self,
        these: Option<&[Entry]>,
        read: impl Fn(&Chunk<'_>) -> Vec<std::result::Result<T, Malformed>>,
        entry_of: impl Fn(&T) -> &Entry,
        each: impl FnMut(&T, &Verdict, Instant),
        breathe: impl FnMut() -> bool,
    ) -> Result<Walked> {
        let (gauge, filters, flush) = (&mut self.gauge, self.filters, &self.settings.flush);
        let gone = self.gone.clone();
        gone.set(0);
        let protection = Protection::new(self.settings.protect.clone(), gauge.look_at_host().clone());
        let mut observations = Observations::none();
        let grounds = gauge.grounds();
        let sightings = self.sightings.clone();
        let masters = match self.heeds_masters.take() {
            Some(after) => Masters::look(self.identify.clone(), sightings.clone(), after)?,
            None => None,
        };
        let sieve = Sieve::new(flush, &protection, &self.identify, sightings, &mut observations, grounds);
        let recent = Recent::new(&self.identify);
        let (held, only_stale) = (VecDeque::new(), self.only_stale);
        let handing = Handing {
            sieve,
            recent,
            filters,
            flush,
            entry_of,
            each,
            masters,
            only_stale,
            likely: self.likely,
            held,
            beside: self.beside.clone(),
            asking: Vec::new(),
            not_told: NotTold::default(),
        };
        let identities = these.map(|these| these.iter().map(|entry| self.identify.entry(entry)).collect());
        let mut walking = Walking {
            handing,
            gauge,
            read,
            breathe,
            identify: &self.identify,
            identities,
            gone: gone.clone(),
            walked: Walked {
                whole: true,
                unreadable: 0,
                dumped: Dumped::begins(0),
                part: None,
                asked: 0,
                there: 0,
                unproven: UnprovenCounts::default(),
                not_told: 0,
            },
            refreshed: Instant::now(),
            failure: None,
        };
        // Entries are read through one socket while grounds are read through another.
        let netlink = &mut Netlink::open()?;
        let part = match filters.only_source().filter(|_| self.part) {
            Some(IpAddr::V4(source)) => Part::From(source),
            _ => filters.family().map_or(Part::Whole, Part::Of),
        };
        // Both keep a CPU each within the kernel; of a whole table it is two threads here that share the work.
        let filtered = these.is_none() && matches!(part, Part::From(_));
        let _stays = walking.handing.masters.as_ref().filter(|_| filtered).and_then(Masters::stay_beside);
        // A lookup by tuple misses entries that are being moved as well (`nf_conntrack_find_get` takes no lock).
        let watch = walking.gauge.values().watch_buckets()?;
        walking.walked.part = these.is_none().then_some(part);
        walking.walked.dumped = Dumped::begins(walking.gauge.count()?);
        let asked = match these {
            None => table::dump_of(netlink, part, &mut walking).map(|()| 0),
            Some(these) => {
                walking.begun();
                table::recall(netlink, these, |chunk| walking.chunk(chunk))
            }
        };
        let resized = whole::resized(watch);
        let asked = asked.map_err(|error| explain("conntrack dump", &error))?;
        let mut walked = walking.end()?;
        // An entry that cannot be asked for exactly was not.
        let known = these.into_iter().flatten().take(asked);
        walked.asked = known.filter(|entry| request::identifiable(entry).is_ok()).count() as u64;
        walked.dumped.was_resized(resized);
        walked.dumped.counts(gauge.count()? + gone.get());
        Ok(walked)
    }
}

/// A walk under way.
struct Walking<'w, 'a, T, R, O, E, B> {
    handing: Handing<'a, T, O, E>,
    gauge: &'w mut Gauge,
    read: R,
    breathe: B,
    identify: &'a Identify,
    /// Of those that were asked for, where not all are.
    identities: Option<HashSet<u64>>,
    gone: Rc<Cell<u64>>,
    walked: Walked,
    refreshed: Instant,
    failure: Option<Error>,
}

impl<T, R, O, E, B> Walking<'_, '_, T, R, O, E, B>
where
    R: Fn(&Chunk<'_>) -> Vec<std::result::Result<T, Malformed>>,
    O: Fn(&T) -> &Entry,
    E: FnMut(&T, &Verdict, Instant),
    B: FnMut() -> bool,
{
    fn take(&mut self, chunk: &Chunk<'_>) -> Result<()> {
        if self.refreshed.elapsed() >= REFRESH {
            self.handing.sieve.refresh(self.gauge.grounds());
            self.walked.dumped.counts(self.gauge.count()? + self.gone.get());
            self.refreshed = Instant::now();
        }
        let items = (self.read)(chunk);
        self.walked.dumped.meets(items.len() as u64);
        for item in items {
            let Ok(item) = item else {
                self.walked.unreadable += 1;
                continue;
            };
            if let Some(identities) = &self.identities {
                if !identities.contains(&self.identify.entry((self.handing.entry_of)(&item))) {
                    continue;
                }
                self.walked.there += 1;
            }
            self.handing.meet(item, chunk.filled_after)?;
        }
        Ok(())
    }

    /// Notes a failure, and asks whether to go on.
    fn goes_on<U>(&mut self, done: Result<U>) -> bool {
        self.failure = self.failure.take().or(done.err());
        self.walked.whole = self.failure.is_none() && (self.breathe)();
        self.walked.whole
    }

    /// Hands on what is still held, where the whole was walked.
    fn end(mut self) -> Result<Walked> {
        if self.walked.whole {
            let released = self.handing.release();
            self.goes_on(released);
        }
        let NotTold { unproven, by_agent } = self.handing.not_told;
        let walked = Walked { unproven, not_told: by_agent, ..self.walked };
        self.failure.map_or(Ok(walked), Err)
    }
}

impl<T, R, O, E, B> Reader for Walking<'_, '_, T, R, O, E, B>
where
    R: Fn(&Chunk<'_>) -> Vec<std::result::Result<T, Malformed>>,
    O: Fn(&T) -> &Entry,
    E: FnMut(&T, &Verdict, Instant),
    B: FnMut() -> bool,
{
    fn begun(&mut self) {
        self.handing.masters.iter().for_each(Masters::begin);
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> bool {
        // A reader that had enough in a lull ends the walk here.
        if !self.walked.whole {
            return false;
        }
        let taken = self.take(chunk);
        self.goes_on(taken)
    }

    fn lull(&mut self) -> bool {
        match self.handing.release_some() {
            Ok(false) => false,
            done => self.goes_on(done),
        }
    }
}
