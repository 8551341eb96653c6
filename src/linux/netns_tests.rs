use std::process::Command;

use super::super::root::fixture::{Tree, host_root};
use super::super::sysctl::ConntrackSysctls;
use super::*;

/// A named namespace that goes with the value.
struct Named(String);

impl Named {
    fn new(purpose: &str) -> Option<Named> {
        if !host_root() {
            return None;
        }
        let name = Named(format!("ctctl-k-{}-{purpose}", std::process::id()));
        assert!(name.ip("add"), "ip netns add");
        Some(name)
    }

    fn ip(&self, verb: &str) -> bool {
        Command::new("ip").args(["netns", verb, &self.0]).status().is_ok_and(|s| s.success())
    }

    fn resolve(&self) -> Namespace {
        Namespace::resolve(Some(&self.0)).expect("namespace")
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if Path::new("/run/netns").join(&self.0).exists() {
            self.ip("delete");
        }
    }
}

fn error_of(spec: &str) -> Error {
    let error = Namespace::resolve(Some(spec)).expect_err(spec);
    assert_eq!(error.exit, crate::error::Exit::Unreachable);
    assert!(error.hint.is_some(), "{error}");
    error
}

#[test]
fn the_threads_own_needs_no_capability_and_no_name() {
    let own = Namespace::resolve(None).expect("own namespace");
    assert_eq!(own.netns().inode, std::fs::metadata(OWN).expect("metadata").ino());
    assert!(own.is_own() && own.still_there());
    own.enter().expect("already there");
    let by_path = Namespace::resolve(Some("/proc/thread-self/ns/net")).expect("path");
    assert_eq!(by_path.netns(), own.netns());
    assert_eq!(own.run_in(|| 7), Ok(7));
}

#[test]
fn what_is_no_network_namespace_is_refused_with_a_hint() {
    assert!(error_of("no-such-namespace").why.contains("no-such-namespace"));
    assert!(error_of("/no/such/path").why.contains("/no/such/path"));
    assert!(error_of("/etc/passwd").why.contains("not a namespace"));
    assert!(error_of("/proc").why.contains("not a namespace"));
    assert!(error_of("/proc/self/ns/mnt").why.contains("not of the network"));
    assert!(error_of("").why.contains("no namespace is called"));
    assert!(error_of("..").why.contains("no namespace is called"));
    let directory = tempfile::tempdir().expect("directory");
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    // A blocking open would wait for a writer for ever.
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(error_of(fifo.to_str().expect("text")).why));
    let why = receiver.recv_timeout(std::time::Duration::from_secs(10)).expect("an answer without a writer");
    assert!(why.contains("not a namespace"));
}

#[test]
fn the_first_is_told_from_the_sysctls_that_it_alone_has() {
    const MAX: &str = "proc/sys/net/netfilter/nf_conntrack_max";
    let tree = Tree::new(&[("proc/sys/net/core/somaxconn", "")]);
    let first = || inside_first(&tree.root());
    let mode = |bits| {
        let permissions = std::fs::Permissions::from_mode(bits);
        std::fs::set_permissions(tree.root().join(MAX), permissions).expect("mode");
    };
    assert!(!first(), "no conntrack, no netdev_budget");
    tree.put(MAX, "1\n");
    mode(0o644);
    assert!(!first(), "before 5.13 max is 0644 everywhere");
    tree.put("proc/sys/net/nf_conntrack_max", "1\n");
    assert!(first());
    mode(0o444);
    assert!(!first());
    tree.put("proc/sys/net/core/netdev_budget", "300\n");
    assert!(!first(), "a 0444 max is never the first's");
    tree.remove(MAX);
    assert!(first(), "without the module netdev_budget tells");
}

#[test]
fn names_and_processes_are_counted_once_and_stale_names_not() {
    let tree = Tree::new(&[("own", ""), ("run/netns/a", ""), ("run/netns/b", ""), ("proc/7/comm", "x")]);
    tree.link("own", "proc/1/ns/net");
    tree.link("run/netns/a", "proc/2/ns/net");
    tree.link("run/netns/a", "var/run/netns/a");
    tree.put("proc/3/ns/net", "");
    tree.put("proc/self/ns/net", "");
    // On another device, as a name is whose mount is gone.
    std::os::unix::fs::symlink("/proc/version", tree.root().join("run/netns/stale")).expect("link");
    let own = Identity::at(tree.root().join("own")).expect("identity");
    assert_eq!(others_at(&tree.root(), own), 3);
    assert_eq!(name_of(&tree.root(), own), None);
    let a = Identity::at(tree.root().join("proc/2/ns/net")).expect("identity");
    assert_eq!(name_of(&tree.root(), a).map(|(name, _)| name).as_deref(), Some("a"));
}

#[test]
fn a_named_namespace_is_entered_by_one_thread_and_noticed_when_gone() {
    let Some(named) = Named::new("enter") else { return };
    let before = Identity::own().expect("own");
    let (there, others_before) = (named.resolve(), others());
    assert_eq!(there.netns().name.as_deref(), Some(named.0.as_str()));
    assert!(!there.is_first() && !there.is_own() && there.still_there());
    assert!(others_before >= 1);
    let inode = there.run_in(|| std::fs::metadata(OWN).map(|m| m.ino()).unwrap_or(0)).expect("entered");
    assert_eq!(inode, there.netns().inode);
    assert_eq!(Identity::own().expect("own"), before, "the caller has not moved");
    let own_name = there.run_in(|| Namespace::resolve(None).map(|n| n.netns().clone())).expect("entered");
    assert_eq!(own_name.expect("own").name.as_deref(), Some(named.0.as_str()));
    assert!(named.ip("delete"));
    assert!(!there.still_there());
    assert!(named.ip("add"), "the same name again");
    assert!(!there.still_there(), "another inode under the old name");
    assert_eq!(there.run_in(|| 1), Ok(1), "it lives while it is held");
}

#[test]
fn an_open_sysctl_stays_with_its_namespace() {
    let Some(named) = Named::new("bound") else { return };
    let there = named.resolve();
    let opened = there.run_in(ConntrackSysctls::open).expect("entered").expect("sysctls");
    let here = ConntrackSysctls::open().expect("sysctls");
    let before = here.read("udp_timeout").expect("read");
    assert_eq!(opened.write("udp_timeout", before + 11).expect("from a thread elsewhere"), before + 11);
    assert_eq!(here.read("udp_timeout").expect("read"), before);
    assert_eq!(there.run_in(|| opened.read("udp_timeout").ok()), Ok(Some(before + 11)));
    let inside = there.run_in(|| ["max", "buckets", "udp_timeout"].map(|n| opened.writable(n)));
    assert_eq!(inside, Ok([false, false, true]), "root in another namespace");
    // Not kept, so it would be opened again, and by a thread that sees another namespace.
    assert!(opened.read("checksum").is_err() && here.read("checksum").is_ok());
}

#[test]
fn a_name_is_known_before_its_namespace_is_there() {
    for spec in ["gw", "/run/netns/gw", "/var/run/netns/gw"] {
        assert_eq!(name_of_spec(spec), Some("gw"), "{spec}");
    }
    for spec in ["", "/proc/1/ns/net", "/run/netns/", "gw/", "/srv/run/netns/gw"] {
        assert_eq!(name_of_spec(spec), None, "{spec}");
    }
}
