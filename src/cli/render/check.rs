//! `status --check`: the line of a monitoring plugin (Monitoring Plugins Development Guidelines, "Plugin Output"
//! and "Performance data").

use std::io::{self, Write};

use super::text::escape;
use crate::cli::called::complete;
use crate::error::Error;
use crate::model::{Level, PressureSettings, StatusDocument};

/// The plugin's exit code.
pub fn exit_code(level: Level) -> u8 {
    match level {
        Level::Normal => 0,
        Level::High => 1,
        Level::Critical => 2,
    }
}

/// Writes the line, with the thresholds of `pressure`.
///
/// # Errors
/// The writer's.
pub fn write(out: &mut dyn Write, status: &StatusDocument, pressure: &PressureSettings) -> io::Result<()> {
    let word = match status.level {
        Level::Normal => "OK",
        Level::High => "WARNING",
        Level::Critical => "CRITICAL",
    };
    let (entries, limit) = (status.entries, status.limit);
    let (high, critical) = (pressure.high_percent, pressure.critical_percent);
    // A limit of 0 is none: there is nothing to be a share of.
    let (text, thresholds) = match limit {
        0 => (format!("{entries} entries, no limit"), ";;;0;".to_string()),
        _ => (
            // Rounded down: 79.9 % is not 80.
            format!("{} % of {limit} ({entries} entries)", known(status.usage_percent.floor(), 0)),
            format!(";{};{};0;{limit}", share(limit, high), share(limit, critical)),
        ),
    };
    let usage = match status.usage_percent {
        usage if limit > 0 && usage.is_finite() => format!("{usage:.2}%"),
        _ => "U".into(),
    };
    let drops = &status.drops;
    writeln!(
        out,
        "CTCTL {word} - {text} | entries={entries}{thresholds} usage={usage};{high};{critical};0;100 \
         drop={}c early_drop={}c insert_failed={}c new_per_second={}",
        drops.drop,
        drops.early_drop,
        drops.insert_failed,
        status.new_per_second.map_or("U".into(), |rate| known(rate, 1)),
    )
}

/// The line for what could not be told; `|` would begin performance data.
///
/// # Errors
/// The writer's.
pub fn write_unknown(out: &mut dyn Write, error: &Error) -> io::Result<()> {
    let hint = error.hint.as_ref().map_or(String::new(), |hint| format!(" ({})", complete(hint)));
    let text = format!("{error}{hint}").replace('|', "/");
    writeln!(out, "CTCTL UNKNOWN - {}", escape(&text))
}

fn known(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "U".into() }
}

/// The number of entries at which usage reaches `percent`.
fn share(limit: u64, percent: f64) -> u64 {
    (limit as f64 * percent / 100.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;

    fn line(change: impl FnOnce(&mut StatusDocument)) -> String {
        let mut status = canned::status();
        change(&mut status);
        let mut out = Vec::new();
        write(&mut out, &status, &PressureSettings::default()).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_line_carries_thresholds_and_limit() {
        let expected = "CTCTL OK - 12 % of 65536 (7900 entries) | entries=7900;52429;62260;0;65536 \
            usage=12.05%;80;95;0;100 drop=0c early_drop=0c insert_failed=0c new_per_second=120.0\n";
        assert_eq!(line(|_| {}), expected);
    }

    #[test]
    fn the_word_and_the_code_follow_the_level() {
        for (level, word, code) in
            [(Level::Normal, "OK", 0), (Level::High, "WARNING", 1), (Level::Critical, "CRITICAL", 2)]
        {
            assert!(line(|s| s.level = level).starts_with(&format!("CTCTL {word} - ")));
            assert_eq!(exit_code(level), code);
        }
    }

    #[test]
    fn what_is_unknown_is_u_and_no_limit_is_none() {
        let unlimited = line(|s| {
            (s.limit, s.usage_percent, s.new_per_second) = (0, 0.0, None);
        });
        let expected = "CTCTL OK - 7900 entries, no limit | entries=7900;;;0; usage=U;80;95;0;100 \
            drop=0c early_drop=0c insert_failed=0c new_per_second=U\n";
        assert_eq!(unlimited, expected);
        assert!(line(|s| s.usage_percent = 79.99).contains("- 79 % of"));
    }

    #[test]
    fn unknown_is_one_line_without_performance_data() {
        let error = Error::usage("usage", "bad | value\n").hint("write --x");
        let mut out = Vec::new();
        write_unknown(&mut out, &error).expect("memory");
        assert_eq!(out, b"CTCTL UNKNOWN - usage: bad / value\\n (write --x)\n");
    }
}
