//! The table, by cohorts: entries of one source group, state, age and timeout are one number. So a hundred million
//! entries cost no more than a thousand.

mod taking;

use std::collections::BTreeMap;

use super::cohort::{Cohort, Lost, Place, drawn};
use super::flow::State;
use super::random::Random;
use crate::core::model::{TimeoutValues, Traffic};

/// Cohorts in one place, by the moment at which something happens to them, and by the timeout that they have.
type Shelf = BTreeMap<(i64, i64), Cohort>;

/// Slots to the span over which a place's cohorts lie: idleness is known that finely.
const SLOTS: f64 = 2048.0;
/// Slots for the living, which lie between two packets.
const SLOTS_ALIVE: f64 = 64.0;
/// Idleness below which an entry may be near a floor, and is known more finely.
const YOUNG_SECONDS: f64 = 600.0;
const FINE_SECONDS: f64 = 5.0;
/// Interval at which entries that are not young any more are put together.
const GATHER_SECONDS: f64 = 300.0;
/// No slot is finer.
const FINEST_SECONDS: f64 = 0.25;

/// The modelled table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Virtual time in seconds.
    pub now: f64,
    /// Limit of entries, `nf_conntrack_max`.
    pub max: u64,
    /// Buckets of the hash table, `nf_conntrack_buckets`.
    pub buckets: u64,
    /// Timeouts in force.
    pub timeouts: TimeoutValues,
    /// Traffic that opens flows.
    pub traffic: Vec<Traffic>,
    /// Entries that living flows of no attacker lost.
    pub lost: Lost,
    shelves: BTreeMap<Place, Shelf>,
    expired: Vec<u64>,
    next_id: u32,
    gather_seconds: f64,
    entries: u64,
    droppable: u64,
    /// Ever put in.
    pub put_in: u64,
    /// Ever gone out.
    pub gone_out: u64,
}

impl Table {
    /// An empty one.
    pub fn new(traffic: &[Traffic], max: u64, buckets: u64, timeouts: TimeoutValues) -> Self {
        Table {
            now: 0.0,
            max,
            buckets,
            timeouts,
            traffic: traffic.to_vec(),
            lost: Lost::default(),
            shelves: BTreeMap::new(),
            expired: vec![0; traffic.len()],
            next_id: 1,
            gather_seconds: GATHER_SECONDS,
            entries: 0,
            droppable: 0,
            put_in: 0,
            gone_out: 0,
        }
    }

    /// `nf_conntrack_count`: what has expired counts until somebody looks at it.
    pub fn entries(&self) -> u64 {
        self.entries + self.expired_entries()
    }

    /// Expired and still counted.
    pub fn expired_entries(&self) -> u64 {
        self.expired.iter().sum()
    }

    /// Entries that early drop may take: not ASSURED, and not expired.
    pub fn droppable(&self) -> u64 {
        self.droppable
    }

    /// Free places; as many as you like without a limit.
    pub fn room(&self) -> u64 {
        if self.max == 0 { u64::MAX } else { self.max.saturating_sub(self.entries()) }
    }

    /// Living flows of no attacker.
    pub fn living(&self) -> u64 {
        let of = |place: &Place| place.alive && !self.traffic[place.group].attacker;
        self.shelves
            .iter()
            .filter(|(place, _)| of(place))
            .flat_map(|(_, shelf)| shelf.values())
            .map(|c| c.count)
            .sum()
    }

    /// Packets of living flows, one a silence.
    pub fn packets_per_second(&self) -> f64 {
        let of = |(place, shelf): (&Place, &Shelf)| {
            let count: u64 = shelf.values().map(|cohort| cohort.count).sum();
            count as f64 / self.traffic[place.group].packet_every_seconds
        };
        self.shelves.iter().filter(|(place, _)| place.alive).map(of).sum()
    }

    /// Every cohort, with its place.
    pub fn cohorts(&self) -> impl Iterator<Item = (&Place, &Cohort)> {
        self.shelves.iter().flat_map(|(place, shelf)| shelf.values().map(move |cohort| (place, cohort)))
    }

