//! What an event costs the agent, beside a listener that throws events away: at a quiet pace, and at a part of the most
//! that the machine makes while it is listened to.

use std::thread::{available_parallelism, scope, sleep};
use std::time::Duration;

use serde_json::Value;

use crate::Asked;
use crate::bare::{Heard, Listener};
use crate::gateway::{Gateway, mixed, within};
use crate::harness::agent::Agent;
use crate::harness::fill::{Writer, churn};
use crate::harness::flow::Flow;
use crate::harness::namespace::Namespace;
use crate::harness::wait;
use crate::process::settled;
use crate::ratio::{self, Spread, Wanted};

const OF_THE_MOST: f64 = 0.6;
const KEPT: u32 = 10_000;
const SOURCES: u32 = 10_000;
const MAX: u64 = 1_000_000;

pub fn run(asked: &Asked) {
    let (most, lost): (Vec<f64>, Vec<u64>) = (0..asked.runs).map(|_| most(asked)).unzip();
    let lost: u64 = lost.iter().sum();
    println!("  {} writers without a pause, {lost} times events lost beside the bare listener", writers());
    ratio::beside("the most", &most, "flows a second", Wanted::Nothing);
    let part = (Spread::of(&most).median * OF_THE_MOST) as u32;
    for (pace, what) in [(asked.per_second, String::new()), (part, format!(", {OF_THE_MOST} of the most"))] {
        println!("  {pace} flows a second{what}");
        at(asked, pace);
    }
}

/// Both at one pace, in turns.
fn at(asked: &Asked, per_second: u32) {
    let traffic = Traffic::new(per_second, asked.event_seconds);
    let (mut bare, mut ours, mut paces, mut lost) = (vec![], vec![], vec![], vec![]);
    for _ in 0..asked.runs {
        let (heard, pace) = bare_listener(traffic);
        bare.push(heard.us());
        paces.push(pace);
        if heard.events != traffic.events() {
            println!("    the bare listener lost {} events", traffic.events().saturating_sub(heard.events));
        }
        let (heard, pace) = agent(traffic);
        ours.push(heard.us());
        paces.push(pace);
        lost.push(heard.losses.max(traffic.events().saturating_sub(heard.events)) as f64);
    }
    ratio::of("CPU of an event in the agent, of a bare listener's", &ours, &bare, Wanted::AtMost(1.3));
    ratio::beside("lost by the agent", &lost, "events", Wanted::AtMost(0.0));
    ratio::beside("bare listener", &bare, "us of CPU an event", Wanted::Nothing);
    ratio::beside("agent", &ours, "us of CPU an event", Wanted::Nothing);
    ratio::beside("pace", &paces, "flows a second", Wanted::Nothing);
}

/// As many as write at once: one for each core.
fn writers() -> u32 {
    available_parallelism().map_or(1, |cores| cores.get() as u32)
}

/// Flows that are born and die, all but those kept.
#[derive(Clone, Copy)]
pub struct Traffic {
    per_second: u32,
    flows: u32,
}

impl Traffic {
    fn new(per_second: u32, seconds: u32) -> Self {
        Traffic { per_second, flows: (per_second * seconds).next_multiple_of(writers()).max(2 * KEPT) }
    }

    fn kept(self) -> u32 {
        KEPT / writers()
    }

    fn events(self) -> u64 {
        2 * u64::from(self.flows) - u64::from(self.kept() * writers())
    }

    /// Makes them; the pace that was reached.
    fn make(self, namespace: &Namespace, flow: fn(u32) -> Flow) -> f64 {
        let writers = writers();
        let write = |first: u32| {
            let mut writer = Writer::new(namespace);
            let flow = |n| flow(n * writers + first);
            let pace = churn(&mut writer, self.per_second / writers, self.flows / writers, self.kept(), flow);
            assert!(writer.refused.is_empty(), "refused by errno: {:?}", writer.refused);
            pace
        };
        scope(|scope| {
            let started: Vec<_> = (0..writers).map(|first| scope.spawn(move || write(first))).collect();
            started.into_iter().map(|thread| thread.join().expect("a writer")).sum()
        })
    }
}

fn flow(n: u32) -> Flow {
    mixed(n, SOURCES)
}

/// The pace of writers that never wait beside a bare listener, and how often it lost events.
fn most(asked: &Asked) -> (f64, u64) {
    let flows = Traffic::new(asked.per_second, asked.event_seconds).flows;
    let (heard, pace) = bare_listener(Traffic { per_second: u32::MAX, flows });
    (pace, heard.losses)
}

/// Microseconds of CPU for an event beside the entries that are there.
pub fn bare_listener_us(asked: &Asked, gateway: &Gateway) -> f64 {
    let flow = |n| within([10, 16, 0, 0].into(), n, 0);
    heard(gateway, Traffic::new(asked.per_second, asked.event_seconds), flow).0.us()
}

/// Events of flows of its own among the entries that are there, `again` or for the first time, for some of them stay;
/// the pace that was reached.
pub fn make(asked: &Asked, gateway: &Gateway, again: bool) -> f64 {
    let flow: fn(u32) -> Flow = match again {
        false => |n| within([10, 48, 0, 0].into(), n, 0),
        true => |n| within([10, 56, 0, 0].into(), n, 0),
    };
    Traffic::new(asked.per_second, asked.event_seconds).make(&gateway.namespace, flow)
}

/// The same in an agent.
pub fn agent_us(asked: &Asked, gateway: &Gateway, agent: &Agent<'_>) -> f64 {
    let flow = |n| within([10, 32, 0, 0].into(), n, 0);
    let traffic = Traffic::new(asked.per_second, asked.event_seconds);
    beside(agent, || traffic.make(&gateway.namespace, flow), traffic.events()).0.us()
}

fn bare_listener(traffic: Traffic) -> (Heard, f64) {
    heard(&Gateway::new(MAX), traffic, flow)
}

fn heard(gateway: &Gateway, traffic: Traffic, flow: fn(u32) -> Flow) -> (Heard, f64) {
    let listener = Listener::start(&gateway.namespace);
    let pace = traffic.make(&gateway.namespace, flow);
    (listener.end(), pace)
}

fn agent(traffic: Traffic) -> (Heard, f64) {
    let gateway = Gateway::new(MAX);
    let agent = gateway.start();
    let heard = beside(&agent, || traffic.make(&gateway.namespace, flow), traffic.events());
    assert_eq!(agent.stop(), 0);
    heard
}

/// What `agent` has of `events` that `make` causes, and the pace of `make`.
fn beside(agent: &Agent<'_>, make: impl FnOnce() -> f64, events: u64) -> (Heard, f64) {
    let number = |status: &Value, name: &str| status["agent"][name].as_u64().expect("a number");
    // The first question has the table scanned, which is no event's cost.
    let before = (agent.status(), settled(agent.pid));
    let pace = make();
    // Its end is not waited for by asking: an answer costs more than many events.
    sleep(Duration::from_millis(100));
    let cpu_seconds = settled(agent.pid) - before.1;
    let heard = || number(&agent.status(), "events") - number(&before.0, "events");
    let all = wait::until_or("all events", Duration::from_secs(2), || {
        Some(heard()).filter(|n| *n >= events).ok_or("too few")
    });
    let events = all.unwrap_or_else(|_| heard());
    let losses = number(&agent.status(), "lost_events") - number(&before.0, "lost_events");
    (Heard { events, losses, cpu_seconds }, pace)
}
