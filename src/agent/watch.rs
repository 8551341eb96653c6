//! The events thread: receives, decodes, counts. The only writer of state.

mod doubt;
mod questions;
mod recount;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::foreign::Foreign;
use super::shared::{Command, Numbers, Order, WatchEnd};
use crate::core::model::Queue;
use crate::core::sieve::SharedSightings;
use crate::core::state::{Audit, Backlog, Finding, Identify, Look, RegretMeter, Sighting, Sightings, Sync};
use crate::error::Result;
use crate::linux::clock;
use crate::linux::ctnetlink::Ctnetlink;
use crate::linux::listener::{BYTES_PER_QUEUED_EVENT, Listener};
use crate::linux::netns::Namespace;
use crate::linux::sysctl::ConntrackSysctls;

/// System calls in a row before commands and ticks have their turn.
const BATCHES: usize = 32;
/// Time for which events gather where they come thick: two of them within twice that time. At 50,000 flows a second
/// an event costs 2.19 us of CPU with it, 2.27 us with 1 ms.
const GATHER: Duration = Duration::from_millis(4);
/// Time for which events gather where the table is about to cross a mark: the actor is to know of that sooner. At
/// 0.75 of the most that a machine makes, of 60 runs each, some entries were refused in 13 with it, in 20 without.
const GATHER_NEAR_A_MARK: Duration = Duration::from_millis(1);
/// Interval of the audit, whatever the agent's interval.
const TICK: Duration = Duration::from_millis(250);

/// Parts that the events thread is made of.
pub struct Parts {
    /// Network namespace whose events it hears.
    pub namespace: Namespace,
    /// Shared with the actor, so that both name entries alike.
    pub identify: Identify,
    /// Shared with the actor.
    pub sightings: SharedSightings,
    /// Shared with the actor.
    pub regret: Arc<RegretMeter>,
    /// Figures that this thread publishes.
    pub numbers: Arc<Numbers>,
    /// Commands to this thread.
    pub commands: WatchEnd,
    /// Sender of orders to the actor.
    pub actor: SyncSender<Order>,
    /// This namespace's part of the host's memory, for the room that events may take of it; 0: not known.
    pub memory_bytes: u64,
    /// Each entry is to be known by what the kernel finds it by.
    pub remember_entries: bool,
}

/// The thread's state.
pub struct Watcher {
    parts: Parts,
    listener: Listener,
    foreign: Foreign,
    backlog: Backlog,
    /// `nf_conntrack_max` at the last tick.
    max: u64,
    sysctls: ConntrackSysctls,
    sync: Sync,
    audit: Audit,
    ctnetlink: Ctnetlink,
    /// ctnetlink is not there, or does not answer.
    away: bool,
    /// The counts came into doubt since the dump under way was asked for: it does not end that.
    doubted: bool,
    /// Rules mask events, and when the counts were compared with the table last for that.
    masked: bool,
    doubted_at_seconds: f64,
    /// Lost or unreadable events, ever.
    lost: u64,
    unreadable: u64,
    /// `lost` when the dump under way was asked for.
    lost_before_recount: u64,
    recount_took: Duration,
    events_at_tick: u64,
    lost_at_tick: u64,
    below: [bool; 3],
    behind: bool,
    /// Time of the last event, and whether there was another shortly before.
    heard: Instant,
    thick: bool,
    /// Entries at the last look at the marks, and whether as many more as since the one before would cross one.
    entries: (Instant, u64),
    near_a_mark: bool,
    /// A dump is to be asked for as soon as the queue is empty.
    census_wanted: bool,
    /// Events of the last whole tick.
    events_in_tick: u64,
    /// Facts that the sightings are to hear of the events that are drained, in a room that is kept.
    noted: Vec<Sighting>,
}

impl Watcher {
    /// Subscribes, on a thread of its own that enters the namespace.
    ///
    /// # Errors
    /// Exit 3 without the right to enter or to subscribe.
    pub fn open(parts: Parts) -> Result<Self> {
        parts.namespace.enter()?;
        let backlog = Backlog::new(clock::running_seconds());
        let listener = Listener::open(backlog.wanted_bytes(BYTES_PER_QUEUED_EVENT, parts.memory_bytes))?;
        let events = listener.buffer_bytes() / BYTES_PER_QUEUED_EVENT;
        tracing::debug!(netns = %parts.namespace.netns().key(), "room for {events} queued events");
        let sync = Sync::new(parts.identify.clone());
        let sync = if parts.remember_entries { sync.remembering() } else { sync };
        Ok(Watcher {
            listener,
            foreign: Foreign::open()?,
            backlog,
            max: 0,
            sysctls: ConntrackSysctls::open()?,
            sync,
            parts,
            audit: Audit::default(),
            ctnetlink: Ctnetlink::default(),
            away: false,
            doubted: false,
            masked: false,
            doubted_at_seconds: f64::NEG_INFINITY,
            lost: 0,
            unreadable: 0,
            lost_before_recount: 0,
            recount_took: Duration::ZERO,
            events_at_tick: 0,
            lost_at_tick: 0,
            below: [true; 3],
            behind: false,
            heard: Instant::now(),
            thick: false,
            entries: (Instant::now(), 0),
            near_a_mark: false,
            census_wanted: false,
            events_in_tick: 0,
            noted: Vec::new(),
        })
    }

