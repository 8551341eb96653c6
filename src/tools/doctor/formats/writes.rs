//! Values of connection tracking that commands write: `sysctl -w`, and redirections to files below /proc/sys and
//! /sys/module. A command that only reads, searches, or writes text to another file writes no value.

use super::{Command, shell};
use crate::core::model::FileLine;

/// A value that something writes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Write {
    /// Line that writes it.
    pub line: FileLine,
    /// The command, where a shell runs it.
    pub command: Option<Command>,
    /// The path below /proc/sys, and `net/netfilter/nf_conntrack_buckets` for the module's hashsize.
    pub key: String,
    /// The text that is written, where the file tells.
    pub value: Option<String>,
    /// A command line that sets nothing, for there are spaces around `=`: the assignment that was meant.
    pub torn: Option<String>,
    /// It is written only where less (`>`) or more (`<`) is in force.
    pub only: Option<char>,
    /// One program writes it and applies files of sysctls behind it, which have the last word.
    pub overruled: bool,
    /// It is a command of a unit that nothing starts, as far as the files tell.
    pub unstarted: bool,
}

impl Write {
    /// The name after `nf_conntrack_`, for both places of max.
    pub fn name(&self) -> Option<&str> {
        match self.key.as_str() {
            "net/nf_conntrack_max" => Some("max"),
            key => key.strip_prefix("net/netfilter/nf_conntrack_"),
        }
    }
}

/// Name among the sysctls of the module's hashsize.
pub const BUCKETS: &str = "net/netfilter/nf_conntrack_buckets";
/// Shells within commands are read this deep.
const DEEPEST: usize = 4;

/// Everything of connection tracking that a command writes.
pub fn of(command: &Command) -> Vec<Write> {
    within(command, 0)
}

/// The commands that `sh -c` and its like run are among them.
fn within(command: &Command, depth: usize) -> Vec<Write> {
    if let Some(text) = script(command).filter(|_| depth < DEEPEST) {
        let inside = shell::commands(&command.line.path, text);
        let written = inside.iter().flat_map(|inside| within(inside, depth + 1));
        let here =
            |write: Write| Write { line: command.line.clone(), command: Some(command.clone()), ..write };
        return written.map(here).collect();
    }
    let mut found = match command.program() {
        "sysctl" => sysctl(command),
        "tee" => {
            let files = command.arguments().iter().skip(1).filter(|word| !word.starts_with('-'));
            files.filter_map(|file| to_file(command, file, command.input.clone())).collect()
        }
        "dd" => {
            let file = command.arguments().iter().find_map(|word| word.strip_prefix("of="));
            file.and_then(|file| to_file(command, file, command.input.clone())).into_iter().collect()
        }
        _ => Vec::new(),
    };
    let redirects =
        command.redirects.iter().filter(|redirect| redirect.writes && redirect.number.unwrap_or(1) == 1);
    found.extend(redirects.filter_map(|redirect| to_file(command, &redirect.target, command.output())));
    found
}

/// Script that a shell is given to run: `sh -c TEXT`, `eval TEXT`.
pub fn script(command: &Command) -> Option<&str> {
    const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "su"];
    let arguments = command.arguments();
    match command.program() {
        "eval" => arguments.get(1).map(String::as_str),
        "flock" => {
            let at = arguments.iter().position(|word| word == "-c" || word == "--command")?;
            arguments.get(at + 1).map(String::as_str)
        }
        shell if SHELLS.contains(&shell) => {
            let option =
                |word: &String| word.starts_with('-') && !word.starts_with("--") && word.contains('c');
            let at = arguments.iter().position(option)?;
            arguments.get(at + 1).map(String::as_str)
        }
        _ => None,
    }
}

fn write(command: &Command, key: String, value: Option<String>) -> Write {
    Write { line: command.line.clone(), command: Some(command.clone()), key, value, ..Write::default() }
}

/// A file below /proc/sys or /sys/module that has to do with connection tracking.
fn to_file(command: &Command, file: &str, text: Option<String>) -> Option<Write> {
    let key = of_file(file)?;
    // The kernel takes what stands in front of the line's end.
    let value = text.map(|text| text.trim_end_matches('\n').to_owned());
    Some(write(command, key, value))
}

