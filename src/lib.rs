//! A live controller of the Linux connection tracking table.

pub mod config;
pub mod error;
pub mod log;
pub mod model;
pub mod kernel;
pub mod policy;
pub mod state;
