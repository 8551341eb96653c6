//! Deleting what is idle among what is not, and one source's entries among all.

use std::net::Ipv4Addr;

use crate::Asked;
use crate::bare::{self, Deletes};
use crate::gateway::{Gateway, conntrack, within};
use crate::harness::fill::fill;
use crate::harness::flow::Flow;
use crate::process::run as timed;
use crate::ratio::{self, Wanted};

/// Over the floor of every class.
const IDLE_SECONDS: u32 = 8000;
const LIVE: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 0);
const IDLE: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 0);
const IDLE_PREFIX: &str = "10.64.0.0/10";
const ONE: &str = "10.32.0.1";
const OF_ONE: u32 = 200;

pub fn run(asked: &Asked) {
    let gateway = Gateway::new(u64::from(asked.entries) * 2);
    stale(asked, &gateway);
    one_source(asked, &gateway);
}

/// Fills in `flows`, lets `delete` take seconds, and checks that they and only they are gone.
fn taking(gateway: &Gateway, flows: &[Flow], delete: impl FnOnce() -> f64) -> f64 {
    let before = gateway.count();
    fill(&gateway.namespace, flows.iter().cloned());
    let took = delete();
    assert_eq!(gateway.count(), before, "what was filled in has to go, and nothing else");
    took
}

/// Idle flows to come and go beside living ones.
pub struct Stale<'a> {
    gateway: &'a Gateway,
    flows: Vec<Flow>,
    deletes: Deletes,
}

impl<'a> Stale<'a> {
    /// Fills `gateway` with the living of `entries`.
    pub fn new(gateway: &'a Gateway, entries: u32) -> Self {
        let idle = entries / 10 * 3;
        fill(&gateway.namespace, (0..entries - idle).map(|n| within(LIVE, n, 0)));
        let flows: Vec<Flow> = (0..idle).map(|n| within(IDLE, n, IDLE_SECONDS)).collect();
        let deletes = Deletes::of(&flows);
        Stale { gateway, flows, deletes }
    }

    /// Seconds of a bare dump and bare deletes.
    pub fn bare(&self) -> f64 {
        let namespace = &self.gateway.namespace;
        let both = || bare::dump(namespace, self.gateway.count()) + self.deletes.run(namespace);
        taking(self.gateway, &self.flows, both)
    }

    /// Seconds of `flush --stale`.
    pub fn ours(&self) -> f64 {
        let flush = self.gateway.ctctl(&["flush", "--stale", "--yes"]);
        taking(self.gateway, &self.flows, || timed(&self.gateway.namespace, flush))
    }

    /// Seconds of conntrack, which has to be told where they are.
    fn theirs(&self) -> f64 {
        let delete = conntrack(&["-D", "-s", IDLE_PREFIX]);
        taking(self.gateway, &self.flows, || timed(&self.gateway.namespace, delete))
    }
}

fn stale(asked: &Asked, gateway: &Gateway) {
    let table = Stale::new(gateway, asked.entries);
    let (mut bare, mut ours, mut theirs) = (vec![], vec![], vec![]);
    for _ in 0..asked.runs {
        bare.push(table.bare());
        ours.push(table.ours());
        theirs.push(table.theirs());
    }
    println!("  {} idle of {}", table.flows.len(), asked.entries);
    ratio::of("flush --stale, of a bare dump and bare deletes", &ours, &bare, Wanted::AtMost(0.9));
    ratio::of("conntrack -D -s PREFIX, of flush --stale", &theirs, &ours, Wanted::AtLeast(2.0));
    ratio::beside("bare dump and bare deletes", &bare, "s", Wanted::Nothing);
    ratio::beside("flush --stale", &ours, "s", Wanted::Nothing);
    ratio::beside("conntrack -D -s PREFIX", &theirs, "s", Wanted::Nothing);
}

fn one_source(asked: &Asked, gateway: &Gateway) {
    let namespace = &gateway.namespace;
    let from: Ipv4Addr = ONE.parse().expect("an address");
    let to = Ipv4Addr::new(198, 51, 100, 7);
    let flows: Vec<Flow> = (0..OF_ONE).map(|n| Flow::established(from, to, 1024 + n as u16, 0)).collect();
    let flush = || gateway.ctctl(&["flush", "-s", ONE, "--yes"]);
    let (mut bare, mut alone, mut theirs) = (vec![], vec![], vec![]);
    for _ in 0..asked.runs {
        bare.push(bare::dump(namespace, gateway.count()));
        alone.push(taking(gateway, &flows, || timed(namespace, flush())));
        theirs.push(taking(gateway, &flows, || timed(namespace, conntrack(&["-D", "-s", ONE]))));
    }
    let [asking, remembered] = [false, true].map(|remembers| {
        gateway.remembers(remembers);
        let agent = gateway.start();
        let took = || taking(gateway, &flows, || timed(namespace, flush()));
        let took: Vec<f64> = (0..asked.runs).map(|_| took()).collect();
        assert_eq!(agent.stop(), 0);
        took
    });
    println!("  {OF_ONE} of one source, of {}", gateway.count());
    ratio::of("flush -s SOURCE, of a bare dump", &alone, &bare, Wanted::Nothing);
    ratio::of("flush -s SOURCE beside an agent, of a bare dump", &asking, &bare, Wanted::Nothing);
    ratio::of("the same where it remembers entries", &remembered, &bare, Wanted::Nothing);
    ratio::of("conntrack -D -s SOURCE, of flush -s SOURCE", &theirs, &alone, Wanted::Nothing);
    let milliseconds = |took: &[f64]| took.iter().map(|seconds| seconds * 1000.0).collect::<Vec<f64>>();
    ratio::beside("flush -s SOURCE beside an agent", &milliseconds(&asking), "ms", Wanted::Nothing);
    let remembered = milliseconds(&remembered);
    ratio::beside("the same where it remembers entries", &remembered, "ms", Wanted::AtMost(10.0));
}
