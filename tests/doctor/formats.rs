//! Files are read as the programs that own them read them.

use crate::findings::{FILE, cured, mended, tree};
use crate::tree::{Tree, ids, of};

#[track_caller]
fn clean(files: &[(&str, &str)]) {
    let (_, document) = tree(files).document();
    assert_eq!(ids(&document), Default::default(), "{files:?}: {document:#}");
}

const MAX: (&str, &str) = (FILE, "net.netfilter.nf_conntrack_max = 262144\n");

/// An image whose boot applies files with busybox.
fn busybox(files: &[(&str, &str)]) -> Tree {
    let base = [
        ("bin/busybox", "\u{7f}ELF"),
        ("sbin/sysctl", "-> ../bin/busybox"),
        ("lib/modules/6.1.0/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n"),
    ];
    Tree::new(&[&base[..], files].concat())
}

/// The same with procps and no systemd.
fn procps(files: &[(&str, &str)]) -> Tree {
    let base = [
        ("sbin/sysctl", "\u{7f}ELF"),
        ("lib/modules/6.1.0/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n"),
    ];
    Tree::new(&[&base[..], files].concat())
}

#[test]
fn spellings_count_where_the_program_that_applies_the_file_takes_them() {
    let found = |tree: Tree| ids(&tree.document().1).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    for (key, systemd, by_procps, by_busybox) in [
        ("net.netfilter.nf_conntrack_max", "", "", ""),
        ("net..netfilter.nf_conntrack_max", "", "", ""),
        ("/net/netfilter/nf_conntrack_max", "", "", "sysctl-unknown-name"),
        ("net.netfilter.nf_conntrack_max.", "", "sysctl-unknown-name", "sysctl-unknown-name"),
        ("-net.netfilter.nf_conntrack_max", "", "", "sysctl-unknown-name"),
        ("net.netfilter.nf_conntrack_udp_*", "", "", "sysctl-bad-line"),
        ("net.netfilter.nf_conntrack_udp_timeou[a-t]", "", "", "sysctl-bad-line"),
        ("net/netfilter.nf_conntrack_max", "sysctl-unknown-name", "sysctl-unknown-name", ""),
        ("\u{a0}net.netfilter.nf_conntrack_max", "sysctl-bad-line", "sysctl-bad-line", "sysctl-bad-line"),
        ("net.netfilter.nf_conntrack_max\u{a0}", "sysctl-bad-line", "sysctl-bad-line", "sysctl-bad-line"),
        ("\u{feff}net.netfilter.nf_conntrack_max", "sysctl-bad-line", "sysctl-bad-line", "sysctl-bad-line"),
        // Patterns that no name matches.
        (
            "net.netfilter.nf_conntrack_udp_timeot*",
            "sysctl-unknown-name",
            "sysctl-unknown-name",
            "sysctl-bad-line",
        ),
    ] {
        let text = format!("{key} = 262144\n");
        let file = [(FILE, text.as_str())];
        for (tree, id) in [(tree(&file), systemd), (procps(&file), by_procps), (busybox(&file), by_busybox)] {
            let root = tree.root().to_owned();
            let expected: Vec<&str> = Some(id).filter(|id| !id.is_empty()).into_iter().collect();
            assert_eq!(found(tree), expected, "{key} in {}", root.display());
        }
    }
}

#[test]
fn procps_3_knows_no_patterns() {
    let pattern = (FILE, "net.netfilter.nf_conntrack_udp_* = 60\n");
    for library in ["libprocps.so.8", "libproc2.so.0"] {
        let library = format!("usr/lib/x86_64-linux-gnu/{library}");
        let found = !ids(&procps(&[pattern, (&library, "")]).document().1).is_empty();
        assert_eq!(found, library.contains("libprocps"), "{library}");
    }
}

