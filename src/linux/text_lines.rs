//! Lines of text files as their readers join them: each format continues a line in its own way.

use super::image::Text;
use crate::core::model::FileLine;

/// Rules by which a format continues a line, and knows comments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Nothing continues; `#` and `;` begin a comment (modules-load.d, `KEY=value` files, tmpfiles.d).
    Plain,
    /// `\` before the end continues, and takes its meaning from any other character; a comment begins with `#` and
    /// continues as well (kmod, `freadline_wrapped`).
    Modprobe,
    /// `\` before the end continues; a line that begins with `#` is left out, in the midst of another too (udev).
    Udev,
    /// `\` before the end continues with a space; a line that begins with `#` or `;` is left out, in the midst of
    /// another too (systemd.syntax(7)).
    Unit,
    /// `\` before the end continues; comments begin with `#`, and a line that continues another is none
    /// (interfaces(5)).
    Interfaces,
}

/// Lines that are neither empty nor comments.
pub fn joined(text: &Text, format: Format) -> Vec<FileLine> {
    let mut found: Vec<FileLine> = Vec::new();
    let mut open: Option<FileLine> = None;
    for (number, physical) in (1..).zip(text.text.lines()) {
        let trimmed = physical.trim_start();
        let comment = match format {
            Format::Plain | Format::Unit => trimmed.starts_with(['#', ';']),
            Format::Udev => trimmed.starts_with('#'),
            Format::Modprobe | Format::Interfaces => open.is_none() && trimmed.starts_with('#'),
        };
        if comment && format != Format::Modprobe {
            if let Some(line) = &mut open {
                line.physical.push(trimmed.trim_end().into());
            }
            continue;
        }
        let (part, continues) = part(physical, format);
        let line = open.get_or_insert_with(|| FileLine {
            path: text.path.clone(),
            line: number,
            ..FileLine::default()
        });
        line.text.push_str(&part);
        line.last = number;
        line.physical.push(physical.trim().into());
        if !continues {
            found.extend(open.take());
        }
    }
    found.extend(open);
    found.retain_mut(|line| {
        let trimmed = line.text.trim_ascii();
        let comment = format == Format::Modprobe && trimmed.starts_with('#');
        let kept = !(trimmed.is_empty() || comment);
        if trimmed.len() != line.text.len() {
            line.text = trimmed.to_owned();
        }
        if line.line == line.last {
            line.physical.clear();
        }
        kept
    });
    found
}

/// The text that a physical line adds, and whether the next one belongs to it.
fn part(physical: &str, format: Format) -> (String, bool) {
    match format {
        Format::Plain => (physical.into(), false),
        Format::Modprobe => {
            let mut part = String::new();
            let mut characters = physical.chars();
            while let Some(c) = characters.next() {
                match c {
                    '\\' => match characters.next() {
                        Some(escaped) => part.push(escaped),
                        None => return (part, true),
                    },
                    c => part.push(c),
                }
            }
            (part, false)
        }
        Format::Unit => {
            // Two backslashes are one character; an odd one continues the line.
            let slashes = physical.len() - physical.trim_end_matches('\\').len();
            match slashes % 2 {
                1 => (format!("{} ", &physical[..physical.len() - 1]), true),
                _ => (physical.into(), false),
            }
        }
        Format::Udev | Format::Interfaces => {
            let begin = if format == Format::Udev { physical.trim_start() } else { physical };
            match begin.strip_suffix('\\') {
                Some(part) => (part.into(), true),
                None => (begin.into(), false),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn are(text: &str, format: Format, expected: &[(u32, u32, &str)]) {
        let text = Text { path: "/x".into(), text: text.into() };
        let lines = joined(&text, format);
        for line in &lines {
            let stands = if line.line == line.last { 0 } else { (line.last - line.line + 1) as usize };
            assert_eq!(line.physical.len(), stands, "{line:?}");
        }
        let lines: Vec<_> = lines.iter().map(|l| (l.line, l.last, l.text.as_str())).collect();
        assert_eq!(lines, expected, "{format:?}");
    }

    #[test]
    fn each_format_continues_lines_in_its_own_way() {
        are("a \\\nb\n# c \\\nd\n;e\n", Format::Plain, &[(1, 1, "a \\"), (2, 2, "b"), (4, 4, "d")]);
        let options = "options nf_conntrack \\\n  hashsize=1 \\\n  acct=1\n# off \\\noptions x y=1\na\\b\n";
        are(options, Format::Modprobe, &[(1, 3, "options nf_conntrack   hashsize=1   acct=1"), (6, 6, "ab")]);
        let rule = "A==\"1\", \\\n# between \\\n  B=\"2\"\n# \\\nC=\"3\"\n";
        are(rule, Format::Udev, &[(1, 3, "A==\"1\", B=\"2\""), (5, 5, "C=\"3\"")]);
        let unit = "ExecStart=a \\\n; note\n# \\\n b\nX=1\\\\\nY=2\n";
        are(unit, Format::Unit, &[(1, 4, "ExecStart=a   b"), (5, 5, "X=1\\\\"), (6, 6, "Y=2")]);
        are("up a \\\n # b\n# c \\\nd\n", Format::Interfaces, &[(1, 2, "up a  # b"), (4, 4, "d")]);
        for format in [Format::Modprobe, Format::Udev, Format::Unit, Format::Interfaces] {
            are("a\\", format, &[(1, 1, "a")]);
            are("\\\n\\\n", format, &[]);
        }
    }
}
