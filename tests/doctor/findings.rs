//! For each finding a tree that has it and nothing worse beside it; its printed fix makes it go, and brings no other.

use serde_json::Value;

use crate::tree::{Tree, ids, of};

/// What a host with systemd and a modular kernel has.
const BASE: &[(&str, &str)] = &[
    ("usr/lib/systemd/systemd-sysctl", ""),
    ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/fs/ext4/ext4.ko\n"),
    ("etc/modules-load.d/conntrack.conf", "nf_conntrack\n"),
];

pub fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::new(&[BASE, files].concat())
}

/// The tree has the finding alone, with evidence, fix and source; the fix cures it.
#[track_caller]
pub fn cured(id: &str, severity: &str, files: &[(&str, &str)]) -> Value {
    cured_in(&tree(files), id, severity)
}

#[track_caller]
pub fn cured_in(tree: &Tree, id: &str, severity: &str) -> Value {
    let (code, document) = tree.document();
    let found = of(&document, id);
    assert_eq!(found.len(), 1, "{id} once in {document:#}");
    assert_eq!(ids(&document), [(id.into(), severity.into())].into(), "{document:#}");
    assert_eq!(code, Some(if severity == "note" { 0 } else { 1 }));
    for field in ["evidence", "fix", "source"] {
        assert!(found[0][field].as_array().is_some_and(|list| !list.is_empty()), "{id} has no {field}");
    }
    for evidence in found[0]["evidence"].as_array().expect("a list") {
        let (file, text) = (evidence["file"].as_str(), evidence["text"].as_str().expect("text"));
        let (Some(file), Some(line)) = (file, evidence["line"].as_u64()) else { continue };
        let stands = std::fs::read(file).expect("the file that is named");
        let stands =
            String::from_utf8_lossy(&stands).lines().nth(line as usize - 1).map(|l| l.trim().to_owned());
        assert_eq!(stands.as_deref(), Some(text), "{file}:{line}");
    }
    tree.apply(&document, id);
    let (code, after) = tree.document();
    assert_eq!((ids(&after), code), (Default::default(), Some(0)), "after the fix: {after:#}");
    document
}

/// As [`cured`]; what stands in `path` behind the fix.
#[track_caller]
pub fn mended(id: &str, severity: &str, files: &[(&str, &str)], path: &str) -> String {
    let tree = tree(files);
    cured_in(&tree, id, severity);
    std::fs::read_to_string(tree.path(path)).expect("the file")
}

pub const FILE: &str = "etc/sysctl.d/50-gateway.conf";

#[test]
fn names_that_set_nothing() {
    let set = |name: &str, value: u64| format!("net.netfilter.nf_conntrack_{name} = {value}");
    let established = set("tcp_timeout_established", 86_400);
    let max = set("max", 65_536);
    for (line, id, meant) in [
        ("net.ipv4.ip_conntrack_max = 65536", "sysctl-renamed", Some(&max)),
        (
            "net.ipv4.netfilter.ip_conntrack_tcp_timeout_established = 86400",
            "sysctl-renamed",
            Some(&established),
        ),
        ("net/ipv4/netfilter/ip_conntrack_udp_timeout=60", "sysctl-renamed", Some(&set("udp_timeout", 60))),
        ("net.netfilter.nf_conntrack_count = 65536", "sysctl-read-only", None),
        (
            "net.netfilter.nf_conntrack_tcp_timeout_establish = 86400",
            "sysctl-unknown-name",
            Some(&established),
        ),
        ("net.netfilter.nf_conntrack_tcp_timeout_est = 86400", "sysctl-unknown-name", Some(&established)),
        ("net.netfilter.nf_conntrack_icmp_timeout_stream = 60", "sysctl-unknown-name", None),
        ("net.netfilter.nf_conntrack_timeout_established = 60", "sysctl-unknown-name", None),
        ("net.nf_conntrack_buckets = 65536", "sysctl-unknown-name", Some(&set("buckets", 65_536))),
        ("net.ipv4.nf_conntrack_max = 65536", "sysctl-unknown-name", Some(&max)),
        ("net.netfilter.nf_contrack_max = 65536", "sysctl-unknown-name", Some(&max)),
        ("net.netfilter.nf_conntrack_helper = 1", "sysctl-unknown-name", None),
        ("net.netfilter.nf_conntrack_max 65536", "sysctl-bad-line", Some(&max)),
        ("net.netfilter.nf_conntrack_max: 65536", "sysctl-bad-line", Some(&max)),
        ("sysctl -w net.netfilter.nf_conntrack_max=65536", "sysctl-bad-line", Some(&max)),
        ("\"net.netfilter.nf_conntrack_max\" = 65536", "sysctl-bad-line", Some(&max)),
    ] {
        let text = |line: &str| format!("# ours\n\n{line}\nnet.ipv4.ip_forward = 1\n");
        let meant = meant.map_or_else(|| format!("# {line}"), String::clone);
        assert_eq!(mended(id, "error", &[(FILE, &text(line))], FILE), text(&meant), "{line}");
    }
    // Who writes a dash in front knows that it may fail.
    cured("sysctl-renamed", "note", &[(FILE, "-net.ipv4.ip_conntrack_max = 65536\n")]);
}

