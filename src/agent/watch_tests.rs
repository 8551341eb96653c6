//! What an event costs the thread that hears it.

use std::time::Instant;

use crate::model::{Class, Entry, Event, EventKind, L4, TCP, TcpInfo, TcpState, Tuple};
use crate::state::{Identify, RegretMeter};

fn syn(n: u32) -> Entry {
    let source = std::net::Ipv4Addr::from(0x0a00_0000 + (n >> 16)).into();
    let l4 = L4::Ports { source: n as u16, destination: 443 };
    let original = Tuple { source, destination: [192, 0, 2, 2].into(), protocol: TCP, l4 };
    let tcp = Some(TcpInfo { state: TcpState::SynSent, flags_original: 0, flags_reply: 0 });
    Entry { original, tcp, ..Entry::default() }
}

/// `cargo test --lib agent::watch -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn what_regret_costs_an_event() {
    const BATCH: u32 = 256;
    let new = |n: u32| Event { kind: EventKind::New, entry: syn((1 << 24) + n), foreign: false };
    let events: Vec<Event> = (0..1 << 16).map(new).collect();
    let meter = RegretMeter::new(Identify::default());
    let hear = |what: &str| {
        let started = Instant::now();
        for _ in 0..64 {
            events.iter().for_each(|event| meter.heard(std::hint::black_box(event), || 110.0));
        }
        let ns = started.elapsed().as_nanos() as f64 / (64 * events.len()) as f64;
        println!("{what}: {ns:.2} ns an event");
    };
    let delete = |from: u32, n: u32| {
        let started = Instant::now();
        for batch in (from..from + n).step_by(BATCH as usize) {
            meter.going((batch..batch + BATCH).map(|n| (syn(n), Class::Established)), 100.0);
        }
        println!("{:.0} ns a deletion", started.elapsed().as_nanos() as f64 / f64::from(n));
    };
    hear("nothing deleted lately");
    delete(0, 1 << 16);
    hear("65,536 deletions remembered");
    delete(1 << 20, 3 << 18);
    hear("as many as can be");
}
