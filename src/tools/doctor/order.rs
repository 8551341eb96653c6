//! Files that are not applied, not in time, or against each other.

use std::collections::BTreeMap;

use super::cure::{SYSCTL_FILE, key, quoted};
use super::facts::{Facts, Files};
use super::settings::{Setting, is_vendors};
use super::trial::Trial;
use super::{applying, loading, modules, options};
use crate::core::model::{AppliedBy, Finding, Severity, SysctlFile};

/// Findings on files as wholes.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(files) = &facts.files else { return Vec::new() };
    let mut found = conflicts(facts, files);
    let mut trial = Trial::new(facts);
    found.extend(files.sysctl.iter().filter_map(|file| not_read(facts, files, file, Some(&mut trial))));
    found.extend(before_module(facts, files));
    found.extend(overwritten(facts, files));
    found
}

/// Lines that say different values of one name.
pub(super) fn conflicts(facts: &Facts, files: &Files) -> Vec<Finding> {
    let mut found = contradictions(facts, files);
    found.extend(hashsize(facts, files));
    found
}

/// Lines of the boot that give one name different values. That /etc overrides what a vendor ships is the way it is
/// meant; that something behind overrides /etc is not.
fn contradictions(facts: &Facts, files: &Files) -> Vec<Finding> {
    let mut by_name: BTreeMap<&str, Vec<Setting<'_>>> = BTreeMap::new();
    let settings = files.settings(AppliedBy::Boot).into_iter().chain(files.settings(AppliedBy::Again));
    for setting in settings.filter(|setting| !setting.by_pattern) {
        by_name.entry(setting.name).or_default().push(setting);
    }
    by_name.into_values().filter_map(|settings| contradiction(facts, files, &settings)).collect()
}

