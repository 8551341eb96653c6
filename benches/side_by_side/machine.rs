//! What the numbers were measured on: they are worth nothing without it.

use std::time::Duration;

use crate::Asked;
use crate::harness::hostwide::{self, BUCKETS};
use crate::harness::wait;

fn line<'a>(text: &'a str, key: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value.map_or("unknown", |value| value.trim_start_matches([' ', '\t', ':']).trim_end())
}

/// Kernel, CPU and cores, in a line.
pub fn named() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (release, cpu) = (read("/proc/sys/kernel/osrelease"), read("/proc/cpuinfo"));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = release.trim().split('-').next().unwrap_or_default();
    format!("Linux {kernel}, {}, {cores} cores", line(&cpu, "model name"))
}

/// Memory in bytes that can still be had.
pub fn available_bytes() -> u64 {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = line(&memory, "MemAvailable").split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Waits until all tables of the host are short enough for so few buckets: lowered buckets crowd everybody's.
///
/// # Errors
/// What is in the way.
pub fn may_lower_buckets(to: u32) -> Result<(), String> {
    let most = u64::from(to) * 4;
    wait::until_or("other tables to be short", Duration::from_secs(20), || {
        let slabs = std::fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        let entries = line(&slabs, "nf_conntrack ").split_whitespace().next().and_then(|n| n.parse().ok());
        match entries.unwrap_or(0_u64) {
            entries if entries <= most => Ok(()),
            entries => Err(format!("{entries} entries are too many for {to} buckets")),
        }
    })
}

/// Prints kernel, CPU, cores, memory, buckets, how busy the machine is, and what was asked for.
pub fn print(asked: &Asked) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    println!("{}, {} of memory, {} buckets", named(), line(&memory, "MemTotal"), hostwide::read(BUCKETS));
    println!("load before: {}", read("/proc/loadavg").trim());
    println!("{} entries of {} sources, {} runs in turns", asked.entries, asked.sources(), asked.runs);
    println!("Medians, with the least and the most in brackets.");
}
