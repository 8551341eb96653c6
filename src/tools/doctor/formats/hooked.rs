//! Commands of tables that start something: inittab(5), and wg-quick(8).

use super::{Command, shell};
use crate::core::model::FileLine;

/// Commands that init runs at boot: `id:runlevels:action:process`. busybox and sysvinit both give the process to a
/// shell where it needs one.
pub fn of_inittab(lines: &[FileLine]) -> Vec<Command> {
    const AT_BOOT: [&str; 6] = ["sysinit", "boot", "bootwait", "wait", "once", "respawn"];
    let of = |line: &FileLine| {
        let mut fields = line.text.splitn(4, ':').skip(2);
        let action = fields.next()?.trim();
        let command = fields.next()?.trim().trim_start_matches(['-', '+', '@']);
        AT_BOOT.contains(&action).then(|| shell::of_line(line, command))
    };
    lines.iter().filter_map(of).flatten().collect()
}

/// Commands that wg-quick runs as an interface comes up: `PreUp` and `PostUp` of the section Interface, in any case.
/// What stands behind `#` is a comment, wherever that stands.
pub fn of_wg_quick(lines: &[FileLine]) -> Vec<Command> {
    let (mut inside, mut found) = (false, Vec::new());
    for line in lines {
        let text = line.text.split('#').next().unwrap_or_default().trim();
        if text.starts_with('[') {
            inside = text.eq_ignore_ascii_case("[interface]");
        } else if let Some((key, command)) = text.split_once('=')
            && inside
            && ["preup", "postup"].contains(&key.trim().to_ascii_lowercase().as_str())
        {
            found.extend(shell::of_line(line, command.trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: fn(&[FileLine]) -> Vec<Command>, text: &str) -> Vec<String> {
        let line = |text: &str| FileLine { text: text.into(), ..FileLine::default() };
        let lines: Vec<FileLine> = text.lines().map(line).collect();
        of(&lines).iter().map(|command| command.words.join(" ")).collect()
    }

    #[test]
    fn init_runs_what_its_action_says() {
        let text = "::sysinit:/sbin/sysctl -w a=1; b\nid:3:initdefault:\nl3:3:wait:/etc/rc 3\n::shutdown:c\n\
                    tty1::respawn:-/bin/sh\n::ctrlaltdel:/sbin/reboot\n";
        assert_eq!(words(of_inittab, text), ["/sbin/sysctl -w a=1", "b", "/etc/rc 3", "/bin/sh"]);
    }

    #[test]
    fn wg_quick_runs_what_stands_before_a_comment() {
        let text = "[interface]\npostup = a %i; b # c\nPreUp=d\nPostDown = e\n[Peer]\nPostUp = f\n";
        assert_eq!(words(of_wg_quick, text), ["a %i", "b", "d"]);
    }
}
