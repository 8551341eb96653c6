//! As `modules`, of words of the kernel's command line, of lines that kmod passes over, and of options that come too
//! late.

use crate::cures;
use crate::findings::{FILE, cured, tree};
use crate::tree::{Tree, ids, of};

const GRUB: &str = "etc/default/grub";
const OPTIONS: &str = "etc/modprobe.d/nf.conf";
const BUILTIN: (&str, &str) =
    ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n");

fn text(tree: &Tree, path: &str) -> String {
    std::fs::read_to_string(tree.path(path)).expect("a file")
}

#[test]
fn a_module_that_the_kernel_refuses() {
    for (path, line, left) in [
        (
            GRUB,
            "GRUB_CMDLINE_LINUX=\"quiet module_blacklist=floppy,nf_conntrack\"\n",
            "GRUB_CMDLINE_LINUX=\"quiet module_blacklist=floppy\"\n",
        ),
        ("etc/kernel/cmdline", "ro module-blacklist=nf_conntrack quiet\n", "ro  quiet\n"),
        (GRUB, "GRUB_CMDLINE_LINUX='module_blacklist=nf_defrag_ipv4'\n", "GRUB_CMDLINE_LINUX=''\n"),
    ] {
        let tree = tree(&[(path, line)]);
        assert_eq!(ids(&tree.document().1), [("module-not-loaded".into(), "error".into())].into(), "{line}");
        cures::cured(&tree);
        assert_eq!(text(&tree, path), left);
    }
    let proc = tree(&[("proc/cmdline", "ro module_blacklist=nf_conntrack\n")]);
    assert_eq!(ids(&proc.document().1), [("module-not-loaded".into(), "error".into())].into());
    for line in [
        "module_blacklist=nf_conntrack_ftp",
        "module_blacklist=nf-conntrack",
        "x.module_blacklist=nf_conntrack",
    ] {
        assert_eq!(ids(&tree(&[("etc/kernel/cmdline", line)]).document().1), Default::default(), "{line}");
    }
    let line = ("etc/kernel/cmdline", "module_blacklist=nf_conntrack\n");
    assert_eq!(ids(&tree(&[line, BUILTIN]).document().1), Default::default(), "built in");
}

#[test]
fn the_blacklist_of_the_command_line_is_modprobes() {
    let line = ("etc/kernel/cmdline", "ro modprobe.blacklist=evbug,nf-conntrack\n");
    let value = (FILE, "net.netfilter.nf_conntrack_max = 65536\n");
    let found = cured("module-blacklisted", "warning", &[line]);
    assert_eq!(of(&found, "module-blacklisted").len(), 1);
    // The boot passes over the module, and with it over the values.
    let modular = ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/fs/ext4/ext4.ko\n");
    let late = tree(&[line, value, modular]);
    assert_eq!(ids(&late.document().1), [("sysctl-before-module".into(), "error".into())].into());
    cures::cured(&late);
    assert_eq!(text(&late, line.0), "ro modprobe.blacklist=evbug\n");
    // By its name a script loads it all the same.
    let script = ("etc/rc.local", "#!/bin/sh\nmodprobe nf_conntrack\nsysctl --system\n");
    let (_, document) = tree(&[line, value, modular, script]).document();
    assert_eq!(ids(&document), [("module-blacklisted".into(), "warning".into())].into());
    assert_eq!(ids(&tree(&[line, BUILTIN]).document().1), Default::default(), "built in");
}

#[test]
fn hashsize_of_the_command_line_has_the_last_word() {
    let grub = (GRUB, "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet nf_conntrack.hashsize=131072\"\n");
    let tree = tree(&[grub, (OPTIONS, "options nf_conntrack acct=1 hashsize=65536\n")]);
    assert_eq!(ids(&tree.document().1), [("modprobe-no-effect".into(), "warning".into())].into());
    cures::cured(&tree);
    assert_eq!(text(&tree, OPTIONS), "options nf_conntrack acct=1\n");
    let proc = ("proc/cmdline", "ro nf-conntrack.hashsize=131072\n");
    cured("modprobe-no-effect", "warning", &[proc, (OPTIONS, "options nf_conntrack hashsize=65536\n")]);
    let same = self::tree(&[grub, (OPTIONS, "options nf_conntrack hashsize=0x20000\n")]);
    assert_eq!(ids(&same.document().1), Default::default());
    for value in ["64k", "-1", ""] {
        let line = format!("GRUB_CMDLINE_LINUX=\"nf_conntrack.hashsize={value} ro\"\n");
        cured("modprobe-bad-value", "error", &[(GRUB, &line)]);
    }
}

