//! The command `ctctl resume`.

use super::pause::tell;
use super::place::Place;
use crate::error::Result;

/// Makes a paused agent act again.
///
/// # Errors
/// No agent of this namespace can be reached, or it refuses.
pub fn run(place: &Place) -> Result<u8> {
    tell(place, |client| client.resume())
}
