//! The agent: three threads a namespace, bounded channels between them, a fourth that waits for the namespace where it
//! is missing, and one service thread for all.
//!
//! `watch` hears and counts, `actor` decides (by asking `policy`) and acts, `service` answers from copies. None of them
//! waits for another: a dump may block for a tenth of a second inside send(2), a disk or a client for longer. While the
//! actor walks the table, a thread that it has for that deletes what it found (`linux::deleting`).

mod actor;
mod acts;
mod boot_files;
mod chronicle;
mod drifts;
mod endpoint;
mod foreign;
mod host_lease;
mod introduction;
mod knowing;
mod lasting;
mod lease;
mod notify;
mod orders;
mod owned;
mod pause;
mod pipeline;
mod reading;
mod recording;
mod remembering;
mod rest;
mod seldom;
mod service;
mod shared;
mod site;
mod sweeper;
mod told;
mod turns;
mod untold;
mod watch;
mod wishes;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::act::journal;
use crate::control;
use crate::core::model::{Asker, Settings};
use crate::error::{Error, Result};
use crate::linux::{heap, priority, stop};
use site::{Change, Site, Trouble};

/// A start that takes longer is said to.
const LATE: std::time::Duration = std::time::Duration::from_secs(2);

/// Options of `ctctl agent`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Namespace of `--netns`, over that of the configuration.
    pub netns: Option<String>,
    /// Path of `--socket`, over that of the configuration.
    pub socket: Option<PathBuf>,
    /// The file that the settings are from, to be read again on reload.
    pub config: Option<PathBuf>,
    /// True with `--dry-run`: nothing is changed.
    pub dry_run: bool,
    /// Settings of the configuration.
    pub settings: Settings,
    /// The command line that asks this agent in a second terminal; `None` where nobody sits at a first one.
    pub client: Option<String>,
}

/// Runs until SIGTERM or SIGINT, which put values back, or SIGUSR1, which leaves them to the agent that comes next:
/// a stop for a restart changes nothing.
///
/// Of several namespaces each stands alone: one that is missing, at the start or later, is waited for, and one that
/// cannot be watched is tried again. The only one is not: without it there is nothing to do, and the service manager
/// tries again.
///
/// # Errors
/// Exit 2 for a configuration that cannot be followed, 3 where the kernel refuses or another agent runs.
pub fn run(options: Options) -> Result<()> {
    let namespaces: Vec<Option<String>> = match (&options.netns, options.settings.agent.netns.as_slice()) {
        (Some(netns), _) => vec![Some(netns.clone())],
        (None, []) => vec![None],
        (None, several) => several.iter().cloned().map(Some).collect(),
    };
    let shared_path = options.socket.is_some()
        || options.settings.agent.socket.is_some()
        || options.settings.agent.state_dir.is_some();
    if namespaces.len() > 1 && shared_path {
        return Err(Error::usage("configuration", "several namespaces cannot share one socket or state_dir")
            .hint("leave socket and state_dir out: each namespace then has its own under its name"));
    }
    heap::give_back_large_blocks();
    let failed = |error: std::io::Error| Error::unreachable("agent", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // Signals are caught before anything is changed: one that comes early still finds everything put back.
    let mut signals = runtime.block_on(async { Signals::catch() }).map_err(failed)?;
    // Before there are threads and sockets, which are none of theirs.
    let disks = recording::Disks::start();
    let trouble = Trouble::default();
    let (changes, mut changed) = unbounded_channel();
    let (mut sites, mut failed_start, mut any) = (Vec::new(), None, false);
    let alone = namespaces.len() == 1;
    let manager = notify::Manager::of_environment();
    for netns in namespaces {
        // One after the other: the first that may has the host's values.
        sites.push(Site::open(netns, alone, &options, &disks, &trouble, changes.clone()).map_err(failed)?);
        // A disk that does not answer keeps a start waiting, and not its end.
        let begun = runtime.block_on(async {
            let mut late = std::pin::pin!(tokio::time::sleep(LATE));
            loop {
                tokio::select! {
                    end = signals.end() => return Err(end),
                    change = changed.recv() => return Ok(change),
                    () = &mut late, if !late.is_elapsed() => tracing::warn!(
                        "the start takes long: it may wait for the disk of its state directory"
                    ),
                }
            }
        });
        let change = match begun {
            Ok(change) => change,
            Err(end) => {
                manager.stopping();
                sites.into_iter().for_each(|site| site.stop(end));
                runtime.shutdown_background();
                return Ok(());
            }
        };
        match change {
            Some(Change::Failed(error) | Change::Missing(Some(error))) => {
                failed_start = failed_start.or(Some(error));
            }
            _ => any = true,
        }
    }
    // Of several those that can be watched are, or are waited for; with none of them it is no use to stay.
    let started = failed_start.filter(|_| !any).map_or(Ok(()), Err);
    // Whoever may connect has this thread work. Those above were made by it, with the priority that it had.
    priority::lower();
    let served = started
        .and_then(|()| runtime.block_on(serve(&sites, &options, signals, &manager, &trouble, changed)));
    manager.stopping();
    let end = *served.as_ref().unwrap_or(&End::Stop);
    sites.into_iter().for_each(|site| site.stop(end));
    // A reader of the journal may wait for its disk.
    runtime.shutdown_background();
    served.map(drop)
}

/// The argument with which this program becomes a process that writes files for an agent.
pub const FILES: &str = "keep-files";

/// That process: does what the agent asks for on its standard input until the agent ends. Signals are the agent's to
/// answer: a service manager sends them to both.
///
/// # Errors
/// Where the two do not understand each other.
pub fn keep_files() -> Result<()> {
    let failed = |error: std::io::Error| Error::unreachable("files", error);
    stop::ignore().map_err(failed)?;
    journal::serve(std::io::stdin().lock(), std::io::stdout().lock()).map_err(failed)
}

/// Reason for which the agent ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// For good: values go back.
    Stop,
    /// For a restart: values stay, and the baseline with them.
    Restart,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// RestartKillSignal= of the unit.
    user1: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits until the agent is to end.
    async fn end(&mut self) -> End {
        tokio::select! {
            _ = self.terminate.recv() => End::Stop,
            _ = self.interrupt.recv() => End::Stop,
            _ = self.user1.recv() => End::Restart,
        }
    }
}

