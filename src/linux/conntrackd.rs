//! conntrackd: which processes of a namespace are one, and whether it writes entries.
//!
//! A name alone says nothing: a process has to hold a socket of nfnetlink in the namespace, and its configuration
//! tells whether it syncs with a peer or only keeps statistics.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::event_listeners::inodes;
use super::process::pids;
use super::root::Root;
use crate::core::model::{Conntrackd, ConntrackdRole};

/// The file that conntrackd reads without `-C` (its `DEFAULT_CONFIGFILE`).
const CONFIGURATION: &str = "/etc/conntrackd/conntrackd.conf";
/// The boot's time and the start after it are both cut to whole seconds, and the boot's moves as the clock is slewed.
const CUT_SECONDS: i64 = 2;
/// A configuration that is longer is not read.
const MOST_BYTES: u64 = 1 << 20;

/// The processes called `conntrackd` that hold one of these `sockets` of nfnetlink, which are the namespace's. Reads a
/// file of every process of the host.
///
/// One whose descriptors may not be looked at counts where its namespace is this one or may not be looked at either:
/// taking a foreign one for ours costs proofs of idleness, the reverse would cost live flows.
pub fn list(sockets: &HashSet<u64>, netns_inode: u64) -> Vec<Conntrackd> {
    list_at(&Root::default(), sockets, netns_inode)
}

