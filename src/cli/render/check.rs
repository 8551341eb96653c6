//! `status --check`: the line of a monitoring plugin (Monitoring Plugins Development Guidelines, "Plugin Output"
//! and "Performance data").

use std::io::{self, Write};

use super::quantity::percent;
use super::text::escape;
use crate::cli::called::complete;
use crate::cli::reach::NoAnswer;
use crate::core::model::{Level, PressureSettings, StatusDocument};
use crate::error::Error;

/// Figures and conditions of the line.
pub struct Check<'a> {
    /// Status of the table and the agent.
    pub status: &'a StatusDocument,
    /// Reason why the status is not from the agent; `None` if it is.
    pub without: Option<&'a NoAnswer>,
    /// True if a namespace that no agent watches is critical (`--require-agent`).
    pub required: bool,
}

impl Check<'_> {
    /// Returns the plugin's exit code.
    pub fn exit_code(&self) -> u8 {
        match self.level() {
            Level::Normal => 0,
            Level::High => 1,
            Level::Critical => 2,
        }
    }

    fn level(&self) -> Level {
        if self.required && self.status.agent.is_none() { Level::Critical } else { self.status.level }
    }

    /// Writes the line, with the thresholds of `pressure`.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: &mut dyn Write, pressure: &PressureSettings) -> io::Result<()> {
        let status = self.status;
        let word = match self.level() {
            Level::Normal => "OK",
            Level::High => "WARNING",
            Level::Critical => "CRITICAL",
        };
        let (entries, limit) = (status.entries, status.limit);
        let (high, critical) = (pressure.high_percent, pressure.critical_percent);
        // A limit of 0 means no limit: no percentage can be taken of it.
        let thresholds = match limit {
            0 => ";;;0;".to_string(),
            _ => format!(";{};{};0;{limit}", share(limit, high), share(limit, critical)),
        };
        let text = self.text(pressure).replace('|', "/");
        let usage = match status.usage_percent {
            usage if limit > 0 && usage.is_finite() => format!("{usage:.2}%"),
            _ => "U".into(),
        };
        let drops = &status.drops;
        writeln!(
            out,
            "CTCTL {word} - {} | entries={entries}{thresholds} usage={usage};{high};{critical};0;100 \
             drop={}c early_drop={}c insert_failed={}c new_per_second={}",
            escape(&text),
            drops.drop,
            drops.early_drop,
            drops.insert_failed,
            status.new_per_second.map_or("U".into(), |rate| known(rate, 1)),
        )
    }

    /// Returns the figures as `status` shows them, or the reason for the level if usage alone does not account for it;
    /// then the notes on an agent that does not act.
    fn text(&self, pressure: &PressureSettings) -> String {
        let status = self.status;
        let figures = match status.limit {
            0 => format!("{} entries, no limit", status.entries),
            limit => {
                format!("{} of {limit} ({} entries)", usage(status.usage_percent, pressure), status.entries)
            }
        };
        let by_usage = match status.usage_percent {
            usage if usage >= pressure.critical_percent => Level::Critical,
            usage if usage >= pressure.high_percent => Level::High,
            _ => Level::Normal,
        };
        let reason = status.reasons.first().filter(|_| status.level > by_usage);
        let mut text = reason.map_or(figures, |reason| complete(reason).into_owned());
        for note in self.notes() {
            text.push_str(&format!(" ({note})"));
        }
        text
    }

    fn notes(&self) -> Vec<String> {
        match (&self.status.agent, self.without) {
            (Some(agent), _) => {
                let notes = [(agent.paused, "paused"), (agent.dry_run, "dry run")];
                notes.into_iter().filter(|(on, _)| *on).map(|(_, note)| note.into()).collect()
            }
            (None, None | Some(NoAnswer::NoAgent(_))) => vec!["no agent".into()],
            (None, Some(without)) => vec![without.to_string()],
        }
    }
}

/// Returns `12.1 %` as `status` shows it, but rounded down where rounding would show a threshold that is not reached.
fn usage(value: f64, pressure: &PressureSettings) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    let thresholds = [pressure.high_percent, pressure.critical_percent, 100.0];
    let crosses = thresholds.iter().any(|threshold| value < *threshold && *threshold <= rounded);
    percent(if crosses { (value * 10.0).floor() / 10.0 } else { value })
}

/// Writes the line of a check that found no answer; a `|` is replaced, since it would begin performance data.
///
/// # Errors
/// Those of the writer.
pub fn write_unknown(out: &mut dyn Write, error: &Error) -> io::Result<()> {
    let hint = error.hint.as_ref().map_or(String::new(), |hint| format!(" ({})", complete(hint)));
    let text = format!("{error}{hint}").replace('|', "/");
    writeln!(out, "CTCTL UNKNOWN - {}", escape(&text))
}

