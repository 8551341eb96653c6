//! Of several writes of one value the last counts: fixes leave in force what is in force.

use crate::cures::{cured, set, text};
use crate::findings::{FILE, tree};
use crate::tree::{Tree, ids};

const OURS: &str = "etc/sysctl.d/90-conntrack.conf";
const WANTED: (&str, &str) = ("etc/systemd/system/multi-user.target.wants/ct.service", "-> ../ct.service");
const UNIT: &str = "etc/systemd/system/ct.service";

fn write(max: u32) -> String {
    format!("sysctl -w net.netfilter.nf_conntrack_max={max}")
}

/// What files of sysctls set after every fix was pasted.
#[track_caller]
fn left(files: &[(&str, &str)]) -> String {
    let tree = tree(files);
    cured(&tree);
    let values = std::fs::read_to_string(tree.path(OURS)).unwrap_or_default();
    values.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

/// The last of two writes wins at boot, whatever the file is.
#[test]
fn the_last_of_two_writes_stays_in_force() {
    let (first, last) = (write(524_288), write(262_144));
    let path = "/proc/sys/net/netfilter/nf_conntrack_max";
    for (file, lines) in [
        ("etc/rc.local", format!("#!/bin/sh\n{first}\n{last}\n")),
        ("etc/rc.local", format!("#!/bin/sh\necho 524288 > {path}\n{last}\nexit 0\n")),
        ("etc/rc.local", format!("#!/bin/sh\nif [ -f {path} ]; then\n  {first}\n  {last}\nfi\n")),
        ("etc/rc.local", format!("#!/bin/sh\n{first} net.netfilter.nf_conntrack_max=262144\n")),
        ("etc/rc.local", format!("#!/bin/sh\n{first}; {last}\n")),
        ("etc/rc.local", format!("#!/bin/sh\nsh -c '{first}; {last}'\n")),
        ("etc/rc.local", format!("#!/bin/sh\n{first}\n{last}\nsysctl -w net.netfilter.nf_conntrack_max=64k\n")),
        (
            "etc/rc.local",
            "#!/bin/sh\nsysctl -p - <<EOF\nnet.netfilter.nf_conntrack_max = 524288\nnet.netfilter.nf_conntrack_max = 262144\nEOF\n".into(),
        ),
        (UNIT, format!("[Service]\nType=oneshot\nExecStart=/sbin/{first}\nExecStart=/sbin/{last}\n")),
        (UNIT, format!("[Service]\nType=oneshot\nExecStart=/sbin/{last}\nExecStartPre=/sbin/{first}\n")),
        (UNIT, format!("[Service]\nExecStart=/bin/sh -c '{first}; {last}'\n")),
        (UNIT, format!("[Service]\nType=oneshot\nExecStart=/sbin/{first} ; /sbin/{last}\n")),
        ("etc/network/interfaces", format!("iface eth0 inet dhcp\n  post-up {first}\n  post-up {last}\n")),
        ("etc/network/interfaces", format!("iface eth0 inet dhcp\n  post-up {first}; {last}\n")),
        ("etc/network/interfaces", format!("iface eth0 inet dhcp\n  post-up {last}\n  pre-up {first}\n")),
        ("etc/network/interfaces", format!("iface eth0 inet dhcp\n  post-up {last}\n  post-down {first}\n")),
        ("etc/cron.d/ct", format!("@reboot root {first}\n@reboot root {last}\n")),
        ("etc/tmpfiles.d/x.conf", format!("w {path} - - - - 524288\nw {path} - - - - 262144\n")),
        ("etc/local.d/ct.start", format!("#!/bin/sh\ncase \"$1\" in\nstart)\n  {first}\n  {last}\n  ;;\nstop)\n  {}\n  ;;\nesac\n", write(65_536))),
        ("etc/rc.local", format!("#!/bin/sh\nstart() {{\n  {last}\n}}\nstop() {{\n  {first}\n}}\nstart\n")),
    ] {
        let files = [(file, lines.as_str()), WANTED];
        assert_eq!(left(&files), set("max", "262144"), "{lines}");
        let set_there = set("max", "131072");
        let tree = tree(&[&files[..], &[(FILE, set_there.as_str())]].concat());
        cured(&tree);
        assert_eq!(text(&tree, FILE), set("max", "262144"), "{lines}");
    }
}

/// Commands of a drop-in run behind those of its unit.
#[test]
fn a_drop_in_has_the_last_word() {
    let (first, last) = (write(524_288), write(262_144));
    let unit = format!("[Service]\nType=oneshot\nExecStart=/sbin/{first}\n");
    let drop_in = format!("[Service]\nExecStart=/sbin/{last}\n");
    let files = [(UNIT, unit.as_str()), ("etc/systemd/system/ct.service.d/o.conf", drop_in.as_str()), WANTED];
    assert_eq!(left(&files), set("max", "262144"));
}

/// An earlier write that sets other values too keeps those.
#[test]
fn what_a_beaten_command_sets_beside_stays() {
    let script = format!(
        "#!/bin/sh\n{} net.netfilter.nf_conntrack_udp_timeout=60 net.ipv4.ip_forward=1\n{}\n",
        write(524_288),
        write(262_144)
    );
    let tree = tree(&[("etc/rc.local", &script)]);
    cured(&tree);
    let mut lines: Vec<String> = text(&tree, OURS).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines.concat(), (set("max", "262144") + &set("udp_timeout", "60")).replace('\n', ""));
    assert!(text(&tree, "etc/rc.local").contains("ip_forward=1"));
}

