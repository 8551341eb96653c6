//! Other programs and scripts that write the same values.

use std::collections::BTreeMap;

use super::cure::{SYSCTL_FILE, key, seen};
use super::facts::{Facts, Files};
use super::formats::Command;
use super::formats::writes::Write;
use super::names::{self, Known, Near};
use super::settings::Setting;
use super::timeouts::{CUTS_SECONDS, RFC_5382_SECONDS};
use super::{options, value};
use crate::model::{Finding, Severity};

const ESTABLISHED: &str = "tcp_timeout_established";

/// What scripts, units and profiles write, and programs that run.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(files) = &facts.files {
        let boot = Boot { files, effective: files.effective() };
        for of_file in files.writers.chunk_by(|a, b| a.line.path == b.line.path) {
            found.extend(of_file.iter().filter_map(|write| of_write(facts, &boot, write, of_file)));
        }
    }
    found.extend(kube_proxy(facts));
    found
}

/// What files of sysctls set, looked up once for all writers.
struct Boot<'a> {
    files: &'a Files,
    effective: BTreeMap<&'a str, Setting<'a>>,
}

fn of_write(facts: &Facts, boot: &Boot<'_>, write: &Write, of_file: &[Write]) -> Option<Finding> {
    if let Some(finding) = wrong_name(facts, boot, write) {
        return Some(finding);
    }
    let name = write.name().filter(|name| names::known(name) != Known::Unknown)?;
    let line = &write.line;
    if let Some(joined) = &write.torn {
        return Some(torn(facts, write, joined));
    }
    let full = key(name);
    let set = boot.effective.get(name);
    let number = write.value.as_deref().and_then(|value| value::read(name, value).number());
    let against = set.filter(|set| match (number, write.only) {
        (Some(number), Some('>')) => number > set.number,
        (Some(number), Some('<')) => number < set.number,
        (number, _) => number.is_none_or(|number| number != set.number),
    });
    if let Some(seconds) = number.filter(|number| name == ESTABLISHED && *number < RFC_5382_SECONDS) {
        return Some(forgets(facts, boot, write, of_file, seconds));
    }
    let size = options::hashsize(boot.files)
        .filter(|(_, size)| name == "buckets" && number.is_some_and(|n| n != *size));
    let severity = if against.is_some() || size.is_some() { Severity::Warning } else { Severity::Note };
    let title = match (against, size) {
        (Some(set), _) if write.overruled => {
            format!(
                "{} writes {full} too, against {} in sysctl.d, which tuned applies again",
                line.path, set.number
            )
        }
        (Some(set), _) => format!("{} writes {full} too, against {} in sysctl.d", line.path, set.number),
        (None, Some((_, size))) => {
            format!("{} writes {full}, against hashsize={size} in modprobe.d", line.path)
        }
        (None, None) => format!("{} writes {full}", line.path),
    };
    let mut evidence = vec![facts.line(line)];
    evidence.extend(set.map(|set| facts.at(set.file, set.line)));
    evidence.extend(size.map(|(line, _)| facts.line(line)));
    Some(
        Finding::new("other-writer", severity, title)
            .because(
                "What a script writes behind the boot wins over files of sysctls without a trace, and is lost where \
                 something else writes later. One place is enough.",
            )
            .seen(evidence)
            .fix(moved(facts, boot, write, of_file))
            .source(&["sysctl.d(5)"]),
    )
}

/// Takes a write out of its file, and puts into sysctl.d what its command sets and nothing else does.
fn moved(facts: &Facts, boot: &Boot<'_>, write: &Write, of_file: &[Write]) -> Vec<String> {
    let mut fix = vec![without(facts, write)];
    let files = boot.files;
    let beside = of_file.iter().filter(|other| **other == *write || is_same_command(other, write));
    let mut loads = false;
    for other in beside.filter(|other| other.torn.is_none()) {
        let Some(name) = other
            .name()
            .filter(|name| matches!(names::known(name), Known::Writable | Known::WritableSince(_)))
        else {
            continue;
        };
        let number = other.value.as_deref().and_then(|value| value::read(name, value).number());
        let number = number.filter(|number| name != ESTABLISHED || *number >= RFC_5382_SECONDS);
        let size = options::hashsize(files).filter(|_| name == "buckets");
        if let (None, None, Some(number)) = (boot.effective.get(name), size, number) {
            fix.push(facts.append(SYSCTL_FILE, &format!("{} = {number}", key(name))));
            loads = true;
        }
    }
    if loads && !files.builtin && !super::modules::listed(files).iter().any(|module| module.loads) {
        fix.push(facts.append(super::cure::MODULES_FILE, "nf_conntrack"));
    }
    fix
}

fn is_same_command(a: &Write, b: &Write) -> bool {
    a.command.is_some() && a.command == b.command
}

/// The file without the write: in a script `:` takes the place of the command, so that what stands around it stays a
/// script; elsewhere the line becomes a comment.
fn without(facts: &Facts, write: &Write) -> String {
    let line = &write.line;
    let command = write.command.as_ref().and_then(|command| command.text());
    match command.filter(|_| line.line == line.last) {
        Some(command) if command != line.text => facts.substitute(&line.path, line.line, command, ":"),
        _ => facts.comment_out(&line.path, line),
    }
}