#[test]
fn fixes_of_spellings_leave_the_value_in_force() {
    let key = "net.netfilter.nf_conntrack_max";
    for (tree, line) in [
        (procps(&[(FILE, "net.netfilter.nf_conntrack_max. = 262144\n")]), 1),
        (busybox(&[(FILE, "-net.netfilter.nf_conntrack_max = 262144\n")]), 1),
        (tree(&[(FILE, "net.netfilter.nf_conntrack_max =\u{a0}262144\n")]), 1),
        (tree(&[(FILE, "\u{feff}net.netfilter.nf_conntrack_max = 262144\n")]), 1),
        // busybox continues lines; what the joined line held becomes a comment.
        (busybox(&[(FILE, "# \\\nnote\nnet.netfilter.nf_conntrack_max = \\\n262144.\n")]), 3),
    ] {
        let (_, document) = tree.document();
        let id = ids(&document).first().expect("a finding").0.clone();
        tree.apply(&document, &id);
        assert_eq!(ids(&tree.document().1), Default::default(), "{id}");
        let text = std::fs::read_to_string(tree.path(FILE)).expect("the file");
        let at = text.lines().nth(line - 1).expect("the line");
        assert_eq!(at, format!("{key} = 262144"), "{text}");
    }
    let continued = "net.netfilter.nf_conntrack_tcp_timeout_established = \\\n86400\n";
    assert_eq!(ids(&busybox(&[(FILE, continued)]).document().1), Default::default());
    assert!(!ids(&procps(&[(FILE, continued)]).document().1).is_empty(), "procps continues none");
}

#[test]
fn what_exempts_a_name_from_patterns_does_so() {
    let short = "net.netfilter.nf_conntrack_tcp_timeout_establish* = 60\n";
    let exempt = "-net.netfilter.nf_conntrack_tcp_timeout_established\n";
    cured("established-too-short", "error", &[(FILE, short)]);
    clean(&[(FILE, &format!("{exempt}{short}"))]);
    clean(&[(FILE, &format!("{short}{exempt}"))]);
    // systemd-sysctl forgets an assignment of before as well.
    clean(&[(FILE, &format!("{}{exempt}", short.replace("establish*", "established")))]);
}

#[test]
fn names_that_only_contain_the_word_are_not_ours() {
    for line in [
        "net.ipv4.vs.conntrack = 1",
        "net.ipv4.vs.conn_reuse_mode = 0",
        "net.ipv4.conf.conntrack0.rp_filter = 0",
        "net/ipv4/conf/br-conntrack/forwarding = 1",
        "net.ipv6.neigh.nf_conntrack.gc_stale_time = 60",
        "// conntrack",
        "[conntrack]",
        "\u{feff}# conntrack",
        "-- nf_conntrack --",
    ] {
        clean(&[(FILE, &format!("{line}\nnet.netfilter.nf_conntrack_max = 262144\n"))]);
    }
}

#[test]
fn modprobe_options_go_on_in_the_next_line() {
    let path = "etc/modprobe.d/nf.conf";
    let options = "options nf_conntrack \\\n  hashsize=65536 \\\n  acct=1\n";
    clean(&[(path, options), MAX]);
    let many = [(path, options), (FILE, "net.netfilter.nf_conntrack_max = 2097152\n")];
    let text = mended("max-over-buckets", "warning", &many, path);
    assert_eq!(text, "options nf_conntrack acct=1 hashsize=524288\n#   hashsize=65536 \\\n#   acct=1\n");
    let text = mended(
        "modprobe-no-effect",
        "error",
        &[(path, "options nf_conntrack \\\n  hash_size=65536\n")],
        path,
    );
    assert_eq!(text, "options nf_conntrack hashsize=65536\n#   hash_size=65536\n");
    // A comment goes on as well.
    clean(&[(path, "# options nf_conntrack \\\n  hash_size=65536\n")]);
    let blacklist = "blacklist \\\n nf_conntrack\n";
    assert_eq!(
        mended("module-blacklisted", "warning", &[(path, blacklist)], path),
        "# blacklist \\\n#  nf_conntrack\n"
    );
}

