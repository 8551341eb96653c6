//! The files that have to be as this process wants them: written by a thread that has the patience for it, looked after
//! for as long as the process runs.
//!
//! Of each file only the newest content counts. What cannot be written is tried again every second; a file that was
//! removed, replaced or changed by somebody else is written again, its directory included.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::disk::{Request, SharedDisk, Stamp};

/// Interval at which files are looked at, and a write that failed is tried again.
const LOOK: Duration = Duration::from_secs(1);
/// A write that takes longer is said to hang.
const SLOW: Duration = Duration::from_secs(1);
/// Interval at which one file is said to have been lost.
const SAID: Duration = Duration::from_secs(60);

/// The state of a file that was to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// It is on the disk: write(2) and rename(2) have returned.
    Yes,
    /// It has been on its way for this time.
    Waits(Duration),
    /// It cannot be written, and is tried again.
    Failed(String),
}

/// One file's newest content that was asked for: files are numbered in the order in which they were.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    path: PathBuf,
    number: u64,
}

struct Wanted {
    /// `None`: no file.
    text: Option<String>,
    number: u64,
    since: Instant,
    /// The newest that is on the disk.
    written: u64,
    failed: Option<String>,
    again_at: Option<Instant>,
    stamp: Option<Stamp>,
    lost_said: Option<Instant>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Wanted>,
    last: u64,
    closing: bool,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    progress: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the thread. Dropping it lets the thread end after what is wanted by then, and does not wait for it.
pub struct Records {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Records")
    }
}

impl Records {
    /// Starts the thread. `wake` is called whenever a file that waited is written or has failed.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start(disk: SharedDisk, wake: impl Fn() + Send + 'static) -> io::Result<Records> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), progress: Condvar::new() });
        let mut keeping = Keeping { shared: shared.clone(), disk, looked: Instant::now() };
        let run = move || {
            keeping.run(&wake);
            let mut state = keeping.shared.lock();
            state.ended = true;
            keeping.shared.progress.notify_all();
        };
        let thread = thread::Builder::new().name("records".into()).spawn(run)?;
        Ok(Records { shared, thread: Some(thread) })
    }

    /// Wants a file to have this content, from now on. It never waits.
    pub fn put(&self, path: &Path, text: String) -> Ticket {
        self.want(path, Some(text))
    }

    /// Wants a file to be gone.
    pub fn remove(&self, path: &Path) -> Ticket {
        self.want(path, None)
    }

    /// The file is no longer looked after: it is another's.
    pub fn forget(&self, path: &Path) {
        self.shared.lock().files.remove(path);
    }

    fn want(&self, path: &Path, text: Option<String>) -> Ticket {
        let mut state = self.shared.lock();
        state.last += 1;
        let number = state.last;
        let wanted = state.files.entry(path.to_owned()).or_insert(Wanted {
            // Of a file that nothing is known of, neither is known to be there.
            text: None,
            number: 0,
            since: Instant::now(),
            written: 0,
            failed: None,
            again_at: None,
            stamp: None,
            lost_said: None,
        });
        if wanted.number == 0 || wanted.text != text {
            if wanted.written == wanted.number {
                wanted.since = Instant::now();
            }
            (wanted.text, wanted.number, wanted.again_at) = (text, number, None);
            self.shared.work.notify_one();
        }
        Ticket { path: path.to_owned(), number: wanted.number }
    }

    /// State of the content that a ticket was given for: it, or something newer, is on the disk or not.
    pub fn recorded(&self, ticket: &Ticket) -> Recorded {
        recorded(&self.shared.lock(), ticket)
    }

    /// Waits until that is so or has failed, until `until` at most.
    pub fn wait(&self, ticket: &Ticket, until: Instant) -> Recorded {
        let waits = |state: &mut State| matches!(recorded(state, ticket), Recorded::Waits(_)) && !state.ended;
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.shared.progress.wait_timeout_while(self.shared.lock(), left, waits);
        recorded(&waited.unwrap_or_else(PoisonError::into_inner).0, ticket)
    }

    /// Waits until every file is as it is wanted, until `until` at most, and not for a disk that has been silent for a
    /// while already; else what is not so, as a sentence.
    pub fn finish(&mut self, until: Instant) -> Result<(), String> {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        let until = if self.hangs() { Instant::now() } else { until };
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.shared.progress.wait_timeout_while(self.shared.lock(), left, |state| !state.ended);
        let (ended, behind) = {
            let state = waited.unwrap_or_else(PoisonError::into_inner).0;
            (state.ended, state.files.iter().find_map(|(path, wanted)| wanted.trouble(path, Duration::ZERO)))
        };
        if let (true, Some(thread)) = (ended, self.thread.take()) {
            let _ = thread.join();
        }
        behind.map_or(Ok(()), Err)
    }

    /// The disk has not answered for longer than disks take.
    pub fn hangs(&self) -> bool {
        let state = self.shared.lock();
        let hangs = |w: &Wanted| w.written != w.number && w.failed.is_none() && w.since.elapsed() >= SLOW;
        state.files.values().any(hangs)
    }

    /// Sentence on a file that cannot be written, or has waited for longer than disks take.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock().files.iter().find_map(|(path, wanted)| wanted.trouble(path, SLOW))
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
    }
}

