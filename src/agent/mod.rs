//! The agent: three threads a namespace, bounded channels between them, and one service thread for all.
//!
//! `watch` hears and counts, `hand` decides (by asking `policy`) and acts, `service` answers from copies. None of them
//! waits for another: a dump may block for a tenth of a second inside send(2), a disk or a client for longer. While the
//! hand walks the table, a thread that it has for that deletes what it found (`kernel::deleting`).

mod acts;
mod chronicle;
mod drifts;
mod endpoint;
mod foreign;
mod hand;
mod host_lease;
mod introduction;
mod lasting;
mod lease;
mod notify;
mod orders;
mod owned;
mod pipeline;
mod reading;
mod recording;
mod remembering;
mod rest;
mod seldom;
mod service;
mod shared;
mod sweeper;
mod told;
mod turns;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::control;
use crate::error::{Error, Result};
use crate::journal;
use crate::kernel::{heap, stop};
use crate::model::Settings;
use pipeline::Pipeline;

/// How `ctctl agent` was called.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--netns`.
    pub netns: Option<String>,
    /// `--socket`.
    pub socket: Option<PathBuf>,
    /// The file that the settings are from, to be read again on reload.
    pub config: Option<PathBuf>,
    /// `--dry-run`.
    pub dry_run: bool,
    /// The settings.
    pub settings: Settings,
}

/// Runs until SIGTERM or SIGINT, which put values back, or SIGUSR1, which leaves them to the agent that comes next:
/// a stop for a restart changes nothing.
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
    let signals = runtime.block_on(async { Signals::catch() }).map_err(failed)?;
    // Before there are threads and sockets, which are none of theirs.
    let disks = recording::Disks::start();
    let mut pipelines = Vec::new();
    let mut started = Ok(());
    for netns in namespaces {
        match Pipeline::start(netns.as_deref(), &options, &disks) {
            Ok(pipeline) => pipelines.push(pipeline),
            Err(error) => started = started.and(Err(error)),
        }
    }
    let manager = notify::Manager::of_environment();
    let served = started.and_then(|()| runtime.block_on(serve(&pipelines, &options, signals, &manager)));
    manager.stopping();
    let end = *served.as_ref().unwrap_or(&End::Stop);
    pipelines.into_iter().for_each(|pipeline| pipeline.stop(end));
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

/// Why the agent ends.
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
}

/// Sockets and signals, until it is time to stop.
async fn serve(
    pipelines: &[Pipeline],
    options: &Options,
    mut signals: Signals,
    manager: &notify::Manager,
) -> Result<End> {
    let failed = |error: std::io::Error| Error::unreachable("agent", error);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut guards = Vec::new();
    let mut servers = tokio::task::JoinSet::new();
    let trouble = endpoint::Trouble::default();
    for pipeline in pipelines {
        let (listener, guard) = control::bind(&pipeline.socket, &options.settings.agent.socket_group)?;
        guards.push(guard);
        let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
        let answers = Arc::new(pipeline.answers(&trouble));
        servers.spawn(control::serve(listener, answers, control::Limits::default(), stopped.clone()));
        tracing::info!(netns = %pipeline.netns.key(), socket = %pipeline.socket.display(), "ready");
    }
    let listen = options.settings.metrics.listen.clone();
    if !listen.is_empty() {
        let pages = endpoint::Endpoint::new(pipelines.iter().map(|pipeline| pipeline.answers(&trouble)));
        let group = options.settings.agent.socket_group.clone();
        servers.spawn(endpoint::run(listen, group, pages, trouble.clone(), stopped.clone()));
    }
    let names: Vec<String> = pipelines.iter().map(|pipeline| pipeline.netns.key()).collect();
    let watching = format!("watching {}", names.join(", "));
    manager.ready(&watching);
    let mut look = tokio::time::interval(std::time::Duration::from_secs(2));
    let ended = loop {
        tokio::select! {
            _ = signals.terminate.recv() => break Ok(End::Stop),
            _ = signals.interrupt.recv() => break Ok(End::Stop),
            _ = signals.user1.recv() => break Ok(End::Restart),
            _ = signals.hangup.recv() => {
                let mut status = watching.clone();
                for pipeline in pipelines {
                    if let Err(refusal) = pipeline.answers(&trouble).reload().await {
                        tracing::error!(netns = %pipeline.netns.key(), "not reloaded: {}", refusal.message);
                        status = format!("{watching}; not reloaded: {}", refusal.message);
                    }
                }
                manager.status(&status);
            }
            _ = look.tick() => {
                if let Some(why) = pipelines.iter().find_map(Pipeline::ended) {
                    break Err(why);
                }
            }
        }
    };
    let _ = stop.send(true);
    while servers.join_next().await.is_some() {}
    ended
}
