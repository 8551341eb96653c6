//! What a file writes counts where its file is one that something runs: units that start, scripts of cron and ifupdown
//! that are executed, lines that are reached.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::findings::{FILE, tree};
use crate::tree::{Tree, ids};

const MAX: (&str, &str) = (FILE, "net.netfilter.nf_conntrack_max = 65536\n");
const UNIT: &str = "[Service]\nExecStart=/sbin/sysctl -w net.netfilter.nf_conntrack_max=262144\n";
const SCRIPT: &str = "#!/bin/sh\nsysctl -w net.netfilter.nf_conntrack_max=262144\n";
const CT: &str = "etc/systemd/system/ct.service";

/// Severities of the findings of a tree with [`MAX`] and these files.
fn severities(files: &[(&str, &str)]) -> Vec<String> {
    of(&tree(&[&[MAX], files].concat()))
}

fn of(tree: &Tree) -> Vec<String> {
    ids(&tree.document().1).into_iter().map(|(_, severity)| severity).collect()
}

#[test]
fn a_unit_that_nothing_starts_is_a_note() {
    let wants = |name: &'static str| (name, "-> ../ct.service");
    let install = format!("{UNIT}[Install]\nWantedBy=multi-user.target\n");
    for files in [
        &[(CT, install.as_str())][..],
        &[(CT, UNIT), wants("etc/systemd/system/shutdown.target.wants/ct.service")],
        &[(CT, UNIT), wants("etc/systemd/system/other.service.wants/ct.service")],
        &[(CT, UNIT), ("etc/systemd/system/ct.timer", "[Timer]\nOnBootSec=1\n")],
        &[(CT, UNIT), ("etc/systemd/system/ct.socket", "[Socket]\nListenStream=1\n")],
        &[(CT, UNIT), ("etc/systemd/system/alias.service", "-> ct.service")],
        &[(CT, "[Service]\nExecStart=/bin/true\n"), ("etc/systemd/system/ct.service.d/more.conf", UNIT)],
        &[(
            CT,
            "[Service]\nExecStart=/sbin/sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=60\n",
        )],
    ] {
        assert_eq!(severities(files), ["note"], "{files:?}");
        crate::cures::cured(&tree(&[&[MAX], files].concat()));
    }
    for files in [
        &[(CT, UNIT), wants("etc/systemd/system/multi-user.target.wants/ct.service")][..],
        &[(CT, UNIT), wants("usr/lib/systemd/system/network.target.requires/ct.service")],
        &[(CT, UNIT), wants("run/systemd/generator/multi-user.target.wants/ct.service")],
        &[
            (CT, UNIT),
            wants("etc/systemd/system/multi-user.target.wants/ct@.service"),
            ("etc/systemd/system/multi-user.target.d/w.conf", "[Unit]\nWants=ct.service\n"),
        ],
        &[
            (CT, UNIT),
            ("etc/systemd/system/alias.service", "-> ct.service"),
            ("etc/systemd/system/multi-user.target.wants/alias.service", "-> ../ct.service"),
        ],
        &[
            (CT, UNIT),
            ("etc/systemd/system/ct.timer", "[Timer]\nOnBootSec=1\n"),
            ("etc/systemd/system/timers.target.wants/ct.timer", "-> ../ct.timer"),
        ],
        &[
            (CT, UNIT),
            ("etc/systemd/system/x.socket", "[Socket]\nListenStream=1\nService=ct.service\n"),
            ("etc/systemd/system/sockets.target.wants/x.socket", "-> ../x.socket"),
        ],
        &[
            (CT, UNIT),
            ("etc/systemd/system/x.service", "[Service]\nExecStart=/bin/true\n"),
            ("etc/systemd/system/multi-user.target.wants/x.service", "-> ../x.service"),
            wants("etc/systemd/system/x.service.wants/ct.service"),
        ],
        &[
            (CT, UNIT),
            (
                "etc/udev/rules.d/9.rules",
                "KERNEL==\"eth0\", TAG+=\"systemd\", ENV{SYSTEMD_WANTS}+=\"ct.service\"\n",
            ),
        ],
        &[(CT, UNIT), ("etc/rc.local", "#!/bin/sh\nsystemctl start --no-block ct\n")],
        &[(CT, UNIT), ("etc/cron.d/x", "@reboot root systemctl restart ct.service\n")],
    ] {
        assert_eq!(severities(files), ["warning"], "{files:?}");
    }
}

