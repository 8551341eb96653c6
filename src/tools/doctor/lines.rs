//! Lines that do not say what their author thinks: names and values that the kernel does not take.

use super::cure::key;
use super::facts::{Facts, Files};
use super::formats::writes::is_ours;
use super::names::{self, Known, Near, Version};
use super::negative_max;
use super::options;
use super::settings::{self, reading};
use super::short_timeouts::{negative_finding, sane};
use super::trial::Trial;
use super::value::{self, Reading};
use crate::core::model::{AppliedBy, Finding, Severity, SysctlFile, SysctlLine, SysctlProgram};

const FORMAT: &[&str] = &["sysctl.d(5)", "sysctl.conf(5)"];

/// Findings on single lines of files of sysctls.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(files) = &facts.files else { return Vec::new() };
    let read = files.sysctl.iter().filter(|file| file.applied_by != AppliedBy::Nobody);
    let lines = read.flat_map(|file| file.lines.iter().map(move |line| (file, line)));
    let mut trial = Trial::new(facts);
    lines.filter_map(|(file, line)| of_line(facts, files, file, line, &mut trial)).collect()
}

/// A comment in another language than the file's: nothing is set by it, and nothing was meant to be.
fn is_remark(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    !text.contains('=') && (text.starts_with(['#', ';', '/', '*', '[']) || text.starts_with("--"))
}

fn of_line(
    facts: &Facts,
    files: &Files,
    file: &SysctlFile,
    line: &SysctlLine,
    trial: &mut Trial<'_>,
) -> Option<Finding> {
    let ours = is_ours(&line.key) || (line.value.is_none() && line.key.contains("nf_conntrack"));
    if !ours || is_remark(&line.text) {
        return None;
    }
    let named = line.key.chars().all(|c| c.is_ascii_alphanumeric() || "/._-*?[]".contains(c));
    if !named || (line.value.is_none() && !line.may_fail) {
        return Some(unreadable(facts, file, line, trial));
    }
    // A key alone behind `-` is exempt from patterns; a pattern names what there is.
    let value = line.value.as_deref()?;
    if line.key.contains(['*', '?', '[']) {
        return match files.program.knows_patterns() {
            false => Some(no_pattern(facts, file, line)),
            true => (!settings::names_any(&line.key)).then(|| unknown(facts, file, line, value, trial)),
        };
    }
    if let Some(name) = mixed(&line.key) {
        return Some(other_separator(facts, files, file, line, (name, value), trial));
    }
    if let Some(new) = names::renamed(&line.key) {
        return renamed(facts, files, file, line, (&new, value), trial);
    }
    let Some(name) = line.conntrack_name() else { return Some(unknown(facts, file, line, value, trial)) };
    match names::known(name) {
        Known::ReadOnly => Some(read_only(facts, file, line, "it is the kernel's own count")),
        Known::WritableSince(version) if any_older(files, version) => {
            let why = format!("it is read-only before Linux {}.{}", version.0, version.1);
            let number = value::read(name, value).number();
            let fix = number.map(|number| options::sized(facts, files, number));
            Some(read_only(facts, file, line, &why).fix(fix))
        }
        Known::GoneSince(version, instead) if all_newer(files, version) => {
            Some(gone(facts, file, line, version, instead))
        }
        Known::Unknown => Some(unknown(facts, file, line, value, trial)),
        _ if absent(facts, name) => Some(absent_here(facts, file, line, name)),
        _ => match negative_max::number(name, value) {
            Some(number) => negative(facts, files, file, line, (name, number), trial),
            None => bad_value(facts, file, line, trial),
        },
    }
}

fn any_older(files: &Files, version: Version) -> bool {
    files.kernels.iter().filter_map(|release| names::version(release)).any(|kernel| kernel < version)
}

fn all_newer(files: &Files, version: Version) -> bool {
    let mut known = files.kernels.iter().filter_map(|release| names::version(release)).peekable();
    known.peek().is_some() && known.all(|kernel| kernel >= version)
}

