//! The command `ctctl pause`, and the form that all commands to the agent share.

use serde::Serialize;

use super::args;
use super::place::Place;
use super::render::text::escape;
use super::{called, output, reach};
use crate::control::Client;
use crate::core::model::Header;
use crate::direct;
use crate::error::Result;

/// Makes the agent watch on and touch nothing.
///
/// # Errors
/// No agent of this namespace can be reached, or it refuses.
pub fn run(place: &Place, options: &args::Pause) -> Result<u8> {
    send_command(place, |client| client.pause(options.seconds.map(|seconds| seconds as f64)))
}

/// JSON document with the agent's answer to a command.
#[derive(Serialize)]
struct MessageDocument {
    #[serde(flatten)]
    header: Header,
    message: String,
}

/// Sends a command that only an agent can follow, and prints its answer.
///
/// # Errors
/// No agent of this namespace can be reached, or it refuses.
pub fn send_command(place: &Place, command: impl FnOnce(&mut Client) -> Result<String>) -> Result<u8> {
    let netns = place.target.netns();
    let mut client = reach::agent(&place.socket, netns).map_err(reach::NoAnswer::into_error)?;
    let message = called::complete(&command(&mut client)?).into_owned();
    output::print(|out| match place.json {
        true => output::json(out, &MessageDocument { header: direct::header(&place.target), message }),
        false => writeln!(out, "{}", escape(&message)),
    })?;
    Ok(0)
}
