//! The names that conntrack's sysctls have or had, in which kernels.

use crate::core::model::Timeout;

/// Knowledge of a name after `nf_conntrack_`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// Writable in every kernel that is still about.
    Writable,
    /// The kernel's own figure (0444 in nf_conntrack_standalone.c).
    ReadOnly,
    /// Writable from this version on, read-only before.
    WritableSince(Version),
    /// Gone by this version, and what took its place.
    GoneSince(Version, &'static str),
    /// No kernel had it.
    Unknown,
}

/// Major and minor version of a kernel.
pub type Version = (u32, u32);

/// Beside the timeouts.
const OTHERS: [&str; 17] = [
    "max",
    "buckets",
    "count",
    "checksum",
    "log_invalid",
    "expect_max",
    "acct",
    "events",
    "timestamp",
    "tcp_loose",
    "tcp_be_liberal",
    "tcp_max_retrans",
    "tcp_ignore_invalid_rst",
    "frag6_high_thresh",
    "frag6_low_thresh",
    "frag6_timeout",
    "dccp_loose",
];

/// Looks up a name after `nf_conntrack_`.
pub fn known(name: &str) -> Known {
    match name {
        "count" => Known::ReadOnly,
        // 3183ab8997a4 made the table resizable through the sysctl.
        "buckets" => Known::WritableSince((4, 8)),
        // It went with commit b118509076b3 of the kernel.
        "helper" => Known::GoneSince((6, 0), "helpers are assigned by rules: `ct helper set` of nft(8)"),
        "events_retry_timeout" => Known::GoneSince((4, 9), "the kernel retries by itself"),
        // They went with commit 9700ba805bdb of the kernel.
        "udplite_timeout" | "udplite_timeout_stream" => {
            Known::GoneSince((4, 11), "UDP-Lite follows udp_timeout and udp_timeout_stream")
        }
        // Seen: 6.18 has no CONFIG_NF_CT_PROTO_DCCP.
        name if name.starts_with("dccp_") && (OTHERS.contains(&name) || Timeout::named(name).is_some()) => {
            Known::GoneSince(
                (6, 18),
                "DCCP follows generic_timeout, as every protocol without a tracker does",
            )
        }
        "sctp_timeout_heartbeat_acked" => Known::GoneSince((6, 3), "heartbeats use the established timeout"),
        name if OTHERS.contains(&name) || Timeout::named(name).is_some() => Known::Writable,
        _ => Known::Unknown,
    }
}

/// Every name that a kernel of today may have.
pub fn all() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().chain(Timeout::all().map(Timeout::name))
}

/// A known name for one that is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Near {
    /// One letter away, or what was cut short; no other name comes as near.
    Meant(&'static str),
    /// It may be meant.
    Perhaps(&'static str),
}

/// Words that names of one protocol begin with.
const PROTOCOLS: [&str; 8] = ["tcp_", "udp_", "icmp_", "icmpv6_", "dccp_", "sctp_", "gre_", "frag6_"];
/// Of fewer letters nobody can tell what was cut short.
const TELLING: usize = 5;

/// The known name that is nearest to one that is not, if any is near. Of another protocol none is.
pub fn nearest(name: &str) -> Option<Near> {
    let protocol = PROTOCOLS.iter().find(|protocol| name.starts_with(**protocol));
    let fits = |known: &&str| protocol.is_none_or(|protocol| known.starts_with(*protocol));
    let mut near: Vec<(usize, &str)> =
        all().filter(fits).map(|known| (distance(name, known), known)).collect();
    near.sort_unstable();
    let [(first, nearest), rest @ ..] = near.as_slice() else { return None };
    let alone = rest.first().is_none_or(|(second, _)| second > first);
    let longer: Vec<&str> = all().filter(|known| name.len() >= TELLING && known.starts_with(name)).collect();
    match longer.as_slice() {
        _ if *first <= 1 && alone => Some(Near::Meant(nearest)),
        [longer] => Some(Near::Meant(longer)),
        _ => (*first <= 1 + name.len() / 4).then_some(Near::Perhaps(nearest)),
    }
}

/// The name of today, after `nf_conntrack_`, for one of `ip_conntrack` (before 2.6.20, kept until 4.9 by
/// NF_CONNTRACK_PROC_COMPAT); the key is a path below /proc/sys.
pub fn renamed(key: &str) -> Option<String> {
    let old = ["net/ipv4/netfilter/ip_conntrack_", "net/ipv4/ip_conntrack_", "net/netfilter/ip_conntrack_"];
    let rest = old.iter().find_map(|prefix| key.strip_prefix(prefix))?;
    let name = if known(rest) == Known::Unknown { meant(rest)?.to_owned() } else { rest.to_owned() };
    Some(name)
}

fn meant(name: &str) -> Option<&'static str> {
    match nearest(name)? {
        Near::Meant(name) => Some(name),
        Near::Perhaps(_) => None,
    }
}

