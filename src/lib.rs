//! A live controller of the Linux connection tracking table.
//!
//! One way through the house. Facts, choice and act are three things with three types:
//!
//! ```text
//!            events            ┌───────┐   what single entries are
//!  kernel ───────────▶ state ──┤       ├──────────────────────────────┐
//!    │                   │     │ sieve │◀── protection (policy)       │
//!    │  dump             │     └───┬───┘                              │
//!    ├─────────────────▶─┘    Scan │ histograms by class              │ which entries
//!    │  counts, sysctls,       ▼   ▼                                  ▼
//!    └──────────────▶ gauge ─▶ Snapshot ─▶ policy ─▶ Plan ─▶ executor ─▶ Outcome ─▶ journal
//!       memory, drops                        ▲                  │
//!                            Settings, Memory┘                  └─▶ kernel, by the only writer,
//!                                                                   or none (dry run)
//! ```
//!
//! A plan names classes, cut-offs and budgets, never entries. The executor walks the table, the [`sieve`] judges each
//! entry, and the rules of the [`sweep`] choose those that go, so that plan, dry run, real run and simulation share the
//! code that decides. The same snapshot, memory and settings give the same plan. Time is an argument everywhere left of
//! the executor.
//!
//! | place | what lives there |
//! |---|---|
//! | [`model`] | nouns: entry, event, snapshot, plan, outcome, the documents that commands print |
//! | [`kernel`] | the only Linux: netlink, sysctls, memory facts, namespaces, clocks; the only `unsafe` |
//! | [`state`] | events and dumps become counts; the audit; proofs of idleness |
//! | [`policy`] | pure: level, ceiling, relief, calm, protection |
//! | [`sieve`] | where class, proof and protection meet: the one judgement of an entry |
//! | [`sweep`] | pure: which of the entries that are met go, by which act of the plan, and how fast |
//! | [`gauge`] | the kernel's numbers become a snapshot |
//! | [`saved`] | a table saved as text, `conntrack -L` or /proc, counted line by line |
//! | [`simulate`] | the same policy and sieve against a modelled table, in virtual time |
//! | [`executor`] | plan to outcomes: walks, acts, and looks again at the moment of acting |
//! | [`journal`] | intent before the act, outcome after; the baseline on disk |
//! | [`recovery`] | the baseline in use: what was found, what was written, how it goes back |
//! | [`documents`] | facts become the contract's documents, for the agent and without one |
//! | [`replay`] | a recorded moment, decided again without a kernel |
//! | [`agent`] | the loop and its three threads: events, actor, service |
//! | [`doctor`] | settings that do not do what their author thinks: pure findings over gathered facts |
//! | [`survey`] | the same answers with no agent, straight from the kernel |
//! | [`persist`] | today's values made to hold at boot |
//! | [`lifeline`] | a way in past connection tracking, by nft |
//! | [`control`] | the socket: Varlink server, client, one interface file |
//! | [`metrics`] | the OpenMetrics page, and the listener that hands it out |
//! | [`config`], [`log`] | the configuration with its positions; where log lines go |
//! | [`cli`] | one file a subcommand, rendering apart |
//!
//! `tests/architecture.rs` holds the imports of every file against this.

pub mod agent;
pub mod cli;
pub mod config;
pub mod control;
pub mod doctor;
pub mod documents;
pub mod error;
pub mod executor;
pub mod gauge;
pub mod journal;
pub mod kernel;
pub mod lifeline;
pub mod log;
pub mod metrics;
pub mod model;
pub mod persist;
pub mod policy;
pub mod recovery;
pub mod replay;
pub mod saved;
pub mod sieve;
pub mod simulate;
pub mod state;
pub mod survey;
pub mod sweep;
