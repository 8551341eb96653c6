//! The command `ctctl history`.

use super::args;
use super::place::Place;
use super::reach::{self, NoAnswer};
use super::{output, render};
use crate::act::journal;
use crate::core::model::JournalRecord;
use crate::error::Result;

/// Number of acts shown if the operator gives neither a number nor a time.
const DEFAULT_ACTS: u64 = 20;
/// Most records of one act: its intent, and an end for each class, or for each value that goes back.
const RECORDS_OF_ACT: u64 = 32;

/// Prints the journal as the agent has it, or without an agent the journal file.
///
/// # Errors
/// Neither can be read.
pub fn run(place: &Place, options: &args::History) -> Result<u8> {
    let limit = options.limit.unwrap_or(if options.since.is_some() { 0 } else { DEFAULT_ACTS });
    let each = place.json || place.style.verbosity > 0;
    let records = records(place, options, if each { limit } else { limit.saturating_mul(RECORDS_OF_ACT) })?;
    output::print(|out| match place.json {
        true => records.iter().try_for_each(|record| output::json(out, record)),
        false => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            render::history::write(out, &records, limit, &place.style)
        }
    })?;
    Ok(0)
}

fn records(place: &Place, options: &args::History, limit: u64) -> Result<Vec<JournalRecord>> {
    let asked = reach::agent(&place.socket, place.target.netns()).and_then(|mut client| {
        let since = options.since.map(|moment| moment.to_string());
        let failed = |error: crate::error::Error| {
            NoAnswer::Failed(place.socket.display().to_string(), error.to_string())
        };
        client.history(limit, since).map_err(failed)
    });
    let (records, _) = reach::or_else(asked, || {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let warn = |text: String| output::notice(&format!("journal: {text}"));
        journal::read(&place.state_dir, limit, options.since, warn)
    })?;
    Ok(records)
}
