use super::*;
use jiff::tz::TimeZone;
use proptest::prelude::*;

#[test]
fn durations() {
    for (text, seconds) in [
        ("0s", 0),
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1d", 86_400),
        ("1h30m", 5400),
        ("1d2h3m4s", 93_784),
        ("1.5h", 5400),
        ("2000ms", 2),
    ] {
        assert_eq!(duration(text), Ok(seconds), "{text}");
    }
}

#[test]
fn what_is_no_duration_says_why() {
    for (text, why) in [
        ("", "a duration is missing"),
        ("1h30", "a number without a unit after one with a unit"),
        ("-1s", "not a duration"),
        ("1w", "no such unit"),
        ("0.5s", "not a whole number of seconds"),
        ("36525d1s", "longer than a hundred years"),
    ] {
        assert_eq!(duration(text), Err(BadValue { why: why.into(), hint: DURATION_HINT }), "{text}");
    }
    assert!(lasting("0s").is_err() && lasting("0").is_err());
    assert_eq!((lasting("1s"), lasting("1")), (Ok(1), Ok(1)));
}

#[test]
fn every_option_that_takes_a_duration_takes_it_with_and_without_a_unit() {
    for (bare, unit) in [("90", "90s"), ("600", "10m"), ("3600", "1h")] {
        assert_eq!(duration(bare), duration(unit));
        assert_eq!(lasting(bare), lasting(unit));
        assert_eq!(sample(bare), sample(unit));
        assert_eq!(interval(bare), interval(unit));
        assert_eq!(since_at(bare, &now()), since_at(unit, &now()));
        assert!(duration(bare).is_ok() && interval(bare).is_ok() && since_at(bare, &now()).is_ok());
    }
}

fn now() -> Zoned {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    "2026-11-21T02:30:00Z".parse::<Timestamp>().expect("a moment").to_zoned(zone)
}

#[test]
fn moments_are_local_unless_they_say_otherwise() {
    for (text, moment) in [
        ("2026-11-20T08:00:00Z", "2026-11-20T08:00:00Z"),
        ("2026-11-20T08:00:00+01:00", "2026-11-20T07:00:00Z"),
        ("2026-11-20T08:00:00.25Z", "2026-11-20T08:00:00.25Z"),
        ("2026-11-20", "2026-11-19T22:00:00Z"),
        ("2026-11-20 08:00", "2026-11-20T06:00:00Z"),
        ("2026-11-20 08:00:30", "2026-11-20T06:00:30Z"),
        // 04:30 here and now: 04:00 was today, 05:00 and 23:00 were yesterday.
        ("04:00", "2026-11-21T02:00:00Z"),
        ("05:00", "2026-11-20T03:00:00Z"),
        ("23:00", "2026-11-20T21:00:00Z"),
        ("90s", "2026-11-21T02:28:30Z"),
        ("90", "2026-11-21T02:28:30Z"),
        ("1d", "2026-11-20T02:30:00Z"),
    ] {
        assert_eq!(since_at(text, &now()), Ok(moment.parse().expect("a moment")), "{text}");
    }
}

#[test]
fn what_is_no_moment_is_refused() {
    for text in
        ["", "yesterday", "2026-13-01", "2026-02-30", "25:00", "-10m", "2026-11-20 8", "99999999999999d"]
    {
        let error = since_at(text, &now()).expect_err(text);
        assert_eq!(error.hint, SINCE_HINT);
    }
}

#[test]
fn prefixes() {
    assert_eq!(prefix("24"), Ok((24, 64)));
    assert_eq!(prefix("16,48"), Ok((16, 48)));
    assert_eq!(prefix("0,0"), Ok((0, 0)));
    assert_eq!(prefix("32,128"), Ok((32, 128)));
    for text in ["", "33", "24,129", "24,", ",64", "-1", "a", "24,64,1", "256"] {
        assert!(prefix(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,24}|[0-9smhdTZ:+. -]{0,24}") {
        let _ = (duration(&text), since_at(&text, &now()), prefix(&text));
    }
}
