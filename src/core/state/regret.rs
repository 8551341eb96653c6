//! Regret: a flow that is heard of again within a minute of its deletion lived, and should have stayed.
//!
//! Each deletion is remembered before it is sent, by its original tuple and by its reply tuple (where the server
//! speaks first without NAT, its packet is the original direction of a new entry). A NEW of either within 60 s is
//! regret, with these exceptions:
//! - TCP that was past its SYN and is heard of again with a SYN is a new connection that reuses the port. A flow that
//!   lived is picked up in the middle (`tcp_new` with `nf_conntrack_tcp_loose`) and shows ESTABLISHED. An entry that
//!   was still in SYN_SENT and is heard of with a SYN is a client that still tries: regret.
//! - A client that asks a short-lived service by UDP (DNS, NTP) again from the same port, or that was never answered:
//!   a resolver's client has 28,232 ports (`ip_local_port_range`) and comes to each of them again within seconds
//!   (which makes some ASSURED), and whoever asks is answered. What the *other* side sends without an entry would have
//!   been lost: regret.
//! - What another ctnetlink user creates (conntrackd, `conntrack -I`) is no packet.
//!
//! It sees less than there is where `nf_conntrack_tcp_loose` is 0: the packets of a deleted TCP flow are INVALID then
//! and make no entry.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ledger::Identify;
use super::regret_filter::Filter;
use super::regret_records::{Fate, Record, Records, Was};
use crate::core::model::{Class, ClassRegret, Entry, Event, EventKind, TcpState, UDP, UDPLITE};

/// For how long after its deletion a flow is listened for.
const WATCH_SECONDS: f64 = 60.0;
/// Deletions that are remembered at once, in 32 bytes each and 10 to 20 to find them by.
const REMEMBERED: usize = 1 << 17;
/// Of more in a second one in four is remembered: a table that fills so fast waits for each delete. At 0.75 of what a
/// machine makes the share of runs in which any was refused went from 43 to 23 % by that.
const A_SECOND: usize = 1 << 14;
/// One stands for 2^10 at most: a hundredth of what is remembered.
const MOST_WEIGHT: u8 = 10;
/// Deletions of such a span are counted together; the present span and the one before make the window.
const SPAN_SECONDS: f64 = 300.0;

/// Shared between the actor, which deletes, and the events thread, which hears.
///
/// Measured over 4 million events (opt-level 1, a core at 2.6 GHz): 0.3 ns an event while nothing was deleted
/// lately; for a minute after a deletion 31 ns a NEW, most of it the hash of the tuple, and 40 ns with as many
/// remembered as can be. To remember a deletion takes 0.15 us, beside 2 us for the deletion itself.
#[derive(Debug)]
pub struct RegretMeter {
    identify: Identify,
    /// Something was deleted within the last minute.
    watching: AtomicBool,
    filter: Filter,
    vigil: Mutex<Vigil>,
}

impl RegretMeter {
    /// Nothing was deleted yet.
    pub fn new(identify: Identify) -> Self {
        RegretMeter {
            identify,
            watching: AtomicBool::new(false),
            filter: Filter::new(),
            vigil: Mutex::new(Vigil::default()),
        }
    }

    /// These are about to be deleted. To be told before the delete is sent: the flow may be back before send(2) is.
    pub fn going(&self, entries: impl Iterator<Item = (Entry, Class)>, now_seconds: f64) {
        let filter = &self.filter;
        let mut vigil = self.vigil();
        vigil.pass(now_seconds);
        if vigil.turn_due(now_seconds) {
            filter.turn();
        }
        vigil.batch = vigil.records.next();
        for (entry, class) in entries {
            if let Some(keys) = vigil.remember(&entry, class, &self.identify, now_seconds) {
                keys.into_iter().for_each(|key| filter.add(key));
            }
        }
        self.watching.store(!vigil.records.is_empty(), Ordering::Release);
    }

    /// One of those told last was not deleted: gone before, or refused.
    pub fn stayed(&self, entry: &Entry, class: Class) {
        let key = self.identify.tuple(&entry.original, entry.zone);
        self.vigil().withdraw(key, class);
    }

    /// An event was heard; `now_seconds` is asked for what may concern a deletion alone.
    #[inline]
    pub fn heard(&self, event: &Event, now_seconds: impl FnOnce() -> f64) {
        if self.watching.load(Ordering::Acquire) && event.kind == EventKind::New && !event.foreign {
            self.born(&event.entry, now_seconds);
        }
    }

    fn born(&self, entry: &Entry, now_seconds: impl FnOnce() -> f64) {
        let key = self.identify.tuple(&entry.original, entry.zone);
        if self.filter.may_know(key) {
            self.vigil().born(key, entry, now_seconds());
        }
    }

    /// Every class that was ever flushed.
    pub fn tell(&self, now_seconds: f64) -> Vec<ClassRegret> {
        let mut vigil = self.vigil();
        vigil.pass(now_seconds);
        self.watching.store(!vigil.records.is_empty(), Ordering::Release);
        Class::FLUSHED.iter().map(|class| vigil.tell(*class)).filter(|told| told.flushed > 0).collect()
    }

    fn vigil(&self) -> MutexGuard<'_, Vigil> {
        self.vigil.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    flushed: u64,
    watched: u64,
    regretted: u64,
    /// Watched and regretted of the present span and of the one before, and how many flows were heard of.
    spans: [[u64; 3]; 2],
    last_seconds: Option<f64>,
}

