//! What is known: events and dumps become counts, scans become histograms, expiries become proofs of idleness.
//!
//! No clock, no file, no socket: time and kernel answers are arguments.

mod audit;
mod bases;
mod chance;
mod ledger;
mod proof;
mod rates;
mod regret;
mod regret_filter;
mod sync;
mod weighing;

pub use audit::{Audit, Finding, Look};
pub use bases::{Bases, TimeoutHistory};
pub use chance::{SecondChances, Waiting};
pub use ledger::{Count, Identify, Ledger};
pub use proof::{Idle, Observations, Proofs, Sightings};
pub use rates::Rates;
pub use regret::RegretMeter;
pub use sync::{Sync, Tally};
pub use weighing::Weighing;
