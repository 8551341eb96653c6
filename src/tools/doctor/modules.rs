//! modules-load.d and modprobe.d: what is loaded at boot, and with which options.

use super::boot_modules::normalized;
use super::cure::MODPROBE_FILE;
use super::facts::{BootModule, Facts, Files};
use super::formats::modprobe;
use super::formats::writes::{self, Write};
use super::{applying, loading, names, options, order};
use crate::core::model::{FileLine, Finding, Severity};

/// A module that the boot loads, as far as it has to do with conntrack.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Line that names it.
    pub line: &'a FileLine,
    /// Loading it loads nf_conntrack.
    pub loads: bool,
}

/// Modules that the boot loads by name, as far as they have to do with conntrack.
pub fn listed(files: &Files) -> Vec<Listed<'_>> {
    let blacklisted: Vec<String> = read(files)
        .filter(|line| first(line) == "blacklist")
        .filter_map(|line| word(line, 1))
        .chain(loading::listed_for_modprobe(files))
        .collect();
    let kept_away = |module: &BootModule| module.obeys_blacklist && blacklisted.contains(&module.name);
    let ours = files.modules.iter().filter(|module| {
        module.name.contains("conntrack") || brings_with_others(&module.name, files, MOST_STEPS)
    });
    let loads =
        |module: &BootModule| !kept_away(module) && brings_with_others(&module.name, files, MOST_STEPS);
    ours.map(|module| Listed { line: &module.at, loads: loads(module) }).collect()
}

/// True if the module is there before the boot applies files of sysctls.
pub fn in_time(files: &Files) -> bool {
    listed(files).iter().any(|module| module.loads) || applying::loads_before(files)
}

/// Soft dependencies of soft dependencies are followed so far.
const MOST_STEPS: usize = 8;

/// True if loading a module loads nf_conntrack: by what it needs, or by what modprobe.d says.
fn brings_with_others(module: &str, files: &Files, steps: usize) -> bool {
    let more = |name: &str| steps > 0 && brings_with_others(name, files, steps - 1);
    let said = |line: &FileLine| match first(line).as_str() {
        "softdep" if word(line, 1).as_deref() == Some(module) => {
            line.text.split_whitespace().skip(2).any(|name| !name.ends_with(':') && more(&normalized(name)))
        }
        "alias" if word(line, 1).as_deref() == Some(module) => word(line, 2).is_some_and(|name| more(&name)),
        "install" if word(line, 1).as_deref() == Some(module) && module != "nf_conntrack" => {
            applying::expanded(&modprobe::commands(line)).iter().any(|c| applying::loads(c, files))
        }
        _ => false,
    };
    brings(module, files) || read(files).any(said)
}

/// `blacklist` lines about conntrack's module, which systemd-modules-load obeys.
pub fn blacklisted(files: &Files) -> impl Iterator<Item = &FileLine> {
    read(files).filter(|line| is_about(line, "blacklist"))
}

fn is_about(line: &FileLine, command: &str) -> bool {
    first(line) == command && word(line, 1).as_deref() == Some("nf_conntrack")
}

/// `-` and `_` are one to the kernel.
pub(super) fn first(line: &FileLine) -> String {
    word(line, 0).unwrap_or_default()
}

pub(super) fn word(line: &FileLine, at: usize) -> Option<String> {
    line.text.split_ascii_whitespace().nth(at).map(|word| word.replace('-', "_"))
}

/// True if a module is nf_conntrack, or depends on it.
pub fn brings(module: &str, files: &Files) -> bool {
    const DEPEND: [&str; 28] = [
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
        "nf_conncount",
        "nf_synproxy_core",
        "nfnetlink_cttimeout",
        "nfnetlink_cthelper",
        "nft_synproxy",
        "xt_CT",
        "xt_CONNSECMARK",
        "xt_NETMAP",
        "xt_REDIRECT",
        "xt_cluster",
        "xt_connbytes",
        "xt_helper",
        "act_ctinfo",
    ];
    if let Some(dependents) = files.dependents.as_ref().filter(|_| module != "ip_conntrack") {
        return dependents.iter().any(|name| name == module);
    }
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
            let begins = ["nf_conntrack_", "nf_nat", "nf_flow_table", "ip_vs", "xt_conn"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            begins || DEPEND.contains(&name)
        }
    }
}

