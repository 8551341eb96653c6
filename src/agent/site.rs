//! One namespace that the agent was told to watch, whether it is there or not. Each has a thread that starts its
//! pipeline, notices its end and waits for it to come back, so that none of them depends on another.

use std::collections::BTreeMap;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::pause::Pause;
use super::pipeline::Pipeline;
use super::recording::Disks;
use super::service::Answers;
use super::{End, Options};
use crate::config;
use crate::control::{Answer, Call, Caller, Refusal, Service};
use crate::core::model::Settings;
use crate::error::{Error, Result};
use crate::linux::clock;
use crate::linux::netns::{self, Namespace};

/// Interval at which it is looked whether a namespace is there. Neither its making nor its end by name makes an event
/// for a subscriber of the table.
const LOOK: Duration = Duration::from_secs(1);
/// Delay after a start that failed, before the next one is tried.
const AGAIN: Duration = Duration::from_secs(5);

/// Longest wait at the end for a start that is not over.
const STARTING: Duration = Duration::from_secs(2);

/// Troubles that keep the agent from a part of its work, by topic; `status` says them.
pub type Trouble = Arc<Mutex<BTreeMap<String, String>>>;

/// Change of a namespace that the service thread is told of.
#[derive(Debug)]
pub enum Change {
    /// It is watched from now on.
    Watched,
    /// It is waited for from now on; with an error it is there, and cannot be watched now.
    Missing(Option<Error>),
    /// It is the only one, and there is nothing to do without it.
    Failed(Error),
}

enum State {
    Missing {
        /// Its key when it was there last, else what the operator called it.
        key: String,
        /// A sentence with the time.
        why: String,
    },
    Watched {
        answers: Answers,
        socket: PathBuf,
    },
}

/// State of a namespace right now.
#[derive(Clone)]
pub struct View(Arc<Mutex<State>>);

