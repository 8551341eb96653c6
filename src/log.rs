//! The log of the agent and the commands: to the journal, or to standard error. Text on a terminal is for a person (see
//! `terminal`); elsewhere each line carries its fields.
//!
//! In the journal the fields of an event carry the prefix `CTCTL_` (`netns` is `CTCTL_NETNS`, `action` `CTCTL_ACTION`,
//! `class` `CTCTL_CLASS`, `id` `CTCTL_ID`), as names without one belong to systemd (systemd.journal-fields(7)); so
//! `journalctl CTCTL_NETNS=gw1` finds one namespace. A line that cannot be written is lost and nothing else happens:
//! the agent does not end when its reader does, and it does not wait for a reader that does not read: a separate thread
//! writes the lines (see `queue`).

mod poll_writer;
mod queue;
mod terminal;

use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::core::model::LogFormat;

pub use queue::{Pending, dropped};

/// Environment variable that sets levels by target, over `-v` and `-q`: `debug`, `warn,ctctl::act::journal=trace`.
pub const FILTER_VARIABLE: &str = "CTCTL_LOG";

type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// True if lines of this form are read by a person at a terminal.
pub fn is_terminal_text(format: LogFormat) -> bool {
    matches!(format, LogFormat::Auto | LogFormat::Text) && io::stderr().is_terminal()
}

/// Sends the events of this process where `format` says, from now on. `verbosity` 0 shows info and above; each step up
/// shows one level more (debug, trace), each step down one less (warn, error, nothing). Only the first call of a
/// process has an effect. Another thread writes the lines: dropping the returned value waits for lines that are still
/// queued, for half a second at most.
///
/// Without the journal's socket `journald` becomes text with a warning, and a filter in [`FILTER_VARIABLE`] that cannot
/// be read is ignored with a warning.
#[must_use = "lines that are queued when the process ends are lost"]
pub fn init(format: LogFormat, verbosity: i8) -> Pending {
    let (output, no_journal) = output(format);
    let (filter, bad_filter) = filter(env::var(FILTER_VARIABLE).ok().as_deref(), verbosity);
    let (lines, reader) = queue::queue();
    let pending = lines.pending();
    if tracing_subscriber::registry().with(lines).with(filter).try_init().is_err() {
        return Pending::default();
    }
    // This registry gets no dispatcher: with a second one, callsites would ask both if a level is wanted.
    reader.write_to(tracing_subscriber::registry().with(output));
    if let Some(error) = no_journal {
        tracing::warn!(%error, "the journal cannot be reached; logging to standard error");
    }
    if let Some(error) = bad_filter {
        tracing::warn!(%error, "{FILTER_VARIABLE} is no filter; it is ignored");
    }
    pending
}

fn output(format: LogFormat) -> (Output, Option<io::Error>) {
    let journald = match format {
        LogFormat::Auto => stderr_is_journal(),
        LogFormat::Journald => true,
        LogFormat::Text => false,
        LogFormat::Json => return (json(), None),
    };
    if !journald {
        return (text(), None);
    }
    match journal() {
        Ok(output) => (output, None),
        Err(error) => (text(), Some(error)),
    }
}

/// Returns the priorities of syslog(3): 3 for an error, 4 for a warning. The crate's defaults call an info "notice",
/// which journalctl shows in bold.
fn priorities() -> PriorityMappings {
    PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    }
}

fn journal() -> io::Result<Output> {
    let layer = tracing_journald::layer()?
        .with_field_prefix(Some("CTCTL".into()))
        .with_syslog_identifier("ctctl".into())
        .with_priority_mappings(priorities());
    Ok(layer.boxed())
}

// Errors of writing are not shown: eprintln! panics if standard error is closed.
fn text() -> Output {
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr()).log_internal_errors(false);
    if !io::stderr().is_terminal() {
        return layer.with_timer(queue::EventTime).with_ansi(false).boxed();
    }
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
    layer.event_format(terminal::TerminalFormat::new(!plain)).boxed()
}

fn json() -> Output {
    let layer = tracing_subscriber::fmt::layer().json().with_ansi(false).with_timer(queue::EventTime);
    layer.with_writer(stderr()).log_internal_errors(false).boxed()
}

fn stderr() -> BoxMakeWriter {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => BoxMakeWriter::new(poll_writer::Stderr::new(descriptor)),
        Err(_) => BoxMakeWriter::new(io::stderr),
    }
}

/// Returns the variable's filter, or that of `verbosity` if there is none, or if it is bad, then with the reason.
fn filter(variable: Option<&str>, verbosity: i8) -> (EnvFilter, Option<String>) {
    let level = match verbosity {
        ..=-3 => LevelFilter::OFF,
        -2 => LevelFilter::ERROR,
        -1 => LevelFilter::WARN,
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    };
    let builder = || EnvFilter::builder().with_default_directive(level.into());
    match builder().parse(variable.unwrap_or_default()) {
        Ok(filter) => (filter, None),
        Err(error) => (builder().parse_lossy(""), Some(error.to_string())),
    }
}

/// True if standard error is the stream that systemd connected to the journal (systemd.exec(5), `$JOURNAL_STREAM`). A
/// child whose standard error goes elsewhere inherits the variable too.
fn stderr_is_journal() -> bool {
    let variable = env::var("JOURNAL_STREAM").ok();
    let Ok(stderr) = fstat(io::stderr()) else { return false };
    is_stream(variable.as_deref(), stderr.st_dev, stderr.st_ino)
}

/// Compares with `JOURNAL_STREAM`, which is `DEVICE:INODE`, both decimal.
fn is_stream(variable: Option<&str>, device: u64, inode: u64) -> bool {
    let parsed = variable.and_then(|text| text.split_once(':'));
    parsed.is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

#[cfg(test)]
mod tests;