fn contradiction(facts: &Facts, files: &Files, settings: &[Setting<'_>]) -> Option<Finding> {
    let (last, before) = settings.split_last()?;
    let beaten = before.iter().filter(|s| s.number != last.number);
    let beaten: Vec<_> = beaten.filter(|s| !is_vendors(s.file) || is_vendors(last.file)).collect();
    let others: Vec<String> = beaten.iter().map(|s| s.number.to_string()).collect();
    if others.is_empty() {
        return None;
    }
    let name = last.name;
    let title = format!("{} is set to {} and to {}", key(name), others.join(", "), last.number);
    let by_hand = files.systemd
        && last.file.path != "/etc/sysctl.conf"
        && beaten.iter().any(|s| s.file.path == "/etc/sysctl.conf");
    let more = if by_hand {
        " `sysctl --system` reads /etc/sysctl.conf last, so that by hand the other value wins."
    } else {
        ""
    };
    let why = format!(
        "Files are applied in the order of their names, whatever their directory; of two lines the later counts: at \
         boot that is {}.{more}",
        last.number
    );
    let fix = beaten.iter().map(|s| facts.comment_out(&s.file.path, s.line));
    let evidence = settings.iter().map(|s| facts.at(s.file, s.line));
    Some(
        Finding::new("sysctl-contradiction", Severity::Warning, title)
            .because(why)
            .seen(evidence)
            .fix(fix)
            .source(&["sysctl.d(5), Configuration Directories and Precedence", "sysctl(8), --system"]),
    )
}

/// The module's parameter and the sysctl say different sizes.
fn hashsize(facts: &Facts, files: &Files) -> Option<Finding> {
    let effective = files.effective();
    let sysctl = effective.get("buckets")?;
    let (line, size) = options::hashsize(files)?;
    if size == sysctl.number {
        return None;
    }
    let title = format!("the table is made with {size} buckets and then resized to {}", sysctl.number);
    Some(
        Finding::new("hashsize-contradiction", Severity::Warning, title)
            .because(
                "Resizing holds every lock of the table; one place is enough, and modprobe.d is the earlier.",
            )
            .seen([facts.line(line), facts.at(sysctl.file, sysctl.line)])
            // The number that is in force in the end stays.
            .fix([
                options::resized(facts, line, size, sysctl.number),
                facts.comment_out(&sysctl.file.path, sysctl.line),
            ])
            .source(&["nf_conntrack_set_hashsize, net/netfilter/nf_conntrack_core.c", "modprobe.d(5)"]),
    )
}

/// Endings of copies that editors and package managers leave; nobody thinks that those count.
const COPIES: [&str; 14] = [
    "~",
    ".bak",
    ".orig",
    ".save",
    ".old",
    ".dpkg-old",
    ".dpkg-dist",
    ".dpkg-new",
    ".rpmnew",
    ".rpmsave",
    ".rpmorig",
    ".disabled",
    ".swp",
    ".ucf-old",
];

/// Files that nothing reads at boot, without their fixes.
pub(super) fn unread(facts: &Facts, files: &Files) -> Vec<Finding> {
    files.sysctl.iter().filter_map(|file| not_read(facts, files, file, None)).collect()
}

fn not_read(
    facts: &Facts,
    files: &Files,
    file: &SysctlFile,
    trial: Option<&mut Trial<'_>>,
) -> Option<Finding> {
    let sets =
        |line: &&crate::core::model::SysctlLine| line.value.is_some() && line.conntrack_name().is_some();
    let lines: Vec<_> = file.lines.iter().filter(sets).map(|line| facts.at(file, line)).collect();
    let copy = COPIES.iter().any(|ending| file.listed_as.ends_with(ending));
    if lines.is_empty() || copy {
        return None;
    }
    let name = file.listed_as.rsplit('/').next().unwrap_or_default();
    match file.applied_by {
        AppliedBy::HandOnly => {
            let links = ["99-sysctl.conf", "99-zz-sysctl.conf", "99-zzz-sysctl.conf"];
            let link = links.iter().find(|name| !files.is_taken(name)).unwrap_or(&links[2]);
            let link = format!("/etc/sysctl.d/{link}");
            let command =
                format!("{}ln -s ../sysctl.conf {}", facts.make_directory(&link), quoted(&facts.path(&link)));
            let mut fix = others_count(facts, file);
            fix.extend(trial.map(|trial| trial.apply(file, vec![command])).unwrap_or_default());
            Some(
                Finding::new("sysctl-conf-not-read", Severity::Error, "/etc/sysctl.conf is not applied at boot")
                    .because(
                        "systemd-sysctl reads the directories sysctl.d alone. Until Debian 12 a link \
                         /etc/sysctl.d/99-sysctl.conf led here; Debian 13 has none, and `sed -i` on the link replaces \
                         it by a copy. `sysctl --system` reads the file all the same, so that it seems to work until \
                         the next boot.",
                    )
                    .seen(lines)
                    .fix(fix)
                    .source(&["sysctl.d(5)", "Debian 13 release notes, /etc/sysctl.conf is no longer honored"]),
            )
        }
        AppliedBy::Nobody => Some(
            Finding::new("sysctl-file-not-read", Severity::Error, format!("{name} is applied by nothing"))
                .because("Only files whose names end in .conf are read.")
                .seen(lines)
                .fix(trial.map(|trial| renamed(facts, files, file, trial)).unwrap_or_default())
                .source(&["sysctl.d(5)"]),
        ),
        AppliedBy::Boot | AppliedBy::Again | AppliedBy::Ufw => None,
    }
}

/// The file under a name that is read.
fn renamed(facts: &Facts, files: &Files, file: &SysctlFile, trial: &mut Trial<'_>) -> Vec<String> {
    let name = file.listed_as.rsplit('/').next().unwrap_or_default();
    let names =
        [format!("{name}.conf"), format!("{name}-conntrack.conf"), format!("{name}-conntrack-2.conf")];
    let to = names.iter().find(|name| !files.is_taken(name)).unwrap_or(&names[2]);
    let directory = file.listed_as.strip_suffix(name).unwrap_or_default();
    let mut fix = others_count(facts, file);
    fix.extend(trial.apply(file, vec![facts.rename(&file.listed_as, &format!("{directory}{to}"))]));
    fix
}

/// Other values that a file sets, which then count as well.
fn others_count(facts: &Facts, file: &SysctlFile) -> Vec<String> {
    let others =
        file.lines.iter().filter(|line| line.value.is_some() && line.conntrack_name().is_none()).count();
    match others {
        0 => Vec::new(),
        n => vec![format!("# {n} lines of {} about other things then count as well", facts.path(&file.path))],
    }
}

/// Values that are written before there is anything to write them to, and not again later.
pub(super) fn before_module(facts: &Facts, files: &Files) -> Option<Finding> {
    if files.builtin || modules::in_time(files) {
        return None;
    }
    let appliers = applying::appliers(files);
    let settings = files.settings(AppliedBy::Boot).into_iter().chain(files.settings(AppliedBy::Again));
    let again = |s: &Setting<'_>, certain: bool| {
        appliers.iter().any(|applier| applier.certain >= certain && applier.applies(s.file, s.line))
    };
    let late: Vec<Setting<'_>> = settings.filter(|s| !again(s, true)).collect();
    let lost: Vec<&Setting<'_>> = late.iter().filter(|s| !again(s, false)).collect();
    let first = late.first()?;
    // Without a kernel nobody can tell whether conntrack is a module of it.
    let unknown = files.kernels.is_empty();
    if lost.is_empty() || unknown {
        let because = match unknown {
            true => {
                "No kernel is in this tree that would tell whether conntrack is built in or a module. Where it is a module \
                 that firewall rules load later, the boot passes over these lines in silence."
            }
            false => {
                "The boot passes over these lines, for conntrack's module comes later. Something applies them again; \
                 whether the module is there by then does not stand in the files."
            }
        };
        let seen = appliers.iter().filter(|applier| applier.applies(first.file, first.line));
        return Some(
            Finding::new(
                "sysctl-before-module",
                Severity::Note,
                "conntrack's sysctls may come before its module",
            )
            .because(because)
            .seen(late.iter().map(|s| facts.at(s.file, s.line)))
            .seen(seen.map(|applier| facts.line(&applier.at)))
            .fix(load_early(facts, files))
            .source(BEFORE_MODULE),
        );
    }
    let listed = modules::listed(files);
    let misses: Vec<_> = listed.iter().map(|module| facts.line(module.line)).collect();
    let because = match misses.is_empty() {
        true => {
            "The boot applies files of sysctls right after modules-load.d. Conntrack is a module, which firewall \
                 rules load later: until then its names are not there, the lines are passed over in silence, and \
                 nothing writes them again."
        }
        false => {
            "The boot applies files of sysctls right after modules-load.d, where conntrack's module is named, \
                  but so that it is not loaded: nf_conntrack_ipv4 and nf_conntrack_ipv6 are gone since Linux 4.19, and \
                  what is on a blacklist is passed over."
        }
    };
    Some(
        Finding::new(
            "sysctl-before-module",
            Severity::Error,
            "conntrack's sysctls are applied before its module is loaded",
        )
        .because(because)
        .seen(lost.into_iter().map(|s| facts.at(s.file, s.line)).chain(misses))
        .fix(load_early(facts, files))
        .source(BEFORE_MODULE),
    )
}

