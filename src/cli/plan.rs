//! `ctctl plan`.

use super::place::Place;
use super::{output, reach, render};
use crate::error::Result;
use crate::survey;

/// Prints what the policy would do now, and why.
///
/// # Errors
/// Where neither the agent nor the kernel answers.
pub fn run(place: &Place) -> Result<u8> {
    let netns = place.target.netns();
    let kernel = || survey::plan(&place.target, &place.settings);
    let (plan, without) = reach::answer(&place.socket, netns, |client| client.plan(), kernel)?;
    output::print(|out| match place.json {
        true => output::json(out, &plan),
        false => render::plan::write(out, &plan, without.as_ref(), &place.style),
    })?;
    Ok(0)
}
