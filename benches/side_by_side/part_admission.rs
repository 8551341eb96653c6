//! How many newcomers are refused while stale entries remain, at a good part of the pace that the machine can reach.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::Asked;
use crate::bare::Listener;
use crate::handshakes;
use crate::harness::agent::{Setup, limit};
use crate::harness::fill::{Writer, fill, paced};
use crate::harness::flow::{self, Flow, source};
use crate::harness::hostwide::Restore;
use crate::harness::packets;
use crate::harness::table::{ESTABLISHED, Row, rows, statistics};
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::wait;
use crate::ratio::{self, Wanted};

const IDLE_SECONDS: u32 = 8000;
/// Newcomers at most; max is nine hundredths more.
const MOST: u32 = 60_000;

/// Of what one writer makes with nothing but a listener that throws away. On two cores that agent and writer share this
/// is more than the writer reaches of it: each of its requests waits for `nfnl_lock` while a delete has it.
const SHARE: f64 = 0.6;
/// The share for connections made by packets, which go before every thread. Both cores are theirs then for as long as
/// they need them.
const SHARE_OF_CONNECTIONS: f64 = 0.4;
/// Entries a second at which a quota is held, and at which nothing is refused below max.
const PER_SECOND: u32 = 30_000;
/// Entries at most under that pace, of the quota: the kernel does not know it, so the agent passes it by what comes
/// between two looks.
const OF_A_QUOTA: f64 = 1.05;

/// Between the crossing of high and the first deletion, with an agent that looks by itself every ten seconds only.
const FIRST_ACT_SECONDS: Wanted = Wanted::AtMost(1.0);
const NONE: Wanted = Wanted::AtMost(0.0);

pub fn run(asked: &Asked) {
    let table = Table { newcomers: asked.entries.min(MOST) };
    println!("  {} newcomers, max {}, 70 % of it stale", table.newcomers, table.max());
    let each = |one: fn(Table) -> Outcome| (0..asked.runs).map(|_| one(table)).collect::<Vec<_>>();
    told("at 60 % of a bare listener's rate, written", &each(written), "%", NONE);
    told("at 40 % of a bare listener's rate, by packets", &each(connected), "%", NONE);
    told("at 30,000 a second, written", &each(steady), "%", NONE);
    let quota = each(quota);
    let peaks: Vec<f64> = quota.iter().map(|outcome| outcome.value).collect();
    ratio::beside("entries at most, of a quota at 30,000 a second", &peaks, "x", Wanted::AtMost(OF_A_QUOTA));
    ratio::beside("the writer's pace", &paces(&quota), "a second", Wanted::AtLeast(20_000.0));
    let delays: Vec<f64> = (0..asked.runs).filter_map(|_| first_act(table)).collect();
    if delays.is_empty() {
        println!("    no entry went while a table was filled above high");
    } else {
        ratio::beside("from the crossing of high to the first deletion", &delays, "s", FIRST_ACT_SECONDS);
    }
}

/// What a run gave, and the pace that its newcomers reached.
#[derive(Clone, Copy)]
struct Outcome {
    value: f64,
    pace: f64,
}

fn paces(outcomes: &[Outcome]) -> Vec<f64> {
    outcomes.iter().map(|outcome| outcome.pace).collect()
}

fn told(what: &str, outcomes: &[Outcome], unit: &str, wanted: Wanted) {
    let refused: Vec<f64> = outcomes.iter().map(|outcome| outcome.value).collect();
    ratio::beside(&format!("refused {what}"), &refused, unit, wanted);
    ratio::beside("reached", &paces(outcomes), "a second", Wanted::Nothing);
}

/// Live entries, one source for each hundred.
fn live(n: u32) -> Flow {
    Flow::established(source(10_000 + n / 100), SERVER4, (1024 + n % 100) as u16, 0)
}

/// A pinned max, and what comes to the table beside stale entries.
#[derive(Clone, Copy)]
struct Table {
    newcomers: u32,
}

impl Table {
    fn max(self) -> u32 {
        self.newcomers / 100 * 109
    }

    fn stale(self, topology: &Topology) {
        fill(&topology.gateway, flow::established(self.max() * 7 / 10, 500, IDLE_SECONDS));
    }

    /// An agent with `sections` beside the stale ones, and the newcomers that `fill_more` makes.
    fn relieved_while<T>(self, topology: &Topology, sections: &str, fill_more: impl FnOnce() -> T) -> T {
        self.stale(topology);
        let mut setup = Setup::new(&topology.gateway, sections);
        // All that this process starts is aged already.
        setup.aged = false;
        let agent = setup.start();
        let made = fill_more();
        wait::until("the table to leave the levels", Duration::from_secs(10), || {
            let count = topology.count();
            if count * 100 <= u64::from(self.max()) * 95 { Ok(()) } else { Err(format!("{count} entries")) }
        });
        assert_eq!(agent.stop(), 0);
        made
    }

    fn pinned(self) -> String {
        format!("[capacity]\nbuckets = \"never\"\nceiling = {}\n", self.max())
    }

    /// Percent of the newcomers.
    fn percent(self, refused: u64) -> f64 {
        refused as f64 * 100.0 / f64::from(self.newcomers)
    }

    /// Newcomers written at `rate`, refusals in percent.
    fn written_at(self, rate: u32) -> Outcome {
        let restore = Restore::new();
        restore.pin_max(self.max().into());
        let topology = Topology::new();
        let mut writer = Writer::new(&topology.gateway);
        let each = |writer: &mut Writer, n| writer.create(&live(n));
        let pace = self.relieved_while(&topology, &self.pinned(), || {
            paced(&mut writer, rate, self.newcomers, each, |_| ())
        });
        Outcome { value: self.percent(writer.refused.values().sum()), pace }
    }
}

