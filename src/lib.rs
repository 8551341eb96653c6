//! A live controller of the Linux connection tracking table.

pub mod config;
pub mod control;
pub mod error;
pub mod executor;
pub mod gauge;
pub mod log;
pub mod model;
pub mod journal;
pub mod kernel;
pub mod policy;
pub mod recovery;
pub mod sieve;
pub mod state;
