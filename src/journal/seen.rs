//! `timeouts-seen.json`: every timeout that was seen in force since the host came up, and what else the next agent's
//! proofs have to know.
//!
//! An entry keeps the base of its last packet. An agent that starts and knows only today's timeouts would take a flow
//! whose last packet came under a shorter one, set by an operator or by an agent before it, for one that has been
//! idle for days. So what was seen outlives the agent, and is void with the boot, as the entries are.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::baseline::{read_file, write_file};
use super::file::make_dir;
use crate::model::{Class, TimeoutPolicy};

const FILE: &str = "timeouts-seen.json";

/// What was seen.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TimeoutsSeen {
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: String,
    /// Inode of the namespace.
    pub inode: u64,
    /// Sysctl name after `nf_conntrack_`, and a value that it had.
    pub sysctls: Vec<(String, u32)>,
    /// Timeout policies that were there.
    pub policies: Vec<TimeoutPolicy>,
    /// Until when conntrackd was seen at work, or changes of timeout policies were lost, in seconds since the host came up.
    #[serde(default)]
    pub unheard_until_seconds: Option<u32>,
    /// Flowtables were seen in use.
    #[serde(default)]
    pub flowtables: bool,
    /// Classes that are not flushed because their flows lived, and when that was last seen, in seconds since the host
    /// came up.
    #[serde(default)]
    pub suspended: BTreeMap<Class, u32>,
}

impl TimeoutsSeen {
    /// What a state directory holds for this boot and namespace; nothing where it holds nothing that can be read.
    pub fn load(dir: &Path, boot_id: &str, inode: u64) -> Self {
        let read = || serde_json::from_slice::<TimeoutsSeen>(&read_file(&dir.join(FILE)).ok()?).ok();
        let nothing = TimeoutsSeen { boot_id: boot_id.into(), inode, ..TimeoutsSeen::default() };
        read().filter(|seen| seen.boot_id == boot_id && seen.inode == inode).unwrap_or(nothing)
    }

    /// Writes it whole: a file beside it, then rename. No fsync: it is void after a power cut.
    ///
    /// # Errors
    /// What the disk said.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        make_dir(dir)?;
        let beside = dir.join(format!("{FILE}.tmp"));
        write_file(&beside, &serde_json::to_vec(self)?, false)?;
        fs::rename(&beside, dir.join(FILE))
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
            sysctls: vec![("tcp_timeout_established".into(), 600)],
            policies: vec![TimeoutPolicy { protocol: 6, seconds: vec![3600] }],
            unheard_until_seconds: Some(77),
            flowtables: true,
            suspended: [(Class::Udp, 70)].into(),
        };
        seen.save(dir.path()).expect("saved");
        assert_eq!(TimeoutsSeen::load(dir.path(), "b", 7), seen);
        assert!(TimeoutsSeen::load(dir.path(), "c", 7).sysctls.is_empty());
        assert!(TimeoutsSeen::load(dir.path(), "b", 8).sysctls.is_empty());
        std::fs::write(dir.path().join(FILE), b"{\"boot_id\": \"b\", ").expect("half a file");
        assert!(TimeoutsSeen::load(dir.path(), "b", 7).sysctls.is_empty());
    }
}