/// Nobody knows which of two programs runs last: the larger table stays.
#[test]
fn of_two_programs_the_larger_max_is_kept() {
    let (small, large) = (write(131_072), write(262_144));
    let unit = |write: &str| format!("[Service]\nExecStart=/sbin/{write}\n");
    for (script, unit) in [(&small, unit(&large)), (&large, unit(&small))] {
        let script = format!("#!/bin/sh\n{script}\n");
        assert_eq!(
            left(&[("etc/rc.local", &script), (UNIT, &unit), WANTED]),
            set("max", "262144"),
            "{script}"
        );
    }
}

/// A command of `install` runs when the module comes.
#[test]
fn an_install_line_is_a_writer() {
    let load = "/sbin/modprobe --ignore-install nf_conntrack";
    let path = "etc/modprobe.d/ct.conf";
    for line in [
        format!("install nf_conntrack {load} && {}\n", write(262_144)),
        format!("install nf-conntrack  {load} $CMDLINE_OPTS && /sbin/{} >/dev/null\n", write(262_144)),
        format!("install nf_conntrack {load}; echo 262144 > /proc/sys/net/netfilter/nf_conntrack_max\n"),
        format!("install nf_conntrack {load} && {{ {}; logger up; }}\n", write(262_144)),
    ] {
        assert_eq!(left(&[(path, &line)]), set("max", "262144"), "{line}");
        // What the boot applies behind it has the last word.
        let smaller = set("max", "65536");
        let tree = tree(&[(path, &line), (FILE, &smaller)]);
        cured(&tree);
        assert_eq!(text(&tree, FILE), smaller, "{line}");
        assert!(text(&tree, path).contains(load), "{line}: {}", text(&tree, path));
        // If the module comes later, the command has it, and is not forgotten once the module comes early.
        let late = [
            ("usr/lib/systemd/systemd-sysctl", ""),
            ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/fs/ext4/ext4.ko\n"),
            (path, line.as_str()),
            (FILE, smaller.as_str()),
        ];
        let tree = Tree::new(&late);
        cured(&tree);
        assert_eq!(text(&tree, FILE), set("max", "262144"), "{line}");
    }
    // What is not read, and what sets the same, is none.
    let line = format!("install nf_conntrack {load} && {}\n", write(262_144));
    assert_eq!(ids(&tree(&[("etc/modprobe.d/ct", &line)]).document().1), Default::default());
}

