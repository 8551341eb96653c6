//! Values that the command line takes: durations, moments, prefix lengths.

use std::fmt;
use std::time::Duration;

use super::args::Seeds;
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::core::model::{SPAN_HINT, span_seconds};

/// A value that cannot be read: the reason, and a hint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadValue {
    /// Reason, in one line.
    pub why: String,
    /// Description of the values that are accepted.
    pub hint: &'static str,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for BadValue {}

const DURATION_HINT: &str = SPAN_HINT;
const SINCE_HINT: &str = "write 2026-11-20T08:00:00Z, '2026-11-20 08:00', 2026-11-20, 08:00, or how long ago: 90, 90s, 10m, 2h, 1d";
const PREFIX_HINT: &str = "write a length for IPv4 of at most 32, and for IPv6 of at most 128: 24 or 24,64";

/// IPv6 prefix length if only the IPv4 length is given: a site's subnet (RFC 4291, 2.5.4).
const DEFAULT_V6: u8 = 64;

/// Reads whole seconds from `90`, `90s`, `10m`, `2h`, `1d`, `1h30m` ([`span_seconds`]).
///
/// # Errors
/// The text is no span of time, holds a part of a second, or is over a hundred years.
pub fn duration(text: &str) -> Result<u64, BadValue> {
    let seconds = span(text)?;
    match (seconds - seconds.round()).abs() < 1e-6 {
        true => Ok(seconds.round() as u64),
        false => Err(BadValue { why: "not a whole number of seconds".into(), hint: DURATION_HINT }),
    }
}

fn span(text: &str) -> Result<f64, BadValue> {
    span_seconds(text, 1.0).map_err(|fault| BadValue { why: fault.to_string(), hint: DURATION_HINT })
}

/// Reads a duration that is not zero.
///
/// # Errors
/// Those of [`duration`], and `0s`.
pub fn lasting(text: &str) -> Result<u64, BadValue> {
    match duration(text)? {
        0 => Err(BadValue { why: "it would end at once".into(), hint: DURATION_HINT }),
        seconds => Ok(seconds),
    }
}

/// Longest time that `doctor` watches counters, in seconds: an hour is more than a person waits.
const LONGEST_SAMPLE_SECONDS: u64 = 3600;

/// Reads the time for which `doctor` watches counters, in seconds.
///
/// # Errors
/// Those of [`duration`], and more than an hour.
pub fn sample(text: &str) -> Result<u64, BadValue> {
    match duration(text)? {
        seconds if seconds > LONGEST_SAMPLE_SECONDS => {
            Err(BadValue { why: "longer than an hour".into(), hint: DURATION_HINT })
        }
        seconds => Ok(seconds),
    }
}

const INTERVAL_HINT: &str = "write a duration from 0.1s to 1d: 5, 0.5, 5s, 1m";

/// Reads the time between two looks: `5`, `0.5`, `5s`, `1m`.
///
/// # Errors
/// The text is no span of time, less than a tenth of a second, or more than a day.
pub fn interval(text: &str) -> Result<Duration, BadValue> {
    match span_seconds(text, 1.0) {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err(BadValue { why: "out of range".into(), hint: INTERVAL_HINT }),
        Err(fault) => Err(BadValue { why: fault.to_string(), hint: INTERVAL_HINT }),
    }
}

const COUNT_HINT: &str = "write a whole number from 0 to 18446744073709551615";
const LIMIT_HINT: &str = "write a whole number from 1 to 18446744073709551615";
const PORT_HINT: &str = "write a port from 1 to 65535";

fn whole(text: &str, hint: &'static str) -> Result<u64, BadValue> {
    let bad = |why: &str| BadValue { why: why.into(), hint };
    match text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_digit()) {
        true => Err(bad("not a whole number")),
        false => text.parse().map_err(|_| bad("too large")),
    }
}

/// Reads a number of things; for most options 0 stands for all.
///
/// # Errors
/// The text is no whole number of 64 bits.
pub fn count(text: &str) -> Result<u64, BadValue> {
    whole(text, COUNT_HINT)
}

