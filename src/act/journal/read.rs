//! The journal read back, by `history` and by an agent that starts.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::model::JournalRecord;
use crate::error::{Error, Result};

use super::RING;
use super::file::{KEPT, part};

/// The longest line that is looked at; a record has a few hundred bytes.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;
/// Broken lines of one file that are named one by one.
const NAMED_LINES: usize = 10;
/// The largest number that is believed: beyond it readers of JSON lose precision, and no agent counts so far.
const MAX_NUMBER: u64 = 1 << 53;

/// The last `limit` records (0: all) of a state directory that are not older than `since`, oldest first, older parts
/// of the journal included.
///
/// Broken and overlong lines are skipped; `warn` gets a sentence with file and line for the first ten of a file, and
/// how many more there are. The agent may write and rotate meanwhile: no record comes twice, and none that was there
/// at the call is missed unless its part is removed as the oldest.
///
/// # Errors
/// Where there is no journal, or it may not be read (exit 3).
pub fn read(
    dir: &Path,
    limit: usize,
    since: Option<Timestamp>,
    mut warn: impl FnMut(String),
) -> Result<Vec<JournalRecord>> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut records: VecDeque<JournalRecord> = VecDeque::new();
    for (path, file) in open_parts(dir, &mut warn)? {
        let room = limit - records.len();
        for record in read_part(&path, BufReader::new(file), room, since, &mut warn).into_iter().rev() {
            records.push_front(record);
        }
        if records.len() >= limit {
            break;
        }
    }
    Ok(records.into())
}

/// End of a journal, from which an agent that starts goes on: 0 and nothing where there is no journal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Last {
    /// The highest number of a record.
    pub seq: u64,
    /// The highest number of an act.
    pub id: u64,
    /// The last records, oldest first.
    pub records: Vec<JournalRecord>,
    /// Parts that could not be read, in sentences.
    pub warnings: Vec<String>,
}

/// The end of the journal of a state directory.
pub(super) fn last(dir: &Path) -> Last {
    let mut warnings = Vec::new();
    // A missing or unreadable journal was reported by the probe for writing, and is no reason not to start.
    let records = read(dir, RING, None, |text| warnings.push(text)).unwrap_or_default();
    let highest = |number: fn(&JournalRecord) -> u64, of: &[JournalRecord]| {
        of.iter().map(number).filter(|n| *n < MAX_NUMBER).max().unwrap_or(0)
    };
    let seq = highest(|record| record.seq, &records);
    let mut id = highest(|record| record.id, &records);
    if id == 0 && records.len() == RING {
        // The last ones belong to no act (levels, drift); older ones may.
        id = highest(|record| record.id, &read(dir, 0, None, |_| ()).unwrap_or_default());
    }
    Last { seq, id, records, warnings }
}

/// The parts that are there, newest first; one that cannot be opened is an error only if there is no other.
///
/// All are opened before any is read, and in this order: a rotation meanwhile can only show a part twice, under its
/// old and its new number, and its inode tells.
fn open_parts(dir: &Path, warn: &mut impl FnMut(String)) -> Result<Vec<(PathBuf, File)>> {
    let (mut parts, mut inodes, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for path in (0..=KEPT).map(|number| part(dir, number)) {
        match open_part(&path) {
            Ok((_, inode)) if inodes.contains(&inode) => {}
            Ok((file, inode)) => {
                inodes.push(inode);
                parts.push((path, file));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => errors.push(unreadable(&path, &error)),
        }
    }
    if parts.is_empty() {
        let none =
            || unreadable(&part(dir, 0), &io::Error::new(io::ErrorKind::NotFound, "there is no journal"));
        return Err(errors.into_iter().next().unwrap_or_else(none));
    }
    errors.into_iter().for_each(|error| warn(format!("{}; its records are left out", error.why)));
    Ok(parts)
}

/// A part, and its device and inode. O_NONBLOCK: a FIFO of that name does not hang.
fn open_part(path: &Path) -> io::Result<(File, (u64, u64))> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    Ok((file, (facts.dev(), facts.ino())))
}

fn unreadable(path: &Path, why: &io::Error) -> Error {
    let error = Error::unreachable("journal", format!("{}: {why}", path.display()));
    error.hint(match why.kind() {
        io::ErrorKind::PermissionDenied => "its directory belongs to the agent: run this as root",
        io::ErrorKind::NotFound => {
            "the agent (ctctl agent) writes it as it runs; if its state_dir is another, name its file with --config"
        }
        _ => "see what the kernel says about the disk (dmesg), and that state_dir is a directory",
    })
}

/// The last `room` records of one part, oldest first.
fn read_part(
    path: &Path,
    mut reader: impl BufRead,
    room: usize,
    since: Option<Timestamp>,
    warn: &mut impl FnMut(String),
) -> VecDeque<JournalRecord> {
    let (mut records, mut line, mut broken) = (VecDeque::new(), Vec::new(), 0usize);
    for number in 1u64.. {
        let parsed = match next_line(&mut reader, &mut line) {
            Ok(Line::End) => break,
            Ok(Line::Whole) if line.is_empty() => continue,
            Ok(Line::Whole) => parse(&line, since),
            Ok(Line::TooLong) => Err(format!("longer than {MAX_LINE_BYTES} bytes")),
            Err(error) => {
                warn(format!("{}:{number}: {error}; the rest is not read", path.display()));
                break;
            }
        };
        match parsed {
            Ok(Some(record)) => {
                if records.len() == room {
                    records.pop_front();
                }
                records.push_back(record);
            }
            Ok(None) => {}
            Err(why) => {
                broken += 1;
                if broken <= NAMED_LINES {
                    warn(format!("{}:{number}: broken line skipped: {why}", path.display()));
                }
            }
        }
    }
    if broken > NAMED_LINES {
        warn(format!("{}: {} more broken lines skipped", path.display(), broken - NAMED_LINES));
    }
    records
}

/// `None` for a record before `since`.
fn parse(line: &[u8], since: Option<Timestamp>) -> std::result::Result<Option<JournalRecord>, String> {
    let record: JournalRecord = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let Some(since) = since else { return Ok(Some(record)) };
    let at: Timestamp = record.at.parse().map_err(|error| format!("at: {error}"))?;
    Ok((at >= since).then_some(record))
}

#[derive(PartialEq, Eq, Debug)]
enum Line {
    /// In the buffer, without its newline.
    Whole,
    /// Passed over, never held.
    TooLong,
    End,
}

fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let (mut too_long, mut started) = (false, false);
    loop {
        let bytes = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let newline = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..newline.unwrap_or(bytes.len())];
        let at_end = bytes.is_empty();
        started |= !at_end;
        too_long |= line.len() + part.len() > MAX_LINE_BYTES;
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(newline.is_some());
        reader.consume(used);
        if newline.is_some() || at_end {
            return Ok(match (started, too_long) {
                (false, _) => Line::End,
                (true, true) => Line::TooLong,
                (true, false) => Line::Whole,
            });
        }
    }
}
