//! Files of sysctls: which there are, who applies them, in which order, and what their lines say.

use std::collections::{BTreeMap, HashMap};

use super::image::{Image, Text};
use super::root::Root;
use super::sysctl_lines::{Lines, lines};
use crate::core::model::{AppliedBy, ConfiguredValue, SysctlFile, SysctlLine, SysctlProgram, Timeout};

/// As sysctl.d(5) has them: of files with the same name the first counts, the others are masked.
const DIRECTORIES: [&str; 5] =
    ["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"];
/// `sysctl --system` of procps reads it after all others; systemd-sysctl never, but for a link in /etc/sysctl.d.
const LAST: &str = "etc/sysctl.conf";
/// Places of systemd-sysctl, which applies the files at boot; without it a script runs `sysctl --system`.
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

/// Places of the program `sysctl`.
const SYSCTL: [&str; 4] = ["sbin/sysctl", "usr/sbin/sysctl", "bin/sysctl", "usr/bin/sysctl"];

/// The program by which a script of the boot, or the operator, applies files of sysctls.
pub fn by_hand(image: &Image) -> SysctlProgram {
    let found = SYSCTL.iter().find_map(|path| image.real(path));
    // An applet is a link to busybox.
    match found.is_some_and(|path| path.rsplit('/').next().is_some_and(|name| name.starts_with("busybox"))) {
        true => SysctlProgram::Busybox,
        false if has_old_library(image) => SysctlProgram::OldProcps,
        false => SysctlProgram::Procps,
    }
}

/// procps 3 has libprocps, procps 4 libproc2.
fn has_old_library(image: &Image) -> bool {
    let multiarch = ["x86_64", "aarch64", "i386", "arm"].map(|machine| {
        let abi = if machine == "arm" { "gnueabihf" } else { "gnu" };
        format!("{machine}-linux-{abi}")
    });
    let plain = ["usr/lib64", "usr/lib", "lib64", "lib"].map(str::to_owned);
    let directories = plain.into_iter().chain(multiarch.iter().map(|triplet| format!("usr/lib/{triplet}")));
    let directories = directories.chain(multiarch.iter().map(|triplet| format!("lib/{triplet}")));
    directories.into_iter().any(|directory| {
        image.exists(&directory) && image.list(&directory).iter().any(|name| name.starts_with("libprocps.so"))
    })
}

/// The program that applies files of sysctls at boot.
pub fn at_boot(image: &Image) -> SysctlProgram {
    if by_systemd(image) { SysctlProgram::Systemd } else { by_hand(image) }
}

/// Order in which the boot goes through the directories.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// By the names of the files, whatever their directory; /etc/sysctl.conf behind, where a script reads it.
    Names,
    /// Files of packages, then /etc/sysctl.d, /etc/sysctl.conf, /run/sysctl.d (init.d/sysctl of Alpine).
    Alpine,
    /// /etc/sysctl.d and /etc/sysctl.conf alone (init.d/sysctl of OpenWrt).
    OpenWrt,
}

fn order(image: &Image) -> Order {
    match () {
        () if by_systemd(image) => Order::Names,
        () if image.exists("etc/openwrt_release") => Order::OpenWrt,
        () if image.exists("etc/alpine-release") => Order::Alpine,
        () => Order::Names,
    }
}

/// Every file of sysctls in the order in which the boot applies it; behind those what the boot does not apply. A file
/// with two names (sysctl.conf, and a link to it) comes once, in the place where the boot has it last.
pub fn files(image: &Image) -> Vec<SysctlFile> {
    let order = order(image);
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut others = Vec::new();
    for directory in
        DIRECTORIES.into_iter().filter(|directory| order != Order::OpenWrt || *directory == DIRECTORIES[0])
    {
        for name in image.list(directory) {
            let path = format!("{directory}/{name}");
            match name.ends_with(".conf") {
                // A link that leads nowhere or to /dev/null masks as well.
                true => drop(names.entry(name).or_insert(path)),
                false => others.push(path),
            }
        }
    }
    let mut applied: Vec<String> = names.into_values().collect();
    if order == Order::Alpine {
        let turn = ["lib/", "usr/lib/", "usr/local/", "etc/", "run/"];
        applied.sort_by_key(|path| turn.iter().position(|directory| path.starts_with(directory)));
    }
    let (boot, hand) = (at_boot(image), by_hand(image));
    let mut files: Vec<Option<SysctlFile>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut add = |path: &str, by: AppliedBy| {
        let Some(text) = image.read(path) else { return };
        let file = parse(&text, path, by, if by == AppliedBy::HandOnly { hand } else { boot });
        match places.get(&file.path) {
            Some(_) if by != AppliedBy::Boot => return,
            Some(at) => drop(files[*at].take()),
            None => {}
        }
        places.insert(file.path.clone(), files.len());
        files.push(Some(file));
    };
    let last = if by_systemd(image) { AppliedBy::HandOnly } else { AppliedBy::Boot };
    let behind = |path: &&String| order == Order::Alpine && path.starts_with("run/");
    applied.iter().filter(|path| !behind(path)).for_each(|path| add(path, AppliedBy::Boot));
    add(LAST, last);
    applied.iter().filter(behind).for_each(|path| add(path, AppliedBy::Boot));
    others.iter().for_each(|path| add(path, AppliedBy::Nobody));
    files.into_iter().flatten().collect()
}

/// The lines of a file of sysctls, as `program` reads them.
pub fn parse(text: &Text, listed_as: &str, applied_by: AppliedBy, program: SysctlProgram) -> SysctlFile {
    let Lines { lines, comments, total } = lines(&text.text, program);
    SysctlFile {
        path: text.path.clone(),
        listed_as: format!("/{}", listed_as.trim_start_matches('/')),
        applied_by,
        lines_total: total,
        comments,
        lines,
    }
}

#[cfg(test)]
#[path = "sysctl_files_tests.rs"]
mod tests;
