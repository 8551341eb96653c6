//! The command line: one file a subcommand, what it prints in `render`.

mod agent;
mod args;
mod asking;
mod doctor;
mod events;
mod filters;
mod flush;
mod generate;
mod history;
mod knowing;
mod lifeline;
mod list;
mod manual;
mod output;
mod pause;
mod persist;
mod place;
mod plan;
pub mod prefix;
mod reach;
mod reload;
mod render;
mod resolve;
mod resume;
mod revert;
mod simulate;
mod status;
mod top;
mod top_sources;
mod unit;
mod usage;
mod value;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use output::Printed;
use place::Place;
use render::check;

use crate::error::{Error, Exit, Result};

/// Runs the command that the process was started with; the exit code is the contract's.
pub fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    // A monitoring system must not read "critical" (2) from a usage error, so this is known before the line is.
    let checking =
        line.iter().any(|word| word == "--check" || word.as_encoded_bytes().starts_with(b"--check="));
    let ended = match Arguments::try_parse_from(&line) {
        Ok(arguments) => run(&arguments),
        Err(error) if usage::is_answer(&error) => answer(&error),
        Err(error) => Err(usage::explain(&error, &line)),
    };
    ExitCode::from(match ended {
        Ok(code) => code,
        Err(error) if checking => unknown(&error),
        Err(error) => {
            output::complain(&error);
            error.exit as u8
        }
    })
}

fn run(arguments: &Arguments) -> Result<u8> {
    let global = &arguments.global;
    let place = || Place::find(global);
    match &arguments.command {
        Command::Agent(options) => agent::run(global, options),
        Command::KeepFiles => agent::keep_files(),
        Command::Status(options) => status::run(&place()?, options),
        Command::TopSources(options) => top_sources::run(global, options),
        Command::Top(options) => top::run(global, options),
        Command::Events(options) => events::run(&place()?, options),
        Command::Flush(options) => flush::run(&place()?, options),
        Command::List(options) => list::run(&place()?, options),
        Command::Plan(options) => plan::run(global, options),
        Command::History(options) => history::run(&place()?, options),
        Command::Pause(options) => pause::run(&place()?, options),
        Command::Resume => resume::run(&place()?),
        Command::Reload => reload::run(&place()?),
        Command::Revert(options) => revert::run(&place()?, options),
        Command::Doctor(options) => doctor::run(global, options),
        Command::Simulate(options) => simulate::run(global, options),
        Command::Persist(options) => persist::run(global, options),
        Command::Lifeline(options) => lifeline::run(global, options),
        Command::Generate(options) => generate::run(global, &options.file),
    }
}

/// Help and version, which clap hands over as errors.
fn answer(error: &clap::Error) -> Result<u8> {
    match error.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::unreachable("standard output", error))
        }
        _ => Ok(0),
    }
}

/// `--check` cannot tell: the line that monitoring systems show, and their code for it.
fn unknown(error: &Error) -> u8 {
    match output::print(|out| check::write_unknown(out, error)) {
        Ok(Printed::Closed) => 0,
        _ => Exit::Unreachable as u8,
    }
}
