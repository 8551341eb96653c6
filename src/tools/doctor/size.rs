//! Max, buckets, and the memory that they promise.

use super::cure::{runtime, seen};
use super::facts::{Facts, Runtime};
use super::{modules, options, value};
use crate::core::model::{Evidence, Finding, Severity};

/// Chains stay short up to here; far beyond, inserts fail.
const ENTRIES_PER_BUCKET: u64 = 8;
/// Below it nobody feels empty buckets.
const MANY_BUCKETS: u64 = 1 << 17;
/// 128 MiB of buckets, for 134 million entries of some 50 GiB.
const MOST_BUCKETS: u64 = 1 << 24;
/// Buckets that the kernel makes by itself above 4 GiB of memory.
const DEFAULT_BUCKETS: u64 = 262_144;
const BUCKET_BYTES: u64 = 8;

/// Findings on the sizes of the table.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(unlimited(facts));
    found.extend(too_few_buckets(facts));
    found.extend(too_many_buckets(facts));
    if let Some(runtime) = &facts.runtime {
        found.extend(memory(facts, runtime));
    }
    found
}

fn unlimited(facts: &Facts) -> Option<Finding> {
    let (0, evidence) = facts.in_force("max")? else { return None };
    let sane =
        facts.runtime.as_ref().and_then(|runtime| runtime.number("buckets")).unwrap_or(DEFAULT_BUCKETS);
    let count = facts.runtime.as_ref().and_then(|runtime| runtime.number("count")).unwrap_or(0);
    let sane = sane.max(count.saturating_mul(4) / 3);
    Some(
        Finding::new("max-unlimited", Severity::Warning, "the table has no limit but memory")
            .because(
                "A max of 0 means no limit up to Linux 6.18, a negative one does on 5.10, and newer kernels refuse both: a \
                 flood takes all memory, or after an upgrade the line sets nothing.",
            )
            .seen(evidence)
            .fix(facts.set("max", sane))
            .source(&["nf_conntrack_alloc, net/netfilter/nf_conntrack_core.c"]),
    )
}

fn too_few_buckets(facts: &Facts) -> Option<Finding> {
    let (max, max_evidence) = in_force(facts, "max")?;
    let (buckets, buckets_evidence) = in_force(facts, "buckets")?;
    if buckets == 0 || max <= buckets.saturating_mul(ENTRIES_PER_BUCKET) {
        return None;
    }
    let wanted = max.div_ceil(4).next_multiple_of(512);
    let title = format!("max is {} times the buckets", max / buckets);
    let mut fix = Vec::new();
    if facts.runtime.is_some() {
        fix.push(format!("echo {wanted} > /sys/module/nf_conntrack/parameters/hashsize"));
    }
    fix.extend(keep_buckets(facts, wanted));
    Some(
        Finding::new("max-over-buckets", Severity::Warning, title)
            .because(
                "Every packet walks a chain of max / buckets entries in a full table; over about 20 inserts fail and \
                 `chaintoolong` rises (seen: 1,536 buckets, max 400,000, full at 51,000). Resizing holds up packets \
                 for about half a second with a million entries: do it while the table is small.",
            )
            .seen(max_evidence.into_iter().chain(buckets_evidence))
            .fix(fix)
            .source(&[
                "MIN_CHAINLEN and MAX_CHAINLEN, net/netfilter/nf_conntrack_core.c",
                "Documentation/networking/nf_conntrack-sysctl.rst, nf_conntrack_buckets",
            ]),
    )
}

/// Sizes count whoever set them: an agent's max needs buckets too.
fn in_force(facts: &Facts, name: &str) -> Option<(u64, Vec<Evidence>)> {
    if let Some(here) = &facts.runtime {
        let number = here.number(name)?;
        return Some((number, vec![runtime(name, number.to_string())]));
    }
    // A value that a script writes behind the boot counts in the end.
    let written = facts.files.iter().flat_map(|files| &files.writers).rev().filter(|write| {
        name == "max" && write.name() == Some(name) && !write.overruled && write.torn.is_none()
    });
    let mut written = written.filter_map(|write| {
        let number = value::read(name, write.value.as_deref()?).number()?;
        Some((number, vec![facts.line(&write.line)]))
    });
    if let Some(written) = written.next() {
        return Some(written);
    }
    let option = facts.files.as_ref().and_then(options::hashsize).filter(|_| name == "buckets");
    facts.in_force(name).or_else(|| option.map(|(line, size)| (size, vec![facts.line(line)])))
}

