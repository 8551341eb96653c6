//! The socket in the file system: created, connected to, and removed.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, getsockopt, listen, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use crate::error::{Error, Result};

/// Longest wait of connect() for a place in the backlog.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest number of connections that wait to be accepted. A client behind them waits in connect(): with the kernel's
/// usual 4,096 (net.core.somaxconn) a flood of connections kept root waiting for 2 s.
const BACKLOG: i32 = 64;

/// The reason why no connection was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// No process answers: there is no such socket, or no process listens on it.
    NoAgent(PathBuf),
    /// A process may answer, but this user may not connect (EACCES).
    NotPermitted(PathBuf),
    /// Any other error, in the kernel's words.
    Other(PathBuf, String),
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        let what = |path: &Path| format!("control socket {}", path.display());
        match error {
            ConnectError::NoAgent(path) => Error::unreachable(what(&path), "no agent answers")
                .hint("start it with `ctctl agent`, or name its socket with --socket"),
            ConnectError::NotPermitted(path) => Error::unreachable(what(&path), "permission denied")
                .hint("run it as root, or as a member of the agent's socket_group"),
            ConnectError::Other(path, why) => {
                Error::unreachable(what(&path), why).hint("see the agent's log, and whether it still runs")
            }
        }
    }
}

/// Connects, waiting for at most 5 s if the agent does not accept (unix_stream_connect() waits for SO_SNDTIMEO).
pub(super) fn dial(path: &Path) -> std::result::Result<UnixStream, ConnectError> {
    let attempt = || -> nix::Result<UnixStream> {
        let address = UnixAddr::new(path)?;
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(CONNECT_TIMEOUT.as_secs() as i64, 0))?;
        connect(fd.as_raw_fd(), &address)?;
        Ok(UnixStream::from(fd))
    };
    attempt().map_err(|errno| match errno {
        Errno::ENOENT | Errno::ECONNREFUSED => ConnectError::NoAgent(path.into()),
        Errno::EACCES | Errno::EPERM => ConnectError::NotPermitted(path.into()),
        Errno::EAGAIN => {
            let why = format!("the agent accepts no connection within {} s", CONNECT_TIMEOUT.as_secs());
            ConnectError::Other(path.into(), why)
        }
        other => ConnectError::Other(path.into(), other.desc().into()),
    })
}

/// Returns the pid of the process that listens on `path` (SO_PEERCRED: of the one that called listen()); `None` if
/// there is none, or it is in another pid namespace.
pub fn peer_pid(path: &Path) -> Option<u32> {
    listener_pid(&dial(path).ok()?)
}

fn listener_pid(stream: &UnixStream) -> Option<u32> {
    let credentials = getsockopt(stream, sockopt::PeerCredentials).ok()?;
    u32::try_from(credentials.pid()).ok().filter(|pid| *pid != 0)
}

/// Removes the socket when dropped, if it is still the one that was made.
#[derive(Debug)]
pub struct SocketGuard {
    path: PathBuf,
    /// The socket, opened with O_PATH. While it is open, no other file can get its inode number; otherwise the next
    /// socket would.
    made: File,
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        let Ok(made) = self.made.metadata() else { return };
        let ours = |found: fs::Metadata| found.dev() == made.dev() && found.ino() == made.ino();
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Creates the socket: mode 0660, of `group` if there is such a group and the caller may give the socket to it,
/// listening and non-blocking (`tokio::net::UnixListener::from_std` takes it). Creates its directory too, with mode
/// 0755.
///
/// The socket is created in a directory that only the caller can enter, and moved into its place when it is complete:
/// no client finds it with other permissions, or without a listener. The lock of the state directory keeps apart two
/// agents that start at the same instant over a stale socket.
///
/// # Errors
/// A process answers on `path` already, the path is no socket, or the file system refuses.
pub fn bind(path: &Path, group: &str) -> Result<(UnixListener, SocketGuard)> {
    let failed = |error: io::Error| {
        let hint = "the agent needs a directory that it may write to; name another with --socket";
        Error::unreachable(format!("control socket {}", path.display()), error).hint(hint)
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_parent(parent).map_err(failed)?;
    remove_stale(path)?;
    // The name is short because sun_path holds 107 bytes.
    let private = parent.join(format!(".{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&private).or_else(|e| reuse(&private, e)).map_err(failed)?;
    let made = create(path, &private.join("s"), group).map_err(failed);
    let _ = fs::remove_file(private.join("s"));
    let _ = fs::remove_dir(&private);
    made
}

fn make_parent(parent: &Path) -> io::Result<()> {
    if parent.exists() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    // The mode of `DirBuilder` is subject to the umask.
    fs::set_permissions(parent, Permissions::from_mode(0o755))
}

/// Accepts the directory that an agent with this pid left when it was killed in `bind`, and empties it.
fn reuse(private: &Path, error: io::Error) -> io::Result<()> {
    if error.kind() != io::ErrorKind::AlreadyExists {
        return Err(error);
    }
    let meta = fs::symlink_metadata(private)?;
    if !meta.is_dir() || meta.uid() != nix::unistd::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
        return Err(error);
    }
    match fs::remove_file(private.join("s")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn create(path: &Path, draft: &Path, group: &str) -> io::Result<(UnixListener, SocketGuard)> {
    let listener = UnixListener::bind(draft)?;
    listen(&listener, Backlog::new(BACKLOG)?)?;
    listener.set_nonblocking(true)?;
    let gid = nix::unistd::Group::from_name(group).ok().flatten().map(|group| group.gid.as_raw());
    if let Some(gid) = gid.filter(|_| !group.is_empty())
        && let Err(error) = chown(draft, None, Some(gid))
    {
        tracing::warn!(%error, group, "control socket stays with the agent's own group");
    }
    fs::set_permissions(draft, Permissions::from_mode(0o660))?;
    let made = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(draft)?;
    renameat2(AT_FDCWD, draft, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE)?;
    Ok((listener, SocketGuard { path: path.into(), made }))
}

/// Removes a socket on which no process answers.
fn remove_stale(path: &Path) -> Result<()> {
    let what = || format!("control socket {}", path.display());
    let other = "stop that agent, or name another socket with --socket";
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::unreachable(what(), error).hint(other)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(Error::unreachable(what(), "there is something else than a socket")
                .hint("remove it, or name another socket with --socket"));
        }
        Ok(_) => {}
    }
    match dial(path) {
        Ok(stream) => {
            let who = listener_pid(&stream).map_or(String::new(), |pid| format!(" (pid {pid})"));
            Err(Error::unreachable(what(), format!("an agent answers on it already{who}")).hint(other))
        }
        Err(ConnectError::NoAgent(_)) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::unreachable(what(), format!("stale, and cannot be removed: {error}"))
                    .hint("remove it, or name another socket with --socket"))
            }
            _ => Ok(()),
        },
        Err(ConnectError::NotPermitted(_)) => {
            Err(Error::unreachable(what(), "belongs to someone else").hint(other))
        }
        Err(ConnectError::Other(_, why)) => Err(Error::unreachable(what(), why).hint(other)),
    }
}
