//! Spans of time as options and configuration write them, by one rule.

use std::fmt;

/// A hundred years in seconds: over it the sum of a clock and a span stops meaning anything.
const LONGEST_SECONDS: f64 = 36_525.0 * 86_400.0;

/// The units with their length in seconds, the longest first.
const UNITS: [(&str, f64); 5] = [("d", 86_400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001)];

/// Hint of options and keys that take a span of time.
pub const SPAN_HINT: &str =
    "write seconds, or numbers with units (d, h, m, s, ms): 90, 90s, 10m, 2h, 1d, 1h30m";

/// Reason for which a text is no span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SpanFault {
    Missing,
    NotASpan,
    NoSuchUnit,
    NoUnit,
    OutOfOrder,
    TooLong,
}

impl fmt::Display for SpanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "a duration is missing",
            Self::NotASpan => "not a duration",
            Self::NoSuchUnit => "no such unit",
            Self::NoUnit => "a number without a unit after one with a unit",
            Self::OutOfOrder => "units are out of order",
            Self::TooLong => "longer than a hundred years",
        })
    }
}

/// Seconds of `90`, `90s`, `1.5h`, `1h30m`, `250ms`: numbers with units, the larger unit first and each once, or one
/// number alone, of which each is `bare_seconds` long.
///
/// # Errors
/// Anything else, a sign and a space too, and what is over a hundred years.
pub fn span_seconds(text: &str, bare_seconds: f64) -> Result<f64, SpanFault> {
    if text.is_empty() {
        return Err(SpanFault::Missing);
    }
    let (mut rest, mut total, mut units) = (text, 0.0, &UNITS[..]);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = &after[..after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len())];
        let number = decimal(number).ok_or(SpanFault::NotASpan)?;
        let length = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, length)) => *length,
            None if !unit.is_empty() => return Err(SpanFault::NoSuchUnit),
            None if digits < text.len() => return Err(SpanFault::NoUnit),
            None => bare_seconds,
        };
        if !unit.is_empty() {
            let at = units.iter().position(|(name, _)| *name == unit).ok_or(SpanFault::OutOfOrder)?;
            units = &units[at + 1..];
        }
        total += number * length;
        if total > LONGEST_SECONDS {
            return Err(SpanFault::TooLong);
        }
        rest = &after[unit.len()..];
    }
    Ok(total)
}

/// Digits with at most one point among them.
fn decimal(text: &str) -> Option<f64> {
    let digit = text.bytes().any(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bare_number_is_seconds_and_units_say_what_they_are() {
        for (text, seconds) in [
            ("0", 0.0),
            ("90", 90.0),
            ("90s", 90.0),
            ("0.5", 0.5),
            ("10m", 600.0),
            ("2h", 7200.0),
            ("1.5h", 5400.0),
            ("1d", 86_400.0),
            ("1h30m", 5400.0),
            ("1d2h3m4s", 93_784.0),
            ("1m500ms", 60.5),
        ] {
            assert_eq!(span_seconds(text, 1.0), Ok(seconds), "{text}");
        }
        assert_eq!(span_seconds("250", 0.001), Ok(0.25), "the unit of its key");
        assert_eq!(span_seconds("1s", 0.001), Ok(1.0));
    }

    #[test]
    fn what_is_no_span_says_why() {
        for (text, why) in [
            ("", SpanFault::Missing),
            ("-1s", SpanFault::NotASpan),
            ("s", SpanFault::NotASpan),
            (".", SpanFault::NotASpan),
            ("1.2.3", SpanFault::NotASpan),
            ("1h30", SpanFault::NoUnit),
            ("1w", SpanFault::NoSuchUnit),
            ("1 h", SpanFault::NoSuchUnit),
            ("1S", SpanFault::NoSuchUnit),
            ("1e3", SpanFault::NoSuchUnit),
            ("30m1h", SpanFault::OutOfOrder),
            ("1h1h", SpanFault::OutOfOrder),
            ("99999999999999999999s", SpanFault::TooLong),
            ("36526d", SpanFault::TooLong),
            ("36525d1s", SpanFault::TooLong),
        ] {
            assert_eq!(span_seconds(text, 1.0), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_read_is_in_bounds(text in "\\PC{0,24}|[0-9smhd.]{0,24}") {
            if let Ok(seconds) = span_seconds(&text, 1.0) {
                prop_assert!((0.0..=LONGEST_SECONDS).contains(&seconds));
            }
        }
    }
}
