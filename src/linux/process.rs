//! Other processes, and what this one may do.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;

use super::event_listeners::inodes;
use super::root::Root;
use crate::core::model::Asker;

/// Processes with one of these names in the network namespace with this inode, or in one that may not be looked at: id
/// and name.
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

/// Of each of these sockets, by its inode, the process that holds it, and its name. Reads the descriptors of every
/// process of the host; of those that may not be looked at nothing is told.
pub fn holders(sockets: &HashSet<u64>) -> BTreeMap<u64, (u32, String)> {
    let root = Root::default();
    let mut found = BTreeMap::new();
    if sockets.is_empty() {
        return found;
    }
    for pid in pids(&root) {
        let held = inodes(&root, &pid.to_string()).unwrap_or_default();
        for socket in held.intersection(sockets) {
            let name = root.text(&format!("proc/{pid}/comm")).trim_end().to_owned();
            found.entry(*socket).or_insert((pid, name));
        }
    }
    found
}

/// Seconds since boot at which a process began (field 22 of proc_pid_stat(5), CLOCK_BOOTTIME).
pub(super) fn started_seconds(root: &Root, pid: u32) -> Option<f64> {
    let stat = root.text(&format!("proc/{pid}/stat"));
    // The name in parentheses may hold spaces and parentheses itself.
    let (_, behind) = stat.rsplit_once(')')?;
    let ticks: f64 = behind.split_whitespace().nth(19)?.parse().ok()?;
    let a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()?? as f64;
    Some(ticks / a_second)
}

/// This process: its id, and when it began, in hundredths of a second since boot.
pub fn this_life() -> Option<(u32, u64)> {
    life(&Root::default(), std::process::id())
}

/// True if a process that had this id and began then still runs, and is not stopped by a signal.
pub fn lives((pid, began): (u32, u64)) -> bool {
    let root = Root::default();
    let stat = root.text(&format!("proc/{pid}/stat"));
    let state = stat.rsplit_once(')').and_then(|(_, behind)| behind.split_whitespace().next());
    life(&root, pid) == Some((pid, began)) && !matches!(state, None | Some("T" | "t" | "Z" | "X"))
}

fn life(root: &Root, pid: u32) -> Option<(u32, u64)> {
    Some((pid, (started_seconds(root, pid)? * 100.0).round() as u64))
}

/// Longest command line that is kept, in characters.
const COMMAND_LINE: usize = 200;

/// A process that asks for something, as its socket (SO_PEERCRED) and /proc tell: it waits for the answer, so that its
/// id is its own still.
pub fn asker(uid: u32, pid: Option<u32>) -> Asker {
    asker_at(&Root::default(), uid, pid)
}

/// The user and the id of this process.
pub fn this() -> Asker {
    let status = Root::default().text("proc/self/status");
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    let uid = uids.split_whitespace().nth(1).and_then(|uid| uid.parse().ok());
    asker_at(&Root::default(), uid.unwrap_or(u32::MAX), Some(std::process::id()))
}

fn asker_at(root: &Root, uid: u32, pid: Option<u32>) -> Asker {
    let read = |name: &str| pid.map(|pid| root.text(&format!("proc/{pid}/{name}"))).unwrap_or_default();
    // (uid_t) -1: nobody logged in, as for a service.
    let login = read("loginuid").trim().parse().ok().filter(|login| *login != u32::MAX && *login != uid);
    let line: Vec<String> =
        read("cmdline").split_terminator('\0').enumerate().map(|(at, word)| shown(at, word)).collect();
    let line: String = line.join(" ").chars().take(COMMAND_LINE).collect();
    Asker { uid: Some(uid), login_uid: login, pid, command: Some(line).filter(|line| !line.is_empty()) }
}

/// A word of a command line: of the first the name alone, and nothing that drives a terminal.
fn shown(at: usize, word: &str) -> String {
    let word = if at == 0 { word.rsplit('/').next().unwrap_or(word) } else { word };
    let word: String = word.chars().map(|c| if c.is_control() || c == '`' { '?' } else { c }).collect();
    if word.is_empty() || word.contains(' ') { format!("'{word}'") } else { word }
}

/// The processes that can be seen.
pub(super) fn pids(root: &Root) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()))
}

/// Rights of the calling thread. In a user namespace all of these are relative to it: `net_admin` then says nothing
/// of a network namespace that belongs to another, and `root` is not the host's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// CAP_NET_ADMIN is effective: conntrack over netlink, the sysctls below net.
    pub net_admin: bool,
    /// CAP_SYS_ADMIN is effective: entering another namespace.
    pub sys_admin: bool,
    /// Effective user 0: /proc/slabinfo, /sys/module parameters.
    pub root: bool,
}

/// Reads the rights of the calling thread (`CapEff` and `Uid` of proc_pid_status(5)); none if that cannot be read.
pub fn capabilities() -> Capabilities {
    parse_status(&Root::default().text("proc/thread-self/status"))
}

fn parse_status(status: &str) -> Capabilities {
    // Bit of CAP_NET_ADMIN in `CapEff` (linux/capability.h).
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
    use super::*;

    #[test]
    fn effective_capabilities_are_read_not_permitted_ones() {
        let status = "Uid:\t0\t1000\t0\t0\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000001000\n";
        assert_eq!(parse_status(status), Capabilities { net_admin: true, sys_admin: false, root: false });
        let status = "Uid:\t1000\t0\t0\t0\nCapEff:\t0000000000200000\n";
        assert_eq!(parse_status(status), Capabilities { net_admin: false, sys_admin: true, root: true });
        assert_eq!(parse_status("CapEff:\tzz\n"), Capabilities::default());
        assert_eq!(capabilities().root, nix::unistd::geteuid().is_root());
    }

    #[test]
    fn who_asks_is_told_with_its_command_and_who_logged_in() {
        use super::super::root::fixture::Tree;
        let tree = Tree::new(&[
            ("proc/7/cmdline", "/usr/sbin/ctctl\0pause\0--for\0ten minutes\x1b\0"),
            ("proc/7/loginuid", "1000"),
            ("proc/8/cmdline", ""),
            ("proc/8/loginuid", "4294967295"),
        ]);
        let asker = asker_at(&tree.root(), 0, Some(7));
        assert_eq!(asker.command.as_deref(), Some("ctctl pause --for 'ten minutes?'"));
        assert_eq!((asker.uid, asker.login_uid, asker.pid), (Some(0), Some(1000), Some(7)));
        let service = asker_at(&tree.root(), 0, Some(8));
        assert_eq!((service.command, service.login_uid), (None, None));
        assert_eq!(asker_at(&tree.root(), 5, None).to_string(), "uid 5");
        assert!(this().command.is_some_and(|command| command.contains("ctctl")), "this very test");
    }
}
