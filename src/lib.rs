//! A live controller of the Linux connection tracking table.

pub mod agent;
pub mod cli;
pub mod config;
pub mod control;
pub mod documents;
pub mod error;
pub mod executor;
pub mod gauge;
pub mod journal;
pub mod kernel;
pub mod log;
pub mod model;
pub mod policy;
pub mod recovery;
pub mod sieve;
pub mod state;
pub mod survey;