#[test]
fn udev_rules_go_on_in_the_next_line() {
    let rule = |begin: &str| {
        format!(
            "{begin}, \\\n# of sysctl.d(5)\n  RUN+=\"/usr/lib/systemd/systemd-sysctl --prefix=/net/netfilter\"\n"
        )
    };
    let applied = |begin: &str| {
        let files = [
            ("usr/lib/systemd/systemd-sysctl", ""),
            ("lib/modules/6.1.0-13-amd64/modules.builtin", ""),
            MAX,
            ("etc/udev/rules.d/99-ct.rules", &rule(begin)),
        ];
        of(&Tree::new(&files).document().1, "sysctl-before-module").is_empty()
    };
    assert!(applied("ACTION==\"add\", SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack\""));
    assert!(applied("SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack|br_netfilter\""));
    for other in [
        "ACTION==\"remove\", SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack\"",
        "ACTION==\"add\", SUBSYSTEM==\"net\", KERNEL==\"nf_conntrack\"",
        "ACTION==\"add\", SUBSYSTEM==\"module\", KERNEL==\"br_netfilter\"",
        "# ACTION==\"add\", SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack\"",
    ] {
        assert!(!applied(other), "{other}");
    }
}

#[test]
fn each_assignment_and_each_command_of_a_line_counts() {
    let both = "sysctl -w net.netfilter.nf_conntrack_max=1048576 net.netfilter.nf_conntrack_tcp_timeout_established=600";
    let two = "echo 1048576 > /proc/sys/net/netfilter/nf_conntrack_max; \
               echo 600 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";
    for line in
        [both, two, &both.replace(" net.netfilter.nf_conntrack_tcp", " \\\n  net.netfilter.nf_conntrack_tcp")]
    {
        let script = format!("#!/bin/sh\nif true; then {line}; fi\n");
        let tree = tree(&[("etc/rc.local", &script)]);
        let (_, document) = tree.document();
        let expected = [
            ("established-too-short".to_owned(), "warning".to_owned()),
            ("other-writer".into(), "note".into()),
        ];
        assert_eq!(ids(&document), expected.into(), "{line}: {document:#}");
        tree.apply(&document, "established-too-short");
        tree.apply(&document, "other-writer");
        assert_eq!(ids(&tree.document().1), Default::default(), "{line}");
        let values =
            std::fs::read_to_string(tree.path("etc/sysctl.d/90-conntrack.conf")).expect("moved there");
        assert!(values.lines().all(|line| line == "net.netfilter.nf_conntrack_max = 1048576"), "{values}");
        let checked =
            std::process::Command::new("sh").arg("-n").arg(tree.path("etc/rc.local")).status().expect("sh");
        assert!(checked.success(), "{line}");
    }
}

#[test]
fn what_reads_values_is_no_writer() {
    let script = "#!/bin/sh\nif ! grep -q \"^net.netfilter.nf_conntrack_max=\" /etc/sysctl.conf; then\n  echo unset\nfi\n\
                  nf_conntrack_max=$(sysctl -n net.netfilter.nf_conntrack_max)\n\
                  echo \"nf_conntrack_count=$(cat /proc/sys/net/netfilter/nf_conntrack_count)\" >>/var/lib/ct.prom\n\
                  cat >/etc/sysctl.d/x.conf <<EOF\nnet.netfilter.nf_conntrack_max = 5\nEOF\n\
                  [ \"$1\" = /proc/sys/net/netfilter/nf_conntrack_max ] && ip netns exec blue sysctl -w net.nf_conntrack_max=5\n";
    for path in ["usr/local/bin/check-conntrack.sh", "etc/cron.daily/ct", "etc/rc.local"] {
        clean(&[MAX, (path, script)]);
    }
    clean(&[
        MAX,
        ("etc/cron.d/ct", "*/5 * * * * root grep nf_conntrack_max=5 /etc/sysctl.conf >/dev/null\n"),
    ]);
}

