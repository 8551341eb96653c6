//! Clocks and the identity of the boot.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use super::root::Root;

/// CLOCK_BOOTTIME in seconds: steps of the wall clock do not move it, and it runs on through suspend.
pub fn boottime_seconds() -> f64 {
    // The call cannot fail for a clock that the kernel has, and every kernel since 2.6.39 has this one.
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(|t| t.tv_sec() as f64 + t.tv_nsec() as f64 / 1e9)
        .unwrap_or_default()
}

/// CLOCK_MONOTONIC in seconds: it stands still while the host is suspended, and so do events.
pub fn running_seconds() -> f64 {
    // clock_gettime(2) fails for an unknown clock alone.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(|t| t.tv_sec() as f64 + t.tv_nsec() as f64 / 1e9)
        .unwrap_or_default()
}

/// The time of day, RFC 3339 in UTC with microseconds.
pub fn now_rfc3339() -> String {
    rfc3339(jiff::Timestamp::now())
}

/// The moment at which CLOCK_MONOTONIC, which stamps the kernel's messages, was at `seconds`, in RFC 3339: by the
/// time of day as it is now.
pub fn at_running_seconds(seconds: f64) -> String {
    let ago = (running_seconds() - seconds).max(0.0);
    let ago = jiff::SignedDuration::try_from_secs_f64(ago).unwrap_or_default();
    rfc3339(jiff::Timestamp::now().checked_sub(ago).unwrap_or_default())
}

/// The time of day in `seconds` from now, in RFC 3339.
pub fn rfc3339_in(seconds: f64) -> String {
    let span = jiff::SignedDuration::try_from_secs_f64(seconds).unwrap_or(jiff::SignedDuration::ZERO);
    let now = jiff::Timestamp::now();
    rfc3339(now.checked_add(span).unwrap_or(jiff::Timestamp::MAX))
}

fn rfc3339(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Whole seconds since 1970 in UTC; 0 for a clock set before that.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or(0)
}

/// The kernel's id of this boot. Where it cannot be read, a text that no other process has: what was recorded
/// then is never taken for this boot's.
pub fn boot_id() -> String {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| boot_id_at(&Root::default())).clone()
}

fn boot_id_at(root: &Root) -> String {
    match root.text("proc/sys/kernel/random/boot_id").trim() {
        "" => format!("unknown-{}-{}", std::process::id(), boottime_seconds()),
        id => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    #[test]
    fn stamps_have_six_digits_and_a_z_even_at_a_whole_second() {
        let at = jiff::Timestamp::new(1_700_000_000, 0).expect("in range");
        assert_eq!(rfc3339(at), "2023-11-14T22:13:20.000000Z");
        let at = jiff::Timestamp::new(1_700_000_000, 1_999).expect("in range");
        assert_eq!(rfc3339(at), "2023-11-14T22:13:20.000001Z");
        let now: jiff::Timestamp = now_rfc3339().parse().expect("RFC 3339");
        assert!((now.as_second() - unix_seconds() as i64).abs() <= 1);
        let later: jiff::Timestamp = rfc3339_in(3600.0).parse().expect("RFC 3339");
        assert!((later.as_second() - now.as_second() - 3600).abs() <= 1);
        assert!(rfc3339_in(f64::MAX).starts_with(&rfc3339(jiff::Timestamp::now())[..4]), "no panic");
    }

    #[test]
    fn boot_clock_runs_and_agrees_with_uptime() {
        let text = Root::default().text("proc/uptime");
        let uptime: f64 = text.split(' ').next().and_then(|t| t.parse().ok()).expect("uptime");
        let now = boottime_seconds();
        assert!(now + 0.02 >= uptime && now < uptime + 60.0, "{now} against {uptime}");
        assert!(boottime_seconds() >= now);
    }

    #[test]
    fn a_boot_has_one_id_and_an_unknown_one_equals_no_other() {
        let tree = Tree::new(&[("proc/sys/kernel/random/boot_id", "9f1c\n")]);
        assert_eq!(boot_id_at(&tree.root()), "9f1c");
        assert_eq!(boot_id(), boot_id());
        let none = Tree::new(&[]);
        assert!(boot_id_at(&none.root()).starts_with("unknown-"));
        assert_ne!(boot_id_at(&none.root()), boot_id_at(&none.root()));
    }
}