/// The running kernel has conntrack's sysctls and not this one.
fn absent(facts: &Facts, name: &str) -> bool {
    facts.runtime.as_ref().is_some_and(|runtime| {
        runtime.first && !runtime.values.is_empty() && !runtime.values.contains_key(name)
    })
}

/// A line behind `-` may fail: its author knows that the name is not everywhere.
fn severity(line: &SysctlLine) -> Severity {
    if line.may_fail { Severity::Note } else { Severity::Error }
}

fn unreadable(facts: &Facts, file: &SysctlFile, line: &SysctlLine, trial: &mut Trial<'_>) -> Finding {
    let title = format!("a line is no assignment that sysctl understands: {}", line.text);
    let finding = Finding::new("sysctl-bad-line", Severity::Error, title)
        .because(
            "Files of sysctls hold `key = value` and nothing else: no `sysctl -w` in front, no quotes, no colon. \
             Both systemd-sysctl and sysctl(8) pass over the line or write to a name that there is not.",
        )
        .seen([facts.at(file, line)])
        .source(FORMAT);
    finding.fix(match rewritten(&line.text) {
        Some((name, number)) => trial.assign(file, line, name, number),
        None => vec![facts.comment_out(&file.path, line)],
    })
}

/// The assignment that was meant: a known name, and the number behind it.
fn rewritten(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("nf_conntrack_")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let digits = &rest[rest.find(|c: char| c.is_ascii_digit())?..];
    let number = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
    (names::known(name) == Known::Writable).then_some((name, number))
}

fn renamed(
    facts: &Facts,
    files: &Files,
    file: &SysctlFile,
    line: &SysctlLine,
    (new, value): (&str, &str),
    trial: &mut Trial<'_>,
) -> Option<Finding> {
    let shown = line.key.replace('/', ".");
    if names::all_know_old_names(&files.kernels) {
        // Of 2.6.20 and later none needs them.
        let newer = |release: &String| !names::is_before_nf_conntrack(release);
        return files.kernels.iter().all(newer).then(|| {
            Finding::new(
                "sysctl-renamed",
                Severity::Note,
                format!("{shown} is a name that ends with Linux 4.9"),
            )
            .because(
                "ip_conntrack became nf_conntrack in Linux 2.6.20; until 4.8 the old names count where \
                     CONFIG_NF_CONNTRACK_PROC_COMPAT is built in, and no longer.",
            )
            .seen([facts.at(file, line)])
            .fix([facts.replace(&file.path, line, &format!("{} = {value}", key(new)))])
            .source(&["CONFIG_NF_CONNTRACK_PROC_COMPAT, removed in Linux 4.9"])
        });
    }
    let title = format!("{shown} is a name of long ago, and sets nothing");
    Some(
        Finding::new("sysctl-renamed", severity(line), title)
            .because(
                "ip_conntrack became nf_conntrack in Linux 2.6.20; its old names were kept for compatibility until 4.9 \
                 and are gone since.",
            )
            .seen([facts.at(file, line)])
            .fix(match names::known(new) {
                Known::ReadOnly => vec![facts.comment_out(&file.path, line)],
                _ => trial.assign(file, line, new, value),
            })
            .source(&["CONFIG_NF_CONNTRACK_PROC_COMPAT, removed in Linux 4.9"]),
    )
}

/// Name after `nf_conntrack_` in a key whose separators are mixed, so that a part of the path has a dot in its name.
pub(super) fn mixed(key: &str) -> Option<&str> {
    let rest = key.trim_start_matches('/').strip_prefix("net")?.strip_prefix(['/', '.'])?;
    let name = rest.strip_prefix("netfilter").and_then(|rest| rest.strip_prefix(['/', '.'])).unwrap_or(rest);
    let name = name.strip_prefix("nf_conntrack_")?;
    (key.contains('.') && names::all().any(|known| known == name)).then_some(name)
}

