use super::super::root::fixture::{Tree, host_root};
use super::*;

const NF: &str = "proc/sys/net/netfilter/nf_conntrack_";
const HASHSIZE: &str = "sys/module/nf_conntrack/parameters/hashsize";

fn tree() -> Tree {
    let tree = Tree::new(&[(HASHSIZE, "65536\n")]);
    tree.put(&format!("{NF}count"), "1\n");
    tree.put(&format!("{NF}max"), "262144\n");
    tree
}

/// Its own namespace stands for the first: only the files are looked at.
fn open(tree: &Tree) -> HostValues {
    let own = Namespace::resolve(None).expect("own namespace");
    HostValues::open_at(Some(&own), tree.root()).expect("host values")
}

#[test]
fn buckets_go_through_the_sysctl_where_there_is_one() {
    let tree = tree();
    tree.put(&format!("{NF}buckets"), "1024\n");
    let values = open(&tree);
    assert_eq!(values.buckets(), Ok(1024));
    assert_eq!(values.write("buckets", 2048).expect("write"), 2048);
    assert_eq!(tree.root().text(HASHSIZE), "65536\n");
    assert_eq!(values.write("max", 10).expect("write"), 10);
    assert_eq!(values.max(), Ok(10));
}

#[test]
fn buckets_go_through_the_parameter_where_there_is_no_sysctl() {
    let tree = tree();
    let values = open(&tree);
    assert!(values.writable("buckets"));
    assert_eq!(values.buckets(), Ok(65_536));
    assert_eq!(values.write("buckets", 131_072).expect("write"), 131_072);
    assert_eq!(tree.root().text(HASHSIZE), "131072\n");
}

#[test]
fn without_the_first_namespace_they_are_read_only() {
    let values = HostValues::open_at(None, tree().root()).expect("host values");
    assert_eq!(values.max(), Ok(262_144));
    assert!(!values.writable("max") && !values.writable("buckets"));
    assert_eq!(values.write("max", 1).expect_err("refused").kind(), ErrorKind::PermissionDenied);
    assert_eq!(values.max(), Ok(262_144));
}

#[test]
fn nothing_else_is_one_for_all_namespaces() {
    let tree = tree();
    let values = open(&tree);
    assert_eq!(values.write("count", 1).expect_err("refused").kind(), ErrorKind::InvalidInput);
    assert!(!values.writable("count") && values.read("udp_timeout").is_err());
}

/// On the kernel: from a thread in a new namespace, where both are 0444, the files of the first still take a
/// write; only the present values are written.
#[test]
fn the_first_ones_files_are_written_from_another_namespace() {
    let Some(first) = Namespace::first().filter(|_| host_root()) else {
        eprintln!("SKIPPED: no way into the first namespace");
        return;
    };
    std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("unshare");
        assert!(!first.is_own() && !Namespace::resolve(None).expect("own").is_first());
        let values = HostValues::open(Some(&first)).expect("host values");
        for name in ["max", "buckets"] {
            assert!(values.writable(name), "{name}");
            let value = values.read(name).expect("read");
            let seen_here = ConntrackSysctls::open().expect("sysctls");
            assert!(!seen_here.writable(name));
            assert_eq!(seen_here.read(name).expect("read"), value, "one value for all");
            values.sysctls.put(name, value).expect("written through the open file");
            assert_eq!(values.write(name, value).expect("equal"), value);
        }
        let here = HostValues::open(None).expect("host values");
        assert!(!here.writable("max") && here.max() == values.max());
    })
    .join()
    .expect("no assertion failed");
}
