//! The command `ctctl simulate`.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::{self, Global, Seeds};
use super::output;
use super::render::text::{escape, paragraph};
use super::render::{self, Style};
use crate::config::{self, nearest};
use crate::core::model::{Header, Netns, Scenario};
use crate::core::simulate::report::{Comparison, Document};
use crate::core::simulate::{self, SHIPPED, Shipped, Strategy};
use crate::error::{Error, Result};

/// Largest scenario that is read: a real one has a few kilobytes.
const LARGEST_BYTES: u64 = 1 << 20;
/// Time stamp of the document: virtual time has no date.
const TAKEN_AT: &str = "1970-01-01T00:00:00.000000Z";

/// Lists or shows the shipped scenarios, or plays a scenario and compares the strategies.
///
/// # Errors
/// The scenario cannot be read or is wrong, or the drawing cannot be written.
pub fn run(global: &Global, options: &args::Simulate) -> Result<u8> {
    if options.list {
        return list(global);
    }
    if let Some(name) = &options.show {
        let shipped = SHIPPED.iter().find(|shipped| shipped.name == name);
        let shipped = shipped.ok_or_else(|| unknown(name))?;
        output::print(|out| match global.json {
            true => {
                output::json(out, &Shown { header: header(), row: Row::new(shipped), toml: shipped.text })
            }
            false => out.write_all(shipped.text.as_bytes()),
        })?;
        return Ok(0);
    }
    let Some(path) = &options.scenario else {
        return Err(Error::usage("usage", "no scenario is named").hint("ctctl simulate --list"));
    };
    let (name, scenario) = read(path, global)?;
    let style = Style::of_stdout(global.color, global.verbosity());
    let mut progress = Progress::new(&name, style.verbosity);
    let mut document = play(name, &scenario, &options.strategies(), &options.seeds(), &mut progress);
    drop(progress);
    if global.json {
        output::print(|out| output::json(out, &document))?;
    }
    // A strategy that was asked for by name is shown even if it never acts.
    let idle = if options.strategy.is_empty() { document.without_idle() } else { Vec::new() };
    if let Some(file) = &options.svg {
        draw(file, &document)?;
    }
    if !global.json {
        output::print(|out| render::simulate::write(out, &document, &idle, &style))?;
    }
    Ok(0)
}

/// Progress as one line on standard error that is written over; on a terminal only, and not with `-q`.
struct Progress {
    scenario: String,
    shown: bool,
    /// Earliest time of the next update. The first comes after 200 ms, so that a short run shows no progress line.
    next: Instant,
    drawn: bool,
}

impl Progress {
    const EVERY: Duration = Duration::from_millis(200);

    fn new(scenario: &str, verbosity: i8) -> Progress {
        let shown = verbosity >= 0 && io::stderr().is_terminal();
        let scenario = escape(scenario).into_owned();
        Progress { scenario, shown, next: Instant::now() + Self::EVERY, drawn: false }
    }

    /// Shows that `part` (0 to 1) of run number `run` (from 0) of `runs` was played.
    fn tell(&mut self, strategy: Strategy, seed: u64, (run, runs): (usize, usize), part: f64) {
        if !self.shown || Instant::now() < self.next {
            return;
        }
        (self.next, self.drawn) = (Instant::now() + Self::EVERY, true);
        let percent = (run as f64 + part) / runs.max(1) as f64 * 100.0;
        let line = format!(
            "{}: {percent:.0} %, {} with seed {seed}, run {} of {runs}",
            self.scenario,
            strategy.name(),
            run + 1
        );
        // A line that is longer than the screen would wrap and could not be written over.
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| width.0);
        let line: String = line.chars().take(usize::from(width).saturating_sub(1)).collect();
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }
}

/// Clears the progress line.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// JSON document of `--list`.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    header: Header,
    scenarios: Vec<Row>,
}