#[test]
fn interfaces_are_those_that_are_sourced() {
    let path = "etc/network/interfaces.d/gw";
    let stanza =
        "auto eth0\niface eth0 inet dhcp\n  post-up sysctl -w net.netfilter.nf_conntrack_max=262144\n";
    let main = |text: &'static str| ("etc/network/interfaces", text);
    for text in [
        "source /etc/network/interfaces.d/*\n",
        "source interfaces.d/*\n",
        "source /etc/network/interfaces.d/other /etc/network/interfaces.d/g?\n",
        "source-directory /etc/network/interfaces.d\n",
        "source-directory interfaces.d\n",
        "source /etc/network/more\n",
    ] {
        let more = ("etc/network/more", "source-directory /etc/network/interfaces.d/\n");
        assert_eq!(severities(&[main(text), more, (path, stanza)]), ["warning"], "{text}");
    }
    let none: [&str; 0] = [];
    for text in [
        "auto lo\niface lo inet loopback\n",
        "# source /etc/network/interfaces.d/*\n",
        "source /etc/network/interfaces.d/*.cfg\n",
        "source /etc/network/interfaces.d/.*\n",
        "source-directory /etc/network/other\n",
    ] {
        assert_eq!(severities(&[main(text), (path, stanza)]), none, "{text}");
    }
    assert_eq!(severities(&[(path, stanza)]), none, "no interfaces(5)");
    let dotted = ("etc/network/interfaces.d/gw.cfg", stanza);
    assert_eq!(severities(&[main("source-directory interfaces.d\n"), dotted]), none);
    assert_eq!(severities(&[main("source interfaces.d/*\n"), dotted]), ["warning"]);
}

/// Severities with a file of a mode.
fn with_mode(release: (&str, &str), path: &str, text: &str, mode: u32) -> Vec<String> {
    let tree = tree(&[MAX, release, (path, text)]);
    std::fs::set_permissions(tree.path(path), Permissions::from_mode(mode)).expect("a mode");
    of(&tree)
}

