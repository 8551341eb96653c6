//! What the agent costs while nothing happens.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Asked;
use crate::harness::agent::Agent;
use crate::process::{cpu_seconds, settled};
use crate::ratio::{self, Wanted};

const SETTLE: Duration = Duration::from_secs(3);

pub fn run(asked: &Asked) {
    let gateway = asked.gateway();
    let agent = gateway.start();
    let percent = percent(asked, &agent);
    let what = format!("the agent, over {} s", asked.rest_seconds);
    ratio::beside(&what, &[percent], "% of one core", Wanted::AtMost(0.2));
    assert_eq!(agent.stop(), 0);
}

/// Percent of a core that it takes.
pub fn percent(asked: &Asked, agent: &Agent<'_>) -> f64 {
    // What belongs to the start is over, the first look at the whole table too.
    sleep(SETTLE);
    settled(agent.pid);
    let (started, before) = (Instant::now(), cpu_seconds(agent.pid));
    sleep(Duration::from_secs(asked.rest_seconds.into()));
    (cpu_seconds(agent.pid) - before) / started.elapsed().as_secs_f64() * 100.0
}
