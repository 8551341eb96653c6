//! `baseline.json`: the values that the agent found before it changed them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::model::{Netns, Value};
use crate::error::{Error, Result};

use super::checksum::{sealed, verify};
use super::disk::replace;

const FILE: &str = "baseline.json";
/// Baselines set aside that are kept.
const KEPT: usize = 4;
/// A baseline has some 40 values, 4 KiB; what is longer is none.
const MAX_BYTES: u64 = 1024 * 1024;

/// The values that the agent changed or may change, as it found them. It belongs to one boot and one namespace.
///
/// The inode of a namespace can come again in the same boot, when one is deleted and another made. So a value is
/// only the agent's to put back while the kernel still holds what the agent wrote ([`Held::written`]).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of the format, always 1.
    pub schema: u32,
    /// Boot in which it was taken (/proc/sys/kernel/random/boot_id).
    pub boot_id: String,
    /// Network namespace in which it was taken.
    pub netns: Netns,
    /// RFC 3339, UTC.
    pub taken_at: String,
    /// In text by the sysctl's name after `nf_conntrack_` (`max`, `buckets`, `events`, `tcp_timeout_established`).
    pub values: BTreeMap<Value, Held>,
}

/// A value that the agent changed or may change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// Before the agent changed it.
    pub found: u64,
    /// The value that the agent wrote last, recorded before it did: the kernel holds it, or still the value before.
    pub written: Option<u64>,
    /// That value before: an earlier one of the agent's own, where the agent was killed between record and write.
    #[serde(default)]
    pub before: Option<u64>,
}

impl Held {
    /// A value that the agent has not changed.
    pub fn found(found: u64) -> Held {
        Held { found, written: None, before: None }
    }

    /// True if `now` is the agent's own: what it wrote last, or was about to write over.
    pub fn owns(&self, now: u64) -> bool {
        self.written.is_some_and(|written| written == now || self.before == Some(now))
    }
}

/// Baseline of a state directory, or the reason for which there is none.
#[derive(Debug, Serialize, Deserialize)]
pub enum Loaded {
    /// The baseline of this boot and namespace.
    Ours(Baseline),
    /// There is none.
    None,
    /// One of another boot or namespace, or one that does not parse. It is never applied.
    SetAside {
        /// Path of the file now; `baseline.json` itself if it could not be renamed.
        path: PathBuf,
        /// Reason for which it is not taken, as a sentence.
        why: String,
    },
    /// There may be one, and it cannot be read; why. Saving would replace it.
    Unreadable(String),
}

impl Loaded {
    /// The error of a baseline that cannot be read.
    pub fn unreadable(why: impl std::fmt::Display) -> Error {
        Error::unreachable("baseline", why).hint("the agent needs to read and write its state directory")
    }
}

impl Baseline {
    /// One with no values, taken now.
    pub fn new(boot_id: &str, netns: Netns) -> Baseline {
        let (boot_id, taken_at) = (boot_id.into(), super::now());
        Baseline { schema: 1, boot_id, netns, taken_at, values: BTreeMap::new() }
    }

    /// Records that the agent is about to write `to` over `from`. What was found first stays.
    pub fn will_write(&mut self, value: Value, from: u64, to: u64) {
        let held = self.values.entry(value).or_insert(Held::found(from));
        (held.written, held.before) = (Some(to), Some(from));
    }

    /// The baseline of this boot and namespace, if there is one; nothing is moved aside.
    pub fn peek(dir: &Path, boot_id: &str, inode: u64) -> Option<Baseline> {
        let baseline = parse(&read_file(&dir.join(FILE)).ok()?).ok()?;
        (baseline.boot_id == boot_id && baseline.netns.inode == inode).then_some(baseline)
    }

