//! Entries that are alike, as one number.

use super::flow::State;
use super::random::Random;

/// Place of entries: of one [`Traffic`], in one state, their flows alive or not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Index of the traffic.
    pub group: usize,
    /// State of these entries.
    pub state: State,
    /// Their flows live.
    pub alive: bool,
}

/// Entries that had their last packet at about the same time.
#[derive(Clone, PartialEq, Debug)]
pub struct Cohort {
    /// Identity that a dump would show, `CTA_ID`.
    pub id: u32,
    /// Number of entries.
    pub count: u64,
    /// The last packet.
    pub last_seconds: f64,
    /// Time at which they expire, unless a packet comes.
    pub expires_seconds: f64,
    /// Time at which the next packet comes; never for the dead.
    pub packet_seconds: f64,
    /// Another program wrote them.
    pub foreign: bool,
    /// The agent has given them a second chance, and no packet has come since.
    pub grace: bool,
}

impl Cohort {
    /// Time of the next thing that happens to them.
    pub fn due(&self) -> f64 {
        self.expires_seconds.min(self.packet_seconds)
    }
}

impl Cohort {
    /// Takes others in; the moments become the mean.
    pub fn join(&mut self, other: &Cohort) {
        let share = other.count as f64 / (self.count + other.count).max(1) as f64;
        let mix =
            |mine: f64, theirs: f64| if mine.is_finite() { mine + share * (theirs - mine) } else { mine };
        self.last_seconds = mix(self.last_seconds, other.last_seconds);
        self.expires_seconds = mix(self.expires_seconds, other.expires_seconds);
        self.packet_seconds = mix(self.packet_seconds, other.packet_seconds);
        self.count += other.count;
    }
}

/// Flows that lost their entry while they lived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// A script or an agent deleted it.
    pub deleted: u64,
    /// It expired: silent for longer than its timeout.
    pub expired: u64,
    /// The kernel shed it (early drop, collector).
    pub shed: u64,
}

/// Of `wanted` out of `left`, how many fall to the next `count` of them; both go down by what was dealt with.
pub fn drawn(wanted: &mut u64, left: &mut u64, count: u64, random: &mut Random) -> u64 {
    if *wanted == 0 || count == 0 {
        *left -= count;
        return 0;
    }
    let fallen = random.binomial(*wanted, count as f64 / *left as f64).min(count);
    *left -= count;
    // Entries that the others cannot give have to come from here.
    let fallen = fallen.max(wanted.saturating_sub(*left)).min(count);
    *wanted -= fallen;
    fallen
}
