//! The service thread's answers: from copies, or through the threads that own what is asked for.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::shared::{Command, Numbers, Order, Remembered, ReplySender, SharedView, Top, View, Watch};
use super::site::Trouble;
use crate::act::journal;
use crate::config;
use crate::control::{Answer, Call, Caller, Refusal, Reply, Service, SourceRows};
use crate::core::model::{
    AgentStatus, Asker, Basis, Class, EntriesOfSource, EntryRow, JournalRecord, Netns, Scan, SortBy,
    SourceCount, StatusDocument, TopSources, regret_percent,
};
use crate::core::policy;
use crate::error::Error;
use crate::facts::documents;
use crate::linux::{clock, process};
use crate::log;
use crate::metrics::{Reading, Steady};

/// Time for which the result of a scan is told again at least, and a hundred times the time that it took at most: a
/// client that asks all the time costs 1 % of a core.
const SCAN_SECONDS: f64 = 30.0;
/// A copy of the actor's facts that is older is brought up to date with what the events thread counts.
const STALE_SECONDS: f64 = 0.3;
/// Longest wait of `history` for the disk.
const DISK: Duration = Duration::from_secs(2);
/// Longest wait of `status` for a scan: a million entries take half of it.
const LOOK: Duration = Duration::from_millis(2500);

/// One namespace's answers.
#[derive(Clone)]
pub struct Answers {
    /// Network namespace that is asked about.
    pub netns: Netns,
    /// Start of the agent, RFC 3339.
    pub started_at: String,
    /// Read again at `reload`.
    pub config: Option<PathBuf>,
    /// State directory, of which `history` reads the journal.
    pub state_dir: PathBuf,
    /// Of the events thread.
    pub numbers: Arc<Numbers>,
    /// Of the actor.
    pub view: SharedView,
    /// The events thread.
    pub watch: Watch,
    /// Sender of orders to the actor.
    pub actor: SyncSender<Order>,
    /// Of the metrics endpoint and of other namespaces.
    pub trouble: Trouble,
}

impl Service for Answers {
    fn answer(&self, call: Call) -> Answer {
        let this = self.clone();
        Box::pin(async move {
            match call {
                Call::GetStatus { look } => this.status(look).await,
                Call::GetTopSources { limit, rank } => this.top_sources(limit, rank).await,
                Call::GetEntries { source, zone } => this.entries(source, zone).await,
                Call::GetHistory { limit, since } => this.history(limit, since).await,
                Call::GetKnowledge { entries } => {
                    let entries = entries.iter().map(EntryRow::id).collect();
                    this.order(|reply| Order::Known(entries, reply)).await
                }
                Call::GetPlan => this.order(Order::Plan).await,
                Call::GetSnapshot => this.order(Order::Snapshot).await,
                changes => this.do_for(changes, Asker::default()).await,
            }
        })
    }

    fn change(&self, call: Call, caller: Caller) -> Answer {
        let this = self.clone();
        let by = process::asker(caller.uid, caller.pid);
        Box::pin(async move { this.do_for(call, by).await })
    }
}

/// True if a scan is young enough to answer a question.
pub(super) fn still_told(scan: &Scan, now_seconds: f64) -> bool {
    now_seconds - scan.at_seconds <= SCAN_SECONDS.max(100.0 * scan.duration_seconds)
}

impl Answers {
    /// Reads the configuration again; a bad one changes nothing.
    ///
    /// # Errors
    /// What is wrong with it, or an actor that is gone.
    pub async fn reload(&self, by: Asker) -> Result<Reply, Refusal> {
        match config::load(self.config.as_deref()) {
            Ok((settings, _)) => self.order(|reply| Order::Reload(Box::new(settings), by, reply)).await,
            Err(error) => {
                let error = Error { why: format!("{}; the running one stays", error.why), ..error };
                // The actor may be too busy to record it; the client is told all the same.
                let _ = self.actor.try_send(Order::ReloadRefused(error.to_string(), by));
                Err(Refusal::from(error))
            }
        }
    }

    /// Does what changes something.
    async fn do_for(&self, call: Call, by: Asker) -> Result<Reply, Refusal> {
        match call {
            Call::Pause { seconds } => self.interrupt(|reply| Order::Pause(seconds, by, reply)).await,
            Call::Resume => self.order(|reply| Order::Resume(by, reply)).await,
            Call::Revert { force } => self.interrupt(|reply| Order::Revert(force, by, reply)).await,
            Call::TellFlush(flush) => self.order(|reply| Order::Flushed(flush, by, reply)).await,
            Call::Reload => self.reload(by).await,
            _ => Err(Refusal::failed("this call changes nothing")),
        }
    }

    /// The actor ends a sweep for this.
    async fn interrupt(&self, make: impl FnOnce(ReplySender) -> Order) -> Result<Reply, Refusal> {
        self.numbers.halt.store(true, Relaxed);
        let answer = self.order(make).await;
        self.numbers.halt.store(false, Relaxed);
        answer
    }

