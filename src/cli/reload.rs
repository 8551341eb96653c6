//! The command `ctctl reload`.

use serde::Serialize;

use super::place::Place;
use super::render::text::escape;
use super::{output, reach};
use crate::core::model::{Header, Reloaded};
use crate::direct;
use crate::error::Result;

/// Makes the agent read its configuration again, and prints the changes.
///
/// # Errors
/// No agent of this namespace can be reached, or the configuration is wrong.
pub fn run(place: &Place) -> Result<u8> {
    let mut client =
        reach::agent(&place.socket, place.target.netns()).map_err(reach::NoAnswer::into_error)?;
    let reloaded = client.reload()?;
    output::print(|out| match place.json {
        true => {
            output::json(out, &ReloadDocument { header: direct::header(&place.target), reloaded: &reloaded })
        }
        false => {
            writeln!(out, "{}", escape(&reloaded.message))?;
            reloaded.changes.iter().try_for_each(|change| writeln!(out, "  {}", escape(&change.to_string())))
        }
    })?;
    Ok(0)
}

/// JSON document with the agent's answer.
#[derive(Serialize)]
struct ReloadDocument<'a> {
    #[serde(flatten)]
    header: Header,
    #[serde(flatten)]
    reloaded: &'a Reloaded,
}
