//! Durations, sizes, shares and moments as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text::escape;

pub use crate::core::model::sentence::{percent, took};

/// Text for a value that is not known.
pub const UNKNOWN: &str = "-";

/// Returns a duration as `45 s`, `12 min`, `3 h 5 min`, `4 d 23 h`: two units at most, rounded down.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return UNKNOWN.into();
    }
    let whole = seconds as u64;
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => two(whole / 60, "min", whole % 60, "s"),
        3600..86_400 => two(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => two(whole / 86_400, "d", whole % 86_400 / 3600, "h"),
    }
}

/// Returns a size as `96.0 MiB`.
pub fn bytes(value: u64) -> String {
    let mut amount = value as f64;
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut unit = units[0];
    for larger in units {
        unit = larger;
        amount /= 1024.0;
        if amount < 1024.0 {
            break;
        }
    }
    format!("{amount:.1} {unit}")
}

/// Returns a rate with one digit after the point; `None` is not known. A rate that rounds to zero has no sign.
pub fn rate(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map_or_else(|| UNKNOWN.into(), |v| format!("{:.1}", tenths(v)))
}

/// Returns a rate with its sign, `+3.2` or `-3.2`; a rate that rounds to zero has none.
pub fn growth(value: Option<f64>) -> String {
    match value.filter(|v| v.is_finite()).map(tenths) {
        None => UNKNOWN.into(),
        Some(0.0) => "0.0".into(),
        Some(v) => format!("{v:+.1}"),
    }
}

/// Rounds to tenths; never to -0.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0 + 0.0
}

/// Returns a count; `None` is not known.
pub fn count(value: Option<u64>) -> String {
    value.map_or_else(|| UNKNOWN.into(), |v| v.to_string())
}

/// Returns a number with its noun: `1 entry`, `2 entries`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Returns a time as `2026-11-21 02:49:52` in `zone`, which `--since` reads. Text that is no RFC 3339 time is escaped.
pub fn moment(text: &str, zone: &TimeZone) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => escape(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, text) in [
            (0.4, "0 s"),
            (59.9, "59 s"),
            (60.0, "1 min"),
            (7440.0, "2 h 4 min"),
            (432_000.0, "5 d"),
            (431_999.0, "4 d 23 h"),
            (f64::NAN, "-"),
            (f64::INFINITY, "-"),
            (-1.0, "-"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert!(duration(f64::MAX).ends_with(" h"));
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(
            [bytes(1023), bytes(1024), bytes(100_663_296), bytes(u64::MAX)],
            ["1023 B", "1.0 KiB", "96.0 MiB", "16777216.0 TiB"]
        );
        assert_eq!([took(0.0312), took(1.25), took(f64::NAN)], ["31 ms", "1.2 s", "-"]);
    }

    #[test]
    fn what_rounds_to_nothing_has_no_sign() {
        for nothing in [0.0, -0.0, 0.04, -0.04, -1e-9] {
            assert_eq!([rate(Some(nothing)), growth(Some(nothing))], ["0.0", "0.0"], "{nothing}");
        }
        assert_eq!([growth(Some(-0.06)), growth(Some(3.24)), growth(None)], ["-0.1", "+3.2", "-"]);
        assert_eq!([rate(Some(-0.06)), rate(Some(120.0)), rate(Some(f64::NAN))], ["-0.1", "120.0", "-"]);
    }

    #[test]
    fn moments_are_shown_in_the_zone_given() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(moment("2026-11-21T23:30:00.123Z", &zone), "2026-11-22 01:30:00");
        assert_eq!(moment("soon\x1b", &zone), "soon\\u{1b}");
    }
}