#[test]
fn buckets_were_read_only_and_helpers_were_a_sysctl_in_old_kernels() {
    let old = [
        ("usr/lib/systemd/systemd-sysctl", ""),
        ("lib/modules/3.16.0-4-amd64/modules.builtin", ""),
        ("etc/modules-load.d/conntrack.conf", "nf_conntrack\n"),
    ];
    let line = (FILE, "net.netfilter.nf_conntrack_buckets = 65536\n");
    let tree = Tree::new(&[&old[..], &[line]].concat());
    cured_in(&tree, "sysctl-read-only", "error");
    let options =
        std::fs::read_to_string(tree.path("etc/modprobe.d/conntrack.conf")).expect("written by the fix");
    assert_eq!(options, "options nf_conntrack hashsize=65536\n");
    let helper = (FILE, "net.netfilter.nf_conntrack_helper = 0\n");
    assert_eq!(ids(&Tree::new(&[&old[..], &[helper]].concat()).document().1), Default::default());
}

#[test]
fn values_that_the_kernel_refuses_or_reads_otherwise() {
    let set = |value: &str| format!("net.netfilter.nf_conntrack_max = {value}\n");
    for (value, fixed) in [
        ("65536.", "65536"),
        ("65,536", "65536"),
        ("65_536", "65536"),
        ("64k", "65536"),
        ("\"65536\"", "65536"),
        ("= 65536", "65536"),
        ("65536;", "65536"),
        ("4294967296", "2147483647"),
    ] {
        let tree = tree(&[(FILE, &set(value))]);
        cured_in(&tree, "sysctl-bad-value", "error");
        let text = std::fs::read_to_string(tree.path(FILE)).expect("the file");
        assert_eq!(text, format!("net.netfilter.nf_conntrack_max = {fixed}\n"), "{value}");
    }
    cured("sysctl-bad-value", "error", &[(FILE, &set(""))]);
    cured("sysctl-bad-value", "error", &[(FILE, &set("-1"))]);
    cured("sysctl-bad-value", "error", &[(FILE, "net.netfilter.nf_conntrack_events = 3\n")]);
    for value in ["065536", "65 536"] {
        let text = mended("sysctl-surprising-value", "warning", &[(FILE, &set(value))], FILE);
        assert_eq!(text, set("65536"), "{value}: what a person reads there");
    }
}

