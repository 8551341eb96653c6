//! The control socket: calls to the agent, the users who may make them, and the messages that carry the answers.
//!
//! The wire is Varlink: a JSON object and one NUL byte, both ways. `io.ctctl.Control.varlink` beside this file is the
//! interface. The server ([`serve`]) is a part of the agent's service thread; the [`Client`] blocks.

mod cache;
mod client;
mod connections;
pub mod frame;
mod limits;
mod rows;
pub mod schema;
mod server;
mod share;
mod socket;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use crate::core::model::{
    EntriesOfSource, EntryRow, HandFlush, JournalRecord, KnowledgeDocument, PlanDocument, Reloaded,
    RevertDocument, SnapshotDocument, SortBy, StatusDocument, TopSources,
};
use crate::error::{Error, Exit};

pub use client::Client;
pub use limits::Limits;
pub use rows::SourceRows;
pub use server::serve;
pub use share::Share;
pub use socket::{ConnectError, SocketGuard, bind, peer_pid};

/// A call to the agent.
#[derive(Clone, PartialEq, Debug)]
pub enum Call {
    /// Asks for the status (`status`).
    GetStatus {
        /// True if the agent may scan the table because its last scan of classes is too old.
        look: bool,
    },
    /// Asks for the largest sources (`top-sources`).
    GetTopSources {
        /// Largest number of sources; 0 means all.
        limit: u64,
        /// Amount to sort by; an agent keeps entries and new entries.
        rank: SortBy,
    },
    /// Asks for the entries of one source.
    GetEntries {
        /// Address of the source.
        source: IpAddr,
        /// Zone of the entries; `None` for all zones.
        zone: Option<u16>,
    },
    /// Asks what the agent has heard and seen of single entries.
    GetKnowledge {
        /// Entries, at most [`KnowledgeDocument::MOST`]; an empty list asks for the facts that hold for all.
        entries: Vec<EntryRow>,
    },
    /// Asks what the policy would do now (`plan`).
    GetPlan,
    /// Asks for all that a plan is made from (`plan --snapshot`).
    GetSnapshot,
    /// Asks for journal records (`history`).
    GetHistory {
        /// Largest number of records, the newest ones; 0 means all.
        limit: u64,
        /// Time of the first record, RFC 3339; not checked before it reaches the service.
        since: Option<String>,
    },
    /// Makes the agent watch on and change nothing.
    Pause {
        /// Duration in seconds; `None` until `Resume`. A value from a socket is finite, over 0 and at most `u32::MAX`.
        seconds: Option<f64>,
    },
    /// Makes the agent act again.
    Resume,
    /// Makes the agent read its configuration again.
    Reload,
    /// Records in the journal that an operator deleted entries.
    TellFlush(HandFlush),
    /// Puts back what the agent changed.
    Revert {
        /// True to put back what is not safe now, too.
        force: bool,
    },
}

impl Call {
    /// True for a call that changes something and therefore needs uid 0.
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Call::Pause { .. } | Call::Resume | Call::Reload | Call::TellFlush(_) | Call::Revert { .. }
        )
    }

    /// True for a call whose answer goes out in pages.
    pub fn paged(&self) -> bool {
        matches!(self, Call::GetTopSources { .. } | Call::GetEntries { .. } | Call::GetHistory { .. })
    }
}

/// The result of a call.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// Reply to `GetStatus`.
    Status(Box<StatusDocument>),
    /// Reply to `GetTopSources`.
    TopSources(TopSources),
    /// Reply to `GetTopSources` with more rows than are worth holding: the document has no rows, they are made as they
    /// are sent.
    ManySources(TopSources, SourceRows),
    /// Reply to `GetEntries`.
    Entries(EntriesOfSource),
    /// Reply to `GetKnowledge`.
    Knowledge(KnowledgeDocument),
    /// Reply to `GetPlan`.
    Plan(PlanDocument),
    /// Reply to `GetSnapshot`.
    Snapshot(Box<SnapshotDocument>),
    /// Reply to `GetHistory`, oldest record first.
    History(Vec<JournalRecord>),
    /// Reply to `Revert`.
    Reverted(RevertDocument),
    /// Reply to `Reload`.
    Reloaded(Reloaded),
    /// Reply to `Pause`, `Resume` and `TellFlush`: a sentence on the state that the call led to.
    Done {
        /// Sentence for the operator.
        message: String,
    },
}

/// Kind of a refusal: an error of the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum RefusalKind {
    NotPermitted,
    Failed,
    Busy,
}

/// The reason why a call failed, as an error of the interface.
#[derive(Clone, PartialEq, Debug)]
pub struct Refusal {
    /// Error of the interface.
    pub kind: RefusalKind,
    /// Exit code of the client's command; only `Failed` carries it over the socket, the others are `Unreachable`.
    pub exit: Exit,
    /// Sentence that says what failed and why.
    pub message: String,
    /// Sentence that says what to do.
    pub hint: Option<String>,
}

impl Refusal {
    fn new(kind: RefusalKind, exit: Exit, message: impl Into<String>) -> Self {
        Refusal { kind, exit, message: message.into(), hint: None }
    }

    /// Builds a refusal: the caller may not do this; exit 3.
    pub fn not_permitted(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotPermitted, Exit::Unreachable, message)
    }

    /// Builds a refusal: the call did not work; exit 3.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Failed, Exit::Unreachable, message)
    }

    /// Builds a refusal: the call ran, and the answer is no; exit 1.
    pub fn no(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Failed, Exit::No, message)
    }

    /// Builds a refusal: the agent cannot do this now; exit 3.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Busy, Exit::Unreachable, message)
    }

    /// Adds a hint on what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Builds a `Failed` refusal with the error's exit and hint.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        Refusal { kind: RefusalKind::Failed, exit: error.exit, message, hint: error.hint }
    }
}

/// The future that a [`Service`] returns.
pub type Answer = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

/// The process at the other end of a connection (SO_PEERCRED: as of its connect()).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Caller {
    /// User id of the process.
    pub uid: u32,
    /// Process id; `None` in another pid namespace.
    pub pid: Option<u32>,
}

/// Answers calls. Each call gets the variant of [`Reply`] that is named after it.
pub trait Service: Send + Sync + 'static {
    /// Answers one call. After [`Limits::answer`] the future is dropped, wherever it stands; work that must be finished
    /// belongs to the agent's other threads.
    fn answer(&self, call: Call) -> Answer;

    /// Answers one call that changes something, which `caller` asked for and is allowed to.
    fn change(&self, call: Call, caller: Caller) -> Answer {
        let _ = caller;
        self.answer(call)
    }
}
