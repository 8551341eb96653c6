//! What the files of sysctl.d say of conntrack: the values that a firewall's restart, or `sysctl --system`, puts back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::root::Root;
use crate::model::{ConfiguredValue, Timeout};

/// As sysctl.d(5) has them: of files with the same name the first counts, the others are masked.
const DIRECTORIES: [&str; 5] =
    ["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"];
/// procps reads it after all others; systemd through a link in /etc/sysctl.d.
const LAST: &str = "etc/sysctl.conf";
/// What is longer is no list of sysctls.
const MAX_BYTES: u64 = 1 << 20;

/// Every value that a file gives to max, buckets or a timeout. A name may come several times, with different values:
/// which file a script reads is its own choice.
pub fn configured() -> Vec<ConfiguredValue> {
    configured_at(&Root::default())
}

fn configured_at(root: &Root) -> Vec<ConfiguredValue> {
    let mut files: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for directory in DIRECTORIES {
        let entries = std::fs::read_dir(root.join(directory)).into_iter().flatten().flatten();
        let listed = entries.map(|entry| entry.path());
        for path in listed.filter(|path| path.extension().is_some_and(|end| end == "conf")) {
            if let Some(name) = path.file_name() {
                files.entry(name.to_owned()).or_insert(path);
            }
        }
    }
    files.into_values().chain([root.join(LAST)]).flat_map(|path| of_file(&path)).collect()
}

fn of_file(path: &Path) -> Vec<ConfiguredValue> {
    let regular = std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() <= MAX_BYTES);
    let bytes = regular.then(|| std::fs::read(path).ok()).flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().filter_map(|line| of_line(line, path)).collect()
}

/// `net.netfilter.nf_conntrack_max = 1`, with `/` for `.`, and with `-` before it where an error does not matter.
fn of_line(line: &str, path: &Path) -> Option<ConfiguredValue> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    let key = key.trim().trim_start_matches('-').trim().replace('/', ".");
    let rest = key.strip_prefix("net.netfilter.").or_else(|| key.strip_prefix("net."))?;
    let name = rest.strip_prefix("nf_conntrack_")?;
    let ours = ["max", "buckets", "events"].contains(&name) || Timeout::named(name).is_some();
    let value = value.trim().parse().ok().filter(|_| ours)?;
    Some(ConfiguredValue { name: name.into(), value, file: path.display().to_string() })
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    #[test]
    fn both_forms_of_a_name_are_read_and_all_else_is_passed_over() {
        let tree = Tree::new(&[(
            "etc/sysctl.conf",
            "# net.netfilter.nf_conntrack_max = 1\n;net.nf_conntrack_max=2\nnet.netfilter.nf_conntrack_max = 65536\n\
             -net/netfilter/nf_conntrack_tcp_timeout_established=86400\nnet.nf_conntrack_max=70000\n\
             net.ipv4.ip_forward = 1\nnet.netfilter.nf_conntrack_helper = 1\nnet.netfilter.nf_conntrack_max = many\n\
             garbage\n= 5\n",
        )]);
        let found = configured_at(&tree.root());
        let pairs: Vec<_> = found.iter().map(|v| (v.name.as_str(), v.value)).collect();
        assert_eq!(pairs, [("max", 65_536), ("tcp_timeout_established", 86_400), ("max", 70_000)]);
        assert!(found[0].file.ends_with("etc/sysctl.conf"));
    }

    #[test]
    fn a_file_of_the_same_name_masks_the_ones_below_it() {
        let line = |value: u64| format!("net.netfilter.nf_conntrack_max = {value}\n");
        let tree = Tree::new(&[
            ("usr/lib/sysctl.d/50-firewall.conf", line(1).as_str()),
            ("etc/sysctl.d/50-firewall.conf", line(2).as_str()),
            ("run/sysctl.d/60-other.conf", line(3).as_str()),
            ("etc/sysctl.d/notes.txt", line(4).as_str()),
        ]);
        let values: Vec<u64> = configured_at(&tree.root()).iter().map(|v| v.value).collect();
        assert_eq!(values, [2, 3]);
        assert_eq!(configured_at(&Tree::new(&[]).root()), []);
    }
}