impl View {
    /// The answers of its pipeline.
    ///
    /// # Errors
    /// Its key and why there is none, where it is missing.
    pub fn answers(&self) -> std::result::Result<Answers, (String, String)> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Watched { answers, .. } => Ok(answers.clone()),
            State::Missing { key, why } => Err((key.clone(), why.clone())),
        }
    }

    /// The socket of its pipeline; `None` while it is missing.
    pub fn socket(&self) -> Option<PathBuf> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Watched { socket, .. } => Some(socket.clone()),
            State::Missing { .. } => None,
        }
    }

    /// Its key, or what it is called while it is missing.
    pub fn key(&self) -> String {
        self.answers().map_or_else(|(key, _)| key, |answers| answers.netns.key())
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// Answers on its socket, the same one before, between and after its pipelines.
impl Service for View {
    fn answer(&self, call: Call) -> Answer {
        match self.answers() {
            Ok(answers) => answers.answer(call),
            Err((_, why)) => missing(why),
        }
    }

    fn change(&self, call: Call, caller: Caller) -> Answer {
        match self.answers() {
            Ok(answers) => answers.change(call, caller),
            Err((_, why)) => missing(why),
        }
    }
}

fn missing(why: String) -> Answer {
    Box::pin(ready(Err(Refusal::failed(why).hint("ip netns list shows the names"))))
}

/// One namespace with its thread.
pub struct Site {
    /// For those who ask.
    pub view: View,
    /// Path at which its socket is expected while it is missing, if its name tells.
    pub expected_socket: Option<PathBuf>,
    orders: Sender<End>,
    thread: JoinHandle<()>,
}

impl Site {
    /// Starts the thread, which inherits the priority of the caller's. Its first [`Change`] says how it began.
    ///
    /// # Errors
    /// As pthread_create(3).
    pub fn open(
        spec: Option<String>,
        alone: bool,
        options: &Options,
        disks: &Disks,
        trouble: &Trouble,
        changes: UnboundedSender<Change>,
    ) -> std::io::Result<Site> {
        let key = spec.clone().unwrap_or_else(|| "the agent's own namespace".into());
        let configured = options.socket.clone().or_else(|| options.settings.agent.socket.clone());
        let by_name = || Some(socket_of(netns::name_of_spec(spec.as_deref()?)?));
        let expected_socket = configured.or_else(by_name);
        let why = "the agent is only starting".to_owned();
        let view = View(Arc::new(Mutex::new(State::Missing { key: key.clone(), why })));
        let (orders, received) = channel();
        let keeper = Keeper {
            spec,
            alone,
            key,
            options: options.clone(),
            disks: disks.clone(),
            view: view.clone(),
            trouble: trouble.clone(),
            changes,
            orders: received,
            without: None,
            pause: Pause::default(),
        };
        let thread = std::thread::Builder::new().name("namespace".into()).spawn(move || keeper.run())?;
        Ok(Site { view, expected_socket, orders, thread })
    }

    /// Ends its pipeline, if there is one, and its thread. One that is only starting has written no value yet, and may
    /// wait for a disk that does not answer: it is not waited for for long, and ends with the process.
    pub fn stop(self, end: End) {
        let _ = self.orders.send(end);
        let began = Instant::now();
        while !self.thread.is_finished() {
            if self.view.socket().is_none() && began.elapsed() >= STARTING {
                tracing::warn!(netns = %self.view.key(), "its start is not over: the agent ends all the same");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.thread.join();
    }
}

/// The default socket of a namespace with this key.
pub fn socket_of(key: &str) -> PathBuf {
    Path::new("/run/ctctl").join(format!("{key}.sock"))
}

/// The thread's state.
struct Keeper {
    spec: Option<String>,
    /// No other namespace is watched: without this one there is nothing to do.
    alone: bool,
    key: String,
    options: Options,
    disks: Disks,
    view: View,
    trouble: Trouble,
    changes: UnboundedSender<Change>,
    orders: Receiver<End>,
    /// Since when it is not watched, and why.
    without: Option<(String, Why)>,
    /// Pause that its pipelines were told of.
    pause: Pause,
}

/// Reason for which there is nothing to ask, in the words that clients get.
#[derive(Clone, PartialEq, Eq)]
enum Why {
    /// It is not there: said once, whatever the words of later looks.
    Missing,
    /// It is there, and cannot be watched, as the text says.
    Failed(String),
}

/// Reason for which there is no pipeline.
enum Without {
    /// The namespace is not there.
    Missing(Error),
    /// It is there, and cannot be watched.
    Failed(Error),
}

impl Keeper {
    fn run(mut self) {
        let mut first = true;
        loop {
            let wait = match self.start(first) {
                Ok(pipeline) => {
                    self.watched(&pipeline);
                    let ended = self.until_end(&pipeline);
                    match ended {
                        Ok(end) => return pipeline.stop(end),
                        Err(why) if self.alone => {
                            self.tell(Change::Failed(why));
                            return pipeline.stop(self.orders.recv().unwrap_or(End::Stop));
                        }
                        Err(error) => {
                            let wait = match pipeline.gone() {
                                true => {
                                    let deleted = Error { why: "it was deleted".into(), ..error };
                                    self.not_watched(&deleted, Why::Missing);
                                    LOOK
                                }
                                false => {
                                    self.not_watched(&error, Why::Failed(error.why.clone()));
                                    AGAIN
                                }
                            };
                            // Its values go back: other namespaces may go on with the host's values.
                            pipeline.stop(End::Stop);
                            wait
                        }
                    }
                }
                Err(Without::Missing(error) | Without::Failed(error)) if self.alone => {
                    return self.tell(Change::Failed(error));
                }
                Err(Without::Missing(error)) => {
                    self.not_watched(&error, Why::Missing);
                    LOOK
                }
                Err(Without::Failed(error)) => {
                    self.not_watched(&error, Why::Failed(error.why.clone()));
                    AGAIN
                }
            };
            match self.orders.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(_) | Err(RecvTimeoutError::Disconnected) => return,
            }
            first = false;
        }
    }

    fn start(&mut self, first: bool) -> std::result::Result<Pipeline, Without> {
        let namespace = Namespace::resolve(self.spec.as_deref()).map_err(Without::Missing)?;
        let again =
            namespace.try_clone().map_err(|e| Without::Failed(Error::unreachable("network namespace", e)))?;
        if !first {
            self.read_settings();
        }
        Pipeline::start(namespace, &self.options, &self.disks, &self.pause).map_err(|error| {
            match again.still_there() {
                true => Without::Failed(error),
                false => Without::Missing(error),
            }
        })
    }

    /// Until a stop is wanted, or there is nothing to watch any more.
    fn until_end(&self, pipeline: &Pipeline) -> Result<End> {
        loop {
            match self.orders.recv_timeout(LOOK) {
                Ok(end) => return Ok(end),
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Stop),
                Err(RecvTimeoutError::Timeout) => pipeline.ended().map_or(Ok(()), Err)?,
            }
        }
    }

    fn watched(&mut self, pipeline: &Pipeline) {
        let answers = pipeline.answers(&self.trouble);
        self.key = answers.netns.key();
        self.without = None;
        self.note(None);
        self.view.set(State::Watched { answers, socket: pipeline.socket.clone() });
        tracing::info!(netns = %self.key, "watched");
        self.tell(Change::Watched);
    }

    /// Says why it is not watched: once, as long as that is the reason.
    fn not_watched(&mut self, error: &Error, why: Why) {
        let before = self.without.take();
        let same = before.as_ref().is_some_and(|(_, before)| *before == why);
        let since = before.map_or_else(clock::now_rfc3339, |(since, _)| since);
        self.without = Some((since.clone(), why.clone()));
        if same {
            return;
        }
        let (key, reason, pid) = (&self.key, &error.why, std::process::id());
        let text = match why {
            Why::Missing => format!(
                "namespace {key} is missing since {since} ({reason}); the agent (pid {pid}) looks for it every second and \
                 watches it as soon as it is there"
            ),
            Why::Failed(_) => format!(
                "namespace {key} is not watched since {since}: {reason}; the agent (pid {pid}) tries again every {} s",
                AGAIN.as_secs()
            ),
        };
        tracing::warn!(netns = %key, "{text}");
        let failed = matches!(why, Why::Failed(_)).then(|| error.clone());
        self.note(Some(text.clone()));
        self.view.set(State::Missing { key: self.key.clone(), why: text });
        self.tell(Change::Missing(failed));
    }

    fn note(&self, text: Option<String>) {
        let topic = format!("namespace {}", self.spec.as_deref().unwrap_or_default());
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            Some(text) => trouble.insert(topic, text),
            None => trouble.remove(&topic),
        };
    }

    fn tell(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    /// The configuration may have been reloaded since the last start; what holds for the whole life of an agent stays.
    fn read_settings(&mut self) {
        let old = &self.options.settings;
        let Ok((new, _)) = config::load(self.options.config.as_deref()) else { return };
        let mut agent = new.agent.clone();
        (agent.netns, agent.socket) = (old.agent.netns.clone(), old.agent.socket.clone());
        (agent.state_dir, agent.dry_run) = (old.agent.state_dir.clone(), old.agent.dry_run);
        agent.remember_entries = old.agent.remember_entries;
        self.options.settings = Settings { agent, metrics: old.metrics.clone(), ..new };
    }
}
