//! Commands that need no agent and change nothing that it decides: each with one task of its own.

pub mod doctor;
pub mod lifeline;
pub mod persist;
pub mod replay;
pub mod saved;
