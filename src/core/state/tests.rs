//! Proofs of idleness against a model of the kernel.

mod hostile;
mod kernel_rules;
mod trackers;
mod world;
