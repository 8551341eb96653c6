//! Commands in the string literals of scripts that no shell runs: Python, Perl, Ruby and their like.

use super::{Command, shell};
use crate::core::model::FileLine;

/// `system("sysctl -w …")` and `["sysctl", "-w", …]`, a line at a time.
pub fn commands(lines: &[FileLine]) -> Vec<Command> {
    let mut found = Vec::new();
    for line in lines.iter().filter(|line| line.text.contains("sysctl")) {
        let literals = literals(&line.text);
        if literals.first().is_some_and(|first| first.rsplit('/').next() == Some("sysctl")) {
            found.push(Command { line: line.clone(), words: literals, ..Command::default() });
            continue;
        }
        let commands = literals.iter().filter(|literal| literal.contains("sysctl"));
        found.extend(commands.flat_map(|command| shell::of_line(line, command)));
    }
    found
}

/// The string literals of a line.
fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if !matches!(c, '"' | '\'' | '`') {
            continue;
        }
        let mut literal = String::new();
        while let Some(inside) = characters.next().filter(|inside| *inside != c) {
            match inside {
                '\\' => literal.extend(characters.next()),
                inside => literal.push(inside),
            }
        }
        found.push(literal);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::writes;
    use super::*;

    #[test]
    fn literals_hold_commands() {
        let writes = |text: &str| {
            let line = FileLine { text: text.into(), ..FileLine::default() };
            let commands = commands(&[line]);
            commands.iter().flat_map(writes::of).filter_map(|write| write.value).collect::<Vec<_>>()
        };
        assert_eq!(writes("system(\"sysctl -w net.netfilter.nf_conntrack_max=5\");"), ["5"]);
        assert_eq!(writes("run(['/sbin/sysctl', '-w', 'net.netfilter.nf_conntrack_max=5'])"), ["5"]);
        assert_eq!(writes("os.system('/sbin/sysctl -w net.nf_conntrack_max=5 >/dev/null')"), ["5"]);
        assert_eq!(writes("out = check_output([\"sysctl\", \"-n\", \"net.nf_conntrack_max\"])"), [""; 0]);
        assert_eq!(writes("if \"net.netfilter.nf_conntrack_max=5\" in sysctl_conf:"), [""; 0]);
    }
}
