//! One lock, several pipelines of one process.

use super::*;

const CALM: bool = false;
const PRESSED: bool = true;

/// Two pipelines of one process, the first of which holds it.
fn two() -> (tempfile::TempDir, HostLease, HostLease) {
    let dir = tempfile::tempdir().unwrap();
    let lease = || HostLease::new(dir.path().to_owned(), "blue".into());
    let (mut first, second) = (lease(), lease());
    assert!(first.hold(true, CALM, 0.0));
    (dir, first, second)
}

#[test]
fn one_that_is_pressed_has_it_from_one_that_is_calm() {
    let (_dir, mut first, mut second) = two();
    assert!(!second.hold(true, CALM, 0.0), "one at a time");
    assert!(first.hold(true, CALM, 0.0), "nobody pressed asked");
    assert!(!second.hold(true, PRESSED, 1.0), "the holder knows nothing of it yet");
    assert!(!first.hold(true, CALM, 1.1));
    assert!(second.hold(true, PRESSED, 1.2));
    // And back, once the second is calm: no time has to pass.
    assert!(!first.hold(true, PRESSED, 1.3) && second.hold(true, PRESSED, 1.3));
    assert!(!second.hold(true, CALM, 1.4) && first.hold(true, PRESSED, 1.4));
}

#[test]
fn one_that_is_pressed_keeps_it() {
    let (_dir, mut first, mut second) = two();
    assert!(!second.hold(true, PRESSED, 1.0) && first.hold(true, PRESSED, 1.0));
    // Who asked is calm by the time that the holder is.
    assert!(!second.hold(true, CALM, 2.0) && first.hold(true, CALM, 2.0));
    // Pressed under a quota: max is no help to it.
    assert!(!second.hold(false, PRESSED, 3.0) && first.hold(true, CALM, 3.0));
    assert!(!second.hold(true, PRESSED, 4.0) && !first.hold(false, PRESSED, 4.0));
}

#[test]
fn what_the_holder_leaves_is_the_next_ones_who_asks() {
    let (dir, first, mut second) = two();
    drop(first);
    assert!(!second.hold(false, CALM, 0.0), "not wanted");
    assert!(second.hold(true, CALM, 0.0));
    let mut third = HostLease::new(dir.path().to_owned(), "blue".into());
    assert!(!third.hold(true, PRESSED, 0.0));
    drop(third);
    assert!(second.hold(true, CALM, 0.0), "who asked is gone");
}

#[test]
fn the_lock_goes_with_the_last_of_the_process() {
    let (dir, first, second) = two();
    let lock = dir.path().join("host.lock");
    drop(first);
    assert!(take(&lock, "").unwrap().is_err(), "still this process's");
    drop(second);
    assert!(!lock.exists());
    assert!(take(&lock, "").unwrap().is_ok());
}

#[test]
fn what_another_process_holds_is_tried_again_after_five_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let other = take(&dir.path().join("host.lock"), "red").unwrap().ok();
    let lease = || HostLease::new(dir.path().to_owned(), "blue".into());
    let (mut first, mut second) = (lease(), lease());
    assert!(!first.hold(true, PRESSED, 0.0));
    drop(other);
    assert!(!second.hold(true, PRESSED, 4.9) && !first.hold(true, PRESSED, 4.9));
    assert!(second.hold(true, PRESSED, 5.0));
}

#[test]
fn who_has_it_is_named_with_what_helps() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("host.lock");
    let other = take(&lock, "red").unwrap().ok();
    let lease = |name: &str| HostLease::new(dir.path().to_owned(), name.into());
    let (mut first, mut second) = (lease("blue"), lease("green"));
    assert_eq!(first.owner(), None, "nobody has asked yet");
    assert!(!first.hold(true, PRESSED, 0.0));
    let said = first.owner().unwrap();
    let pid = std::process::id();
    assert!(said.starts_with(&format!("an agent with pid {pid}, for the namespace red, has it")), "{said}");
    assert!(said.contains("[agent] netns") && said.contains("[capacity] enabled = false"), "{said}");
    drop(other);
    assert!(first.hold(true, PRESSED, 5.0) && !second.hold(true, PRESSED, 5.0));
    assert_eq!(first.owner(), None);
    assert_eq!(second.owner().as_deref(), Some("this agent's namespace blue has it until it is calm"));
    let says = || take(&lock, "").unwrap().err().unwrap();
    assert_eq!(says(), format!("an agent with pid {pid}, for the namespace blue,"));
    assert!(!first.hold(true, CALM, 6.0) && second.hold(true, PRESSED, 6.0));
    assert_eq!(says(), format!("an agent with pid {pid}, for the namespace green,"));
}

#[test]
fn a_file_that_says_less_names_less() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("host.lock");
    let _other = take(&lock, "red").unwrap().ok();
    let says = || take(&lock, "").unwrap().err().unwrap();
    for (text, owner) in [("", "another agent"), ("12\n", "an agent with pid 12")] {
        std::fs::write(&lock, text).unwrap();
        assert_eq!(says(), owner);
    }
}