/// Lines of files that modprobe reads.
pub(super) fn read(files: &Files) -> impl Iterator<Item = &FileLine> {
    files.modprobe.iter().filter(|line| line.path.ends_with(".conf"))
}

/// Values that commands of `install` write, as they run when a module comes. Files of sysctls that the boot applies
/// behind that have the last word.
pub fn writes(files: &Files) -> Vec<Write> {
    let (effective, in_time) = (files.effective(), in_time(files));
    let of = |line| {
        let module = modprobe::install(line).map(|(module, _)| normalized(module)).unwrap_or_default();
        let early = match module == "nf_conntrack" {
            true => in_time,
            false => files.modules.iter().any(|listed| listed.name == module),
        };
        let written: Vec<Write> = modprobe::commands(line).iter().flat_map(writes::of).collect();
        written.into_iter().map(move |write| (early, write))
    };
    let all = read(files).flat_map(of);
    let overruled = |write: &Write| write.name().is_some_and(|name| effective.contains_key(name));
    all.map(|(early, write)| Write { overruled: early && overruled(&write), ..write }).collect()
}

/// Findings on lines that keep the module away, or seem to.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(files) = &facts.files else { return Vec::new() };
    let mut found = options::check(facts, files);
    // A module that is built in cannot be kept away, and there is nothing to load.
    if !files.builtin {
        found.extend(blocked(facts, files));
        found.extend(seems_away(facts, files));
    }
    found
}

/// `install nf_conntrack /bin/true`: the command runs, and nothing is loaded.
fn blocked<'a>(facts: &'a Facts, files: &'a Files) -> impl Iterator<Item = Finding> + 'a {
    const NOTHING: [&str; 4] = ["true", "false", ":", "exit"];
    let does_nothing = |line: &&FileLine| {
        let command = line.text.split_whitespace().nth(2).unwrap_or_default();
        let loads = ["modprobe", "insmod"].iter().any(|program| line.text.contains(program));
        NOTHING.contains(&command.rsplit('/').next().unwrap_or_default()) && !loads
    };
    let ours = read(files).filter(|line| is_about(line, "install")).filter(does_nothing);
    ours.map(|line| {
        let command = line.text.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
        let mut fix = vec![facts.comment_out(&line.path, line)];
        fix.extend(facts.live("modprobe nf_conntrack"));
        Finding::new("module-not-loaded", Severity::Error, "nf_conntrack is never loaded")
            .because(format!(
                "modprobe runs `{command}` instead of loading it, and every module that needs it fails: NAT, and rules \
                 that look at the state of connections, cannot be put in."
            ))
            .seen([facts.line(line)])
            .fix(fix)
            .source(&["modprobe.d(5), install"])
    })
}

/// A blacklist keeps off loading by alias and by modules-load.d, but not what other modules need.
fn seems_away(facts: &Facts, files: &Files) -> Option<Finding> {
    let lines: Vec<&FileLine> = blacklisted(files).collect();
    // If values come too late for it, that finding says it already.
    if lines.is_empty() || order::before_module(facts, files).is_some() {
        return None;
    }
    let named = files.modules.iter().filter(|module| module.name == "nf_conntrack").map(|module| &module.at);
    Some(
        Finding::new("module-blacklisted", Severity::Warning, "nf_conntrack is on a blacklist, which does not keep it away")
            .because(
                "modules-load.d passes over a module on a blacklist. As what another module needs (nf_nat, nft_ct, \
                 xt_conntrack) it is loaded all the same, with the first rule that asks for it, and later than its \
                 settings.",
            )
            .seen(lines.iter().chain(&named.collect::<Vec<_>>()).map(|line| facts.line(line)))
            .fix(lines.iter().map(|line| facts.comment_out(&line.path, *line)))
            .source(&["modprobe.d(5), blacklist", "modules-load.d(5)", "kmod_module_probe_insert_module, libkmod"]),
    )
}

/// The command that keeps a number of buckets over the next boot.
pub fn keep_buckets(facts: &Facts, buckets: u64) -> String {
    facts.append(MODPROBE_FILE, &format!("options nf_conntrack hashsize={buckets}"))
}
