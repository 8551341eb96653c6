//! Lines of files of sysctls, as the program that applies the file reads them.
//!
//! What each program does was tried with systemd-sysctl 252, procps 4.0.2 and busybox 1.35:
//!
//! | line | systemd | procps | busybox |
//! |---|---|---|---|
//! | `-key = 1` | may fail | may fail | the dash belongs to the key |
//! | `- key = 1` | as without the space | the space belongs to the key | |
//! | `ke* = 1` | a pattern | a pattern since 4.0 | no pattern |
//! | `key. = 1`, `key/=1` | `key` | not found | not found |
//! | `a..b = 1`, `a//b=1`, `a/./b=1` | `a/b` | `a/b` | `a/b` |
//! | `/a/b = 1` | `a/b` | `a/b` | not found |
//! | `/proc/sys/a/b = 1` | not found | not found | `a/b` |
//! | `a/b.c = 1` | `a/b.c` | `a/b.c` | `a/b/c` |
//! | `\` at the end | a character | a character | the line continues |

use std::borrow::Cow;

use crate::core::model::{SysctlLine, SysctlProgram};

/// A line that is neither empty nor a comment, and comments among all.
pub(super) struct Lines {
    pub(super) lines: Vec<SysctlLine>,
    pub(super) comments: u32,
    pub(super) total: u32,
}

pub(super) fn lines(text: &str, program: SysctlProgram) -> Lines {
    let mut found = Lines { lines: Vec::new(), comments: 0, total: 0 };
    let mut numbered = (1..).zip(text.lines());
    while let Some((line, physical)) = numbered.next() {
        let (mut last, mut whole, mut stands) = (line, Cow::Borrowed(physical), None);
        while program == SysctlProgram::Busybox && whole.ends_with('\\') {
            let Some((number, more)) = numbered.next() else { break };
            whole.to_mut().pop();
            whole.to_mut().push_str(more);
            (stands.get_or_insert_with(|| vec![physical.trim().to_owned()])).push(more.trim().to_owned());
            last = number;
        }
        found.total = last;
        let stripped = strip(&whole, program);
        match stripped.starts_with(['#', ';']) {
            true => found.comments += 1,
            false if stripped.is_empty() => {}
            false => found.lines.push(SysctlLine {
                last,
                physical: stands.unwrap_or_default(),
                ..of_line(line, stripped, program)
            }),
        }
    }
    found
}

/// Without what the program takes for white space at both ends. None takes U+00A0 for it.
fn strip(text: &str, program: SysctlProgram) -> &str {
    text.trim_matches(move |c: char| match program {
        SysctlProgram::Systemd => matches!(c, ' ' | '\t' | '\n' | '\r'),
        // Blanks as isspace(3) has them.
        SysctlProgram::Procps | SysctlProgram::OldProcps | SysctlProgram::Busybox => {
            matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
        }
    })
}

/// `net.netfilter.nf_conntrack_max = 1`, with `/` for `.`, and with `-` before it where an error does not matter.
pub(super) fn of_line(line: u32, text: &str, program: SysctlProgram) -> SysctlLine {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(strip(value, program).to_owned())),
        None => (text, None),
    };
    let bare = key.strip_prefix('-').filter(|_| program != SysctlProgram::Busybox);
    let key = match bare {
        // procps looks for a key that begins with the space.
        Some(bare) if program != SysctlProgram::Systemd => {
            strip(&format!("-{bare}"), program)[1..].to_owned()
        }
        Some(bare) => strip(bare, program).to_owned(),
        None => strip(key, program).to_owned(),
    };
    SysctlLine {
        line,
        last: line,
        text: text.into(),
        physical: Vec::new(),
        key: path(&key, program),
        value,
        may_fail: bare.is_some(),
    }
}

/// The path below /proc/sys that a key names to a program. What it would not find stays as it is written, so that it
/// is no name that there is.
pub fn path(key: &str, program: SysctlProgram) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    let first = key.find(['.', '/']).map(|at| key.as_bytes()[at]);
    match program {
        // Dots become slashes as far as that leads to a file; a path that begins with a slash is taken as it is.
        SysctlProgram::Busybox => match (key.strip_prefix("/proc/sys/"), first) {
            (Some(below), _) => simplified(&below.replace('.', "/")),
            (None, Some(b'.')) if key.contains('/') => key.into(),
            (None, _) if key.starts_with(['/', '.']) => key.into(),
            _ => simplified(&key.replace('.', "/")),
        },
        _ => {
            let swapped = if first == Some(b'.') { key.chars().map(swap).collect() } else { key.to_owned() };
            let simple = simplified(swapped.trim_start_matches('/'));
            match program {
                SysctlProgram::Systemd => simple.trim_end_matches('/').into(),
                _ => simple,
            }
        }
    }
}

/// Without empty parts and `.` inside; a slash at the end stays, for it asks for a directory.
fn simplified(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let directory = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("{}{directory}", parts.join("/"))
}

#[cfg(test)]
#[path = "sysctl_lines_tests.rs"]
mod tests;
