//! One namespace: its threads, and what holds them together.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use super::host_lease::HostLease;
use super::lease::{self, Lease};
use super::pause::Pause;
use super::recording::Disks;
use super::service::Answers;
use super::shared::{Command, Numbers, Order, SharedView, Watch};
use super::site::{Trouble, socket_of};
use super::{End, Options, actor, watch};
use crate::core::model::Netns;
use crate::core::sieve::SharedSightings;
use crate::core::state::{Identify, RegretMeter};
use crate::direct;
use crate::error::{Error, Result};
use crate::linux::clock;
use crate::linux::netns::Namespace;
use crate::linux::{memory, priority, process};

/// One namespace under watch.
pub struct Pipeline {
    /// Network namespace of the pipeline.
    pub netns: Netns,
    /// Its control socket.
    pub socket: PathBuf,
    namespace: Namespace,
    started_at: String,
    config: Option<PathBuf>,
    state_dir: PathBuf,
    numbers: Arc<Numbers>,
    view: SharedView,
    watch: Watch,
    actor: SyncSender<Order>,
    watcher: JoinHandle<()>,
    actor_thread: JoinHandle<()>,
    _lease: Lease,
}

impl Pipeline {
    /// Starts the threads, and returns once both stand. `pause`: what was told to those before, and is told to these.
    ///
    /// # Errors
    /// Exit 3 where something is missing or another agent runs.
    pub fn start(namespace: Namespace, options: &Options, disks: &Disks, pause: &Pause) -> Result<Pipeline> {
        let settings = &options.settings;
        let netns = namespace.netns().clone();
        let configured = options.socket.clone().or_else(|| settings.agent.socket.clone());
        let socket = configured.unwrap_or_else(|| socket_of(&netns.key()));
        if !process::capabilities().net_admin {
            return Err(Error::unreachable(
                "agent",
                "CAP_NET_ADMIN is missing: without it nothing can be heard or done",
            )
            .hint("run as root, or in a user namespace of your own (unshare --user --map-root-user --net)"));
        }
        let directory = lease::directory(&socket)?;
        let lease = Lease::namespace(&directory, netns.inode)?;
        let clone = || namespace.try_clone().map_err(|error| Error::unreachable("network namespace", error));
        let failed = |error: std::io::Error| Error::unreachable("agent", error);
        let (watch, commands) = Watch::pair().map_err(failed)?;
        let (actor, orders) = sync_channel(64);
        let (identify, sightings) = (Identify::default(), SharedSightings::default());
        let regret = Arc::new(RegretMeter::new(identify.clone()));
        let numbers = Arc::new(Numbers::default());
        let view: SharedView = Arc::new(Mutex::new(None));
        let state_dir = direct::state_dir(&netns, settings);
        let watching = watch::Parts {
            namespace: clone()?,
            identify: identify.clone(),
            sightings: sightings.clone(),
            regret: regret.clone(),
            numbers: numbers.clone(),
            commands,
            actor: actor.clone(),
            memory_bytes: memory::total_bytes() / settings.agent.netns.len().max(1) as u64,
            remember_entries: settings.agent.remember_entries,
        };
        let acting = actor::Parts {
            namespace: clone()?,
            settings: settings.clone(),
            dry_run: options.dry_run || settings.agent.dry_run,
            host: HostLease::new(directory, netns.key()),
            state_dir: state_dir.clone(),
            identify,
            sightings,
            regret,
            numbers: numbers.clone(),
            view: view.clone(),
            watch: watch.clone(),
            orders,
            wake: actor.clone(),
            disks: disks.clone(),
            pause: pause.clone(),
        };
        // The listener stands before the actor looks: what is created from now on is heard.
        let watcher = spawn("events", move || watch::Watcher::open(watching), watch::Watcher::run)?;
        let key = netns.key();
        let introduce = move || {
            let mut actor = actor::Actor::open(acting)?;
            for line in actor.introduction()? {
                tracing::info!(netns = %key, "{line}");
            }
            Ok(actor)
        };
        let thread = match spawn("actor", introduce, actor::Actor::run) {
            Ok(thread) => thread,
            Err(error) => {
                watch.send(Command::Stop);
                let _ = watcher.join();
                return Err(error);
            }
        };
        Ok(Pipeline {
            netns,
            socket,
            namespace,
            started_at: clock::now_rfc3339(),
            config: options.config.clone(),
            state_dir,
            numbers,
            view,
            watch,
            actor,
            watcher,
            actor_thread: thread,
            _lease: lease,
        })
    }

    /// Makes the part that answers its control socket.
    pub fn answers(&self, trouble: &Trouble) -> Answers {
        Answers {
            trouble: trouble.clone(),
            netns: self.netns.clone(),
            started_at: self.started_at.clone(),
            config: self.config.clone(),
            state_dir: self.state_dir.clone(),
            numbers: self.numbers.clone(),
            view: self.view.clone(),
            watch: self.watch.clone(),
            actor: self.actor.clone(),
        }
    }

    /// True if the namespace was deleted by name, which gives a subscriber no error.
    pub fn gone(&self) -> bool {
        !self.namespace.still_there()
    }

    /// The error for which there is nothing to watch any more, if there is one.
    pub fn ended(&self) -> Option<Error> {
        if self.gone() {
            let why = format!("{} is gone; there is nothing to watch any more", self.netns.key());
            return Some(Error::unreachable("network namespace", why));
        }
        let threads = [("events", &self.watcher), ("actor", &self.actor_thread)];
        let (name, _) = threads.into_iter().find(|(_, thread)| thread.is_finished())?;
        Some(
            Error::unreachable("agent", format!("the {name} thread ended"))
                .hint("this is a bug; please report it"),
        )
    }

    /// Puts back what is to be put back at such an end, and ends the threads.
    pub fn stop(self, end: End) {
        self.numbers.halt.store(true, Relaxed);
        let _ = self.actor.send(Order::Stop(end));
        let _ = self.actor_thread.join();
        self.watch.send(Command::Stop);
        let _ = self.watcher.join();
    }
}

/// A thread that first says whether it stands.
fn spawn<T>(
    name: &str,
    open: impl FnOnce() -> Result<T> + Send + 'static,
    run: impl FnOnce(T) + Send + 'static,
) -> Result<JoinHandle<()>> {
    let (ready, stands) = mpsc::channel();
    let body = move || {
        priority::raise();
        match open() {
            Ok(state) => {
                let _ = ready.send(Ok(()));
                run(state);
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    };
    let failed = |error: std::io::Error| Error::unreachable("agent", error);
    let thread = std::thread::Builder::new().name(name.into()).spawn(body).map_err(failed)?;
    match stands.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::unreachable("agent", format!("the {name} thread ended at once"))),
    }
}
