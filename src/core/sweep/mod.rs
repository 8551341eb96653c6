//! Decides which of the entries that a sweep meets go, and by which act of the plan. Pure: no clock, no kernel, no
//! file.
//!
//! A driver offers one entry after another, each with its judgement, and does what it is told: the executor on the
//! kernel's table or in a dry run, the simulator on its model. An operator's `flush` has rules of its own beside them.
//!
//! - [`Rules`]: budgets, cut-offs, shares and second chances of a plan's acts.
//! - [`Dues`]: what the payers of fair share still owe.
//! - [`ByHand`]: what an operator wants deleted.
//! - [`Pacing`]: how fast.

mod by_hand;
mod dues;
mod pacing;
mod rules;

pub use by_hand::{ByHand, Fate};
pub use dues::Dues;
pub use pacing::{CREDIT, Pacing};
pub use rules::{Allowed, Choice, Rules, Victim};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