#[test]
fn lines_that_kmod_passes_over() {
    for (line, left) in [
        ("option nf_conntrack hashsize=65536", "options nf_conntrack hashsize=65536"),
        ("Options nf_conntrack acct=1", "options nf_conntrack acct=1"),
        ("options: nf_conntrack acct=1", "options nf_conntrack acct=1"),
        ("nf_conntrack hashsize=65536", "options nf_conntrack hashsize=65536"),
        ("option nf_conntrack max=65536", "# option nf_conntrack max=65536"),
        ("blaclist nf_conntrack", "# blaclist nf_conntrack"),
        ("hashsize=65536 nf_conntrack", "# hashsize=65536 nf_conntrack"),
        ("include /etc/conntrack.conf", "# include /etc/conntrack.conf"),
    ] {
        let tree = tree(&[(OPTIONS, &format!("{line}\n"))]);
        assert_eq!(ids(&tree.document().1), [("modprobe-no-effect".into(), "error".into())].into(), "{line}");
        cures::cured(&tree);
        assert_eq!(text(&tree, OPTIONS), format!("{left}\n"));
    }
    cured("modprobe-no-effect", "note", &[(OPTIONS, "options nf_conntrack\n")]);
    for line in [
        "option snd_hda_intel model=x\n",
        "softdep nf_conntrack pre: nf_defrag_ipv4\n",
        "alias nfct nf_conntrack\n",
        "  options   nf_conntrack\tacct=1\n",
        "options nf_conntrack \\\n acct=1\n",
        "# option nf_conntrack\n",
    ] {
        assert_eq!(ids(&tree(&[(OPTIONS, line)]).document().1), Default::default(), "{line}");
    }
    let not_read = ("etc/modprobe.d/nf.bak", "option nf_conntrack acct=1\n");
    assert_eq!(ids(&tree(&[not_read]).document().1), Default::default());
}

/// A tree of systemd without a kernel.
fn bare(files: &[(&str, &str)]) -> Tree {
    let base =
        [("usr/lib/systemd/systemd-sysctl", ""), ("etc/modules-load.d/conntrack.conf", "nf_conntrack\n")];
    Tree::new(&[&base[..], files].concat())
}

#[test]
fn the_helper_that_is_gone() {
    let kernel = |release: &str| format!("lib/modules/{release}/modules.builtin");
    let (old, new) = (kernel("5.10.0-33-amd64"), kernel("6.1.0-13-amd64"));
    let (old, new) = ((old.as_str(), "kernel/x.ko\n"), (new.as_str(), "kernel/x.ko\n"));
    let option = (OPTIONS, "options nf_conntrack nf_conntrack_helper=1\n");
    let sysctl = (FILE, "net.netfilter.nf_conntrack_helper = 1\n");
    let found = |files: &[(&str, &str)]| ids(&bare(files).document().1);
    let is = |id: &str, severity: &str| [(id.to_owned(), severity.to_owned())].into();
    assert_eq!(found(&[old, option]), Default::default());
    assert_eq!(found(&[new, option]), is("modprobe-no-effect", "error"));
    assert_eq!(found(&[old, new, option]), is("modprobe-no-effect", "note"));
    assert_eq!(found(&[option]), is("modprobe-no-effect", "note"));
    assert_eq!(found(&[old, sysctl]), Default::default());
    assert_eq!(found(&[new, sysctl]), is("sysctl-unknown-name", "error"));
    assert_eq!(found(&[sysctl]), is("sysctl-unknown-name", "note"));
    cures::cured(&bare(&[option]));
    cures::cured(&bare(&[sysctl]));
    let both = bare(&[new, (OPTIONS, "options nf_conntrack nf_conntrack_helper=1 acct=1\n")]);
    cures::cured(&both);
    assert_eq!(text(&both, OPTIONS), "options nf_conntrack acct=1\n");
    let grub = (GRUB, "GRUB_CMDLINE_LINUX=\"ro nf_conntrack.nf_conntrack_helper=1\"\n");
    let line = bare(&[new, grub]);
    assert_eq!(ids(&line.document().1), is("modprobe-no-effect", "error"));
    cures::cured(&line);
}

#[test]
fn options_for_a_module_that_is_there() {
    let early = ("etc/modules-load.d/nf.conf", "nf_conntrack\n");
    let script = |options: &str| format!("#!/bin/sh\nmodprobe nf_conntrack {options}\n");
    let late = tree(&[early, ("etc/rc.local", &script("hashsize=65536"))]);
    assert_eq!(ids(&late.document().1), [("modprobe-no-effect".into(), "warning".into())].into());
    cures::cured(&late);
    assert_eq!(text(&late, "etc/rc.local"), script("").replace(" \n", "\n"));
    assert_eq!(text(&late, "etc/modprobe.d/conntrack.conf"), "options nf_conntrack hashsize=65536\n");
    let options = (OPTIONS, "options nf_conntrack hashsize=65536\n");
    for files in [
        &[early, ("etc/rc.local", &script("hashsize=65536")), options][..],
        &[early, ("etc/rc.local", &script(""))],
        &[early, ("etc/rc.local", "#!/bin/sh\nmodprobe nf_conntrack_ftp ports=21\n")],
    ] {
        assert_eq!(ids(&tree(files).document().1), Default::default(), "{files:?}");
    }
}
