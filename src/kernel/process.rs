//! Other processes that write the table, and what this one may do.

use std::os::unix::fs::MetadataExt;

use super::root::Root;

/// Processes called `conntrackd` in the network namespace with this inode. One whose namespace may not be read
/// counts as well: taking a foreign one for ours costs proofs of idleness, the reverse would cost live flows.
pub fn conntrackd_pids(netns_inode: u64) -> Vec<u32> {
    conntrackd_pids_at(&Root::default(), netns_inode)
}

fn conntrackd_pids_at(root: &Root, netns_inode: u64) -> Vec<u32> {
    let is_ours = |pid: &u32| {
        root.text(&format!("proc/{pid}/comm")).trim_end() == "conntrackd"
            && match std::fs::metadata(root.join(format!("proc/{pid}/ns/net"))) {
                Ok(m) => m.ino() == netns_inode,
                // NotFound: it has ended meanwhile.
                Err(e) => e.kind() != std::io::ErrorKind::NotFound,
            }
    };
    let mut found: Vec<u32> = pids(root).filter(is_ours).collect();
    found.sort_unstable();
    found
}

/// Processes with one of these names in the network namespace with this inode, as [`conntrackd_pids`]: id and name.
pub fn named(names: &[&str], netns_inode: u64) -> Vec<(u32, String)> {
    let root = Root::default();
    let of = |pid: u32| {
        let name = root.text(&format!("proc/{pid}/comm")).trim_end().to_owned();
        let here = names.contains(&name.as_str())
            && std::fs::metadata(root.join(format!("proc/{pid}/ns/net")))
                .map_or(true, |m| m.ino() == netns_inode);
        here.then_some((pid, name))
    };
    pids(&root).filter_map(of).collect()
}

/// The processes that can be seen.
pub(super) fn pids(root: &Root) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()))
}

/// What the calling thread may do. In a user namespace all of these are relative to it: `net_admin` then says
/// nothing of a network namespace that belongs to another, and `root` is not the host's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// CAP_NET_ADMIN is effective: conntrack over netlink, the sysctls below net.
    pub net_admin: bool,
    /// CAP_SYS_ADMIN is effective: entering another namespace.
    pub sys_admin: bool,
    /// Effective user 0: /proc/slabinfo, /sys/module parameters.
    pub root: bool,
}

/// What the calling thread may do (`CapEff` and `Uid` of proc_pid_status(5)); nothing if that cannot be read.
pub fn capabilities() -> Capabilities {
    parse_status(&Root::default().text("proc/thread-self/status"))
}

fn parse_status(status: &str) -> Capabilities {
    // linux/capability.h
    const CAP_NET_ADMIN: u32 = 12;
    const CAP_SYS_ADMIN: u32 = 21;
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    let effective = field("CapEff:").and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0);
    let effective_user = field("Uid:").and_then(|v| v.split_whitespace().nth(1));
    Capabilities {
        net_admin: effective & (1 << CAP_NET_ADMIN) != 0,
        sys_admin: effective & (1 << CAP_SYS_ADMIN) != 0,
        root: effective_user == Some("0"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    #[test]
    fn only_conntrackd_of_this_namespace_counts() {
        let tree = Tree::new(&[
            ("proc/10/comm", "conntrackd\n"),
            ("proc/10/ns/net", ""),
            ("proc/11/comm", "conntrackd-gui\n"),
            ("proc/12/comm", "conntrackd\n"),
            ("proc/12/ns/net", ""),
            ("proc/13/comm", "conntrackd\n"),
            ("proc/self/comm", "conntrackd\n"),
        ]);
        tree.link("proc/10/ns/net", "proc/11/ns/net");
        tree.link("proc/10/ns/net", "proc/9/ns/net");
        tree.put("proc/9/comm", "conntrackd");
        let inode = std::fs::metadata(tree.root().join("proc/10/ns/net")).expect("metadata").ino();
        assert_eq!(conntrackd_pids_at(&tree.root(), inode), [9, 10]);
        assert!(conntrackd_pids_at(&tree.root(), 0).is_empty());
    }

    #[test]
    fn a_conntrackd_whose_namespace_is_hidden_counts() {
        let tree = Tree::new(&[("proc/10/comm", "conntrackd\n")]);
        let path = tree.root().join("proc/10/ns");
        // Any error but NotFound: ELOOP, which root gets as well.
        std::os::unix::fs::symlink(&path, &path).expect("loop");
        assert_eq!(conntrackd_pids_at(&tree.root(), 1), [10]);
    }

    #[test]
    fn effective_capabilities_are_read_not_permitted_ones() {
        let status = "Uid:\t0\t1000\t0\t0\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000001000\n";
        assert_eq!(parse_status(status), Capabilities { net_admin: true, sys_admin: false, root: false });
        let status = "Uid:\t1000\t0\t0\t0\nCapEff:\t0000000000200000\n";
        assert_eq!(parse_status(status), Capabilities { net_admin: false, sys_admin: true, root: true });
        assert_eq!(parse_status("CapEff:\tzz\n"), Capabilities::default());
        assert_eq!(capabilities().root, nix::unistd::geteuid().is_root());
    }
}
