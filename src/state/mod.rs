//! Knowledge of the table: events and dumps become counts, scans become histograms, expiries become proofs of
//! idleness.
//!
//! No clock, no file, no socket: time and kernel answers are arguments.

mod audit;
mod backlog;
mod bases;
mod chance;
mod completeness;
mod fingerprints;
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
mod roll;
mod sightings;
mod sources;
mod sync;
mod tally;
mod weighing;

pub use audit::{Audit, Finding, Look};
pub use backlog::Backlog;
pub use bases::{Bases, Least};
pub use chance::{SecondChances, Waiting};
pub use completeness::{Completeness, Dumped};
pub use history::{FirstLook, TimeoutHistory};
pub use ledger::{BuildAsIs, Count, Identify, Ledger};
pub use life::LocalLife;
pub use observations::Observations;
pub use proof::{Idle, Proof, Proofs};
pub use ranked::{Picked, Sorted};
pub use rates::Rates;
pub use regret::RegretMeter;
pub use roll::Roll;
pub use sightings::{Sighting, Sightings};
pub use sync::{Sync, Tally};
pub use tally::{Census, Counted, Known};
pub use weighing::Weighing;

#[cfg(test)]
mod tests;
