//! One file: what it was, what it becomes, and how it is replaced.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::text::MARK;
use crate::error::{Error, Exit, Result};
use crate::model::PersistedFile;

/// A file of ours is a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// A file that is to be so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    path: PathBuf,
    before: Option<String>,
    after: String,
    /// It is not to be there any more.
    goes: bool,
}

impl Change {
    /// Looks at what is there.
    ///
    /// # Errors
    /// Exit 1 where that is not ours, or leads out of the root; 3 where it cannot be read.
    pub(super) fn find(root: &Path, path: &str, after: String) -> Result<Change> {
        let path = root.join(path);
        let foreign = |why: &str| {
            Err(Error::no("persist", format!("{}: {why}", path.display())).hint(
                "it is left as it is: move it away, and write what it says into a file of another name",
            ))
        };
        // A link in an image may lead to this machine's own files.
        let mut above = path.parent().filter(|parent| parent.starts_with(root));
        while let Some(directory) = above.filter(|directory| *directory != root) {
            if let Ok(real) = directory.canonicalize()
                && !real.starts_with(root)
            {
                return foreign("its directory leads out of the root");
            }
            above = directory.parent();
        }
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Change { path, before: None, after, goes: false });
            }
            Err(error) => return Err(failed(&path, &error)),
            Ok(found) => found,
        };
        if !found.is_file() || found.len() > MAX_BYTES {
            return foreign("it is no file of ctctl's (a link, or something else)");
        }
        let bytes = fs::read(&path).map_err(|error| failed(&path, &error))?;
        match String::from_utf8(bytes) {
            Ok(before) if before.starts_with(MARK) => {
                Ok(Change { path, before: Some(before), after, goes: false })
            }
            _ => foreign("it was not written by `ctctl persist`"),
        }
    }

    /// Takes an earlier file of ours away; nothing where there is none, or somebody else's.
    ///
    /// # Errors
    /// Exit 3 where it cannot be read.
    pub(super) fn taking_back(root: &Path, path: &str) -> Result<Option<Change>> {
        match Change::find(root, path, String::new()) {
            Ok(change) => Ok(Some(Change { goes: true, ..change }).filter(|change| change.before.is_some())),
            Err(error) if error.exit == Exit::No => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unchanged(&self) -> bool {
        self.before.as_deref() == Some(self.after.as_str())
    }

    fn backup(&self) -> PathBuf {
        // No `.conf` at its end: nothing at boot reads it.
        self.path.with_extension("conf.bak")
    }

    /// As the document shows it.
    pub(super) fn row(&self) -> PersistedFile {
        let path = self.path.display().to_string();
        let before = self.before.as_deref().unwrap_or_default();
        let old = if self.before.is_some() { path.as_str() } else { "/dev/null" };
        let diff = TextDiff::from_lines(before, &self.after).unified_diff().header(old, &path).to_string();
        let (change, backup) = match (&self.before, self.unchanged()) {
            (None, _) => ("new", None),
            (Some(_), true) => ("unchanged", None),
            (Some(_), false) if self.goes => ("removed", Some(self.backup().display().to_string())),
            (Some(_), false) => ("changed", Some(self.backup().display().to_string())),
        };
        let diff = if self.unchanged() { String::new() } else { diff };
        PersistedFile { path, change: change.into(), diff, backup }
    }

    /// Replaces the file, whole or not at all; what was there is kept. Nothing is written where nothing changes.
    ///
    /// # Errors
    /// Exit 3, with what the file system said.
    pub(super) fn write(&self) -> Result<()> {
        if self.unchanged() {
            return Ok(());
        }
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
        let kept = made.and_then(|()| match &self.before {
            Some(before) => replace(&self.backup(), before),
            None => Ok(()),
        });
        let written = kept.and_then(|()| match self.goes {
            true => fs::remove_file(&self.path),
            false => replace(&self.path, &self.after),
        });
        written.and_then(|()| File::open(directory)?.sync_all()).map_err(|error| failed(&self.path, &error))
    }
}

/// A file beside it, fsync, rename: after a power cut there is the old text or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    let write = || -> io::Result<()> {
        let mut file = options.write(true).create_new(true).mode(0o644).open(&beside)?;
        // Whatever the umask is: sysctl.d is read by everybody who asks what holds.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    // What a killed process of the same number left.
    let _ = fs::remove_file(&beside);
    let written = { write }();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let failed = Error::unreachable("persist", format!("{}: {error}", path.display()));
    match error.kind() {
        ErrorKind::PermissionDenied => failed.hint("run it as root"),
        ErrorKind::ReadOnlyFilesystem => failed.hint("remount it writable, or name an image with --root"),
        _ => failed,
    }
}
