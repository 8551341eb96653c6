//! Other programs and scripts that write the same values.

use super::cure::{SYSCTL_FILE, key, seen};
use super::facts::{Facts, Files};
use super::names::{self, Known, Near};
use super::timeouts::{CUTS_SECONDS, RFC_5382_SECONDS};
use super::value;
use crate::model::{FileLine, Finding, Severity};

const ESTABLISHED: &str = "tcp_timeout_established";

/// Lines of scripts, units and profiles, and programs that run.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(files) = &facts.files {
        for line in &files.writers {
            found.extend(of_line(facts, files, line));
        }
    }
    found.extend(kube_proxy(facts));
    found
}

/// What a line writes: the name, the value where it is a number, and whether the shell takes it apart.
#[derive(PartialEq, Eq, Debug)]
struct Written<'a> {
    name: &'a str,
    value: Option<&'a str>,
    torn: bool,
}

fn of_line(facts: &Facts, files: &Files, line: &FileLine) -> Option<Finding> {
    if let Some(finding) = wrong_name(facts, line) {
        return Some(finding);
    }
    let written = written(&line.text)?;
    if matches!(names::known(written.name), Known::Unknown) {
        return None;
    }
    if written.torn {
        return Some(torn(facts, line, &written));
    }
    let name = key(written.name);
    let effective = files.effective();
    let boot = effective.get(written.name);
    let number = written.value.and_then(|value| value::read(written.name, value).number());
    let against = boot.filter(|boot| number.is_none_or(|number| number != boot.number));
    if let Some(seconds) = number.filter(|number| written.name == ESTABLISHED && *number < RFC_5382_SECONDS) {
        return Some(forgets(facts, line, seconds));
    }
    let severity = if against.is_some() { Severity::Warning } else { Severity::Note };
    let title = match against {
        Some(boot) => format!("{} writes {name} too, against {} in sysctl.d", line.path, boot.number),
        None => format!("{} writes {name}", line.path),
    };
    let mut fix = vec![facts.comment_out(&line.path, line.line)];
    if let (None, Some(number)) = (boot, number) {
        fix.push(facts.append(SYSCTL_FILE, &format!("{name} = {number}")));
        if !files.builtin && !super::modules::listed(files).iter().any(|module| module.loads) {
            fix.push(facts.append(super::cure::MODULES_FILE, "nf_conntrack"));
        }
    }
    Some(
        Finding::new("other-writer", severity, title)
            .because(
                "What a script writes behind the boot wins over files of sysctls without a trace, and is lost where \
                 something else writes later. One place is enough.",
            )
            .seen([facts.line(line)])
            .seen(boot.map(|boot| facts.at(boot.file, boot.line)))
            .fix(fix)
            .source(&["sysctl.d(5)"]),
    )
}

/// A name that no kernel takes: as in a file of sysctls, and nothing that sysctl.d could hold instead.
fn wrong_name(facts: &Facts, line: &FileLine) -> Option<Finding> {
    let text = line.text.replace("ip_conntrack_", "nf_conntrack_");
    let name = written(&text)?.name.to_owned();
    let at = text.find(&format!("nf_conntrack_{name}"))?;
    let old = line.text != text;
    let (path, shown) =
        (&line.path, if old { format!("ip_conntrack_{name}") } else { format!("nf_conntrack_{name}") });
    let is_sysctl = text[..at].ends_with(['/', '.']) && !text[..at].contains("/sys/module");
    let (id, why) = match names::known(&name) {
        _ if !is_sysctl => return None,
        _ if old => (
            "sysctl-renamed",
            "ip_conntrack became nf_conntrack in Linux 2.6.20; the old names are gone since 4.9.".to_owned(),
        ),
        Known::ReadOnly => {
            ("sysctl-read-only", "It is the kernel's own count, and the write is refused (mode 0444).".into())
        }
        Known::Unknown => (
            "sysctl-unknown-name",
            match names::nearest(&name) {
                Some(Near::Meant(near) | Near::Perhaps(near)) => {
                    format!("Nothing is set. Perhaps {} was meant.", key(near))
                }
                None => "Nothing is set, and no name that there is comes near.".into(),
            },
        ),
        _ => return None,
    };
    Some(
        Finding::new(id, Severity::Error, format!("{path} writes {shown}, which sets nothing"))
            .because(why)
            .seen([facts.line(line)])
            .fix([facts.comment_out(path, line.line)])
            .source(&["nf_ct_sysctl_table, net/netfilter/nf_conntrack_standalone.c"]),
    )
}

/// What a script writes counts behind the boot, and is no better for it.
fn forgets(facts: &Facts, line: &FileLine, seconds: u64) -> Finding {
    let severity = if seconds < CUTS_SECONDS { Severity::Error } else { Severity::Warning };
    let title = format!("{} has connections forgotten after {seconds} s of silence", line.path);
    Finding::new("established-too-short", severity, title)
        .because(
            "A session that nobody types in is silent for hours; TCP's own keepalive begins after two hours: hence 2 h \
             4 min as the least.",
        )
        .seen([facts.line(line)])
        .fix([facts.comment_out(&line.path, line.line)])
        .source(&["RFC 5382, REQ-5", "tcp(7), tcp_keepalive_time"])
}

