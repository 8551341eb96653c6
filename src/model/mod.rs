//! Nouns: what the kernel holds, what the operator wants, what was decided and what came of it.
//!
//! Nothing here acts, reads a clock or knows another module; every other module speaks in these types.

mod answer;
mod candidate;
mod class;
mod detail;
mod drift;
mod entry;
mod everywhere;
mod examined;
mod features;
mod filter;
mod finding;
mod governing;
mod groups;
mod judged;
mod knowledge;
mod level;
mod lifeline;
mod mark;
mod neighbour;
mod outcome;
mod persisted;
mod plan;
mod protocol;
mod queue;
mod ranking;
mod record;
mod recorded;
mod regret;
mod remembered;
mod scenario;
pub mod sentence;
mod settings;
mod share;
mod snapshot;
mod span;
mod timeouts;
mod tuple;
mod unclassed;
pub mod unproven;
mod verdict;
mod wish;

pub use answer::{
    AgentStatus, Basis, Bounds, ClassRow, Header, PlanDocument, RevertDocument, RevertRow, SourceCount,
    SourceRow, Status as StatusDocument, TimeoutRow, TopSources,
};
pub use candidate::*;
pub use class::*;
pub use detail::*;
pub use drift::*;
pub use entry::*;
pub use everywhere::*;
pub use examined::*;
pub use features::*;
pub use filter::*;
pub use finding::*;
pub use groups::*;
pub use judged::*;
pub use knowledge::*;
pub use level::*;
pub use lifeline::*;
pub use mark::*;
pub use neighbour::*;
pub use outcome::*;
pub use persisted::*;
pub use plan::*;
pub use protocol::*;
pub use queue::*;
pub use ranking::*;
pub use record::*;
pub use recorded::*;
pub use regret::*;
pub use remembered::*;
pub use scenario::*;
pub use settings::*;
pub use share::*;
pub use snapshot::*;
pub use span::*;
pub use timeouts::*;
pub use tuple::*;
pub use unclassed::*;
pub use unproven::{Unproven, UnprovenCount, UnprovenCounts};
pub use verdict::*;
pub use wish::*;
