//! Notices values that another program changed, and says so.

use std::collections::BTreeMap;

use super::Keeper;
use crate::act::journal::Held;
use crate::core::model::{ConfiguredValue, Draft, Drift, RecordEvent, Value};

/// A value that is not as the agent left it.
#[derive(Clone, PartialEq, Debug)]
pub struct Noticed {
    /// Kind of the change.
    pub drift: Drift,
    /// The agent had changed the value before.
    pub was_held: bool,
    /// The record for the journal.
    pub draft: Draft,
}

impl Keeper {
    /// Holds current values against what the agent wrote: one that somebody else changed is theirs, and the new
    /// baseline, unless it went back to what it was. `configured` is asked only where something changed.
    pub fn notice(
        &mut self,
        values: &BTreeMap<Value, u64>,
        mut configured: impl FnMut() -> Vec<ConfiguredValue>,
    ) -> Vec<Noticed> {
        let mut noticed = self.adopt(values);
        let mut files = None;
        for (&name, &now) in values {
            let held = self.baseline.values.entry(name).or_insert(Held::found(now));
            let expected = held.written.unwrap_or(held.found);
            if now == expected || is_default_again(name, *held, now) {
                continue;
            }
            if let Some(own) = self.displaced.get(&name).filter(|own| own.written == Some(now)) {
                *held = *own;
                let note =
                    format!("{name} is {now} again, as this agent had set it; it was {} before", own.found);
                noticed.push(tell(Drift::Own, true, name, (expected, now), note));
                continue;
            }
            let was_held = held.written.is_some();
            if was_held {
                self.displaced.insert(name, *held);
            }
            let files = files.get_or_insert_with(&mut configured);
            let file = files.iter().find(|file| file.name == name.name() && file.value == now);
            let (drift, note) = said(name, *held, expected, now, file);
            (held.found, held.written) = (now, None);
            noticed.push(tell(drift, was_held, name, (expected, now), note));
        }
        if !noticed.is_empty() {
            let _ = self.save();
        }
        noticed
    }

    /// Max and buckets became another's of this process: what they were lies beside the lease, for whoever has them
    /// now. True if they were this one's.
    pub fn give_up_host(&mut self) -> bool {
        if !self.host.owned {
            return false;
        }
        let (left, _) = self.host.load(true);
        self.host.owned = false;
        // A value that could not be put there stays here: nobody else knows it.
        let stays = |held: &Held, name: &Value| held.written.is_some() && !left.contains_key(name);
        self.baseline.values.retain(|name, held| !name.is_of_host() || stays(held, name));
        self.displaced.retain(|name, _| !name.is_of_host());
        self.prepared.retain(|name, _| !name.is_of_host());
        self.host.forget(self.records.as_ref());
        let _ = self.save();
        true
    }

    /// Max and buckets that became this agent's only now (with the lease) are as they were before an earlier holder
    /// changed them; else they begin with what they are.
    fn adopt(&mut self, values: &BTreeMap<Value, u64>) -> Vec<Noticed> {
        if self.host.owned || !values.keys().any(|name| name.is_of_host()) {
            return Vec::new();
        }
        self.host.owned = true;
        let (left, warning) = self.host.load(self.dry);
        let warned = |draft| Noticed { drift: Drift::Own, was_held: false, draft };
        let mut noticed: Vec<Noticed> = warning.map(warned).into_iter().collect();
        for (name, held) in left {
            let now = values.get(&name).copied().or(held.written).unwrap_or(held.found);
            if !held.owns(now) || held.found == now {
                continue;
            }
            let note = format!("an earlier agent left {name} at {now}; it was {} before", held.found);
            noticed.push(tell(Drift::Own, true, name, (held.found, now), note));
            self.baseline.values.insert(name, Held { written: Some(now), ..held });
        }
        noticed
    }
}

/// The module was loaded anew, and with it came the default of the value that the agent sets at its start:
/// `nf_conntrack_events` is 2 then (since 5.19; before that 1, as the agent wants it). Nobody set that.
fn is_default_again(name: Value, held: Held, now: u64) -> bool {
    name == Value::Events && held.written.unwrap_or(held.found) == 1 && now == 2
}

fn tell(drift: Drift, was_held: bool, name: Value, (from, to): (u64, u64), note: String) -> Noticed {
    let draft = Draft::new(0, RecordEvent::Drift, note);
    let draft = Draft { name: Some(name.to_string()), from: Some(from), to: Some(to), ..draft };
    Noticed { drift, was_held, draft }
}

/// Says what the value was, and what the agent makes of the change.
fn said(name: Value, held: Held, expected: u64, now: u64, file: Option<&ConfiguredValue>) -> (Drift, String) {
    let again = match held.written {
        Some(_) => {
            let full = if name == Value::Max { ", or at once where the table is full" } else { "" };
            format!(
                "; it had been set to {expected}, and will be again after 1, 5, then 15 min of pressure{full}"
            )
        }
        None => String::new(),
    };
    match file {
        _ if now == held.found => {
            (Drift::PutBack, format!("{name} was put back to {now}, as it was found, by someone else{again}"))
        }
        Some(file) => {
            let whose = format!("the value of {}", file.file);
            (Drift::Configured, format!("{name} was put to {now}, {whose}, by someone else{again}"))
        }
        None => {
            let wish = match held.written {
                Some(_) if name == Value::Max => {
                    ", and it stays so until it has been calm or the table is full"
                }
                Some(_) => ", and it stays so until it has been calm",
                None => "",
            };
            let note = format!(
                "{name} was changed from {expected} to {now} by someone else: that is its baseline now{wish}"
            );
            (Drift::NewValue, note)
        }
    }
}
