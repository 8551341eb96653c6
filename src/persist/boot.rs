//! What the other files of a tree say of the same values, in the order in which they are read at boot.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::text::{MODPROBE, SYSCTL};
use crate::kernel::image::Image;
use crate::kernel::root::Root;
use crate::kernel::sysctl_files;
use crate::model::{AppliedBy, Overriding, PersistedValue};

const MODPROBE_DIRECTORIES: [&str; 5] =
    ["etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"];
/// What is longer is no list of settings.
const MAX_BYTES: u64 = 1 << 20;

/// One line that sets something of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    path: PathBuf,
    number: usize,
    text: String,
    /// After `nf_conntrack_`.
    name: String,
    value: String,
}

/// The lines of a tree, in order.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    sysctls: Vec<Line>,
    modprobe: Vec<Line>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Tree {
        let read = sysctl_files::files(&Image::new(Root(root.into())));
        let applied = read.iter().filter(|file| file.applied_by != AppliedBy::Nobody);
        let mut files: Vec<PathBuf> =
            applied.map(|file| root.join(file.listed_as.trim_start_matches('/'))).collect();
        // Applied when ufw starts, after sysctl.d (IPT_SYSCTL of /etc/default/ufw).
        let enabled = content(root, &root.join("etc/ufw/ufw.conf"));
        if enabled.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes")) {
            files.push(root.join("etc/ufw/sysctl.conf"));
        }
        let modprobe = by_name(root, &MODPROBE_DIRECTORIES);
        Tree {
            root: root.into(),
            sysctls: files.iter().flat_map(|path| lines(root, path, sysctl)).collect(),
            modprobe: modprobe.iter().flat_map(|path| lines(root, path, option)).collect(),
        }
    }

    /// Whether a file of somebody else's sets it.
    pub(super) fn names(&self, name: &str) -> bool {
        let own = self.root.join(SYSCTL);
        self.sysctls.iter().any(|line| line.name == name && line.path != own)
    }

    /// Whether the file of an earlier `persist` sets it.
    pub(super) fn persisted(&self, name: &str) -> bool {
        let own = self.root.join(SYSCTL);
        self.sysctls.iter().any(|line| line.name == name && line.path == own)
    }

    /// The lines that come after ours and say otherwise. `host`: those of the module too.
    pub(super) fn overriding(&self, values: &[PersistedValue], host: bool) -> Vec<Overriding> {
        let wanted = |name: &str| values.iter().find(|row| row.name == name).map(|row| row.value.to_string());
        let differs = |line: &&Line| wanted(&line.name).is_some_and(|value| value != line.value);
        let later = |own: &str, line: &&Line| {
            let own = self.root.join(own);
            // sysctl.conf and ufw's are read after all of sysctl.d, whatever they are called.
            let last = line
                .path
                .parent()
                .and_then(Path::file_name)
                .is_none_or(|d| d != "sysctl.d" && d != "modprobe.d");
            line.path != own && (last || line.path.file_name() > own.file_name())
        };
        let sysctls = self.sysctls.iter().filter(|line| later(SYSCTL, line)).filter(differs);
        let modprobe = self.modprobe.iter().filter(|_| host);
        let modprobe =
            modprobe.filter(|line| line.name == "module" || (later(MODPROBE, line) && differs(line)));
        let mut found: Vec<Overriding> = Vec::new();
        for line in modprobe.chain(sysctls) {
            let path = line.path.canonicalize().unwrap_or_else(|_| line.path.clone());
            let place = format!("{}:{}", path.display(), line.number);
            // /etc/sysctl.d/99-sysctl.conf is a link to /etc/sysctl.conf.
            if found.iter().all(|earlier| earlier.place != place) {
                found.push(Overriding { name: line.name.clone(), place, line: line.text.clone() });
            }
        }
        found
    }
}

/// Files in order of their names; of two with one name the first directory's counts.
fn by_name(root: &Path, directories: &[&str]) -> Vec<PathBuf> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for directory in directories {
        for entry in std::fs::read_dir(root.join(directory)).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|end| end == "conf") {
                files.entry(entry.file_name()).or_insert(entry.path());
            }
        }
    }
    files.into_values().collect()
}

/// The text of a file; a link to an absolute path leads below the root, as it will when that is the root.
fn content(root: &Path, path: &Path) -> String {
    let target = std::fs::read_link(path).ok().filter(|target| target.is_absolute());
    let below = target.map(|target| root.join(target.strip_prefix("/").unwrap_or(&target)));
    let path = below.as_deref().unwrap_or(path);
    let regular = std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() <= MAX_BYTES);
    let bytes = regular.then(|| std::fs::read(path).ok()).flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lines(root: &Path, path: &Path, read: fn(&str) -> Option<(String, String)>) -> Vec<Line> {
    let text = content(root, path);
    let numbered = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with(['#', ';']));
    let known = numbered.filter_map(|(i, text)| {
        let (name, value) = read(text.trim())?;
        Some(Line { path: path.into(), number: i + 1, text: text.trim().into(), name, value })
    });
    known.collect()
}

/// `net.netfilter.nf_conntrack_max = 1`, in each of its forms.
fn sysctl(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim().trim_start_matches('-').trim().replace('/', ".");
    let name =
        key.strip_prefix("net.netfilter.nf_conntrack_").or_else(|| key.strip_prefix("net.nf_conntrack_"))?;
    Some((name.to_owned(), value.trim().to_owned()))
}

/// `options nf_conntrack … hashsize=1 …`, and what keeps the module from loading.
fn option(line: &str) -> Option<(String, String)> {
    // A module's name has `-` for `_` too (kmod: modname_normalize).
    let words: Vec<String> = line.split_whitespace().map(|word| word.replace('-', "_")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["options", "nf_conntrack", rest @ ..] => {
            let value = rest.iter().rev().find_map(|word| word.strip_prefix("hashsize="))?;
            Some(("buckets".into(), value.into()))
        }
        ["blacklist", "nf_conntrack"] | ["install", "nf_conntrack", ..] => {
            Some(("module".into(), String::new()))
        }
        _ => None,
    }
}
