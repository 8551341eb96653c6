//! Values that the files set, and the one of several that counts.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Files;
use super::names::{self, Known};
use super::value::{self, Reading};
use crate::core::model::{AppliedBy, SysctlFile, SysctlLine, SysctlProgram};

/// A value that the kernel takes from a line.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Name after `nf_conntrack_`.
    pub name: &'a str,
    /// Number that is then in force.
    pub number: u64,
    /// File that sets it.
    pub file: &'a SysctlFile,
    /// Line that sets it.
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

    /// Drops the lines that change nothing of [`Files::effective`]: those that a later one overrides, and all that set
    /// no value of conntrack.
    pub fn keep_what_counts(&mut self) {
        let place =
            |file: &SysctlFile, line: &SysctlLine| (file.path.clone(), file.listed_as.clone(), line.line);
        let counts: BTreeSet<_> =
            self.effective().values().map(|setting| place(setting.file, setting.line)).collect();
        let mut sysctl = std::mem::take(&mut self.sysctl);
        for file in &mut sysctl {
            let lines = std::mem::take(&mut file.lines);
            file.lines = lines
                .into_iter()
                .filter(|line| exempts(line) || counts.contains(&place(file, line)))
                .collect();
        }
        sysctl.retain(|file| !file.lines.is_empty());
        self.sysctl = sysctl;
    }

    /// Settings that the boot leaves in force, with those of programs that it runs behind its own files. A pattern
    /// leaves out names that any line sets or exempts; a name that systemd-sysctl finds exempted behind its
    /// assignment is not set.
    pub fn effective(&self) -> BTreeMap<&str, Setting<'_>> {
        let mut effective: BTreeMap<&str, Setting<'_>> = BTreeMap::new();
        let of = |by| self.sysctl.iter().filter(move |file| file.applied_by == by);
        let lines = of(AppliedBy::Boot).chain(of(AppliedBy::Again));
        let lines = lines.flat_map(|file| file.lines.iter().map(move |line| (file, line)));
        let knows_old = names::all_know_old_names(&self.kernels);
        let exempt: BTreeSet<&str> = lines
            .clone()
            .filter(|(_, line)| exempts(line))
            .filter_map(|(_, line)| line.conntrack_name())
            .collect();
        for (file, line) in lines {
            if let Some(name) =
                line.conntrack_name().filter(|_| self.program == SysctlProgram::Systemd && exempts(line))
            {
                effective.remove(name);
            }
            let old = Some(line).filter(|_| knows_old).and_then(|line| of_old_name(file, line));
            for setting in of_line(file, line).into_iter().chain(old) {
                let explicit = effective.get(setting.name).is_some_and(|known| !known.by_pattern);
                if setting.by_pattern && !self.program.knows_patterns() {
                    continue;
                }
                if !(setting.by_pattern && (explicit || exempt.contains(setting.name))) {
                    effective.insert(setting.name, setting);
                }
            }
        }
        effective
    }
}

/// `-key` alone: patterns leave this name out.
fn exempts(line: &SysctlLine) -> bool {
    line.value.is_none() && line.may_fail
}

fn of_line<'a>(file: &'a SysctlFile, line: &'a SysctlLine) -> Vec<Setting<'a>> {
    let Some(value) = &line.value else { return Vec::new() };
    let setting = |name: &'a str, by_pattern| {
        let number = value::read(name, value).number()?;
        Some(Setting { name, number, file, line, by_pattern })
    };
    if is_pattern(&line.key) {
        return named(&line.key).filter_map(|name| setting(name, true)).collect();
    }
    let writable = |name: &&str| matches!(names::known(name), Known::Writable | Known::WritableSince(_));
    line.conntrack_name().filter(writable).and_then(|name| setting(name, false)).into_iter().collect()
}

/// A value under a name of ip_conntrack.
fn of_old_name<'a>(file: &'a SysctlFile, line: &'a SysctlLine) -> Option<Setting<'a>> {
    let renamed = names::renamed(&line.key)?;
    let name = names::all().find(|name| *name == renamed)?;
    let number = value::read(name, line.value.as_deref()?).number()?;
    Some(Setting { name, number, file, line, by_pattern: false })
}

/// A pattern of glob(7).
pub fn is_pattern(key: &str) -> bool {
    key.contains(['*', '?', '['])
}

/// True if a pattern is the pattern of any name that there is.
pub fn names_any(pattern: &str) -> bool {
    named(pattern).next().is_some()
}

fn named(pattern: &str) -> impl Iterator<Item = &'static str> {
    names::all().filter(move |name| {
        let at = |directory: &str| pattern_names(pattern, &format!("{directory}/nf_conntrack_{name}"));
        at("net/netfilter") || (*name == "max" && at("net"))
    })
}

/// True if the file is of a kind that a vendor ships and /etc overrides.
pub fn is_vendors(file: &SysctlFile) -> bool {
    ["/usr/", "/lib/"].iter().any(|prefix| file.path.starts_with(prefix))
}

/// A pattern of glob(7) within parts of a path.
fn pattern_names(pattern: &str, key: &str) -> bool {
    let (pattern, key): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), key.split('/').collect());
    pattern.len() == key.len() && pattern.iter().zip(key).all(|(pattern, part)| part_matches(pattern, part))
}

/// Greedy, with one way back: the last star takes one more.
pub(super) fn part_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        match one_matches(&pattern[p.min(pattern.len())..], text[t]) {
            Some(length) => (p, t) = (p + length, t + 1),
            None => match star {
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

/// Length of a pattern's first part if one character matches it: `?`, `[a-z]`, `[!x]`, `\\*`, or itself.
fn one_matches(pattern: &[u8], c: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == c).then_some(2),
        [b'[', inside @ ..] => {
            let not = matches!(inside, [b'!' | b'^', ..]);
            let begin = usize::from(not);
            // A bracket that comes first is one of the characters.
            let Some(end) = inside.iter().skip(begin + 1).position(|b| *b == b']').map(|at| at + begin + 1)
            else {
                return (c == b'[').then_some(1);
            };
            let mut set = &inside[begin..end];
            let mut among = false;
            while let [first, rest @ ..] = set {
                (among, set) = match rest {
                    [b'-', last, rest @ ..] => (among || (*first..=*last).contains(&c), rest),
                    _ => (among || *first == c, rest),
                };
            }
            (among != not).then_some(end + 2)
        }
        [first, ..] => (*first == c).then_some(1),
    }
}

/// Reading of a line's value, for lines that name one.
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
        assert!(pattern_names("net/netfilter/nf_conntrack_[t-v]d[!a]_timeou[t]", key));
        assert!(pattern_names("net/netfilter/nf_conntrack_*[a-t]", key));
        assert!(!pattern_names("net/netfilter/nf_conntrack_[!u]dp_timeout", key));
        assert!(!pattern_names("net/netfilter/nf_conntrack_[udp_timeout", key));
        assert!(!pattern_names("net/*", key));
        assert!(!pattern_names("net/netfilter/nf_conntrack_udp_timeou", key));
        let long = format!("{}x", "*a".repeat(2000));
        assert!(!part_matches(&long, &"a".repeat(4000)));
    }
}