/// In the place where buckets are set at boot, or in a new one.
pub fn keep_buckets(facts: &Facts, wanted: u64) -> Vec<String> {
    let Some(files) = &facts.files else { return Vec::new() };
    if facts.runtime.as_ref().is_some_and(|runtime| !runtime.first) {
        return Vec::new();
    }
    match options::hashsize(files) {
        _ if files.effective().contains_key("buckets") => facts.at_boot("buckets", wanted),
        Some((line, old)) => vec![options::resized(facts, line, old, wanted)],
        None if files.builtin => facts.at_boot("buckets", wanted),
        None => vec![modules::keep_buckets(facts, wanted)],
    }
}

fn too_many_buckets(facts: &Facts) -> Option<Finding> {
    let (buckets, evidence) = in_force(facts, "buckets")?;
    let max = in_force(facts, "max");
    let (title, wanted) = match &max {
        Some((max @ 1.., _))
            if buckets >= MANY_BUCKETS && buckets > max.saturating_mul(ENTRIES_PER_BUCKET) =>
        {
            (format!("{} buckets for each entry that max allows", buckets / max), max.next_multiple_of(512))
        }
        // If nothing sets max, the kernel sets it to eight times the buckets that it is told of.
        None if facts.runtime.is_none() && buckets > MOST_BUCKETS => {
            (format!("{buckets} buckets are more than any table needs"), DEFAULT_BUCKETS)
        }
        _ => return None,
    };
    let mut fix = Vec::new();
    if facts.runtime.is_some() {
        fix.push(format!("echo {wanted} > /sys/module/nf_conntrack/parameters/hashsize"));
    }
    fix.extend(keep_buckets(facts, wanted));
    let max_evidence = max.map(|(_, evidence)| evidence).unwrap_or_default();
    Some(
        Finding::new("buckets-over-need", Severity::Note, title)
            .because(format!(
                "Each bucket takes {BUCKET_BYTES} bytes, {} MiB in all, and every dump, in every namespace, walks all \
                 of them.",
                buckets.saturating_mul(BUCKET_BYTES) >> 20
            ))
            .seen(max_evidence.into_iter().chain(evidence))
            .fix(fix)
            .source(&["ctnetlink_dump_table, net/netfilter/nf_conntrack_netlink.c"]),
    )
}

/// Reason for which a max is too large; `None` where it is not.
pub fn forbids(here: &Runtime, max: u64) -> Option<&'static str> {
    let buckets = here.number("buckets").unwrap_or(0);
    let (cost, total) = (here.memory.bytes_per_entry, here.memory.total_bytes);
    match could_take(here, max, buckets) {
        taken if total > 0 && cost > 0 && taken > total / 2 => Some("twice that may take half of memory"),
        _ if buckets > 0 && max > buckets.saturating_mul(ENTRIES_PER_BUCKET) => {
            Some("twice that would want more buckets first (/sys/module/nf_conntrack/parameters/hashsize)")
        }
        _ => None,
    }
}

fn could_take(here: &Runtime, max: u64, buckets: u64) -> u64 {
    max.saturating_mul(here.memory.bytes_per_entry).saturating_add(buckets.saturating_mul(BUCKET_BYTES))
}

/// Finding on the memory that max promises.
fn memory(facts: &Facts, here: &Runtime) -> Option<Finding> {
    let (max, buckets) = (here.number("max")?, here.number("buckets")?);
    let (cost, total) = (here.memory.bytes_per_entry, here.memory.total_bytes);
    let could_take = could_take(here, max, buckets);
    if total == 0 || cost == 0 || could_take <= total / 2 {
        return None;
    }
    let severity = if could_take > total { Severity::Error } else { Severity::Warning };
    let count = here.number("count").unwrap_or(0);
    // A quarter of memory, and not below what the table holds.
    let wanted = (total / 4 / cost).max(count.saturating_mul(4) / 3).max(1);
    let title = format!("the table may take {} MiB of {} MiB", could_take >> 20, total >> 20);
    let namespaces = here.memory.other_namespaces;
    let more = match namespaces {
        0 => String::new(),
        n => format!(" Each of the {n} other network namespaces may take as much again."),
    };
    Some(
        Finding::new("memory-of-max", severity, title)
            .because(format!(
                "Entries are kernel memory that cannot be swapped: where max is reached, the out-of-memory killer \
                 comes before conntrack's own limit.{more}"
            ))
            .seen([
                runtime("max", max.to_string()),
                seen(format!("{cost} bytes an entry ({})", here.memory.bytes_per_entry_basis)),
            ])
            .fix([format!(
                "# max is {max} now and the table holds {count}: beyond {wanted} new connections are then refused; \
                 to keep {max}, give the host more memory"
            )])
            .fix(facts.set("max", wanted))
            .source(&["nf_conntrack_init_start, net/netfilter/nf_conntrack_core.c", "slabinfo(5)"]),
    )
}
