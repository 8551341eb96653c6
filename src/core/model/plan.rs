//! Acts that the policy wants. A plan names classes, cut-offs and budgets, never entries.

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::level::Level;
use super::share::Share;
use super::timeouts::Timeout;
use super::value::Value;

/// A payer at fair share, and the number of its entries.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Payer {
    /// Address or prefix.
    pub source: String,
    /// Entries to give up.
    pub entries: u64,
}

/// A flush of one class.
#[derive(Clone, PartialEq, Debug)]
pub struct Flush {
    /// Class of the entries.
    pub class: Class,
    /// Only what is idle for certain at least this long.
    pub idle_over_seconds: u32,
    /// Of class closed alone: TIME_WAIT only if it is idle for certain at least this long; `None`: as long as its own
    /// floor says. Under that floor at level critical alone.
    pub time_wait_over_seconds: Option<u32>,
    /// Entries at most.
    pub budget: u64,
    /// Fair share alone: the level that every payer is cut to.
    pub share_level: Option<u64>,
    /// Fair share alone: who pays, the largest first; of many, the first hundred.
    pub payers: Option<Vec<Payer>>,
    /// Fair share alone: whose entries go, to the last payer.
    pub share: Option<Share>,
    /// Second chance alone: nothing is deleted, but these seconds are left to each, and never more than it had.
    pub grace_seconds: Option<u32>,
    /// Of what nothing keeps but a protection that may be lifted, instead of what is unprotected.
    pub lifts_protection: bool,
}

impl Flush {
    /// Of a class, without fair share.
    pub fn of(class: Class, idle_over_seconds: u32, budget: u64) -> Self {
        Flush {
            class,
            idle_over_seconds,
            time_wait_over_seconds: None,
            budget,
            share_level: None,
            payers: None,
            share: None,
            grace_seconds: None,
            lifts_protection: false,
        }
    }

    /// True if it takes entries of this idleness in seconds that level critical alone may take.
    pub fn takes_only_critical(&self, idle_seconds: u32) -> bool {
        self.time_wait_over_seconds.is_some_and(|over| idle_seconds >= over)
    }
}

/// One thing to do.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Act {
    RaiseMax { from: u64, to: u64 },
    LowerMax { from: u64, to: u64 },
    ResizeBuckets { from: u64, to: u64 },
    SetTimeout { timeout: Timeout, from: u32, to: u32 },
    RestoreTimeout { timeout: Timeout, from: u32, to: u32 },
    SecondChance(Flush),
    Flush(Flush),
}

impl Act {
    /// The contract's name of the action.
    pub fn name(&self) -> &'static str {
        match self {
            Act::RaiseMax { .. } => "raise-max",
            Act::LowerMax { .. } => "lower-max",
            Act::ResizeBuckets { .. } => "resize-buckets",
            Act::SetTimeout { .. } => "set-timeout",
            Act::RestoreTimeout { .. } => "restore-timeout",
            Act::SecondChance(_) => "second-chance",
            Act::Flush(_) => "flush",
        }
    }

    /// The value that it sets, with what it is and what it is to be; none for acts on entries.
    pub fn value(&self) -> Option<(Value, u64, u64)> {
        Some(match self {
            Act::RaiseMax { from, to } | Act::LowerMax { from, to } => (Value::Max, *from, *to),
            Act::ResizeBuckets { from, to } => (Value::Buckets, *from, *to),
            Act::SetTimeout { timeout, from, to } | Act::RestoreTimeout { timeout, from, to } => {
                (Value::Timeout(*timeout), (*from).into(), (*to).into())
            }
            Act::Flush(_) | Act::SecondChance(_) => return None,
        })
    }
}

/// One thing to do, and why.
#[derive(Clone, PartialEq, Debug)]
pub struct Action {
    /// The act that is wanted.
    pub act: Act,
    /// A sentence with the measured value and the limit.
    pub reason: String,
}

/// Pace at which entries may go.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pace {
    /// Deletions a second.
    pub per_second: u64,
    /// From this many entries in the table on, `urgent_per_second` holds, in the middle of a flush too.
    pub urgent_at_entries: u64,
    /// Deletions a second from there on, beyond what comes in meanwhile.
    pub urgent_per_second: u64,
    /// A flush ends as soon as the table has come down to this many entries.
    pub enough_at_entries: u64,
    /// Second chances a second: each is an event for everybody who listens to updates.
    pub chances_per_second: u64,
    /// In an urgent act: of each part of the table that is met at most this share goes, and the flushes share one
    /// budget, the largest.
    pub portion: Option<f64>,
}

