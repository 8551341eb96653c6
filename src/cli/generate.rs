//! `ctctl generate`.

use clap::CommandFactory;

use super::args::{Arguments, File, Global};
use super::{manual, output, unit};
use crate::config;
use crate::error::Result;

/// Prints one file.
///
/// # Errors
/// A configuration that is named and wrong, and standard output's.
pub fn run(global: &Global, file: &File) -> Result<u8> {
    let text = match file {
        File::Man => manual::page(Arguments::command()),
        File::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "ctctl", &mut text);
            text
        }
        File::Config => config::generated().into_bytes(),
        File::Unit => unit::text(global)?.into_bytes(),
    };
    output::print(|out| out.write_all(&text))?;
    Ok(0)
}