/// What set nothing in a script is set at boot where nothing speaks against it, and is said to stay out otherwise.
#[test]
fn an_assignment_in_pieces_is_not_put_into_force_unseen() {
    let key = "net.netfilter.nf_conntrack_max";
    for pieces in [
        format!("{key} = 262144"),
        format!("{key} =262144"),
        format!("{key}= 262144"),
        format!("{key} 262144"),
    ] {
        let script = format!("#!/bin/sh\nsysctl -w {pieces}\nexit 0\n");
        assert_eq!(left(&[("etc/rc.local", &script)]), set("max", "262144"), "{script}");
        let other = set("max", "524288");
        let tree = tree(&[("etc/rc.local", &script), (FILE, &other)]);
        let title = tree.document().1["findings"][0]["title"].as_str().expect("a title").to_owned();
        assert!(title.contains("524288") && title.contains(FILE), "{title}");
        let fixes = cured(&tree);
        assert!(fixes.iter().any(|fix| fix.starts_with('#') && fix.contains("524288")), "{fixes:#?}");
        assert_eq!(text(&tree, FILE), other, "{script}");
        assert!(!tree.path(OURS).exists() || FILE == OURS, "{script}");
        let both = format!("#!/bin/sh\nsysctl -w {pieces} net.ipv4.ip_forward=1\n{}\n", write(524_288));
        assert_eq!(left(&[("etc/rc.local", &both)]), set("max", "524288"), "{both}");
    }
    // What else the command sets stays.
    let script =
        format!("#!/bin/sh\nsysctl -w net.ipv4.ip_forward=1 {key} = 262144 net.core.somaxconn=4096\n");
    let tree = tree(&[("etc/rc.local", &script)]);
    cured(&tree);
    let now = text(&tree, "etc/rc.local");
    assert!(
        now.contains("ip_forward=1") && now.contains("somaxconn=4096") && !now.contains("conntrack"),
        "{now}"
    );
}

/// A fix that two findings need is printed once.
#[test]
fn each_fix_is_printed_once() {
    let rule = "ACTION==\"add\", SUBSYSTEM==\"net\", RUN+=\"/sbin/sysctl -w net.netfilter.nf_conntrack_max=262144\"\n";
    let smaller = set("max", "65536");
    let tree = Tree::new(&[
        ("usr/lib/systemd/systemd-sysctl", ""),
        ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/fs/ext4/ext4.ko\n"),
        ("etc/udev/rules.d/99-ct.rules", rule),
        (
            "etc/rc.local",
            "#!/bin/sh\nsysctl -w net.netfilter.nf_conntrack_udp_timeout=60 net.netfilter.nf_conntrack_acct=1\n",
        ),
        (FILE, &smaller),
    ]);
    let mut fixes = cured(&tree);
    assert_eq!(text(&tree, "etc/modules-load.d/conntrack.conf"), "nf_conntrack\n");
    fixes.retain(|fix| !fix.starts_with('#'));
    let all = fixes.len();
    fixes.sort();
    fixes.dedup();
    assert_eq!(fixes.len(), all, "{fixes:#?}");
}

/// Of two branches one runs, and which does not stand in the file.
#[test]
fn of_two_branches_the_larger_max_is_kept() {
    let (small, large) = (write(65_536), write(262_144));
    for (first, last) in [(&small, &large), (&large, &small)] {
        for script in [
            format!("if [ -e /x ]; then\n  {first}\nelse\n  {last}\nfi\n"),
            format!("case $(uname -m) in\n  x86_64) {first} ;;\n  *) {last} ;;\nesac\n"),
        ] {
            let script = format!("#!/bin/sh\n{script}");
            assert_eq!(left(&[("etc/rc.local", &script)]), set("max", "262144"), "{script}");
        }
    }
    // A command of `install` runs before.
    let line = format!("install nf_conntrack /sbin/modprobe -i nf_conntrack && \\\n  {large} && logger up\n");
    let script = format!("#!/bin/sh\n{small}\n");
    let files = [("etc/modprobe.d/ct.conf", line.as_str()), ("etc/rc.local", &script)];
    assert_eq!(left(&files), set("max", "65536"));
    let tree = tree(&files);
    cured(&tree);
    assert!(text(&tree, "etc/modprobe.d/ct.conf").contains("logger up"));
}
