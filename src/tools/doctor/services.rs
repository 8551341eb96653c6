//! Firewalls that write values again, or throw them away, when they start.

use super::cure::key;
use super::facts::{Facts, Files};
use crate::core::model::{AppliedBy, FileLine, Finding, Severity};

/// Findings on what a restart of the firewall does to conntrack's values.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(files) = &facts.files else { return Vec::new() };
    let mut found = ufw(facts, files);
    found.extend(load_list(facts, files));
    found.extend(unloads(facts, files));
    found
}

/// The last assignment of a name in the firewalls' files whose path contains `path`, its value without quotes.
fn assigned<'a>(files: &'a Files, path: &str, name: &str) -> Option<(&'a FileLine, &'a str)> {
    let ours = files.firewalls.iter().filter(|line| line.path.contains(path));
    let mut values = ours.filter_map(|line| {
        let (found, value) = line.text.split_once('=')?;
        (found.trim() == name).then(|| (line, value.trim().trim_matches(['"', '\''])))
    });
    values.next_back()
}

fn is_yes(value: &str) -> bool {
    value.eq_ignore_ascii_case("yes")
}

/// ufw applies a file of its own behind the boot's, at every start and reload.
fn ufw(facts: &Facts, files: &Files) -> Vec<Finding> {
    let enabled = assigned(files, "ufw.conf", "ENABLED").is_some_and(|(_, value)| is_yes(value));
    if !enabled {
        return Vec::new();
    }
    let effective = files.effective();
    let found = files.settings(AppliedBy::Ufw).into_iter().filter_map(|setting| {
        let boot = effective.get(setting.name);
        let now = facts.runtime.as_ref().filter(|r| r.first).and_then(|r| r.number(setting.name));
        let other = boot.map(|boot| boot.number).or(now).filter(|other| *other != setting.number)?;
        let name = key(setting.name);
        let title = format!("ufw sets {name} to {} whenever it starts, against {other}", setting.number);
        let evidence = [facts.at(setting.file, setting.line)].into_iter();
        Some(
            Finding::new("ufw-resets", Severity::Warning, title)
                .because(
                    "ufw-init runs `sysctl -e -q -p` on the file that IPT_SYSCTL names, at boot, at `ufw enable` and at \
                     `ufw reload`: it has the last word over sysctl.d and over what was set by hand.",
                )
                .seen(evidence.chain(boot.map(|boot| facts.at(boot.file, boot.line))))
                .fix([facts.comment_out(&setting.file.path, setting.line)])
                .source(&["ufw-framework(8), IPT_SYSCTL", "/lib/ufw/ufw-init-functions, ufw_start"]),
        )
    });
    found.collect()
}

/// iptables-services of Red Hat's family: matching lines of /etc/sysctl.d are applied again at each restart.
fn load_list(facts: &Facts, files: &Files) -> Vec<Finding> {
    let lists = ["iptables-config", "ip6tables-config"].into_iter().filter_map(|file| {
        let name =
            if file.starts_with("ip6") { "IP6TABLES_SYSCTL_LOAD_LIST" } else { "IPTABLES_SYSCTL_LOAD_LIST" };
        assigned(files, &format!("/{file}"), name)
    });
    lists.filter_map(|(line, list)| resets(facts, files, line, list)).collect()
}

fn resets(facts: &Facts, files: &Files, line: &FileLine, list: &str) -> Option<Finding> {
    let matching = |text: &str| list.split_whitespace().any(|word| text.contains(word));
    let settings = files.settings(AppliedBy::Boot);
    let hit: Vec<_> = settings.iter().filter(|s| matching(&s.line.text)).collect();
    if hit.is_empty() {
        return None;
    }
    let (name, _) = line.text.split_once('=')?;
    Some(
        Finding::new("iptables-restart-resets", Severity::Warning, "a restart of iptables puts values back")
            .because(
                "The service takes every line of /etc/sysctl.d/* that contains one of these words and applies it \
                 again, in the order of the files and without regard to /etc/sysctl.conf: what was raised by hand in \
                 an emergency is gone with the restart.",
            )
            .seen([facts.line(line)])
            .seen(hit.into_iter().map(|s| facts.at(s.file, s.line)))
            .fix([facts.replace(&line.path, line, &format!("{}=\"\"", name.trim()))])
            .source(&["iptables-services, iptables.init: load_sysctl"]),
    )
}

/// Modules that a restart unloads come back with default values.
fn unloads(facts: &Facts, files: &Files) -> Vec<Finding> {
    let settings = files.settings(AppliedBy::Boot);
    if settings.is_empty() || files.builtin {
        return Vec::new();
    }
    let yes = |path: &str, name: &str| assigned(files, path, name).filter(|(_, value)| is_yes(value));
    let lists = [
        (yes("/iptables-config", "IPTABLES_MODULES_UNLOAD"), "iptables", "IPTABLES_SYSCTL_LOAD_LIST"),
        (yes("/ip6tables-config", "IP6TABLES_MODULES_UNLOAD"), "ip6tables", "IP6TABLES_SYSCTL_LOAD_LIST"),
        (yes("/firewalld.conf", "CleanupModulesOnExit"), "firewalld", "CleanupModulesOnExit"),
    ];
    let unloaded = lists.into_iter().filter_map(|(found, service, list)| {
        let (line, _) = found?;
        let again = assigned(files, &format!("/{service}-config"), list);
        let covered = again.is_some_and(|(_, words)| {
            let covers = |text: &str| words.split_whitespace().any(|word| text.contains(word));
            settings.iter().all(|s| covers(&s.line.text))
        });
        (!covered).then(|| unloading(facts, line, service, &settings))
    });
    unloaded.collect()
}

fn unloading(
    facts: &Facts,
    line: &FileLine,
    service: &str,
    settings: &[super::settings::Setting<'_>],
) -> Finding {
    let name = line.text.split('=').next().unwrap_or_default().trim();
    Finding::new(
        "firewall-unloads-module",
        Severity::Warning,
        format!("a stop of {service} unloads conntrack, and its values with it"),
    )
    .because(
        "A module that is loaded again has the kernel's defaults; nothing applies the files of sysctls then.",
    )
    .seen([facts.line(line)])
    .seen(settings.iter().map(|s| facts.at(s.file, s.line)))
    .fix([facts.replace(&line.path, line, &format!("{name}=no"))])
    .source(&[
        "firewalld.conf(5), CleanupModulesOnExit",
        "iptables-services, iptables.init: IPTABLES_MODULES_UNLOAD",
    ])
}
