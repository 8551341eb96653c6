//! Which values the files set, and which of several counts.

use std::collections::BTreeMap;

use super::facts::Files;
use super::names::{self, Known};
use super::value::{self, Reading};
use crate::model::{AppliedBy, SysctlFile, SysctlLine};

/// A value that the kernel takes from a line.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// After `nf_conntrack_`.
    pub name: &'a str,
    /// What is then in force.
    pub number: u64,
    /// The file.
    pub file: &'a SysctlFile,
    /// Its line.
    pub line: &'a SysctlLine,
    /// By a pattern, which any line with the name itself overrides.
    pub by_pattern: bool,
}

impl Files {
    /// Values in the order in which they are written, by files that `by` applies.
    pub fn settings(&self, by: AppliedBy) -> Vec<Setting<'_>> {
        let files = self.sysctl.iter().filter(|file| file.applied_by == by);
        files.flat_map(|file| file.lines.iter().flat_map(move |line| of_line(file, line))).collect()
    }

    /// What the boot leaves in force.
    pub fn effective(&self) -> BTreeMap<&str, Setting<'_>> {
        let mut effective = BTreeMap::new();
        for setting in self.settings(AppliedBy::Boot) {
            let explicit = effective.get(setting.name).is_some_and(|known: &Setting<'_>| !known.by_pattern);
            if !(explicit && setting.by_pattern) {
                effective.insert(setting.name, setting);
            }
        }
        effective
    }
}

fn of_line<'a>(file: &'a SysctlFile, line: &'a SysctlLine) -> Vec<Setting<'a>> {
    let Some(value) = &line.value else { return Vec::new() };
    let setting = |name: &'a str, by_pattern| {
        let number = value::read(name, value).number()?;
        Some(Setting { name, number, file, line, by_pattern })
    };
    if line.key.contains(['*', '?', '[']) {
        let prefix = "net/netfilter/nf_conntrack_";
        let named = names::all().filter(|name| pattern_names(&line.key, &format!("{prefix}{name}")));
        return named.filter_map(|name| setting(name, true)).collect();
    }
    let writable = |name: &&str| matches!(names::known(name), Known::Writable | Known::WritableSince(_));
    line.conntrack_name().filter(writable).and_then(|name| setting(name, false)).into_iter().collect()
}

/// Whether the file's kind is one that a vendor ships and /etc overrides.
pub fn is_vendors(file: &SysctlFile) -> bool {
    ["/usr/", "/lib/"].iter().any(|prefix| file.path.starts_with(prefix))
}

/// A pattern of glob(7), `*` and `?` alone, within parts of a path.
fn pattern_names(pattern: &str, key: &str) -> bool {
    let (pattern, key): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), key.split('/').collect());
    pattern.len() == key.len() && pattern.iter().zip(key).all(|(pattern, part)| part_matches(pattern, part))
}

/// Greedy, with one way back: the last star takes one more.
fn part_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// What a reading says of a value, for lines that name one.
pub fn reading(line: &SysctlLine) -> Option<(&str, Reading)> {
    let name = line.conntrack_name()?;
    Some((name, value::read(name, line.value.as_deref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_within_a_part_and_come_to_an_end() {
        let key = "net/netfilter/nf_conntrack_udp_timeout";
        assert!(pattern_names("net/netfilter/nf_conntrack_udp_*", key));
        assert!(pattern_names("net/*/nf_conntrack_ud?_timeout", key));
        assert!(!pattern_names("net/*", key));
        assert!(!pattern_names("net/netfilter/nf_conntrack_udp_timeou", key));
        let long = format!("{}x", "*a".repeat(2000));
        assert!(!part_matches(&long, &"a".repeat(4000)));
    }
}
