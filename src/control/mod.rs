//! The control socket: what the agent can be asked, who may ask, and how the answers travel.
//!
//! The wire is Varlink: a JSON object and one NUL byte, both ways. `io.ctctl.Control.varlink` beside this file is
//! the interface. The server ([`serve`]) is a part of the agent's service thread; the [`Client`] blocks.

mod client;
pub mod frame;
mod kept;
mod rows;
pub mod schema;
mod seats;
mod server;
mod share;
mod socket;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use crate::error::{Error, Exit};
use crate::model::{
    EntriesOfSource, EntryRow, HandFlush, JournalRecord, KnowledgeDocument, PlanDocument, Reloaded,
    RevertDocument, SnapshotDocument, SortBy, StatusDocument, TopSources,
};

pub use client::Client;
pub use rows::SourceRows;
pub use server::{Limits, serve};
pub use share::Share;
pub use socket::{ConnectError, SocketGuard, bind, peer_pid};

/// One thing asked of the agent.
#[derive(Clone, PartialEq, Debug)]
pub enum Call {
    /// `status`.
    GetStatus {
        /// Classes that were seen too long ago are looked at again: a scan of the table.
        look: bool,
    },
    /// `top-sources`.
    GetTopSources {
        /// At most so many sources; 0 is all.
        limit: u64,
        /// By what they are sorted; an agent keeps entries and new ones.
        rank: SortBy,
    },
    /// The entries of one source.
    GetEntries {
        /// Its address.
        source: IpAddr,
        /// In this zone alone.
        zone: Option<u16>,
    },
    /// What the agent has heard and seen of single entries.
    GetKnowledge {
        /// Which, [`KnowledgeDocument::MOST`] at most; none: what holds for all.
        entries: Vec<EntryRow>,
    },
    /// `plan`.
    GetPlan,
    /// `plan --snapshot`.
    GetSnapshot,
    /// `history`.
    GetHistory {
        /// At most so many records, the newest; 0 is all.
        limit: u64,
        /// Only records from this time on, RFC 3339; not checked before it reaches the service.
        since: Option<String>,
    },
    /// Watch on and change nothing.
    Pause {
        /// For so long, or until `Resume`. What comes from a socket is finite, over 0 and at most `u32::MAX`.
        seconds: Option<f64>,
    },
    /// Act again.
    Resume,
    /// Read the configuration again.
    Reload,
    /// Keep in the journal that entries were deleted by hand.
    TellFlush(HandFlush),
    /// Put back what was changed.
    Revert {
        /// Even where that is not safe now.
        force: bool,
    },
}

impl Call {
    /// True for what changes anything and therefore needs uid 0.
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Call::Pause { .. } | Call::Resume | Call::Reload | Call::TellFlush(_) | Call::Revert { .. }
        )
    }

    /// True for answers that go out in pages.
    pub fn paged(&self) -> bool {
        matches!(self, Call::GetTopSources { .. } | Call::GetEntries { .. } | Call::GetHistory { .. })
    }
}

/// What a call comes to.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// To `GetStatus`.
    Status(Box<StatusDocument>),
    /// To `GetTopSources`.
    TopSources(TopSources),
    /// The same, with more rows than are worth to be held: those of the document, none, and then these.
    ManySources(TopSources, SourceRows),
    /// To `GetEntries`.
    Entries(EntriesOfSource),
    /// To `GetKnowledge`.
    Knowledge(KnowledgeDocument),
    /// To `GetPlan`.
    Plan(PlanDocument),
    /// To `GetSnapshot`.
    Snapshot(Box<SnapshotDocument>),
    /// To `GetHistory`, oldest first.
    History(Vec<JournalRecord>),
    /// To `Revert`.
    Reverted(RevertDocument),
    /// To `Reload`.
    Reloaded(Reloaded),
    /// To `Pause`, `Resume` and `TellFlush`: a sentence that says what is so now.
    Done {
        /// The sentence.
        message: String,
    },
}

/// Which of the interface's errors a refusal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum RefusalKind {
    NotPermitted,
    Failed,
    Busy,
}

/// Why a call comes to nothing: one of the interface's errors.
#[derive(Clone, PartialEq, Debug)]
pub struct Refusal {
    /// Which error.
    pub kind: RefusalKind,
    /// What the client's command ends with; only `Failed` carries it over the socket, the others are `Unreachable`.
    pub exit: Exit,
    /// What failed and why.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Refusal {
    fn new(kind: RefusalKind, exit: Exit, message: impl Into<String>) -> Self {
        Refusal { kind, exit, message: message.into(), hint: None }
    }

    /// The caller may not do this; exit 3.
    pub fn not_permitted(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotPermitted, Exit::Unreachable, message)
    }

    /// It did not work; exit 3.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Failed, Exit::Unreachable, message)
    }

    /// It ran, and the answer is no; exit 1.
    pub fn no(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Failed, Exit::No, message)
    }

    /// Not now; exit 3.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Busy, Exit::Unreachable, message)
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// `Failed`, with the error's exit and hint.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        Refusal { kind: RefusalKind::Failed, exit: error.exit, message, hint: error.hint }
    }
}

/// What a [`Service`] returns: a reply to come.
pub type Answer = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

/// The process at the other end of a connection (SO_PEERCRED: as of its connect()).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// Its id; `None` in another pid namespace.
    pub pid: Option<u32>,
}

/// Who answers the calls. Each call gets the variant of [`Reply`] that is named after it.
pub trait Service: Send + Sync + 'static {
    /// Answers one call. The future is dropped where it stands after [`Limits::answer`]; what must be finished is
    /// to be done by someone else (the agent's other threads).
    fn answer(&self, call: Call) -> Answer;

    /// Answers one call that changes something, which `caller` asked for and may.
    fn change(&self, call: Call, caller: Caller) -> Answer {
        let _ = caller;
        self.answer(call)
    }
}
