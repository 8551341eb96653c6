//! Orders of operators to an agent: to pause, to act again, to read its configuration again. Each goes into the
//! journal and the log with the user who gave it.

use std::sync::Arc;

use super::actor::Actor;
use super::shared::ReplySender;
use crate::config;
use crate::control::Reply;
use crate::core::model::{Asker, Changed, Draft, HandFlush, Paused, RecordEvent, Reloaded, Settings};
use crate::core::policy;
use crate::linux::clock;

/// Keys that hold from the next start on.
const AT_START: [&str; 8] = [
    "[agent] netns",
    "[agent] socket",
    "[agent] state_dir",
    "[agent] dry_run",
    "[agent] socket_group",
    "[agent] remember_entries",
    "[metrics] listen",
    "[log] format",
];

impl Actor {
    pub(super) fn paused(&self, now: f64) -> bool {
        self.pause.as_ref().is_some_and(|pause| now < pause.until_seconds)
    }

    /// Changes nothing from now on, for `seconds` or until `resume`.
    pub(super) fn pause(&mut self, seconds: Option<f64>, by: Asker, reply: ReplySender) {
        let until_seconds = seconds.map_or(f64::INFINITY, |seconds| clock::boottime_seconds() + seconds);
        let until = seconds.map(clock::rfc3339_in);
        self.asked("pause", String::new(), &by, |draft| draft.until = until.clone());
        self.pause = Some(Paused { until_seconds, until, by });
        self.publish_orders();
        answer(
            reply,
            &match seconds {
                Some(seconds) => {
                    format!("paused for {seconds:.0} s: the agent watches on and changes nothing")
                }
                None => "paused until `ctctl resume`: the agent watches on and changes nothing".to_owned(),
            },
        );
    }

    /// Acts again after a pause.
    pub(super) fn resume(&mut self, by: Asker, reply: ReplySender) {
        let was = self.pause.take();
        if let Some(pause) = &was {
            self.asked("resume", format!("it was paused by {}", pause.by), &by, |_| ());
        }
        self.publish_orders();
        answer(reply, if was.is_some() { "acting again" } else { "it was not paused" });
    }

    /// Tells of the end of a pause that is over by itself.
    pub(super) fn end_pause(&mut self, now: f64) {
        if let Some(pause) = self.pause.take_if(|pause| now >= pause.until_seconds) {
            let why = format!("the pause that {} asked for is over", pause.by);
            let id = self.chronicle.next_id();
            let action = Some("resume".to_owned());
            self.chronicle.asked(Draft { action, ..Draft::new(id, RecordEvent::Done, why) });
        }
    }

    /// Other settings hold from now on.
    pub(super) fn reload(&mut self, settings: Settings, by: Asker, reply: ReplySender) {
        let changes: Vec<Changed> = config::changes(&self.settings, &settings)
            .into_iter()
            .map(|change| Changed { at_start: AT_START.contains(&change.key.as_str()), ..change })
            .collect();
        let read = "the configuration was read again";
        let message = match changes.len() {
            0 => format!("{read}: nothing changed"),
            1 => format!("{read}: 1 key changed"),
            n => format!("{read}: {n} keys changed"),
        };
        self.settings = Arc::new(settings);
        // The pacing delay that is left is of the old paces.
        (self.deletions_due_seconds, self.chances_due_seconds) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        self.sweeper.configure(&self.settings, self.gauge.look_at_host().clone());
        let each: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let why = if each.is_empty() { "nothing changed".to_owned() } else { each.join("; ") };
        self.asked("reload", why, &by, |draft| draft.changes = changes.clone());
        self.publish_orders();
        let _ = reply.send(Ok(Reply::Reloaded(Reloaded { message, changes })));
    }

    /// A configuration that is wrong: what holds stays.
    pub(super) fn reload_refused(&mut self, why: &str, by: &Asker) {
        self.asked("reload", why.to_owned(), by, |draft| draft.event = RecordEvent::Failed);
    }

    /// Entries were deleted by `ctctl flush`.
    pub(super) fn flushed_by_hand(&mut self, flush: HandFlush, by: &Asker, reply: ReplySender) {
        let usage = self.facts().ok().map(|snapshot| policy::usage_percent(&snapshot, &self.settings));
        let id = self.chronicle.next_id();
        let by = Some(by.clone());
        let draft = Draft { by, usage_after_percent: usage, ..Draft::by_hand(id, flush) };
        self.chronicle.asked(Draft { level: Some(self.memory.level), ..draft });
        self.publish_orders();
        answer(reply, "recorded");
    }

    /// Journals what was asked for and done.
    fn asked(&mut self, action: &str, why: String, by: &Asker, more: impl FnOnce(&mut Draft)) {
        let id = self.chronicle.next_id();
        let mut draft = Draft::new(id, RecordEvent::Done, why);
        (draft.action, draft.by) = (Some(action.to_owned()), Some(by.clone()));
        draft.level = Some(self.memory.level);
        more(&mut draft);
        self.chronicle.asked(draft);
    }
}

fn answer(reply: ReplySender, message: &str) {
    let _ = reply.send(Ok(Reply::Done { message: message.to_owned() }));
}
