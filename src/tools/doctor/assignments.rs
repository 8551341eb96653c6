//! Lines of files of sysctls that hold more than one assignment, of which the first alone counts.

use super::cure::key;
use super::facts::{Facts, Files};
use super::formats::writes::{is_ours, path};
use super::value;
use crate::core::model::{AppliedBy, Finding, Severity, SysctlFile, SysctlLine};

/// `a = 1 b = 2` and `a=1; b=2`: what stands behind the first value is thrown away by the kernel, or refused with it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let files = facts.files.iter().flat_map(|Files { sysctl, .. }| sysctl);
    let read = files.filter(|file| file.applied_by != AppliedBy::Nobody);
    let lines = read.flat_map(|file| file.lines.iter().map(move |line| (file, line)));
    lines.filter_map(|(file, line)| of_line(facts, file, line)).collect()
}

fn of_line(facts: &Facts, file: &SysctlFile, line: &SysctlLine) -> Option<Finding> {
    let value = line.value.as_deref()?;
    let behind = others(value);
    let first = line.conntrack_name();
    if behind.is_empty() || !(first.is_some() || behind.iter().any(|other| is_ours(&path(other)))) {
        return None;
    }
    // If the first value is refused as well, that is said of it already.
    let number = match first {
        Some(name) => value::read(name, value).number()?.to_string(),
        None => value.split_ascii_whitespace().next()?.to_owned(),
    };
    let shown = first.map_or_else(|| line.key.replace('/', "."), key);
    let mut fix = vec![facts.replace(&file.path, line, &format!("{shown} = {number}"))];
    fix.extend(
        behind.iter().map(|other| format!("# {other} set nothing so far; where it is meant, give it a line")),
    );
    Some(
        Finding::new(
            "sysctl-surprising-value",
            Severity::Warning,
            format!("{} set nothing: one line holds one assignment", behind.join(", ")),
        )
        .because(
            "The kernel takes the number in front of the space, and nothing reads what stands behind it.",
        )
        .seen([facts.at(file, line)])
        .fix(fix)
        .source(&["sysctl.d(5)", "proc_get_long, kernel/sysctl.c"]),
    )
}

/// Keys of assignments that stand behind a value; a comment ends them.
fn others(value: &str) -> Vec<&str> {
    let mut words =
        value.split_ascii_whitespace().skip(1).take_while(|word| !word.starts_with(['#', ';'])).peekable();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let named = |key: &str| key.contains(['.', '/']) && !key.starts_with(['.', '/', '=']);
        match word.split_once('=') {
            Some((key, _)) if named(key) => found.push(key),
            None if named(word) && words.peek().is_some_and(|next| next.starts_with('=')) => found.push(word),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_behind_a_value_are_seen() {
        assert_eq!(others("1 net.netfilter.nf_conntrack_acct=1"), ["net.netfilter.nf_conntrack_acct"]);
        assert_eq!(others("1 a.b = 2 c/d=3"), ["a.b", "c/d"]);
        for none in ["1", "1 2", "1 # a.b=2", "1 ; a.b = 2", "1 = 2", "1024 65535", ".5 x=1", "1 2.5 s"] {
            assert_eq!(others(none), [""; 0], "{none}");
        }
    }
}