fn known(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "U".into() }
}

/// Returns the number of entries at which usage reaches `percent`.
fn share(limit: u64, percent: f64) -> u64 {
    (limit as f64 * percent / 100.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;

    fn checked(
        required: bool,
        without: Option<&NoAnswer>,
        change: impl FnOnce(&mut StatusDocument),
    ) -> (u8, String) {
        let mut status = canned::status();
        change(&mut status);
        let mut out = Vec::new();
        let check = Check { status: &status, without, required };
        check.write(&mut out, &PressureSettings::default()).expect("memory");
        (check.exit_code(), String::from_utf8(out).expect("text"))
    }

    fn line(change: impl FnOnce(&mut StatusDocument)) -> String {
        checked(false, None, change).1
    }

    #[test]
    fn the_line_carries_thresholds_and_limit() {
        let expected = "CTCTL OK - 12.1 % of 65536 (7900 entries) | entries=7900;52429;62260;0;65536 \
            usage=12.05%;80;95;0;100 drop=0c early_drop=0c insert_failed=0c new_per_second=120.0\n";
        assert_eq!(line(|_| {}), expected);
    }

    #[test]
    fn the_word_and_the_code_follow_the_level() {
        for (level, word, code) in
            [(Level::Normal, "OK", 0), (Level::High, "WARNING", 1), (Level::Critical, "CRITICAL", 2)]
        {
            let (found, line) = checked(false, None, |s| s.level = level);
            assert!(line.starts_with(&format!("CTCTL {word} - ")), "{line}");
            assert_eq!(found, code);
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
    }

    #[test]
    fn usage_is_that_of_status_and_never_a_threshold_that_is_not_reached() {
        for (value, shown) in
            [(79.99, "79.9 %"), (80.0, "80.0 %"), (94.96, "94.9 %"), (99.96, "99.9 %"), (12.054, "12.1 %")]
        {
            assert!(line(|s| s.usage_percent = value).contains(&format!("- {shown} of")), "{value}");
        }
    }

    #[test]
    fn a_level_that_usage_does_not_make_says_why() {
        let why = "usage is 82.0 % (820 of 1000 entries), still at or over high_percent 80 after | critical";
        let of = |level, usage_percent| {
            line(|s| {
                (s.level, s.usage_percent, s.reasons) =
                    (level, usage_percent, vec![why.into(), "more".into()])
            })
        };
        let expected = why.replace('|', "/");
        assert!(of(Level::Critical, 82.0).starts_with(&format!("CTCTL CRITICAL - {expected} | ")));
        assert!(of(Level::High, 70.0).contains("still at or over"), "foreseen");
        assert!(of(Level::Critical, 96.0).starts_with("CTCTL CRITICAL - 96.0 % of 65536"));
        assert!(of(Level::Normal, 10.0).starts_with("CTCTL OK - 10.0 % of"));
    }

    #[test]
    fn what_keeps_the_agent_from_acting_is_said_and_none_may_be_critical() {
        let (code, text) = checked(true, None, |s| {
            let agent = s.agent.as_mut().expect("an agent");
            (agent.paused, agent.dry_run) = (true, true);
        });
        assert!(text.contains("(7900 entries) (paused) (dry run) | "), "{text}");
        assert_eq!(code, 0);
        let none = NoAnswer::NoAgent("/run/ctctl/host.sock".into());
        let without = |required| checked(required, Some(&none), |s| s.agent = None);
        assert!(without(false).1.starts_with("CTCTL OK - 12.1 % of 65536 (7900 entries) (no agent) | "));
        assert!(without(true).1.starts_with("CTCTL CRITICAL - 12.1 % of 65536 (7900 entries) (no agent) | "));
        assert_eq!((without(false).0, without(true).0), (0, 2));
        let failed = NoAnswer::Failed("/s".into(), "no answer | in 5 s".into());
        let (code, text) = checked(true, Some(&failed), |s| s.agent = None);
        assert!(text.contains("(the agent on /s does not answer: no answer / in 5 s) | "), "{text}");
        assert_eq!(code, 2);
    }

    #[test]
    fn unknown_is_one_line_without_performance_data() {
        let error = Error::usage("usage", "bad | value\n").hint("write --x");
        let mut out = Vec::new();
        write_unknown(&mut out, &error).expect("memory");
        assert_eq!(out, b"CTCTL UNKNOWN - usage: bad / value\\n (write --x)\n");
    }
}
