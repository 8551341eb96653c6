//! Counting a whole table by source, with idle classes, without an agent.

use std::process::Command;

use crate::Asked;
use crate::bare;
use crate::gateway::{Gateway, conntrack};
use crate::process::{peak_mb, run as timed};
use crate::ratio::{self, Wanted};

const COUNT: [&str; 6] = ["top-sources", "--direct", "-n", "20", "--by", "idle"];

/// The same without ctctl: entries by source, from the first tuple of each line.
const PIPELINE: &str =
    "conntrack -L 2>/dev/null | grep -o 'src=[^ ]*' | awk 'NR % 2' | sort | uniq -c | sort -rn | head -n 20";

fn pipeline() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", PIPELINE]).env("LC_ALL", "C").env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    command
}

/// Seconds that it takes.
pub fn seconds(gateway: &Gateway) -> f64 {
    timed(&gateway.namespace, gateway.ctctl(&COUNT))
}

pub fn run(asked: &Asked) {
    let gateway = asked.gateway();
    let (mut bare, mut ours, mut theirs, mut piped) = (vec![], vec![], vec![], vec![]);
    for _ in 0..asked.runs {
        bare.push(bare::dump(&gateway.namespace, asked.entries.into()));
        ours.push(seconds(&gateway));
        theirs.push(timed(&gateway.namespace, conntrack(&["-L"])));
        piped.push(timed(&gateway.namespace, pipeline()));
    }
    ratio::of("top-sources --direct, of a bare dump", &ours, &bare, Wanted::AtMost(1.10));
    ratio::of("conntrack -L, of top-sources --direct", &theirs, &ours, Wanted::AtLeast(2.5));
    ratio::of("conntrack -L, of a bare dump: more there cannot be", &theirs, &bare, Wanted::Nothing);
    ratio::of("conntrack -L | … | sort | uniq -c, of top-sources --direct", &piped, &ours, Wanted::Nothing);
    ratio::beside("bare dump", &bare, "s", Wanted::Nothing);
    ratio::beside("top-sources --direct", &ours, "s", Wanted::Nothing);
    ratio::beside("conntrack -L", &theirs, "s", Wanted::Nothing);
    ratio::beside("conntrack -L | … | sort | uniq -c", &piped, "s", Wanted::Nothing);
    ratio::beside("memory of top-sources at most", &[peak_mb(gateway.ctctl(&COUNT))], "MB", Wanted::Nothing);
}
