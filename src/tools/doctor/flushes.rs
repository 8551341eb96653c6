//! `conntrack -F` at fixed hours: each run cuts what lives through NAT.

use super::applying;
use super::facts::{Facts, Files, When};
use super::formats::Command;
use super::writers;
use crate::core::model::{Finding, Severity};

/// Programs that run what their arguments name: `ip netns exec NAME conntrack …`.
const RUNNERS: [&str; 6] = ["ip", "flock", "chrt", "taskset", "nsenter", "systemd-run"];

/// Findings on programs that empty the table again and again.
pub fn check(facts: &Facts, files: &Files) -> Vec<Finding> {
    let again = files.programs.iter().filter(|program| program.when == When::Again);
    let commands = again.flat_map(|program| applying::expanded(&program.commands));
    let mut seen = std::collections::BTreeSet::new();
    let flushes = commands.filter(empties);
    flushes
        .filter(|command| seen.insert((command.line.path.clone(), command.line.line)))
        .map(|command| flushed(facts, &command))
        .collect()
}

/// True if a command deletes every entry of the table: `conntrack -F`, and `-D` without anything that has to match.
fn empties(command: &Command) -> bool {
    let arguments = command.arguments();
    let at = arguments.iter().position(|word| word == "conntrack" || word.ends_with("/conntrack"));
    let runs = RUNNERS.contains(&command.program());
    let Some(at) = at.filter(|at| *at == 0 || runs) else { return false };
    let words = &arguments[at + 1..];
    let other_table = words.iter().any(|word| matches!(word.as_str(), "expect" | "dying" | "unconfirmed"));
    let is = |short: char, long: &str| {
        words.iter().any(|word| {
            word == long || (word.starts_with('-') && !word.starts_with("--") && word.ends_with(short))
        })
    };
    let deletes_all = is('D', "--delete")
        && words.iter().all(|word| matches!(word.as_str(), "-D" | "--delete" | "conntrack"));
    !other_table && (is('F', "--flush") || deletes_all)
}

fn flushed(facts: &Facts, command: &Command) -> Finding {
    let line = &command.line;
    let title = format!("{} empties the table again and again", line.path);
    Finding::new("periodic-flush", Severity::Warning, title)
        .because(format!(
            "Every entry goes, those of live connections too: through NAT they hang or are reset at each run, and with \
             nf_conntrack_tcp_loose 0 elsewhere as well. What is dead goes by its timeout, and `{}` deletes what is \
             idle for certain.",
            facts.ctctl("flush --stale")
        ))
        .seen([facts.line(line)])
        .fix([writers::without_command(facts, line, command)])
        .source(&["conntrack(8), -F", "crontab(5)", "systemd.timer(5)"])
}

#[cfg(test)]
mod tests {
    use super::super::formats::shell;
    use super::*;

    #[test]
    fn what_empties_the_table_is_told_from_what_deletes_a_part() {
        let empties = |line: &str| empties(&shell::commands("/x", line)[0]);
        for line in [
            "conntrack -F",
            "/usr/sbin/conntrack --flush >/dev/null",
            "ip netns exec blue conntrack -F",
            "flock -n /run/x conntrack -F",
            "conntrack -D",
            "sudo conntrack -F conntrack",
        ] {
            assert!(empties(line), "{line}");
        }
        for line in [
            "conntrack -L",
            "conntrack -D -p udp --dport 53",
            "conntrack -D --state TIME_WAIT",
            "conntrack -F expect",
            "conntrackd -F",
            "echo conntrack -F",
            "conntrack -S",
            "ssh gw conntrack -F",
        ] {
            assert!(!empties(line), "{line}");
        }
    }
}