    async fn order(&self, make: impl FnOnce(ReplySender) -> Order) -> Result<Reply, Refusal> {
        let (send, receive) = oneshot::channel();
        self.actor.try_send(make(send)).map_err(|_| Refusal::busy("the agent is busy or about to stop"))?;
        receive.await.map_err(|_| Refusal::busy("the agent is about to stop"))?
    }

    fn view(&self) -> Option<Arc<View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if the counts can be relied on right now.
    async fn synced(&self) -> bool {
        let (reply, receive) = oneshot::channel();
        self.watch.send(Command::Synced { reply }) && receive.await.unwrap_or(false)
    }

    /// From the copy; classes that were seen too long ago are looked at again, or left out.
    async fn status(&self, look: bool) -> Result<Reply, Refusal> {
        let old = |view: &View| {
            view.snapshot.scan.as_ref().is_none_or(|scan| !still_told(scan, clock::boottime_seconds()))
        };
        let mut view = self.view();
        if look && view.as_deref().is_some_and(old) {
            let (seen, look) = oneshot::channel();
            if self.actor.try_send(Order::Look(seen)).is_ok() {
                let _ = tokio::time::timeout(LOOK, look).await;
            }
            view = self.view();
        }
        let Some(view) = view else { return Err(Refusal::busy("the agent is only starting")) };
        let mut view = View::clone(&view);
        if old(&view) {
            view.snapshot.scan = None;
        }
        // Figures of before say nothing of a table that is not there any more.
        if let Some(why) = self.numbers.unreadable.get() {
            return Err(Refusal::failed(format!("the table cannot be read: {why}")));
        }
        let synced = self.synced().await;
        let mut status = self.document(&view, synced);
        status.waiting.extend(self.trouble.lock().unwrap_or_else(PoisonError::into_inner).values().cloned());
        Ok(Reply::Status(Box::new(status)))
    }

    /// `status`, from a copy.
    fn document(&self, view: &View, synced: bool) -> StatusDocument {
        let header = documents::header(&self.netns, clock::now_rfc3339());
        let numbers = &self.numbers;
        let mut snapshot = view.snapshot.clone();
        // While the actor acts nobody decides, but the table goes on.
        if clock::boottime_seconds() - snapshot.now_seconds > STALE_SECONDS {
            snapshot.entries = numbers.count.load(Relaxed);
        }
        snapshot.new_per_second = view.new_per_second;
        let mut status = documents::status(header, &snapshot, &view.plan, &view.settings, &view.baseline);
        status.level = status.level.max(policy::least_level(&snapshot, &view.settings));
        let age = |scan: &Scan| documents::rounded((clock::boottime_seconds() - scan.at_seconds).max(0.0));
        status.classes_age_seconds = snapshot.scan.as_ref().map(age);
        status.waiting.extend(view.notes.iter().cloned());
        status.last_actions = view.last_actions.clone();
        status.agent = Some(AgentStatus {
            pid: std::process::id(),
            started_at: self.started_at.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            dry_run: view.dry_run,
            paused: view.pause.is_some(),
            paused_until: view.pause.as_ref().and_then(|pause| pause.until.clone()),
            paused_by: view.pause.as_ref().map(|pause| pause.by.clone()),
            synced,
            doubt: numbers.doubt.get(),
            overruns: numbers.overruns.load(Relaxed),
            lost_events: numbers.lost.load(Relaxed),
            resyncs: numbers.resyncs.load(Relaxed),
            events: numbers.events.load(Relaxed),
            sources: numbers.sources.load(Relaxed),
            journal_ok: view.journal_ok,
            regret_percent: regret_percent(&view.snapshot.regret).map(documents::rounded),
            others_update: numbers.others_write.load(Relaxed),
            queue: Some(*numbers.queue.lock().unwrap_or_else(PoisonError::into_inner)),
            log_lines_dropped: log::dropped(),
            capabilities: view.capabilities.clone(),
        });
        status
    }

    /// Figures of the metrics; `None` for a namespace whose agent is only starting.
    pub async fn reading(&self, steady: &Mutex<Steady>) -> Option<Reading> {
        let view = self.view()?;
        let sources = self.steady(view.settings.metrics.top_sources, steady).await;
        let scan = view.snapshot.scan.as_ref();
        let synced = self.synced().await;
        Some(Reading {
            status: self.document(&view, synced),
            new: self.numbers.new.load(Relaxed),
            destroyed: self.numbers.destroyed.load(Relaxed),
            groups: scan.map(|scan| scan.groups.clone()).unwrap_or_default(),
            scan_age_seconds: scan.map(|scan| (clock::boottime_seconds() - scan.at_seconds).max(0.0)),
            regret: view.snapshot.regret.clone(),
            suspended: Class::FLUSHED.into_iter().filter(|class| view.plan.suspends(*class)).collect(),
            acts: view.acts.clone(),
            sources,
        })
    }