    /// The timeout in force for a state.
    pub fn timeout_seconds(&self, state: State) -> f64 {
        let timeout = state.timeout();
        f64::from(self.timeouts.get(&timeout).copied().unwrap_or(timeout.spec().kernel_default_seconds))
    }

    /// Flows begin: a packet now, in the state that their kind begins with.
    pub fn begin(&mut self, group: usize, count: u64) {
        let traffic = &self.traffic[group];
        let alive = traffic.lifetime_seconds > 0.0;
        let place = Place { group, state: State::at_birth(traffic.kind), alive };
        // The packet that makes UDP ASSURED comes 2 s after the first at the earliest.
        let every = traffic.packet_every_seconds;
        let next = if place.state == State::UdpYoung { every.max(2.0) } else { every };
        let state = if alive { place.state } else { place.state.at_death(traffic.end) };
        self.seen_now(Place { state, ..place }, count, next);
        self.put_in += count;
    }

    /// Entries whose last packet was `idle_seconds` ago; alive ones get their next when it is due.
    pub fn stock(&mut self, group: usize, alive: bool, count: u64, idle_seconds: f64) {
        let traffic = &self.traffic[group];
        let (kind, committed, every) = (traffic.kind, traffic.committed, traffic.packet_every_seconds);
        // A leak is what stays: TCP's is ESTABLISHED.
        let place = Place { group, state: State::settled(kind), alive };
        let last_seconds = self.now - idle_seconds;
        // conntrackd writes what it commits with 180 s or less left.
        let expires_seconds = match committed {
            true => self.now + (self.timeout_seconds(place.state) - idle_seconds).clamp(0.0, 180.0),
            false => last_seconds + self.timeout_seconds(place.state),
        };
        let packet_seconds = if alive { last_seconds + every } else { f64::INFINITY };
        self.put_in += count;
        let id = self.id();
        let foreign = committed;
        self.insert(
            place,
            Cohort { id, count, last_seconds, expires_seconds, packet_seconds, foreign, grace: false },
        );
    }

    fn id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    fn seen_now(&mut self, place: Place, count: u64, next_packet_seconds: f64) {
        if count == 0 {
            return;
        }
        let packet_seconds = if place.alive { self.now + next_packet_seconds } else { f64::INFINITY };
        let expires_seconds = self.now + self.timeout_seconds(place.state);
        let id = self.id();
        let last_seconds = self.now;
        self.insert(
            place,
            Cohort { id, count, last_seconds, expires_seconds, packet_seconds, foreign: false, grace: false },
        );
    }

    fn insert(&mut self, place: Place, cohort: Cohort) {
        self.entries += cohort.count;
        self.droppable += if place.state.assured() { 0 } else { cohort.count };
        let base = cohort.expires_seconds - cohort.last_seconds;
        let width = match place.alive {
            true => self.traffic[place.group].packet_every_seconds.min(base) / SLOTS_ALIVE,
            false if self.now - cohort.last_seconds < YOUNG_SECONDS => (base / SLOTS).min(FINE_SECONDS),
            false => base / SLOTS,
        }
        .max(FINEST_SECONDS);
        // The slot's beginning, in milliseconds: slots of different widths stay in one order.
        let slot = ((cohort.due() / width).floor() * width * 1000.0).floor() as i64;
        // Whole seconds of the timeout tell shortened ones apart; foreign ones keep to themselves, and what is in its
        // grace is known by its own expiry.
        let kind = match (cohort.grace, cohort.foreign) {
            (true, _) => -2 - i64::from(cohort.id),
            (_, true) => -1,
            _ => base.round() as i64,
        };
        let shelf = self.shelves.entry(place).or_default();
        match shelf.get_mut(&(slot, kind)) {
            None => drop(shelf.insert((slot, kind), cohort)),
            Some(there) => there.join(&cohort),
        }
    }

