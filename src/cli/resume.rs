//! The command `ctctl resume`.

use super::pause::send_command;
use super::place::Place;
use crate::error::Result;

/// Makes a paused agent act again.
///
/// # Errors
/// No agent of this namespace can be reached, or it refuses.
pub fn run(place: &Place) -> Result<u8> {
    send_command(place, |client| client.resume())
}