#[test]
fn what_is_right_is_left_alone() {
    for line in [
        "net.netfilter.nf_conntrack_max = 65536",
        "  net.netfilter.nf_conntrack_max   =   65536   ",
        "net/netfilter/nf_conntrack_max=65536",
        "net.nf_conntrack_max = 65536",
        "-net.netfilter.nf_conntrack_max = 65536",
        "net.netfilter.nf_conntrack_max = 65536 # the kernel stops at the space",
        "net.netfilter.nf_conntrack_max = 0x10000",
        "net.netfilter.nf_conntrack_udp_* = 60",
        "-net.netfilter.nf_conntrack_udp_timeout",
        "net.netfilter.nf_conntrack_buckets = 65536",
        "net.netfilter.nf_conntrack_tcp_timeout_established = 86400",
        "# net.ipv4.ip_conntrack_max = 1",
        "; net.ipv4.ip_conntrack_max = 1",
        "net.netfilter.nf_log_all_netns = 1",
        "net.ipv4.ip_local_port_range = 1024 65535",
    ] {
        let (code, document) = tree(&[(FILE, &format!("{line}\n"))]).document();
        assert_eq!((ids(&document), code), (Default::default(), Some(0)), "{line}");
    }
}

#[test]
fn lines_against_each_other() {
    let line = |value: u64| format!("net.netfilter.nf_conntrack_max = {value}\n");
    let id = "sysctl-contradiction";
    // The fix leaves what is in force.
    let two = [("etc/sysctl.d/10-a.conf", line(1000)), ("etc/sysctl.d/20-b.conf", line(2000))];
    let two = two.each_ref().map(|(path, text)| (*path, text.as_str()));
    assert_eq!(mended(id, "warning", &two, two[0].0), format!("# {}", line(1000)));
    assert_eq!(mended(id, "warning", &two, two[1].0), line(2000));
    let left = mended(id, "warning", &[(FILE, &(line(1000) + &line(2000)))], FILE);
    assert_eq!(left, format!("# {}{}", line(1000), line(2000)));
    // Two names of one value.
    cured(id, "warning", &[(FILE, &(line(1000) + "net.nf_conntrack_max = 2000\n"))]);
    // A vendor's file with a later name beats the operator's.
    cured(
        id,
        "warning",
        &[("etc/sysctl.d/10-a.conf", &line(1000)), ("usr/lib/sysctl.d/99-v.conf", &line(2000))],
    );
    for clean in [
        // The operator overrides a vendor: by order, and by name.
        vec![("usr/lib/sysctl.d/10-v.conf", line(1000)), ("etc/sysctl.d/20-b.conf", line(2000))],
        vec![("usr/lib/sysctl.d/99-v.conf", line(1000)), ("etc/sysctl.d/99-v.conf", line(2000))],
        vec![("usr/lib/sysctl.d/99-v.conf", line(1000)), ("etc/sysctl.d/99-v.conf", "-> /dev/null".into())],
        vec![("etc/sysctl.d/10-a.conf", line(1000)), ("etc/sysctl.d/20-b.conf", line(1000))],
        vec![(
            FILE,
            "net.netfilter.nf_conntrack_udp_* = 60\nnet.netfilter.nf_conntrack_udp_timeout = 30\n".into(),
        )],
    ] {
        let files: Vec<(&str, &str)> = clean.iter().map(|(path, text)| (*path, text.as_str())).collect();
        assert_eq!(ids(&tree(&files).document().1), Default::default(), "{clean:?}");
    }
    for size in [32_768, 131_072] {
        let option = format!("options nf_conntrack hashsize={size}\n");
        let buckets = "net.netfilter.nf_conntrack_buckets = 65536\n";
        let files = [(FILE, buckets), ("etc/modprobe.d/nf.conf", &option)];
        assert_eq!(mended("hashsize-contradiction", "warning", &files, FILE), format!("# {buckets}"));
    }
    let one = [
        (FILE, "net.netfilter.nf_conntrack_buckets = 65536\n"),
        ("etc/modprobe.d/nf.conf", "options nf_conntrack hashsize=65536\n"),
    ];
    assert_eq!(ids(&tree(&one).document().1), Default::default(), "both say the same");
}