#[test]
fn scripts_of_cron_run_where_run_parts_takes_them() {
    let debian = ("usr/lib/os-release", "NAME=x\nID=mine\nID_LIKE=\"ubuntu debian\"\n");
    let redhat = ("etc/os-release", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n");
    let alpine = ("etc/alpine-release", "3.21.0\n");
    let flush = "#!/bin/sh\nconntrack -F\n";
    let table = "0 3 * * * root conntrack -F\n";
    for (release, path, mode, runs) in [
        (debian, "etc/cron.daily/ct", 0o755, true),
        (debian, "etc/cron.daily/ct", 0o644, false),
        (debian, "etc/cron.daily/ct.sh", 0o755, false),
        (debian, "etc/cron.daily/ct~", 0o755, false),
        (debian, "etc/network/if-up.d/ct", 0o644, false),
        (redhat, "etc/cron.daily/ct.sh", 0o755, true),
        (redhat, "etc/cron.daily/ct.sh", 0o644, false),
        (redhat, "etc/cron.daily/ct~", 0o755, false),
        (redhat, "etc/cron.daily/ct.rpmsave", 0o755, false),
        (alpine, "etc/periodic/daily/ct", 0o755, true),
        (alpine, "etc/periodic/daily/ct.sh", 0o755, false),
    ] {
        for text in [flush, SCRIPT] {
            // What ifupdown runs once empties no table again and again, and periodic scripts of busybox are not
            // looked at for what they write.
            let other =
                (text == flush && path.contains("if-up")) || (text == SCRIPT && path.contains("periodic"));
            let expected: &[&str] = if runs && !other { &["warning"] } else { &[] };
            assert_eq!(with_mode(release, path, text, mode), expected, "{release:?} {path} {mode:o} {text}");
        }
    }
    for (release, path, runs) in [
        (debian, "etc/cron.d/ct", true),
        (debian, "etc/cron.d/ct.cron", false),
        (redhat, "etc/cron.d/ct.cron", true),
        (redhat, "etc/cron.d/ct.rpmnew", false),
    ] {
        let expected: &[&str] = if runs { &["warning"] } else { &[] };
        assert_eq!(with_mode(release, path, table, 0o644), expected, "{release:?} {path}");
    }
}

#[test]
fn what_comes_up_with_an_interface_or_with_init() {
    let write = "sysctl -w net.netfilter.nf_conntrack_max=262144";
    for (path, text) in [
        ("etc/inittab", format!("::sysinit:/sbin/openrc sysinit\n::sysinit:/sbin/{write}\n")),
        ("etc/inittab", format!("ct:2345:once:/bin/sh -c '{write}'\n")),
        (
            "etc/wireguard/wg0.conf",
            format!("[Interface]\nPostUp = iptables -A FORWARD -i %i -j ACCEPT; {write}\n"),
        ),
        ("etc/wireguard/wg0.conf", format!("[interface]\npreup={write} # more\n[Peer]\n")),
    ] {
        assert_eq!(severities(&[(path, &text)]), ["warning"], "{text}");
        crate::cures::cured(&tree(&[MAX, (path, &text)]));
    }
    for (path, text) in [
        ("etc/inittab", format!("::shutdown:{write}\n")),
        ("etc/wireguard/wg0.conf", format!("[Interface]\nPostDown = {write}\n")),
        ("etc/wireguard/wg0.conf.bak", format!("[Interface]\nPostUp = {write}\n")),
    ] {
        assert_eq!(severities(&[(path, &text)]), [""; 0], "{text}");
    }
}

#[test]
fn what_stands_behind_the_end_of_a_script_does_not_run() {
    let write = "sysctl -w net.netfilter.nf_conntrack_max=262144\n";
    let severities = |script: &str| severities(&[("etc/rc.local", &format!("#!/bin/sh -e\n{script}"))]);
    for script in [
        "exit 0\nWRITE",
        "exit\nWRITE",
        "echo; exit 0; WRITE",
        "f() {\n  exit 1\n}\nexec /usr/local/sbin/more \"$@\"\nWRITE",
        "( cd /; true )\nif x; then\n  y\nfi\nexit 0\nWRITE",
        "cat <<EOF\nexit\nEOF\nexit 0 # done\nWRITE",
        "case $1 in\n (a) b ;;\n c) d ;;\nesac\nexit $?\nWRITE",
        "sh -c 'exit 0; WRITE'\n",
    ] {
        assert_eq!(severities(&script.replace("WRITE", write)), [""; 0], "{script}");
    }
    for script in [
        "[ -f /etc/x ] || exit 0\nWRITE",
        "if x; then\n  exit 0\nfi\nWRITE",
        "f() {\n  exit 1\n}\nWRITE",
        "f()\n{\n  exit 1\n}\nWRITE",
        "( exit 0 )\nWRITE",
        "( f() { x; }; f; exit 0 )\nWRITE",
        "exit 0 &\nWRITE",
        "exit 0 | true\nWRITE",
        "exec >/var/log/rc.log 2>&1\nWRITE",
        "exec 3</dev/null\nWRITE",
        "case $1 in\n stop) exit 0 ;;\nesac\nWRITE",
        "x=$(exit 1)\nWRITE",
        "cat <<EOF\nexit 0\nEOF\nWRITE",
        "echo exit\nWRITE",
        "WRITEexit 0\n",
        "trap 'exit 0' INT\nWRITE",
    ] {
        assert_eq!(severities(&script.replace("WRITE", write)), ["warning"], "{script}");
    }
}

#[test]
fn scripts_that_scripts_run() {
    let caller = "#!/bin/sh\n/opt/gw/tune.sh start\n";
    assert_eq!(severities(&[("etc/rc.local", caller), ("opt/gw/tune.sh", SCRIPT)]), ["warning"]);
    assert_eq!(severities(&[("etc/rc.local", "#!/bin/sh\nsh /opt/x\n"), ("opt/x", SCRIPT)]), ["warning"]);
    assert_eq!(severities(&[("opt/gw/tune.sh", SCRIPT)]), [""; 0], "nothing runs it");
    let flush = "#!/bin/sh\nconntrack -F\n";
    let daily = ("etc/cron.daily/ct", "#!/bin/sh\ncd /\n/usr/local/sbin/clean\n");
    assert_eq!(severities(&[daily, ("usr/local/sbin/clean", flush)]), ["warning"]);
}
