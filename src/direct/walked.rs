//! Facts of a walk through the table besides its entries.

use crate::core::model::UnprovenCounts;
use crate::core::state::Dumped;
use crate::error::{Error, Result};
use crate::linux::table::Part;

/// Facts of a walk besides its entries.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    /// It went through the whole table.
    pub whole: bool,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Entries that it met beside the kernel's counts, where it was a walk of the whole table; of a part it is known
    /// alone whether the table was resized meanwhile.
    pub dumped: Dumped,
    /// The part that was asked for; `None` where entries were, by their identities.
    pub part: Option<Part>,
    /// Entries that were asked for by their identities.
    pub asked: u64,
    /// Those of them that are there still, wanted or not.
    pub there: u64,
    /// Entries that the filters would want, were they known to be idle, by why they are not.
    pub unproven: UnprovenCounts,
    /// Entries of which the agent did not tell what it knows.
    pub not_told: u64,
}

impl Walked {
    /// # Errors
    /// Exit 3 where entries may be missing from what was handed on.
    pub(super) fn trusted(&self) -> Result<()> {
        match self.unreadable {
            0 => Ok(()),
            _ => {
                let error = Error::unreachable("conntrack dump", "part of it could not be read");
                Err(error.hint("run it again"))
            }
        }
    }
}