    /// The largest sources, those of the last time first.
    async fn steady(&self, n: usize, steady: &Mutex<Steady>) -> Vec<SourceCount> {
        let limit = n.saturating_mul(2);
        let (reply, receive) = oneshot::channel();
        if n == 0 || !self.watch.send(Command::Top { limit, rank: SortBy::Entries, reply }) {
            return Vec::new();
        }
        let Ok(top) = receive.await else { return Vec::new() };
        steady.lock().unwrap_or_else(PoisonError::into_inner).choose(&top.picked.rows(), n)
    }

    async fn top_sources(&self, limit: u64, rank: SortBy) -> Result<Reply, Refusal> {
        let (reply, receive) = oneshot::channel();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if !matches!(rank, SortBy::Entries | SortBy::New) {
            let why = format!("the agent does not keep what --by {} asks for", rank.name());
            return Err(Refusal::failed(why).hint("ask the kernel: --direct"));
        }
        if !self.watch.send(Command::Top { limit, rank, reply }) {
            return Err(Refusal::busy("too many questions are waiting already"));
        }
        let top = receive.await.map_err(|_| Refusal::busy("the agent is about to stop"))?;
        let many = top.picked.many();
        let header = documents::header(&self.netns, clock::now_rfc3339());
        let (basis, sources) = (Basis::Agent, Vec::new());
        let Top { picked, entries, sources_total, synced } = top;
        let document = TopSources { header, basis, synced, entries, sources_total, sources };
        if !many {
            let sources = documents::source_rows(picked.rows(), entries);
            return Ok(Reply::TopSources(TopSources { sources, ..document }));
        }
        // Other questions are answered while a million rows are sorted.
        let sorted = tokio::task::spawn_blocking(|| picked.sorted()).await;
        let sorted = sorted.map_err(|error| Refusal::failed(error.to_string()))?;
        let rows =
            SourceRows::new(sorted.len(), move |range| documents::source_rows(sorted.of(range), entries));
        Ok(Reply::ManySources(document, rows))
    }

    async fn entries(&self, source: IpAddr, zone: Option<u16>) -> Result<Reply, Refusal> {
        let (reply, receive) = oneshot::channel();
        if !self.watch.send(Command::Entries { source, zone, reply }) {
            return Err(Refusal::busy("too many questions are waiting already"));
        }
        let no = |why: &str, hint: &str| Err(Refusal::no(why).hint(hint));
        let all = match receive.await.map_err(|_| Refusal::busy("the agent is about to stop"))? {
            Remembered::All(all) => all,
            Remembered::Nothing => {
                return no("the agent does not remember entries", "[agent] remember_entries = true");
            }
            Remembered::InDoubt => {
                return no("the agent may not know all entries at this moment", "ask again, or the kernel");
            }
            Remembered::TooMany => {
                return no("the source holds more entries than are told of", "ask the kernel");
            }
        };
        Ok(Reply::Entries(EntriesOfSource {
            header: documents::header(&self.netns, clock::now_rfc3339()),
            entries_total: all.len() as u64,
            others_update: self.numbers.others_write.load(Relaxed),
            entries: all.iter().map(|(id, has_children)| EntryRow::new(id, *has_children)).collect(),
        }))
    }

    async fn history(&self, limit: u64, since: Option<String>) -> Result<Reply, Refusal> {
        let since = match since.map(|text| text.parse::<jiff::Timestamp>()).transpose() {
            Ok(since) => since,
            Err(error) => return Err(Refusal::from(Error::usage("since", error))),
        };
        let directory = self.state_dir.clone();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // The records in memory are whole enough where the disk is not to be relied on: a thread that waits for a
        // dead one would keep the process from ending.
        let remembered = |view: &View| {
            let all = view.records.tail(usize::MAX);
            let after = |record: &JournalRecord| {
                since.is_none_or(|since| record.at.parse::<jiff::Timestamp>().is_ok_and(|at| at >= since))
            };
            let mut records: Vec<JournalRecord> = all.into_iter().filter(after).collect();
            let most = if limit == 0 { usize::MAX } else { limit };
            records.drain(..records.len().saturating_sub(most));
            Ok(Reply::History(records))
        };
        let view = self.view();
        if let Some(view) = view.as_deref().filter(|view| view.disk_hangs || !view.journal_ok) {
            return remembered(view);
        }
        let warn = |why: String| tracing::warn!("{why}");
        let read = tokio::task::spawn_blocking(move || journal::read(&directory, limit, since, warn));
        let records = match (tokio::time::timeout(DISK, read).await, view.as_deref()) {
            (Ok(read), _) => read.map_err(|error| Refusal::failed(error.to_string()))?,
            (Err(_), Some(view)) => return remembered(view),
            (Err(_), None) => return Err(Refusal::busy("the journal's disk does not answer")),
        };
        Ok(Reply::History(records.map_err(Refusal::from)?))
    }
}
