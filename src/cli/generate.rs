//! The command `ctctl generate`.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};

use super::args::{Arguments, File, Global};
use super::{manual, output, unit};
use crate::config;
use crate::error::Result;

/// Prints one file.
///
/// # Errors
/// The configuration that was named is wrong, or standard output cannot be written.
pub fn run(global: &Global, file: &File) -> Result<u8> {
    let text = match file {
        File::Man => manual::page(Arguments::command()),
        File::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut completed(), "ctctl", &mut text);
            text
        }
        File::Config => config::generated().into_bytes(),
        File::Unit => unit::text(global)?.into_bytes(),
    };
    output::print(|out| out.write_all(&text))?;
    Ok(0)
}

/// Returns the command line for completions, in which `help` takes the names of the other commands.
fn completed() -> Command {
    let command = Arguments::command();
    let names = command.get_subcommands().map(|sub| sub.get_name().to_owned());
    // clap needs names that live until the process ends; this process prints once and ends.
    let names: Vec<&'static str> = names.map(|name| &*name.leak()).collect();
    let named = |arg: Arg| arg.value_parser(PossibleValuesParser::new(names));
    command.mut_subcommand("help", |help| help.mut_arg("command", named))
}
