//! Requests to read and write the files of a state directory, carried out by this process or by one that it keeps for
//! them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, Held, Loaded, not_written, write_file};
use super::file::{RotatingFile, make_dir};
use super::read::{self, Last};
use super::seen::TimeoutsSeen;
use super::trail::trail;
use super::writer::Sink;
use crate::core::model::Value;
use crate::error::Result;

/// One thing to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Replaces a file whole: one beside it, then rename, fsync of both and of the directory with `sync`. What is
    /// missing above it is made. Answered with the new file's [`Stamp`].
    Replace { path: PathBuf, text: String, sync: bool },
    /// Removes a file; one that is not there is removed.
    Remove { path: PathBuf },
    /// Opens the journal of a directory for writing.
    Probe { dir: PathBuf },
    /// Appends a line to the journal of a directory, which is rotated by size.
    Append { dir: PathBuf, line: String },
    /// The [`Stamp`] of a file, if it is there.
    Look { path: PathBuf },
}

/// Facts that change with every change of a file, whoever makes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// Questions of an agent that starts about a state directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub dir: PathBuf,
    pub boot_id: String,
    pub inode: u64,
    pub of: Of,
}

/// Of which of its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Of {
    /// [`Baseline::load`], which moves one aside that is another's.
    Baseline,
    /// [`trail`] of the journal.
    Trail,
    /// [`read::last`] of the journal.
    Last,
    /// The timeouts that earlier agents saw, as [`TimeoutsSeen::load`].
    Seen,
}

/// Answer to [`Of`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Found {
    Baseline(Loaded),
    Trail(BTreeMap<Value, Held>),
    Last(Last),
    Seen(TimeoutsSeen),
}

/// Does what is asked.
pub(super) trait Disk: Send {
    /// One request, however long that takes.
    fn ask(&mut self, request: &Request) -> io::Result<Option<Stamp>>;

    /// Reads what is wanted, however long that takes.
    fn read(&mut self, question: &Question) -> io::Result<Found> {
        Ok(find(question))
    }
}

fn find(Question { dir, boot_id, inode, of }: &Question) -> Found {
    match of {
        Of::Baseline => Found::Baseline(Baseline::load(dir, boot_id, *inode)),
        Of::Trail => Found::Trail(trail(dir, boot_id, *inode)),
        Of::Last => Found::Last(read::last(dir)),
        Of::Seen => Found::Seen(TimeoutsSeen::load(dir, boot_id, *inode)),
    }
}

/// For the threads of a process that write files: one at a time.
#[derive(Clone)]
pub struct SharedDisk(Arc<Mutex<dyn Disk>>);

impl SharedDisk {
    pub(super) fn new(disk: impl Disk + 'static) -> SharedDisk {
        SharedDisk(Arc::new(Mutex::new(disk)))
    }

    /// The calling thread itself: one that waits inside the kernel for a dead disk cannot be ended, and keeps its
    /// process from ending.
    pub fn of_this_process() -> SharedDisk {
        SharedDisk::new(LocalDisk)
    }

    pub(super) fn ask(&self, request: &Request) -> io::Result<Option<Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ask(request)
    }

    /// Asks the other process; this one answers where there is none.
    fn read(&self, dir: &Path, boot_id: &str, inode: u64, of: Of) -> Found {
        let question = Question { dir: dir.to_owned(), boot_id: boot_id.to_owned(), inode, of };
        let mut disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        disk.read(&question).unwrap_or_else(|_| find(&question))
    }

    /// Loads the baseline, as [`Baseline::load`].
    pub fn baseline(&self, dir: &Path, boot_id: &str, inode: u64) -> Loaded {
        match self.read(dir, boot_id, inode, Of::Baseline) {
            Found::Baseline(loaded) => loaded,
            other => Loaded::Unreadable(format!("another question was answered: {other:?}")),
        }
    }

    /// Follows the journal's acts, as [`trail`].
    pub fn trail(&self, dir: &Path, boot_id: &str, inode: u64) -> BTreeMap<Value, Held> {
        match self.read(dir, boot_id, inode, Of::Trail) {
            Found::Trail(held) => held,
            _ => BTreeMap::new(),
        }
    }

    /// Loads the timeouts that earlier agents saw, as [`TimeoutsSeen::load`].
    pub fn timeouts_seen(&self, dir: &Path, boot_id: &str, inode: u64) -> TimeoutsSeen {
        match self.read(dir, boot_id, inode, Of::Seen) {
            Found::Seen(seen) => seen,
            _ => TimeoutsSeen { boot_id: boot_id.into(), inode, ..TimeoutsSeen::default() },
        }
    }

    /// Finds the end of the journal, as [`read::last`].
    pub(super) fn last(&self, dir: &Path) -> Last {
        match self.read(dir, "", 0, Of::Last) {
            Found::Last(last) => last,
            _ => Last::default(),
        }
    }

    /// As [`Baseline::save`].
    ///
    /// # Errors
    /// As [`Baseline::save`].
    pub fn save(&self, baseline: &Baseline, dir: &Path) -> Result<()> {
        let (path, text) = (Baseline::path(dir), baseline.text());
        let saved = self.ask(&Request::Replace { path, text, sync: true });
        saved.map(drop).map_err(|error| not_written(dir, &error))
    }
}

impl std::fmt::Debug for SharedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedDisk")
    }
}

/// The files themselves.
pub(super) struct LocalDisk;

impl Disk for LocalDisk {
    fn ask(&mut self, request: &Request) -> io::Result<Option<Stamp>> {
        match request {
            Request::Replace { path, text, sync } => replace(path, text, *sync).map(Some),
            Request::Remove { path } => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(None),
            },
            Request::Probe { dir } => RotatingFile::new(dir).probe().map(|()| None),
            Request::Append { dir, line } => {
                RotatingFile::new(dir).write_line(line.as_bytes()).map(|()| None)
            }
            Request::Look { path } => stamp(path),
        }
    }
}

/// Leaves the old file or the new one, whole, also where power is cut (with `sync`).
pub(super) fn replace(path: &Path, text: &str, sync: bool) -> io::Result<Stamp> {
    let dir = path.parent().unwrap_or(Path::new("."));
    make_dir(dir)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let written = write_file(&beside, text.as_bytes(), sync).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    if sync {
        File::open(dir)?.sync_all()?;
    }
    stamp(path)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is gone again"))
}

fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::symlink_metadata(path) {
        Ok(facts) => Ok(Some(Stamp {
            device: facts.dev(),
            inode: facts.ino(),
            bytes: facts.size(),
            changed: (facts.ctime(), facts.ctime_nsec()),
        })),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A request or a question on its way between two processes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Asked {
    Do(Request),
    Read(Question),
}

/// Answer of the other process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answered {
    Done(Option<Stamp>),
    Found(Box<Found>),
}

/// An answer on its way between two processes: an error as errno (0: none) and text.
pub(super) type Answer = std::result::Result<Answered, (i32, String)>;

/// Does what comes on `input`, a request a line, and answers each on `output`, until either ends.
///
/// # Errors
/// As read(2) and write(2) on the two.
pub fn serve(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    for line in input.lines() {
        let answered = match serde_json::from_str(&line?)? {
            Asked::Do(request) => LocalDisk.ask(&request).map(Answered::Done),
            Asked::Read(question) => LocalDisk.read(&question).map(|found| Answered::Found(Box::new(found))),
        };
        let answer: Answer = answered.map_err(|error| (error.raw_os_error().unwrap_or(0), error.to_string()));
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        output.write_all(&line)?;
        output.flush()?;
    }
    Ok(())
}
