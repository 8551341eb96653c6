//! Trees as Debian's packages leave them: no finding at all. The files are cut down to the lines that count.

use crate::tree::{Tree, ids};

/// What base-files, procps, systemd and kmod install, by release.
fn debian(release: u32) -> Tree {
    let kernel = match release {
        10 => "4.19.0-27-amd64",
        11 => "5.10.0-33-amd64",
        12 => "6.1.0-31-amd64",
        _ => "6.12.38+deb13-amd64",
    };
    // Merged /usr since 10's installer; systemd below /lib until it moved.
    let tree = Tree::new(&[("usr/lib/os-release", "ID=debian\n"), ("lib", "-> usr/lib")]);
    tree.put("usr/lib/systemd/systemd-sysctl", "\u{7f}ELF");
    tree.put("etc/modules", "# /etc/modules: kernel modules to load at boot time.\n");
    tree.put("etc/modules-load.d/modules.conf", "-> ../modules");
    tree.put("etc/modprobe.d/README", "Files here must end in .conf.\n");
    tree.put("usr/lib/modprobe.d/aliases.conf", "alias net-pf-3 off\nblacklist evbug\n");
    tree.put("usr/lib/modprobe.d/systemd.conf", "options bonding max_bonds=0\noptions dummy numdummies=0\n");
    tree.put("etc/initramfs-tools/modules", "# List of modules that you want to include\n# raid1\n");
    tree.put(
        "etc/sysctl.d/README.sysctl",
        "Files found here that end with .conf are parsed.\nkernel.x = 1\n",
    );
    tree.put("usr/lib/sysctl.d/50-pid-max.conf", "kernel.pid_max = 4194304\n");
    tree.put(
        &format!("usr/lib/modules/{kernel}/modules.builtin"),
        "kernel/fs/ext4/ext4.ko\nkernel/net/ipv6/ipv6.ko\n",
    );
    tree.put("etc/crontab", "SHELL=/bin/sh\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n");
    tree.put(
        "var/log/kern.log",
        "Nov 21 10:00:00 gw kernel: [1.0] nf_conntrack version 0.5.0 (65536 buckets)\n",
    );
    if release < 13 {
        let comments = "# Uncomment the next line to enable packet forwarding\n".repeat(12);
        tree.put("etc/sysctl.conf", &format!("{comments}#net.ipv4.ip_forward=1\n#kernel.sysrq=438\n"));
        tree.put("etc/sysctl.d/99-sysctl.conf", "-> ../sysctl.conf");
        tree.put("var/lib/dpkg/info/procps.conffiles", "/etc/init.d/procps\n/etc/sysctl.conf\n");
        tree.put(
            "usr/lib/sysctl.d/99-protect-links.conf",
            "fs.protected_hardlinks = 1\nfs.protected_symlinks = 1\n",
        );
    } else {
        let defaults =
            "-net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\nkernel.sysrq = 0x01b6\n";
        tree.put("usr/lib/sysctl.d/50-default.conf", defaults);
        tree.put("var/lib/dpkg/info/procps.conffiles", "/etc/init.d/procps\n");
    }
    tree
}

/// ufw, enabled or not.
fn ufw(tree: &Tree, enabled: bool) {
    let enabled = if enabled { "yes" } else { "no" };
    tree.put("etc/ufw/ufw.conf", &format!("ENABLED={enabled}\nLOGLEVEL=low\n"));
    let defaults =
        "IPV6=yes\nDEFAULT_FORWARD_POLICY=\"DROP\"\nMANAGE_BUILTINS=no\nIPT_SYSCTL=/etc/ufw/sysctl.conf\n";
    // Until 10 a list of helpers was loaded as well.
    tree.put(
        "etc/default/ufw",
        &format!("{defaults}IPT_MODULES=\"nf_conntrack_ftp nf_nat_ftp nf_conntrack_netbios_ns\"\n"),
    );
    let sysctls = "#net/ipv4/ip_forward=1\nnet/ipv4/conf/all/accept_redirects=0\nnet/ipv4/icmp_echo_ignore_broadcasts=1\n\
                   net/ipv6/conf/all/accept_redirects=0\nnet/ipv4/conf/all/log_martians=0\n";
    tree.put("etc/ufw/sysctl.conf", sysctls);
    tree.put("etc/ufw/before.rules", "-A ufw-before-input -m conntrack --ctstate INVALID -j DROP\n");
}

