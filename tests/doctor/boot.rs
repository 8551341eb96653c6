//! Whether values apply at boot: by what loads the module before, and by what applies the files again.

use crate::findings::FILE;
use crate::tree::{Tree, ids, of};

const SYSTEMD: (&str, &str) = ("usr/lib/systemd/systemd-sysctl", "");
const MODULAR: (&str, &str) = ("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/fs/ext4/ext4.ko\n");
const LINE: (&str, &str) = (FILE, "net.netfilter.nf_conntrack_max = 65536\n");
const WANTED: (&str, &str) = ("etc/systemd/system/multi-user.target.wants/ct.service", "-> ../ct.service");

fn found(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let (_, document) = Tree::new(&[&[SYSTEMD, MODULAR, LINE], files].concat()).document();
    ids(&document).into_iter().collect()
}

#[track_caller]
fn is(severity: Option<&str>, files: &[(&str, &str)]) {
    let expected: Vec<_> = severity
        .map(|severity| ("sysctl-before-module".to_owned(), severity.to_owned()))
        .into_iter()
        .collect();
    assert_eq!(found(files), expected, "{files:?}");
}

#[test]
fn what_loads_the_module_in_time() {
    is(Some("error"), &[]);
    for files in [
        vec![
            ("etc/modprobe.d/s.conf", "softdep br_netfilter pre: nf_conntrack\n"),
            ("etc/modules-load.d/k.conf", "br_netfilter\n"),
        ],
        vec![
            (
                "etc/modprobe.d/s.conf",
                "install br_netfilter /sbin/modprobe -i br_netfilter && modprobe nf_nat\n",
            ),
            ("etc/modules-load.d/k.conf", "br-netfilter\n"),
        ],
        vec![("etc/modprobe.d/s.conf", "alias ct nf_conntrack\n"), ("etc/modules-load.d/k.conf", "ct\n")],
        vec![("etc/dracut.conf.d/ct.conf", "force_drivers+=\" nf_conntrack \"\n")],
        vec![("etc/mkinitcpio.conf", "MODULES=(\n  ext4\n  nf_conntrack\n)\n")],
        vec![("etc/initramfs-tools/modules", "nf_conntrack hashsize=65536\n")],
        vec![("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet modules-load=nf_conntrack\"\n")],
        vec![(
            "boot/loader/entries/a.conf",
            "title x\noptions root=/dev/sda ro rd.driver.pre=nf_conntrack\n",
        )],
        vec![("etc/kernel/cmdline", "root=/dev/sda modules_load=nf_nat,x\n")],
        vec![("etc/modules-load.d/k.conf", "ip_vs_rr\n")],
        vec![
            (
                "etc/systemd/system/systemd-sysctl.service.d/ct.conf",
                "[Service]\nExecStartPre=-/sbin/modprobe nf_conntrack\n",
            ),
            (
                "usr/lib/systemd/system/systemd-sysctl.service",
                "[Unit]\nAfter=systemd-modules-load.service\n[Service]\nExecStart=/usr/lib/systemd/systemd-sysctl\n",
            ),
        ],
        vec![
            (
                "etc/systemd/system/ct.service",
                "[Unit]\nDefaultDependencies=no\nBefore=systemd-sysctl.service\n[Service]\nExecStart=/sbin/modprobe nf_conntrack\n[Install]\nWantedBy=sysinit.target\n",
            ),
            ("etc/systemd/system/sysinit.target.wants/ct.service", "-> ../ct.service"),
        ],
    ] {
        is(None, &files);
    }
    // Put into an initramfs is not loaded by it, and a name of another module is not ours.
    is(Some("error"), &[("etc/dracut.conf.d/ct.conf", "add_drivers+=\" nf_conntrack \"\n")]);
    is(
        Some("error"),
        &[("etc/default/grub", "GRUB_CMDLINE_LINUX=\"modules-load=ext4\"\n#modules-load=nf_conntrack\n")],
    );
    // A blacklist keeps away what systemd-modules-load is told, and not what modprobe is told.
    let black = ("etc/modprobe.d/b.conf", "blacklist nf_conntrack\n");
    is(Some("error"), &[black, ("etc/modules-load.d/k.conf", "nf_conntrack\n")]);
    let initramfs = ("etc/initramfs-tools/modules", "nf_conntrack\n");
    assert_eq!(found(&[black, initramfs]), [("module-blacklisted".into(), "warning".into())]);
}

#[test]
fn modules_dep_tells_what_brings_the_module() {
    let dep = (
        "lib/modules/6.1.0-13-amd64/modules.dep",
        "kernel/net/netfilter/nf_conntrack.ko.xz: kernel/lib/libcrc32c.ko.xz\nkernel/x/odd.ko.xz: kernel/net/netfilter/nf_conntrack.ko.xz\nkernel/x/nf_nat.ko.xz:\n",
    );
    is(None, &[dep, ("etc/modules-load.d/k.conf", "odd\n")]);
    is(Some("error"), &[dep, ("etc/modules-load.d/k.conf", "nf_nat\n")]);
}

