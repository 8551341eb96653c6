//! A negative number for one of conntrack's two limits: no limit to older kernels, refused by newer ones.

use super::cure::key;
use super::facts::Files;
use super::names;
use crate::core::model::{Finding, Severity};

/// Since then the two are held between 0 or 1 and INT_MAX (commit 8b6861390ffe). Stable releases of 2025 have it too.
const REFUSED_SINCE: names::Version = (6, 15);

/// A negative number in a text for `max` or `expect_max`.
pub fn number(name: &str, text: &str) -> Option<i64> {
    let word = text.split_ascii_whitespace().next().filter(|_| matches!(name, "max" | "expect_max"))?;
    let digits = word.strip_prefix('-')?;
    let number = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => i64::from_str_radix(&digits[2..], 16),
        [b'0', _, ..] => i64::from_str_radix(&digits[1..], 8),
        _ => digits.parse::<i64>(),
    };
    number.ok().filter(|number| (1..=1 << 31).contains(number)).map(|number| -number)
}

/// Finding on such a number, without evidence and fix; nothing where every kernel refuses it, as it refuses any other
/// text.
pub fn finding(files: &Files, name: &str, number: i64, path: Option<&str>) -> Option<Finding> {
    let versions: Option<Vec<names::Version>> =
        files.kernels.iter().map(|release| names::version(release)).collect();
    let versions = versions.filter(|versions| !versions.is_empty());
    let old =
        versions.as_ref().is_some_and(|versions| versions.iter().all(|version| *version < REFUSED_SINCE));
    let new =
        versions.as_ref().is_some_and(|versions| versions.iter().all(|version| *version >= REFUSED_SINCE));
    if new {
        return None;
    }
    let by = path.map(|path| format!(" (by {path})")).unwrap_or_default();
    let full = key(name);
    let title = match old {
        true => format!("{full} = {number}{by} is no limit to this kernel"),
        false => format!("{full} = {number}{by} is no limit or is refused, by the kernel's version"),
    };
    let unsigned = i64::from(u32::MAX) + 1 + number;
    let because = format!(
        "Before Linux 6.15 the number is taken as an unsigned one, {unsigned}: the table takes all memory before that \
         limit. Linux 6.15 and later, and stable releases from June 2025 on (6.6.93 for one), refuse the write (EINVAL), \
         and the old value stays: then the same line sets nothing after an upgrade."
    );
    Some(Finding::new("sysctl-bad-value", Severity::Error, title).because(because).source(&[
        "nf_ct_sysctl_table, net/netfilter/nf_conntrack_standalone.c",
        "commit 8b6861390ffe, netfilter: conntrack: Bound nf_conntrack sysctl writes",
    ]))
}

/// Limit that a fix sets where nothing else does: what the kernel takes by itself above 4 GiB of memory, and a 256th of
/// that for expectations.
pub fn sane(name: &str) -> u64 {
    if name == "max" { 262_144 } else { 1024 }
}
