//! Reads the host's memory, and the cost of an entry on the running kernel.
#![allow(unsafe_code)]

use std::collections::BTreeMap;

use super::root::Root;
use crate::core::model::MemoryFacts;

/// Bytes of an entry where they cannot be measured: 256 of slab and 192 of extensions, the most seen on 6.18.
const ASSUMED_BYTES: u64 = 448;
/// `NF_CT_EXT_PREALLOC` (net/netfilter/nf_conntrack_extend.c): the least that is asked of kmalloc for an extension
/// block.
const PREALLOCATED_BYTES: u64 = 128;
/// `struct nf_ct_ext` before its data, on 64 bits.
const EXTENSION_HEADER_BYTES: u64 = 16;
/// The most that an extension block can take: its length is a byte.
const LONGEST_EXTENSION_BYTES: u64 = 256;

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
                    measured(root, &slab, &blocks(&text, page_bytes), page_bytes)
                }
            },
        };
    facts
}

fn measured(root: &Root, slab: &Slab, blocks: &[Blocks], page_bytes: u64) -> (u64, String) {
    let object = slab.object_bytes(page_bytes);
    let (derived, switched_on) = extension(root);
    let (extension, why) = counted(slab.active, derived, blocks);
    let (n, pages) = (slab.objects_per_slab, slab.pages_per_slab * page_bytes);
    let basis = format!(
        "measured on this kernel: {object} bytes of the nf_conntrack slab ({n} objects in {pages} bytes), \
         with {extension} for the extension block ({why}; switched on: {switched_on})"
    );
    (object + extension, basis)
}

/// Bytes of an extension block as `nf_ct_ext_add` makes it for an entry that packets make, before kmalloc rounds them
/// up, and what they are for; 0 where an entry has no block at all.
///
/// Helpers are left out: the few entries that have one carry it alone.
fn extension(root: &Root) -> (u64, String) {
    let sysctl = |name: &str| root.text(&format!("proc/sys/net/netfilter/nf_conntrack_{name}"));
    let on = |name: &str| sysctl(name).trim() == "1";
    let modules = root.text("proc/modules");
    let loaded =
        |names: &[&str]| modules.lines().any(|line| names.contains(&line.split(' ').next().unwrap_or("")));
    // 2, and a listener: an agent is one. A kernel without the sysctl has no events.
    let events = !matches!(sysctl("events").trim(), "0" | "");
    let parts: [(bool, u64, &str); 8] = [
        (on("acct"), 32, "accounting"),
        (on("timestamp"), 16, "timestamps"),
        (events, 24, "events"),
        (loaded(&["xt_connlabel", "openvswitch"]), 16, "labels"),
        (loaded(&["nf_nat"]), 8, "NAT"),
        (loaded(&["nfnetlink_cttimeout"]), 8, "timeout policies"),
        (loaded(&["act_ct"]), 8, "tc's ct action"),
        // With sequence adjustment.
        (loaded(&["nf_synproxy_core"]), 12 + 24, "SYN proxy"),
    ];
    let has: Vec<_> = parts.into_iter().filter(|(on, ..)| *on).collect();
    if has.is_empty() {
        return (0, "nothing that extends an entry".into());
    }
    let bytes = EXTENSION_HEADER_BYTES + has.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
    let names: Vec<&str> = has.iter().map(|(.., name)| *name).collect();
    (bytes.max(PREALLOCATED_BYTES), names.join(", "))
}

/// The slab of kmalloc for requests up to `size`: the number of its objects in use by anyone, and the bytes of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Blocks {
    size: u64,
    active: u64,
    cost_bytes: u64,
}

