//! Files, below any root.

use std::collections::BTreeMap;

use super::super::Files;
use super::super::applying::{self, Which};
use super::super::cure::{MODPROBE_FILE, MODULES_FILE, OPENWRT_MODULES, SYSCTL_FILE};
use super::super::{kube_proxy, modules as modules_of};
use super::{boot, commands};
use crate::core::model::{AppliedBy, FileLine, SysctlFile};
use crate::linux::image::{Image, Text};
use crate::linux::modules::{self, Modules};
use crate::linux::text_lines::{Format, joined};
use crate::linux::{kernel_log, sysctl_files};

/// Of dpkg's status: a few kilobytes a package.
const STATUS_BYTES: u64 = 1 << 24;
/// In order of precedence, for modules-load.d and modprobe.d.
const PREFIXES: [&str; 5] = ["etc", "run", "usr/local/lib", "usr/lib", "lib"];
const FIREWALLS: [&str; 5] = [
    "etc/default/ufw",
    "etc/ufw/ufw.conf",
    "etc/sysconfig/iptables-config",
    "etc/sysconfig/ip6tables-config",
    "etc/firewalld/firewalld.conf",
];
/// Files that fixes append to.
const WRITTEN: [&str; 3] = [SYSCTL_FILE, MODULES_FILE, MODPROBE_FILE];

/// Gathers the facts of a tree's files. `releases` are the kernels that count, those installed where there are none.
pub fn gather(image: &Image, releases: &[String], running: Option<&Modules>) -> Files {
    let kernels = if releases.is_empty() { modules::releases(image) } else { releases.to_vec() };
    let builtin = match running {
        Some(running) => running.is_builtin("nf_conntrack"),
        None => {
            let has = |release: &String| modules::builtin(image, release).iter().any(|m| m == "nf_conntrack");
            !kernels.is_empty() && kernels.iter().all(has)
        }
    };
    let firewalls: Vec<FileLine> =
        FIREWALLS.iter().flat_map(|path| lines(image.read(path), Format::Plain)).collect();
    let mut sysctl = sysctl_files::files(image);
    sysctl.extend(ufw(image, &firewalls));
    let systemd = sysctl_files::by_systemd(image);
    let (modules, command_lines) = boot::modules(image, systemd);
    let programs = boot::programs(image, systemd);
    let conffiles = image.read("var/lib/dpkg/info/procps.conffiles");
    let mut files = Files {
        sysctl,
        systemd,
        dependents: dependents(image, &kernels),
        program: sysctl_files::at_boot(image),
        kernels,
        builtin,
        modules,
        command_lines,
        programs: programs.programs,
        modprobe: modprobe(image),
        udev: of_directories(
            image,
            "udev/rules.d",
            Format::Udev,
            |name| name.ends_with(".rules"),
            |line| line.contains("conntrack"),
        ),
        firewalls,
        writers: commands::writes(image, systemd.then_some(programs.paths)),
        sysctl_conf_is_packaged: conffiles
            .is_some_and(|text| text.text.lines().any(|line| line.trim() == "/etc/sysctl.conf"))
            || in_status(image),
        // The running system has its ring buffer.
        log: if running.is_none() { kernel_log::logs(image) } else { Vec::new() },
        started_units: programs.units,
        kube_proxy_options: kube_proxy_options(image),
        sysctl_names: image.list("etc/sysctl.d"),
        openwrt: image.exists("etc/openwrt_release"),
        missing_directories: missing_directories(image),
        unfinished: unfinished(image),
    };
    applied_again(image, &mut files);
    let installs = modules_of::writes(&files);
    files.writers.extend(installs);
    files
}

/// Options that k3s and microk8s have for kube-proxy.
fn kube_proxy_options(image: &Image) -> Vec<FileLine> {
    let more = kube_proxy::OPTION_DIRECTORIES.iter().flat_map(|directory| {
        let names = image.list(directory).into_iter();
        let names = names.filter(|name| name.ends_with(".yaml") || name.ends_with(".yml"));
        names.map(move |name| format!("{directory}/{name}"))
    });
    let paths = kube_proxy::OPTION_FILES.iter().map(ToString::to_string).chain(more);
    paths.flat_map(|path| lines(image.read(&path), Format::Plain)).collect()
}