#[test]
fn writers_are_found_in_every_format() {
    for (path, text) in [
        ("etc/cron.d/ct", "@reboot root sleep 5; /sbin/sysctl -qw net.netfilter.nf_conntrack_max=131072\n"),
        ("etc/crontab", "0 3 * * * root echo 131072 > /proc/sys/net/netfilter/nf_conntrack_max\n"),
        ("var/spool/cron/crontabs/root", "0 3 * * * sysctl net/nf_conntrack_max=131072\n"),
        ("etc/crontabs/root", "0 3 * * * sysctl -w net.nf_conntrack_max=131072\n"),
        (
            "etc/network/interfaces",
            "iface eth0 inet dhcp\n  post-up x && \\\n sysctl -w net.netfilter.nf_conntrack_max=131072\n",
        ),
        (
            "etc/systemd/system/x.service",
            "[Service]\nExecStart=-/sbin/sysctl -w \\\n; note\n  net.netfilter.nf_conntrack_max=131072\n",
        ),
        (
            "etc/systemd/system/x.service",
            "[Service]\nExecStart=/bin/sh -c \"echo 131072 > /proc/sys/net/netfilter/nf_conntrack_max\"\n",
        ),
        (
            "etc/systemd/system/x.service.d/y.conf",
            "[Service]\nExecStartPost=/bin/true ; sysctl -w net.netfilter.nf_conntrack_max=131072\n",
        ),
        ("etc/tmpfiles.d/x.conf", "w /proc/sys/net/netfilter/nf_conntrack_max - - - - 131072\n"),
        (
            "etc/udev/rules.d/x.rules",
            "KERNEL==\"eth0\", \\\n RUN+=\"/bin/sh -c 'sysctl -w net.netfilter.nf_conntrack_max=131072'\"\n",
        ),
        ("etc/udev/rules.d/x.rules", "KERNEL==\"eth0\", SYSCTL{net.netfilter.nf_conntrack_max}=\"131072\"\n"),
        (
            "usr/local/sbin/x",
            "#!/bin/bash\nMAX=131072\nP=/proc/sys/net/netfilter\necho $MAX | sudo tee $P/nf_conntrack_max >/dev/null\n",
        ),
    ] {
        let wanted = ("etc/systemd/system/multi-user.target.wants/x.service", "-> ../x.service");
        cured("other-writer", "warning", &[MAX, (path, text), wanted]);
    }
    for (path, text) in [
        ("etc/tmpfiles.d/x.conf", "w /sys/module/nf_conntrack/parameters/hashsize - - - - 131072\n"),
        ("etc/sysfs.d/x.conf", "module/nf_conntrack/parameters/hashsize = 131072\n"),
    ] {
        let options = ("etc/modprobe.d/nf.conf", "options nf_conntrack hashsize=65536\n");
        let (_, document) = tree(&[MAX, options, (path, text)]).document();
        assert_eq!(
            ids(&document),
            [("other-writer".into(), "warning".into())].into(),
            "{path}: {document:#}"
        );
    }
}

