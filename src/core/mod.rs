//! The part without a clock, a file, a socket or a thread: facts come in as arguments, and choices go out as values.
//!
//! `clippy.toml` names the functions that none of it calls, and `tests/architecture.rs` the types that none of it names.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod model;
pub mod policy;
pub mod sieve;
pub mod simulate;
pub mod state;
pub mod sweep;
