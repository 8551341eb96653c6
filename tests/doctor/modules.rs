//! As `findings`, of modules: when they come, with which options, and whether at all.

use crate::findings::{FILE, cured, cured_in, tree};
use crate::tree::{Tree, ids, of};

#[test]
fn values_that_come_before_the_module() {
    let line = (FILE, "net.netfilter.nf_conntrack_max = 65536\n");
    let systemd = ("usr/lib/systemd/systemd-sysctl", "");
    let modular = ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/fs/ext4/ext4.ko\n");
    let id = "sysctl-before-module";
    cured_in(&Tree::new(&[systemd, modular, line]), id, "error");
    // Named, and gone since 4.19.
    let old_name = ("etc/modules-load.d/nat.conf", "nf_conntrack_ipv4\n");
    cured_in(&Tree::new(&[systemd, modular, line, old_name]), id, "error");
    let blacklisted = [
        ("etc/modules-load.d/nat.conf", "nf_conntrack\n"),
        ("etc/modprobe.d/no.conf", "blacklist nf_conntrack\n"),
    ];
    cured_in(&Tree::new(&[&[systemd, modular, line], &blacklisted[..]].concat()), id, "error");
    for enough in [
        ("etc/modules-load.d/nat.conf", "# NAT\nnf_nat\n"),
        ("etc/modules-load.d/nat.conf", "nf_conntrack-netlink\n"),
        ("usr/lib/modules-load.d/x.conf", "nf_conntrack\n"),
        ("etc/modules", "nf_conntrack\n"),
        (
            "etc/udev/rules.d/99-ct.rules",
            "SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack\", RUN+=\"/lib/systemd/systemd-sysctl\"\n",
        ),
        ("etc/modprobe.d/x.conf", "install nf_conntrack /sbin/modprobe -i nf_conntrack && sysctl --system\n"),
        ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n"),
    ] {
        let link = ("etc/modules-load.d/modules.conf", "-> ../modules");
        let (_, document) = Tree::new(&[systemd, modular, line, link, enough]).document();
        assert_eq!(ids(&document), Default::default(), "{enough:?}");
    }
    let old_kernel = ("lib/modules/4.9.0-8-amd64/modules.builtin", "");
    let (_, document) = Tree::new(&[systemd, old_kernel, line, old_name]).document();
    assert_eq!(ids(&document), Default::default(), "4.9 has nf_conntrack_ipv4");
}

#[test]
fn options_that_reach_no_module() {
    let id = "modprobe-no-effect";
    cured(id, "error", &[("etc/modprobe.d/conntrack", "options nf_conntrack hashsize=65536\n")]);
    cured(id, "error", &[("etc/modprobe.d/a.conf", "options ip_conntrack hashsize=65536\n")]);
    cured(id, "error", &[("etc/modprobe.d/a.conf", "options nf_conntrack hash_size=65536\n")]);
    cured(id, "error", &[("etc/modprobe.d/a.conf", "options nf_conntrack max=65536\n")]);
    let builtin = ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n");
    cured(id, "error", &[builtin, ("etc/modprobe.d/a.conf", "options nf_conntrack hashsize=65536\n")]);
    for right in ["hashsize=65536 acct=1", "hashsize=0x10000 acct", "hashsize=\"65536\" enable_hooks=Y"] {
        let right = ("etc/modprobe.d/a.conf", format!("options nf-conntrack {right}\n"));
        assert_eq!(ids(&tree(&[(right.0, &right.1)]).document().1), Default::default(), "{right:?}");
    }
    // What else the line says stays.
    let tree = tree(&[("etc/modprobe.d/a.conf", "options nf_conntrack acct=1 hash_size=65536 tstamp=1\n")]);
    cured_in(&tree, id, "error");
    let text = std::fs::read_to_string(tree.path("etc/modprobe.d/a.conf")).expect("the file");
    assert_eq!(text, "options nf_conntrack acct=1 tstamp=1 hashsize=65536\n");
}

#[test]
fn options_that_the_module_does_not_load_with() {
    for (options, fixed) in [
        ("hashsize=abc", "# options nf_conntrack hashsize=abc"),
        ("hashsize=", "# options nf_conntrack hashsize="),
        ("hashsize", "# options nf_conntrack hashsize"),
        ("hashsize=-1", "# options nf_conntrack hashsize=-1"),
        ("hashsize=64k", "options nf_conntrack hashsize=65536"),
        ("hashsize=65,536", "options nf_conntrack hashsize=65536"),
        ("hashsize=4294967296", "# options nf_conntrack hashsize=4294967296"),
        ("hashsize=300000000 acct=1", "options nf_conntrack acct=1"),
        ("hashsize=65536 acct=perhaps", "options nf_conntrack hashsize=65536"),
        ("expect_hashsize=many", "# options nf_conntrack expect_hashsize=many"),
    ] {
        let line = format!("options nf_conntrack {options}\n");
        let tree = tree(&[("etc/modprobe.d/a.conf", &line)]);
        cured_in(&tree, "modprobe-bad-value", "error");
        let text = std::fs::read_to_string(tree.path("etc/modprobe.d/a.conf")).expect("the file");
        assert_eq!(text, format!("{fixed}\n"), "{options}");
    }
}

#[test]
fn a_module_that_is_kept_away_or_seems_to_be() {
    let path = "etc/modprobe.d/no.conf";
    for command in ["/bin/true", "/bin/false", "/usr/bin/true", ":", "exit 0"] {
        cured("module-not-loaded", "error", &[(path, &format!("install nf-conntrack {command}\n"))]);
    }
    let document = cured("module-blacklisted", "warning", &[(path, "blacklist nf_conntrack\n")]);
    let evidence = &of(&document, "module-blacklisted")[0]["evidence"];
    assert_eq!(evidence.as_array().map(Vec::len), Some(2), "and where it is named for the boot: {evidence}");
    let builtin = ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n");
    for text in [
        "install nf_conntrack /sbin/modprobe --ignore-install nf_conntrack && true\n",
        "install nf_conntrack_ftp /bin/true\n",
        "blacklist nf_conntrack_ftp\n",
        "# blacklist nf_conntrack\n",
    ] {
        assert_eq!(ids(&tree(&[(path, text)]).document().1), Default::default(), "{text}");
    }
    for text in ["blacklist nf_conntrack\n", "install nf_conntrack /bin/true\n"] {
        assert_eq!(ids(&tree(&[(path, text), builtin]).document().1), Default::default(), "built in: {text}");
        let not_read = ("etc/modprobe.d/no.bak", text);
        assert_eq!(ids(&tree(&[not_read]).document().1), Default::default(), "not read: {text}");
    }
}
