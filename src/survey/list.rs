//! `list`: the table, entry by entry, as the kernel hands it out.

use super::Target;
use super::known::Known;
use super::look::{Looker, Walked};
use super::whole::partial;
use crate::error::Result;
use crate::kernel::modules::{Asking, Modules};
use crate::model::{Detail, Entry, Filters, Settings, Verdict};

/// Who prints what is listed.
pub trait Sink<T> {
    /// One more.
    fn entry(&mut self, listed: T);
    /// A moment to hand on what was gathered; false ends the list.
    fn breathe(&mut self) -> bool;
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
) -> Result<()> {
    let looker = Looker::open(target, settings, filters)?;
    match these(known) {
        None => entries(looker.heeding_masters(true).without_haste(), None, sink),
        these => entries(looker, these, sink),
    }
}

/// Who has children is heard of in a walk alone: what may go is listed when that is known.
fn these(known: Option<&Known>) -> Option<&[Entry]> {
    known.filter(|known| known.childless()).map(Known::entries)
}

/// The same, every entry, for who has to leave the kernel as it is: nothing is asked that would load a module.
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
    entries(Looker::with(gauge, settings, &Filters::default()), None, sink)
}

fn entries(
    mut looker: Looker<'_>,
    these: Option<&[Entry]>,
    sink: &mut impl for<'a> Sink<(&'a Entry, &'a Verdict)>,
) -> Result<()> {
    let sink = std::cell::RefCell::new(sink);
    let walked = looker.entries(
        these,
        |entry, verdict, _| sink.borrow_mut().entry((entry, verdict)),
        || sink.borrow_mut().breathe(),
    )?;
    ended(&mut looker, &walked)
}

/// What is to be said at the end of a list that was read to its end.
fn ended(looker: &mut Looker<'_>, walked: &Walked) -> Result<()> {
    if !walked.whole {
        return Ok(());
    }
    walked.trusted()?;
    if looker.met_all(walked)? { Ok(()) } else { Err(partial()) }
}

/// The same with every attribute that the kernel tells, for conntrack(8)'s own form.
///
/// # Errors
/// As [`list`].
pub fn list_details(
    target: &Target,
    settings: &Settings,
    filters: &Filters,
    known: Option<&Known>,
    sink: &mut impl for<'a> Sink<&'a Detail>,
) -> Result<()> {
    let mut looker = Looker::open(target, settings, filters)?;
    let sink = std::cell::RefCell::new(sink);
    let walked = looker.details(
        these(known),
        |detail| sink.borrow_mut().entry(detail),
        || sink.borrow_mut().breathe(),
    )?;
    ended(&mut looker, &walked)
}
