//! The policy held against what it promises: one file for each promise, properties over any facts at the end.

mod buckets;
mod calm;
mod ceiling;
mod fair_share;
mod fixtures;
mod flush;
mod generators;
mod grace;
mod hands;
mod histogram;
mod hurry;
mod level;
mod lift;
mod loops;
mod observe;
mod properties;
mod raise;
mod regret;
mod scan;
mod shorten;
mod world;
