//! The command line: one file a subcommand; `render` holds what they print.

mod agent;
mod args;
mod beside;
mod called;
mod doctor;
mod events;
mod filters;
mod flush;
mod generate;
mod history;
mod lifeline;
mod list;
mod manual;
mod output;
mod pause;
mod persist;
mod place;
mod plan;
pub mod prefix;
mod ranking_query;
mod reach;
mod reload;
mod remembered;
mod render;
mod resolve;
mod resume;
mod revert;
mod simulate;
mod status;
mod status_all;
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

/// Runs the command that the process was started with, and returns the exit code of the contract.
pub fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    if line.len() == 2 && line[1] == agent::FILES {
        return exit_code(agent::keep_files(), false);
    }
    // A monitoring system must not read "critical" (2) from a usage error, so `--check` is looked for before parsing.
    let checking =
        line.iter().any(|word| word == "--check" || word.as_encoded_bytes().starts_with(b"--check="));
    let done = match Arguments::try_parse_from(&line) {
        Ok(arguments) => run(&arguments),
        Err(error) => refused(&error, &line),
    };
    exit_code(done, checking)
}

/// Prints the help of a command: `ctctl help flush` is `ctctl flush --help`.
fn help(command: &[String]) -> Result<u8> {
    let words = ["ctctl"].into_iter().chain(command.iter().map(String::as_str)).chain(["--help"]);
    let line: Vec<OsString> = words.map(OsString::from).collect();
    match Arguments::try_parse_from(&line) {
        Err(error) => refused(&error, &line),
        Ok(_) => Ok(0),
    }
}

/// Turns an error of clap into an exit code or an error of ctctl; help and version are errors to clap, too.
fn refused(error: &clap::Error, line: &[OsString]) -> Result<u8> {
    match usage::is_answer(error) {
        true => print_help(error),
        false => Err(usage::explain(error, line)),
    }
}

fn exit_code(done: Result<u8>, checking: bool) -> ExitCode {
    ExitCode::from(match done {
        Ok(code) => code,
        Err(error) if checking => check_failed(&error),
        Err(error) => {
            output::print_error(&error);
            error.exit as u8
        }
    })
}

fn run(arguments: &Arguments) -> Result<u8> {
    let global = &arguments.global;
    called::keep(global);
    let place = || Place::find(global);
    match &arguments.command {
        Command::Agent(options) => agent::run(global, options),
        Command::Status(options) if options.all => status_all::run(global),
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
        Command::Help(options) => help(&options.command),
    }
}

/// Prints help or the version.
fn print_help(error: &clap::Error) -> Result<u8> {
    match error.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::unreachable("standard output", error))
        }
        _ => Ok(0),
    }
}

/// Prints the line for monitoring systems that says that `--check` found no answer, and returns the code for it.
fn check_failed(error: &Error) -> u8 {
    match output::print(|out| check::write_unknown(out, error)) {
        Ok(Printed::Closed) => 0,
        _ => Exit::Unreachable as u8,
    }
}
