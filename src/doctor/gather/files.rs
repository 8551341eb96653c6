//! Files, below any root.

use std::collections::BTreeMap;

use super::super::Files;
use super::commands;
use crate::kernel::image::{Image, Text};
use crate::kernel::modules::{self, Modules};
use crate::kernel::text_lines::{Format, joined};
use crate::kernel::{kernel_log, sysctl_files};
use crate::model::{AppliedBy, FileLine, SysctlFile};

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
/// What the files of a tree say. `releases` are the kernels that count, those installed where there are none.
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
    let conffiles = image.read("var/lib/dpkg/info/procps.conffiles");
    Files {
        sysctl,
        systemd,
        program: sysctl_files::at_boot(image),
        kernels,
        builtin,
        modules: boot_modules(image, systemd),
        modprobe: modprobe(image),
        udev: of_directories(
            image,
            "udev/rules.d",
            Format::Udev,
            |name| name.ends_with(".rules"),
            |line| line.contains("conntrack"),
        ),
        firewalls,
        writers: commands::writes(image),
        sysctl_conf_is_packaged: conffiles
            .is_some_and(|text| text.text.lines().any(|line| line.trim() == "/etc/sysctl.conf"))
            || in_status(image),
        // The running system has its ring buffer.
        log: if running.is_none() { kernel_log::logs(image) } else { Vec::new() },
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
fn lines(text: Option<Text>, format: Format) -> Vec<FileLine> {
    text.map(|text| joined(&text, format)).unwrap_or_default()
}

/// Lines of the files below each prefix; of files with one name the first counts.
fn of_directories(
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

/// Before the sysctls: modules-load.d; where no systemd reads it, Debian's kmod reads /etc/modules. What the initramfs
/// loads is there still earlier.
fn boot_modules(image: &Image, systemd: bool) -> Vec<FileLine> {
    let mut found =
        of_directories(image, "modules-load.d", Format::Plain, |name| name.ends_with(".conf"), |_| true);
    if !systemd {
        found.extend(lines(image.read("etc/modules"), Format::Plain));
    }
    found.extend(lines(image.read("etc/initramfs-tools/modules"), Format::Plain));
    found
}

/// Names without an ending are taken too: they are a mistake that somebody made, where `.bak` is none.
fn modprobe(image: &Image) -> Vec<FileLine> {
    let counts = |name: &str| name.ends_with(".conf") || !name.contains(['.', '~']);
    of_directories(image, "modprobe.d", Format::Modprobe, counts, |line| line.contains("conntrack"))
}

/// The file that ufw applies, by `/etc/default/ufw`.
fn ufw(image: &Image, firewalls: &[FileLine]) -> Option<SysctlFile> {
    let lines = firewalls.iter().filter(|line| line.path == "/etc/default/ufw");
    let path = lines.filter_map(|line| line.text.strip_prefix("IPT_SYSCTL=")).next_back()?;
    let path = path.trim().trim_matches(['"', '\'']);
    Some(sysctl_files::parse(&image.read(path)?, path, AppliedBy::Ufw, sysctl_files::by_hand(image)))
}
