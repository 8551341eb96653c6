//! Questions to a running agent, and the first line of a list, each as a process.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::Asked;
use crate::bare;
use crate::gateway::Gateway;
use crate::process::{run as timed, seconds};
use crate::ratio::{self, Wanted};

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
    assert_eq!(agent.stop(), 0);
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