#[test]
fn what_applies_the_files_again() {
    let unit = |body: &str| {
        format!(
            "[Unit]\nAfter=network-online.target\n[Service]\nType=oneshot\n{body}[Install]\nWantedBy=multi-user.target\n"
        )
    };
    let load = "ExecStart=/sbin/modprobe nf_conntrack\n";
    for (body, severity) in [
        (format!("{load}ExecStart=/usr/lib/systemd/systemd-sysctl --prefix=/net/netfilter\n"), None),
        (format!("{load}ExecStart=/sbin/sysctl --system\n"), None),
        (format!("{load}ExecStart=/sbin/sysctl -p /etc/sysctl.d/50-gateway.conf\n"), None),
        (
            format!(
                "ExecStartPre=-{}ExecStart=/bin/sh -c 'sysctl -q --system'\n",
                &load["ExecStart=".len()..]
            ),
            None,
        ),
        // Nobody can tell whether the module is there by then.
        ("ExecStart=/sbin/sysctl --system\n".to_owned(), Some("note")),
        ("ExecStart=/bin/systemctl restart systemd-sysctl\n".to_owned(), Some("note")),
        // Other files, other names, too early, and no application at all.
        (format!("{load}ExecStart=/sbin/sysctl -p\n"), Some("error")),
        (format!("{load}ExecStart=/usr/lib/systemd/systemd-sysctl --prefix=net/ipv4\n"), Some("error")),
        (load.to_owned(), Some("error")),
    ] {
        is(severity, &[("etc/systemd/system/ct.service", &unit(&body)), WANTED]);
    }
    // A unit that nothing starts applies nothing.
    is(
        Some("error"),
        &[("etc/systemd/system/ct.service", &unit(&format!("{load}ExecStart=/sbin/sysctl --system\n")))],
    );
    for (path, text, severity) in [
        (
            "etc/network/interfaces",
            "auto eth0\niface eth0 inet dhcp\n  post-up sysctl --system\n",
            Some("note"),
        ),
        (
            "etc/network/interfaces",
            "auto eth0\niface eth0 inet dhcp\n  post-up modprobe nf_conntrack && sysctl -p /etc/sysctl.d/50-gateway.conf\n",
            None,
        ),
        ("etc/rc.local", "#!/bin/sh\nmodprobe nf_conntrack\nsysctl --system >/dev/null\nexit 0\n", None),
        ("etc/rc.local", "#!/bin/sh\nsysctl --system\n", Some("note")),
        ("etc/cron.d/x", "@reboot root sleep 60; sysctl --system\n", Some("note")),
        (
            "etc/udev/rules.d/99-ct.rules",
            "ACTION==\"add\", SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack\", \\\n  RUN+=\"/usr/lib/systemd/systemd-sysctl --prefix=/net/netfilter\"\n",
            None,
        ),
        (
            "etc/udev/rules.d/99-ct.rules",
            "ACTION==\"add\", SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack\", RUN+=\"/usr/lib/systemd/systemd-sysctl --prefix=/net/bridge\"\n",
            Some("error"),
        ),
    ] {
        is(severity, &[(path, text)]);
    }
}

#[test]
fn a_file_that_only_a_script_applies_is_no_file_that_nothing_applies() {
    let late = |path: &str, command: &str| {
        let tree = Tree::new(&[SYSTEMD, MODULAR, ("etc/modules-load.d/k.conf", "nf_conntrack\n")]);
        tree.put(path, LINE.1);
        tree.put("etc/rc.local", &format!("#!/bin/sh\n{command}\nexit 0\n"));
        ids(&tree.document().1)
    };
    assert_eq!(late("etc/sysctl.conf", "sysctl -p"), Default::default());
    assert_eq!(late("etc/sysctl.d/90-gateway", "sysctl -p /etc/sysctl.d/90-gateway"), Default::default());
    assert_eq!(late("etc/sysctl.conf", "true").len(), 1);
    // What such a file sets is looked at as well.
    let tree = Tree::new(&[SYSTEMD, MODULAR, ("etc/modules-load.d/k.conf", "nf_conntrack\n")]);
    tree.put("etc/gateway.sysctl", "net.netfilter.nf_conntrack_tcp_timeout_established = 60\n");
    tree.put("etc/rc.local", "#!/bin/sh\nsysctl -q -p /etc/gateway.sysctl\n");
    assert_eq!(ids(&tree.document().1), [("established-too-short".into(), "error".into())].into());
}

#[test]
fn without_a_kernel_nobody_can_tell() {
    let (code, document) = Tree::new(&[SYSTEMD, LINE]).document();
    assert_eq!(ids(&document), [("sysctl-before-module".into(), "note".into())].into());
    assert_eq!(code, Some(0));
}

#[test]
fn openwrt_and_images_without_a_directory_get_fixes_that_can_be_pasted() {
    let kernel = ("lib/modules/6.6.86/modules.builtin", "kernel/fs/x.ko\n");
    let openwrt = Tree::new(&[kernel, ("etc/openwrt_release", "DISTRIB_ID='OpenWrt'\n"), LINE]);
    let (_, document) = openwrt.document();
    openwrt.apply(&document, "sysctl-before-module");
    assert_eq!(
        std::fs::read_to_string(openwrt.path("etc/modules.d/conntrack")).expect("written"),
        "nf_conntrack\n"
    );
    assert_eq!(ids(&openwrt.document().1), Default::default());
    let small = Tree::new(&[SYSTEMD, MODULAR, LINE]);
    std::fs::remove_dir(small.path("etc/modules-load.d")).expect("there");
    let (_, document) = small.document();
    small.apply(&document, "sysctl-before-module");
    assert_eq!(ids(&small.document().1), Default::default());
    // A last line without an end is ended.
    let cut = Tree::new(&[SYSTEMD, MODULAR, LINE, ("etc/modules-load.d/conntrack.conf", "ext4")]);
    let (_, document) = cut.document();
    cut.apply(&document, "sysctl-before-module");
    let text = std::fs::read_to_string(cut.path("etc/modules-load.d/conntrack.conf")).expect("written");
    assert_eq!(text, "ext4\nnf_conntrack\n");
    assert_eq!(of(&cut.document().1, "sysctl-before-module").len(), 0);
}
