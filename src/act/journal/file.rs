//! `journal.jsonl` and its older parts on disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::writer::Sink;

/// Older parts: `journal.jsonl.1`, the newest of them, to `journal.jsonl.4`.
pub(super) const KEPT: u32 = 4;
/// Size at which the file becomes an older part: some 20,000 records; with the older parts 40 MiB, for ever.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The path of a part: 0 is the file that is written.
pub(super) fn part(dir: &Path, number: u32) -> PathBuf {
    match number {
        0 => dir.join("journal.jsonl"),
        n => dir.join(format!("journal.jsonl.{n}")),
    }
}

/// Makes a state directory and what is missing above it, mode 0750.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(dir)
}

/// The file that is written, turned into an older part by size.
///
/// It is opened for every record: so a file that was moved, removed or repaired, and a disk that is writable again,
/// need no case of their own. At a few records a second the five system calls do not matter.
pub(super) struct RotatingFile {
    dir: PathBuf,
    max_bytes: u64,
}

impl RotatingFile {
    pub(super) fn new(dir: &Path) -> Self {
        Self::with_max_bytes(dir, MAX_BYTES)
    }

    pub(super) fn with_max_bytes(dir: &Path, max_bytes: u64) -> Self {
        RotatingFile { dir: dir.into(), max_bytes }
    }

    /// The file and its size. O_NONBLOCK: a FIFO of that name is an error, and never hangs.
    fn open(&self) -> io::Result<(File, u64)> {
        let path = part(&self.dir, 0);
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK);
            options.open(&path)
        };
        let opened = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dir(&self.dir).and_then(|()| open())
            }
            other => other,
        };
        let name = |error| named(&path, error);
        let file = opened.map_err(name)?;
        let facts = file.metadata().map_err(name)?;
        if facts.file_type().is_fifo() {
            // It takes what is written, and keeps nothing of it.
            return Err(named(&path, io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
        }
        Ok((file, facts.len()))
    }

    /// Every part becomes one older; the oldest is gone. Each rename is atomic, from the old end on: a crash between
    /// two of them leaves a number unused and loses nothing.
    fn rotate(&self) -> io::Result<()> {
        for number in (0..KEPT).rev() {
            let from = part(&self.dir, number);
            match fs::rename(&from, part(&self.dir, number + 1)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(|error| named(&from, error))?,
            }
        }
        Ok(())
    }
}

impl Sink for RotatingFile {
    /// One write(2) for the whole line. A file that cannot be rotated is not written either: the bound comes first.
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let (mut file, mut size) = self.open()?;
        if size > 0 && size + line.len() as u64 > self.max_bytes {
            self.rotate()?;
            (file, size) = self.open()?;
        }
        let mut bytes = Vec::with_capacity(line.len() + 1);
        if !ends_with_newline(&file, size)? {
            // A crash or a full disk left half a line: only that one is lost.
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line);
        file.write_all(&bytes).map_err(|error| named(&part(&self.dir, 0), error))
    }

    fn probe(&mut self) -> io::Result<()> {
        self.open().map(drop)
    }
}

/// True for an empty file, too.
fn ends_with_newline(file: &File, size: u64) -> io::Result<bool> {
    let Some(last) = size.checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    // Nothing to read there: the file was cut since, and a blank line does no harm.
    Ok(file.read_at(&mut byte, last)? == 1 && byte[0] == b'\n')
}

/// The error, with the file that it is about.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