/// JSON document of `--show`.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    header: Header,
    #[serde(flatten)]
    row: Row,
    toml: &'static str,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    summary: &'static str,
}

impl Row {
    fn new(shipped: &Shipped) -> Row {
        let summary = shipped.text.lines().find_map(|line| line.strip_prefix("summary = \""));
        Row { name: shipped.name, summary: summary.unwrap_or_default().trim_end_matches('"') }
    }
}

fn header() -> Header {
    Header { schema: 1, taken_at: TAKEN_AT.into(), netns: Netns::default() }
}

fn list(global: &Global) -> Result<u8> {
    let scenarios: Vec<Row> = SHIPPED.iter().map(Row::new).collect();
    let longest = scenarios.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let style = Style::of_stdout(global.color, global.verbosity());
    output::print(|out| match global.json {
        true => output::json(out, &Listed { header: header(), scenarios }),
        false => scenarios.iter().try_for_each(|Row { name, summary }| {
            paragraph(out, style.width, &format!("{name:longest$}  "), longest + 2, summary)
        }),
    })?;
    Ok(0)
}

fn unknown(name: &str) -> Error {
    let names: Vec<&str> = SHIPPED.iter().map(|shipped| shipped.name).collect();
    let hint = match nearest(name, &names) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("shipped are {}", names.join(", ")),
    };
    Error::usage("scenario", format!("no scenario is called {name}")).hint(hint)
}

/// Reads a file, or a shipped scenario by its name.
fn read(path: &Path, global: &Global) -> Result<(String, Scenario)> {
    let (settings, _) = config::load(global.config.as_deref())?;
    let name = path.to_string_lossy().into_owned();
    if let Some(shipped) = SHIPPED.iter().find(|shipped| shipped.name == name) {
        let scenario = config::parse_scenario(shipped.text, shipped.name, &settings)?;
        return Ok((name, scenario));
    }
    let is_a_name = path.components().count() == 1 && path.extension().is_none() && !path.exists();
    if is_a_name {
        return Err(unknown(&name));
    }
    let cannot = |why: String| Error::usage("scenario", format!("{name}: {why}"));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| {
        cannot(error.to_string()).hint("ctctl simulate --list shows those that are shipped")
    })?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(cannot(format!("larger than {LARGEST_BYTES} bytes")).hint("is this the right file?"));
    }
    let text = String::from_utf8(bytes).map_err(|_| cannot("not UTF-8".into()).hint("TOML is UTF-8"))?;
    let scenario = config::parse_scenario(&text, &name, &settings)?;
    Ok((name, scenario))
}

fn play(
    name: String,
    scenario: &Scenario,
    strategies: &[Strategy],
    seeds: &Seeds,
    progress: &mut Progress,
) -> Document {
    let (mut run, runs) = (0, strategies.len() * seeds.0.len());
    let mut one = |strategy: Strategy, seed: u64| {
        let mut told = |part: f64| progress.tell(strategy, seed, (run, runs), part);
        let played = simulate::run_told(scenario, strategy, seed, &mut told);
        run += 1;
        played
    };
    let mut compared = Vec::new();
    for strategy in strategies {
        let runs = seeds.0.iter().map(|seed| one(*strategy, *seed)).collect();
        compared.push(Comparison::new(*strategy, runs));
    }
    Document {
        header: header(),
        scenario: name,
        summary: scenario.summary.clone(),
        duration_seconds: scenario.duration_seconds,
        seeds: seeds.0.clone(),
        strategies: compared,
    }
}

fn draw(path: &Path, document: &Document) -> Result<()> {
    let drawn = File::create(path).and_then(|file| {
        let mut out = BufWriter::new(file);
        render::drawing::write(&mut out, document)?;
        out.flush()
    });
    let cannot = |error: std::io::Error| {
        Error::usage("drawing", format!("{}: {error}", path.display()))
            .hint("name a file that can be written")
    };
    drawn.map_err(cannot)
}