fn list_at(root: &Root, sockets: &HashSet<u64>, netns_inode: u64) -> Vec<Conntrackd> {
    if sockets.is_empty() {
        return Vec::new();
    }
    let is_one = |pid: &u32| root.text(&format!("proc/{pid}/comm")).trim_end() == "conntrackd";
    let is_here = |pid: &u32| match inodes(root, &pid.to_string()) {
        Some(held) => !held.is_disjoint(sockets),
        None => match std::fs::metadata(root.join(format!("proc/{pid}/ns/net"))) {
            Ok(netns) => netns.ino() == netns_inode,
            // NotFound: it has ended meanwhile.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        },
    };
    let found = pids(root).filter(is_one).filter(is_here);
    let mut found: Vec<Conntrackd> = found.map(|pid| conntrackd(root, pid)).collect();
    found.sort_unstable_by_key(|conntrackd| conntrackd.pid);
    found
}

fn conntrackd(root: &Root, pid: u32) -> Conntrackd {
    match role(root, pid) {
        Ok(role) => Conntrackd { pid, role, why: None },
        Err(why) => Conntrackd { pid, role: ConntrackdRole::Unknown, why: Some(why) },
    }
}

/// The process's role by its configuration, or why that is not known.
fn role(root: &Root, pid: u32) -> Result<ConntrackdRole, String> {
    let path = configuration(&root.text(&format!("proc/{pid}/cmdline")))
        .ok_or_else(|| "its command line cannot be read".to_owned())?;
    // As the process sees it; relative to where it was started, which a daemon leaves.
    let seen = match path.strip_prefix('/') {
        Some(below) => format!("proc/{pid}/root/{below}"),
        None => format!("proc/{pid}/cwd/{path}"),
    };
    let seen = root.join(seen);
    let unread = |error: io::Error| format!("{path} cannot be read: {error}");
    let metadata = std::fs::metadata(&seen).map_err(unread)?;
    if started_unix_seconds(root, pid).is_none_or(|started| metadata.ctime() > started + CUT_SECONDS) {
        return Err(format!("{path} has changed since it was started"));
    }
    let text = read(&seen, &metadata).map_err(unread)?;
    of_text(&text).ok_or_else(|| format!("{path} names neither Sync nor Stats"))
}

fn read(path: &PathBuf, metadata: &std::fs::Metadata) -> io::Result<String> {
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no file of settings"));
    }
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The file that a command line names, which conntrackd reads once when it starts.
fn configuration(cmdline: &str) -> Option<String> {
    let mut arguments = cmdline.split_terminator('\0');
    arguments.next()?;
    let named = arguments.skip_while(|argument| *argument != "-C").nth(1);
    Some(named.unwrap_or(CONFIGURATION).to_owned())
}

/// Start of a process in seconds of the Unix epoch, by its start after the boot in clock ticks (proc_pid_stat(5)).
fn started_unix_seconds(root: &Root, pid: u32) -> Option<i64> {
    // USER_HZ, the same on every architecture that conntrackd runs on.
    const TICKS_PER_SECOND: i64 = 100;
    let stat = root.text(&format!("proc/{pid}/stat"));
    // Behind the name, which may hold anything: state is field 3, starttime field 22.
    let ticks: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let system = root.text("proc/stat");
    let booted: i64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(booted + ticks / TICKS_PER_SECOND)
}

/// The role that a configuration gives: the sections outside of all braces.
fn of_text(text: &str) -> Option<ConntrackdRole> {
    let (mut depth, mut word, mut sections) = (0_usize, String::new(), HashSet::new());
    let mut previous = String::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        for c in line.chars().chain(['\n']) {
            match c {
                '{' => {
                    let name = if word.is_empty() { &previous } else { &word };
                    if depth == 0 {
                        sections.insert(name.to_lowercase());
                    }
                    depth += 1;
                    (word, previous) = Default::default();
                }
                '}' => {
                    depth = depth.saturating_sub(1);
                    (word, previous) = Default::default();
                }
                c if c.is_whitespace() => {
                    if !word.is_empty() {
                        previous = std::mem::take(&mut word);
                    }
                }
                c => word.push(c),
            }
        }
    }
    match (sections.contains("sync"), sections.contains("stats")) {
        (true, _) => Some(ConntrackdRole::Sync),
        (false, true) => Some(ConntrackdRole::Stats),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    const STATS: &str =
        "General {\n\tUNIX {\n\t\tPath /run/c.sock\n\t}\n}\n# Sync {\nStats {\n\tLogFile on\n}\n";
    const SYNC: &str =
        "Sync\n{\n  Mode FTFW {\n  }\n  UDP { IPv4_address 10.0.0.1 }\n}\nGeneral { HashSize 8 }\n";
    /// Started in 2100.
    const STAT: &str = "(conntrackd) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 7 0 0 0";

    /// A process with a socket 32 and these arguments.
    fn process(tree: &Tree, pid: u32, arguments: &[&str]) {
        let at = |name: &str| format!("proc/{pid}/{name}");
        tree.put("proc/stat", "cpu 1\nbtime 4102444800\n");
        tree.put(&at("comm"), "conntrackd\n");
        tree.put(&at("stat"), &format!("{pid} {STAT}"));
        tree.put(&at("cmdline"), &arguments.iter().map(|a| format!("{a}\0")).collect::<String>());
        tree.put(&at("ns/net"), "");
        tree.put(&at("fd/0"), "");
        std::os::unix::fs::symlink("socket:[32]", tree.root().join(at("fd/3"))).expect("a link");
    }

    fn roles(tree: &Tree, sockets: &[u64]) -> Vec<(u32, ConntrackdRole)> {
        let found = list_at(&tree.root(), &sockets.iter().copied().collect(), 1);
        found.iter().map(|found| (found.pid, found.role)).collect()
    }

    #[test]
    fn what_it_does_is_in_its_configuration() {
        let tree = Tree::new(&[]);
        process(&tree, 10, &["conntrackd", "-C", "/etc/other.conf", "-d"]);
        tree.put("proc/10/root/etc/other.conf", STATS);
        process(&tree, 11, &["/usr/sbin/conntrackd", "-d"]);
        tree.put("proc/11/root/etc/conntrackd/conntrackd.conf", SYNC);
        process(&tree, 12, &["conntrackd", "-C", "c.conf"]);
        tree.put("proc/12/cwd/c.conf", STATS);
        process(&tree, 13, &["conntrackd", "-C", "/gone"]);
        use ConntrackdRole::{Stats, Sync, Unknown};
        assert_eq!(roles(&tree, &[7, 32]), [(10, Stats), (11, Sync), (12, Stats), (13, Unknown)]);
        assert_eq!(
            list_at(&tree.root(), &[32].into(), 1)[3].why.as_deref(),
            Some("/gone cannot be read: No such file or directory (os error 2)")
        );
    }

    #[test]
    fn a_name_without_a_socket_in_the_namespace_is_none() {
        let tree = Tree::new(&[("proc/13/comm", "conntrackd\n"), ("proc/14/comm", "conntrackd-gui\n")]);
        process(&tree, 10, &["conntrackd"]);
        std::fs::create_dir_all(tree.root().join("proc/13/fd")).expect("a directory");
        assert!(roles(&tree, &[]).is_empty() && roles(&tree, &[33]).is_empty());
        assert_eq!(roles(&tree, &[32]), [(10, ConntrackdRole::Unknown)]);
    }

    #[test]
    fn one_that_may_not_be_looked_at_counts_by_its_namespace() {
        let tree = Tree::new(&[("proc/10/comm", "conntrackd\n"), ("proc/11/comm", "conntrackd\n")]);
        tree.put("proc/10/ns/net", "");
        let inode = std::fs::metadata(tree.root().join("proc/10/ns/net")).expect("metadata").ino();
        let pids = |inode| {
            let found = list_at(&tree.root(), &[1].into(), inode);
            found.iter().map(|found| found.pid).collect::<Vec<_>>()
        };
        assert_eq!((pids(inode), pids(inode + 1)), (vec![10], vec![]));
        // Any error but NotFound: ELOOP, which root gets as well.
        let path = tree.root().join("proc/11/ns");
        std::os::unix::fs::symlink(&path, &path).expect("loop");
        assert_eq!(pids(inode + 1), [11]);
    }

    #[test]
    fn a_configuration_that_changed_since_the_start_says_nothing() {
        let tree = Tree::new(&[]);
        process(&tree, 10, &["conntrackd"]);
        tree.put("proc/10/root/etc/conntrackd/conntrackd.conf", STATS);
        assert_eq!(roles(&tree, &[32]), [(10, ConntrackdRole::Stats)]);
        tree.put("proc/stat", "btime 1000\n");
        assert_eq!(roles(&tree, &[32]), [(10, ConntrackdRole::Unknown)]);
    }

    #[test]
    fn sections_are_words_before_an_outermost_brace() {
        for (text, role) in [
            (STATS, Some(ConntrackdRole::Stats)),
            (SYNC, Some(ConntrackdRole::Sync)),
            ("Stats{}", Some(ConntrackdRole::Stats)),
            ("Stats {}\nSync{ Mode NOTRACK {} }", Some(ConntrackdRole::Sync)),
            ("General { Stats { } Sync { } }", None),
            ("# Stats {\n}\nHelper { }", None),
            ("", None),
        ] {
            assert_eq!(of_text(text), role, "{text}");
        }
    }
}
