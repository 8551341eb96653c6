//! What the agent keeps of a table.

use crate::Asked;
use crate::gateway::Gateway;
use crate::process::{run as timed, status_mb};
use crate::ratio::{self, Wanted};

/// A slab object and its extension block, the least that the kernel spends on an entry.
const KERNEL_BYTES: f64 = 384.0;

pub fn run(asked: &Asked) {
    for (sources, wanted_mb) in [(asked.sources(), 64.0), (asked.entries, 160.0)] {
        let gateway = Gateway::mixed(asked.entries, sources);
        println!("  {} entries of {sources} sources", asked.entries);
        measure(asked, &gateway, Some(wanted_mb));
        gateway.remembers(true);
        println!("  the same, with remember_entries");
        measure(asked, &gateway, None);
    }
}

fn measure(asked: &Asked, gateway: &Gateway, wanted_mb: Option<f64>) {
    let agent = gateway.start();
    let mb = |line: &str| status_mb(agent.pid, line).expect("a running agent");
    let (now, most) = (mb("VmRSS:"), mb("VmHWM:"));
    let kernel = f64::from(asked.entries) * KERNEL_BYTES / 1e6;
    ratio::of("RSS of the agent, of the kernel's own for the entries", &[now], &[kernel], Wanted::Nothing);
    // The bound is for a million.
    let wanted = wanted_mb.filter(|_| asked.entries == 1_000_000).map_or(Wanted::Nothing, Wanted::AtMost);
    ratio::beside("RSS", &[now], "MB", wanted);
    ratio::beside("RSS at most since its start", &[most], "MB", wanted);
    timed(&gateway.namespace, gateway.ctctl(&["top-sources", "-n", "0"]));
    ratio::beside("the same after it told all its sources", &[mb("VmHWM:")], "MB", wanted);
    assert_eq!(agent.stop(), 0);
}
