//! The configuration file: TOML in, [`Settings`] out, or one error that points at the line and column.
//!
//! Every key is optional and an unknown one is an error: a misspelt `high_percent` that is silently ignored
//! is found on the day the table is full. Values are checked where they stand, so the agent never meets a
//! setting that it cannot act on.

mod changes;
mod fault;
mod generated;
mod keys;
mod order;
mod scenario;
mod tables;
mod value;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

pub use self::changes::changes;
#[cfg(test)]
pub(crate) use self::fault::edits;
pub(crate) use self::fault::nearest;
pub use self::generated::generated;
pub use self::scenario::parse_scenario;

use self::fault::{Fault, shown};
use self::value::Value;
use crate::core::model::Settings;
use crate::error::{Error, Result};

/// Path of the file that is read when none is named.
pub const DEFAULT_PATH: &str = "/etc/ctctl/ctctl.toml";

/// Largest file that is read. A real configuration has a few kilobytes; the bound keeps `--config /dev/zero` from
/// filling the memory.
const LARGEST_BYTES: u64 = 1 << 20;

/// Reads a configuration from text; `file` is the name that errors show.
///
/// # Errors
/// `Exit::Usage`, shown as `configuration: FILE:LINE:COLUMN: what is wrong`; line and column count from 1, columns in
/// characters. An unknown key is shown at the key, a bad value at the value.
pub fn parse(text: &str, file: &str) -> Result<Settings> {
    read(text).map_err(|fault| fault.in_file(text, file))
}

/// Reads the named file, which must exist, or else [`DEFAULT_PATH`] if that exists, or else the defaults. Returns the
/// path of the file that was read, too.
///
/// # Errors
/// Those of [`parse`]; `Exit::Usage` too if the file cannot be read.
pub fn load(explicit: Option<&Path>) -> Result<(Settings, Option<PathBuf>)> {
    load_or(explicit, Path::new(DEFAULT_PATH))
}

/// Returns the tables with their keys, in the contract's order: a generated file must show all of them.
pub fn known_keys() -> Vec<(&'static str, Vec<&'static str>)> {
    tables::TABLES.iter().map(|table| (table.name, table.names())).collect()
}

fn load_or(explicit: Option<&Path>, default: &Path) -> Result<(Settings, Option<PathBuf>)> {
    let path = explicit.unwrap_or(default);
    let name = shown(&path.to_string_lossy());
    let cannot = |why: String| Error::usage("configuration", format!("{name}: {why}"));
    let bytes = match read_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && explicit.is_none() => {
            return Ok((Settings::default(), None));
        }
        Err(error) => {
            return Err(cannot(error.to_string()).hint("name a TOML file that this user can read"));
        }
        Ok(bytes) => bytes,
    };
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(cannot(format!("larger than {LARGEST_BYTES} bytes")).hint("is this the right file?"));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let fault = Fault::new(valid, "not UTF-8").hint("TOML is UTF-8; save the file in that encoding");
            return Err(fault.in_file(&String::from_utf8_lossy(error.as_bytes()), &name));
        }
    };
    Ok((parse(&text, &name)?, Some(path.to_owned())))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read(text: &str) -> std::result::Result<Settings, Fault> {
    let document = DeTable::parse(text).map_err(|error| Fault::of_syntax(&error, text))?;
    let mut settings = Settings::default();
    for root in Value::entries(document.get_ref()) {
        let table = tables::TABLES.iter().find(|t| t.name == root.key);
        let table = table.ok_or_else(|| keys::unknown_table(&root))?;
        let DeValue::Table(entries) = root.content() else {
            return Err(root
                .takes("a table")
                .hint(format!("write [{0}] on a line of its own, once, and its keys below it", table.name)));
        };
        for entry in Value::entries(entries) {
            table.set(&mut settings, &entry)?;
        }
    }
    order::check(&settings.pressure, document.get_ref())?;
    Ok(settings)
}
