//! Files, below any root.

use std::collections::BTreeMap;

use super::super::Files;
use crate::kernel::image::{Image, Text};
use crate::kernel::modules::{self, Modules};
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
/// Files that run commands.
const SCRIPTS: [&str; 4] = ["etc/rc.local", "etc/rc.d/rc.local", "etc/crontab", "etc/network/interfaces"];
/// Directories of such files.
const SCRIPT_DIRECTORIES: [&str; 17] = [
    "etc/cron.d",
    "etc/cron.hourly",
    "etc/cron.daily",
    "etc/cron.weekly",
    "var/spool/cron",
    "var/spool/cron/crontabs",
    "etc/network/interfaces.d",
    "etc/network/if-pre-up.d",
    "etc/network/if-up.d",
    "etc/NetworkManager/dispatcher.d",
    "etc/networkd-dispatcher/routable.d",
    "etc/ppp/ip-up.d",
    "etc/local.d",
    "etc/systemd/system",
    "etc/udev/rules.d",
    "usr/local/sbin",
    "usr/local/bin",
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
    let firewalls: Vec<FileLine> = FIREWALLS.iter().flat_map(|path| lines(image.read(path))).collect();
    let mut sysctl = sysctl_files::files(image);
    sysctl.extend(ufw(image, &firewalls));
    let systemd = sysctl_files::by_systemd(image);
    let conffiles = image.read("var/lib/dpkg/info/procps.conffiles");
    Files {
        sysctl,
        systemd,
        kernels,
        builtin,
        modules: boot_modules(image, systemd),
        modprobe: modprobe(image),
        udev: of_directories(
            image,
            "udev/rules.d",
            |name| name.ends_with(".rules"),
            |line| line.contains("conntrack"),
        ),
        firewalls,
        writers: writers(image),
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
fn lines(text: Option<Text>) -> Vec<FileLine> {
    let Some(Text { path, text }) = text else { return Vec::new() };
    let trimmed = (1..).zip(text.lines().map(str::trim));
    let said = trimmed.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']));
    said.map(|(line, text)| FileLine { path: path.clone(), line, text: text.into() }).collect()
}

/// Lines of the files below each prefix; of files with one name the first counts.
fn of_directories(
    image: &Image,
    below: &str,
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
    let all = names.values().flat_map(|path| lines(image.read(path)));
    all.filter(|line| line_counts(&line.text)).collect()
}

/// Before the sysctls: modules-load.d; where no systemd reads it, Debian's kmod reads /etc/modules. What the initramfs
/// loads is there still earlier.
fn boot_modules(image: &Image, systemd: bool) -> Vec<FileLine> {
    let mut found = of_directories(image, "modules-load.d", |name| name.ends_with(".conf"), |_| true);
    if !systemd {
        found.extend(lines(image.read("etc/modules")));
    }
    found.extend(lines(image.read("etc/initramfs-tools/modules")));
    found
}

/// Names without an ending are taken too: they are a mistake that somebody made, where `.bak` is none.
fn modprobe(image: &Image) -> Vec<FileLine> {
    let counts = |name: &str| name.ends_with(".conf") || !name.contains(['.', '~']);
    of_directories(image, "modprobe.d", counts, |line| line.contains("conntrack"))
}

/// The file that ufw applies, by `/etc/default/ufw`.
fn ufw(image: &Image, firewalls: &[FileLine]) -> Option<SysctlFile> {
    let lines = firewalls.iter().filter(|line| line.path == "/etc/default/ufw");
    let path = lines.filter_map(|line| line.text.strip_prefix("IPT_SYSCTL=")).next_back()?;
    let path = path.trim().trim_matches(['"', '\'']);
    Some(sysctl_files::parse(&image.read(path)?, path, AppliedBy::Ufw))
}

/// Lines of scripts, units and the active profile of tuned that name conntrack's values.
fn writers(image: &Image) -> Vec<FileLine> {
    let mut paths: Vec<String> = SCRIPTS.iter().map(ToString::to_string).collect();
    for directory in SCRIPT_DIRECTORIES {
        for name in image.list(directory) {
            let path = format!("{directory}/{name}");
            // Drop-ins of units.
            if name.ends_with(".d") {
                paths.extend(image.list(&path).iter().map(|inside| format!("{path}/{inside}")));
            }
            paths.push(path);
        }
    }
    if let Some(profile) = image.read("etc/tuned/active_profile") {
        let places = ["etc/tuned", "etc/tuned/profiles", "usr/lib/tuned", "usr/lib/tuned/profiles"];
        for name in profile.text.split_whitespace().filter(|name| !name.contains('/')).take(16) {
            let named = places.iter().map(|place| format!("{place}/{name}/tuned.conf"));
            paths.extend(named.filter(|path| image.exists(path)).take(1));
        }
    }
    let found = paths.iter().flat_map(|path| lines(image.read_script(path)));
    let mut found: Vec<FileLine> = found.filter(|line| line.text.contains("conntrack")).collect();
    // A unit is found again by the links that enable it.
    found.dedup();
    found
}