/// Sockets and signals, until it is time to stop.
async fn serve(
    sites: &[Site],
    options: &Options,
    mut signals: Signals,
    manager: &notify::Manager,
    trouble: &Trouble,
    mut changed: UnboundedReceiver<Change>,
) -> Result<End> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut doors: Vec<Door> = sites.iter().map(|_| Door::default()).collect();
    match (sites, doors.as_mut_slice()) {
        ([site], [door]) => door.open(site, options)?,
        (_, doors) => open_all(doors, sites, options),
    }
    let listen = options.settings.metrics.listen.clone();
    let mut metrics = tokio::task::JoinSet::new();
    if !listen.is_empty() {
        let pages = endpoint::Endpoint::new(sites.iter().map(|site| site.view.clone()));
        let group = options.settings.agent.socket_group.clone();
        metrics.spawn(endpoint::run(listen, group, pages, trouble.clone(), stopped));
    }
    manager.ready(&told(sites));
    let mut look = tokio::time::interval(std::time::Duration::from_secs(5));
    let ended = loop {
        tokio::select! {
            _ = signals.terminate.recv() => break Ok(End::Stop),
            _ = signals.interrupt.recv() => break Ok(End::Stop),
            _ = signals.user1.recv() => break Ok(End::Restart),
            _ = signals.hangup.recv() => {
                let mut status = told(sites);
                for answers in sites.iter().filter_map(|site| site.view.answers().ok()) {
                    if let Err(refusal) = answers.reload(Asker::signal("SIGHUP")).await {
                        status = format!("{}; not reloaded: {}", told(sites), refusal.message);
                    }
                }
                manager.status(&status);
            }
            Some(change) = changed.recv() => {
                if let Change::Failed(why) = change {
                    break Err(why);
                }
                manager.status(&told(sites));
                open_all(&mut doors, sites, options);
            }
            _ = look.tick() => open_all(&mut doors, sites, options),
        }
    };
    let _ = stop.send(true);
    for door in doors {
        door.close().await;
    }
    while metrics.join_next().await.is_some() {}
    ended
}

/// A line for `systemctl status`.
fn told(sites: &[Site]) -> String {
    let (watched, missing): (Vec<_>, Vec<_>) = sites.iter().partition(|site| site.view.answers().is_ok());
    let names = |sites: Vec<&Site>| sites.iter().map(|site| site.view.key()).collect::<Vec<_>>().join(", ");
    match (watched.is_empty(), missing.is_empty()) {
        (_, true) => format!("watching {}", names(watched)),
        (true, false) => format!("waiting for {}", names(missing)),
        (false, false) => format!("watching {}; waiting for {}", names(watched), names(missing)),
    }
}

/// Sockets that cannot be made now are tried again at the next look.
fn open_all(doors: &mut [Door], sites: &[Site], options: &Options) {
    for (door, site) in doors.iter_mut().zip(sites) {
        if let Err(error) = door.open(site, options)
            && door.refused.as_ref() != Some(&error)
        {
            tracing::error!(netns = %site.view.key(), "{error}");
            door.refused = Some(error);
        }
    }
}

/// The control socket of one namespace.
#[derive(Default)]
struct Door {
    opened: Option<Opened>,
    refused: Option<Error>,
}

struct Opened {
    path: PathBuf,
    stop: tokio::sync::watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
    _guard: control::SocketGuard,
}

impl Door {
    /// Makes the socket where the namespace has one now, if it is not there already. A namespace that is missing keeps
    /// the one that it had: whoever asks is told that it is missing.
    fn open(&mut self, site: &Site, options: &Options) -> Result<()> {
        let here = self.opened.as_ref().map(|opened| opened.path.clone());
        let wanted = site.view.socket().or_else(|| here.clone()).or_else(|| site.expected_socket.clone());
        let Some(path) = wanted.filter(|path| Some(path) != here.as_ref()) else { return Ok(()) };
        let (listener, guard) = control::bind(&path, &options.settings.agent.socket_group)?;
        let failed = |error: std::io::Error| Error::unreachable("agent", error);
        let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let service = Arc::new(site.view.clone());
        let served = tokio::spawn(control::serve(listener, service, control::Limits::default(), stopped));
        self.refused = None;
        let key = site.view.key();
        tracing::info!(netns = %key, socket = %path.display(), "ready");
        if let Some(client) = &options.client {
            let several = options.netns.is_none() && options.settings.agent.netns.len() > 1;
            let netns = if several { format!(" --netns {key}") } else { String::new() };
            tracing::info!(netns = %key, "in a second terminal: {client}{netns} status (or: top, plan, history)");
        }
        // A client that is connected to the socket of another name is answered no more: its sender goes.
        self.opened = Some(Opened { path, stop, served, _guard: guard });
        Ok(())
    }

    async fn close(self) {
        if let Some(Opened { stop, served, .. }) = self.opened {
            let _ = stop.send(true);
            let _ = served.await;
        }
    }
}
