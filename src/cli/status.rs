//! The command `ctctl status`.

use super::args;
use super::called;
use super::output::{self, Printed};
use super::place::Place;
use super::reach::{self, NoAnswer};
use super::render;
use super::render::check::Check;
use crate::control::Client;
use crate::direct;
use crate::error::{Error, Result};

/// Prints the state of the table and of the agent.
///
/// # Errors
/// Neither the agent nor the kernel answers.
pub fn run(place: &Place, options: &args::Status) -> Result<u8> {
    if options.check && place.json {
        return Err(Error::usage(
            "usage",
            "--check prints a line for a monitoring system, --json a document",
        )
        .hint("leave one of them out"));
    }
    let netns = place.target.netns();
    // The monitoring line shows no classes, so it takes the answer that costs the agent no look at the table.
    let ask = if options.check { Client::status_without_scan } else { Client::status };
    let kernel = || direct::status(&place.target, &place.settings);
    let (mut status, without) = reach::answer(&place.socket, netns, ask, kernel)?;
    called::complete_all(status.reasons.iter_mut().chain(&mut status.waiting));
    if options.check {
        let required = options.require_agent;
        if let Some(without @ NoAnswer::NotPermitted(_)) = without.as_ref().filter(|_| required) {
            // It is unknown if an agent watches this namespace.
            return Err(without.clone().into_error());
        }
        let check = Check { status: &status, without: without.as_ref(), required };
        return match output::print(|out| check.write(out, &place.settings.pressure))? {
            Printed::Whole => Ok(check.exit_code()),
            Printed::Closed => Ok(0),
        };
    }
    output::print(|out| match place.json {
        true => output::json(out, &status),
        false => render::status::write(out, &status, without.as_ref(), &place.style),
    })?;
    Ok(0)
}
