//! Questions to a running agent, and the first line of a list, each as a process; and whether they delay the stream of
//! events.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::{scope, sleep};
use std::time::Duration;

use crate::gateway::Gateway;
use crate::harness::agent::Agent;
use crate::process::{run as timed, seconds};
use crate::ratio::{self, Wanted};
use crate::{Asked, bare, part_events};

/// Questions a second while events come.
const QUESTIONS: u32 = 10;

pub fn run(asked: &Asked) {
    let gateway = asked.gateway();
    let agent = gateway.start();
    let (mut bare, mut top, mut head, mut nothing) = (vec![], vec![], vec![], vec![]);
    for _ in 0..asked.runs {
        bare.push(1000.0 * bare::dump(&gateway.namespace, asked.entries.into()));
        nothing.push(1000.0 * timed(&gateway.namespace, gateway.ctctl(&["--version"])));
        top.push(top_sources_ms(&gateway));
        head.push(first_line_ms(&gateway));
    }
    ratio::of("top-sources -n 20 from the agent, of a bare dump", &top, &bare, Wanted::Nothing);
    ratio::beside("top-sources -n 20", &top, "ms", Wanted::AtMost(10.0));
    ratio::beside("of that a process that only starts and ends", &nothing, "ms", Wanted::Nothing);
    ratio::of("list | head -1, of a bare dump", &head, &bare, Wanted::Nothing);
    ratio::beside("list | head -1", &head, "ms", Wanted::AtMost(50.0));
    println!("  while {} flows a second come and go", asked.per_second);
    let unasked = among_events(asked, &gateway, &agent, false);
    let among = among_events(asked, &gateway, &agent, true);
    ratio::beside("top-sources -n 20, ten a second", &among.took_ms, "ms", Wanted::AtMost(10.0));
    let (lag, unasked_lag) = (&among.lag_ms, &unasked.lag_ms);
    ratio::beside("events wait for, meanwhile", lag, "ms", Wanted::Nothing);
    ratio::beside("events wait for, unasked", unasked_lag, "ms", Wanted::Nothing);
    ratio::beside("lost", &[unasked.lost + among.lost], "events", Wanted::AtMost(0.0));
    assert_eq!(agent.stop(), 0);
}

/// How questions and events fare together.
struct Among {
    took_ms: Vec<f64>,
    /// The longest of a tick of the agent's, at each look.
    lag_ms: Vec<f64>,
    lost: f64,
}

fn among_events(asked: &Asked, gateway: &Gateway, agent: &Agent<'_>, ask: bool) -> Among {
    // The first has the table scanned, the others have not.
    let number = |place: &str| agent.status().pointer(place).and_then(|n| n.as_f64()).expect("a number");
    let lost = || number("/agent/lost_events");
    let (before, mut took_ms, mut lag_ms) = (lost(), vec![], vec![]);
    scope(|scope| {
        let events = scope.spawn(|| part_events::make(asked, gateway, ask));
        while !events.is_finished() {
            for _ in 0..QUESTIONS / 2 {
                sleep(Duration::from_secs(1) / QUESTIONS);
                if ask {
                    took_ms.push(top_sources_ms(gateway));
                }
            }
            lag_ms.push(1000.0 * number("/agent/queue/lag_seconds"));
        }
    });
    Among { took_ms, lag_ms, lost: lost() - before }
}

/// `top-sources -n 20`, as a process.
pub fn top_sources_ms(gateway: &Gateway) -> f64 {
    1000.0 * timed(&gateway.namespace, gateway.ctctl(&["top-sources", "-n", "20"]))
}

/// `list | head -1`.
pub fn first_line_ms(gateway: &Gateway) -> f64 {
    1000.0 * seconds(|| first_line(gateway.ctctl(&["list"])))
}

/// As `head -1`: reads a line, closes the pipe, and waits for the end.
fn first_line(mut command: Command) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line);
    assert!(read.is_ok_and(|bytes| bytes > 0), "no line came");
    child.wait().expect("its end");
}
