//! Tells commands that look at the table themselves what the agent knows of single entries.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use super::actor::Actor;
use super::shared::ReplySender;
use crate::control::Reply;
use crate::core::model::{EntryId, Header, Knowledge, KnowledgeDocument};
use crate::facts::documents;
use crate::linux::clock;

impl Actor {
    /// Answers from memory: neither the kernel nor a disk is asked.
    pub(super) fn answer_known(&mut self, entries: &[EntryId], reply: ReplySender) {
        let Header { schema, taken_at, netns } = documents::header(&self.netns, clock::now_rfc3339());
        let now = clock::boottime_seconds();
        let sightings = self.parts.sightings.read().unwrap_or_else(PoisonError::into_inner);
        let identify = &self.parts.identify;
        let observations = self.sweeper.observations();
        let known = |id: &EntryId| {
            let fingerprint = identify.id(id);
            let (observed, second_chance) = observations.tell(fingerprint, now);
            Knowledge { foreign: sightings.foreign(fingerprint), observed, second_chance }
        };
        let entries: Vec<Knowledge> = entries.iter().map(known).collect();
        drop(sightings);
        let seen = entries.is_empty().then(|| serde_json::to_value(self.gauge.tell(&self.boot_id)));
        let document = KnowledgeDocument {
            schema,
            taken_at,
            netns,
            others_update: self.parts.numbers.others_write.load(Relaxed),
            seen: seen.and_then(Result::ok),
            entries,
        };
        let _ = reply.send(Ok(Reply::Knowledge(document)));
    }
}
