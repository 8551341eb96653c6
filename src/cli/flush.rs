//! The command `ctctl flush`.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::place::Place;
use super::reach::{self, NoAnswer};
use super::remembered::RememberedEntries;
use super::render::flush::FlushDocument;
use super::render::quantity::counted;
use super::{args, beside, output, render};
use crate::core::model::HandFlush;
use crate::direct::{self, Flush, Flushed, Preview, Target, Wish};
use crate::error::{Error, Result};

/// Shows the entries that would be deleted, asks for consent, and deletes them.
///
/// # Errors
/// Neither a filter nor `--stale` was given, there is no terminal to ask on, the operator declined, or the kernel
/// refused.
pub fn run(place: &Place, options: &args::Flush) -> Result<u8> {
    let filters = &options.filters.0;
    if !options.stale && filters.is_empty() {
        let why = "neither --stale nor a filter is given, and the whole table is not flushed";
        let hint =
            "say what is to go: `ctctl flush --stale`, `ctctl flush -s 10.0.0.7`; --dry-run only shows it";
        return Err(Error::usage("flush", why).hint(hint));
    }
    let remembered = RememberedEntries::ask(place, filters);
    let wish = Wish {
        filters,
        known: remembered.known(),
        stale: options.stale,
        only_looks: options.dry_run,
        even_protected: options.even_protected,
        limit: options.limit.unwrap_or(u64::MAX),
    };
    let at_once = options.yes && !options.dry_run && options.limit.is_none();
    // A preview shows idleness, even where the filters do not ask for it.
    let asks_agent = !at_once || options.stale || filters.need_idleness();
    let beside = if asks_agent { place.beside_agent()? } else { None };
    let target = beside.as_ref().unwrap_or(&place.target);
    if at_once {
        return delete_at_once(place, target, options, wish);
    }
    let (flush, preview) = Flush::preview(target, &place.settings, wish)?;
    let may_ask = options.yes || (io::stdin().is_terminal() && io::stderr().is_terminal());
    // If nothing matches there is nothing to ask.
    if !options.dry_run && !may_ask && preview.matched > 0 {
        return Err(Error::usage("flush", "there is no terminal to ask on, and --yes is not given")
            .hint("--yes deletes without asking; --dry-run only shows what would go"));
    }
    if !place.json && place.style.verbosity >= 0 {
        let write = |out: &mut dyn Write| render::flush::write_preview(out, &preview, options, &place.style);
        match needs_consent(options, &preview) && !io::stdout().is_terminal() {
            // The preview has to be seen before the question; standard output may be a pipe that shows it later.
            true => write(&mut io::stderr()).map_err(|error| Error::unreachable("terminal", error))?,
            false => output::print(write).map(drop)?,
        }
    }
    let flushed = match ask_and_delete(place, options, flush, &preview)? {
        Some(flushed) => flushed,
        None if options.dry_run || preview.matched == 0 => Flushed::default(),
        None => return Err(Error::no("flush", "declined: nothing was deleted")),
    };
    report(place, options, &preview, &flushed)
}

/// Deletes entries as the walk meets them, without a question or a choice among them, and prints the preview together
/// with the result.
fn delete_at_once(place: &Place, target: &Target, options: &args::Flush, wish: Wish<'_>) -> Result<u8> {
    let mut bar = Progress::new(place.style.verbosity >= 0, None);
    let started = Instant::now();
    let flushed = Flush::at_once(target, &place.settings, wish, &mut |done| bar.show(done));
    bar.end();
    let (preview, flushed) = flushed?;
    record_in_journal(place, options, preview.matched, flushed.deleted, started.elapsed());
    if !place.json && place.style.verbosity >= 0 {
        output::print(|out| render::flush::write_preview(out, &preview, options, &place.style))?;
    }
    report(place, options, &preview, &flushed)
}

/// True if the operator is asked for consent.
fn needs_consent(options: &args::Flush, preview: &Preview) -> bool {
    !options.yes && !options.dry_run && preview.matched > 0
}

