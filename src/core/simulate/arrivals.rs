//! New flows, as the scenario has them.

use super::admission::{Admitted, admit};
use super::facts::Facts;
use super::random::Random;
use super::report::Figures;
use super::table::Table;
use crate::core::model::Traffic;

/// Turns in a step, which groups take at a table with no room.
const TURNS: u64 = 16;
/// Cohorts that a stock of living flows is spread over, between two packets.
const PHASES: u64 = 64;
/// Cohorts that dead entries are spread over, by idleness.
const AGES: u64 = 512;

/// New flows a second at a moment.
pub fn rate(traffic: &Traffic, at_seconds: f64) -> f64 {
    let since = at_seconds - traffic.from_seconds;
    if since < 0.0 || at_seconds >= traffic.until_seconds {
        return 0.0;
    }
    let risen = if traffic.ramp_seconds > 0.0 { (since / traffic.ramp_seconds).min(1.0) } else { 1.0 };
    traffic.per_second * risen
}

/// Begins the flows that came in `passed` seconds up to the table's now. `owed`: parts of flows that came evenly, of
/// each group.
pub fn arrive(
    table: &mut Table,
    facts: &mut Facts,
    figures: &mut Figures,
    owed: &mut [f64],
    passed: f64,
    random: &mut Random,
) {
    let middle = table.now - passed / 2.0;
    let mut come = |(traffic, owed): (&Traffic, &mut f64)| {
        let mean = rate(traffic, middle) * passed;
        if !traffic.even {
            return random.poisson(mean);
        }
        *owed += mean;
        let whole = owed.floor();
        *owed -= whole;
        whole as u64
    };
    let coming: Vec<u64> = table.traffic.iter().zip(owed).map(&mut come).collect();
    let turns = if coming.iter().sum::<u64>() <= table.room() { 1 } else { TURNS };
    for turn in 0..turns {
        for (group, &n) in coming.iter().enumerate() {
            let n = n * (turn + 1) / turns - n * turn / turns;
            if n > 0 {
                let admitted = admit(table, group, n, random);
                account(table, facts, figures, group, admitted);
            }
        }
    }
}

fn account(table: &Table, facts: &mut Facts, figures: &mut Figures, group: usize, admitted: Admitted) {
    let refused = match table.traffic[group].attacker {
        true => &mut figures.refused_attackers,
        false => &mut figures.refused_legitimate,
    };
    *refused += admitted.refused;
    figures.admitted += admitted.taken;
    figures.early_dropped += admitted.early_dropped;
    facts.statistics.new += admitted.taken;
    facts.statistics.drops.drop += admitted.refused;
    facts.statistics.drops.early_drop += admitted.early_dropped;
}

/// Puts in the entries that are there when a group begins. In the middle of a scenario another program writes them,
/// and only as far as there is room: ctnetlink's inserts find nothing to drop early (their hash is 0).
pub fn stock(table: &mut Table, group: usize) -> u64 {
    let traffic = table.traffic[group].clone();
    let before = table.entries();
    let wanted = traffic.stock + traffic.stale;
    let fits = if table.now > 0.0 { table.room().min(wanted) as f64 / wanted.max(1) as f64 } else { 1.0 };
    let mut spread = |alive: bool, count: u64, from: f64, to: f64, parts: u64| {
        let count = (count as f64 * fits) as u64;
        let parts = parts.min(count).max(1);
        for part in 0..parts {
            let n = count * (part + 1) / parts - count * part / parts;
            let idle = from + (to - from) * (part as f64 + 0.5) / parts as f64;
            if n > 0 {
                table.stock(group, alive, n, idle);
            }
        }
    };
    spread(true, traffic.stock, 0.0, traffic.packet_every_seconds, PHASES);
    spread(false, traffic.stale, traffic.stale_idle_seconds.0, traffic.stale_idle_seconds.1, AGES);
    table.entries() - before
}
