//! What docs/benchmarks.md says of speed, measured: each part beside a limit that receives and throws away, and beside
//! Debian's conntrack where that can do the same, in turns and in one run. Prints ratios and the machine; times stand
//! beside them for whoever wants to reckon. Runs as root, in network namespaces of its own.
//!
//! ```text
//! cargo bench                                     # all parts, a million entries
//! cargo bench -- scan flush --entries 100000 --runs 9
//! cargo bench -- churn --churn-seconds 3600       # an hour of it
//! cargo bench -- growth                           # 10k to 4M entries; draws benches/growth.svg
//! ```

mod bare;
mod chart;
mod gateway;
mod handshakes;
mod machine;
mod part_admission;
mod part_churn;
mod part_events;
mod part_flush;
mod part_growth;
mod part_memory;
mod part_queries;
mod part_rescue;
mod part_rest;
mod part_scan;
mod process;
mod ratio;
mod smoke;

// The integration suite's own harness: it shares no code with the program that is measured.
#[allow(dead_code)]
#[path = "../../integration/harness/mod.rs"]
mod harness;

use std::path::PathBuf;

use clap::Parser;
use clap::builder::PossibleValuesParser;

/// A part: its name, and what measures and prints it.
type Part = (&'static str, fn(&Asked));

const PARTS: [Part; 11] = [
    ("scan", part_scan::run),
    ("flush", part_flush::run),
    ("events", part_events::run),
    ("rescue", part_rescue::run),
    ("memory", part_memory::run),
    ("queries", part_queries::run),
    ("rest", part_rest::run),
    ("churn", part_churn::run),
    ("growth", part_growth::run),
    ("admission", part_admission::run),
    ("writer", part_admission::writer),
];

/// What was asked for on the command line.
#[derive(Parser, Clone, Debug)]
#[command(name = "side_by_side", about = "Measures ctctl beside the kernel's own limit and beside conntrack")]
pub struct Asked {
    /// What to measure; all where nothing is named
    #[arg(value_parser = PossibleValuesParser::new(PARTS.map(|(name, _)| name)))]
    parts: Vec<String>,
    /// Entries in the table
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(10_000..=4_000_000))]
    pub entries: u32,
    /// How often each is measured, in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Flows a second of the quieter of the two paces of events
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1000..))]
    pub per_second: u32,
    /// Seconds of events at each pace
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub event_seconds: u32,
    /// Seconds of rest
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub rest_seconds: u32,
    /// Seconds of churn
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub churn_seconds: u32,
    /// Flows that begin, and as many that end, in a second of churn
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub churn_per_second: u32,
    /// Tables of which the growth is told
    #[arg(long, value_delimiter = ',', value_name = "ENTRIES,...", default_values_t = [10_000, 100_000, 1_000_000, 4_000_000])]
    #[arg(value_parser = clap::value_parser!(u32).range(1000..=4_000_000))]
    pub sizes: Vec<u32>,
    /// Where the growth is drawn
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/growth.svg"))]
    pub svg: PathBuf,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Asked {
    /// Ten entries each.
    pub fn sources(&self) -> u32 {
        self.entries / 10
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|name| name == part)
    }

    fn measure(&self) {
        for (name, run) in PARTS.iter().filter(|(name, _)| self.wants(name)) {
            // Held by each part alone: tests that write the same values of the host wait for it, or it for them.
            let _lock = harness::hostwide::lock(true);
            println!("\n{name}");
            run(self);
        }
    }
}

fn main() {
    // Only `cargo bench` says so; `cargo test` runs the same binary.
    if !std::env::args().any(|argument| argument == "--bench") {
        return smoke::main();
    }
    let asked = Asked::parse();
    if let Err(why) = process::may_measure() {
        eprintln!("side_by_side: {why}");
        std::process::exit(3);
    }
    harness::cleanup::on_interrupt();
    machine::print(&asked);
    asked.measure();
}