#[test]
fn profiles_of_tuned_are_merged() {
    let active = ("etc/tuned/active_profile", "gateway\n");
    let child = (
        "etc/tuned/gateway/tuned.conf",
        "[main]\ninclude=base\n[sysctl]\nnet.netfilter.nf_conntrack_acct=1\n",
    );
    let base = |text: &'static str| ("usr/lib/tuned/base/tuned.conf", text);
    let found = |text| {
        ids(&tree(&[
            MAX,
            active,
            child,
            base(text),
            ("etc/modprobe.d/nf.conf", "options nf_conntrack hashsize=65536\n"),
        ])
        .document()
        .1)
    };
    let (note, warning) =
        (("other-writer".to_owned(), "note".to_owned()), ("other-writer".to_owned(), "warning".to_owned()));
    assert_eq!(found("[main]\nsummary=x\n"), [note.clone()].into(), "acct alone");
    for against in [
        "[sysctl]\nnet.netfilter.nf_conntrack_max = 131072 # less\n",
        "[variables]\nmax=131072\n[s]\ntype=sysctl\nnet.nf_conntrack_max=${max}\n",
        "[net]\nnf_conntrack_hashsize=131072\n",
        "[modules]\nnf_conntrack=+r hashsize=131072\n",
        "[sysfs]\n/sys/module/nf_conntrack/parameters/hashsize=131072\n",
        "[sysctl]\nnet.netfilter.nf_conntrack_max=>524288\n",
    ] {
        assert_eq!(found(against), [note.clone(), warning.clone()].into(), "{against}");
    }
    for nothing in [
        "[net]\nnf_conntrack_hashsize=65536\n",
        "[net]\nenabled=false\nnf_conntrack_hashsize=131072\n",
        "[sysctl]\nnet.netfilter.nf_conntrack_max=>65536\n",
        "#[net]\n;nf_conntrack_hashsize=131072\n",
    ] {
        assert!(!found(nothing).contains(&warning), "{nothing}");
    }
    let script = [
        ("usr/lib/tuned/base/s.sh", "#!/bin/sh\nsysctl -w net.netfilter.nf_conntrack_max=131072\n"),
        base("[script]\nscript=${i:PROFILE_DIR}/s.sh\n"),
    ];
    cured(
        "other-writer",
        "warning",
        &[MAX, active, ("etc/tuned/gateway/tuned.conf", "[main]\ninclude=base\n"), script[0], script[1]],
    );
}

#[test]
fn old_names_are_right_where_kernels_have_them() {
    let image = |release: &str| {
        let modules = format!("lib/modules/{release}/modules.builtin");
        let builtin = "kernel/net/netfilter/nf_conntrack.ko\n";
        Tree::new(&[
            (&modules, builtin),
            ("etc/sysctl.conf", "net.ipv4.netfilter.ip_conntrack_max = 655350\n"),
        ])
    };
    for (release, severity) in [
        ("2.6.18-419.el5", None),
        ("2.6.32-754.el6.x86_64", Some("note")),
        ("3.10.0-1160.el7.x86_64", Some("note")),
        ("4.9.0-8-amd64", Some("error")),
        ("6.1.0-13-amd64", Some("error")),
    ] {
        let expected = severity.map(|severity| ("sysctl-renamed".to_owned(), severity.to_owned()));
        assert_eq!(ids(&image(release).document().1), expected.into_iter().collect(), "{release}");
    }
}

