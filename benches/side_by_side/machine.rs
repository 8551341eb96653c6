//! What the numbers were measured on: they are worth nothing without it.

use crate::Asked;
use crate::hostwide::{self, BUCKETS};

fn line<'a>(text: &'a str, key: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value.map_or("unknown", |value| value.trim_start_matches([' ', '\t', ':']).trim_end())
}

/// Prints kernel, CPU, cores, memory, buckets, how busy the machine is, and what was asked for.
pub fn print(asked: &Asked) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("Linux {}, {}", read("/proc/sys/kernel/osrelease").trim(), line(&cpu, "model name"));
    println!("{cores} cores, {} of memory, {} buckets", line(&memory, "MemTotal"), hostwide::read(BUCKETS));
    println!("load before: {}", read("/proc/loadavg").trim());
    println!("{} entries of {} sources, {} runs in turns", asked.entries, asked.sources(), asked.runs);
    println!("Medians, with the least and the most in brackets.");
}