/// The caches that extension blocks can lie in, the smallest first. `kmalloc-rnd-NN-SIZE` are parts of one
/// (CONFIG_RANDOM_KMALLOC_CACHES); reclaimable, DMA and accounted memory is another's.
fn blocks(slabinfo: &str, page_bytes: u64) -> Vec<Blocks> {
    let mut all = BTreeMap::new();
    for row in slabinfo.lines() {
        let Some(rest) = row.split_whitespace().next().and_then(|name| name.strip_prefix("kmalloc-")) else {
            continue;
        };
        let size =
            rest.strip_prefix("rnd-").and_then(|rest| rest.split_once('-')).map_or(rest, |(_, size)| size);
        let Ok(size) = size.parse::<u64>() else { continue };
        let Some(slab) = Slab::of_row(row) else { continue };
        if (PREALLOCATED_BYTES..=LONGEST_EXTENSION_BYTES).contains(&size) {
            let sum: &mut Blocks = all.entry(size).or_insert(Blocks { size, active: 0, cost_bytes: 0 });
            sum.active = sum.active.saturating_add(slab.active);
            sum.cost_bytes = sum.cost_bytes.max(slab.object_bytes(page_bytes));
        }
    }
    all.into_values().collect()
}

/// Bytes of the extension block of an entry in the mean, from how many objects of each size are in use. With `derived`
/// of them an entry should have its block in one size; entries that ctnetlink made carry more (sequence adjustment and
/// SYN proxy, in any case), and so do those of kernels that extend entries by what is not known here. As nearly all
/// entries of a table are of one kind, the size that they lie in has as many objects as there are entries; others use
/// these sizes too, so that this tells nothing while the table is small, and then the derived one holds.
fn counted(entries: u64, derived: u64, blocks: &[Blocks]) -> (u64, String) {
    // Free objects of per-CPU slabs count as entries.
    let enough = entries - entries / 32;
    let whole: Vec<&Blocks> = blocks.iter().filter(|size| size.active >= enough).collect();
    if derived == 0 {
        // None is smaller than the preallocated one.
        return match (blocks.first(), whole.first()) {
            (Some(_), None) => {
                (0, "none: no size of kmalloc has as many objects in use as there are entries".into())
            }
            (first, _) => {
                let cost = first.map_or(PREALLOCATED_BYTES, |size| size.cost_bytes);
                (cost, "what one takes at least, as there may be one".into())
            }
        };
    }
    let Some(expected) = blocks.iter().find(|size| size.size >= derived) else {
        return (derived.next_multiple_of(64), "derived; no size of kmalloc is known".into());
    };
    let of = |size: &Blocks, why: &str| (size.cost_bytes, format!("{why} kmalloc-{}", size.size));
    if whole.contains(&expected) {
        return match whole.len() {
            1 => of(expected, "derived, and the only size with as many objects in use as there are entries:"),
            _ => of(expected, "derived:"),
        };
    }
    if let Some(size) = whole.first() {
        return of(size, "counted: as many objects in use as there are entries are of");
    }
    // Of several kinds: those of the smaller sizes first, and what they cannot hold lies in the largest.
    let (mut left, mut bytes) = (entries, 0);
    for (place, size) in blocks.iter().enumerate() {
        let here = if place + 1 == blocks.len() { left } else { left.min(size.active) };
        bytes += here * size.cost_bytes;
        left -= here;
    }
    (bytes.div_ceil(entries.max(1)), "counted: in the mean of the sizes of kmalloc that are in use".into())
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

/// A row of slabinfo(5).
struct Slab {
    active: u64,
    objects_per_slab: u64,
    pages_per_slab: u64,
}

impl Slab {
    fn parse(text: &str) -> Option<Slab> {
        Slab::of_row(text.lines().find(|l| l.split_whitespace().next() == Some("nf_conntrack"))?)
    }

    fn of_row(row: &str) -> Option<Slab> {
        let field = |n: usize| row.split_whitespace().nth(n)?.parse::<u64>().ok();
        let slab =
            Slab { active: field(1)?.min(1 << 40), objects_per_slab: field(4)?, pages_per_slab: field(5)? };
        // Nothing real is outside these; inside them no arithmetic overflows.
        let plausible =
            (1..=1 << 16).contains(&slab.objects_per_slab) && (1..=1 << 16).contains(&slab.pages_per_slab);
        plausible.then_some(slab)
    }

    /// An object with its share of what its slab leaves unused.
    fn object_bytes(&self, page_bytes: u64) -> u64 {
        (self.pages_per_slab * page_bytes).div_ceil(self.objects_per_slab)
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
