use super::super::root::fixture::Tree;
use super::*;

const NF: &str = "proc/sys/net/netfilter/nf_conntrack_";

fn today() -> Tree {
    let tree = Tree::new(&[]);
    for (name, text) in [
        ("count", "17\n"),
        ("max", "262144\n"),
        ("buckets", "65536\n"),
        ("events", "2\n"),
        ("acct", "1\n"),
        ("tcp_timeout_established", "432000\n"),
        ("udp_timeout", "30\n"),
    ] {
        tree.put(&format!("{NF}{name}"), text);
    }
    tree
}

fn open(tree: &Tree) -> ConntrackSysctls {
    ConntrackSysctls::open_at(tree.root()).expect("conntrack sysctls")
}

fn timeout(name: &str) -> Timeout {
    Timeout::named(name).expect("a timeout")
}

#[test]
fn a_negative_max_is_none_and_a_negative_timeout_is_no_timeout() {
    let tree = today();
    tree.put(&format!("{NF}max"), "-1\n");
    tree.put(&format!("{NF}udp_timeout"), "-1\n");
    let sysctls = open(&tree);
    assert_eq!((sysctls.max(), sysctls.read("max").ok()), (Ok(0), Some(0)));
    assert!(!sysctls.timeouts().contains_key(&timeout("udp_timeout")));
}

#[test]
fn todays_names() {
    let tree = today();
    let sysctls = open(&tree);
    assert_eq!((sysctls.count(), sysctls.max(), sysctls.buckets()), (Ok(17), Ok(262_144), Ok(65_536)));
    assert_eq!((sysctls.events(), sysctls.accounting()), (Some(2), true));
    let expected = [(timeout("tcp_timeout_established"), 432_000), (timeout("udp_timeout"), 30)];
    assert_eq!(sysctls.timeouts(), TimeoutValues::from(expected));
    assert_eq!(sysctls.flowtable_tcp_timeout(), None);
    tree.put("proc/sys/net/netfilter/nf_flowtable_tcp_timeout", "30\n");
    assert_eq!((sysctls.flowtable_tcp_timeout(), sysctls.flowtable_udp_timeout()), (Some(30), None));
    assert_eq!(sysctls.key("max").as_deref(), Some("net.netfilter.nf_conntrack_max"));
    assert_eq!(sysctls.key("gre_timeout"), None);
    assert!(sysctls.writable("max") && !sysctls.writable("gre_timeout"));
}

#[test]
fn max_beside_the_directory() {
    let tree = today();
    tree.remove(&format!("{NF}max"));
    tree.put("proc/sys/net/nf_conntrack_max", "9\n");
    assert_eq!(open(&tree).max(), Ok(9));
    assert_eq!(open(&tree).key("max").as_deref(), Some("net.nf_conntrack_max"));
}

#[test]
fn the_oldest_names() {
    let old = "proc/sys/net/ipv4/netfilter/ip_conntrack_";
    let tree = Tree::new(&[("proc/sys/net/ipv4/ip_conntrack_max", "4096\n")]);
    tree.put(&format!("{old}count"), "3\n");
    tree.put(&format!("{old}tcp_timeout_established"), "86400\n");
    let sysctls = open(&tree);
    assert_eq!((sysctls.count(), sysctls.max()), (Ok(3), Ok(4096)));
    assert_eq!(sysctls.timeouts(), TimeoutValues::from([(timeout("tcp_timeout_established"), 86_400)]));
    assert_eq!(sysctls.key("max").as_deref(), Some("net.ipv4.ip_conntrack_max"));
    assert_eq!(sysctls.write("max", 8192).expect("write"), 8192);
    assert_eq!(sysctls.max(), Ok(8192));
}

#[test]
fn where_both_names_are_todays_is_read_and_written() {
    let tree = today();
    tree.put("proc/sys/net/ipv4/netfilter/ip_conntrack_max", "1\n");
    let sysctls = open(&tree);
    assert_eq!(sysctls.write("max", 500).expect("write"), 500);
    assert_eq!(tree.root().text(&format!("{NF}max")), "500\n");
    assert_eq!(tree.root().text("proc/sys/net/ipv4/netfilter/ip_conntrack_max"), "1\n");
}

#[test]
fn a_kernel_without_conntrack_says_what_to_load() {
    let tree = Tree::new(&[("proc/sys/net/core/somaxconn", "1\n")]);
    let error = ConntrackSysctls::open_at(tree.root()).expect_err("nothing there");
    assert_eq!((error.exit, error.what.as_str()), (crate::error::Exit::Unreachable, "conntrack"));
    assert_eq!(error.hint.as_deref(), Some("modprobe nf_conntrack"));
    tree.put("sys/module/nf_conntrack/parameters/hashsize", "1\n");
    tree.put(&format!("{NF}max"), "1\n");
    let error = ConntrackSysctls::open_at(tree.root()).expect_err("no count");
    assert!(error.why.contains("this network namespace"), "{error}");
}

#[test]
fn what_is_no_count_is_an_error_or_left_out() {
    let tree = today();
    let sysctls = open(&tree);
    for text in ["", "12 34\n", "x\n", "18446744073709551616\n", "1.5"] {
        tree.put(&format!("{NF}max"), text);
        let error = sysctls.read("max").expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{text:?}");
        assert!(sysctls.write("max", 5).is_err(), "{text:?}: what is not understood is not overwritten");
    }
    std::fs::write(tree.root().join(format!("{NF}max")), [0xff, 0xfe]).expect("bytes");
    assert!(sysctls.max().is_err());
    tree.put(&format!("{NF}udp_timeout"), "4294967296\n");
    assert!(!sysctls.timeouts().contains_key(&timeout("udp_timeout")), "never a value cut to 32 bits");
}

#[test]
fn a_name_is_never_a_path() {
    let tree = today();
    for name in ["", "../nf_conntrack_max", "x/y", "max\0", "MAX", "a.b"] {
        assert_eq!(open(&tree).read(name).expect_err(name).kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    assert_eq!(open(&tree).read("no_such_value").expect_err("absent").kind(), ErrorKind::NotFound);
}

#[test]
fn a_value_that_appears_late_is_found() {
    let tree = today();
    let sysctls = open(&tree);
    assert_eq!(sysctls.read("gre_timeout").expect_err("absent").kind(), ErrorKind::NotFound);
    tree.put(&format!("{NF}gre_timeout"), "30\n");
    assert_eq!(sysctls.read("gre_timeout").expect("late"), 30);
}

#[test]
fn an_equal_value_is_not_written() {
    let tree = today();
    let sysctls = open(&tree);
    let path = tree.root().join(format!("{NF}udp_timeout"));
    // Written, this text would lose its blanks.
    std::fs::write(&path, " 30 \n").expect("write");
    assert_eq!(sysctls.write("udp_timeout", 30).expect("equal"), 30);
    assert_eq!(std::fs::read_to_string(&path).expect("read"), " 30 \n");
    assert_eq!(sysctls.write("udp_timeout", 4).expect("shorter text"), 4);
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "4\n");
}

#[test]
fn only_buckets_may_come_out_larger() {
    assert_eq!(kept_value("buckets", 1000, 1024).expect("rounded"), 1024);
    assert!(kept_value("buckets", 1024, 1000).is_err());
    assert!(kept_value("max", 1000, 1024).is_err());
    assert_eq!(kept_value("max", 7, 7).expect("same"), 7);
}
