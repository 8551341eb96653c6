//! The contract's keys one by one and together, and the place and words of every kind of fault.

pub(super) mod accepted;
mod any_text;
mod files;
mod generated;
mod page;
mod refused;