/// What other programs install; the files are cut down to the lines that count.
#[test]
fn packages_that_have_to_do_with_tracking_are_clean() {
    let shorewall = [
        (
            "etc/shorewall/conntrack",
            "?FORMAT 3\n######\n#ACTION SOURCE DEST PROTO\n?if $AUTOHELPERS && __CT_TARGET\nCT:helper:ftp:PO - - tcp 21\n?endif\n",
        ),
        (
            "etc/shorewall/shorewall.conf",
            "LOAD_HELPERS_ONLY=Yes\nDONT_LOAD=\nHELPERS=\nRPFILTER_DISPOSITION=DROP\n",
        ),
        ("usr/share/shorewall/helpers", "loadmodule nf_conntrack_ftp\nloadmodule nf_conntrack_irc\n"),
        (
            "etc/NetworkManager/dispatcher.d/01-shorewall",
            "#!/bin/sh\ncase $2 in up) SUBSYSTEM=conntrack ;; esac\n. /usr/share/shorewall/shorewallrc\n",
        ),
        (
            "etc/network/if-up.d/shorewall",
            "#!/bin/sh\n[ -f /proc/net/nf_conntrack ] && conntrack -S >/dev/null\nexit 0\n",
        ),
        (
            "usr/lib/systemd/system/shorewall.service",
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nEnvironmentFile=-/etc/default/shorewall\nExecStart=/sbin/shorewall $OPTIONS start $STARTOPTIONS\n",
        ),
    ];
    let conntrackd = [
        (
            "etc/conntrackd/conntrackd.conf",
            "General {\n\tHashSize 8192\n\tHashLimit 65535\n\tSyslog on\n\tLockFile /var/lock/conntrackd.lock\n\tUNIX {\n\t\tPath /var/run/conntrackd.sock\n\t}\n}\n",
        ),
        ("etc/default/conntrackd", "# Options to be passed to the conntrackd daemon\nDAEMON_OPTS=\"\"\n"),
        ("etc/logrotate.d/conntrackd", "/var/log/conntrackd*.log {\n\tmissingok\n}\n"),
        (
            "usr/lib/systemd/system/conntrackd.service",
            "[Unit]\nDescription=Conntrack Daemon\n[Service]\nType=notify\nExecStartPre=-/bin/rm -f /var/lock/conntrackd.lock\nExecStart=/usr/sbin/conntrackd\nProtectSystem=full\n[Install]\nWantedBy=multi-user.target\n",
        ),
        (
            "etc/systemd/system/multi-user.target.wants/conntrackd.service",
            "-> /usr/lib/systemd/system/conntrackd.service",
        ),
        (
            "usr/local/sbin/primary-backup.sh",
            "#!/bin/sh\ncase \"$1\" in\n  primary)\n    conntrackd -C /etc/conntrackd/conntrackd.conf -c\n    ;;\nesac\n",
        ),
    ];
    let profile = "[main]\nsummary=x\ninclude=virtual-guest\n[net]\nnf_conntrack_hashsize=1048576\n[sysctl]\nkernel.pid_max=131072\nnet.netfilter.nf_conntrack_max=1048576\n";
    let tuned = [
        ("etc/tuned/tuned-main.conf", "daemon = 1\nreapply_sysctl = 1\n"),
        ("etc/tuned/active_profile", "atomic-guest\n"),
        (
            "etc/modprobe.d/tuned.conf",
            "# This file specifies additional parameters to kernel modules added by Tuned.\n",
        ),
        (
            "usr/lib/tuned/virtual-guest/tuned.conf",
            "[main]\ninclude=throughput-performance\n[sysctl]\nvm.dirty_ratio = 30\n",
        ),
        (
            "usr/lib/tuned/throughput-performance/tuned.conf",
            "[cpu]\ngovernor=performance\n[sysctl]\nnet.core.somaxconn=>2048\n",
        ),
        ("usr/lib/tuned/atomic-guest/tuned.conf", profile),
        ("usr/lib/tuned/openshift/tuned.conf", "[net]\nnf_conntrack_hashsize=65536\n"),
    ];
    let keepalived = [
        (
            "usr/local/bin/chk_ct.sh",
            "#!/bin/bash\nmax=$(</proc/sys/net/netfilter/nf_conntrack_max)\ncount=$(cat /proc/sys/net/netfilter/nf_conntrack_count)\n(( count * 100 / max > 90 )) && logger -t ct \"nf_conntrack_max=$max\"\n",
        ),
        ("etc/sysctl.d/95-ipvs.conf", "net.ipv4.vs.conntrack = 1\nnet.ipv4.vs.conn_reuse_mode = 0\n"),
    ];
    clean(&shorewall);
    clean(&conntrackd);
    clean(&tuned);
    clean(&keepalived);
    clean(&[&shorewall[..], &conntrackd, &tuned, &keepalived].concat());
}

