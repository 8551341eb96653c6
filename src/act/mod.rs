//! Acts and their records: what a plan asks for is done, written down before and after, and put back.

pub mod executor;
pub mod journal;
pub mod recovery;
