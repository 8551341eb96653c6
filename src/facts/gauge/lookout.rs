//! Looks at what takes time in proportion to the host's processes, beside whoever may not wait for it.
//!
//! Relief never reads /proc/PID, whose number is the host's and not the table's. A thread of its own looks
//! once a second at the namespace's netlink sockets, and at processes only where one of those is new.

use std::collections::HashSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::core::model::Conntrackds;
use crate::linux::event_listeners::NetfilterSocket;
use crate::linux::{conntrackd, event_listeners, netns, priority};

/// Interval at which the namespace's netlink sockets are listed: 20 us with few of them.
const TICK: Duration = Duration::from_secs(1);
/// Interval at which processes are looked at though no socket is new, and namespaces are counted.
const PROCESSES: Duration = Duration::from_secs(60);
/// Looks at processes take no more than this share of one core.
const SHARE: u32 = 50;

/// Neighbours that the last look saw.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Seen {
    /// The conntrackd of the namespace.
    pub conntrackd: Conntrackds,
    /// Somebody else has a socket of nfnetlink, and processes were not looked at yet.
    pub unknown: bool,
    /// Other sockets that get an event for each update of an entry. Where the list cannot be read there may be one.
    pub update_listeners: u64,
    /// Other network namespaces of the host.
    pub other_namespaces: u64,
}

/// Looks at the neighbours, on the caller's thread or on one of its own.
pub enum Lookout {
    /// The caller itself, where nothing is urgent: a command.
    Own(Box<Looker>),
    /// A thread of its own, which ends with this.
    Thread {
        /// Neighbours that the thread saw last.
        seen: Arc<Mutex<Seen>>,
        /// Nothing is ever sent: the thread ends as this is dropped.
        _until: Sender<()>,
    },
}

impl Lookout {
    /// Of the calling thread's namespace, with this inode. What it sees is what [`Lookout::seen`] looks at.
    pub fn new(netns_inode: u64) -> Self {
        Lookout::Own(Box::new(Looker::new(netns_inode)))
    }

    /// Goes on on a thread of its own, which is in the namespace of the calling thread. What was not looked at yet is
    /// unknown until the thread has looked.
    ///
    /// # Errors
    /// As pthread_create(3); then all stays as it is.
    pub fn watch(&mut self) -> std::io::Result<()> {
        let Lookout::Own(looker) = self else { return Ok(()) };
        let mut looker = looker.clone();
        looker.look_at_sockets();
        let seen = Arc::new(Mutex::new(looker.seen.clone()));
        let (until, ended) = channel();
        let shared = seen.clone();
        let body = move || {
            priority::lower();
            loop {
                looker.look(|seen| {
                    *shared.lock().unwrap_or_else(PoisonError::into_inner) = seen.clone();
                });
                if ended.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("neighbours".into()).spawn(body)?;
        *self = Lookout::Thread { seen, _until: until };
        Ok(())
    }

    /// Neighbours that the last look saw, a second ago at most where there is a thread, but for processes. The caller
    /// itself counts no namespaces here, for only a plan needs them.
    pub fn seen(&mut self) -> Seen {
        match self {
            Lookout::Own(looker) => {
                if looker.looked.is_none_or(|at| at.elapsed() >= TICK) {
                    looker.look_around(|_| ());
                }
                looker.seen.clone()
            }
            Lookout::Thread { seen, .. } => seen.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// [`Lookout::seen`] with the other network namespaces counted.
    pub fn seen_with_namespaces(&mut self) -> Seen {
        let seen = self.seen();
        match self {
            Lookout::Own(looker) => {
                looker.count_namespaces();
                looker.seen.clone()
            }
            Lookout::Thread { .. } => seen,
        }
    }

    /// Sockets of this process are known to be an agent's, so that a look at them alone says that no conntrackd is
    /// there. Called before the first look.
    pub fn knows_agent(&mut self, pid: u32) {
        if let Lookout::Own(looker) = self {
            looker.agent = Some(pid);
        }
    }
}

/// Looks, and remembers what it saw.
#[derive(Clone)]
pub struct Looker {
    netns_inode: u64,
    /// Process of the namespace's agent, where this process is not it and knows it.
    agent: Option<u32>,
    seen: Seen,
    /// The sockets of others at the last look, and those at the last look at processes.
    sockets: HashSet<u64>,
    of_processes: HashSet<u64>,
    looked: Option<Instant>,
    processes_due: Option<Instant>,
    namespaces_due: Option<Instant>,
    /// Duration of the last look at processes.
    took: Duration,
}

impl Looker {
    fn new(netns_inode: u64) -> Self {
        Looker {
            netns_inode,
            agent: None,
            seen: Seen::default(),
            sockets: HashSet::new(),
            of_processes: HashSet::new(),
            looked: None,
            processes_due: None,
            namespaces_due: None,
            took: Duration::ZERO,
        }
    }

    /// Looks at what is due. `tell` is told after each look: one at processes may take long.
    fn look(&mut self, mut tell: impl FnMut(&Seen)) {
        self.look_around(&mut tell);
        self.count_namespaces();
        tell(&self.seen);
    }

    /// Looks at sockets and processes. `tell` is told after the sockets.
    fn look_around(&mut self, mut tell: impl FnMut(&Seen)) {
        let now = Instant::now();
        self.looked = Some(now);
        self.look_at_sockets();
        tell(&self.seen);
        let new = !self.sockets.is_subset(&self.of_processes);
        let due = self.processes_due.is_none_or(|due| now >= due);
        if (new || due) && self.processes_due.is_none_or(|due| now + PROCESSES >= due + self.took * SHARE) {
            self.look_at_processes();
        }
    }

    fn count_namespaces(&mut self) {
        if self.namespaces_due.is_none_or(|due| Instant::now() >= due) {
            self.seen.other_namespaces = netns::others();
            self.namespaces_due = Some(Instant::now() + PROCESSES);
        }
    }

    fn look_at_sockets(&mut self) {
        let others = event_listeners::of_others();
        let hearing = |others: &Vec<NetfilterSocket>| {
            others.iter().filter(|socket| socket.hears_updates()).count() as u64
        };
        self.seen.update_listeners = others.as_ref().map_or(1, hearing);
        self.sockets = others.unwrap_or_default().iter().map(|socket| socket.inode).collect();
        if let Some(held) = self.agent.and_then(event_listeners::held_by) {
            self.sockets.retain(|socket| !held.contains(socket));
        }
        self.seen.unknown = self.processes_due.is_none() && !self.sockets.is_empty();
    }

    fn look_at_processes(&mut self) {
        let began = Instant::now();
        self.seen.conntrackd = Conntrackds(conntrackd::list(&self.sockets, self.netns_inode));
        self.seen.unknown = false;
        self.of_processes = self.sockets.clone();
        self.took = began.elapsed();
        self.processes_due = Some(Instant::now() + PROCESSES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_tells_what_it_saw_and_ends_with_its_lookout() {
        let mut lookout = Lookout::new(1);
        lookout.watch().expect("a thread");
        let Lookout::Thread { seen, .. } = &lookout else { panic!("a thread") };
        let seen = Arc::downgrade(seen);
        let began = Instant::now();
        while lookout.seen().unknown {
            assert!(began.elapsed() < Duration::from_secs(20), "it looks at processes");
            std::thread::yield_now();
        }
        drop(lookout);
        while seen.strong_count() > 0 {
            assert!(began.elapsed() < Duration::from_secs(20), "the thread ends");
            std::thread::yield_now();
        }
    }
}
