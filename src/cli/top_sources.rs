//! `ctctl top-sources`.

use super::args::{self, By};
use super::place::Place;
use super::{output, prefix, reach, render};
use crate::error::Result;
use crate::survey;

/// Prints who fills the table.
///
/// # Errors
/// Where neither the agent nor the kernel answers.
pub fn run(place: &Place, options: &args::TopSources) -> Result<u8> {
    let By::Entries = options.by;
    let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
    // Prefixes are summed over every source: the first few addresses say nothing of them.
    let filters = &options.filters.0;
    let read = |limit| survey::top_sources(&place.target, &place.settings, filters, limit);
    let kernel = || match options.prefix {
        None => read(limit),
        Some(lengths) => read(0).map(|all| prefix::aggregate(all, lengths, limit)),
    };
    let (top, without) = if options.direct {
        reach::direct(kernel)?
    } else if !filters.is_empty() {
        reach::unkept("the agent counts sources and keeps no entries to filter", kernel)?
    } else {
        let ask = |client: &mut crate::control::Client| match options.prefix {
            None => client.top_sources(options.limit),
            Some(lengths) => client.top_sources(0).map(|all| prefix::aggregate(all, lengths, limit)),
        };
        reach::answer(&place.socket, place.target.netns(), ask, kernel)?
    };
    output::print(|out| match place.json {
        true => output::json(out, &top),
        false => render::sources::write(out, &top, without.as_ref(), &place.style),
    })?;
    Ok(0)
}
