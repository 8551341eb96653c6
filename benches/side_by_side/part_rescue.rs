//! From the moment when a table of dead entries is full to the first connection that gets in.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::bare;
use crate::gateway::Gateway;
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{Flow, source};
use crate::ratio::{self, Wanted};
use crate::{Asked, machine};

const SMALL: u32 = 65_536;
/// As many as the agent's own ceiling allows at most.
const CROWDED: u32 = 8;
const IDLE_SECONDS: u32 = 8000;
/// Stale when the agent comes, below every level.
const STALE_PERCENT: u32 = 70;
const PATIENCE: Duration = Duration::from_secs(20);
const WANTED_MS: Wanted = Wanted::AtMost(100.0);

pub fn run(asked: &Asked) {
    // One size where a small table was asked for.
    let sizes = BTreeSet::from([SMALL.min(asked.entries), asked.entries]);
    for (entries, each) in sizes.into_iter().flat_map(|entries| [(entries, 1), (entries, CROWDED)]) {
        match machine::may_lower_buckets(entries / each) {
            Ok(()) => of(asked, Table { entries, buckets: entries / each }, each),
            Err(why) => println!("  left out: {entries} entries, {each} a bucket: {why}"),
        }
    }
}

fn of(asked: &Asked, table: Table, each: u32) {
    let (mut bare, mut running, mut held, mut starting, mut free) = (vec![], vec![], vec![], vec![], 0);
    for _ in 0..asked.runs {
        let Some(woken) = table.while_held() else {
            println!("  never full at {} entries: does another agent raise nf_conntrack_max?", table.entries);
            return;
        };
        held.push(woken.as_secs_f64());
        let (dump, waited) = table.while_running();
        free += u32::from(waited.is_none());
        bare.push(dump);
        running.push(waited.unwrap_or_default().as_secs_f64());
        starting.push(table.at_start().as_secs_f64());
    }
    println!("  {} entries, {each} a bucket; {free} of {} times never full", table.entries, asked.runs);
    for (what, seconds, wanted) in [
        ("from full to the first admitted", &running, WANTED_MS),
        ("from the end of a SIGSTOP, while which it became full", &held, WANTED_MS),
        ("from the start of an agent", &starting, Wanted::Nothing),
    ] {
        let milliseconds: Vec<f64> = seconds.iter().map(|s| s * 1000.0).collect();
        ratio::of(&format!("{what}, of a bare dump"), seconds, &bare, Wanted::Nothing);
        ratio::beside(what, &milliseconds, "ms", wanted);
    }
}

fn live(n: u32) -> Flow {
    crate::gateway::within([10, 64, 0, 0].into(), n, 0)
}

fn stale(count: u32) -> impl Iterator<Item = Flow> {
    let sources = count / 100 + 1;
    (0..count).map(move |n| {
        Flow::established(source(n % sources), [192, 0, 2, 9], 1024 + (n / sources) as u16, IDLE_SECONDS)
    })
}

/// A table that becomes full: max and buckets of the host.
#[derive(Clone, Copy)]
pub struct Table {
    pub entries: u32,
    pub buckets: u32,
}

impl Table {
    fn dead(self) -> u32 {
        self.entries / 100 * STALE_PERCENT
    }

    fn with_stale(self, count: u32) -> Gateway {
        let gateway = Gateway::new(self.entries.into()).with_buckets(self.buckets);
        fill(&gateway.namespace, stale(count));
        gateway
    }

    /// An agent that runs, and new entries as fast as one writer makes them. A bare dump of the stale ones, and how
    /// long nobody got in, `None` where the table never became full.
    fn while_running(self) -> (f64, Option<Duration>) {
        let gateway = self.with_stale(self.dead());
        let dump = bare::dump(&gateway.namespace, self.dead().into());
        let agent = gateway.start();
        // As many as there is room for beside the stale ones, and as many again.
        let waited = Attempts::new(&gateway, 32).shut_out((self.entries - self.dead()) * 2, || ());
        assert_eq!(agent.stop(), 0);
        (dump, waited)
    }

    /// One that became full while the agent was stopped: from when it goes on. `None` where it never became full, for
    /// somebody else raised max.
    pub fn while_held(self) -> Option<Duration> {
        let gateway = self.with_stale(self.dead());
        let agent = gateway.start();
        agent.signal(Signal::SIGSTOP);
        let go_on = || agent.signal(Signal::SIGCONT);
        let woken = Attempts::new(&gateway, 32).shut_out(self.entries, go_on);
        go_on();
        assert_eq!(agent.stop(), 0);
        woken
    }

    /// One that is full already when the agent is started.
    fn at_start(self) -> Duration {
        let gateway = self.with_stale(self.entries);
        let mut attempts = Attempts::new(&gateway, 1);
        assert_eq!(attempts.admitted(), 0, "the table is full: nobody gets in");
        let mut agent = gateway.spawn();
        while attempts.admitted() == 0 {
            assert!(agent.started.elapsed() < PATIENCE, "nobody got in; {}", agent.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        let waited = agent.started.elapsed();
        agent.ready();
        assert_eq!(agent.stop(), 0);
        waited
    }
}

/// New entries, `each` at a time.
struct Attempts {
    writer: Writer,
    each: u32,
    tried: u32,
}

impl Attempts {
    fn new(gateway: &Gateway, each: u32) -> Self {
        Attempts { writer: Writer::new(&gateway.namespace), each, tried: 0 }
    }

    /// Tries some more; how many got in.
    fn admitted(&mut self) -> u32 {
        let refused = |writer: &Writer| writer.refused.values().sum::<u64>();
        let before = refused(&self.writer);
        (self.tried..self.tried + self.each).for_each(|n| self.writer.create(&live(n)));
        self.writer.flush();
        self.tried += self.each;
        self.each - (refused(&self.writer) - before) as u32
    }

    /// From the first that was refused, when `at_full` is called, to the next that was not; `None` where none of more
    /// than `most` is refused.
    fn shut_out(&mut self, most: u32, at_full: impl FnOnce()) -> Option<Duration> {
        while self.admitted() == self.each {
            if self.tried > most {
                return None;
            }
        }
        let full = Instant::now();
        at_full();
        while self.admitted() == 0 {
            assert!(full.elapsed() < PATIENCE, "nobody got in");
        }
        Some(full.elapsed())
    }
}
