//! `ctctl status`.

use super::args;
use super::output::{self, Printed};
use super::place::Place;
use super::{reach, render};
use crate::control::Client;
use crate::error::{Error, Result};
use crate::survey;

/// Prints the state of the table and of the agent.
///
/// # Errors
/// Where neither the agent nor the kernel answers.
pub fn run(place: &Place, options: &args::Status) -> Result<u8> {
    if options.check && place.json {
        return Err(Error::usage(
            "usage",
            "--check prints a line for a monitoring system, --json a document",
        )
        .hint("leave one of them out"));
    }
    let netns = place.target.netns();
    // A line for monitoring, asked for again and again, tells of no class.
    let ask = if options.check { Client::status_at_hand } else { Client::status };
    let kernel = || survey::status(&place.target, &place.settings);
    let (status, without) = reach::answer(&place.socket, netns, ask, kernel)?;
    if options.check {
        let pressure = &place.settings.pressure;
        return match output::print(|out| render::check::write(out, &status, pressure))? {
            Printed::Whole => Ok(render::check::exit_code(status.level)),
            Printed::Closed => Ok(0),
        };
    }
    output::print(|out| match place.json {
        true => output::json(out, &status),
        false => render::status::write(out, &status, without.as_ref(), &place.style),
    })?;
    Ok(0)
}
