use super::super::root::fixture::Tree;
use super::*;

const MEMINFO: &str = "MemTotal:       16000 kB\nMemFree:  100 kB\nMemAvailable:    9000 kB\n\
    HugePages_Total:       3\nHugepagesize:       2048 kB\nHugetlb:         6144 kB\n";
const SLABINFO: &str = "slabinfo - version: 2.1\n\
    # name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n\
    nf_conntrack_expect      7      7    248   16    1 : tunables 0 0 0 : slabdata 1 1 0\n\
    nf_conntrack       1000   1020    320   25    2 : tunables 0 0 0 : slabdata 40 40 0\n";
const ACCT: &str = "proc/sys/net/netfilter/nf_conntrack_acct";

fn tree(modules: &str) -> Tree {
    Tree::new(&[
        ("proc/meminfo", MEMINFO),
        ("proc/slabinfo", SLABINFO),
        ("proc/modules", modules),
        (ACCT, "0\n"),
        ("proc/sys/net/netfilter/nf_conntrack_timestamp", "0\n"),
    ])
}

#[test]
fn meminfo_is_bytes_and_huge_pages_of_every_size_count() {
    let tree = tree("");
    let facts = cost(&tree.root(), 4096, 0);
    assert_eq!((facts.total_bytes, facts.available_bytes), (16_000 << 10, 9000 << 10));
    assert_eq!(facts.huge_pages_bytes, 6144 << 10);
    tree.put(
        "proc/meminfo",
        "MemFree: 7 kB\nHugePages_Total: 1\nHugepagesize: 2048 kB\nHugetlb: 1050624 kB\n",
    );
    let facts = cost(&tree.root(), 4096, 0);
    assert_eq!((facts.available_bytes, facts.huge_pages_bytes), (7 << 10, 1_050_624 << 10));
    tree.put("proc/meminfo", "HugePages_Total: 3\nHugepagesize: 2048 kB\n");
    assert_eq!(cost(&tree.root(), 4096, 0).huge_pages_bytes, 6144 << 10, "before there was Hugetlb");
    tree.put("proc/meminfo", "MemTotal: lots\nHugePages_Total: 18446744073709551615\nHugepagesize: 9 kB");
    assert_eq!(cost(&tree.root(), 4096, 0).total_bytes, 0);
}

#[test]
fn an_object_costs_its_share_of_the_slab() {
    let tree = tree("nf_conntrack 200704 0 - Live 0x0\n");
    let facts = cost(&tree.root(), 4096, 5);
    // 8192 / 25 rounded up, where the object itself is 320.
    assert_eq!(facts.bytes_per_entry, 328 + 128);
    assert_eq!(facts.entries_all_namespaces, Some(1000));
    assert!(facts.bytes_per_entry_basis.starts_with("measured on this kernel: 328 bytes"));
    // Pages are not 4096 bytes everywhere, and this namespace's own count is the least there is.
    let facts = cost(&tree.root(), 65536, 5000);
    assert_eq!((facts.bytes_per_entry, facts.entries_all_namespaces), (5243 + 128, Some(5000)));
}

#[test]
fn whatever_enlarges_the_extension_block_is_counted() {
    let cost_of = |tree: &Tree| cost(&tree.root(), 4096, 0).bytes_per_entry - 328;
    assert_eq!(cost_of(&tree("nf_conntrack_netlink 1 0 - Live\nnf_conntrack 1 0 - Live\n")), 128);
    assert_eq!(cost_of(&tree("nf_nat 1 0 - Live\nnf_conntrack 1 1 nf_nat, Live\n")), 192);
    assert_eq!(cost_of(&tree("nf_conntrack_sip 1 0 - Live\nnf_conntrack 1 0 - Live\n")), 192);
    assert_eq!(cost_of(&tree("nfnetlink_cttimeout 1 0 - Live\nnf_conntrack 1 0 - Live\n")), 192);
    // Built in: what else is there cannot be seen.
    assert_eq!(cost_of(&tree("ext4 1 0 - Live\n")), 192);
    for switch in [ACCT, "proc/sys/net/netfilter/nf_conntrack_timestamp"] {
        let tree = tree("nf_conntrack 1 0 - Live\n");
        tree.put(switch, "1\n");
        assert_eq!(cost_of(&tree), 192, "{switch}");
    }
}

#[test]
fn without_a_usable_row_the_cost_is_assumed_and_says_so() {
    let tree = tree("nf_conntrack 1 0 - Live\n");
    for (text, why) in [
        ("slabinfo - version: 2.1\nskbuff_head_cache 1 1 256 16 1 : tunables\n", "merged"),
        ("nf_conntrack 1 1 256 0 1\n", "no usable"),
        ("nf_conntrack 1 1\n", "no usable"),
        ("nf_conntrack 1 1 256 16 18446744073709551615\n", "no usable"),
    ] {
        tree.put("proc/slabinfo", text);
        let facts = cost(&tree.root(), 4096, 9);
        assert_eq!((facts.bytes_per_entry, facts.entries_all_namespaces), (448, None), "{text}");
        assert!(facts.bytes_per_entry_basis.starts_with("assumed: "));
        assert!(facts.bytes_per_entry_basis.contains(why), "{}", facts.bytes_per_entry_basis);
    }
    tree.remove("proc/slabinfo");
    assert!(cost(&tree.root(), 4096, 9).bytes_per_entry_basis.contains("cannot be read"));
}

#[test]
fn refresh_keeps_the_measured_cost() {
    let mut facts = MemoryFacts { bytes_per_entry: 456, other_namespaces: 3, ..MemoryFacts::default() };
    refresh(&mut facts);
    assert!(facts.total_bytes >= facts.available_bytes && facts.available_bytes > 0);
    assert_eq!((facts.bytes_per_entry, facts.other_namespaces), (456, 3));
}
