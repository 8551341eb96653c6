use std::process::Command;
use std::time::Duration;

use super::super::deleter::Deleter;
use super::super::root::fixture::host_root;
use super::super::socket::Netlink;
use super::super::{event_listeners, listener, table};
use super::*;
use crate::core::model::{Event, EventKind, L4};

/// Runs `test` on a thread in a network namespace of its own, which goes with the thread.
fn alone(test: fn()) {
    if host_root() {
        let thread = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network namespace");
            test();
        });
        thread.join().expect("the test");
    }
}

fn conntrack(args: &str) {
    let output = Command::new("conntrack").args(args.split_whitespace()).output().expect("conntrack(8)");
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes an ESTABLISHED entry with so many seconds left.
fn create(port: u16, left: u32) {
    conntrack(&format!(
        "-I -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport {port} --dport 443 --state ESTABLISHED -u ASSURED,SEEN_REPLY -t {left}"
    ));
}

fn entries() -> Vec<Entry> {
    let (mut netlink, mut all) = (Netlink::open().expect("a socket"), Vec::new());
    table::dump(&mut netlink, |chunk| {
        all.extend(chunk.entries().map(|entry| entry.expect("an entry")));
        true
    })
    .expect("a dump");
    all.sort_by_key(|entry: &Entry| entry.original.source_port());
    all
}

fn left() -> Vec<u32> {
    entries().iter().filter_map(|entry| entry.timeout_seconds).collect()
}

fn shorten(entries: &[Entry], seen: Instant) -> Shortened {
    let mut shortener = Shortener::open().expect("a socket");
    entries.iter().for_each(|entry| shortener.push(entry, seen).expect("an identity"));
    shortener.flush(60).expect("the kernel's answers")
}

#[test]
fn what_is_silent_is_cut_down_and_nothing_is_raised() {
    alone(|| {
        create(1000, 8000);
        create(1001, 40);
        create(1002, 9000);
        let seen = entries();
        let done = shorten(&seen, Instant::now());
        assert_eq!((done.set.as_slice(), done.shorter_already), (&[seen[0], seen[2]][..], 1));
        assert_eq!((done.failed, done.errno, done.revived, done.already_gone), (0, None, 0, 0));
        let now = left();
        assert!((58..=60).contains(&now[0]) && (58..=60).contains(&now[2]), "{now:?}");
        assert!(now[1] <= 40, "{now:?}");
        let again = shorten(&entries(), Instant::now());
        assert_eq!((again.set.len(), again.shorter_already), (0, 3), "nobody twice");
    });
}

#[test]
fn who_spoke_has_gone_or_is_another_by_now_is_left_alone() {
    alone(|| {
        (0..4).for_each(|n| create(1000 + n, 8000));
        let mut seen = entries();
        // A packet set more, or less: what was seen is not what is there.
        seen[0].timeout_seconds = Some(7000);
        seen[1].timeout_seconds = Some(8100);
        // The id of an entry that was there before under this tuple: updates do not compare it.
        seen[2].id ^= 1;
        conntrack("-D -p tcp --sport 1003");
        let done = shorten(&seen, Instant::now());
        assert_eq!((done.set.len(), done.revived, done.already_gone), (0, 2, 2));
        assert!(left().iter().all(|left| *left > 7900), "{:?}", left());
    });
}

/// In a small namespace beside a huge one the kernel fills a chunk for seconds.
#[test]
fn what_was_seen_long_ago_is_asked_for_again_and_has_to_have_run_down_by_as_long() {
    alone(|| {
        create(1000, 8000);
        create(1001, 8000);
        let mut seen = entries();
        seen[0].timeout_seconds = Some(8020);
        let done = shorten(&seen, Instant::now() - Duration::from_secs(20));
        assert_eq!((done.set.as_slice(), done.revived, done.stale), (&seen[..1], 1, 0));
        let now = left();
        assert!(now[0] <= 60 && now[1] > 7900, "{now:?}");
        // So is what is to be deleted.
        seen = entries();
        seen[0].timeout_seconds = seen[0].timeout_seconds.map(|left| left + 20);
        let mut deleter = Deleter::open().expect("a socket");
        let long_ago = Instant::now() - Duration::from_secs(20);
        seen.iter().for_each(|entry| deleter.push(entry, long_ago).expect("an identity"));
        let done = deleter.flush().expect("the kernel's answers");
        assert_eq!((done.gone(), done.revived, done.stale), (1, 1, 0));
        assert_eq!(entries().len(), 1);
    });
}

#[test]
fn what_has_a_fixed_timeout_is_not_even_asked() {
    alone(|| {
        create(1000, 8000);
        let seen = entries();
        let fixed = Entry { status: Status(Status::FIXED_TIMEOUT), ..seen[0] };
        assert!(Shortener::open().expect("a socket").push(&fixed, Instant::now()).is_err());
        assert!(left()[0] > 7900);
    });
}

fn hearing() -> Option<usize> {
    let others = event_listeners::of_others()?;
    Some(others.iter().filter(|socket| socket.hears_updates()).count())
}

#[test]
fn those_who_listen_to_updates_are_seen_and_this_programs_own_socket_is_none_of_them() {
    alone(|| {
        assert_eq!(hearing(), Some(0));
        let _own = listener::Listener::open(1 << 20).expect("a listener");
        let _updates = listener::Listener::open_foreign_updates(1 << 20).expect("a listener");
        assert_eq!(hearing(), Some(0));
        let mut other =
            Command::new("conntrack").args(["-E", "-e", "UPDATES"]).spawn().expect("conntrack(8)");
        let deadline = Instant::now() + Duration::from_secs(10);
        while hearing() != Some(1) {
            assert!(Instant::now() < deadline, "{:?}", hearing());
            std::thread::sleep(Duration::from_millis(10));
        }
        other.kill().expect("its end");
        other.wait().expect("its end");
    });
}

#[test]
fn what_another_program_changes_is_heard_and_a_second_chance_is_not() {
    alone(|| {
        let mut updates = listener::Listener::open_foreign_updates(1 << 20).expect("a listener");
        let mut heard = || {
            let mut ports = Vec::new();
            let note = |event: &Event| ports.push((event.kind, event.foreign, event.entry.original.l4));
            let met = updates.drain(4, note).expect("the stream");
            (met.received, ports)
        };
        create(1000, 8000);
        create(1001, 8000);
        assert_eq!(heard(), (0, vec![]), "births are of another group");
        // Its socket is younger than the filter's last look.
        let mut shortener = Shortener::open().expect("a socket");
        for entry in entries() {
            shortener.push(&entry, Instant::now()).expect("an entry");
        }
        assert_eq!(shortener.flush(60).expect("an answer").set.len(), 2);
        assert_eq!(heard(), (2, vec![]), "dropped as it is read");
        let wanted = |entry: &&Entry| entry.original.l4 == L4::Ports { source: 1001, destination: 443 };
        let entry = entries().iter().find(wanted).copied().expect("an entry");
        let other = Netlink::open().expect("a socket that is not registered");
        other.send(&request::update_timeout(&entry, 3600, 1).expect("a request")).expect("an update");
        let l4 = L4::Ports { source: 1001, destination: 443 };
        assert_eq!(heard(), (1, vec![(EventKind::Update, true, l4)]));
        for entry in entries() {
            shortener.push(&entry, Instant::now()).expect("an entry");
        }
        assert_eq!(shortener.flush(30).expect("an answer").set.len(), 2);
        assert_eq!(heard(), (0, vec![]), "and from now on not queued at all");
    });
}
