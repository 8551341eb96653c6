//! The policy against a model of the kernel's table, in virtual time.
//!
//! ```text
//!  Scenario ─▶ arrivals ─▶ admission ─▶ table ◀── collector       the kernel's side
//!                          (early drop)   ▲ │
//!                                         │ └─▶ view ─▶ Scan, Snapshot ─▶ policy ─▶ Plan ─┐
//!                                         └──────────── sweep ◀──────── controller ◀─────┘
//! ```
//!
//! Entries are counted by cohort, never one by one. What an entry is to the agent says the same [`crate::core::sieve`] that
//! judges real ones; what is done about it the same [`crate::core::policy`]. Pure: chance comes from the seed, and the same
//! scenario, strategy and seed give the same run.

mod admission;
mod arrivals;
mod cohort;
mod collector;
mod controller;
mod facts;
mod fair_share;
mod flow;
mod random;
pub mod report;
mod run;
mod scenarios;
mod second_chance;
mod seen;
mod strategy;
mod sweep;
mod table;
mod view;
mod weighing;

pub use run::{run, run_told};
pub use scenarios::{SHIPPED, Shipped};
pub use strategy::Strategy;

#[cfg(test)]
mod tests;
