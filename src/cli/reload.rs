//! `ctctl reload`.

use super::pause::tell;
use super::place::Place;
use crate::error::Result;

/// Makes the agent read its configuration again.
///
/// # Errors
/// Where no agent for this namespace can be reached, or the configuration is wrong.
pub fn run(place: &Place) -> Result<u8> {
    tell(place, |client| client.reload())
}