/// The rule of separators, as each program has it.
pub(super) const SEPARATORS: &str = "The first separator of a key decides what parts it: systemd-sysctl and procps, 3 \
     and 4, turn dots into slashes and slashes into dots where a dot comes first, and take the key as a path where a \
     slash does. Then the other one is a character of a name. busybox's sysctl parts at both where a slash comes first.";

fn other_separator(
    facts: &Facts,
    files: &Files,
    file: &SysctlFile,
    line: &SysctlLine,
    (name, value): (&str, &str),
    trial: &mut Trial<'_>,
) -> Finding {
    let written = line.text.split('=').next().unwrap_or_default().trim();
    let sought = format!("looks for /proc/sys/{}", line.key.trim_start_matches('/'));
    let by = match files.program {
        SysctlProgram::Systemd => format!("systemd-sysctl {sought}"),
        SysctlProgram::Procps | SysctlProgram::OldProcps => format!("sysctl of procps {sought}"),
        SysctlProgram::Busybox => "sysctl of busybox finds no file for it".into(),
    };
    let title = format!("{written} sets nothing: {by}");
    Finding::new("sysctl-unknown-name", severity(line), title)
        .because(format!("{SEPARATORS} {} has one kind of them.", key(name)))
        .seen([facts.at(file, line)])
        .fix(match names::known(name) {
            Known::ReadOnly => vec![facts.comment_out(&file.path, line)],
            _ => trial.assign(file, line, name, value),
        })
        .source(FORMAT)
}

/// busybox and procps 3 look for a file whose name has the star.
fn no_pattern(facts: &Facts, file: &SysctlFile, line: &SysctlLine) -> Finding {
    let title = format!("what applies the file knows no patterns: {} sets nothing", line.text);
    Finding::new("sysctl-bad-line", severity(line), title)
        .because("Patterns in keys are systemd-sysctl's, and procps' since 4.0; `sysctl` of busybox takes each name as it is.")
        .seen([facts.at(file, line)])
        .fix([facts.comment_out(&file.path, line)])
        .source(FORMAT)
}

fn unknown(
    facts: &Facts,
    file: &SysctlFile,
    line: &SysctlLine,
    value: &str,
    trial: &mut Trial<'_>,
) -> Finding {
    let last = line.key.trim_end_matches('/').rsplit('/').next().unwrap_or(&line.key);
    let bare = [
        "nf_conntrack_",
        "nf_contrack_",
        "nf_conntrak_",
        "nf_conn_track_",
        "ip_conntrack_",
        "conntrack_",
        "nf_",
    ]
    .iter()
    .find_map(|prefix| last.strip_prefix(prefix))
    .unwrap_or(last);
    let near = names::nearest(bare);
    let title = match line.key.contains('.') {
        // With dots for slashes it would be another name.
        true => format!(
            "there is no sysctl {}, as it is written",
            line.text.split('=').next().unwrap_or_default().trim()
        ),
        false => format!("there is no sysctl {}", line.key.replace('/', ".")),
    };
    let because = match near {
        Some(Near::Meant(near)) if line.key.starts_with('-') => {
            format!(
                "Nothing is set: `sysctl` of busybox takes the dash for a part of the name {}.",
                key(near)
            )
        }
        Some(Near::Meant(near)) => format!("Nothing is set. The nearest name that there is: {}.", key(near)),
        Some(Near::Perhaps(near)) => {
            format!("Nothing is set. Perhaps {} was meant: write that, if it was.", key(near))
        }
        None => "Nothing is set, and no name that there is comes near.".into(),
    };
    // A pattern may be meant for other kernels.
    let severity = if settings::is_pattern(&line.key) { Severity::Note } else { severity(line) };
    Finding::new("sysctl-unknown-name", severity, title)
        .because(because)
        .seen([facts.at(file, line)])
        .fix(match near {
            Some(Near::Meant(near)) => trial.assign(file, line, near, value),
            _ => vec![facts.comment_out(&file.path, line)],
        })
        .source(&["Documentation/networking/nf_conntrack-sysctl.rst"])
}

