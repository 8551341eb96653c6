//! Asks the agent of the namespace about entries that one look at the table leaves unknown.

use std::sync::{Arc, Mutex, PoisonError};

use crate::core::model::{Entry, EntryId, Judged, Knowledge, KnowledgeDocument};
use crate::facts::gauge::TimeoutsTold;
use crate::linux::clock;

/// Whoever can be asked what an agent knows.
pub trait KnowsEntries {
    /// Facts that it knows of at most [`KnowledgeDocument::MOST`] entries, in their order; `None` where it does not
    /// tell.
    fn known(&mut self, entries: &[EntryId]) -> Option<Vec<Knowledge>>;
}

/// An agent beside the command.
#[derive(Clone)]
pub(super) struct Beside {
    agent: Arc<Mutex<dyn KnowsEntries + Send>>,
    /// Another program has written entries that are there: of each it is asked whether it is one.
    others_update: bool,
    seen: Option<TimeoutsTold>,
}

/// Facts of some entries, and when they were told, in seconds since the host came up.
pub(super) struct ToldOf {
    pub known: Vec<Knowledge>,
    pub at_seconds: f64,
}

impl Beside {
    /// By the first answer, which is of no entry.
    pub(super) fn new(agent: Arc<Mutex<dyn KnowsEntries + Send>>, first: &KnowledgeDocument) -> Beside {
        let seen = first.seen.clone().and_then(|seen| serde_json::from_value(seen).ok());
        Beside { agent, others_update: first.others_update, seen }
    }

    /// The timeouts that agents saw.
    pub(super) fn seen(&self) -> Option<&TimeoutsTold> {
        self.seen.as_ref()
    }

    /// Another program has written entries.
    pub(super) fn others_update(&self) -> bool {
        self.others_update
    }

    /// True if the agent may know more of an entry than this.
    pub(super) fn may_know_more(&self, judged: &Judged) -> bool {
        if judged.protected.is_some() && judged.idle_seconds.is_none() && !self.others_update {
            // A socket of this host, a helper: nobody proves that it is idle.
            return false;
        }
        let unsure = !judged.past_floor && (judged.idle_seconds.is_none() || !judged.exact);
        self.others_update || (judged.class.is_some() && (unsure || judged.in_grace))
    }

    /// Asks of some entries; none where the agent does not answer.
    pub(super) fn ask<'e>(&self, entries: impl Iterator<Item = &'e Entry>) -> Option<ToldOf> {
        let ids: Vec<EntryId> = entries.map(EntryId::from).collect();
        let known = self.agent.lock().unwrap_or_else(PoisonError::into_inner).known(&ids)?;
        (known.len() == ids.len()).then(|| ToldOf { known, at_seconds: clock::boottime_seconds() })
    }
}
