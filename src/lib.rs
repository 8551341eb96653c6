//! A live controller of the Linux connection tracking table.
//!
//! One way through the house. Facts, choice and act are three things with three types:
//!
//! ```text
//!  kernel ──▶ linux ──▶ facts ──▶ Snapshot ──▶ core ──▶ Plan ──▶ act ──▶ linux ──▶ kernel
//!                                               ▲                 │
//!                             Settings, Memory ─┘                 └──▶ Outcome ──▶ journal
//! ```
//!
//! A plan names classes, cut-offs and budgets, never entries. The executor walks the table, the [`core::sieve`] judges
//! each entry, and the rules of the [`core::sweep`] choose those that go, so that plan, dry run, real run and simulation
//! share the code that decides. The same snapshot, memory and settings give the same plan. Time is an argument
//! everywhere in [`core`].
//!
//! | folder | what lives there |
//! |---|---|
//! | [`core`] | pure: no clock, file, socket or thread. `model`: nouns. `state`: events and dumps become counts, and what of idleness is proven. `policy`: level, ceiling, relief, calm, protection. `sieve`: the one judgement of an entry. `sweep`: which entries go, and how fast. `simulate`: all of it against a modelled table |
//! | [`linux`] | the only Linux, and the only `unsafe`: netlink, sysctls, memory, namespaces, clocks |
//! | [`facts`] | `gauge`: the kernel's numbers become a snapshot. `documents`: a snapshot becomes what commands print |
//! | [`act`] | `executor`: plan to outcomes, by the only writer of the kernel or by one that does nothing. `journal`: intent before the act, outcome after. `recovery`: the baseline goes back |
//! | [`agent`] | the loop and its three threads: events, actor, service |
//! | [`direct`] | the same answers with no agent, straight from the kernel |
//! | [`control`], [`metrics`] | the socket (Varlink) and the OpenMetrics page: they carry answers, and make none |
//! | [`tools`] | `doctor`, `persist`, `lifeline`, `replay`, `saved`: commands with a task of their own |
//! | [`config`], [`log`], [`error`] | the configuration with its positions; where log lines go; what reaches the operator |
//! | [`cli`] | one file a subcommand, rendering apart |
//!
//! `tests/architecture.rs` holds the imports of every file against this.

pub mod act;
pub mod agent;
pub mod cli;
pub mod config;
pub mod control;
pub mod core;
pub mod direct;
pub mod error;
pub mod facts;
pub mod linux;
pub mod log;
pub mod metrics;
pub mod tools;
