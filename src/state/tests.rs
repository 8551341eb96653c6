//! Proofs of idleness against a model of the kernel.

mod hostile;
mod world;
