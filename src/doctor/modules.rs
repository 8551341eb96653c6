//! modules-load.d and modprobe.d: what is loaded at boot, and with which options.

use super::cure::{MODPROBE_FILE, key};
use super::facts::{Facts, Files};
use super::names;
use crate::model::{FileLine, Finding, Severity};

/// A module that a file names for the boot.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Where.
    pub line: &'a FileLine,
    /// Loading it loads nf_conntrack.
    pub loads: bool,
}

/// Modules that the boot loads by name, as far as they have to do with conntrack.
pub fn listed(files: &Files) -> Vec<Listed<'_>> {
    let blacklisted: Vec<String> = blacklisted(files).filter_map(|line| word(line, 1)).collect();
    let ours =
        files.modules.iter().filter(|line| line.text.contains("conntrack") || brings(&first(line), files));
    ours.map(|line| {
        let name = first(line);
        Listed { line, loads: brings(&name, files) && !blacklisted.contains(&name) }
    })
    .collect()
}

/// `blacklist` lines about conntrack's module, which systemd-modules-load obeys.
pub fn blacklisted(files: &Files) -> impl Iterator<Item = &FileLine> {
    read(files).filter(|line| first(line) == "blacklist" && word(line, 1).as_deref() == Some("nf_conntrack"))
}

/// `-` and `_` are one to the kernel.
fn first(line: &FileLine) -> String {
    word(line, 0).unwrap_or_default()
}

fn word(line: &FileLine, at: usize) -> Option<String> {
    line.text.split_whitespace().nth(at).map(|word| word.replace('-', "_"))
}

/// Whether a module is nf_conntrack, or depends on it.
fn brings(module: &str, files: &Files) -> bool {
    const DEPEND: [&str; 16] = [
        "nft_ct",
        "nft_nat",
        "nft_masq",
        "nft_redir",
        "nft_chain_nat",
        "nft_flow_offload",
        "nft_connlimit",
        "iptable_nat",
        "ip6table_nat",
        "xt_conntrack",
        "xt_state",
        "xt_nat",
        "xt_MASQUERADE",
        "openvswitch",
        "act_ct",
        "ip_vs",
    ];
    match module {
        // The alias is in nf_conntrack_proto.c still.
        "nf_conntrack" | "ip_conntrack" => true,
        // Part of nf_conntrack itself since 4.19.
        "nf_conntrack_ipv4" | "nf_conntrack_ipv6" => {
            let versions = files.kernels.iter().filter_map(|release| names::version(release));
            !files.kernels.is_empty() && versions.into_iter().all(|version| version < (4, 19))
        }
        name if name.starts_with("nf_conntrack_proto_") => false,
        name => {
            let begins =
                ["nf_conntrack_", "nf_nat", "nf_flow_table"].iter().any(|prefix| name.starts_with(prefix));
            begins || DEPEND.contains(&name)
        }
    }
}

/// Lines of files that modprobe reads.
fn read(files: &Files) -> impl Iterator<Item = &FileLine> {
    files.modprobe.iter().filter(|line| line.path.ends_with(".conf"))
}

/// Whether a rule or a command writes the values when the module comes.
pub fn udev_applies(files: &Files) -> bool {
    let applies = |line: &&FileLine| line.text.contains("nf_conntrack") && line.text.contains("sysctl");
    files.udev.iter().any(|line| applies(&line))
        || read(files).any(|line| first(line) == "install" && applies(&line))
}

/// The last line that sets the module's hashsize, and to what.
pub fn hashsize(files: &Files) -> Option<(&FileLine, u64)> {
    let sizes = read(files).filter_map(|line| {
        let ours = first(line) == "options" && word(line, 1).as_deref() == Some("nf_conntrack");
        let value =
            line.text.split_whitespace().filter_map(|word| word.strip_prefix("hashsize=")).next_back()?;
        value.parse().ok().filter(|_| ours).map(|size| (line, size))
    });
    sizes.last()
}

/// Parameters of nf_conntrack.ko, now and before.
const PARAMETERS: [&str; 5] = ["hashsize", "expect_hashsize", "acct", "tstamp", "nf_conntrack_helper"];

/// Options that reach nobody.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(files) = &facts.files else { return Vec::new() };
    files.modprobe.iter().filter_map(|line| of_line(facts, files, line)).collect()
}

fn of_line(facts: &Facts, files: &Files, line: &FileLine) -> Option<Finding> {
    if first(line) != "options" {
        return None;
    }
    let module = word(line, 1)?;
    if !matches!(module.as_str(), "nf_conntrack" | "ip_conntrack") {
        return None;
    }
    let found = |title: String, because: &str, fix: Vec<String>| {
        Some(
            Finding::new("modprobe-no-effect", Severity::Error, title)
                .because(because)
                .seen([facts.line(line)])
                .fix(fix)
                .source(&["modprobe.d(5)", "nf_conntrack_core.c: module_param_call(hashsize, …)"]),
        )
    };
    let options: Vec<&str> = line.text.split_whitespace().skip(2).collect();
    if !line.path.ends_with(".conf") {
        return found(
            format!("{} is not read: its name does not end in .conf", line.path),
            "modprobe reads *.conf of modprobe.d alone; the module comes with its default.",
            vec![facts.rename(&line.path, &format!("{}.conf", line.path))],
        );
    }
    if module == "ip_conntrack" {
        let with = format!("options nf_conntrack {}", options.join(" "));
        return found(
            "options for ip_conntrack do not reach nf_conntrack".into(),
            "Options given to an alias count only where the module is loaded by that alias, which nothing does.",
            vec![facts.replace(&line.path, line.line, &with)],
        );
    }
    let unknown = options.iter().find(|option| {
        let name = option.split('=').next().unwrap_or_default();
        !PARAMETERS.contains(&name)
    });
    if let Some(unknown) = unknown {
        let buckets =
            unknown.split_once('=').filter(|(name, _)| name.contains("hash") || name.contains("bucket"));
        let fix = match buckets {
            Some((_, size)) => {
                facts.replace(&line.path, line.line, &format!("options nf_conntrack hashsize={size}"))
            }
            None => facts.comment_out(&line.path, line.line),
        };
        return found(
            format!("nf_conntrack has no parameter {unknown}"),
            "The kernel ignores it with a line in its log; max is a sysctl, the number of buckets is hashsize.",
            vec![fix],
        );
    }
    if !files.builtin {
        return None;
    }
    let mut fix = vec![facts.comment_out(&line.path, line.line)];
    if let Some(size) = options.iter().find_map(|option| option.strip_prefix("hashsize=")) {
        fix.push(facts.append(super::cure::SYSCTL_FILE, &format!("{} = {size}", key("buckets"))));
    }
    found(
        "options of modprobe.d do not reach a conntrack that is built into the kernel".into(),
        "Built-in code takes its parameters from the kernel's command line (nf_conntrack.hashsize=); the sysctl \
         works as well.",
        fix,
    )
}

/// The command that keeps a number of buckets over the next boot.
pub fn keep_buckets(facts: &Facts, buckets: u64) -> String {
    facts.append(MODPROBE_FILE, &format!("options nf_conntrack hashsize={buckets}"))
}
