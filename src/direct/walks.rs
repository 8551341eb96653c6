//! Counts the walks of a flush, and ends them.

use super::look::Looker;
use super::walked::Walked;
use crate::core::state::Completeness;
use crate::error::Result;
use crate::linux::deleter::Deleted;
use crate::linux::table::Part;

/// Walks of one flush: repeated until one of them has met all that there was, or too often.
#[derive(Debug, Default)]
pub(super) struct Walks {
    begun: usize,
    completeness: Completeness,
    /// The table was resized during one of them: from then on only a walk that was watched all the time is believed.
    resized: bool,
    /// The last one is known to have missed entries, or may have.
    pub(super) partial: bool,
}

impl Walks {
    /// True if one more is to be tried.
    pub(super) fn another(&mut self) -> bool {
        self.begun += 1;
        self.begun <= Completeness::ATTEMPTS
    }

    /// A walk ended. `sure`: all that it should have met was where it looked, or nothing that is meant is left. True if
    /// it was the last.
    pub(super) fn ended_with(&mut self, walked: &Walked, sure: bool) -> bool {
        let dumped = &walked.dumped;
        self.resized |= dumped.resized();
        let met_all = match walked.part {
            Some(Part::Whole) => self.completeness.reached_by(*dumped),
            _ => !dumped.resized(),
        };
        let whole = met_all && (dumped.was_steady() || !self.resized);
        self.partial = walked.whole && !whole;
        !walked.whole || (whole && sure)
    }
}

/// True if nothing was missed by a walk that deleted entries as it met them: the table stayed as it was, and the
/// entries that were to go were found. Deletions by tuple miss what is being moved, and a few entries end by
/// themselves at any time.
pub(super) fn is_sure(
    looker: &mut Looker<'_>,
    walked: &Walked,
    now: Deleted,
    before: Deleted,
) -> Result<bool> {
    let missed = now.already_gone - before.already_gone;
    let deleted = now.gone() - before.gone();
    Ok(missed <= 8 + (missed + deleted) / 100 && looker.stayed(walked, deleted)?)
}
