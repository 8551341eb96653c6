//! Every fix that is printed for a tree, pasted one after the other: no finding is left, no new one comes, scripts stay
//! scripts, and what no fix names stays as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::findings::{FILE, tree};
use crate::tree::{Tree, ids};

/// Files below a directory with their bytes; links by where they lead.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut todo) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            let kind = entry.file_type().expect("a kind");
            let path = entry.path();
            match (kind.is_dir(), kind.is_symlink()) {
                (true, _) => todo.push(path),
                (_, true) => drop(found.insert(
                    path.clone(),
                    std::fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes(),
                )),
                _ => drop(found.insert(path.clone(), std::fs::read(&path).expect("a file"))),
            }
        }
    }
    found
}

fn fixes(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().expect("findings");
    let fixes = findings.iter().flat_map(|finding| finding["fix"].as_array().expect("a list"));
    fixes.map(|command| command.as_str().expect("text").to_owned()).collect()
}

/// Pastes everything; gives the fixes.
#[track_caller]
pub fn cured(tree: &Tree) -> Vec<String> {
    let before = snapshot(tree.root());
    let (_, document) = tree.document();
    let fixes = fixes(&document);
    assert!(!ids(&document).is_empty(), "nothing is found");
    for command in fixes.iter().filter(|command| !command.starts_with('#')) {
        let done = Command::new("sh").args(["-ec", command]).output().expect("sh");
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let (_, left) = tree.document();
    assert_eq!(ids(&left), Default::default(), "after {fixes:#?}: {left:#}");
    for (path, bytes) in &before {
        let named = fixes.iter().any(|command| command.contains(path.to_str().expect("text")));
        let now = std::fs::read(path).ok().or_else(|| {
            std::fs::read_link(path).ok().map(|target| target.into_os_string().into_encoded_bytes())
        });
        let is_link = path.is_symlink();
        assert!(
            named || is_link || now.as_ref() == Some(bytes),
            "{} changed and no fix names it",
            path.display()
        );
        if bytes.starts_with(b"#!/bin/sh") && path.exists() {
            let checked = Command::new("sh").arg("-n").arg(path).output().expect("sh");
            assert!(
                checked.status.success(),
                "{}: {}",
                path.display(),
                String::from_utf8_lossy(&checked.stderr)
            );
        }
    }
    fixes
}

pub fn text(tree: &Tree, path: &str) -> String {
    std::fs::read_to_string(tree.path(path)).expect("a file")
}

pub fn set(name: &str, value: &str) -> String {
    format!("net.netfilter.nf_conntrack_{name} = {value}\n")
}

#[test]
fn a_line_that_set_nothing_is_not_put_into_force_where_that_does_harm() {
    let lines = "net.netfilter.ip_conntrack_tcp_timeout_established=130\nnet.ipv4.netfilter.ip_conntrack_count=0\n\
                 net.ipv4.netfilter.ip_conntrack_tcp_timeout_close_wait=1\nnet.ipv4.ip_conntrack_max=65536\n\
                 net.netfilter.nf_conntrack_tcp_timeout_fin_wai = 2\nnet.netfilter.nf_conntrack_udp_timeout = \"3\"\n\
                 net.netfilter.nf_conntrack_tcp_timeout_syn_sent = 60\n";
    let tree = tree(&[(FILE, lines)]);
    let fixes = cured(&tree);
    let said = fixes.iter().filter(|command| command.starts_with("# with ")).count();
    assert_eq!(said, 4, "{fixes:#?}");
    let left: Vec<String> =
        text(&tree, FILE).lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    assert_eq!(
        left,
        ["net.netfilter.nf_conntrack_max = 65536", "net.netfilter.nf_conntrack_tcp_timeout_syn_sent = 60"]
    );
}

#[test]
fn two_lines_that_set_nothing_do_not_come_to_contradict_each_other() {
    let tree = tree(&[
        ("etc/sysctl.d/10-a.conf", "net.ipv4.ip_conntrack_max = 1000\n"),
        ("etc/sysctl.d/20-b.conf", "net.ipv4.ip_conntrack_max = 2000\n"),
    ]);
    cured(&tree);
}

#[test]
fn a_line_that_counts_at_last_has_the_module_loaded_for_it() {
    let tree = Tree::new(&[
        ("usr/lib/systemd/systemd-sysctl", ""),
        ("lib/modules/6.1.0/modules.builtin", "kernel/fs/x.ko\n"),
        (FILE, "net.ipv4.ip_conntrack_max = 65536\n"),
    ]);
    cured(&tree);
    assert_eq!(text(&tree, "etc/modules-load.d/conntrack.conf"), "nf_conntrack\n");
}

#[test]
fn files_that_nothing_applied_do_not_bring_harm_with_them() {
    let bad = set("tcp_timeout_established", "60") + "net.ipv4.ip_forward = 1\n";
    cured(&tree(&[("etc/sysctl.d/90-gateway", &bad)]));
    cured(&tree(&[("etc/sysctl.conf", &bad)]));
    // A name that is taken, be it by a link that masks.
    let good = set("max", "65536");
    let tree = tree(&[
        ("etc/sysctl.d/90-gateway", &good),
        ("etc/sysctl.d/90-gateway.conf", "-> /dev/null"),
        ("etc/sysctl.conf", &good),
        ("etc/sysctl.d/99-sysctl.conf", "-> /dev/null"),
    ]);
    cured(&tree);
    assert_eq!(
        std::fs::read_link(tree.path("etc/sysctl.d/99-sysctl.conf")).expect("a link"),
        Path::new("/dev/null")
    );
    assert_eq!(
        std::fs::read_link(tree.path("etc/sysctl.d/90-gateway.conf")).expect("a link"),
        Path::new("/dev/null")
    );
}

#[test]
fn what_a_script_leaves_in_force_stays_in_force() {
    let options = ("etc/modprobe.d/nf.conf", "options nf_conntrack acct=1 hashsize=65536\n");
    let tree = tree(&[
        (FILE, &set("max", "524288")),
        options,
        ("etc/rc.local", "#!/bin/sh\necho 131072 > /sys/module/nf_conntrack/parameters/hashsize\nexit 0\n"),
    ]);
    cured(&tree);
    assert_eq!(text(&tree, options.0), "options nf_conntrack acct=1 hashsize=131072\n");
    let script = "#!/bin/sh\nif [ -d /proc/sys/net/netfilter ]; then\n  sysctl -w net.netfilter.nf_conntrack_max=131072\nfi\n\
                  start() {\n  sysctl -q -w net.netfilter.nf_conntrack_udp_timeout=60 && logger done\n}\nstart\n";
    let tree = self::tree(&[(FILE, &set("max", "65536")), ("etc/rc.local", script)]);
    cured(&tree);
    assert_eq!(text(&tree, FILE), set("max", "131072"), "max is not halved");
    assert_eq!(text(&tree, "etc/sysctl.d/90-conntrack.conf"), set("udp_timeout", "60"));
    assert!(text(&tree, "etc/rc.local").contains("&& logger done"));
    // What does harm is not kept.
    let harm = "#!/bin/sh\nsysctl -w net.netfilter.nf_conntrack_tcp_timeout_close_wait=1\nsysctl -w net.netfilter.nf_conntrack_udp_timeout=-1\nsysctl -w net.netfilter.nf_conntrack_tcp_loose=0\n";
    cured(&self::tree(&[("etc/rc.local", harm)]));
}

#[test]
fn units_of_packages_and_scripts_that_they_run() {
    let wanted = "etc/systemd/system/multi-user.target.wants/ct.service";
    let vendor = "usr/lib/systemd/system/ct.service";
    let unit = "[Service]\nType=oneshot\nExecStart=/sbin/sysctl -w net.netfilter.nf_conntrack_max=262144\n";
    let line = set("max", "65536");
    let tree = tree(&[(FILE, &line), (vendor, unit), (wanted, "-> /usr/lib/systemd/system/ct.service")]);
    cured(&tree);
    assert!(text(&tree, vendor).contains("ExecStart="), "a service without a command is refused");
    assert_eq!(text(&tree, FILE), set("max", "262144"));
    let unit = "[Service]\nExecStart=/opt/gw/tune.sh start\n";
    let script = "#!/bin/sh\ncase \"$1\" in\nstart)\n  echo 262144 >/proc/sys/net/netfilter/nf_conntrack_max ;;\nesac\n";
    let files = [(FILE, line.as_str()), (vendor, unit), ("opt/gw/tune.sh", script)];
    let started = self::tree(&[&files[..], &[(wanted, "-> /usr/lib/systemd/system/ct.service")]].concat());
    cured(&started);
    assert_eq!(ids(&self::tree(&files).document().1), Default::default(), "nothing starts it");
}

/// What a command sets beside the table's values stays in force: a gateway goes on forwarding.
#[test]
fn other_assignments_of_a_command_stay() {
    let (before, behind) = ("net.ipv4.ip_forward=1", "net.core.somaxconn=4096");
    let ours = "net.netfilter.nf_conntrack_max=262144";
    let wanted = ("etc/systemd/system/multi-user.target.wants/ct.service", "-> ../ct.service");
    for (path, text) in [
        ("etc/rc.local", format!("#!/bin/sh\nsysctl -w {before} {ours} {behind}\n")),
        ("etc/rc.local", format!("#!/bin/sh\nsysctl -w {ours} \\\n  {before} \\\n  {behind}\n")),
        ("etc/rc.local", format!("#!/bin/sh\nsysctl -q {before} {ours} {behind} || true; echo done\n")),
        ("etc/cron.d/ct", format!("0 3 * * * root sysctl -w {before} {ours} {behind}\n")),
        (
            "etc/systemd/system/ct.service",
            format!("[Service]\nExecStart=/sbin/sysctl -w {before} {ours} {behind}\n"),
        ),
        (
            "etc/systemd/system/ct.service",
            format!("[Service]\nExecStart=/bin/sh -c 'sysctl -w {before} {ours} {behind}; logger done'\n"),
        ),
    ] {
        let tree = tree(&[(FILE, &set("max", "65536")), (path, &text), wanted]);
        cured(&tree);
        let left = self::text(&tree, path);
        assert!(!left.contains("nf_conntrack"), "{left}");
        let lines: Vec<&str> = left.lines().filter(|line| !line.starts_with('#')).collect();
        assert!([before, behind, "sysctl"].iter().all(|word| lines.concat().contains(word)), "{left}");
    }
}

/// The lines below a command that are its input are no commands once it is gone.
#[test]
fn a_here_document_stays_one() {
    for script in [
        "sysctl -p - <<EOF\nnet.netfilter.nf_conntrack_max=262144\nEOF\necho reached\n",
        "cat >/proc/sys/net/netfilter/nf_conntrack_max <<'EOF'\n262144\nEOF\necho reached\n",
        "sysctl -p - << EOF && echo more\nnet.netfilter.nf_conntrack_max=262144\nEOF\necho reached\n",
    ] {
        let script = format!("#!/bin/sh -e\n{script}");
        let tree = tree(&[(FILE, &set("max", "65536")), ("etc/rc.local", &script)]);
        assert!(!ids(&tree.document().1).is_empty(), "{script}");
        cured(&tree);
        let left = text(&tree, "etc/rc.local");
        let run = std::process::Command::new("sh").args(["-ec", &left]).output().expect("sh");
        assert!(run.status.success() && run.stdout.ends_with(b"reached\n"), "{left}: {run:?}");
    }
}

/// A unit's start is what counts at a boot, as its drop-ins leave it.
#[test]
fn what_a_start_does_not_run_sets_nothing() {
    let wanted = ("etc/systemd/system/multi-user.target.wants/ct.service", "-> ../ct.service");
    let unit = "etc/systemd/system/ct.service";
    let write = "/sbin/sysctl -w net.netfilter.nf_conntrack_max=262144";
    let (max, start) = (set("max", "65536"), format!("[Service]\nExecStart={write}\n"));
    let of = |files: &[(&str, &str)]| {
        ids(&tree(&[&[(FILE, max.as_str()), wanted][..], files].concat()).document().1)
    };
    assert_eq!(of(&[(unit, &start)]), [("other-writer".into(), "warning".into())].into());
    for key in ["ExecStop", "ExecStopPost", "ExecReload"] {
        let stop = format!("[Service]\nExecStart=/bin/true\n{key}={write}\n");
        assert_eq!(of(&[(unit, &stop)]), Default::default(), "{stop}");
    }
    let emptied = format!("{start}ExecStart=\nExecStart=/bin/true\n");
    assert_eq!(of(&[(unit, &emptied)]), Default::default());
    let drop_in = ("etc/systemd/system/ct.service.d/o.conf", "[Service]\nExecStart=\nExecStart=/bin/true\n");
    assert_eq!(of(&[(unit, &start), drop_in]), Default::default());
}

/// modules-load.d(5): a line is a name as a whole, with neither options nor a second name.
#[test]
fn a_line_of_modules_load_d_is_one_name() {
    let list = "etc/modules-load.d/conntrack.conf";
    let of = |line: &str| tree(&[(FILE, &set("max", "65536")), (list, line)]);
    assert_eq!(ids(&of("nf_conntrack\n").document().1), Default::default());
    for line in
        ["nf_conntrack hashsize=65536\n", "nf_conntrack # ct\n", "nf_conntrack nf_nat\n", "nf_conntrack.ko\n"]
    {
        let tree = of(line);
        assert_ne!(ids(&tree.document().1), Default::default(), "{line}");
        cured(&tree);
    }
}

#[test]
fn the_table_is_not_emptied_every_night() {
    let script = "#!/bin/sh\nset -e\nif [ -x /usr/sbin/conntrack ]; then\n  /usr/sbin/conntrack -F >/dev/null 2>&1\nfi\n";
    let wants = "etc/systemd/system/timers.target.wants/flush.timer";
    let timer =
        ("etc/systemd/system/flush.timer", "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n");
    let service =
        ("etc/systemd/system/flush.service", "[Service]\nType=oneshot\nExecStart=/usr/sbin/conntrack -F\n");
    for files in [
        vec![("etc/cron.d/ct", "0 3 * * * root /usr/sbin/conntrack -F\n")],
        vec![("etc/crontab", "0 3 * * * root test -x /usr/sbin/conntrack && conntrack --flush\n")],
        vec![("var/spool/cron/crontabs/root", "0 3 * * 0 conntrack -F; ip route flush cache\n")],
        vec![("etc/cron.daily/ct", script)],
        vec![("etc/cron.d/ct", "0 3 * * * root /usr/local/sbin/clean\n"), ("usr/local/sbin/clean", script)],
        vec![timer, service, (wants, "-> ../flush.timer")],
        vec![
            timer,
            ("etc/systemd/system/flush.service", "[Service]\nExecStart=/bin/sh -c 'conntrack -F'\n"),
            (wants, "-> ../flush.timer"),
        ],
    ] {
        let tree = tree(&files);
        assert_eq!(
            ids(&tree.document().1),
            [("periodic-flush".into(), "warning".into())].into(),
            "{files:?}"
        );
        cured(&tree);
    }
    for files in [
        vec![(
            "etc/cron.d/ct",
            "0 3 * * * root conntrack -D -p udp --dport 53\n@reboot root conntrack -F\n# 0 3 * * * root conntrack -F\n",
        )],
        vec![("etc/cron.daily/ct", "#!/bin/sh\nconntrack -L | wc -l\n")],
        vec![("etc/ppp/ip-up.d/ct", "#!/bin/sh\nconntrack -F\n")],
        vec![timer, service],
    ] {
        assert_eq!(ids(&tree(&files).document().1), Default::default(), "{files:?}");
    }
}

#[test]
fn timeouts_that_cut_flows() {
    for (name, value) in [
        ("tcp_timeout_close_wait", "1"),
        ("tcp_timeout_fin_wait", "1"),
        ("udp_timeout_stream", "10"),
        ("icmp_timeout", "1"),
        ("udp_timeout", "0"),
        ("tcp_timeout_syn_sent", "-1"),
        ("tcp_timeout_established", "-0x10"),
    ] {
        let tree = tree(&[(FILE, &set(name, value))]);
        let id = if value.starts_with('-') { "timeout-negative" } else { "timeout-too-short" };
        let found: Vec<String> = ids(&tree.document().1).into_iter().map(|(id, _)| id).collect();
        assert_eq!(found, [id], "{name} = {value}");
        cured(&tree);
    }
    // The file of a package stays as it is; one of /etc comes behind it.
    let vendor = "usr/lib/sysctl.d/99-vendor.conf";
    let tree = tree(&[(vendor, &set("tcp_timeout_established", "60"))]);
    cured(&tree);
    assert_eq!(text(&tree, vendor), set("tcp_timeout_established", "60"));
}

#[test]
fn k3s_and_microk8s_are_told_to_leave_the_values_alone() {
    let line = set("max", "524288");
    for (unit, path) in [
        ("k3s.service", "etc/rancher/k3s/config.yaml.d/90-conntrack.yaml"),
        ("rke2-server.service", "etc/rancher/rke2/config.yaml.d/90-conntrack.yaml"),
        ("snap.microk8s.daemon-kubelite.service", "var/snap/microk8s/current/args/kube-proxy"),
    ] {
        let (file, link) = (
            format!("etc/systemd/system/{unit}"),
            format!("etc/systemd/system/multi-user.target.wants/{unit}"),
        );
        let target = format!("-> ../{unit}");
        let tree = tree(&[
            (FILE, &line),
            (&file, "[Service]\nExecStart=/usr/local/bin/x server\n"),
            (&link, &target),
        ]);
        assert_eq!(ids(&tree.document().1), [("other-manager".into(), "warning".into())].into());
        cured(&tree);
        assert!(text(&tree, path).contains("conntrack-max-per-core=0"));
    }
}

#[test]
fn without_a_kube_proxy_nothing_sets_its_values() {
    let of = |unit: &str, command: &str, more: &[(&str, &str)]| {
        let (file, link) = (
            format!("etc/systemd/system/{unit}"),
            format!("etc/systemd/system/multi-user.target.wants/{unit}"),
        );
        let (target, text) = (format!("-> ../{unit}"), format!("[Service]\nExecStart={command}\n"));
        let max = set("max", "524288");
        let ours = [(FILE, max.as_str()), (&file, &text), (&link, &target)];
        ids(&tree(&[&ours[..], more].concat()).document().1)
    };
    let (k3s, rke2) = ("/usr/local/bin/k3s", "/usr/local/bin/rke2");
    let (k3s_yaml, rke2_yaml) = ("etc/rancher/k3s/config.yaml", "etc/rancher/rke2/config.yaml");
    let args = "'--kube-proxy-arg=conntrack-max-per-core=0' --kube-proxy-arg=conntrack-tcp-timeout-established=0s \
                --kube-proxy-arg conntrack-tcp-timeout-close-wait=0";
    for (unit, command, more) in [
        ("k3s.service", format!("{k3s} server --disable-kube-proxy"), vec![]),
        ("k3s.service", format!("{k3s} \\\n    server \\\n\t'--disable-kube-proxy=true' \\\n"), vec![]),
        ("k3s.service", format!("{k3s} server"), vec![(k3s_yaml, "disable-kube-proxy: true # cilium\n")]),
        (
            "k3s.service",
            format!("{k3s} server"),
            vec![("etc/rancher/k3s/config.yaml.d/x.yaml", "disable-kube-proxy: \"true\"\n")],
        ),
        ("k3s.service", format!("{k3s} server {args}"), vec![]),
        (
            "rke2-server.service",
            format!("{rke2} server"),
            vec![(rke2_yaml, "cni: cilium\ndisable-kube-proxy: true\n")],
        ),
        ("rke2-server.service", format!("{rke2} server --disable-kube-proxy"), vec![]),
    ] {
        assert_eq!(of(unit, &command, &more), Default::default(), "{command} {more:?}");
    }
    for (unit, command, more) in [
        ("k3s.service", format!("{k3s} server --disable-kube-proxy=false"), vec![]),
        (
            "k3s.service",
            format!("{k3s} server --disable-kube-proxy=false"),
            vec![(k3s_yaml, "disable-kube-proxy: true\n")],
        ),
        ("k3s.service", format!("{k3s} server"), vec![(k3s_yaml, "# disable-kube-proxy: true\n")]),
        (
            "k3s.service",
            format!("{k3s} server --disable traefik"),
            vec![(rke2_yaml, "disable-kube-proxy: true\n")],
        ),
        ("rke2-server.service", format!("{rke2} server"), vec![]),
    ] {
        let expected = [("other-manager".into(), "warning".into())].into();
        assert_eq!(of(unit, &command, &more), expected, "{command} {more:?}");
    }
}

#[test]
fn sizes_are_changed_where_they_are_set() {
    let grub = ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet nf_conntrack.hashsize=1024 ro\"\n");
    let tree = tree(&[(FILE, &set("max", "262144")), grub]);
    cured(&tree);
    assert_eq!(text(&tree, grub.0), "GRUB_CMDLINE_LINUX=\"quiet nf_conntrack.hashsize=65536 ro\"\n");
    for (options, buckets) in [("65536", "131072"), ("131072", "65536")] {
        let line = format!("options nf_conntrack hashsize={options}\n");
        let tree = self::tree(&[(FILE, &set("buckets", buckets)), ("etc/modprobe.d/nf.conf", &line)]);
        cured(&tree);
        assert_eq!(
            text(&tree, "etc/modprobe.d/nf.conf"),
            format!("options nf_conntrack hashsize={buckets}\n")
        );
    }
}

