//! A user without rights: this test runs itself again as uid 65534.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use ctctl::control::{Client, ConnectError, Limits};
use ctctl::error::Exit;

use super::canned::{Agent, Canned, status};

const SOCKET: &str = "CTCTL_TEST_SOCKET";
const CLOSED: &str = "CTCTL_TEST_CLOSED_SOCKET";

#[test]
fn looks_but_does_not_change() {
    if let (Some(open), Some(closed)) = (std::env::var_os(SOCKET), std::env::var_os(CLOSED)) {
        return as_nobody(Path::new(&open), Path::new(&closed));
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED looks_but_does_not_change: needs root to become another user");
        return;
    }
    let service = Canned::new(1, 1);
    let agent = Agent::start(service.clone(), Limits::default());
    let closed = Agent::start(service.clone(), Limits::default());
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&agent.path, 0o666);
    // The build directory may be closed to others; a copy beside the socket is not.
    let program = agent.directory.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(&program, 0o755);
    mode(agent.directory.path(), 0o755);
    mode(closed.directory.path(), 0o755);
    let output = Command::new(&program)
        .args(["--exact", "unprivileged::looks_but_does_not_change", "--nocapture"])
        .env(SOCKET, &agent.path)
        .env(CLOSED, &closed.path)
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("nobody was here"), "{said}");
    assert!(
        service.asked.lock().unwrap().iter().all(|call| !call.changes()),
        "no change reached the service"
    );
}

fn as_nobody(open: &Path, closed: &Path) {
    assert_eq!(nix::unistd::geteuid().as_raw(), 65534);
    let mut client = Client::connect(open).unwrap();
    assert_eq!(client.status().unwrap(), status());
    let refusals = [
        client.pause(None).unwrap_err(),
        client.resume().unwrap_err(),
        client.reload().unwrap_err(),
        client.revert(true).unwrap_err(),
    ];
    for error in refusals {
        assert_eq!(error.exit, Exit::Unreachable, "{error}");
        assert!(error.why.contains("uid 65534"), "{error}");
        assert_eq!(error.hint.as_deref(), Some("run it as root"));
    }
    // A place each for eight connections of a user, one of which is the client's.
    let mut clients: Vec<Client> = (0..7).map(|_| Client::connect(open).unwrap()).collect();
    clients.iter_mut().for_each(|client| drop(client.status().unwrap()));
    let error = Client::connect(open).unwrap().status().unwrap_err();
    assert!(error.why.contains("too many connections"), "{error}");
    client.status().unwrap();
    // Mode 0660 keeps out who is not of the group.
    assert_eq!(Client::connect(closed).unwrap_err(), ConnectError::NotPermitted(closed.into()));
    println!("nobody was here");
}