#[derive(Debug, Default)]
struct Vigil {
    records: Records,
    /// The number of the first record of the batch that was told last.
    batch: u64,
    span: u32,
    turned_seconds: f64,
    /// A second, and how many were deleted in it.
    second: (u64, usize),
    tallies: [Tally; Class::FLUSHED.len()],
}

impl Vigil {
    /// True each time that a whole watch has gone by.
    fn turn_due(&mut self, now: f64) -> bool {
        let due = now - self.turned_seconds >= WATCH_SECONDS;
        if due {
            self.turned_seconds = now;
        }
        due
    }

    /// Time passes: what was listened for long enough is forgotten, and spans end.
    fn pass(&mut self, now: f64) {
        while self.records.first().is_some_and(|record| record.until_seconds < now) {
            self.records.forget_first();
        }
        let span = (now.max(0.0) / SPAN_SECONDS) as u32;
        for _ in 0..span.saturating_sub(self.span).min(2) {
            self.tallies.iter_mut().for_each(|tally| tally.spans = [[0; 3], tally.spans[0]]);
        }
        self.span = self.span.max(span);
    }

    /// One in n alone is remembered as room runs short, and stands for n: so the share stays right, whichever come
    /// back.
    fn remember(&mut self, entry: &Entry, class: Class, identify: &Identify, now: f64) -> Option<[u64; 2]> {
        let many = self.of_this_second(now) > A_SECOND;
        let tally = &mut self.tallies[class as usize];
        tally.flushed += 1;
        let room = REMEMBERED - self.records.len().min(REMEMBERED);
        let weight = (REMEMBERED / room.max(1)).next_power_of_two().trailing_zeros() as u8;
        let weight = weight.max(if many { 2 } else { 0 });
        let original = identify.tuple(&entry.original, entry.zone);
        // Chance decides by bits that neither the map nor the filter goes by; a fixed beat could meet that of the
        // flows.
        if weight > MOST_WEIGHT || (original >> 20) & ((1 << weight) - 1) != 0 {
            return None;
        }
        tally.watched += 1 << weight;
        tally.spans[0][0] += 1 << weight;
        let reply = entry.reply.map_or(original, |reply| identify.tuple(&reply, entry.zones()[1]));
        let keys = [original, reply];
        let asked = matches!(entry.original.protocol, UDP | UDPLITE)
            && (class == Class::UdpShort || class != Class::Udp && !entry.status.assured());
        let was = match entry.tcp.is_some_and(|tcp| begins(tcp.state)) {
            true => Was::Try,
            false if asked => Was::Question,
            false => Was::Else,
        };
        let record = Record {
            until_seconds: now + WATCH_SECONDS,
            keys,
            class,
            weight,
            span: self.span,
            was,
            fate: Fate::Listened,
        };
        self.records.add(record, REMEMBERED);
        Some(keys)
    }

    /// Deletions in the second of `now`, this one included.
    fn of_this_second(&mut self, now: f64) -> usize {
        let second = now as u64;
        self.second = if self.second.0 == second { (second, self.second.1 + 1) } else { (second, 1) };
        self.second.1
    }

    fn withdraw(&mut self, key: u64, class: Class) {
        let tally = &mut self.tallies[class as usize];
        tally.flushed = tally.flushed.saturating_sub(1);
        let Some((_, record)) = self.records.newest(key).filter(|(number, _)| *number >= self.batch) else {
            return;
        };
        let weight = 1 << record.weight;
        tally.watched = tally.watched.saturating_sub(weight);
        count(tally, self.span, record.span, 0, |n| n.saturating_sub(weight));
        if record.fate == Fate::Regretted {
            tally.regretted = tally.regretted.saturating_sub(weight);
            count(tally, self.span, record.span, 1, |n| n.saturating_sub(weight));
            count(tally, self.span, record.span, 2, |n| n.saturating_sub(1));
        }
        record.fate = Fate::Over;
    }

    fn born(&mut self, key: u64, entry: &Entry, now: f64) {
        let Some((_, record)) = self.records.newest(key) else { return };
        if record.fate != Fate::Listened || now > record.until_seconds {
            return;
        }
        let reuses = entry.tcp.is_some_and(|tcp| begins(tcp.state)) && record.was != Was::Try;
        let asks = record.was == Was::Question && key == record.keys[0];
        if reuses || asks {
            record.fate = Fate::Over;
            return;
        }
        record.fate = Fate::Regretted;
        let tally = &mut self.tallies[record.class as usize];
        let weight = 1 << record.weight;
        tally.regretted += weight;
        tally.last_seconds = Some(now);
        count(tally, self.span, record.span, 1, |n| n + weight);
        count(tally, self.span, record.span, 2, |n| n + 1);
    }

    fn tell(&self, class: Class) -> ClassRegret {
        let tally = &self.tallies[class as usize];
        let [present, before] = tally.spans;
        ClassRegret {
            class,
            flushed: tally.flushed,
            watched: tally.watched,
            regretted: tally.regretted,
            recent_watched: present[0] + before[0],
            recent_regretted: present[1] + before[1],
            recent_heard: present[2] + before[2],
            last_seconds: tally.last_seconds,
        }
    }
}

/// Regret is counted in the span of its deletion, so that a span's share is of the same deletions.
fn count(tally: &mut Tally, now: u32, span: u32, what: usize, change: impl Fn(u64) -> u64) {
    if let Some(counts) = tally.spans.get_mut(now.saturating_sub(span) as usize) {
        counts[what] = change(counts[what]);
    }
}

/// A SYN was the last that was seen.
fn begins(state: TcpState) -> bool {
    matches!(state, TcpState::SynSent | TcpState::SynSent2)
}

#[cfg(test)]
#[path = "regret_tests.rs"]
mod tests;