#[test]
fn scripts_keep_their_shape_and_lines_what_else_they_run() {
    let assignment = "net.netfilter.nf_conntrack_max=131072";
    for script in [
        format!("#!/bin/sh\nfor i in 1 2; do\nsysctl -w {assignment}\ndone\n"),
        format!(
            "#!/bin/sh\nif true\nthen\nsysctl -w {assignment} \\\n  net.netfilter.nf_conntrack_acct=1\nfi\n"
        ),
        format!("#!/bin/sh\nf() {{\n# why\nsysctl -w {assignment}\n}}\nf\n"),
        format!("#!/bin/sh\ncase $1 in\nstart) sysctl -w {assignment} ;;\nesac\n"),
        format!(
            "#!/bin/sh\nsysctl -w {assignment} || exit 1\n(sysctl -w net.netfilter.nf_conntrack_acct=1) &\n"
        ),
    ] {
        cured(&tree(&[(FILE, &set("max", "65536")), ("etc/rc.local", &script)]));
    }
    let cron = "0 3 * * 0 root conntrack -F; ip route flush cache\n";
    let tree = tree(&[("etc/cron.d/ct", cron)]);
    cured(&tree);
    assert_eq!(text(&tree, "etc/cron.d/ct"), "0 3 * * 0 root :; ip route flush cache\n");
    let unit = format!("[Service]\nExecStart=/bin/sh -c \"sysctl -w {assignment}; exec /usr/bin/daemon\"\n");
    let wanted = ("usr/lib/systemd/system/multi-user.target.wants/d.service", "-> ../d.service");
    let tree = self::tree(&[("usr/lib/systemd/system/d.service", &unit), wanted]);
    cured(&tree);
    let left = text(&tree, "usr/lib/systemd/system/d.service");
    assert_eq!(left, "[Service]\nExecStart=/bin/sh -c \":; exec /usr/bin/daemon\"\n");
}

#[test]
fn what_nothing_read_is_tried_before_it_is_read() {
    let options = |size: &str| format!("options nf_conntrack hashsize={size}\n");
    for files in [
        vec![(
            "etc/sysctl.conf",
            "net.ipv4.ip_conntrack_max=65536\nnet.ipv4.netfilter.ip_conntrack_max=131072\n".to_owned(),
        )],
        vec![("etc/sysctl.d/a", set("max", "65536."))],
        vec![(FILE, set("buckets", "65536")), ("etc/modprobe.d/n", options("131072"))],
        vec![(FILE, set("max", "4194304")), ("etc/modprobe.d/n.conf", options("64k"))],
        vec![
            (FILE, set("max", "4194304")),
            ("etc/modprobe.d/n.conf", "options nf_conntrack hash_size=1024\n".to_owned()),
        ],
        vec![("etc/modprobe.d/n", options("131072")), ("etc/modprobe.d/n.conf", options("131072"))],
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        cured(&tree(&files));
    }
}