fn torn(facts: &Facts, line: &FileLine, written: &Written<'_>) -> Finding {
    let name = key(written.name);
    let with = mended(&line.text, written).unwrap_or_else(|| format!("# {}", line.text));
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
    .fix([facts.replace(&line.path, line.line, &with)])
    .source(&["sysctl(8), variable=value"])
}

/// The line with its assignment in one word.
fn mended(text: &str, written: &Written<'_>) -> Option<String> {
    let full = format!("nf_conntrack_{}", written.name);
    let at = text.find(&full)? + full.len();
    let (before, after) = text.split_at(at);
    let after = after.trim_start().strip_prefix('=')?.trim_start();
    Some(format!("{before}={after}"))
}

/// `sysctl -w k=v`, `echo v > /proc/sys/…`, and `k=v` of a profile.
fn written(text: &str) -> Option<Written<'_>> {
    let text = text.trim();
    if text.starts_with(['#', ';']) {
        return None;
    }
    let hashsize = text.contains("nf_conntrack/parameters/hashsize");
    let (before, rest) = match hashsize {
        true => text.split_once("nf_conntrack/parameters/hashsize")?,
        false => text.split_once("nf_conntrack_")?,
    };
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let (name, after) = if hashsize { ("buckets", rest) } else { rest.split_at(end) };
    let first = |text: &str| {
        let value = text.trim_start().trim_start_matches(['"', '\'']);
        value.find(|c: char| c.is_whitespace() || "\"';&|>)".contains(c)).unwrap_or(value.len())
    };
    // What is read goes nowhere; what is written goes through > or tee.
    if before.contains("/proc/sys") || before.contains("/sys/module") || hashsize {
        let at = before.rfind("/proc/sys").or_else(|| before.rfind("/sys/module"))?;
        let head = before[..at].trim_end().trim_end_matches(['"', '\'']).trim_end();
        let written_to = head.ends_with('>') || head.ends_with("tee") || head.ends_with(" -a");
        let echoed =
            before.split_once("echo ").or_else(|| before.split_once("printf ")).map(|(_, rest)| rest);
        let value = echoed.map(|rest| {
            let rest = rest.trim_start().trim_start_matches(['"', '\'']);
            &rest[..first(rest)]
        });
        return written_to.then_some(Written { name, value, torn: false });
    }
    let quotes = before.chars().filter(|c| matches!(c, '"' | '\'')).count();
    let assignment = after.trim_start().strip_prefix('=')?;
    let by_command = before.contains("sysctl");
    let spaced = after.starts_with(char::is_whitespace) || assignment.starts_with(char::is_whitespace);
    let value = assignment.trim_start().trim_start_matches(['"', '\'']);
    Some(Written { name, value: Some(&value[..first(value)]), torn: by_command && spaced && quotes % 2 == 0 })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_writing_are_told_apart() {
        let of = |text| written(text).map(|w| (w.name, w.value, w.torn));
        assert_eq!(of("sysctl -w net.netfilter.nf_conntrack_max=5"), Some(("max", Some("5"), false)));
        assert_eq!(of("sysctl -w net.netfilter.nf_conntrack_max = 5"), Some(("max", Some("5"), true)));
        assert_eq!(of("sysctl net.netfilter.nf_conntrack_max= 5"), Some(("max", Some("5"), true)));
        assert_eq!(of("sysctl -w \"net.netfilter.nf_conntrack_max = 5\""), Some(("max", Some("5"), false)));
        assert_eq!(of("net.netfilter.nf_conntrack_max = 5"), Some(("max", Some("5"), false)));
        let echoed = Some(("max", Some("5"), false));
        assert_eq!(of("echo 5 > /proc/sys/net/netfilter/nf_conntrack_max"), echoed);
        assert_eq!(of("echo \"5\" | tee /proc/sys/net/netfilter/nf_conntrack_max"), echoed);
        assert_eq!(of("cat /proc/sys/net/netfilter/nf_conntrack_max"), None);
        assert_eq!(of("echo x > /tmp/y; cat /proc/sys/net/netfilter/nf_conntrack_max >> /tmp/y"), None);
        assert_eq!(of("MAX=$(sysctl -n net.netfilter.nf_conntrack_max)"), None);
        assert_eq!(of("# echo 5 > /proc/sys/net/netfilter/nf_conntrack_max"), None);
        let hash = "echo 65536 > /sys/module/nf_conntrack/parameters/hashsize";
        assert_eq!(of(hash), Some(("buckets", Some("65536"), false)));
        assert_eq!(of("sysctl net.netfilter.nf_conntrack_count"), None);
        assert_eq!(of("modprobe nf_conntrack_ftp"), None);
        assert_eq!(of("sysctl -w net.netfilter.nf_conntrack_max=$MAX"), Some(("max", Some("$MAX"), false)));
    }

    #[test]
    fn a_torn_assignment_is_joined() {
        let text = "/sbin/sysctl -w net.netfilter.nf_conntrack_max = 5 && true";
        let written = written(text).expect("written");
        let joined = "/sbin/sysctl -w net.netfilter.nf_conntrack_max=5 && true";
        assert_eq!(mended(text, &written).as_deref(), Some(joined));
    }
}
