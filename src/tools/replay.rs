//! A recorded moment, decided again: no kernel, no rights, the same on any machine.

use serde::Deserialize;

use crate::core::model::{PlanDocument, Settings, SnapshotDocument};
use crate::core::policy;
use crate::error::{Error, Result};
use crate::facts::documents;

/// The schema that this version writes and reads.
const SCHEMA: u64 = 1;
const RECORD_ONE: &str = "record one with `ctctl plan --snapshot >FILE`";

/// Looked at first: nothing else of another schema need be where it is looked for.
#[derive(Deserialize)]
struct Schema {
    schema: u64,
    #[serde(default)]
    version: Option<String>,
}

/// Fields that have to be there, whatever else older and newer versions have.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "snapshot")]
    _snapshot: Essentials,
}

#[derive(Deserialize)]
struct Essentials {
    #[serde(rename = "now_seconds")]
    _now_seconds: f64,
    #[serde(rename = "entries")]
    _entries: u64,
    #[serde(rename = "max")]
    _max: u64,
    #[serde(rename = "buckets")]
    _buckets: u64,
}

/// Reads a recorded snapshot; `file` is the name that errors show.
///
/// # Errors
/// `Exit::Usage`, shown as `snapshot: FILE:LINE:COLUMN: what is wrong`; of a newer schema too.
pub fn parse(text: &str, file: &str) -> Result<SnapshotDocument> {
    let broken = |error: serde_json::Error| {
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        let place = format!("{file}:{}:{}: {why}", error.line(), error.column());
        Error::usage("snapshot", place).hint(RECORD_ONE)
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Schema { schema, version } = serde_json::from_str(text).map_err(broken)?;
    if schema != SCHEMA {
        let version = version.map_or(String::new(), |version| format!(" (ctctl {version})"));
        let why = format!("{file}: its schema is {schema}{version}, and this version reads {SCHEMA}");
        return Err(
            Error::usage("snapshot", why).hint("replay it with the version that recorded it, or a newer one")
        );
    }
    let _: Head = serde_json::from_str(text).map_err(broken)?;
    serde_json::from_str(text).map_err(broken)
}

/// The plan that was made of it, or with other `settings` the one that would have been.
///
/// # Errors
/// `Exit::Usage` where what the policy remembered cannot be read.
pub fn plan(recorded: &SnapshotDocument, settings: Option<&Settings>) -> Result<PlanDocument> {
    let memory = serde_json::from_value(recorded.memory.clone())
        .map_err(|error| Error::usage("snapshot", format!("its memory: {error}")).hint(RECORD_ONE))?;
    let settings = settings.unwrap_or(&recorded.settings);
    let (plan, _) = policy::decide(&recorded.snapshot, &memory, settings);
    Ok(documents::plan(recorded.header(), &recorded.snapshot, &plan))
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
