//! Commands that mend a line, and the evidence that names it. Lines are replaced or made comments, never removed, so
//! that the numbers of the lines behind stay right while several commands are pasted.

use std::collections::BTreeSet;

use super::facts::{Facts, Files};
use super::settings::{Setting, is_vendors};
use crate::core::model::{Evidence, FileLine, Finding, SysctlFile, SysctlLine};

/// File in which fixes put sysctls.
pub const SYSCTL_FILE: &str = "/etc/sysctl.d/90-conntrack.conf";
/// File in which fixes put sysctls that have to come behind files of packages.
const LATER_SYSCTL_FILE: &str = "/etc/sysctl.d/99-zz-conntrack.conf";
/// File in which fixes name modules for the boot.
pub const MODULES_FILE: &str = "/etc/modules-load.d/conntrack.conf";
/// File in which fixes name modules for the boot of OpenWrt, and its directory.
const OPENWRT_MODULES_FILE: &str = "/etc/modules.d/conntrack";
pub const OPENWRT_MODULES: &str = "/etc/modules.d";
/// File in which fixes put options of modules.
pub const MODPROBE_FILE: &str = "/etc/modprobe.d/conntrack.conf";

/// The first and the last line of what a fix changes.
pub struct Lines(u32, u32);

impl From<u32> for Lines {
    fn from(line: u32) -> Lines {
        Lines(line, line)
    }
}

impl From<&FileLine> for Lines {
    fn from(line: &FileLine) -> Lines {
        Lines(line.line, line.last)
    }
}

impl From<&SysctlLine> for Lines {
    fn from(line: &SysctlLine) -> Lines {
        Lines(line.line, line.last)
    }
}

