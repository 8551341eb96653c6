//! One agent a namespace, one owner of what belongs to the host: locks that end with their process.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::error::{Error, Result};

/// A lock that is held until it is dropped or the process ends.
pub struct Lease {
    path: PathBuf,
    lock: Flock<File>,
}

/// The file goes before its lock does: who opened it meanwhile finds out (see [`take`]).
impl Drop for Lease {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Lease {
    /// The only agent of a namespace, by its inode.
    ///
    /// # Errors
    /// Exit 3, naming the agent that runs.
    pub fn namespace(directory: &Path, inode: u64) -> Result<Lease> {
        // Another agent that starts may hold it for as long as `sweep` takes to remove it.
        const TRIES: usize = 3;
        let path = directory.join(format!("netns-{inode}.lock"));
        let mut taken = take(&path, "")?;
        for _ in 1..TRIES {
            if taken.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            taken = take(&path, "")?;
        }
        match taken {
            Ok(lease) => {
                sweep(directory);
                Ok(lease)
            }
            Err(owner) => Err(Error::unreachable("agent", format!("{owner} watches this namespace already"))
                .hint("stop it first, or ask it with `ctctl status`")),
        }
    }

    /// Says in the file who holds it: this process, for the sake of `whose` namespace.
    pub(super) fn tell(&mut self, whose: &str) -> std::io::Result<()> {
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        writeln!(self.lock, "{} {whose}", std::process::id())
    }
}

/// Removes the files of namespaces whose agents were killed: those that nobody holds. None of their inodes need come
/// again.
fn sweep(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("netns-") && name.ends_with(".lock") {
            // The file goes with the lease, as in [`take`]: whoever opened it meanwhile makes a new one.
            let _ = File::open(entry.path()).map(|file| {
                Flock::lock(file, FlockArg::LockExclusiveNonblock)
                    .map(|lock| drop(Lease { path: entry.path(), lock }))
            });
        }
    }
}

/// The process that holds a lock, by the text of its file.
fn owner(text: &str) -> String {
    let (pid, whose) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    match (pid, whose.trim()) {
        ("", _) => "another agent".to_owned(),
        (pid, "") => format!("an agent with pid {pid}"),
        (pid, whose) => format!("an agent with pid {pid}, for the namespace {whose},"),
    }
}

/// Takes the lock of a file for the sake of `whose` namespace, or says who holds it. Mode 0600: flock(2) needs no more
/// than an open file, and whoever may open this one could keep the agent from starting.
pub(super) fn take(path: &Path, whose: &str) -> Result<std::result::Result<Lease, String>> {
    let failed = |error: std::io::Error| Error::unreachable("agent", format!("{}: {error}", path.display()));
    loop {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                let here = |m: std::io::Result<std::fs::Metadata>| m.ok().map(|m| (m.dev(), m.ino()));
                if here(lock.metadata()) != here(std::fs::metadata(path)) {
                    // Its owner removed it between open and lock: the lock of a file without a name is none.
                    continue;
                }
                lock.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
                let mut lease = Lease { path: path.to_owned(), lock };
                lease.tell(whose).map_err(failed)?;
                return Ok(Ok(lease));
            }
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                let _ = file.take(300).read_to_string(&mut text);
                return Ok(Err(owner(&text)));
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        }
    }
}

/// Directory of the locks: `/run/ctctl`, or where this user can write, beside its socket.
///
/// # Errors
/// Exit 3 where there is no such place.
pub fn directory(socket: &Path) -> Result<PathBuf> {
    let usual = Path::new("/run/ctctl");
    let beside = socket.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let usable = |path: &Path| {
        let made = std::fs::create_dir_all(path).is_ok();
        made && nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
    };
    [usual, beside].into_iter().find(|path| usable(path)).map(Path::to_owned).ok_or_else(|| {
        let why = match beside == usual {
            true => format!("{} cannot be written", usual.display()),
            false => format!("neither {} nor {} can be written", usual.display(), beside.display()),
        };
        Error::unreachable("agent", why).hint("run as root, or name a --socket in a directory of yours")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_those_who_were_killed_go_and_no_others() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        let held = Lease::namespace(directory, 1).expect("free");
        for name in ["netns-2.lock", "netns-3.lock", "host.lock", "other"] {
            std::fs::write(directory.join(name), "1 \n").expect("a file");
        }
        let names = || {
            let entries = std::fs::read_dir(directory).expect("there");
            let mut names: Vec<_> =
                entries.flatten().map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
            names.sort_unstable();
            names
        };
        let other = Lease::namespace(directory, 3).expect("nobody holds it");
        assert_eq!(names(), ["host.lock", "netns-1.lock", "netns-3.lock", "other"]);
        assert!(Lease::namespace(directory, 1).is_err() && Lease::namespace(directory, 3).is_err());
        drop((held, other));
        assert_eq!(names(), ["host.lock", "other"]);
    }

    #[test]
    fn who_only_sweeps_keeps_nobody_from_starting() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("netns-1.lock");
        let Ok(Ok(sweeping)) = take(&path, "") else { panic!("nobody holds it") };
        let ends = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            drop(sweeping);
        });
        assert!(Lease::namespace(directory.path(), 1).is_ok());
        ends.join().expect("its end");
    }
}
