//! Lines of other files of a tree that set the same values, in the order in which they are read at boot.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::text::{MODPROBE, SYSCTL};
use crate::core::model::{AppliedBy, Overriding, PersistedValue, SysctlFile};
use crate::linux::image::Image;
use crate::linux::root::Root;
use crate::linux::sysctl_files;
use crate::linux::text_lines::{Format, joined};

const MODPROBE_DIRECTORIES: [&str; 5] =
    ["etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"];
const UFW: &str = "etc/ufw/sysctl.conf";

/// A line that sets a value of connection tracking.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    path: PathBuf,
    number: u32,
    text: String,
    /// Name of the value without `nf_conntrack_`.
    name: String,
    value: String,
}

/// Lines of a tree, in the order in which they are read.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    sysctls: Vec<Line>,
    modprobe: Vec<Line>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Tree {
        let image = Image::new(Root(root.into()));
        let mut files = sysctl_files::files(&image);
        files.retain(|file| file.applied_by != AppliedBy::Nobody);
        // The file of ufw is applied when ufw starts, after sysctl.d (IPT_SYSCTL of /etc/default/ufw).
        let enabled = image.read("etc/ufw/ufw.conf").map(|text| text.text).unwrap_or_default();
        if enabled.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes")) {
            let ufw = image
                .read(UFW)
                .map(|text| sysctl_files::parse(&text, UFW, AppliedBy::Ufw, sysctl_files::by_hand(&image)));
            files.extend(ufw);
        }
        let modprobe = by_name(root, &MODPROBE_DIRECTORIES);
        Tree {
            root: root.into(),
            sysctls: files.iter().flat_map(|file| sysctls(root, file)).collect(),
            modprobe: modprobe.iter().flat_map(|path| options(&image, root, path)).collect(),
        }
    }

    /// True if a file that is not ctctl's sets the value.
    pub(super) fn names(&self, name: &str) -> bool {
        let own = self.root.join(SYSCTL);
        self.sysctls.iter().any(|line| line.name == name && line.path != own)
    }

    /// True if the file of an earlier `persist` sets the value.
    pub(super) fn persisted(&self, name: &str) -> bool {
        let own = self.root.join(SYSCTL);
        self.sysctls.iter().any(|line| line.name == name && line.path == own)
    }

    /// Returns the lines that are read after ctctl's and set another value. With `host`, lines for the module count
    /// too.
    pub(super) fn overriding(&self, values: &[PersistedValue], host: bool) -> Vec<Overriding> {
        let wanted = |name: &str| values.iter().find(|row| row.name == name).map(|row| row.value.to_string());
        let differs = |line: &&Line| wanted(&line.name).is_some_and(|value| value != line.value);
        let later = |own: &str, line: &&Line| {
            let own = self.root.join(own);
            // The files sysctl.conf and ufw's are read after all of sysctl.d, whatever their names.
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
            // The link /etc/sysctl.d/99-sysctl.conf leads to /etc/sysctl.conf.
            if found.iter().all(|earlier| earlier.place != place) {
                found.push(Overriding { name: line.name.clone(), place, line: line.text.clone() });
            }
        }
        found
    }
}

/// Returns the files in the order of their names; of two with the same name the one in the first directory counts.
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

/// Returns the lines of a sysctl file that set a value of connection tracking, as the program that applies it reads
/// them.
fn sysctls(root: &Path, file: &SysctlFile) -> Vec<Line> {
    let path = root.join(file.listed_as.trim_start_matches('/'));
    let ours = file.lines.iter().filter_map(|line| {
        let (name, value) = (line.conntrack_name()?.to_owned(), line.value.clone()?);
        Some(Line { path: path.clone(), number: line.line, text: line.text.clone(), name, value })
    });
    ours.collect()
}

/// Returns the lines of a file of modprobe.d that set a value of connection tracking.
fn options(image: &Image, root: &Path, path: &Path) -> Vec<Line> {
    let below = path.strip_prefix(root).unwrap_or(path);
    let Some(text) = below.to_str().and_then(|below| image.read(below)) else { return Vec::new() };
    let ours = joined(&text, Format::Modprobe).into_iter().filter_map(|line| {
        let (name, value) = option(&line.text)?;
        Some(Line { path: path.into(), number: line.line, text: line.text, name, value })
    });
    ours.collect()
}

/// Reads `options nf_conntrack … hashsize=1 …`, and lines that keep the module from loading.
fn option(line: &str) -> Option<(String, String)> {
    // A module's name may have `-` for `_` (kmod: modname_normalize).
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
