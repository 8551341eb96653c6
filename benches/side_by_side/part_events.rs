//! What an event costs the agent, beside a listener that throws events away.

use std::time::Duration;

use serde_json::Value;

use crate::Asked;
use crate::bare::{Heard, Listener};
use crate::fill::{Writer, churn};
use crate::gateway::{Gateway, mixed};
use crate::process::cpu_seconds;
use crate::ratio::{self, Wanted};
use crate::wait;

const PER_SECOND: u32 = 50_000;
const SECONDS: u32 = 5;
const FLOWS: u32 = PER_SECOND * SECONDS;
const KEPT: u32 = 10_000;
const SOURCES: u32 = 10_000;
/// Each flow is born, and dies unless it is among those kept.
const EVENTS: u64 = 2 * FLOWS as u64 - KEPT as u64;

pub fn run(asked: &Asked) {
    let (mut bare, mut ours, mut paces) = (vec![], vec![], vec![]);
    for _ in 0..asked.runs {
        let (heard, pace) = bare_listener();
        assert_eq!((heard.losses, heard.events), (0, EVENTS), "what the bare listener lost, and heard");
        bare.push(heard.cpu_seconds / heard.events as f64 * 1e6);
        paces.push(pace);
        let (heard, pace) = agent();
        assert_eq!((heard.losses, heard.events), (0, EVENTS), "what the agent lost, and heard");
        ours.push(heard.cpu_seconds / heard.events as f64 * 1e6);
        paces.push(pace);
    }
    ratio::of("CPU of an event in the agent, of a bare listener's", &ours, &bare, Wanted::AtMost(1.3));
    ratio::beside("bare listener", &bare, "us of CPU an event", Wanted::Nothing);
    ratio::beside("agent", &ours, "us of CPU an event", Wanted::Nothing);
    ratio::beside("pace", &paces, "flows a second, none lost", Wanted::Nothing);
}

fn traffic(gateway: &Gateway) -> f64 {
    let mut writer = Writer::new(&gateway.namespace);
    let pace = churn(&mut writer, PER_SECOND, FLOWS, KEPT, |n| mixed(n, SOURCES));
    assert!(writer.refused.is_empty(), "refused by errno: {:?}", writer.refused);
    pace
}

fn bare_listener() -> (Heard, f64) {
    let gateway = Gateway::new(1_000_000);
    let listener = Listener::start(&gateway.namespace);
    let pace = traffic(&gateway);
    (listener.end(), pace)
}

fn agent() -> (Heard, f64) {
    let gateway = Gateway::new(1_000_000);
    let agent = gateway.start();
    let number = |status: &Value, name: &str| status["agent"][name].as_u64().expect("a number");
    let before = (agent.status(), cpu_seconds(agent.pid));
    let pace = traffic(&gateway);
    let events = || number(&agent.status(), "events") - number(&before.0, "events");
    // Its end is not waited for by asking: an answer costs more than many events.
    std::thread::sleep(Duration::from_millis(100));
    let cpu_seconds = cpu_seconds(agent.pid) - before.1;
    let all = wait::until_or("all events", Duration::from_secs(2), || {
        Some(events()).filter(|n| *n >= EVENTS).ok_or("too few")
    });
    let heard = all.unwrap_or_else(|_| events());
    let losses = number(&agent.status(), "lost_events") - number(&before.0, "lost_events");
    assert_eq!(agent.stop(), 0);
    (Heard { events: heard, losses, cpu_seconds }, pace)
}
