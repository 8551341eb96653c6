//! What the agent costs while nothing happens.

use std::time::{Duration, Instant};

use crate::Asked;
use crate::process::cpu_seconds;
use crate::ratio::{self, Wanted};

const SETTLE: Duration = Duration::from_secs(3);
const SPAN: Duration = Duration::from_secs(30);

pub fn run(asked: &Asked) {
    let gateway = asked.gateway();
    let agent = gateway.start();
    // What belongs to the start is over.
    std::thread::sleep(SETTLE);
    let (started, before) = (Instant::now(), cpu_seconds(agent.pid));
    std::thread::sleep(SPAN);
    let percent = (cpu_seconds(agent.pid) - before) / started.elapsed().as_secs_f64() * 100.0;
    ratio::beside("the agent, over 30 s", &[percent], "% of one core", Wanted::AtMost(0.2));
    assert_eq!(agent.stop(), 0);
}