/// `6.1.0-13-amd64` is 6.1.
pub fn version(release: &str) -> Option<Version> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The first kernel without the old names.
const OLD_NAMES_END: Version = (4, 9);

/// Every one of the kernels has the old names: until 2.6.19 there are no others, and until 4.8 those of before stay
/// beside the new ones where NF_CONNTRACK_PROC_COMPAT is built in.
pub fn all_know_old_names(kernels: &[String]) -> bool {
    let knows = |release: &String| version(release).is_some_and(|version| version < OLD_NAMES_END);
    !kernels.is_empty() && kernels.iter().all(knows)
}

/// Every one of the kernels has ip_conntrack alone.
pub fn all_are_before_nf_conntrack(kernels: &[String]) -> bool {
    !kernels.is_empty() && kernels.iter().all(|release| is_before_nf_conntrack(release))
}

/// Linux 2.6.19 and before have ip_conntrack alone.
pub fn is_before_nf_conntrack(release: &str) -> bool {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    let numbers = (parts.next().unwrap_or(u32::MAX), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    numbers < (2, 6, 20)
}

/// Levenshtein's distance of two names.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(80).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let best = (corner + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = best;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(known("tcp_timeout_established"), Known::Writable);
        assert_eq!(known("count"), Known::ReadOnly);
        assert_eq!(known("tcp_timeout_establish"), Known::Unknown);
        assert_eq!(nearest("tcp_timeout_establish"), Some(Near::Meant("tcp_timeout_established")));
        assert_eq!(nearest("tcp_timeout_est"), Some(Near::Meant("tcp_timeout_established")));
        assert_eq!(nearest("maxx"), Some(Near::Meant("max")));
        assert_eq!(nearest("icmp_timeout_stream"), None, "another protocol's");
        assert_eq!(nearest("timeout_established"), Some(Near::Perhaps("tcp_timeout_established")));
        assert_eq!(nearest("tcp_timeout_clo"), Some(Near::Perhaps("tcp_timeout_close")), "two begin so");
        assert_eq!(nearest("something_else_entirely_different"), None);
        assert!(matches!(known("udplite_timeout_stream"), Known::GoneSince((4, 11), _)));
        assert!(matches!(known("dccp_timeout_open"), Known::GoneSince((6, 18), _)));
        assert_eq!(known("dccp_timeout_opened"), Known::Unknown);
        assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(version("nonsense"), None);
    }

    #[test]
    fn old_names_have_new_ones() {
        let new = |key| renamed(key).expect("renamed");
        assert_eq!(new("net/ipv4/ip_conntrack_max"), "max");
        let old = "net/ipv4/netfilter/ip_conntrack_tcp_timeout_established";
        assert_eq!(new(old), "tcp_timeout_established");
        assert_eq!(renamed("net/netfilter/nf_conntrack_max"), None);
        let kernels = |releases: &[&str]| releases.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(all_know_old_names(&kernels(&["2.6.18-419.el5", "4.8.0-2-amd64"])));
        assert!(
            !all_know_old_names(&kernels(&["2.6.18-419.el5", "4.9.0-8-amd64"])) && !all_know_old_names(&[])
        );
        assert!(is_before_nf_conntrack("2.6.19.7") && !is_before_nf_conntrack("2.6.20"));
        assert!(
            is_before_nf_conntrack("2.4.37")
                && !is_before_nf_conntrack("6.1.0")
                && !is_before_nf_conntrack("x")
        );
    }
}
