use super::super::root::fixture::Tree;
use super::*;

const MEMINFO: &str = "MemTotal:       16000 kB\nMemFree:  100 kB\nMemAvailable:    9000 kB\n\
    HugePages_Total:       3\nHugepagesize:       2048 kB\nHugetlb:         6144 kB\n";
const SLABINFO: &str = "slabinfo - version: 2.1\n\
    # name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n\
    nf_conntrack_expect      7      7    248   16    1 : tunables 0 0 0 : slabdata 1 1 0\n\
    nf_conntrack       1000   1020    320   25    2 : tunables 0 0 0 : slabdata 40 40 0\n\
    kmalloc-cg-128    99999  99999    128   32    1 : tunables 0 0 0 : slabdata 1 1 0\n\
    kmalloc-256         900    900    256   16    1 : tunables 0 0 0 : slabdata 1 1 0\n\
    kmalloc-192        5000   5000    192   21    1 : tunables 0 0 0 : slabdata 1 1 0\n\
    kmalloc-128       16000  16000    128   32    1 : tunables 0 0 0 : slabdata 1 1 0\n";
const EVENTS: &str = "proc/sys/net/netfilter/nf_conntrack_events";
const ACCT: &str = "proc/sys/net/netfilter/nf_conntrack_acct";

fn tree(modules: &str) -> Tree {
    Tree::new(&[
        ("proc/meminfo", MEMINFO),
        ("proc/slabinfo", SLABINFO),
        ("proc/modules", modules),
        (ACCT, "0\n"),
        ("proc/sys/net/netfilter/nf_conntrack_timestamp", "0\n"),
        (EVENTS, "1\n"),
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
    assert_eq!((facts.bytes_per_entry, facts.entries_all_namespaces), (5243 + 2048, Some(5000)));
}

/// `nf_ct_ext_add` asks kmalloc for 128 bytes at least: all that packets make fits into that but with a SYN proxy.
#[test]
fn what_is_switched_on_counts_only_where_it_needs_another_size() {
    let cost_of = |tree: &Tree| cost(&tree.root(), 4096, 0).bytes_per_entry - 328;
    let all =
        "nf_nat 1 0 - Live\nnfnetlink_cttimeout 1 0 - Live\nxt_connlabel 1 0 - Live\nact_ct 1 0 - Live\n";
    assert_eq!(cost_of(&tree("nf_conntrack_netlink 1 0 - Live\nnf_conntrack 1 0 - Live\n")), 128);
    // Built in, or whatever is loaded.
    assert_eq!(cost_of(&tree("ext4 1 0 - Live\n")), 128);
    let tree = tree(all);
    tree.put(ACCT, "1\n");
    tree.put("proc/sys/net/netfilter/nf_conntrack_timestamp", "1\n");
    assert_eq!(cost_of(&tree), 128, "16 and 32, 16, 24, 16, 8, 8, 8");
    let basis = cost(&tree.root(), 4096, 0).bytes_per_entry_basis;
    assert!(basis.contains("accounting, timestamps, events, labels, NAT, timeout policies"), "{basis}");
    tree.put("proc/modules", &format!("{all}nf_synproxy_core 1 0 - Live\n"));
    assert_eq!(cost_of(&tree), 196, "21 of 192 bytes in 4,096");
}

fn sizes(active: [u64; 3]) -> Vec<Blocks> {
    let of = |(size, active)| Blocks { size, active, cost_bytes: size };
    [128, 192, 256].into_iter().zip(active).map(of).collect()
}

/// Seen on 6.18: 100,000 entries that packets made, 100,000 that ctnetlink made with accounting, and 100,000 without
/// any extension; others used 16,000, 7,000 and 1,000 objects of these sizes meanwhile.
#[test]
fn the_size_with_as_many_objects_as_there_are_entries_is_the_one() {
    let counted = |entries, derived, active| counted(entries, derived, &sizes(active)).0;
    assert_eq!(counted(100_000, 128, [116_000, 7_000, 1_000]), 128);
    assert_eq!(counted(100_000, 128, [16_000, 107_000, 1_000]), 192, "they carry more than was derived");
    assert_eq!(counted(100_000, 164, [116_000, 7_000, 1_000]), 128, "they carry less");
    assert_eq!(counted(100_000, 0, [16_000, 7_000, 1_000]), 0);
    assert_eq!(counted(100_000, 0, [116_000, 7_000, 1_000]), 128, "there may be blocks");
    // A small table is lost among the others.
    assert_eq!(counted(100, 128, [16_000, 7_000, 1_000]), 128);
    assert_eq!(counted(100, 164, [16_000, 7_000, 1_000]), 192);
    assert_eq!(counted(0, 128, [0, 0, 0]), 128);
    assert_eq!(super::counted(5, 130, &[]).0, 192, "sizes are not known");
}

proptest::proptest! {
    /// Whatever others use, the mean of entries that lie in two sizes is told within 5 % of what an entry costs, as
    /// long as others use no more than a fifth as many as there are entries.
    #[test]
    fn a_mixture_is_told_within_five_percent(small in 0u64..=100_000, others in 0u64..20_000) {
        let active = [small + others, 100_000 - small + others / 2, others / 10];
        let told = 256 + counted(100_000, 128, &sizes(active)).0;
        let real = 256.0 + (small * 128 + (100_000 - small) * 192) as f64 / 100_000.0;
        proptest::prop_assert!((told as f64 / real - 1.0).abs() <= 0.05, "{} for {}", told, real);
    }
}

#[test]
fn randomized_caches_are_parts_of_one_size() {
    let text = "kmalloc-rnd-01-128 70 70 128 32 1 :\nkmalloc-rnd-15-128 30 30 128 32 1 :\nkmalloc-128 5 5 128 32 1 :\n\
        kmalloc-rcl-128 9 9 128 32 1 :\nkmalloc-8k 9 9 8192 4 8 :\nkmalloc-96 9 9 96 42 1 :\nkmalloc-192 2 2 192 21 1 :\n";
    let found = blocks(text, 4096);
    assert_eq!(found[0], Blocks { size: 128, active: 105, cost_bytes: 128 });
    assert_eq!((found.len(), found[1].cost_bytes), (2, 196));
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
