//! Tells a service manager (sd_notify(3)): ready, reloading, stopping, and a line for `systemctl status`.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Socket of the service manager; `None` where none started this process.
pub struct Manager(Option<(UnixDatagram, SocketAddr)>);

impl Manager {
    /// Of NOTIFY_SOCKET. One that cannot be reached is no reason not to run.
    pub fn of_environment() -> Manager {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Manager(None);
        };
        let found = address(&name).and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        if let Err(error) = &found {
            tracing::warn!("NOTIFY_SOCKET: {error}");
        }
        Manager(found.ok())
    }

    /// Everything stands; `status` is one line.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.say(&format!("STATUS={}", one_line(status)));
    }

    /// Values are put back, or left to the next agent.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// A manager that does not read is not waited for: its queue is its own.
    fn say(&self, text: &str) {
        let Some((socket, address)) = &self.0 else { return };
        let sent = socket.set_nonblocking(true).and_then(|()| socket.send_to_addr(text.as_bytes(), address));
        if let Err(error) = sent {
            tracing::debug!("NOTIFY_SOCKET: {error}");
        }
    }
}

/// `@` begins a name in the abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_smuggle_in_another_field() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        let address = address(path.as_os_str()).expect("a path");
        let told = Manager(Some((UnixDatagram::unbound().expect("a socket"), address)));
        let mut buffer = [0; 256];
        let mut heard = || {
            let length = manager.recv(&mut buffer).expect("a datagram");
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        told.ready("bad\nMAINPID=1");
        assert_eq!(heard(), "READY=1\nSTATUS=bad MAINPID=1");
        told.stopping();
        assert_eq!(heard(), "STOPPING=1");
    }

    #[test]
    fn a_name_with_an_at_is_abstract_and_nobody_there_is_no_error() {
        assert!(address(OsStr::new("@ctctl-test")).expect("a name").as_abstract_name().is_some());
        assert!(address(OsStr::new("/run/x")).expect("a path").as_pathname().is_some());
        let gone = address(OsStr::new("/nonexistent/notify")).expect("a path");
        Manager(Some((UnixDatagram::unbound().expect("a socket"), gone))).stopping();
        Manager(None).status("nobody");
    }
}
