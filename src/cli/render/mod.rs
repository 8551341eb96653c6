//! Output of the commands, apart from what they do: documents in, text out.

#[cfg(test)]
pub mod canned;
pub mod check;
pub mod classes;
pub mod conntrack;
pub mod doctor;
pub mod drawing;
pub mod entry;
pub mod everywhere;
pub mod flush;
pub mod history;
pub mod persist;
pub mod plan;
pub mod quantity;
pub mod revert;
pub mod simulate;
pub mod sources;
pub mod status;
pub mod table;
pub mod text;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use jiff::tz::TimeZone;

use super::args::Color;
use crate::core::model::Level;

/// Width of a terminal that does not report its own, in columns.
const DEFAULT_WIDTH: usize = 80;

/// Width, colour, time zone and verbosity of text.
#[derive(Clone)]
pub struct Style {
    /// Columns of the terminal; `None` if the output is no terminal and nothing is fitted.
    pub width: Option<usize>,
    /// True if text is coloured.
    pub colour: bool,
    /// Zone in which times are shown. It is found only when it is needed: most commands show no time, and finding it
    /// reads about a hundred directories.
    pub zone: OnceLock<TimeZone>,
    /// Number of `-v` minus number of `-q`.
    pub verbosity: i8,
}

impl Style {
    /// Returns the style that fits standard output.
    pub fn of_stdout(color: Color, verbosity: i8) -> Style {
        let terminal = io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        let own = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Style {
            width: terminal.then(|| width(set("COLUMNS").as_deref(), own())),
            colour: match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => terminal && !plain,
            },
            zone: OnceLock::new(),
            verbosity,
        }
    }

    /// Returns the zone in which times are shown.
    pub fn zone(&self) -> &TimeZone {
        self.zone.get_or_init(TimeZone::system)
    }

    /// True if the terminal understands more than lines.
    pub fn terminal_is_able() -> bool {
        !matches!(std::env::var("TERM").as_deref(), Err(_) | Ok("" | "dumb"))
    }

    /// Returns columns and lines of standard output, if it is a terminal that reports them; else 80 by 24.
    pub fn stdout_size() -> (usize, usize) {
        let own = terminal_size::terminal_size().map(|(width, height)| (width.0.into(), height.0.into()));
        own.filter(|(width, height)| *width > 0 && *height > 0).unwrap_or((DEFAULT_WIDTH, 24))
    }

    /// Paints a heading.
    pub fn bold<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.paint("1", text)
    }

    /// Paints a level in its colour.
    pub fn level(&self, level: Level) -> Cow<'static, str> {
        let code = match level {
            Level::Normal => "32",
            Level::High => "1;33",
            Level::Critical => "1;31",
        };
        self.paint(code, level.name())
    }

    /// Paints a warning.
    pub fn alarm<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.paint("1;31", text)
    }

    /// Paints a line of a diff.
    pub fn diff<'a>(&self, line: &'a str) -> Cow<'a, str> {
        match line.as_bytes().first() {
            Some(b'+') => self.paint("32", line),
            Some(b'-') => self.paint("31", line),
            _ => Cow::Borrowed(line),
        }
    }

    fn paint<'a>(&self, code: &str, text: &'a str) -> Cow<'a, str> {
        match self.colour {
            true => Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")),
            false => Cow::Borrowed(text),
        }
    }
}

/// Returns COLUMNS if it is a width, else the terminal's own.
fn width(columns: Option<&OsStr>, own: Option<usize>) -> usize {
    let columns = columns.and_then(OsStr::to_str).and_then(|text| text.parse::<usize>().ok());
    columns.filter(|&n| n > 0).or(own.filter(|&n| n > 0)).unwrap_or(DEFAULT_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_are_no_width_are_passed_over() {
        let of = |columns: &str, own| width(Some(OsStr::new(columns)), own);
        assert_eq!(of("40", Some(100)), 40);
        for nonsense in ["0", "-1", "wide", "", "99999999999999999999999"] {
            assert_eq!(of(nonsense, Some(100)), 100, "{nonsense}");
        }
        assert_eq!(of("0", Some(0)), 80);
        assert_eq!(width(None, None), 80);
    }

    #[test]
    fn colour_wraps_and_no_colour_leaves() {
        let style = |colour| Style { colour, ..canned::style(None) };
        assert_eq!(style(true).level(Level::Critical), "\x1b[1;31mcritical\x1b[0m");
        assert_eq!(style(false).level(Level::Critical), "critical");
    }
}
