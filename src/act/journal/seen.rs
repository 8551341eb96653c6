//! `timeouts-seen.json`: every timeout that was seen in force since the host came up, and what else the next agent's
//! proofs have to know.
//!
//! An entry keeps the base of its last packet. An agent that starts and knows only today's timeouts would take a flow
//! whose last packet came under a shorter one, set by an operator or by an agent before it, for one that has been
//! idle for days. So what was seen outlives the agent, and is void with the boot, as the entries are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::baseline::read_file;
use super::checksum::{sealed, verify};
use crate::core::model::{Class, TimeoutPolicy};

const FILE: &str = "timeouts-seen.json";

/// Timeouts that agents of this boot saw.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TimeoutsSeen {
    /// Boot in which they were seen (/proc/sys/kernel/random/boot_id).
    pub boot_id: String,
    /// Inode of the namespace.
    pub inode: u64,
    /// Cookie of the namespace (SO_NETNS_COOKIE of Linux 5.14): unlike its inode no other one gets it in this boot.
    #[serde(default)]
    pub cookie: Option<u64>,
    /// Sysctl name after `nf_conntrack_`, and a value that it had.
    pub sysctls: Vec<(String, u32)>,
    /// Timeout policies that were there.
    pub policies: Vec<TimeoutPolicy>,
    /// Until when conntrackd was seen at work, or changes of timeout policies were lost, in seconds since the host came
    /// up.
    #[serde(default)]
    pub unheard_until_seconds: Option<u32>,
    /// Flowtables were seen in use.
    #[serde(default)]
    pub flowtables: bool,
    /// The first of the looks at the timeouts that followed each other without a gap, in seconds since the host came
    /// up.
    #[serde(default)]
    pub first_look_seconds: Option<u32>,
    /// The last of them, in seconds since the host came up; nothing while the agent runs, and where it did not end in
    /// order.
    #[serde(default)]
    pub last_look_seconds: Option<u32>,
    /// The agent that looks on: its process, and hundredths of a second since the host came up when that began.
    #[serde(default)]
    pub watcher: Option<(u32, u64)>,
    /// Timeouts that had another value than the kernel's own then.
    #[serde(default)]
    pub set_before: Vec<String>,
    /// Classes that are not flushed because their flows lived, and when that was last seen, in seconds since the host
    /// came up.
    #[serde(default)]
    pub suspended: BTreeMap<Class, u32>,
}

impl TimeoutsSeen {
    /// Loads what a state directory holds for this boot and namespace; nothing where it holds nothing that can be
    /// read.
    pub fn load(dir: &Path, boot_id: &str, inode: u64) -> Self {
        let read = || {
            let bytes = read_file(&dir.join(FILE)).ok()?;
            verify(&bytes).ok()?;
            serde_json::from_slice::<TimeoutsSeen>(&bytes).ok()
        };
        let nothing = TimeoutsSeen { boot_id: boot_id.into(), inode, ..TimeoutsSeen::default() };
        read().filter(|seen| seen.boot_id == boot_id && seen.inode == inode).unwrap_or(nothing)
    }

    /// Path of the file in a state directory.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// Content of the file, its checksum included.
    pub fn text(&self) -> String {
        // Numbers and text: that is always JSON.
        sealed(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_comes_back_in_the_same_boot_and_namespace_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let seen = TimeoutsSeen {
            boot_id: "b".into(),
            inode: 7,
            cookie: Some(4097),
            sysctls: vec![("tcp_timeout_established".into(), 600)],
            policies: vec![TimeoutPolicy { protocol: 6, seconds: vec![3600] }],
            unheard_until_seconds: Some(77),
            flowtables: true,
            first_look_seconds: Some(5),
            last_look_seconds: Some(9),
            watcher: Some((17, 1200)),
            set_before: vec!["udp_timeout_stream".into()],
            suspended: [(Class::Udp, 70)].into(),
        };
        let file = TimeoutsSeen::path(dir.path());
        std::fs::write(&file, seen.text()).expect("saved");
        assert_eq!(TimeoutsSeen::load(dir.path(), "b", 7), seen);
        assert!(TimeoutsSeen::load(dir.path(), "c", 7).sysctls.is_empty());
        assert!(TimeoutsSeen::load(dir.path(), "b", 8).sysctls.is_empty());
        std::fs::write(&file, seen.text().replace("600", "900")).expect("a changed digit");
        assert!(TimeoutsSeen::load(dir.path(), "b", 7).sysctls.is_empty());
        std::fs::write(&file, b"{\"boot_id\": \"b\", ").expect("half a file");
        assert!(TimeoutsSeen::load(dir.path(), "b", 7).sysctls.is_empty());
    }
}
