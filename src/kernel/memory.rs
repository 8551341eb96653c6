//! What the host's memory allows, and what an entry costs on the running kernel.
#![allow(unsafe_code)]

use super::root::Root;
use crate::model::MemoryFacts;

/// What an entry costs where it cannot be measured: 256 of slab and 192 of extensions, the most seen on 6.18.
const ASSUMED_BYTES: u64 = 448;
/// `NF_CT_EXT_PREALLOC` (net/netfilter/nf_conntrack_extend.c): the block's first size.
const EXTENSION_BYTES: u64 = 128;
/// The next kmalloc size, for entries that carry more.
const LARGE_EXTENSION_BYTES: u64 = 192;

/// Memory and the cost of an entry, for the calling thread's network namespace. It reads /proc/slabinfo,
/// so call it at a pace of seconds, and [`refresh`] in between.
pub fn facts(own_count: u64) -> MemoryFacts {
    cost(&Root::default(), page_bytes(), own_count)
}

/// Reads again what /proc/meminfo tells, the rest stays.
pub fn refresh(facts: &mut MemoryFacts) {
    meminfo(&Root::default(), facts);
}

/// MemTotal; 0 where it cannot be read.
pub fn total_bytes() -> u64 {
    let mut facts = MemoryFacts::default();
    refresh(&mut facts);
    facts.total_bytes
}

fn page_bytes() -> u64 {
    // SAFETY: sysconf reads a constant and takes no pointer.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

fn cost(root: &Root, page_bytes: u64, own_count: u64) -> MemoryFacts {
    let mut facts = MemoryFacts::default();
    meminfo(root, &mut facts);
    let assumed =
        |why: &str| (ASSUMED_BYTES, format!("assumed: {why}, and {ASSUMED_BYTES} is the most seen"));
    (facts.bytes_per_entry, facts.bytes_per_entry_basis) =
        match std::fs::read_to_string(root.join("proc/slabinfo")) {
            Err(e) => assumed(&format!("/proc/slabinfo cannot be read ({e})")),
            Ok(text) => match Slab::parse(&text) {
                None => assumed("/proc/slabinfo has no usable nf_conntrack row (merged into another cache?)"),
                Some(slab) => {
                    // The kernel's number counts free objects of per-CPU slabs as used, never the reverse.
                    facts.entries_all_namespaces = Some(slab.active.max(own_count));
                    measured(root, &slab, page_bytes)
                }
            },
        };
    facts
}

fn measured(root: &Root, slab: &Slab, page_bytes: u64) -> (u64, String) {
    let object = (slab.pages_per_slab * page_bytes).div_ceil(slab.objects_per_slab);
    let (extension, why) = extension(root);
    let (n, pages) = (slab.objects_per_slab, slab.pages_per_slab * page_bytes);
    let basis = format!(
        "measured on this kernel: {object} bytes of the nf_conntrack slab ({n} objects in {pages} bytes), \
         with {extension} for the extension block ({why})"
    );
    (object + extension, basis)
}

/// The extension block lies in a shared kmalloc cache and cannot be measured alone: its size follows from what is
/// switched on. It is never taken for smaller than it can be.
fn extension(root: &Root) -> (u64, &'static str) {
    let on = |name: &str| root.text(&format!("proc/sys/net/netfilter/nf_conntrack_{name}")).trim() == "1";
    if on("acct") {
        return (LARGE_EXTENSION_BYTES, "nf_conntrack_acct is on");
    }
    if on("timestamp") {
        return (LARGE_EXTENSION_BYTES, "nf_conntrack_timestamp is on");
    }
    let modules = root.text("proc/modules");
    let loaded = |name: &str| modules.lines().any(|l| l.split(' ').next() == Some(name));
    if !loaded("nf_conntrack") {
        return (LARGE_EXTENSION_BYTES, "conntrack is built in, so NAT may be in use");
    }
    if loaded("nf_nat") {
        return (LARGE_EXTENSION_BYTES, "nf_nat is loaded");
    }
    if loaded("xt_connlabel") || loaded("nfnetlink_cttimeout") || modules.lines().any(is_helper) {
        return (LARGE_EXTENSION_BYTES, "labels, timeout policies or helpers are loaded");
    }
    (EXTENSION_BYTES, "no accounting, timestamps, NAT, labels, timeout policies or helpers")
}

/// A conntrack helper (`nf_conntrack_ftp`, …), not the table's own modules.
fn is_helper(line: &str) -> bool {
    let name = line.split(' ').next().unwrap_or_default();
    let own = ["nf_conntrack_netlink", "nf_conntrack_broadcast", "nf_conntrack_bridge"];
    name.starts_with("nf_conntrack_") && !own.contains(&name)
}

fn meminfo(root: &Root, facts: &mut MemoryFacts) {
    let text = root.text("proc/meminfo");
    let number = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let bytes = |name: &str| number(name).map(|k| k.saturating_mul(1024));
    facts.total_bytes = bytes("MemTotal").unwrap_or(0);
    facts.available_bytes = bytes("MemAvailable").or_else(|| bytes("MemFree")).unwrap_or(0);
    let default_size =
        number("HugePages_Total").unwrap_or(0).saturating_mul(bytes("Hugepagesize").unwrap_or(0));
    // Hugetlb counts the pages of every size, HugePages_Total those of the default size.
    facts.huge_pages_bytes = bytes("Hugetlb").unwrap_or(0).max(default_size);
}

/// The `nf_conntrack` row of slabinfo(5).
struct Slab {
    active: u64,
    objects_per_slab: u64,
    pages_per_slab: u64,
}

impl Slab {
    fn parse(text: &str) -> Option<Slab> {
        let row = text.lines().find(|l| l.split_whitespace().next() == Some("nf_conntrack"))?;
        let field = |n: usize| row.split_whitespace().nth(n)?.parse::<u64>().ok();
        let slab = Slab { active: field(1)?, objects_per_slab: field(4)?, pages_per_slab: field(5)? };
        // Nothing real is outside these; inside them no arithmetic overflows.
        let plausible =
            (1..=1 << 16).contains(&slab.objects_per_slab) && (1..=1 << 16).contains(&slab.pages_per_slab);
        plausible.then_some(slab)
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
