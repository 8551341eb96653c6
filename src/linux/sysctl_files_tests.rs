use super::super::root::fixture::Tree;
use super::*;

#[test]
fn both_forms_of_a_name_are_read_and_all_else_is_passed_over() {
    let tree = Tree::new(&[(
        "etc/sysctl.conf",
        "# net.netfilter.nf_conntrack_max = 1\n;net.nf_conntrack_max=2\nnet.netfilter.nf_conntrack_max = 65536\n\
         -net/netfilter/nf_conntrack_tcp_timeout_established=86400\nnet.nf_conntrack_max=70000\n\
         net.ipv4.ip_forward = 1\nnet.netfilter.nf_conntrack_helper = 1\nnet.netfilter.nf_conntrack_max = many\n\
         garbage\n= 5\n",
    )]);
    let found = configured_at(&tree.root());
    let pairs: Vec<_> = found.iter().map(|v| (v.name.as_str(), v.value)).collect();
    assert_eq!(pairs, [("max", 65_536), ("tcp_timeout_established", 86_400), ("max", 70_000)]);
    assert!(found[0].file.ends_with("etc/sysctl.conf"));
}

#[test]
fn a_file_of_the_same_name_masks_the_ones_below_it() {
    let line = |value: u64| format!("net.netfilter.nf_conntrack_max = {value}\n");
    let tree = Tree::new(&[
        ("usr/lib/sysctl.d/50-firewall.conf", line(1).as_str()),
        ("etc/sysctl.d/50-firewall.conf", line(2).as_str()),
        ("run/sysctl.d/60-other.conf", line(3).as_str()),
        ("etc/sysctl.d/notes.txt", line(4).as_str()),
    ]);
    let values: Vec<u64> = configured_at(&tree.root()).iter().map(|v| v.value).collect();
    assert_eq!(values, [2, 3]);
    assert_eq!(configured_at(&Tree::new(&[]).root()), []);
}

fn listed(tree: &Tree) -> Vec<(String, AppliedBy)> {
    let files = files(&Image::new(tree.root()));
    files.into_iter().map(|file| (file.path, file.applied_by)).collect()
}

#[test]
fn files_come_in_the_order_of_their_names_and_sysctl_conf_where_its_link_stands() {
    let tree = Tree::new(&[
        ("usr/lib/systemd/systemd-sysctl", ""),
        ("etc/sysctl.conf", "a=1\n"),
        ("etc/sysctl.d/99-zz.conf", "a=2\n"),
        ("usr/lib/sysctl.d/50-default.conf", "a=3\n"),
        ("run/sysctl.d/10-early.conf", "a=4\n"),
        ("etc/sysctl.d/README", "a=5\n"),
    ]);
    let (early, default, last) =
        ("/run/sysctl.d/10-early.conf", "/usr/lib/sysctl.d/50-default.conf", "/etc/sysctl.d/99-zz.conf");
    let boot = |path: &str| (path.to_owned(), AppliedBy::Boot);
    let readme = ("/etc/sysctl.d/README".to_owned(), AppliedBy::Nobody);
    let by_hand = ("/etc/sysctl.conf".to_owned(), AppliedBy::HandOnly);
    assert_eq!(listed(&tree), [boot(early), boot(default), boot(last), by_hand, readme.clone()]);

    std::os::unix::fs::symlink("../sysctl.conf", tree.root().join("etc/sysctl.d/99-sysctl.conf"))
        .expect("link");
    let linked = [boot(early), boot(default), boot("/etc/sysctl.conf"), boot(last), readme.clone()];
    assert_eq!(listed(&tree), linked);

    // Without systemd a script runs `sysctl --system`, which has sysctl.conf at the end.
    tree.remove("usr/lib/systemd/systemd-sysctl");
    assert_eq!(listed(&tree), [boot(early), boot(default), boot(last), boot("/etc/sysctl.conf"), readme]);
}

#[test]
fn a_link_to_dev_null_masks() {
    let tree = Tree::new(&[("usr/lib/sysctl.d/50-x.conf", "a=1\n"), ("etc/sysctl.d/60-y.conf", "a=2\n")]);
    std::os::unix::fs::symlink("/dev/null", tree.root().join("etc/sysctl.d/50-x.conf")).expect("link");
    assert_eq!(listed(&tree), [("/etc/sysctl.d/60-y.conf".to_owned(), AppliedBy::Boot)]);
}

#[test]
fn scripts_of_the_boot_have_their_own_order() {
    let files = [
        ("etc/sysctl.conf", "a=1\n"),
        ("etc/sysctl.d/20-b.conf", "a=2\n"),
        ("usr/lib/sysctl.d/99-v.conf", "a=3\n"),
        ("lib/sysctl.d/50-l.conf", "a=4\n"),
        ("run/sysctl.d/10-r.conf", "a=5\n"),
        ("usr/lib/sysctl.d/20-b.conf", "a=6\n"),
    ];
    let of = |release: &str| {
        let tree = Tree::new(&[&files[..], &[(release, "x\n")]].concat());
        listed(&tree).into_iter().map(|(path, _)| path).collect::<Vec<_>>()
    };
    let alpine = ["/lib/sysctl.d/50-l.conf", "/usr/lib/sysctl.d/99-v.conf", "/etc/sysctl.d/20-b.conf"];
    let alpine = [&alpine[..], &["/etc/sysctl.conf", "/run/sysctl.d/10-r.conf"]].concat();
    assert_eq!(of("etc/alpine-release"), alpine);
    assert_eq!(of("etc/openwrt_release"), ["/etc/sysctl.d/20-b.conf", "/etc/sysctl.conf"]);
}

#[test]
fn busybox_is_known_by_its_link() {
    let tree = Tree::new(&[("bin/busybox", ""), ("sbin/x", "")]);
    assert_eq!(at_boot(&Image::new(tree.root())), SysctlProgram::Procps);
    let old = Tree::new(&[("sbin/sysctl", ""), ("lib/x86_64-linux-gnu/libprocps.so.8.0.3", "")]);
    assert_eq!(at_boot(&Image::new(old.root())), SysctlProgram::OldProcps);
    std::os::unix::fs::symlink("/bin/busybox", tree.root().join("sbin/sysctl")).expect("link");
    assert_eq!(at_boot(&Image::new(tree.root())), SysctlProgram::Busybox);
    tree.put("usr/lib/systemd/systemd-sysctl", "");
    let image = Image::new(tree.root());
    assert_eq!((at_boot(&image), by_hand(&image)), (SysctlProgram::Systemd, SysctlProgram::Busybox));
}