#[test]
fn files_that_nothing_applies() {
    let line = "net.netfilter.nf_conntrack_max = 65536\n";
    let comments = "#\n".repeat(20);
    cured("sysctl-conf-not-read", "error", &[("etc/sysctl.conf", &(comments.clone() + line))]);
    // `sed -i` made a copy of the link, and the copy is what the boot reads.
    let copied = [("etc/sysctl.conf", line), ("etc/sysctl.d/99-sysctl.conf", "net.ipv4.ip_forward = 1\n")];
    cured("sysctl-conf-not-read", "error", &copied);
    let linked = [("etc/sysctl.conf", line), ("etc/sysctl.d/99-sysctl.conf", "-> ../sysctl.conf")];
    assert_eq!(ids(&tree(&linked).document().1), Default::default());
    cured("sysctl-file-not-read", "error", &[("etc/sysctl.d/90-gateway", line)]);
    cured("sysctl-file-not-read", "error", &[("etc/sysctl.d/90-gateway.cfg", line)]);
    for copy in ["90-gateway.conf.bak", "90-gateway.conf~", "90-gateway.conf.dpkg-old"] {
        let files = [(format!("etc/sysctl.d/{copy}"), line)];
        assert_eq!(ids(&tree(&[(&files[0].0, line)]).document().1), Default::default(), "{copy}");
    }
    let packaged = [
        ("var/lib/dpkg/info/procps.conffiles", "/etc/init.d/procps\n/etc/sysctl.conf\n"),
        ("etc/sysctl.d/99-sysctl.conf", "-> ../sysctl.conf"),
    ];
    cured("sysctl-conf-overwritten", "warning", &[&packaged[..], &[("etc/sysctl.conf", line)]].concat());
    let status = "Package: bash\nConffiles:\n /etc/bash.bashrc 0123\n\nPackage: procps\nConffiles:\n /etc/sysctl.conf 4567\n";
    let status = [("var/lib/dpkg/status", status), packaged[1], ("etc/sysctl.conf", line)];
    cured("sysctl-conf-overwritten", "warning", &status);
    // Appended to, as it is meant.
    let appended = comments + "#net.ipv4.ip_forward=1\n" + line;
    let clean = tree(&[&packaged[..], &[("etc/sysctl.conf", &appended)]].concat());
    assert_eq!(ids(&clean.document().1), Default::default());
}

#[test]
fn firewalls_that_reset_values() {
    let line = (FILE, "net.netfilter.nf_conntrack_max = 65536\n");
    let ufw = [
        ("etc/default/ufw", "IPV6=yes\nIPT_SYSCTL=/etc/ufw/sysctl.conf\n"),
        ("etc/ufw/ufw.conf", "ENABLED=yes\n"),
        ("etc/ufw/sysctl.conf", "net/ipv4/icmp_echo_ignore_all=0\nnet/netfilter/nf_conntrack_max=32768\n"),
    ];
    cured("ufw-resets", "warning", &[&ufw[..], &[line]].concat());
    let off = [ufw[0], ("etc/ufw/ufw.conf", "ENABLED=no\n"), ufw[2], line];
    assert_eq!(ids(&tree(&off).document().1), Default::default());
    assert_eq!(ids(&tree(&ufw).document().1), Default::default(), "nobody else sets it");
    let same = (FILE, "net.netfilter.nf_conntrack_max = 32768\n");
    assert_eq!(ids(&tree(&[&ufw[..], &[same]].concat()).document().1), Default::default(), "one value");
    let config = "etc/sysconfig/iptables-config";
    let list = (config, "IPTABLES_MODULES=\"\"\nIPTABLES_SYSCTL_LOAD_LIST=\".nf_conntrack .bridge-nf\"\n");
    cured("iptables-restart-resets", "warning", &[line, list]);
    assert_eq!(ids(&tree(&[list]).document().1), Default::default(), "nothing to reset");
    cured("firewall-unloads-module", "warning", &[line, (config, "IPTABLES_MODULES_UNLOAD=\"yes\"\n")]);
    // What the service applies again is not lost; the list has to name all of it.
    let again = |list: &str| {
        let config_text = format!("IPTABLES_MODULES_UNLOAD=yes\nIPTABLES_SYSCTL_LOAD_LIST=\"{list}\"\n");
        let two = format!("{}net.netfilter.nf_conntrack_udp_timeout = 60\n", line.1);
        let (_, document) = tree(&[(FILE, &two), (config, &config_text)]).document();
        of(&document, "firewall-unloads-module").len()
    };
    assert_eq!((again(".nf_conntrack"), again(".nf_conntrack_max")), (0, 1));
    let firewalld = ("etc/firewalld/firewalld.conf", "DefaultZone=public\nCleanupModulesOnExit=yes\n");
    cured("firewall-unloads-module", "warning", &[line, firewalld]);
    assert_eq!(ids(&tree(&[firewalld]).document().1), Default::default(), "nothing to lose");
}