fn read_only(facts: &Facts, file: &SysctlFile, line: &SysctlLine, why: &str) -> Finding {
    let title = format!("{} cannot be set: {why}", line.key.replace('/', "."));
    Finding::new("sysctl-read-only", severity(line), title)
        .because("The kernel refuses the write (mode 0444), and what was meant by it does not happen.")
        .seen([facts.at(file, line)])
        .fix([facts.comment_out(&file.path, line)])
        .source(&["nf_ct_sysctl_table, net/netfilter/nf_conntrack_standalone.c"])
}

fn gone(facts: &Facts, file: &SysctlFile, line: &SysctlLine, since: Version, instead: &str) -> Finding {
    let title = format!("{} is no longer there in Linux {}.{}", line.key.replace('/', "."), since.0, since.1);
    Finding::new("sysctl-unknown-name", severity(line), title)
        .because(format!("Nothing is set: {instead}."))
        .seen([facts.at(file, line)])
        .fix([facts.comment_out(&file.path, line)])
        .source(&["net/netfilter/nf_conntrack_standalone.c"])
}

fn absent_here(facts: &Facts, file: &SysctlFile, line: &SysctlLine, name: &str) -> Finding {
    let title = format!("this kernel has no {}", key(name));
    Finding::new("sysctl-unknown-name", severity(line).min(Severity::Warning), title)
        .because("The kernel was built without the protocol or option that the value belongs to.")
        .seen([facts.at(file, line)])
        .fix([facts.comment_out(&file.path, line)])
        .source(&["net/netfilter/nf_conntrack_standalone.c"])
}

/// A negative limit, which older kernels take.
fn negative(
    facts: &Facts,
    files: &Files,
    file: &SysctlFile,
    line: &SysctlLine,
    (name, number): (&str, i64),
    trial: &mut Trial<'_>,
) -> Option<Finding> {
    let Some(finding) = negative_max::finding(files, name, number, None) else {
        return bad_value(facts, file, line, trial);
    };
    let fix = match files.effective().contains_key(name) {
        true => vec![facts.comment_out(&file.path, line)],
        false => trial.assign(file, line, name, &negative_max::sane(name).to_string()),
    };
    Some(finding.seen([facts.at(file, line)]).fix(fix))
}

fn bad_value(facts: &Facts, file: &SysctlFile, line: &SysctlLine, trial: &mut Trial<'_>) -> Option<Finding> {
    let (name, reading) = reading(line)?;
    let source = ["proc_get_long, kernel/sysctl.c"];
    match reading {
        Reading::Taken(_) => None,
        Reading::Negative(number) => Some(
            negative_finding(name, number)
                .seen([facts.at(file, line)])
                .fix(trial.assign(file, line, name, &sane(name).to_string())),
        ),
        Reading::Surprising(number, why) => {
            let title = format!("{} becomes {number}: {why}", key(name));
            let meant = line.value.as_deref().unwrap_or_default().replace(' ', "");
            let meant = meant.trim_start_matches('0').parse().unwrap_or(number);
            Some(
                Finding::new("sysctl-surprising-value", Severity::Warning, title)
                    .because("The kernel takes the text, and reads another number out of it than people do.")
                    .seen([facts.at(file, line)])
                    .fix(trial.assign(file, line, name, &meant.to_string()))
                    .source(&source),
            )
        }
        Reading::Refused(why, meant) => Some(
            Finding::new("sysctl-bad-value", severity(line), format!("{} is not set: {why}", key(name)))
                .because(
                    "The kernel refuses the whole text (EINVAL) where anything but white space follows the digits: \
                     a dot, a comma, a unit, quotes. The old value stays.",
                )
                .seen([facts.at(file, line)])
                .fix(match meant {
                    Some(number) => trial.assign(file, line, name, &number.to_string()),
                    None => vec![facts.comment_out(&file.path, line)],
                })
                .source(&source),
        ),
    }
}