/// The path below /proc/sys that a file has, and the sysctl of the module's hashsize.
pub fn of_file(file: &str) -> Option<String> {
    let parts: Vec<&str> = file.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match (parts.as_slice(), file.starts_with('/')) {
        (["proc", "sys", rest @ ..], true) => {
            let key = rest.join("/");
            is_ours(&key).then_some(key)
        }
        (["sys", "module", "nf_conntrack" | "ip_conntrack", "parameters", "hashsize"], true) => {
            Some(BUCKETS.into())
        }
        _ => None,
    }
}

/// A key that names a value of connection tracking, or seems to: its last part has the word, and it is neither IPVS's
/// switch of that name nor a switch of an interface that is called so.
pub fn is_ours(key: &str) -> bool {
    let key = key.trim_end_matches('/');
    let (directory, name) = key.rsplit_once('/').unwrap_or(("", key));
    let name = name.to_ascii_lowercase();
    let words = ["conntrack", "contrack", "conntrak", "conn_track"];
    let other = ["net/ipv4/vs", "net/ipv4/conf/", "net/ipv6/conf/", "net/ipv4/neigh/", "net/ipv6/neigh/"];
    words.iter().any(|word| name.contains(word))
        && !other.iter().any(|other| directory == other.trim_end_matches('/') || directory.starts_with(other))
}

/// As procps and busybox turn a key into a path (see `linux::sysctl_lines`): dots and slashes change places where the
/// first of them is a dot.
pub fn path(key: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    let swapped: String = match key.find(['.', '/']).map(|at| key.as_bytes()[at]) {
        Some(b'.') => key.chars().map(swap).collect(),
        _ => key.into(),
    };
    let parts: Vec<&str> = swapped.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// The assignments of a `sysctl` command.
fn sysctl(command: &Command) -> Vec<Write> {
    let (mut arguments, mut writes, mut files) = (Vec::new(), false, false);
    let mut words = command.arguments().iter().skip(1);
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some("write") => writes = true,
            Some(long) if long.starts_with("load") => files = true,
            Some("system") => files = true,
            Some("pattern") => drop(words.next()),
            Some(_) => {}
            None if word.len() > 1 && word.starts_with('-') => {
                // `-p-` and `-pFILE`.
                arguments.extend(word.strip_prefix("-p").filter(|file| file.starts_with(['-', '/'])));
                writes |= word.contains('w');
                files |= word.contains(['p', 'f']);
                if word.ends_with('r') {
                    words.next();
                }
            }
            None => arguments.push(word.as_str()),
        }
    }
    match files {
        // Lines of a file, which stands in the script itself.
        true if arguments.iter().any(|file| matches!(*file, "-" | "/dev/stdin")) => {
            let lines = command.input.iter().flat_map(|text| text.lines()).map(str::trim);
            let lines: Vec<&str> = lines.filter(|line| !line.starts_with(['#', ';'])).collect();
            assignments(command, &lines, false)
        }
        true => Vec::new(),
        false => assignments(command, &arguments, writes),
    }
}

fn assignments(command: &Command, arguments: &[&str], writes: bool) -> Vec<Write> {
    let mut found = Vec::new();
    let mut rest = arguments;
    while let [first, behind @ ..] = rest {
        rest = behind;
        let (key, value, torn) = match (first.split_once('='), behind) {
            // `key = value`, `key =value`.
            (None, ["=", value, after @ ..]) => {
                rest = after;
                (*first, *value, true)
            }
            (None, [value, after @ ..]) if value.starts_with('=') && value.len() > 1 => {
                rest = after;
                (*first, &value[1..], true)
            }
            // `sysctl -w key value`.
            (None, [value, after @ ..]) if writes && value.starts_with(|c: char| c.is_ascii_digit()) => {
                rest = after;
                (*first, *value, true)
            }
            // The form `key= value`, in two words.
            (Some((key, "")), [value, after @ ..]) if !value.contains('=') => {
                rest = after;
                (key, *value, true)
            }
            (Some((key, value)), _) => (key, value, false),
            (None, _) => continue,
        };
        let key = key.trim_ascii().trim_start_matches('-');
        let path = path(key);
        if is_ours(&path) {
            let torn = torn.then(|| format!("{key}={value}"));
            found.push(Write { torn, ..write(command, path, Some(value.trim_ascii().to_owned())) });
        }
    }
    found
}

#[cfg(test)]
#[path = "writes_tests.rs"]
mod tests;