#[test]
fn others_that_write_the_same_values() {
    let line = (FILE, "net.netfilter.nf_conntrack_max = 65536\n");
    let path = "/proc/sys/net/netfilter/nf_conntrack_max";
    let echo = format!("#!/bin/sh\necho 131072 > {path}\n");
    for file in ["etc/rc.local", "etc/network/if-up.d/conntrack", "usr/local/sbin/tune"] {
        cured("other-writer", "warning", &[line, (file, &echo)]);
        cured("other-writer", "note", &[(file, &echo)]);
    }
    // What sets nothing is no better in a script, and nothing of it goes into sysctl.d.
    for (line, id) in [
        ("echo 65536 > /proc/sys/net/ipv4/netfilter/ip_conntrack_max", "sysctl-renamed"),
        ("sysctl -w net.ipv4.ip_conntrack_max=65536", "sysctl-renamed"),
        ("sysctl -w net.netfilter.nf_conntrack_count=65536", "sysctl-read-only"),
        ("echo 9 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_est", "sysctl-unknown-name"),
        ("sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=60", "established-too-short"),
    ] {
        let tree = tree(&[("etc/rc.local", &format!("#!/bin/sh\n{line}\n"))]);
        cured_in(&tree, id, "error");
        let text = std::fs::read_to_string(tree.path("etc/rc.local")).expect("the script");
        assert_eq!(text, format!("#!/bin/sh\n# {line}\n"));
        assert!(!tree.path("etc/sysctl.d/90-conntrack.conf").exists(), "{line}");
    }
    let cron = "@reboot root sysctl -w net.netfilter.nf_conntrack_max=131072\n";
    cured("other-writer", "warning", &[line, ("etc/cron.d/tune", cron)]);
    let tuned = [
        ("etc/tuned/active_profile", "gateway\n"),
        ("etc/tuned/gateway/tuned.conf", "[sysctl]\nnet.netfilter.nf_conntrack_max = 131072\n"),
    ];
    cured("other-writer", "warning", &[&tuned[..], &[line]].concat());
    let inactive = [("etc/tuned/active_profile", "balanced\n"), tuned[1], line];
    assert_eq!(ids(&tree(&inactive).document().1), Default::default());
    let reads = format!("#!/bin/sh\ncat {path}\nsysctl net.netfilter.nf_conntrack_count\n");
    assert_eq!(ids(&tree(&[line, ("etc/rc.local", &reads)]).document().1), Default::default());
}

#[test]
fn spaces_on_a_command_line() {
    let torn = "#!/bin/sh\n/sbin/sysctl -w net.netfilter.nf_conntrack_max = 131072\nexit 0\n";
    let tree = tree(&[("etc/rc.local", torn)]);
    let (_, document) = tree.document();
    assert_eq!(ids(&document), [("sysctl-w-spaces".into(), "error".into())].into());
    tree.apply(&document, "sysctl-w-spaces");
    let text = std::fs::read_to_string(tree.path("etc/rc.local")).expect("the script");
    assert_eq!(text, "#!/bin/sh\n# /sbin/sysctl -w net.netfilter.nf_conntrack_max = 131072\nexit 0\n");
    let set = std::fs::read_to_string(tree.path("etc/sysctl.d/90-conntrack.conf")).expect("set there");
    assert_eq!(set, "net.netfilter.nf_conntrack_max = 131072\n");
    assert_eq!(ids(&tree.document().1), Default::default());
    let quoted = "sysctl -w \"net.netfilter.nf_conntrack_max = 131072\"\n";
    let (_, document) = self::tree(&[("etc/rc.local", quoted)]).document();
    assert_eq!(ids(&document), [("other-writer".into(), "note".into())].into());
}

