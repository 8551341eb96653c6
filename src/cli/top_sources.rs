//! The command `ctctl top-sources`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use super::args::{self, Global};
use super::place::Place;
use super::ranking_query::{LISTEN, RankingQuery};
use super::reach;
use super::render::Style;
use super::render::sources::Origin;
use super::render::text::escape;
use super::resolve::Resolver;
use super::{output, render, watch};
use crate::core::model::{Filters, Grouping, Question, Ranking, SortBy};
use crate::error::{Error, Result};
use crate::{direct, tools::saved};

/// Prints the sources (or other groups) that fill the table.
///
/// # Errors
/// Neither the agent nor the kernel answers, or two options exclude each other.
pub fn run(global: &Global, options: &args::TopSources) -> Result<u8> {
    let question = question(global, options)?;
    // The resolver starts before the namespace is entered: names come from the operator's own namespace.
    let mut resolver = options.resolve.then(Resolver::start);
    if let Some(path) = &options.input {
        let style = Style::of_stdout(global.color, global.verbosity());
        let (mut ranking, name) = from_file(path, &question, &options.filters.0)?;
        name_rows(&mut ranking, resolver.as_mut());
        let origin = Origin::File(name);
        output::print(|out| show(out, &ranking, &origin, global.json, &style))?;
        return Ok(0);
    }
    let place = Place::find(global)?;
    let query = RankingQuery { question, filters: options.filters.0.clone(), direct: options.direct };
    if let Some(every) = options.watch {
        return watch_ranking(place, query, every, resolver);
    }
    let (mut ranking, without) = reach::or_else(query.agent(&place), || query.kernel(&place, LISTEN))?;
    name_rows(&mut ranking, resolver.as_mut());
    let origin = Origin::from_reason(without);
    output::print(|out| show(out, &ranking, &origin, place.json, &place.style))?;
    match ranking.part_only {
        true => {
            let why = "part only: the table was resized again and again, and entries may be missing";
            Err(Error::unreachable("top-sources", why).hint("run it again"))
        }
        false => Ok(0),
    }
}

/// Returns the question that the options ask, if they go together.
fn question(global: &Global, options: &args::TopSources) -> Result<Question> {
    let grouping = Grouping::from(options.group);
    let refuse = |why: &str, hint: &str| Err(Error::usage("usage", why).hint(hint));
    if !grouping.of_addresses() && options.prefix.is_some() {
        return refuse("--prefix sums addresses", "leave it out, or use --group destination or nat-source");
    }
    if !grouping.of_addresses() && options.resolve {
        return refuse("--resolve names addresses", "leave it out, or use --group destination or nat-source");
    }
    let rank = SortBy::from(options.by);
    if options.input.is_some() && matches!(rank, SortBy::New | SortBy::Idle) {
        return refuse(
            "a saved table shows neither what is new nor for how long entries were idle",
            "use --by entries or --by unreplied",
        );
    }
    if options.input.is_some() && options.filters.0.need_idleness() {
        return refuse("a saved table does not show for how long entries were idle", "leave out --idle-over");
    }
    if options.input.is_some() && global.netns.is_some() {
        return refuse(
            "a saved table is read as it is, whatever namespace it came from",
            "leave out --netns",
        );
    }
    let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
    Ok(Question { grouping, rank, prefix: options.prefix, limit })
}

/// Repeats the answer (`--watch`).
fn watch_ranking(
    mut place: Place,
    mut query: RankingQuery,
    every: Duration,
    mut resolver: Option<Resolver>,
) -> Result<u8> {
    let json = place.json;
    let in_place = !json && place.style.width.is_some() && Style::terminal_is_able();
    let asked = query.question.limit;
    let mut first = true;
    watch::watch(every, in_place, move || {
        if in_place {
            // The window may have been resized since the last round.
            let (width, height) = Style::stdout_size();
            place.style.width = Some(width);
            let rows = height.saturating_sub(render::sources::LINES_AROUND).max(1);
            query.question.limit = if asked == 0 { rows } else { asked.min(rows) };
        }
        let (mut ranking, without) = match query.agent(&place) {
            Ok(ranking) => (ranking, None),
            Err(without) => match query.kernel(&place, every.min(LISTEN)) {
                Ok(ranking) => (ranking, Some(without)),
                Err(error) => return Err(without.and(error)),
            },
        };
        name_rows(&mut ranking, resolver.as_mut());
        let (origin, style) = (Origin::from_reason(without), place.style.clone());
        let apart = !std::mem::take(&mut first) && !json && !in_place;
        Ok(Box::new(move |out| {
            if apart {
                writeln!(out)?;
            }
            show(out, &ranking, &origin, json, &style)
        }))
    })
}

fn name_rows(ranking: &mut Ranking, resolver: Option<&mut Resolver>) {
    if let Some(resolver) = resolver {
        ranking.names = Some(resolver.names(ranking.rows.iter().map(|row| row.source.as_str())));
    }
}

fn show(
    out: &mut dyn io::Write,
    ranking: &Ranking,
    origin: &Origin,
    json: bool,
    style: &Style,
) -> io::Result<()> {
    match json {
        true => output::json(out, ranking),
        false => render::sources::write(out, ranking, origin, style),
    }
}

/// Reads a saved table. Returns its ranking and the name that messages give to the file.
fn from_file(path: &Path, question: &Question, filters: &Filters) -> Result<(Ranking, String)> {
    let standard = path == Path::new("-");
    let name = if standard { "standard input".into() } else { path.to_string_lossy() };
    let name = escape(&name).into_owned();
    let cannot = |error: io::Error| Error::usage("input", format!("{name}: {error}"));
    let mut text: Box<dyn BufRead> = match standard {
        true => Box::new(io::stdin().lock()),
        false => Box::new(BufReader::with_capacity(256 << 10, File::open(path).map_err(cannot)?)),
    };
    let read = saved::ranking(&mut text, question, direct::now(), filters).map_err(cannot)?;
    if let Some((line, why)) = read.first_unreadable {
        if read.holds_no_entry() {
            return Err(Error::usage("input", format!("{name}: no line is an entry (line {line}: {why})"))
                .hint("save one with `conntrack -L >FILE`, or copy /proc/net/nf_conntrack"));
        }
        let lines = read.ranking.unreadable_lines.unwrap_or(0);
        let lines = render::quantity::counted(lines, "line is", "lines are");
        output::notice(&format!("{name}: {lines} no entry and not counted, the first is line {line}: {why}"));
    }
    if let Some(undecided) =
        read.ranking.not_told.as_ref().map(|not_told| not_told.undecided).filter(|n| *n > 0)
    {
        let entries = render::quantity::counted(undecided, "entry is", "entries are");
        output::notice(&format!(
            "{name}: {entries} left out: the text does not tell what the filters ask of them"
        ));
    }
    Ok((read.ranking, name))
}

#[cfg(test)]
#[path = "top_sources_tests.rs"]
mod tests;
