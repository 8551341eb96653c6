//! Files that have a command or a value on each line: tables of cron, interfaces(5), tmpfiles.d(5), sysfs.conf.

use super::writes::{Write, of_file};
use super::{Command, shell, words};
use crate::core::model::FileLine;

/// Commands of a table of cron, behind `fields` words of time and user (crontab(5)). One word stands for five of time
/// (`@daily`). What stands behind a `%` goes to the command's standard input.
pub fn of_cron(lines: &[FileLine], fields: usize) -> Vec<Command> {
    let of = |line: &FileLine| {
        let fields = if line.text.starts_with('@') { fields.saturating_sub(4) } else { fields };
        let command = behind(&line.text, fields)?;
        // `NAME = value` sets a variable.
        let variable = line.text.split_once('=').is_some_and(|(name, _)| words::is_name(name.trim()));
        let command = unescaped(command);
        (!variable).then(|| shell::of_line(line, &command))
    };
    lines.iter().filter_map(of).flatten().collect()
}

fn unescaped(command: &str) -> String {
    let mut said = String::new();
    let mut characters = command.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if characters.peek() == Some(&'%') => said.extend(characters.next()),
            '%' => break,
            c => said.push(c),
        }
    }
    said
}

/// Commands that ifupdown runs when an interface comes up, those of one interface in the order in which they run. What
/// runs when it goes down writes nothing at a boot.
pub fn of_interfaces(lines: &[FileLine]) -> Vec<Command> {
    let mut stanza = 0;
    let mut found = Vec::new();
    for line in lines {
        let Some((hook, command)) = line.text.split_once([' ', '\t']) else { continue };
        stanza += usize::from(matches!(hook, "iface" | "mapping" | "auto"));
        let before = match hook {
            "pre-up" => true,
            "up" | "post-up" => false,
            _ => continue,
        };
        found.push(((stanza, !before), shell::of_line(line, command.trim())));
    }
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().flat_map(|(_, commands)| commands).collect()
}

/// Values that systemd-tmpfiles writes: types `w` and `w+`, the path second and the text seventh.
pub fn of_tmpfiles(lines: &[FileLine]) -> Vec<Write> {
    let of = |line: &FileLine| {
        let words: Vec<&str> = line.text.split_ascii_whitespace().collect();
        let (kind, path) = (words.first()?, words.get(1)?);
        let value = behind(&line.text, 6)?;
        let key = of_file(path).filter(|_| kind.starts_with('w'))?;
        Some(Write { line: line.clone(), key, value: Some(value.into()), ..Write::default() })
    };
    lines.iter().filter_map(of).collect()
}

/// Values of sysfsutils: `module/nf_conntrack/parameters/hashsize = 65536`.
pub fn of_sysfs(lines: &[FileLine]) -> Vec<Write> {
    let of = |line: &FileLine| {
        let (path, value) = line.text.split_once('=')?;
        let key = of_file(&format!("/sys/{}", path.trim().trim_start_matches("/sys/")))?;
        Some(Write { line: line.clone(), key, value: Some(value.trim().into()), ..Write::default() })
    };
    lines.iter().filter_map(of).collect()
}

/// Text behind the first `words` words.
fn behind(text: &str, words: usize) -> Option<&str> {
    let mut rest = text.trim_start();
    for _ in 0..words {
        let (_, behind) = rest.split_once([' ', '\t'])?;
        rest = behind.trim_start();
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::super::writes;
    use super::*;

    fn line(text: &str) -> Vec<FileLine> {
        vec![FileLine { text: text.into(), ..FileLine::default() }]
    }

    fn values(writes: &[Write]) -> Vec<(&str, &str)> {
        writes.iter().map(|w| (w.name().expect("ours"), w.value.as_deref().expect("known"))).collect()
    }

    #[test]
    fn commands_stand_behind_times() {
        let of = |text: &str, fields| -> Vec<String> {
            of_cron(&line(text), fields).iter().map(|command| command.words.join(" ")).collect()
        };
        assert_eq!(of("0 3 * * * root /usr/sbin/conntrack -F; x", 6), ["/usr/sbin/conntrack -F", "x"]);
        assert_eq!(of("@reboot root a", 6), ["a"]);
        assert_eq!(of("@reboot a", 5), ["a"]);
        assert_eq!(of("*/5 * * * *\ta \\% b%c", 5), ["a % b"]);
        assert_eq!(of("1 5 job a b", 3), ["a b"]);
        assert_eq!(of("PATH=/bin:/usr/bin a b c d e f g", 6), Vec::<String>::new());
        assert_eq!(of("0 3 *", 6), Vec::<String>::new());
    }

    #[test]
    fn hooks_of_interfaces_and_written_files() {
        let hook = "post-up sysctl -w net.netfilter.nf_conntrack_max=5 && true";
        let written: Vec<Write> = of_interfaces(&line(hook)).iter().flat_map(writes::of).collect();
        assert_eq!(values(&written), [("max", "5")]);
        assert_eq!(of_interfaces(&line("address 192.0.2.1")), []);
        let hashsize = "w /sys/module/nf_conntrack/parameters/hashsize - - - - 65536";
        assert_eq!(values(&of_tmpfiles(&line(hashsize))), [("buckets", "65536")]);
        assert_eq!(of_tmpfiles(&line("d /proc/sys/net/netfilter/nf_conntrack_max - - - - 5")), []);
        let sysfs = "module/nf_conntrack/parameters/hashsize = 65536";
        assert_eq!(values(&of_sysfs(&line(sysfs))), [("buckets", "65536")]);
    }
}
