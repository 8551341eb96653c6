//! The policy held against what it promises: one file for each promise, properties over any facts at the end.

mod buckets;
mod calm;
mod ceiling;
mod fair_share;
mod fixtures;
mod flush;
mod generators;
mod histogram;
mod level;
mod lift;
mod loops;
mod observe;
mod overridden;
mod properties;
mod raise;
mod regret;
mod scan;
mod second_chance;
mod timeouts;
mod urgent;
mod world;