    /// Time passes: packets come, entries expire, flows end.
    pub fn pass(&mut self, to: f64, random: &mut Random) {
        let passed = to - self.now;
        self.now = to;
        let places: Vec<Place> = self.shelves.keys().copied().collect();
        for place in &places {
            self.settle(*place);
        }
        for place in places.iter().filter(|place| place.alive) {
            let lifetime = self.traffic[place.group].lifetime_seconds;
            self.end(*place, 1.0 - (-passed / lifetime).exp(), random);
        }
        self.shelves.retain(|_, shelf| !shelf.is_empty());
        if to >= self.gather_seconds {
            self.gather_seconds = to + GATHER_SECONDS;
            self.gather();
        }
    }

    /// Puts cohorts together that are not young any more.
    fn gather(&mut self) {
        let coarse = |place: &&Place| self.timeout_seconds(place.state) / SLOTS > FINE_SECONDS;
        let dead: Vec<Place> =
            self.shelves.keys().filter(|place| !place.alive).filter(coarse).copied().collect();
        for place in dead {
            for cohort in self.shelves.remove(&place).unwrap_or_default().into_values() {
                self.forget(place, cohort.count);
                self.insert(place, cohort);
            }
        }
    }

    /// Settles what is due in one place.
    fn settle(&mut self, place: Place) {
        let now = self.now;
        let Some(shelf) = self.shelves.get_mut(&place) else { return };
        let begun = ((now * 1000.0) as i64, i64::MAX);
        let due: Vec<(i64, i64)> =
            shelf.range(..=begun).filter(|(_, cohort)| cohort.due() <= now).map(|(key, _)| *key).collect();
        let due: Vec<Cohort> = due.iter().filter_map(|key| shelf.remove(key)).collect();
        for cohort in due {
            self.forget(place, cohort.count);
            if cohort.packet_seconds <= cohort.expires_seconds {
                self.packet(place, &cohort);
            } else {
                self.expired[place.group] += cohort.count;
                self.mourn(place, cohort.count, |lost| &mut lost.expired);
            }
        }
    }

    /// A packet of each flow of a cohort that lives.
    fn packet(&mut self, place: Place, cohort: &Cohort) {
        let every = self.traffic[place.group].packet_every_seconds;
        let place = match place.state {
            State::UdpYoung => Place { state: State::UdpStream, ..place },
            _ => place,
        };
        // A step may be longer than the time between two packets.
        let missed = ((self.now - cohort.packet_seconds) / every).floor() * every;
        let last_seconds = cohort.packet_seconds + missed;
        let expires_seconds = last_seconds + self.timeout_seconds(place.state);
        let packet_seconds = last_seconds + every;
        let (id, count) = (self.id(), cohort.count);
        self.insert(
            place,
            Cohort { id, count, last_seconds, expires_seconds, packet_seconds, foreign: false, grace: false },
        );
    }

    /// Flows of one place end, each with chance `share`.
    fn end(&mut self, place: Place, share: f64, random: &mut Random) {
        let end = self.traffic[place.group].end;
        let Some(shelf) = self.shelves.get_mut(&place) else { return };
        let mut left: u64 = shelf.values().map(|cohort| cohort.count).sum();
        let mut wanted = random.binomial(left, share);
        if wanted == 0 {
            return;
        }
        let mut ended = Vec::new();
        for cohort in shelf.values_mut() {
            let count = drawn(&mut wanted, &mut left, cohort.count, random);
            if count > 0 {
                cohort.count -= count;
                ended.push(Cohort { count, packet_seconds: f64::INFINITY, ..cohort.clone() });
            }
        }
        shelf.retain(|_, cohort| cohort.count > 0);
        for cohort in ended {
            self.forget(place, cohort.count);
            let dead = Place { state: place.state.at_death(end), alive: false, ..place };
            if dead.state == place.state {
                // Whoever is in its grace is known by its id.
                let id = if cohort.grace { cohort.id } else { self.id() };
                self.insert(dead, Cohort { id, ..cohort });
            } else {
                self.seen_now(dead, cohort.count, 0.0);
            }
        }
    }

    fn forget(&mut self, place: Place, count: u64) {
        self.entries -= count;
        self.droppable -= if place.state.assured() { 0 } else { count };
    }

    fn mourn(&mut self, place: Place, count: u64, of: fn(&mut Lost) -> &mut u64) {
        if place.alive && !self.traffic[place.group].attacker {
            *of(&mut self.lost) += count;
        }
    }
}
