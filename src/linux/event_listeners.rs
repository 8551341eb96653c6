//! Sockets of nfnetlink in a namespace: who listens to conntrack's events, and who else may write entries.

use std::collections::HashSet;

use super::own_ports;
use super::root::Root;

/// NETLINK_NETFILTER as /proc/net/netlink shows it (linux/netlink.h).
const PROTOCOL: &str = "12";
/// NFNLGRP_CONNTRACK_NEW, UPDATE and DESTROY are groups 1 to 3: the lowest bits (linux/netfilter/nfnetlink.h).
const CONNTRACK: u32 = 0b111;
const UPDATE: u32 = 0b010;

/// A socket of nfnetlink, as /proc/net/netlink lists it (`netlink_native_seq_show`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetfilterSocket {
    /// Its port, which is the process id of whoever opened it first where that is free (`netlink_autobind`).
    pub port: u32,
    /// The multicast groups that it joined, as bits; those above 32 are not listed.
    pub groups: u32,
    /// Messages that found no room in its buffer.
    pub drops: u64,
    /// By which /proc/PID/fd names it.
    pub inode: u64,
}

impl NetfilterSocket {
    /// It hears new, changed or ended entries.
    pub fn hears_conntrack(&self) -> bool {
        self.groups & CONNTRACK != 0
    }

    /// It gets an event for each change of an entry.
    pub fn hears_updates(&self) -> bool {
        self.groups & UPDATE != 0
    }
}

/// Those of the calling thread's namespace, without the kernel's own and those that this process holds: it is told
/// what others change alone. `None` where the list cannot be read.
pub fn of_others() -> Option<Vec<NetfilterSocket>> {
    of_others_at(&Root::default(), &own_ports::here())
}

fn of_others_at(root: &Root, own_ports: &[u32]) -> Option<Vec<NetfilterSocket>> {
    let text = root.text("proc/thread-self/net/netlink");
    let mut lines = text.lines();
    // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode, the groups in hexadecimal.
    lines.next().filter(|head| head.contains("Groups"))?;
    let own_inodes = inodes(root, "self").unwrap_or_default();
    let others = |socket: &NetfilterSocket| {
        socket.port != 0 && !own_ports.contains(&socket.port) && !own_inodes.contains(&socket.inode)
    };
    Some(lines.filter_map(socket).filter(others).collect())
}

fn socket(line: &str) -> Option<NetfilterSocket> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, PROTOCOL, port, groups, _, _, _, _, drops, inode] = words[..] else { return None };
    Some(NetfilterSocket {
        port: port.parse().ok()?,
        groups: u32::from_str_radix(groups, 16).ok()?,
        drops: drops.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

/// Inodes of the sockets that a process holds; none where it has ended or may not be inspected.
pub fn held_by(pid: u32) -> Option<HashSet<u64>> {
    inodes(&Root::default(), &pid.to_string())
}

/// Sockets that a process holds (proc_pid_fd(5)); `None` where that may not be looked at, or it has ended.
pub(super) fn inodes(root: &Root, process: &str) -> Option<HashSet<u64>> {
    let held = std::fs::read_dir(root.join(format!("proc/{process}/fd"))).ok()?;
    let targets = held.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let of = |target: std::path::PathBuf| {
        let text = target.to_str()?;
        text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    Some(targets.filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    const HEAD: &str =
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n";

    fn at(text: &str) -> Option<Vec<NetfilterSocket>> {
        let tree = Tree::new(&[("proc/thread-self/net/netlink", text), ("proc/self/fd/0", "")]);
        std::os::unix::fs::symlink("socket:[10]", tree.root().join("proc/self/fd/7")).expect("a link");
        of_others_at(&tree.root(), &[4244, 4245])
    }

    #[test]
    fn others_of_netfilter_are_told_with_what_they_hear() {
        let lines = "0000000006ac2223 12  0          00000000 0        0        0     2        0        4\n\
                     0000000006ac2224 12  4242       00000007 0        0        0     2        0        5\n\
                     0000000006ac2225 12  4243       00000005 0        0        0     2        73       6\n\
                     0000000006ac2228 12  4245       00000002 0        0        0     2        0        9\n\
                     0000000006ac2226 0   4244       00000002 0        0        0     2        0        7\n\
                     0000000006ac2229 12  4294963168 00000002 0        0        0     2        0        10\n\
                     0000000006ac2227 12  4294963167 80000002 0        0        0     2        0        8\n";
        let found = at(&format!("{HEAD}{lines}")).expect("a list");
        let of = |port, groups, drops, inode| NetfilterSocket { port, groups, drops, inode };
        assert_eq!(
            found,
            [of(4242, 7, 0, 5), of(4243, 5, 73, 6), of(4_294_963_167, 0x8000_0002, 0, 8)],
            "neither the kernel's, nor by port or descriptor this process's own"
        );
        assert_eq!(found.iter().filter(|socket| socket.hears_updates()).count(), 2);
        assert_eq!(found.iter().filter(|socket| socket.hears_conntrack()).count(), 3);
        assert_eq!(at(HEAD), Some(vec![]));
        assert_eq!(at(""), None);
    }
}
