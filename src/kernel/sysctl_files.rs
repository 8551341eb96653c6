//! Files of sysctls: which there are, who applies them, in which order, and what their lines say.

use std::collections::BTreeMap;

use super::image::{Image, Text};
use super::root::Root;
use crate::model::{AppliedBy, ConfiguredValue, SysctlFile, SysctlLine, Timeout};

/// As sysctl.d(5) has them: of files with the same name the first counts, the others are masked.
const DIRECTORIES: [&str; 5] =
    ["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"];
/// `sysctl --system` of procps reads it after all others; systemd-sysctl never, but for a link in /etc/sysctl.d.
const LAST: &str = "etc/sysctl.conf";
/// Where systemd-sysctl lies, which then applies the files at boot; elsewhere a script runs `sysctl --system`.
const SYSTEMD: [&str; 2] = ["usr/lib/systemd/systemd-sysctl", "lib/systemd/systemd-sysctl"];

/// Every value that a file gives to max, buckets or a timeout. A name may come several times, with different values:
/// which file a script reads is its own choice.
pub fn configured() -> Vec<ConfiguredValue> {
    configured_at(&Root::default())
}

fn configured_at(root: &Root) -> Vec<ConfiguredValue> {
    let files = files(&Image::new(root.clone()));
    let applied = files.iter().filter(|file| file.applied_by != AppliedBy::Nobody);
    let values = applied.flat_map(|file| file.lines.iter().filter_map(|line| configured_value(line, file)));
    values.collect()
}

fn configured_value(line: &SysctlLine, file: &SysctlFile) -> Option<ConfiguredValue> {
    let name = line.conntrack_name()?;
    let ours = ["max", "buckets", "events"].contains(&name) || Timeout::named(name).is_some();
    let value = line.value.as_deref()?.parse().ok().filter(|_| ours)?;
    Some(ConfiguredValue { name: name.into(), value, file: file.listed_as.clone() })
}

/// True if systemd applies the files at boot.
pub fn by_systemd(image: &Image) -> bool {
    SYSTEMD.iter().any(|path| image.exists(path))
}

/// Every file of sysctls in the order in which the boot applies it; behind those what the boot does not apply. A file
/// with two names (sysctl.conf, and a link to it) comes once, in the place where the boot has it last.
pub fn files(image: &Image) -> Vec<SysctlFile> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut others = Vec::new();
    for directory in DIRECTORIES {
        for name in image.list(directory) {
            let path = format!("{directory}/{name}");
            match name.ends_with(".conf") {
                // A link that leads nowhere or to /dev/null masks as well.
                true => drop(names.entry(name).or_insert(path)),
                false => others.push(path),
            }
        }
    }
    let mut files: Vec<SysctlFile> = Vec::new();
    let mut add = |path: &str, by: AppliedBy| {
        let Some(text) = image.read(path) else { return };
        let file = parse(&text, path, by);
        match files.iter().position(|known| known.path == file.path) {
            Some(_) if by != AppliedBy::Boot => {}
            Some(at) => {
                files.remove(at);
                files.push(file);
            }
            None => files.push(file),
        }
    };
    names.values().for_each(|path| add(path, AppliedBy::Boot));
    let last = if by_systemd(image) { AppliedBy::HandOnly } else { AppliedBy::Boot };
    add(LAST, last);
    others.iter().for_each(|path| add(path, AppliedBy::Nobody));
    files
}

/// The lines of a file of sysctls.
pub fn parse(text: &Text, listed_as: &str, applied_by: AppliedBy) -> SysctlFile {
    let comment = |line: &str| line.starts_with(['#', ';']);
    let trimmed = || text.text.lines().map(str::trim);
    let numbered = (1..).zip(trimmed()).filter(|(_, line)| !line.is_empty() && !comment(line));
    SysctlFile {
        path: text.path.clone(),
        listed_as: format!("/{}", listed_as.trim_start_matches('/')),
        applied_by,
        lines_total: trimmed().count().try_into().unwrap_or(u32::MAX),
        comments: trimmed().filter(|line| comment(line)).count().try_into().unwrap_or(u32::MAX),
        lines: numbered.map(|(number, line)| of_line(number, line)).collect(),
    }
}

/// `net.netfilter.nf_conntrack_max = 1`, with `/` for `.`, and with `-` before it where an error does not matter.
fn of_line(line: u32, text: &str) -> SysctlLine {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.trim().to_owned())),
        None => (text, None),
    };
    let bare = key.trim().strip_prefix('-');
    let (key, may_fail) = (path(bare.unwrap_or(key).trim()), bare.is_some());
    SysctlLine { line, text: text.into(), key, value, may_fail }
}

/// Where the first separator is a dot, dots and slashes change places (sysctl.d(5)).
fn path(key: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    match key.find(['.', '/']).map(|at| key.as_bytes()[at]) {
        Some(b'.') => key.chars().map(swap).collect(),
        _ => key.into(),
    }
}

#[cfg(test)]
#[path = "sysctl_files_tests.rs"]
mod tests;
