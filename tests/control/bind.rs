//! The socket in the file system.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use ctctl::control::{Client, ConnectError, bind, peer_pid};

#[test]
fn its_mode_its_directory_and_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let parent = directory.path().join("a/b");
    let path = parent.join("host.sock");
    let (listener, guard) = bind(&path, "no-such-group").unwrap();
    let meta = fs::symlink_metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.mode() & 0o7777, 0o660);
    assert_eq!(fs::metadata(&parent).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_dir(&parent).unwrap().count(), 1, "nothing else is left there");
    UnixStream::connect(&path).unwrap();
    listener.accept().unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(guard);
    assert!(!path.exists());
}

#[test]
fn its_group() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED its_group: needs root");
        return;
    }
    let Ok(Some(group)) = nix::unistd::Group::from_name("daemon") else {
        eprintln!("SKIPPED its_group: no group daemon here");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.sock");
    let _bound = bind(&path, "daemon").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().gid(), group.gid.as_raw());
}

#[test]
fn a_living_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.sock");
    let (_listener, _guard) = bind(&path, "").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let error = bind(&path, "").unwrap_err();
    assert!(error.why.contains(&format!("already (pid {})", std::process::id())), "{error}");
    assert!(error.hint.is_some());
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(peer_pid(&path), Some(std::process::id()));
}

#[test]
fn a_stale_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(peer_pid(&path), None);
    let (_listener, _guard) = bind(&path, "").unwrap();
    assert_eq!(peer_pid(&path), Some(std::process::id()));
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, "precious").unwrap();
    symlink(directory.path().join("nothing"), &link).unwrap();
    for path in [&file, &link, &directory.path().to_path_buf()] {
        let error = bind(path, "").unwrap_err();
        assert!(error.why.contains("something else than a socket"), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn the_guard_leaves_a_successor_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.sock");
    let (listener, guard) = bind(&path, "").unwrap();
    drop(listener);
    let (_listener, _guard) = bind(&path, "").unwrap();
    drop(guard);
    assert!(path.exists(), "the new socket stays");
}

#[test]
fn a_path_that_no_socket_can_have() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x".repeat(120)).join("host.sock");
    let error = bind(&path, "").unwrap_err();
    assert!(error.hint.is_some(), "{error}");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn connect_says_why_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.sock");
    assert_eq!(Client::connect(&path).unwrap_err(), ConnectError::NoAgent(path.clone()));
    let listener = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert_eq!(Client::connect(&path).unwrap_err(), ConnectError::NoAgent(path.clone()));
    let long = directory.path().join("x".repeat(200));
    assert!(matches!(Client::connect(&long).unwrap_err(), ConnectError::Other(..)));
}
