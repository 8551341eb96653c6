//! Who else listens to conntrack's events.

use super::own_ports;
use super::root::Root;

/// NETLINK_NETFILTER, linux/netlink.h.
const PROTOCOL: &str = "12";
/// NFNLGRP_CONNTRACK_UPDATE is group 2: the second bit (linux/netfilter/nfnetlink.h).
const UPDATE: u32 = 1 << 1;

/// Sockets of the calling thread's namespace that get an event for each change of an entry
/// (`netlink_native_seq_show`), but for this program's own, which are told what others change alone.
/// `None` where the list cannot be read.
pub fn of_updates() -> Option<u64> {
    of_updates_at(&Root::default(), &own_ports::here())
}

fn of_updates_at(root: &Root, own: &[u32]) -> Option<u64> {
    let text = root.text("proc/thread-self/net/netlink");
    let mut lines = text.lines();
    // sk Eth Pid Groups …, the groups in hexadecimal.
    lines.next().filter(|head| head.contains("Groups"))?;
    let listens = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let of_netfilter = words.next() == Some(PROTOCOL);
        let port = words.next().and_then(|port| port.parse().ok());
        let groups = words.next().filter(|_| of_netfilter && !port.is_some_and(|port| own.contains(&port)));
        groups
            .and_then(|groups| u32::from_str_radix(groups, 16).ok())
            .is_some_and(|groups| groups & UPDATE != 0)
    };
    Some(lines.filter(listens).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    const HEAD: &str =
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n";

    fn at(text: &str) -> Option<u64> {
        of_updates_at(&Tree::new(&[("proc/thread-self/net/netlink", text)]).root(), &[4244, 4245])
    }

    #[test]
    fn those_of_group_2_of_netfilter_count() {
        let lines = "0000000006ac2223 12  0          00000000 0        0        0     2        0        4\n\
                     0000000006ac2224 12  4242       00000007 0        0        0     2        0        5\n\
                     0000000006ac2225 12  4243       00000005 0        0        0     2        0        6\n\
                     0000000006ac2228 12  4245       00000002 0        0        0     2        0        9\n\
                     0000000006ac2226 0   4244       00000002 0        0        0     2        0        7\n\
                     0000000006ac2227 12  4294963167 80000002 0        0        0     2        0        8\n";
        assert_eq!(at(&format!("{HEAD}{lines}")), Some(2));
        assert_eq!(at(HEAD), Some(0));
        assert_eq!(at(""), None);
    }
}
