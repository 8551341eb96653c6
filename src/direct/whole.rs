//! Dumps that may be partial, and what makes sure of them.

use crate::core::state::{Completeness, Dumped};
use crate::error::{Error, Result};
use crate::facts::gauge::Gauge;
use crate::linux::bucket_watch::{BucketWatch, Buckets};
use crate::linux::socket::{Netlink, explain};
use crate::linux::table::{self, Chunk, Part};

/// The error of a dump from which entries may be missing.
pub(super) fn partial() -> Error {
    Error::unreachable(
        "conntrack dump",
        "the table was resized meanwhile: entries may be missing or there twice",
    )
    .hint("run it again")
}

/// True if a walk of a part of the table met all of that, as far as other dumps tell; `deleted` entries of the part
/// went since.
///
/// # Errors
/// Exit 3 where the kernel cannot be read.
pub(super) fn is_confirmed(gauge: &mut Gauge, part: Part, dumped: &Dumped, deleted: u64) -> Result<bool> {
    for _ in 0..Completeness::ATTEMPTS {
        let again = count(gauge, part)?;
        if !again.resized() {
            return Ok(match part {
                // Entries that lack in both are in no dump.
                Part::Whole => dumped.lacks_as_much_as(&again),
                _ => dumped.met_as_much_as(&again, deleted),
            });
        }
    }
    Ok(false)
}

/// Dumps a part for the number of its entries.
fn count(gauge: &mut Gauge, part: Part) -> Result<Dumped> {
    let watch = gauge.values().watch_buckets()?;
    let mut dumped = Dumped::begins(gauge.count()?);
    let mut each = |chunk: &Chunk<'_>| {
        dumped.meets(chunk.entries().count() as u64);
        true
    };
    let counted = table::dump_of(&mut Netlink::open()?, part, &mut each);
    dumped.was_resized(resized(watch));
    counted.map_err(|error| explain("conntrack dump", &error))?;
    dumped.counts(gauge.count()?);
    Ok(dumped)
}

/// True if the table was resized; `None` where that is not known.
pub(super) fn resized(watch: BucketWatch) -> Option<bool> {
    match watch.end() {
        Buckets::Stayed => Some(false),
        Buckets::Changed => Some(true),
        Buckets::NotKnown => None,
    }
}
