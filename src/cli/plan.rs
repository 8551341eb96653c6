//! The command `ctctl plan`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::args::{self, Global};
use super::place::Place;
use super::render::Style;
use super::render::quantity::moment;
use super::render::text::escape;
use super::{called, output, reach, render};
use crate::core::model::PlanDocument;
use crate::error::{Error, Result};
use crate::{config, direct, tools::replay};

/// Largest snapshot that is read. A snapshot has about 20 kB; the bound keeps `--from /dev/zero` from filling the
/// memory.
const LARGEST_BYTES: u64 = 16 << 20;

/// Prints what the policy would do now and why, with `--snapshot` the facts that it decides on, or with `--from` the
/// plan of a recorded snapshot.
///
/// # Errors
/// Neither the agent nor the kernel answers, or the file is no snapshot.
pub fn run(global: &Global, options: &args::Plan) -> Result<u8> {
    if let Some(path) = &options.from {
        return replay_snapshot(global, path);
    }
    let place = Place::find(global)?;
    let netns = place.target.netns();
    if options.snapshot {
        let kernel = || direct::recorded(&place.target, &place.settings);
        let (recorded, _) = reach::answer(&place.socket, netns, |client| client.snapshot(), kernel)?;
        output::print(|out| output::json(out, &recorded))?;
        return Ok(0);
    }
    let kernel = || direct::plan(&place.target, &place.settings);
    let (plan, without) = reach::answer(&place.socket, netns, |client| client.plan(), kernel)?;
    let note = without.map(|without| format!("Read from the kernel ({without})"));
    show(plan, note.as_deref(), place.json, &place.style)
}

/// Prints the plan of a recorded snapshot.
fn replay_snapshot(global: &Global, path: &Path) -> Result<u8> {
    let name = if path == Path::new("-") { "standard input".into() } else { path.to_string_lossy() };
    let name = escape(&name).into_owned();
    let recorded = replay::parse(&read(path, &name)?, &name)?;
    // Only a configuration that was named replaces the recorded settings: this machine's own is not that of the
    // gateway.
    let settings = match &global.config {
        Some(config) => Some(config::load(Some(config))?.0),
        None => None,
    };
    let plan = replay::plan(&recorded, settings.as_ref())?;
    let style = Style::of_stdout(global.color, global.verbosity());
    let with = match &global.config {
        Some(config) => format!("the settings of {}", config.display()),
        None => "its own settings".into(),
    };
    let (taken_at, key) = (moment(&recorded.taken_at, style.zone()), recorded.netns.key());
    let note = format!("Decided again from {name}, recorded at {taken_at} in {key}, with {with}");
    show(plan, Some(&note), global.json, &style)
}

fn show(mut plan: PlanDocument, note: Option<&str>, json: bool, style: &Style) -> Result<u8> {
    let reasons = plan.actions.iter_mut().map(|action| &mut action.reason);
    called::complete_all(plan.reasons.iter_mut().chain(&mut plan.waiting).chain(reasons));
    output::print(|out| match json {
        true => output::json(out, &plan),
        false => render::plan::write(out, &plan, note, style),
    })?;
    Ok(0)
}

fn read(path: &Path, name: &str) -> Result<String> {
    let cannot = |why: &str| {
        Error::usage("snapshot", format!("{name}: {why}"))
            .hint("record one with `ctctl plan --snapshot >FILE`")
    };
    let read_all = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match path == Path::new("-") {
            true => io::stdin().lock().take(LARGEST_BYTES + 1).read_to_end(&mut bytes)?,
            false => File::open(path)?.take(LARGEST_BYTES + 1).read_to_end(&mut bytes)?,
        };
        Ok(bytes)
    };
    let bytes = read_all().map_err(|error| cannot(&error.to_string()))?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(cannot(&format!("longer than {} MiB", LARGEST_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| cannot("not UTF-8"))
}