#[test]
fn names_end_with_the_kernels_that_have_them() {
    let image = |release: &str, line: &str| {
        let modules = format!("lib/modules/{release}/modules.builtin");
        let tree = Tree::new(&[(&modules, "kernel/net/netfilter/nf_conntrack.ko\n"), (FILE, line)]);
        ids(&tree.document().1).into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let (udplite, dccp) =
        ("net.netfilter.nf_conntrack_udplite_timeout = 60\n", "net.netfilter.nf_conntrack_dccp_loose = 1\n");
    assert_eq!(image("4.9.0-19-amd64", udplite), [""; 0]);
    assert_eq!(image("6.1.0-13-amd64", udplite), ["sysctl-unknown-name"]);
    assert_eq!(image("6.1.0-13-amd64", dccp), [""; 0]);
    assert_eq!(image("7.1.0-amd64", dccp), ["sysctl-unknown-name"]);
    // The value counts under its old name, and the fix keeps that.
    let old = "net.ipv4.netfilter.ip_conntrack_tcp_timeout_established = 60\n";
    let tree = Tree::new(&[
        ("lib/modules/2.6.18-419.el5/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n"),
        (FILE, old),
    ]);
    let (_, document) = tree.document();
    assert_eq!(ids(&document), [("established-too-short".into(), "error".into())].into(), "{document:#}");
    tree.apply(&document, "established-too-short");
    let text = std::fs::read_to_string(tree.path(FILE)).expect("the file");
    assert_eq!(text, old.replace("= 60", "= 7440"));
}

#[test]
fn a_comment_behind_options_is_none() {
    let path = "etc/modprobe.d/nf.conf";
    let text = mended(
        "modprobe-no-effect",
        "note",
        &[(path, "options nf_conntrack hashsize=65536 # for NAT\n")],
        path,
    );
    assert_eq!(text, "options nf_conntrack hashsize=65536\n");
    cured(
        "modprobe-no-effect",
        "warning",
        &[(path, "options nf_conntrack hashsize=65536 # was hashsize=16384\n")],
    );
}

#[test]
fn a_full_table_of_expectations_is_another_one() {
    let of = |lines: &str| {
        let (_, document) = tree(&[("var/log/kern.log", lines)]).document();
        let titles = document["findings"].as_array().expect("findings").iter();
        titles.map(|finding| finding["title"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let expectations = "Nov 14 07:35:12 gw kernel: [9.1] nf_conntrack: expectation table full\n";
    assert_eq!(of(expectations), ["the kernel logged \"expectation table full\" 1 times"]);
    let repeated = "Nov 14 07:35:12 gw kernel: [9.1] message repeated 41 times: [ nf_conntrack: nf_conntrack: table full, dropping packet]\n\
                    Nov 14 07:35:13 gw kernel: [9.2] nf_conntrack: table full, dropping packet\n\
                    Nov 14 07:35:15 gw last message repeated 8 times\n";
    assert_eq!(of(repeated), ["the kernel logged \"table full\" 50 times, in the host's namespace"]);
}

#[test]
fn spaces_that_are_none_are_found_in_options_and_lists() {
    let path = "etc/modprobe.d/nf.conf";
    for line in [
        "options\u{a0}nf_conntrack hashsize=65536",
        "options nf_conntrack\u{a0}hashsize=65536",
        "\u{feff}options nf_conntrack hashsize=65536",
    ] {
        let text = mended("modprobe-no-effect", "error", &[(path, &format!("{line}\n"))], path);
        assert_eq!(text, "options nf_conntrack hashsize=65536\n", "{line:?}");
    }
    let files = [
        ("usr/lib/systemd/systemd-sysctl", ""),
        ("lib/modules/6.1.0-13-amd64/modules.builtin", ""),
        ("etc/modules-load.d/c.conf", "nf_conntrack\u{a0}\n"),
        MAX,
    ];
    assert_eq!(
        of(&Tree::new(&files).document().1, "sysctl-before-module").len(),
        1,
        "no module has that name"
    );
}

#[test]
fn what_run_parts_leaves_out_is_no_writer() {
    let script = "#!/bin/sh\nsysctl -w net.netfilter.nf_conntrack_max=131072\n";
    let table = "@reboot root sysctl -w net.netfilter.nf_conntrack_max=131072\n";
    let debian = ("etc/debian_version", "12.11\n");
    for (path, text) in [
        ("etc/cron.daily/ct.sh", script),
        ("etc/cron.d/ct.bak", table),
        ("etc/network/if-up.d/ct.sh", script),
    ] {
        clean(&[MAX, debian, (path, text)]);
        cured("other-writer", "warning", &[MAX, (path, text)]);
    }
    cured("other-writer", "warning", &[MAX, debian, ("etc/cron.daily/ct", script)]);
}

#[test]
fn one_line_of_a_file_holds_one_assignment() {
    let two = "net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_timestamp=1\n";
    let text = mended("sysctl-surprising-value", "warning", &[(FILE, two)], FILE);
    assert_eq!(text, "net.netfilter.nf_conntrack_acct = 1\n");
    cured(
        "sysctl-surprising-value",
        "warning",
        &[(FILE, "net.ipv4.ip_forward = 1 net.netfilter.nf_conntrack_acct = 1\n")],
    );
    clean(&[(FILE, "net.netfilter.nf_conntrack_acct = 1 # not net.netfilter.nf_conntrack_timestamp=1\n")]);
    clean(&[(FILE, "net.ipv4.ip_local_port_range = 1024 65535\n")]);
    cured("sysctl-bad-value", "error", &[(FILE, &two.replace(' ', "; "))]);
}

#[test]
fn values_that_the_kernel_refuses_are_no_better_in_scripts() {
    for value in ["64k", "262144.", "262,144", "262144\u{a0}", "\u{a0}262144", "many"] {
        let script = format!("#!/bin/sh\nsysctl -w net.netfilter.nf_conntrack_max={value}\n");
        cured("sysctl-bad-value", "error", &[MAX, ("etc/rc.local", &script)]);
        let script = format!("#!/bin/sh\necho {value} > /proc/sys/net/netfilter/nf_conntrack_max\n");
        cured("sysctl-bad-value", "error", &[MAX, ("etc/rc.local", &script)]);
    }
}

#[test]
fn quotes_around_options_are_the_kernels() {
    let path = "etc/modprobe.d/nf.conf";
    clean(&[(path, "options nf_conntrack \"hashsize=65536\" acct=\"1\"\n")]);
    let many = [
        (path, "options nf_conntrack \"hashsize=65536\" acct=1\n"),
        (FILE, "net.netfilter.nf_conntrack_max = 2097152\n"),
    ];
    assert_eq!(
        mended("max-over-buckets", "warning", &many, path),
        "options nf_conntrack acct=1 hashsize=524288\n"
    );
}

#[test]
fn scripts_stay_scripts_when_a_command_goes() {
    let sets = "sysctl -w net.netfilter.nf_conntrack_max=131072";
    let over = sets.replace(" -w ", " -w \\\n    ");
    for script in [
        format!("if [ -n \"$1\" ]; then\n  {sets}\nfi\n"),
        format!("if [ -n \"$1\" ]; then\n{over}\nfi\n"),
        format!("if [ -n \"$1\" ]; then {over}\nfi\n"),
        format!("case $1 in\n  up) {sets} ;;\n  down)\n    {over} \\\n      || true\n    ;;\nesac\n"),
        format!("f() {{\n\t{sets}\n}}\nf\n"),
        format!("for i in 1 2; do {sets}; done\n"),
        format!("true && \\\n  {over} || echo no\n"),
        format!("[ -x /sbin/sysctl ] && {sets} >/dev/null 2>&1 & wait\n"),
    ] {
        let path = "etc/rc.local";
        let tree = tree(&[MAX, (path, &format!("#!/bin/sh\n{script}"))]);
        let (_, document) = tree.document();
        assert_eq!(ids(&document), [("other-writer".into(), "warning".into())].into(), "{script}");
        tree.apply(&document, "other-writer");
        let checked = std::process::Command::new("sh").arg("-n").arg(tree.path(path)).output().expect("sh");
        let left = std::fs::read_to_string(tree.path(path)).expect("the script");
        assert!(checked.status.success(), "{script}{left}{}", String::from_utf8_lossy(&checked.stderr));
        assert!(!ids(&tree.document().1).contains(&("other-writer".into(), "warning".into())), "{left}");
    }
}