#[test]
fn values_that_do_harm() {
    let set = |name: &str, value: u64| format!("net.netfilter.nf_conntrack_{name} = {value}\n");
    for (name, value, id, severity) in [
        ("tcp_timeout_established", 60, "established-too-short", "error"),
        ("tcp_timeout_established", 3600, "established-too-short", "warning"),
        ("tcp_timeout_established", 432_000, "established-five-days", "note"),
        ("events", 0, "events-off", "warning"),
        ("tcp_loose", 0, "tcp-loose-off", "note"),
        ("tcp_be_liberal", 1, "tcp-be-liberal", "note"),
        ("max", 0, "max-unlimited", "warning"),
    ] {
        cured(id, severity, &[(FILE, &set(name, value))]);
    }
    let options = ("etc/modprobe.d/nf.conf", "options nf_conntrack hashsize=1024\n");
    cured("max-over-buckets", "warning", &[(FILE, &set("max", 262_144)), options]);
    cured("max-over-buckets", "warning", &[(FILE, &(set("max", 262_144) + &set("buckets", 1024)))]);
    let many = ("etc/modprobe.d/nf.conf", "options nf_conntrack acct=1 hashsize=4194304\n");
    let over = tree(&[(FILE, &set("max", 262_144)), many]);
    cured_in(&over, "buckets-over-need", "note");
    let text = std::fs::read_to_string(over.path(many.0)).expect("the file");
    assert_eq!(text, "options nf_conntrack acct=1 hashsize=262144\n");
    cured("buckets-over-need", "note", &[(FILE, &(set("max", 262_144) + &set("buckets", 4_194_304)))]);
    let alone = ("etc/modprobe.d/nf.conf", "options nf_conntrack hashsize=134217728\n");
    cured("buckets-over-need", "note", &[alone]);
    assert_eq!(ids(&tree(&[many]).document().1), Default::default(), "max follows the buckets");
    let enough = ("etc/modprobe.d/nf.conf", "options nf_conntrack hashsize=32768\n");
    assert_eq!(ids(&tree(&[(FILE, &set("max", 262_144)), enough]).document().1), Default::default());
}

#[test]
fn a_full_table_in_the_log() {
    let line = "Nov 21 10:00:00 gw kernel: [12.0] nf_conntrack: nf_conntrack: table full, dropping packet\n";
    let log = ("var/log/kern.log", format!("Nov 21 09:00:00 gw kernel: [1.0] eth0: up\n{line}{line}"));
    cured("table-full-logged", "warning", &[(log.0, &log.1)]);
    let swallowed = "Nov 21 10:00:05 gw kernel: [17.0] net_ratelimit: 4711 callbacks suppressed\n";
    let tree = tree(&[(log.0, &(log.1 + swallowed))]);
    let (code, document) = tree.document();
    assert_eq!(code, Some(1));
    let expected = ["log-suppressed", "table-full-logged"].map(|id| (id.to_owned(), "warning".to_owned()));
    assert_eq!(ids(&document), expected.into());
    let title = of(&document, "log-suppressed")[0]["title"].as_str().expect("text");
    assert!(title.contains("2 lines") && title.contains("4711"), "{title}");
    tree.put("var/log/kern.log.1", "of before");
    let moves = document["findings"].to_string().matches("mv ").count();
    assert_eq!(moves, 1, "{document:#}");
    tree.apply(&document, "log-suppressed");
    assert_eq!(ids(&tree.document().1), Default::default());
    let before = std::fs::read_to_string(tree.path("var/log/kern.log.1")).expect("kept");
    assert_eq!(before, "of before");
}