/// Of the directories that fixes write into, those that are not there.
fn missing_directories(image: &Image) -> Vec<String> {
    let directories = WRITTEN.iter().filter_map(|path| Some(path.rsplit_once('/')?.0));
    let directories = directories.chain([OPENWRT_MODULES]);
    directories.filter(|directory| !image.exists(directory)).map(str::to_owned).collect()
}

/// Of the files that fixes append to, those whose last line has no end.
fn unfinished(image: &Image) -> Vec<String> {
    let cut = |path: &&&str| {
        image.read(path).is_some_and(|text| !text.text.is_empty() && !text.text.ends_with('\n'))
    };
    WRITTEN.iter().filter(cut).map(ToString::to_string).collect()
}

/// Modules that need nf_conntrack in each of the kernels; nothing where one of them does not say.
fn dependents(image: &Image, releases: &[String]) -> Option<Vec<String>> {
    let mut all = releases.iter().map(|release| modules::dependents(image, release, "nf_conntrack"));
    let first = all.next()??;
    all.try_fold(first, |common, more| {
        let more = more?;
        Some(common.into_iter().filter(|name| more.contains(name)).collect())
    })
}

/// Files that a unit or a script applies which the boot itself does not.
fn applied_again(image: &Image, files: &mut Files) {
    let appliers = applying::appliers(files);
    for file in files.sysctl.iter_mut() {
        let by_hand = matches!(file.applied_by, AppliedBy::HandOnly | AppliedBy::Nobody);
        if by_hand && appliers.iter().any(|applier| applier.reads(file)) {
            file.applied_by = AppliedBy::Again;
        }
    }
    for applier in appliers {
        let Which::One(path) = applier.which else { continue };
        let known = files.sysctl.iter().any(|file| file.path == path || file.listed_as == path);
        if let Some(text) = image.read(&path).filter(|_| path.starts_with('/') && !known) {
            files.sysctl.push(sysctl_files::parse(
                &text,
                &path,
                AppliedBy::Again,
                sysctl_files::by_hand(image),
            ));
        }
    }
}

/// `Conffiles:` of procps in dpkg's status: ` /etc/sysctl.conf` with its digest, and perhaps `obsolete`.
fn in_status(image: &Image) -> bool {
    let Some((status, _)) = image.tail("var/lib/dpkg/status", STATUS_BYTES) else { return false };
    let mut paragraphs = status.text.split("\n\n");
    let procps = paragraphs.find(|paragraph| paragraph.lines().any(|line| line == "Package: procps"));
    procps.is_some_and(|paragraph| paragraph.lines().any(|line| line.starts_with(" /etc/sysctl.conf ")))
}

/// Lines that are neither empty nor comments.
pub fn lines(text: Option<Text>, format: Format) -> Vec<FileLine> {
    text.map(|text| joined(&text, format)).unwrap_or_default()
}

/// Lines of the files below each prefix; of files with one name the first counts.
pub fn of_directories(
    image: &Image,
    below: &str,
    format: Format,
    name_counts: impl Fn(&str) -> bool,
    line_counts: impl Fn(&str) -> bool,
) -> Vec<FileLine> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for prefix in PREFIXES {
        let directory = format!("{prefix}/{below}");
        for name in image.list(&directory).into_iter().filter(|name| name_counts(name)) {
            let path = format!("{directory}/{name}");
            names.entry(name).or_insert(path);
        }
    }
    let all = names.values().flat_map(|path| lines(image.read(path), format));
    all.filter(|line| line_counts(&line.text)).collect()
}

/// Names without an ending are taken too: they are a mistake that somebody made, where `.bak` is none.
fn modprobe(image: &Image) -> Vec<FileLine> {
    let counts = |name: &str| name.ends_with(".conf") || !name.contains(['.', '~']);
    of_directories(image, "modprobe.d", Format::Modprobe, counts, |_| true)
}

/// The file that ufw applies, by `/etc/default/ufw`.
fn ufw(image: &Image, firewalls: &[FileLine]) -> Option<SysctlFile> {
    let lines = firewalls.iter().filter(|line| line.path == "/etc/default/ufw");
    let path = lines.filter_map(|line| line.text.strip_prefix("IPT_SYSCTL=")).next_back()?;
    let path = path.trim().trim_matches(['"', '\'']);
    Some(sysctl_files::parse(&image.read(path)?, path, AppliedBy::Ufw, sysctl_files::by_hand(image)))
}
