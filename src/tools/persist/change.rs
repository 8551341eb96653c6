//! A change of one file: its text before and after, and its replacement.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::text::MARK;
use crate::core::model::PersistedFile;
use crate::error::{Error, Exit, Result};

/// Largest file of ctctl's that is read: a real one has a few kilobytes.
const LARGEST_BYTES: u64 = 1 << 20;

/// A file with its text before and after the change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    path: PathBuf,
    before: Option<String>,
    after: String,
    /// True if the file is removed.
    removed: bool,
}

impl Change {
    /// Reads the file that exists now.
    ///
    /// # Errors
    /// Exit 1 if it is not ctctl's, or leads out of the root; 3 if it cannot be read.
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
                return Ok(Change { path, before: None, after, removed: false });
            }
            Err(error) => return Err(failed(&path, &error)),
            Ok(found) => found,
        };
        if !found.is_file() || found.len() > LARGEST_BYTES {
            return foreign("it is no file of ctctl's (a link, or something else)");
        }
        let bytes = fs::read(&path).map_err(|error| failed(&path, &error))?;
        match String::from_utf8(bytes) {
            Ok(before) if before.starts_with(MARK) => {
                Ok(Change { path, before: Some(before), after, removed: false })
            }
            _ => foreign("it was not written by `ctctl persist`"),
        }
    }

    /// Removes an earlier file of ctctl's. Returns `None` if there is none, or another program's.
    ///
    /// # Errors
    /// Exit 3 if the file cannot be read.
    pub(super) fn removing(root: &Path, path: &str) -> Result<Option<Change>> {
        match Change::find(root, path, String::new()) {
            Ok(change) => {
                Ok(Some(Change { removed: true, ..change }).filter(|change| change.before.is_some()))
            }
            Err(error) if error.exit == Exit::No => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unchanged(&self) -> bool {
        self.before.as_deref() == Some(self.after.as_str())
    }

    fn backup(&self) -> PathBuf {
        // The name does not end in `.conf`, so that nothing reads the file at boot.
        self.path.with_extension("conf.bak")
    }

    /// Returns the file's row in the document.
    pub(super) fn row(&self) -> PersistedFile {
        let path = self.path.display().to_string();
        let before = self.before.as_deref().unwrap_or_default();
        let old = if self.before.is_some() { path.as_str() } else { "/dev/null" };
        let diff = TextDiff::from_lines(before, &self.after).unified_diff().header(old, &path).to_string();
        let (change, backup) = match (&self.before, self.unchanged()) {
            (None, _) => ("new", None),
            (Some(_), true) => ("unchanged", None),
            (Some(_), false) if self.removed => ("removed", Some(self.backup().display().to_string())),
            (Some(_), false) => ("changed", Some(self.backup().display().to_string())),
        };
        let diff = if self.unchanged() { String::new() } else { diff };
        PersistedFile { path, change: change.into(), diff, backup }
    }

    /// Replaces the file, whole or not at all, and keeps the text before. Writes nothing if nothing changes.
    ///
    /// # Errors
    /// Exit 3, with the error of the file system.
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
        let written = kept.and_then(|()| match self.removed {
            true => fs::remove_file(&self.path),
            false => replace(&self.path, &self.after),
        });
        written.and_then(|()| File::open(directory)?.sync_all()).map_err(|error| failed(&self.path, &error))
    }
}

/// Writes a file beside it, calls fsync, and renames it: after a power cut there is the old text or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    let write = || -> io::Result<()> {
        let mut file = options.write(true).create_new(true).mode(0o644).open(&beside)?;
        // The mode given to open(2) is subject to the umask. Everyone may read sysctl.d to see which values hold.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    // A killed process with the same pid may have left this file.
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