/// Reads the largest number of things.
///
/// # Errors
/// Those of [`count`], and 0.
pub fn limit(text: &str) -> Result<u64, BadValue> {
    match whole(text, LIMIT_HINT)? {
        0 => Err(BadValue { why: "that is none at all".into(), hint: LIMIT_HINT }),
        limit => Ok(limit),
    }
}

/// Reads a port that a service listens on.
///
/// # Errors
/// The text is no port, or 0.
pub fn port(text: &str) -> Result<u16, BadValue> {
    let port = u16::try_from(whole(text, PORT_HINT)?).ok().filter(|port| *port != 0);
    port.ok_or_else(|| BadValue { why: "not a port".into(), hint: PORT_HINT })
}

/// Largest number of seeds of one `--seed`: more results than a person reads.
const MOST_SEEDS: u64 = 1000;

/// Reads the seeds of `7`, or of `1..20` with both ends.
///
/// # Errors
/// The text is anything else, or more than a thousand seeds.
pub fn seeds(text: &str) -> Result<Seeds, BadValue> {
    let bad =
        |why: &str| BadValue { why: why.into(), hint: "write a number, or the first and the last: 1..20" };
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Err(bad("the last seed is less than the first")),
        (Some(first), Some(last)) if last - first >= MOST_SEEDS => Err(bad("more than 1000 seeds")),
        (Some(first), Some(last)) => Ok(Seeds((first..=last).collect())),
        _ => Err(bad("not a seed")),
    }
}

/// Reads `--since` at this moment, in the local time zone.
///
/// # Errors
/// Those of [`since_at`].
pub fn since(text: &str) -> Result<Timestamp, BadValue> {
    since_at(text, &Zoned::now())
}

/// Reads the moment that `text` names, seen from `now`: RFC 3339; a local date, with or without a time; a local time,
/// today or yesterday, the latest that is not after `now`; or a duration ago.
///
/// # Errors
/// The text is anything else.
pub fn since_at(text: &str, now: &Zoned) -> Result<Timestamp, BadValue> {
    let bad = |why: &str| BadValue { why: why.into(), hint: SINCE_HINT };
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let local = |at: DateTime| at.to_zoned(now.time_zone().clone()).map(|z| z.timestamp());
    if let Some(at) = civil(text) {
        return local(at).map_err(|_| bad("out of range"));
    }
    if let Some(time) = time(text) {
        let today = local(now.date().to_datetime(time)).map_err(|_| bad("out of range"))?;
        if today <= now.timestamp() {
            return Ok(today);
        }
        let yesterday = now.date().yesterday().and_then(|day| local(day.to_datetime(time)));
        return yesterday.map_err(|_| bad("out of range"));
    }
    match duration(text) {
        Ok(seconds) => {
            let ago = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            now.timestamp().checked_sub(ago).map_err(|_| bad("out of range"))
        }
        Err(why) if text.starts_with(|c: char| c.is_ascii_digit()) => {
            Err(bad(&format!("not a moment, and as a duration: {}", why.why)))
        }
        Err(_) => Err(bad("not a moment")),
    }
}

fn civil(text: &str) -> Option<DateTime> {
    if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        return Some(date.to_datetime(Time::midnight()));
    }
    let formats = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    formats.iter().find_map(|format| DateTime::strptime(format, text).ok())
}

fn time(text: &str) -> Option<Time> {
    ["%H:%M", "%H:%M:%S"].iter().find_map(|format| Time::strptime(format, text).ok())
}

/// Reads prefix lengths: `24` or `24,64`.
///
/// # Errors
/// The text is no length of IPv4, or of IPv6 after the comma.
pub fn prefix(text: &str) -> Result<(u8, u8), BadValue> {
    let length = |text: &str, most: u8, family: &str| match text.trim().parse::<u8>() {
        Ok(length) if length <= most => Ok(length),
        _ => Err(BadValue { why: format!("not a prefix length of {family}"), hint: PREFIX_HINT }),
    };
    match text.split_once(',') {
        Some((v4, v6)) => Ok((length(v4, 32, "IPv4")?, length(v6, 128, "IPv6")?)),
        None => Ok((length(text, 32, "IPv4")?, DEFAULT_V6)),
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
