//! `top-sources` from a dump, and for new entries from a moment of listening.

use std::time::{Duration, Instant};

use super::look::Looker;
use super::{Heed, Scanning, Target};
use crate::core::model::{
    Basis, Entry, EventKind, Filters, Judged, Question, Ranking, Settings, SortBy, Verdict,
};
use crate::core::state::{Completeness, GroupCounts, Identify, Known};
use crate::error::Result;
use crate::facts::documents;
use crate::linux::clock;
use crate::linux::listener::Listener;
use crate::linux::socket::explain;

/// Room for some 13,000 new entries that come while the ones before are counted.
const BUFFER_BYTES: usize = 16 << 20;
/// System calls before the clock is looked at again.
const BATCHES: usize = 32;

/// Counts the entries that are `wanted` (by themselves and their idleness in seconds, as far as it is known or
/// likely; with `idleness` it matters to that) by the question's groups. With `listen` new ones are counted for that
/// time first; a loss meanwhile shows as not synced.
///
/// # Errors
/// Exit 3 where the kernel cannot be read or listened to.
pub fn ranking(
    target: &Target,
    settings: &Settings,
    question: &Question,
    listen: Option<Duration>,
    idleness: bool,
    wanted: &dyn Fn(&Entry, Option<u32>) -> bool,
) -> Result<Ranking> {
    let mut gauge = target.gauge(settings)?;
    let mut counting = Counting { wanted, counts: GroupCounts::new(*question) };
    let (mut heard_all, mut listened_seconds) = (true, None);
    if let Some(span) = listen {
        let (seconds, lost) = hear(span, &mut |entry| {
            if wanted(entry, None) {
                counting.counts.born(entry);
            }
        })?;
        (listened_seconds, heard_all) = (Some(seconds), lost == 0);
    }
    let judged = question.rank == SortBy::Idle || idleness;
    let whole = match target.is_beside_agent() && judged {
        true => counted_beside(target, settings, &mut counting)?,
        false => {
            let (identify, sightings) = (Identify::default(), target.sightings());
            let scanning = Scanning {
                gauge: &mut gauge,
                settings,
                weigh: false,
                identify: &identify,
                sightings: &sightings,
                heed: &mut counting,
            };
            scanning.scan()?.trusted
        }
    };
    let counted = counting.counts.finish(Known { idle: true, listened_seconds });
    Ok(Ranking {
        header: documents::header(target.netns(), clock::now_rfc3339()),
        basis: Basis::Dump,
        synced: whole && heard_all,
        part_only: !whole,
        entries: counted.entries,
        grouping: question.grouping,
        total: counted.total,
        rows: counted.rows,
        names: None,
        unreadable_lines: None,
        not_told: None,
    })
}

/// Counts what is wanted of a scan.
struct Counting<'a> {
    wanted: &'a dyn Fn(&Entry, Option<u32>) -> bool,
    counts: GroupCounts,
}

/// Counts entries as the agent beside the command knows them too; whether that was all of them.
fn counted_beside(target: &Target, settings: &Settings, counting: &mut Counting<'_>) -> Result<bool> {
    let filters = Filters::default();
    for _ in 0..Completeness::ATTEMPTS {
        counting.begins();
        let mut looker = Looker::open(target, settings, &filters)?.heeding_masters(false);
        let each = |entry: &Entry, verdict: &Verdict, _| counting.listed(entry, verdict);
        let walked = looker.entries(None, each, || true)?;
        walked.trusted()?;
        if looker.met_all(&walked)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Counting<'_> {
    fn listed(&mut self, entry: &Entry, verdict: &Verdict) {
        if (self.wanted)(entry, verdict.likely_seconds()) {
            self.counts.add(entry, verdict.may_go());
        }
    }
}

impl Heed for Counting<'_> {
    fn begins(&mut self) {
        self.counts.recount();
    }

    fn entry(&mut self, entry: &Entry, judged: &Judged) {
        if (self.wanted)(entry, judged.presumed_seconds.max(judged.idle_seconds)) {
            self.counts.add(entry, judged.may_go(entry));
        }
    }
}

/// Hands over every entry that begins within `span`; how long that was in seconds, and how many were lost.
fn hear(span: Duration, each: &mut dyn FnMut(&Entry)) -> Result<(f64, u64)> {
    let mut listener = Listener::open_kinds(BUFFER_BYTES, &[EventKind::New])?;
    let started = Instant::now();
    let mut unreadable = 0;
    let cannot = |error| explain("conntrack events", &error);
    loop {
        let met = listener.drain(BATCHES, |event| each(&event.entry)).map_err(cannot)?;
        unreadable += met.unreadable;
        let left = span.saturating_sub(started.elapsed());
        if left.is_zero() {
            break;
        }
        if !met.more {
            listener.wait(left).map_err(cannot)?;
        }
    }
    let lost = listener.lost().map_err(cannot)?;
    Ok((started.elapsed().as_secs_f64(), u64::from(lost) + unreadable))
}
