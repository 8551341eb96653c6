//! Knowledge of the table: events and dumps become counts, scans become histograms, expiries become proofs of
//! idleness.
//!
//! No clock, no file, no socket: time and kernel answers are arguments.

mod audit;
mod backlog;
mod bases;
mod chance;
mod completeness;
mod entry_index;
mod fingerprints;
mod group_counts;
mod history;
mod ledger;
mod life;
mod lines;
mod observations;
mod proof;
mod ranked;
mod rates;
mod regret;
mod regret_filter;
mod regret_records;
mod sightings;
mod sources;
mod sync;
mod weighing;

pub use audit::{Audit, Finding, Look};
pub use backlog::Backlog;
pub use bases::{Bases, Least};
pub use chance::{SecondChances, Waiting};
pub use completeness::{Completeness, Dumped};
pub use entry_index::EntryIndex;
pub use group_counts::{Counted, GroupCounts, Known};
pub use history::{FirstLook, TimeoutHistory};
pub use ledger::{BuildAsIs, Count, Identify, Ledger};
pub use life::LocalLife;
pub use observations::Observations;
pub use proof::{Idle, Proof, Proofs};
pub use ranked::{Picked, Sorted};
pub use rates::Rates;
pub use regret::RegretMeter;
pub use sightings::{Sighting, Sightings};
pub use sync::{Sync, Tally};
pub use weighing::Weighing;

#[cfg(test)]
mod tests;