impl Pace {
    /// Least seconds over which the entries that came since a sweep began are told as a rate.
    pub const BEGINNING_SECONDS: f64 = 0.004;

    /// Deletions a second while `coming` entries come in a second: where that is urgent `urgent_per_second` beyond
    /// these, else [`Pace::keeping_up`].
    pub fn rate(&self, planned: f64, coming: f64, urgent: bool) -> f64 {
        match urgent {
            true => self.urgent_per_second as f64 + coming,
            false => self.keeping_up(planned, coming),
        }
    }

    /// As planned, or twice what comes, at most `urgent_per_second` beyond that. To hold to the plan where more comes
    /// would be to wait, with entries to spare, until the table is full.
    pub fn keeping_up(&self, planned: f64, coming: f64) -> f64 {
        let most = planned.max(self.urgent_per_second as f64) + coming;
        planned.max(most.min(2.0 * coming))
    }
}

/// A decision: the acts of now, and the sentences that explain them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// The level that it answers.
    pub level: Level,
    /// The measurement that the level rests on, as a sentence; `reasons` begins with it.
    pub cause: String,
    /// Sentences on what the policy sees.
    pub reasons: Vec<String>,
    /// Acts, in this order.
    pub actions: Vec<Action>,
    /// A scan is wanted before more can be decided; it reaps what has expired, too.
    pub scan: bool,
    /// That scan is to weigh who holds the table: for fair share.
    pub weigh: bool,
    /// Pace of the deletions and second chances.
    pub pace: Pace,
    /// Sentences on what has to wait (a value that cannot go back yet).
    pub waiting: Vec<String>,
    /// Sentence on the share of the table that configuration protects, where that is more than `max_percent`;
    /// `waiting` has it too.
    pub overprotected: Option<String>,
    /// Classes that are not flushed because too many of their flows lived, and those that are flushed again.
    pub suspensions: Vec<Suspension>,
}

/// A class whose flush is left out at every level.
#[derive(Clone, PartialEq, Debug)]
pub struct Suspension {
    /// Class that is left out.
    pub class: Class,
    /// State of the suspension.
    pub turn: Turn,
    /// A sentence with the measured value and the limit.
    pub reason: String,
}

/// State of a suspension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Turn {
    Begins,
    Lasts,
    Ends,
}

impl Plan {
    /// Names the measurement that the level rests on.
    pub fn because(&mut self, cause: String) {
        self.reasons.push(cause.clone());
        self.cause = cause;
    }

    /// The class is not flushed for now, whatever the pressure.
    pub fn suspends(&self, class: Class) -> bool {
        self.suspensions.iter().any(|s| s.class == class && s.turn != Turn::Ends)
    }
}

/// An action as the contract shows it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ActionRow {
    pub action: String,
    pub name: Option<String>,
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub class: Option<Class>,
    pub idle_over_seconds: Option<u32>,
    /// Of class closed alone: how long TIME_WAIT has to be idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_wait_idle_over_seconds: Option<u32>,
    pub budget: Option<u64>,
    pub share_level: Option<u64>,
    pub payers: Option<Vec<Payer>>,
    pub reason: String,
}

impl From<&Action> for ActionRow {
    fn from(action: &Action) -> Self {
        let row = ActionRow {
            action: action.act.name().into(),
            reason: action.reason.clone(),
            ..ActionRow::default()
        };
        if let Some((value, from, to)) = action.act.value() {
            return ActionRow { name: Some(value.to_string()), from: Some(from), to: Some(to), ..row };
        }
        let (Act::Flush(flush) | Act::SecondChance(flush)) = &action.act else { return row };
        ActionRow {
            class: Some(flush.class),
            idle_over_seconds: Some(flush.idle_over_seconds),
            time_wait_idle_over_seconds: flush.time_wait_over_seconds,
            budget: Some(flush.budget),
            share_level: flush.share_level,
            payers: flush.payers.clone(),
            ..row
        }
    }
}