/// Asks where consent is needed, then deletes. Returns `None` for a dry run, if nothing matched, or if the operator
/// declined.
fn ask_and_delete(
    place: &Place,
    options: &args::Flush,
    flush: Flush<'_>,
    preview: &Preview,
) -> Result<Option<Flushed>> {
    if options.dry_run || preview.matched == 0 {
        return Ok(None);
    }
    // At most the number of entries that was shown is deleted, however many arrive in the meantime.
    let limit = options.limit.unwrap_or(u64::MAX).min(preview.matched);
    if !options.yes && !ask_consent(limit, preview)? {
        return Ok(None);
    }
    let mut bar = Progress::new(place.style.verbosity >= 0, Some(limit));
    let started = Instant::now();
    let flushed = flush.delete(limit, &mut |done| bar.show(done));
    bar.end();
    let flushed = flushed?.of_shown(limit);
    record_in_journal(place, options, limit, flushed.deleted, started.elapsed());
    Ok(Some(flushed))
}

/// Records the flush in the journal: through the agent, or without one in its directory.
fn record_in_journal(place: &Place, options: &args::Flush, requested: u64, deleted: u64, took: Duration) {
    if requested == 0 {
        return;
    }
    let stale = options.stale.then(|| "--stale".to_owned());
    let filters = Some(options.filters.0.to_string()).filter(|filters| !filters.is_empty());
    let wanted: Vec<String> = stale.into_iter().chain(filters).collect();
    let flush =
        HandFlush { requested, deleted, duration_seconds: took.as_secs_f64(), wanted: wanted.join(" ") };
    match reach::agent(&place.socket, place.target.netns()) {
        // An agent may refuse a user other than root: the flush has not failed for that.
        Ok(mut client) => drop(client.tell_flush(flush)),
        Err(NoAnswer::NoAgent(_) | NoAnswer::Elsewhere(..)) => {
            direct::record_flush(&place.target, &place.settings, flush);
        }
        Err(_) => {}
    }
}

fn ask_consent(limit: u64, preview: &Preview) -> Result<bool> {
    let of = if limit < preview.matched { format!("{limit} of ") } else { String::new() };
    let sources = counted(preview.sources_total, "source", "sources");
    let entries = counted(preview.matched, "entry", "entries");
    let mut answer = String::new();
    let asked = write!(io::stderr(), "Delete {of}{entries} of {sources}? [y/N] ")
        .and_then(|()| io::stdin().read_line(&mut answer));
    asked.map_err(|error| Error::unreachable("terminal", error))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn report(place: &Place, options: &args::Flush, preview: &Preview, flushed: &Flushed) -> Result<u8> {
    output::print(|out| match place.json {
        true => {
            let header = direct::header(&place.target);
            output::json(out, &FlushDocument::new(&header, options, preview, flushed))
        }
        false if options.dry_run || preview.matched == 0 => Ok(()),
        false => render::flush::write_report(out, flushed),
    })?;
    if flushed.failed > 0 {
        let entries = counted(flushed.failed, "entry", "entries");
        let why = flushed
            .errno
            .map_or("not reached in time".into(), |errno| io::Error::from_raw_os_error(errno).to_string());
        let error = Error::unreachable("flush", format!("{entries} could not be deleted: {why}"));
        return Err(error.hint("run it again; deleting needs CAP_NET_ADMIN over the network namespace"));
    }
    if flushed.part_only {
        let why = "part only: the table was resized again and again, and entries that match may be left";
        return Err(Error::unreachable("flush", why).hint("run it again: what is left will be found"));
    }
    let idleness = options.stale || options.filters.0.need_idleness();
    let not_told = flushed.not_told.max(preview.not_told);
    if not_told > 0 && idleness {
        return Err(beside::not_told("flush", not_told));
    }
    if flushed.interrupted {
        return Err(
            Error::unreachable("flush", "interrupted before the end").hint("run it again for the rest")
        );
    }
    Ok(0)
}

/// Progress line on a terminal.
struct Progress {
    shown: bool,
    /// Number of entries to delete; `None` if it is not known beforehand.
    of: Option<u64>,
    at: Instant,
    wrote: bool,
}

impl Progress {
    const STEP: Duration = Duration::from_millis(100);

    fn new(wanted: bool, of: Option<u64>) -> Self {
        Progress { shown: wanted && io::stderr().is_terminal(), of, at: Instant::now(), wrote: false }
    }

    fn show(&mut self, done: u64) {
        if self.shown && self.at.elapsed() >= Self::STEP {
            let of = self.of.map(|of| format!(" of {of}")).unwrap_or_default();
            let _ = write!(io::stderr(), "\r{done}{of} deleted ");
            (self.at, self.wrote) = (Instant::now(), true);
        }
    }

    fn end(&self) {
        if self.wrote {
            // Clears the line.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
