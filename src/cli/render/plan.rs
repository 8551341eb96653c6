//! The document of `plan` as text.

use std::io::{self, Write};

use super::Style;
use super::quantity::{counted, duration};
use super::text::{escape, prose};
use crate::cli::called::complete;
use crate::core::model::sentence::unit;
use crate::core::model::{ActionRow, PlanDocument};

/// Number of payers shown without `-v`.
const FEW_PAYERS: usize = 5;

/// Writes the level, its reasons, each action with its reason, what waits, and the entries that each class would free.
/// `note` says where the plan comes from.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, plan: &PlanDocument, note: Option<&str>, style: &Style) -> io::Result<()> {
    writeln!(out, "Level: {}", style.level(plan.level))?;
    if let Some(note) = note.filter(|_| style.verbosity >= 0) {
        prose(out, style.width, "", 0, note)?;
    }
    for reason in &plan.reasons {
        prose(out, style.width, "", 0, &complete(reason))?;
    }
    writeln!(out)?;
    if plan.actions.is_empty() {
        let nothing = if plan.scan {
            "The table is looked at, and nothing else is done yet."
        } else {
            "Nothing to do."
        };
        writeln!(out, "{nothing}")?;
    }
    for (at, action) in plan.actions.iter().enumerate() {
        let first = format!("{:>2}. ", at + 1);
        prose(out, style.width, &first, 4, &sentence(action))?;
        prose(out, style.width, "    ", 4, &complete(&action.reason))?;
        payers(out, action, style)?;
    }
    for waiting in plan.waiting.iter().filter(|waiting| !plan.reasons.contains(waiting)) {
        prose(out, style.width, "Waiting: ", 9, &complete(waiting))?;
    }
    super::classes::classes(
        out,
        plan.classes.as_deref(),
        plan.classes_age_seconds,
        plan.classes_before_act,
        style,
    )?;
    super::classes::unclassed(out, plan.unclassed.as_deref(), &plan.reasons, style)
}

/// Returns the sentence of an action, without its reason.
fn sentence(action: &ActionRow) -> String {
    let name = action.name.as_deref().unwrap_or("a value");
    let verb = match action.action.as_str() {
        "raise-max" => "raise max".into(),
        "lower-max" => "lower max".into(),
        "resize-buckets" => "resize the buckets".into(),
        "set-timeout" => format!("set {name}"),
        "restore-timeout" => format!("restore {name}"),
        "second-chance" => "give a second chance to".into(),
        other => other.replace('-', " "),
    };
    if let (Some(from), Some(to)) = (action.from, action.to) {
        return format!("{verb} from {from} to {to}{}", unit(action.name.as_deref()));
    }
    let budget = match action.budget {
        Some(n) => format!(" up to {n}"),
        None => String::new(),
    };
    let class = action.class.map_or(String::new(), |class| format!(" {class}"));
    let noun = if action.budget == Some(1) { "entry" } else { "entries" };
    let mut idle =
        action.idle_over_seconds.map_or(String::new(), |s| format!(" idle over {}", duration(s.into())));
    if let Some(seconds) = action.time_wait_idle_over_seconds.filter(|s| action.idle_over_seconds != Some(*s))
    {
        idle += &format!(" (TIME_WAIT over {})", duration(seconds.into()));
    }
    let share = action.share_level.map_or(String::new(), |level| format!(", no payer below {level}"));
    format!("{verb}{budget}{class} {noun}{idle}{share}")
}

fn payers(out: &mut dyn Write, action: &ActionRow, style: &Style) -> io::Result<()> {
    let payers = action.payers.as_deref().unwrap_or_default();
    let shown = if style.verbosity > 0 { payers.len() } else { payers.len().min(FEW_PAYERS) };
    for payer in &payers[..shown] {
        let entries = counted(payer.entries, "entry", "entries");
        writeln!(out, "    {} gives up {entries}", escape(&payer.source))?;
    }
    match payers.len() - shown {
        0 => Ok(()),
        rest => writeln!(
            out,
            "    and {} (-v names all {})",
            counted(rest as u64, "payer", "payers"),
            payers.len()
        ),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