fn firewalld(tree: &Tree, release: u32) {
    let backend = if release < 11 { "iptables" } else { "nftables" };
    // The key came with 0.9.
    let modules = if release < 11 { "" } else { "CleanupModulesOnExit=no\n" };
    let text =
        format!("DefaultZone=public\nCleanupOnExit=yes\n{modules}FirewallBackend={backend}\nLogDenied=off\n");
    tree.put("etc/firewalld/firewalld.conf", &text);
    tree.put(
        "etc/systemd/system/multi-user.target.wants/firewalld.service",
        "-> /usr/lib/systemd/system/firewalld.service",
    );
    tree.put(
        "usr/lib/systemd/system/firewalld.service",
        "[Service]\nExecStart=/usr/sbin/firewalld --nofork\n",
    );
}

fn iptables_persistent(tree: &Tree) {
    tree.put("etc/default/netfilter-persistent", "FLUSH_ON_STOP=0\nIPTABLES_TEST_RULESET=yes\n");
    let rules = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n\
                 *filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n";
    tree.put("etc/iptables/rules.v4", rules);
    tree.put("etc/iptables/rules.v6", "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n");
}

#[track_caller]
fn clean(tree: &Tree, what: &str) {
    let (code, document) = tree.document();
    assert_eq!((ids(&document), code), (Default::default(), Some(0)), "{what}: {document:#}");
    assert_eq!(document["not_examined"], serde_json::json!([]), "{what}");
}

#[test]
fn stock_debian_is_clean_with_and_without_firewalls() {
    for release in 10..=13 {
        clean(&debian(release), &format!("Debian {release}"));
        for enabled in [false, true] {
            let tree = debian(release);
            ufw(&tree, enabled);
            clean(&tree, &format!("Debian {release} with ufw, enabled: {enabled}"));
        }
        let tree = debian(release);
        firewalld(&tree, release);
        clean(&tree, &format!("Debian {release} with firewalld"));
        let tree = debian(release);
        iptables_persistent(&tree);
        clean(&tree, &format!("Debian {release} with iptables-persistent"));
        ufw(&tree, true);
        firewalld(&tree, release);
        clean(&tree, &format!("Debian {release} with all of them"));
    }
}

/// A gateway that is set up as it should be, firewall or not.
#[test]
fn a_gateway_that_is_set_up_well_is_clean() {
    for release in 10..=13 {
        let tree = debian(release);
        ufw(&tree, true);
        firewalld(&tree, release);
        let values = "net.ipv4.ip_forward = 1\nnet.netfilter.nf_conntrack_max = 524288\n\
                      net.netfilter.nf_conntrack_tcp_timeout_established = 86400\nnet.netfilter.nf_conntrack_events = 1\n";
        tree.put("etc/sysctl.d/90-gateway.conf", values);
        tree.put("etc/modules-load.d/gateway.conf", "nf_conntrack\n");
        tree.put("etc/modprobe.d/gateway.conf", "options nf_conntrack hashsize=131072\n");
        clean(&tree, &format!("Debian {release}"));
        if release < 13 {
            let path = "etc/sysctl.conf";
            let text = std::fs::read_to_string(tree.path(path)).expect("stock") + "net.ipv4.ip_forward=1\n";
            std::fs::write(tree.path(path), text + "net.netfilter.nf_conntrack_udp_timeout=60\n")
                .expect("written");
            clean(&tree, &format!("Debian {release} with sysctl.conf"));
        }
    }
}

/// The same lines where the release no longer reads them.
#[test]
fn the_file_of_debian_12_means_nothing_on_13() {
    let tree = debian(13);
    tree.put("etc/sysctl.conf", "net.netfilter.nf_conntrack_max = 524288\n");
    tree.put("etc/modules-load.d/gateway.conf", "nf_conntrack\n");
    let (_, document) = tree.document();
    assert_eq!(ids(&document), [("sysctl-conf-not-read".into(), "error".into())].into());
}