/// Text with a backslash before each of some characters.
fn escaped(text: &str, special: &str) -> String {
    text.chars().flat_map(|c| special.contains(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Text for a shell, in quotes where it needs them.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

impl Files {
    /// File in which fixes name modules for the boot: OpenWrt's kmodloader reads a directory of its own.
    pub fn modules_file(&self) -> &'static str {
        if self.openwrt { OPENWRT_MODULES_FILE } else { MODULES_FILE }
    }

    /// True if /etc/sysctl.d has something of that name, be it a link that leads nowhere.
    pub fn is_taken(&self, name: &str) -> bool {
        self.sysctl_names.iter().any(|taken| taken == name)
    }
}

impl Facts {
    /// A path below the root as the operator has it.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.root.as_deref().unwrap_or_default())
    }

    fn shell(&self, path: &str) -> String {
        quoted(&self.path(path))
    }

    /// A line of a file of sysctls.
    pub fn at(&self, file: &SysctlFile, line: &SysctlLine) -> Evidence {
        let (path, text, physical) = (file.path.clone(), line.text.clone(), line.physical.clone());
        self.line(&FileLine { path, line: line.line, last: line.last, text, physical })
    }

    /// A line of any file. Lines that it continues over stand below each other; they are taken apart before they are
    /// shown.
    pub fn line(&self, line: &FileLine) -> Evidence {
        let text = if line.physical.is_empty() { line.text.clone() } else { line.physical.join("\n") };
        Evidence { file: Some(self.path(&line.path)), line: Some(line.line), text, at: None }
    }

    /// A file as a whole.
    pub fn whole(&self, path: &str, text: impl Into<String>) -> Evidence {
        Evidence { file: Some(self.path(path)), text: text.into(), ..Evidence::default() }
    }

    /// Puts another text in place of a line. The lines that it continues over become comments. A link stays a link.
    pub fn replace(&self, path: &str, lines: impl Into<Lines>, with: &str) -> String {
        let (Lines(line, last), with) = (lines.into(), escaped(with, "\\&|"));
        let more = match last - line {
            0 => String::new(),
            _ => format!(";{},{last}s/^/# /", line + 1),
        };
        let script = quoted(&format!("{line}s|.*|{with}|{more}"));
        format!("sed -i --follow-symlinks {script} {}", self.shell(path))
    }

    /// Puts another text in place of a part of a line.
    pub fn substitute(&self, path: &str, line: u32, part: &str, with: &str) -> String {
        let (part, with) = (escaped(part, "\\[]*.^$|"), escaped(with, "\\&|"));
        let script = quoted(&format!("{line}s|{part}|{with}|"));
        format!("sed -i --follow-symlinks {script} {}", self.shell(path))
    }

    /// Makes a line a comment, with those that it continues over.
    pub fn comment_out(&self, path: &str, lines: impl Into<Lines>) -> String {
        let lines = match lines.into() {
            Lines(line, last) if line == last => line.to_string(),
            Lines(line, last) => format!("{line},{last}"),
        };
        format!("sed -i --follow-symlinks '{lines}s/^/# /' {}", self.shell(path))
    }

    /// Takes a command out of a script that is a whole line of it: a comment with `:` before it, for what stands around
    /// it may want a command.
    pub fn mute(&self, path: &str, line: &FileLine) -> String {
        let first = format!("{}s/^[[:space:]]*/&: # /", line.line);
        let script = match line.last > line.line {
            true => format!("{first};{},{}s/^/# /", line.line + 1, line.last),
            false => first,
        };
        format!("sed -i --follow-symlinks {} {}", quoted(&script), self.shell(path))
    }

    /// Adds a line at the end of a file, which may not be there yet.
    pub fn append(&self, path: &str, text: &str) -> String {
        let files = self.files.as_ref();
        let unfinished = files.is_some_and(|files| files.unfinished.iter().any(|file| file == path));
        let first = if unfinished { "\\n" } else { "" };
        format!("{}printf '{first}%s\\n' {} >> {}", self.make_directory(path), quoted(text), self.shell(path))
    }

    /// Command that makes the directory of a file, where there is none.
    pub(super) fn make_directory(&self, path: &str) -> String {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let missing = self.files.as_ref().map_or(&[][..], |files| &files.missing_directories);
        match missing.iter().any(|missing| missing == directory) {
            true => format!("mkdir -p {} && ", self.shell(directory)),
            false => String::new(),
        }
    }

    /// Renames a file; another of that name is never written over.
    pub fn rename(&self, from: &str, to: &str) -> String {
        format!("{}mv -n {} {}", self.make_directory(to), self.shell(from), self.shell(to))
    }

    /// Makes a value so: now, and in the file that sets it or in a new one.
    pub fn set(&self, name: &str, value: u64) -> Vec<String> {
        let mut commands = self.now(name, value);
        commands.extend(self.at_boot(name, value));
        commands
    }

    /// Makes a value so in the running kernel; nothing for an image.
    pub fn now(&self, name: &str, value: u64) -> Vec<String> {
        let Some(runtime) = &self.runtime else { return Vec::new() };
        // Max and buckets are the host's, and its first namespace's alone to write.
        let enter = if matches!(name, "max" | "buckets") { "" } else { runtime.enter.as_str() };
        vec![format!("{enter}sysctl -w {}={value}", key(name))]
    }

    /// Max in force if `number` is below it, with advice on what the lower one would do.
    pub fn lowers_max(&self, name: &str, number: u64) -> Option<(u64, String)> {
        let runtime = self.runtime.as_ref().filter(|_| name == "max")?;
        let (now, count) = (runtime.number("max")?, runtime.number("count").unwrap_or(0));
        // 0 is no limit at all.
        let lower = number > 0 && number < now.max(if now == 0 { count } else { 0 });
        let refused = match count >= number {
            true => "every new connection is refused until the table has shrunk",
            false => "less is left for peaks",
        };
        let said = format!(
            "# max is {now} now and the table holds {count}: with {number} {refused}; to keep {now}:"
        );
        lower.then_some((now, said))
    }

    /// Makes a value so at the next boot.
    pub fn at_boot(&self, name: &str, value: u64) -> Vec<String> {
        let effective = self.files.as_ref().map(Files::effective).unwrap_or_default();
        self.set_at_boot(effective.get(name), name, value)
    }

    /// [`Facts::at_boot`], where it is known what sets the value today.
    pub fn set_at_boot(&self, today: Option<&Setting<'_>>, name: &str, value: u64) -> Vec<String> {
        let elsewhere = self.runtime.as_ref().is_some_and(|runtime| !runtime.first);
        if self.files.is_none() || elsewhere {
            return Vec::new();
        }
        let assignment = format!("{} = {value}", key(name));
        vec![match today {
            // The file of a package comes back with its next version: one of /etc behind it counts.
            Some(setting) if is_vendors(setting.file) => {
                let name = setting.file.listed_as.rsplit('/').next().unwrap_or_default();
                let ours = SYSCTL_FILE.rsplit('/').next().unwrap_or_default();
                self.append(if name < ours { SYSCTL_FILE } else { LATER_SYSCTL_FILE }, &assignment)
            }
            Some(setting) if !setting.by_pattern => {
                // If the line has a name of ip_conntrack, the kernels do too.
                let old =
                    super::names::renamed(&setting.line.key).map(|_| setting.line.key.replace('/', "."));
                let assignment = old.map_or(assignment, |key| format!("{key} = {value}"));
                self.replace(&setting.file.path, setting.line, &assignment)
            }
            _ => self.append(SYSCTL_FILE, &assignment),
        }]
    }

    /// Number in force, with its evidence: in the running kernel, for an image what its boot would leave.
    pub fn in_force(&self, name: &str) -> Option<(u64, Vec<Evidence>)> {
        let effective = self.files.as_ref().and_then(|files| files.effective().get(name).copied());
        let line = effective.map(|setting| self.at(setting.file, setting.line));
        match &self.runtime {
            Some(held) if held.held_by_agent.contains_key(name) => None,
            Some(here) => {
                let number = here.number(name)?;
                let said = line.filter(|_| here.first && effective.is_some_and(|s| s.number == number));
                Some((number, [runtime(name, number.to_string())].into_iter().chain(said).collect()))
            }
            None => effective.map(|setting| (setting.number, line.into_iter().collect())),
        }
    }

    /// A command of this program, asked as `doctor` was: in the same namespace, of the same socket and configuration.
    pub fn ctctl(&self, command: &str) -> String {
        let asked = self.runtime.as_ref().map_or("", |runtime| runtime.program.as_str());
        format!("{} {command}", if asked.is_empty() { "ctctl" } else { asked })
    }

    /// A command in the namespace that was asked for, left out for an image.
    pub fn inside(&self, command: &str) -> Vec<String> {
        let enter = self.runtime.as_ref().map_or("", |runtime| runtime.enter.as_str());
        self.live(&format!("{enter}{command}"))
    }

    /// A command for the running system, left out for an image.
    pub fn live(&self, command: &str) -> Vec<String> {
        if self.root.is_none() { vec![command.into()] } else { Vec::new() }
    }
}

/// Each line of what continues over several, so that what is shown of a line is what stands there.
pub fn apart(evidence: Vec<Evidence>) -> Vec<Evidence> {
    let mut found = Vec::new();
    for whole in evidence {
        match whole.line {
            Some(first) if whole.text.contains('\n') => {
                let lines = (first..).zip(whole.text.split('\n'));
                found.extend(lines.map(|(line, text)| Evidence {
                    line: Some(line),
                    text: text.into(),
                    ..whole.clone()
                }));
            }
            _ => found.push(whole),
        }
    }
    found
}

/// Leaves each command that changes a file to the first finding that has it: pasted twice, it would add a line twice.
/// The others say that it stands above.
pub fn once(found: &mut [Finding]) {
    let mut seen = BTreeSet::new();
    for finding in found {
        let mut own = BTreeSet::new();
        finding.fix.retain(|command| own.insert(command.clone()));
        for command in finding.fix.iter_mut().filter(|command| changes_file(command)) {
            if !seen.insert(command.clone()) {
                *command = format!("# as above: {command}");
            }
        }
    }
}

fn changes_file(command: &str) -> bool {
    ["sed -i ", "printf ", "mkdir ", "mv ", "ln "].iter().any(|program| command.starts_with(program))
}

/// A value of the running kernel.
pub fn runtime(name: &str, text: impl Into<String>) -> Evidence {
    Evidence {
        file: Some(format!("/proc/sys/net/netfilter/nf_conntrack_{name}")),
        text: text.into(),
        ..Evidence::default()
    }
}

/// Evidence that is in no file.
pub fn seen(text: impl Into<String>) -> Evidence {
    Evidence { text: text.into(), ..Evidence::default() }
}

/// Full name of a sysctl, `net.netfilter.nf_conntrack_…`.
pub fn key(name: &str) -> String {
    format!("net.netfilter.nf_conntrack_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_what_stands_in_files() {
        let facts = Facts { root: Some("/mnt/it's".into()), ..Facts::default() };
        assert_eq!(
            facts.comment_out("/etc/x", 3),
            "sed -i --follow-symlinks '3s/^/# /' '/mnt/it'\\''s/etc/x'"
        );
        let facts = Facts::default();
        assert_eq!(facts.replace("/x", 1, "a&b|c\\d"), "sed -i --follow-symlinks '1s|.*|a\\&b\\|c\\\\d|' /x");
        assert_eq!(facts.append("/x", "a = 1"), "printf '%s\\n' 'a = 1' >> /x");
        assert_eq!(facts.live("x").len(), 1);
        assert_eq!(quoted(""), "''");
    }
}