fn recorded(state: &State, ticket: &Ticket) -> Recorded {
    match state.files.get(&ticket.path) {
        Some(wanted) if wanted.written >= ticket.number => Recorded::Yes,
        Some(Wanted { failed: Some(why), .. }) => Recorded::Failed(why.clone()),
        Some(wanted) => Recorded::Waits(wanted.since.elapsed()),
        None => Recorded::Failed("nothing was asked for".into()),
    }
}

impl Wanted {
    fn trouble(&self, path: &Path, patience: Duration) -> Option<String> {
        if self.written == self.number {
            return None;
        }
        let what = if self.text.is_some() { "written" } else { "removed" };
        match &self.failed {
            Some(why) => Some(format!("{} cannot be {what}: {why}", path.display())),
            None if self.since.elapsed() >= patience => {
                let seconds = self.since.elapsed().as_secs_f64();
                Some(format!(
                    "{} is not {what}: its disk has not answered for {seconds:.1} s",
                    path.display()
                ))
            }
            None => None,
        }
    }
}

/// The thread's end.
struct Keeping {
    shared: Arc<Shared>,
    disk: SharedDisk,
    looked: Instant,
}

impl Keeping {
    fn run(&mut self, wake: &impl Fn()) {
        loop {
            let due = {
                let state = self.shared.lock();
                match next(&state) {
                    Some(due) => Some(due),
                    None if state.closing => return,
                    None => {
                        let wait = LOOK.saturating_sub(self.looked.elapsed());
                        drop(self.shared.work.wait_timeout(state, wait));
                        None
                    }
                }
            };
            if let Some((path, text, number)) = due {
                self.write(path, text, number, wake);
            } else if self.looked.elapsed() >= LOOK {
                self.looked = Instant::now();
                self.look();
            }
        }
    }

    fn write(&mut self, path: PathBuf, text: Option<String>, number: u64, wake: &impl Fn()) {
        let request = match text {
            Some(text) => Request::Replace { path: path.clone(), text, sync: false },
            None => Request::Remove { path: path.clone() },
        };
        let done = self.disk.ask(&request);
        let mut state = self.shared.lock();
        let Some(wanted) = state.files.get_mut(&path) else { return };
        let before = wanted.failed.take();
        let news = match done {
            Ok(stamp) => {
                (wanted.written, wanted.stamp, wanted.again_at) = (number, stamp, None);
                before.map(|_| None)
            }
            Err(error) => {
                let why = error.to_string();
                let new = before.as_ref() != Some(&why);
                (wanted.failed, wanted.again_at) = (Some(why.clone()), Some(Instant::now() + LOOK));
                new.then_some(Some(why))
            }
        };
        self.shared.progress.notify_all();
        drop(state);
        match news {
            Some(Some(why)) => tracing::warn!("{}: {why}; tried again every second", path.display()),
            Some(None) => tracing::info!("{} is as it should be again", path.display()),
            None => {}
        }
        wake();
    }

    /// Files that are not as they were left are to be written again.
    fn look(&self) {
        let files: Vec<(PathBuf, Option<Stamp>)> = {
            let state = self.shared.lock();
            let settled = state.files.iter().filter(|(_, wanted)| wanted.written == wanted.number);
            settled.filter(|(_, w)| w.text.is_some()).map(|(path, w)| (path.clone(), w.stamp)).collect()
        };
        for (path, stamp) in files {
            let now = self.disk.ask(&Request::Look { path: path.clone() });
            if now.as_ref().is_ok_and(|now| *now == stamp) {
                continue;
            }
            let mut state = self.shared.lock();
            let Some(wanted) = state.files.get_mut(&path).filter(|w| w.written == w.number) else { continue };
            (wanted.written, wanted.since) = (0, Instant::now());
            let told = wanted.lost_said.is_some_and(|at| at.elapsed() < SAID);
            if !told {
                wanted.lost_said = Some(Instant::now());
                drop(state);
                let what = if matches!(now, Ok(Some(_))) { "changed by another program" } else { "lost" };
                tracing::warn!("{} was {what}: it is written again", path.display());
            }
        }
    }
}

/// The file that has waited for the longest and may be written now. At the end, what failed is not waited for.
fn next(state: &State) -> Option<(PathBuf, Option<String>, u64)> {
    let now = Instant::now();
    let due = |wanted: &&Wanted| match wanted.again_at {
        None => true,
        Some(at) => at <= now && !state.closing,
    };
    let behind = state.files.iter().filter(|(_, wanted)| wanted.written != wanted.number);
    let (path, wanted) = behind.filter(|(_, wanted)| due(wanted)).min_by_key(|(_, wanted)| wanted.number)?;
    Some((path.clone(), wanted.text.clone(), wanted.number))
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
