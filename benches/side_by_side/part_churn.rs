//! Does the agent's memory stay flat while the entries and their sources are ever other ones?

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::Asked;
use crate::gateway::{Gateway, SERVER};
use crate::harness::fill::{Writer, fill, paced};
use crate::harness::flow::Flow;
use crate::process::status_mb;
use crate::ratio::{self, Wanted};

const PER_SOURCE: u32 = 10;
/// Looks at the memory between start and end.
const LOOKS: u32 = 9;

pub fn run(asked: &Asked) {
    let gateway = Gateway::new(u64::from(asked.entries) * 2);
    fill(&gateway.namespace, (0..asked.entries).map(flow));
    let agent = gateway.start();
    let mb = |line: &str| status_mb(agent.pid, line).expect("a running agent");
    let (start, mut between) = (mb("VmRSS:"), vec![]);
    let (every, started) = (Duration::from_secs(asked.churn_seconds.into()) / (LOOKS + 1), Instant::now());
    let each = |writer: &mut Writer, n: u32| {
        writer.create(&flow(asked.entries + n));
        writer.delete(&flow(n));
    };
    let look = |_: &mut Writer| {
        if started.elapsed() > every * (between.len() as u32 + 1) {
            between.push(mb("VmRSS:"));
        }
    };
    // Each is a birth, and the end of the oldest.
    let (per_second, mut writer) = (asked.churn_per_second, Writer::new(&gateway.namespace));
    let total = per_second * asked.churn_seconds;
    let pace = paced(&mut writer, per_second, total, each, look);
    assert!(writer.refused.is_empty(), "refused by errno: {:?}", writer.refused);
    let last = mb("VmRSS:");
    println!("  {} entries; {total} ended and as many others began", asked.entries);
    // Tables that entries come to and go from double once before they are as large as they will be.
    let settled = *between.first().unwrap_or(&start);
    ratio::of("RSS at the end, of that after a tenth of the time", &[last], &[settled], Wanted::AtMost(1.1));
    let between: Vec<String> = between.iter().map(|mb| format!("{mb:.1}")).collect();
    println!("    RSS: {start:.1}, {}, {last:.1} MB", between.join(", "));
    ratio::beside("RSS at most since its start", &[mb("VmHWM:")], "MB", Wanted::Nothing);
    ratio::beside("pace", &[pace], "flows a second", Wanted::Nothing);
    ratio::beside(
        "lost",
        &[agent.status()["agent"]["lost_events"].as_f64().unwrap_or(f64::NAN)],
        "events",
        Wanted::AtMost(0.0),
    );
    assert_eq!(agent.stop(), 0);
}

/// The `n`th of ever other flows; a source is used again when all of 10/8 were.
fn flow(n: u32) -> Flow {
    let from = Ipv4Addr::from(0x0a00_0000 | (n / PER_SOURCE) & 0x00ff_ffff);
    Flow::established(from, SERVER, 1024 + (n % PER_SOURCE) as u16, 0)
}