/// Entries a second that one writer makes while a bare listener receives.
fn bare_rate(table: Table) -> f64 {
    let topology = Topology::new();
    let listener = Listener::start(&topology.gateway);
    let mut writer = Writer::new(&topology.gateway);
    let took = crate::process::seconds(|| {
        (0..table.newcomers).for_each(|n| writer.create(&live(n)));
        writer.flush();
    });
    assert!(listener.end().events > 0, "the listener heard nothing");
    f64::from(table.newcomers) / took
}

fn written(table: Table) -> Outcome {
    table.written_at((bare_rate(table) * SHARE) as u32)
}

fn steady(table: Table) -> Outcome {
    table.written_at(PER_SECOND)
}

/// Connections made by packets: no writer waits for what a delete holds, and each makes three events, of which an agent
/// that wants to know of foreign updates has the kernel make all.
fn connected(table: Table) -> Outcome {
    let bare = {
        let topology = Topology::new();
        packets::open(&topology);
        let listener = Listener::start(&topology.gateway);
        let rate = handshakes::handshakes(&topology, table.newcomers, None);
        assert!(listener.end().events > 0, "the listener heard nothing");
        assert_eq!(established(&topology), table.newcomers as usize, "flows that nothing hinders");
        rate
    };
    let restore = Restore::new();
    restore.pin_max(table.max().into());
    let topology = Topology::new();
    packets::open(&topology);
    let rate = (bare * SHARE_OF_CONNECTIONS) as u32;
    table.relieved_while(&topology, &table.pinned(), || {
        let before = statistics(&topology.gateway);
        let pace = handshakes::handshakes(&topology, table.newcomers, Some(rate));
        let after = statistics(&topology.gateway);
        let refused = ["drop", "early_drop", "insert_failed"].map(|name| after[name] - before[name]);
        let missing = u64::from(table.newcomers).saturating_sub(established(&topology) as u64);
        Outcome { value: table.percent(refused.iter().sum::<u64>().max(missing)), pace }
    })
}

/// Connections that were made by packets.
fn established(topology: &Topology) -> usize {
    let made = |row: &Row| row.destination == packets::NOBODY && row.tcp_state == Some(ESTABLISHED);
    rows(&topology.gateway).iter().filter(|row| made(row)).count()
}

/// The largest count while newcomers come, of the quota.
fn quota(table: Table) -> Outcome {
    let topology = Topology::new();
    let (peak, mut writer) = (Cell::new(0), Writer::new(&topology.gateway));
    let each = |writer: &mut Writer, n| writer.create(&live(n));
    let look = |_: &mut Writer| peak.set(peak.get().max(topology.count()));
    let sections = limit(table.max().into()) + "[flush]\ngrace_seconds = 2\n";
    let pace = table.relieved_while(&topology, &sections, || {
        paced(&mut writer, PER_SECOND, table.newcomers / 4 * 3, each, look)
    });
    Outcome { value: peak.get() as f64 / f64::from(table.max()), pace }
}

/// Seconds from when the table crosses high to the first deletion.
fn first_act(table: Table) -> Option<f64> {
    let topology = Topology::new();
    table.stale(&topology);
    let sections = limit(table.max().into());
    let mut setup = Setup::new(&topology.gateway, &sections);
    setup.aged = false;
    setup.write("interval_ms = 10000", &sections);
    let agent = setup.start();
    let (stale, high) = (table.max() * 7 / 10, table.max() * 8 / 10);
    let (written, crossed, acted) = (Cell::new(stale), Cell::new(None), Cell::new(None));
    let each = |writer: &mut Writer, n| {
        writer.create(&live(n));
        written.set(stale + n + 1);
    };
    let look = |_: &mut Writer| {
        let count = topology.count();
        if written.get() >= high && crossed.get().is_none() {
            crossed.set(Some(Instant::now()));
        }
        if count < u64::from(written.get()) && acted.get().is_none() {
            acted.set(Some(Instant::now()));
        }
    };
    paced(&mut Writer::new(&topology.gateway), 10_000, table.max() / 6, each, look);
    assert_eq!(agent.stop(), 0);
    Some(acted.get()?.saturating_duration_since(crossed.get()?).as_secs_f64())
}

/// How fast the suite's own writer fills a table and churns it: too slow, and it loads nothing.
pub fn writer(asked: &Asked) {
    let total = asked.entries.min(MOST);
    let fill_once = || {
        let topology = Topology::new();
        let took =
            crate::process::seconds(|| fill(&topology.gateway, flow::established(total, 100, IDLE_SECONDS)));
        f64::from(total) / took
    };
    let churn_once = || {
        let topology = Topology::new();
        let flow = |n: u32| Flow::established(source(n % 50), SERVER4, (1024 + n / 50) as u16, 0);
        crate::harness::fill::churn(&mut Writer::new(&topology.gateway), 60_000, total, total / 12, flow)
    };
    let each = |one: &dyn Fn() -> f64| (0..asked.runs).map(|_| one()).collect::<Vec<_>>();
    println!("  {total} entries");
    // A tenth of what an idle machine gives would starve what is to load the agent.
    ratio::beside("filled", &each(&fill_once), "entries a second", Wanted::AtLeast(60_000.0));
    ratio::beside("churned, of 60,000 asked for", &each(&churn_once), "a second", Wanted::AtLeast(45_000.0));
}