    /// Runs until told to stop.
    pub fn run(mut self) {
        let mut next_tick = Instant::now();
        loop {
            self.wait(next_tick.saturating_duration_since(Instant::now()));
            self.drain();
            for command in self.parts.commands.take() {
                match command {
                    Command::Stop => return,
                    Command::Adopt { ledger, duration } => self.adopt(*ledger, duration),
                    Command::Abandon { duration } => self.abandon(duration),
                    Command::Deleted(entries) => entries.iter().for_each(|entry| self.sync.deleted(entry)),
                    Command::Top { limit, rank, reply } => {
                        let _ = reply.send(self.top(limit, rank));
                    }
                    Command::Young { since_seconds, reply } => {
                        let _ = reply.try_send(self.young(since_seconds));
                    }
                    Command::Entries { source, zone, reply } => {
                        let _ = reply.send(self.entries_of(source, zone));
                    }
                    Command::Synced { reply } => {
                        let _ = reply.send(self.synced());
                    }
                }
            }
            self.publish(self.lost + self.unreadable);
            self.cross_marks();
            if self.census_wanted && !self.behind && !self.away {
                self.begin_census();
            }
            if Instant::now() >= next_tick {
                self.tick();
                next_tick = Instant::now() + TICK;
            }
        }
    }

    /// Until there is something to do. Where events come thick they gather first: to be woken by each
    /// costs more than to read it.
    fn wait(&mut self, at_most: Duration) {
        if self.behind {
            return;
        }
        let meant = clock::running_seconds() + at_most.as_secs_f64();
        let timeout = PollTimeout::try_from(at_most.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        let mut fds = [
            PollFd::new(self.parts.commands.descriptor(), PollFlags::POLLIN),
            PollFd::new(self.listener.descriptor(), PollFlags::POLLIN),
            PollFd::new(self.foreign.listener.descriptor(), PollFlags::POLLIN),
        ];
        // EINTR and a timeout are as good as an event: everything is looked at anyway.
        let gather = if self.near_a_mark { GATHER_NEAR_A_MARK } else { GATHER };
        let _ = match self.thick {
            true => poll(&mut fds[..1], PollTimeout::from(gather.as_millis() as u8)),
            false => poll(&mut fds, timeout),
        };
        if !self.thick {
            self.backlog.waited(meant, clock::running_seconds());
        }
    }

    fn drain(&mut self) {
        self.sync.at(clock::boottime_seconds() as u32);
        // First: an entry's end is queued after what was done to it, and has to be taken after it.
        let Parts { identify, sightings, regret, numbers, .. } = &self.parts;
        let more_updates = self.foreign.drain(BATCHES, sightings, identify, numbers);
        let (sync, began) = (&mut self.sync, clock::running_seconds());
        let noted = &mut self.noted;
        let (mut any_foreign, mut wrote) = (read(sightings).any_foreign(), false);
        let drained = self.listener.drain(BATCHES, |event| {
            let fingerprint = sync.event(event);
            regret.heard(event, clock::boottime_seconds);
            wrote |= event.foreign;
            any_foreign |= event.foreign;
            if Sightings::concerns(event, any_foreign) {
                noted.push(Sighting::of(event, fingerprint, identify));
            }
        });
        if !noted.is_empty() {
            let mut sightings = sightings.write().unwrap_or_else(PoisonError::into_inner);
            noted.drain(..).for_each(|seen| sightings.note(&seen));
        }
        numbers.others_write.store(read(sightings).others_write(), Relaxed);
        if wrote {
            numbers.others_wrote();
        }
        match drained {
            Ok(met) => {
                self.backlog.taken(met.received, began, clock::running_seconds(), met.more);
                let now = Instant::now();
                self.behind = met.more || more_updates;
                self.thick = met.received > 0 && now.duration_since(self.heard) < 2 * GATHER;
                if met.received > 0 {
                    self.heard = now;
                }
                self.unreadable += met.unreadable;
                numbers.forged.fetch_add(met.forged, Relaxed);
            }
            Err(error) => {
                // A socket that fails tells nothing: as good as lost.
                self.behind = false;
                self.unreadable += 1;
                tracing::warn!(%error, "the event stream cannot be read");
                std::thread::sleep(TICK);
            }
        }
    }

    /// Takes in what is queued, unless more comes all the time.
    fn catch_up(&mut self) {
        for _ in 0..1000 {
            if !self.behind {
                break;
            }
            self.drain();
        }
    }

    /// Everything that was lost, now.
    fn total_lost(&mut self) -> u64 {
        if let Ok(lost) = self.listener.lost() {
            // The kernel counts in 32 bits.
            let grown = lost.wrapping_sub(self.lost as u32);
            self.lost += u64::from(grown);
        }
        self.lost + self.unreadable
    }

    fn tick(&mut self) {
        let lost = self.total_lost();
        let tally = self.sync.tally();
        let now_seconds = clock::boottime_seconds();
        let newly_lost = lost - self.lost_at_tick;
        if newly_lost > 0 {
            self.parts.numbers.overruns.fetch_add(1, Relaxed);
            self.backlog.lost(newly_lost);
            self.audit.hurry(now_seconds, self.recount_took.as_secs_f64());
            tracing::warn!(
                lost = newly_lost,
                "events were lost; the counts are in doubt until the next dump"
            );
        }
        self.heed_ctnetlink();
        if let Ok(count) = self.sysctls.count() {
            let look = Look {
                count,
                sum: self.sync.ledger().entries(),
                events: tally.events - self.events_at_tick,
                lost: newly_lost > 0,
                behind: self.behind,
                now_seconds,
            };
            self.parts.numbers.count.store(count, Relaxed);
            self.events_in_tick = look.events;
            // Without ctnetlink there is no dump to be had.
            self.census_wanted |= !self.away && self.audit.look(look) == Finding::Resync;
        }
        self.make_room();
        // The marks follow from it, and the actor may rest.
        if let Ok(max) = self.sysctls.max()
            && std::mem::replace(&mut self.max, max) != max
        {
            let _ = self.parts.actor.try_send(Order::Wake);
        }
        (self.lost_at_tick, self.events_at_tick) = (lost, tally.events);
        self.publish(lost);
    }

    /// As much as pace and stalls call for by now, and tells how the stream fares. Room is not given back: it is a
    /// bound, and only what waits takes memory.
    fn make_room(&mut self) {
        self.backlog.pace(clock::running_seconds());
        let wanted = self.backlog.wanted_bytes(BYTES_PER_QUEUED_EVENT, self.parts.memory_bytes);
        let mut queue = self.parts.numbers.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted as u64 > queue.wanted_bytes && wanted > self.listener.buffer_bytes() {
            self.listener.reserve(wanted);
        }
        *queue = Queue {
            buffer_bytes: self.listener.buffer_bytes() as u64,
            wanted_bytes: wanted as u64,
            queued_bytes: self.listener.queued_bytes().unwrap_or(0).into(),
            lag_seconds: self.backlog.take_lag_seconds(),
            longest_stall_seconds: self.backlog.longest_stall_seconds(),
            most_per_second: self.backlog.most_per_second(),
        };
    }

    /// Wakes the hand on the way up; on the way down nothing is urgent.
    fn cross_marks(&mut self) {
        // The kernel's count: what is still queued would tell of a crossing as late as the queue is long, and what ends
        // in silence is counted until the next audit.
        let entries = self.sysctls.count().unwrap_or_else(|_| self.sync.ledger().entries());
        let now = Instant::now();
        let (then, before) = std::mem::replace(&mut self.entries, (now, entries));
        let (grown, passed) = (entries.saturating_sub(before), now.duration_since(then).as_secs_f64());
        let growing = grown as f64 / passed.max(GATHER_NEAR_A_MARK.as_secs_f64());
        self.parts.numbers.growing_per_second.store(growing as u64, Relaxed);
        self.near_a_mark = false;
        for (below, mark) in self.below.iter_mut().zip(&self.parts.numbers.marks) {
            let mark = mark.load(Relaxed);
            self.near_a_mark |= entries < mark && mark <= entries + grown;
            let over = mark > 0 && entries >= mark;
            if over && *below {
                let _ = self.parts.actor.try_send(Order::Wake);
            }
            *below = !over;
        }
    }

    fn publish(&self, lost: u64) {
        let (numbers, tally, ledger) = (&self.parts.numbers, self.sync.tally(), self.sync.ledger());
        numbers.entries.store(ledger.entries(), Relaxed);
        numbers.sources.store(ledger.sources() as u64, Relaxed);
        numbers.events.store(tally.events, Relaxed);
        numbers.new.store(tally.new, Relaxed);
        numbers.destroyed.store(tally.destroyed, Relaxed);
        numbers.resyncs.store(tally.resyncs, Relaxed);
        numbers.lost.store(lost, Relaxed);
        numbers.synced.store(self.audit.synced() && !self.masked, Relaxed);
    }
}

fn read(sightings: &SharedSightings) -> std::sync::RwLockReadGuard<'_, Sightings> {
    sightings.read().unwrap_or_else(PoisonError::into_inner)
}