/// A name that no kernel takes: as in a file of sysctls, and nothing that sysctl.d could hold instead.
fn wrong_name(facts: &Facts, boot: &Boot<'_>, write: &Write) -> Option<Finding> {
    let path = &write.line.path;
    let old = names::renamed(&write.key);
    let name = write.name();
    let (id, why) = match name.map(names::known) {
        _ if old.is_some() => {
            if !boot.files.kernels.is_empty() && super::lines::all_know_old_names(boot.files) {
                return None;
            }
            (
                "sysctl-renamed",
                "ip_conntrack became nf_conntrack in Linux 2.6.20; the old names are gone since 4.9."
                    .to_owned(),
            )
        }
        Some(Known::ReadOnly) => {
            ("sysctl-read-only", "It is the kernel's own count, and the write is refused (mode 0444).".into())
        }
        None | Some(Known::Unknown) => (
            "sysctl-unknown-name",
            match names::nearest(name.unwrap_or_else(|| write.key.rsplit('/').next().unwrap_or_default())) {
                Some(Near::Meant(near) | Near::Perhaps(near)) => {
                    format!("Nothing is set. Perhaps {} was meant.", key(near))
                }
                None => "Nothing is set, and no name that there is comes near.".into(),
            },
        ),
        _ => return None,
    };
    // What only the run decides may be right.
    if write.key.contains(['$', '`', '*', '?', '[']) {
        return None;
    }
    let shown = write.key.rsplit('/').next().unwrap_or_default();
    Some(
        Finding::new(id, Severity::Error, format!("{path} writes {shown}, which sets nothing"))
            .because(why)
            .seen([facts.line(&write.line)])
            .fix([without(facts, write)])
            .source(&["nf_ct_sysctl_table, net/netfilter/nf_conntrack_standalone.c"]),
    )
}

/// What a script writes counts behind the boot, and is no better for it.
fn forgets(facts: &Facts, boot: &Boot<'_>, write: &Write, of_file: &[Write], seconds: u64) -> Finding {
    let severity = if seconds < CUTS_SECONDS { Severity::Error } else { Severity::Warning };
    let title = format!("{} has connections forgotten after {seconds} s of silence", write.line.path);
    Finding::new("established-too-short", severity, title)
        .because(
            "A session that nobody types in is silent for hours; TCP's own keepalive begins after two hours: hence 2 h \
             4 min as the least.",
        )
        .seen([facts.line(&write.line)])
        .fix(moved(facts, boot, write, of_file))
        .source(&["RFC 5382, REQ-5", "tcp(7), tcp_keepalive_time"])
}

fn torn(facts: &Facts, write: &Write, joined: &str) -> Finding {
    let (line, name) = (&write.line, key(write.name().unwrap_or_default()));
    let mended = write.command.as_ref().and_then(|command| mended(command, joined));
    let fix = match mended {
        Some((command, with)) if line.line == line.last => {
            facts.substitute(&line.path, line.line, &command, &with)
        }
        _ => facts.comment_out(&line.path, line),
    };
    Finding::new(
        "sysctl-w-spaces",
        Severity::Error,
        format!("{} sets nothing: spaces around = on a command line", line.path),
    )
    .because(format!(
        "Files of sysctls may have spaces around `=`; a command line may not: sysctl(8) gets `{name}`, `=` and the \
         value as three arguments, and says \"invalid syntax\"."
    ))
    .seen([facts.line(line)])
    .fix([fix])
    .source(&["sysctl(8), variable=value"])
}

/// The assignment as it stands in the line, and the same in one word.
fn mended(command: &Command, joined: &str) -> Option<(String, String)> {
    let (name, value) = joined.split_once('=')?;
    let text = &command.line.text;
    let start = text.find(name)?;
    let behind = &text[start + name.len()..];
    let gap = behind
        .find(|c: char| !c.is_whitespace() && c != '=')
        .filter(|gap| behind[*gap..].starts_with(value))?;
    Some((text[start..start + name.len() + gap + value.len()].to_owned(), joined.to_owned()))
}

/// kube-proxy sets max and two timeouts at its start, by its own flags.
fn kube_proxy(facts: &Facts) -> Option<Finding> {
    let runtime = facts.runtime.as_ref()?;
    let (pid, name) = runtime.programs.iter().find(|(_, name)| name == "kube-proxy")?;
    let effective = facts.files.as_ref().map(|files| files.effective()).unwrap_or_default();
    let written = ["max", "tcp_timeout_established", "tcp_timeout_close_wait"];
    let both: Vec<_> = written.iter().filter_map(|name| effective.get(name)).collect();
    let severity = if both.is_empty() { Severity::Note } else { Severity::Warning };
    Some(
        Finding::new("other-manager", severity, "kube-proxy manages conntrack's values as well")
            .because(
                "At its start it sets max (32768 a core, 131072 at least), tcp_timeout_established (one day) and \
                 tcp_timeout_close_wait (one hour), whatever sysctl.d says.",
            )
            .seen([seen(format!("process {pid}: {name}"))])
            .seen(both.into_iter().map(|s| facts.at(s.file, s.line)))
            .fix([
                "# in kube-proxy's configuration, which then leaves the values alone:",
                "#   conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s }",
            ])
            .source(&["kube-proxy(1), --conntrack-max-per-core, --conntrack-tcp-timeout-established"]),
    )
}