    /// Reads the baseline of a state directory. One of another boot or namespace inode, or a broken one (by its
    /// checksum too; one without a checksum is of an earlier version, and is taken), is renamed to
    /// `baseline.json.BOOTID-N` or `baseline.json.broken-N`, and the newest four of those are kept.
    pub fn load(dir: &Path, boot_id: &str, inode: u64) -> Loaded {
        let path = dir.join(FILE);
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::None,
            Err(error) => return Loaded::Unreadable(format!("{}: {error}", path.display())),
        };
        let baseline = match parse(&bytes) {
            Ok(baseline) => baseline,
            Err(why) => return set_aside(dir, "broken", format!("it is broken: {why}")),
        };
        let found = baseline.netns.inode;
        let why = if baseline.boot_id != boot_id {
            format!("it is of an earlier boot ({}); a reboot resets every value", baseline.boot_id)
        } else if found != inode {
            format!("it is of another network namespace (inode {found}, not {inode})")
        } else {
            return Loaded::Ours(baseline);
        };
        set_aside(dir, label(&baseline.boot_id), why)
    }

    /// Writes the baseline so that a power cut leaves the old one or the new one, whole: a file beside it, fsync,
    /// rename, fsync of the directory. It takes as long as the disk does; meant for the agent's start.
    ///
    /// # Errors
    /// What the disk said (exit 3); the baseline before stays.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.store(dir, true).map_err(|error| not_written(dir, &error))
    }

    /// Writes the baseline without fsync, for the moment before a value is written: enough against SIGKILL, and after
    /// a power cut the kernel holds none of the agent's values, so that a torn file would only be set aside.
    ///
    /// # Errors
    /// As [`Baseline::save`].
    pub fn save_before_write(&self, dir: &Path) -> Result<()> {
        self.store(dir, false).map_err(|error| not_written(dir, &error))
    }

    /// Removes the baseline of a state directory, once nothing is held any more.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn remove(dir: &Path) -> io::Result<()> {
        fs::remove_file(dir.join(FILE))
    }

    /// Path of the baseline in a state directory.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// Content of the file, its checksum included.
    pub fn text(&self) -> String {
        // A map with text for keys, numbers and text: that is always JSON.
        sealed(self).unwrap_or_default()
    }

    fn store(&self, dir: &Path, sync: bool) -> io::Result<()> {
        replace(&dir.join(FILE), &self.text(), sync).map(drop)
    }
}

pub(super) fn not_written(dir: &Path, error: &io::Error) -> Error {
    Error::unreachable("baseline", format!("{}: {error}", dir.join(FILE).display()))
        .hint("make the state directory writable, with room on its disk; without a baseline nothing can be put back")
}

/// O_NONBLOCK: a FIFO of that name does not hang. What is no file has no content, and so is broken.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Writes a file. A FIFO or a socket in its place goes first: to open that could wait for ever.
pub(super) fn write_file(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let waits = |kind: fs::FileType| kind.is_fifo() || kind.is_socket();
    if fs::symlink_metadata(path).is_ok_and(|facts| waits(facts.file_type())) {
        fs::remove_file(path)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o640).custom_flags(libc::O_NONBLOCK);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    if sync { file.sync_all() } else { Ok(()) }
}

/// Fields that this version does not know are passed over; a value that it does not know is not: it could not be put
/// back.
fn parse(bytes: &[u8]) -> std::result::Result<Baseline, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    verify(bytes)?;
    let baseline: Baseline = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if baseline.schema != 1 {
        return Err(format!("its schema is {}, and this version knows 1", baseline.schema));
    }
    Ok(baseline)
}

/// A boot id that can be part of a file's name.
fn label(boot_id: &str) -> &str {
    let is_id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    if (1..=36).contains(&boot_id.len()) && boot_id.bytes().all(is_id) { boot_id } else { "broken" }
}

fn set_aside(dir: &Path, label: &str, why: String) -> Loaded {
    let path = dir.join(FILE);
    let mut aside = numbered(dir);
    let number = aside.last().map_or(1, |(number, _)| number + 1);
    let to = dir.join(format!("{FILE}.{label}-{number}"));
    if let Err(error) = fs::rename(&path, &to) {
        return Loaded::SetAside { why: format!("{why}; it cannot be renamed: {error}"), path };
    }
    aside.push((number, to.clone()));
    for (_, old) in &aside[..aside.len().saturating_sub(KEPT)] {
        // A file that cannot be removed is no reason not to start, and is tried again with the next one.
        let _ = fs::remove_file(old);
    }
    Loaded::SetAside { path: to, why }
}

/// A baseline of this boot that was broken and set aside: what the agent that wrote it holds is not known any more.
pub fn broken_since_boot(dir: &Path) -> Option<PathBuf> {
    let up = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    let up = Duration::from_secs(u64::try_from(up.tv_sec()).ok()?);
    let of_this_boot = |path: &Path| {
        let changed = fs::symlink_metadata(path).and_then(|facts| facts.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age < up))
    };
    let broken = |path: &Path| path.to_string_lossy().contains("json.broken-");
    numbered(dir).into_iter().map(|(_, path)| path).rfind(|path| broken(path) && of_this_boot(path))
}

/// The baselines set aside, by their number.
fn numbered(dir: &Path) -> Vec<(u64, PathBuf)> {
    let number = |path: &Path| {
        let rest = path.file_name()?.to_str()?.strip_prefix(FILE)?.strip_prefix('.')?;
        let (label, number) = rest.rsplit_once('-')?;
        let ours = label == "broken" || self::label(label) != "broken";
        ours.then(|| number.parse::<u32>().ok()).flatten().map(u64::from)
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    found
}
