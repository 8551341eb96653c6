//! Counting a whole table by source, with idle classes, without an agent.

use crate::Asked;
use crate::bare;
use crate::gateway::{Gateway, conntrack};
use crate::process::{peak_mb, run as timed};
use crate::ratio::{self, Wanted};

const COUNT: [&str; 6] = ["top-sources", "--direct", "-n", "20", "--by", "idle"];

/// Seconds that it takes.
pub fn seconds(gateway: &Gateway) -> f64 {
    timed(&gateway.namespace, gateway.ctctl(&COUNT))
}

pub fn run(asked: &Asked) {
    let gateway = asked.gateway();
    let (mut bare, mut ours, mut theirs) = (vec![], vec![], vec![]);
    for _ in 0..asked.runs {
        bare.push(bare::dump(&gateway.namespace, asked.entries.into()));
        ours.push(seconds(&gateway));
        theirs.push(timed(&gateway.namespace, conntrack(&["-L"])));
    }
    ratio::of("top-sources --direct, of a bare dump", &ours, &bare, Wanted::AtMost(1.10));
    ratio::of("conntrack -L, of top-sources --direct", &theirs, &ours, Wanted::AtLeast(2.5));
    ratio::beside("bare dump", &bare, "s", Wanted::Nothing);
    ratio::beside("top-sources --direct", &ours, "s", Wanted::Nothing);
    ratio::beside("conntrack -L", &theirs, "s", Wanted::Nothing);
    ratio::beside("memory of top-sources at most", &[peak_mb(gateway.ctctl(&COUNT))], "MB", Wanted::Nothing);
}
