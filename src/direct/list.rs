//! `list`: the table, entry by entry, as the kernel hands it out.

use super::Target;
use super::known::Known;
use super::look::Looker;
use super::walked::Walked;
use super::whole::partial;
use crate::core::model::{Detail, Entry, Filters, Settings, UnprovenCount, Verdict};
use crate::error::Result;
use crate::linux::modules::{Asking, Modules};

/// Prints the entries of a list.
pub trait Sink<T> {
    /// Prints one more entry.
    fn entry(&mut self, listed: T);
    /// A moment to hand on what was gathered; false ends the list.
    fn breathe(&mut self) -> bool;
}

/// Counts of entries that a list leaves open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NotListed {
    /// Entries that would be listed, were they known to be idle, by why they are not.
    pub unproven: Vec<UnprovenCount>,
    /// Entries of which the agent did not tell what it knows.
    pub not_told: u64,
}

/// Hands on the entries that the filters want, each with what would become of it; of the `known` ones alone, where they
/// are all that can match.
///
/// # Errors
/// Exit 3 where the kernel cannot be read, or the table was resized meanwhile.
pub fn list(
    target: &Target,
    settings: &Settings,
    filters: &Filters,
    known: Option<&Known>,
    sink: &mut impl for<'a> Sink<(&'a Entry, &'a Verdict)>,
) -> Result<NotListed> {
    let looker = Looker::open(target, settings, filters)?.finding_likely();
    match these(known) {
        None => entries(looker.heeding_masters(true).without_haste(), None, sink),
        these => entries(looker, these, sink),
    }
}

/// Masters are heard of in a walk alone: entries that may go are listed when that is known.
fn these(known: Option<&Known>) -> Option<&[Entry]> {
    known.filter(|known| known.childless()).map(Known::entries)
}

/// Lists every entry, for a caller that has to leave the kernel as it is: nothing is asked that would load a module.
///
/// # Errors
/// As [`list`].
pub fn list_loading_nothing(
    target: &Target,
    settings: &Settings,
    modules: &Modules,
    sink: &mut impl for<'a> Sink<(&'a Entry, &'a Verdict)>,
) -> Result<()> {
    let gauge = target.gauge_asking(settings, Asking::Only(modules.clone()))?;
    let filters = Filters::default();
    entries(Looker::of(target, gauge, settings, &filters), None, sink).map(drop)
}

fn entries(
    mut looker: Looker<'_>,
    these: Option<&[Entry]>,
    sink: &mut impl for<'a> Sink<(&'a Entry, &'a Verdict)>,
) -> Result<NotListed> {
    let sink = std::cell::RefCell::new(sink);
    let walked = looker.entries(
        these,
        |entry, verdict, _| sink.borrow_mut().entry((entry, verdict)),
        || sink.borrow_mut().breathe(),
    )?;
    ended(&mut looker, &walked)?;
    Ok(NotListed { not_told: walked.not_told, unproven: walked.unproven.rows() })
}

/// Says at the end of a list that was read to its end whether it is whole.
fn ended(looker: &mut Looker<'_>, walked: &Walked) -> Result<()> {
    if !walked.whole {
        return Ok(());
    }
    walked.trusted()?;
    if looker.met_all(walked)? { Ok(()) } else { Err(partial()) }
}

/// Lists entries with every attribute that the kernel tells, for conntrack(8)'s own form.
///
/// # Errors
/// As [`list`].
pub fn list_details(
    target: &Target,
    settings: &Settings,
    filters: &Filters,
    known: Option<&Known>,
    sink: &mut impl for<'a> Sink<&'a Detail>,
) -> Result<NotListed> {
    let mut looker = Looker::open(target, settings, filters)?.finding_likely();
    let sink = std::cell::RefCell::new(sink);
    let walked = looker.details(
        these(known),
        |detail| sink.borrow_mut().entry(detail),
        || sink.borrow_mut().breathe(),
    )?;
    ended(&mut looker, &walked)?;
    Ok(NotListed { not_told: walked.not_told, unproven: walked.unproven.rows() })
}