const BEFORE_MODULE: &[&str] =
    &["sysctl.d(5), \"Many sysctl parameters only become available when\"", "modules-load.d(5)"];

/// Has the module loaded before the files are applied.
pub(super) fn load_early(facts: &Facts, files: &Files) -> Vec<String> {
    let mut fix: Vec<String> =
        modules::blacklisted(files).map(|line| facts.comment_out(&line.path, line)).collect();
    fix.extend(loading::off_the_list(facts, files));
    fix.push(facts.append(files.modules_file(), "nf_conntrack"));
    fix.extend(facts.live("modprobe nf_conntrack && sysctl --system"));
    fix
}

/// Lines that Debian's own /etc/sysctl.conf has at least, all of them comments.
const PACKAGED_COMMENTS: u32 = 8;

fn overwritten(facts: &Facts, files: &Files) -> Option<Finding> {
    let file = files.sysctl.iter().find(|file| file.path == "/etc/sysctl.conf")?;
    let ours: Vec<_> = file.lines.iter().filter(|line| line.key.contains("conntrack")).collect();
    let alone = !ours.is_empty() && ours.len() == file.lines.len();
    if !files.sysctl_conf_is_packaged || !alone || file.comments >= PACKAGED_COMMENTS {
        return None;
    }
    let target = if files.sysctl.iter().any(|f| f.path == SYSCTL_FILE) {
        "/etc/sysctl.d/91-conntrack.conf"
    } else {
        SYSCTL_FILE
    };
    let mut fix = vec![facts.rename("/etc/sysctl.conf", target)];
    fix.extend(facts.live("apt-get install --reinstall -o Dpkg::Options::=--force-confmiss procps"));
    fix.push("# and put back what stood there before, net.ipv4.ip_forward for one, from a backup".into());
    Some(
        Finding::new(
            "sysctl-conf-overwritten",
            Severity::Warning,
            "/etc/sysctl.conf holds conntrack's lines and nothing else",
        )
        .because(
            "It looks as if it was written whole (`echo … > /etc/sysctl.conf`, with one `>`): the packaged file with \
             its comments is gone, and with it whatever was set there, such as forwarding.",
        )
        .seen([facts.whole(&file.path, format!("{} lines, {} comments", file.lines_total, file.comments))])
        .seen(ours.into_iter().map(|line| facts.at(file, line)))
        .fix(fix)
        .source(&["sysctl.conf(5)"]),
    )
}
