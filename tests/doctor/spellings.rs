//! Names and values that are written otherwise than the program or the kernel reads them.

use crate::cures::{cured, set, text};
use crate::findings::{FILE, tree};
use crate::tree::{Tree, ids};

const OPTIONS: &str = "etc/modprobe.d/nf.conf";

#[track_caller]
fn title(tree: &Tree) -> String {
    let (_, document) = tree.document();
    assert_eq!(document["findings"].as_array().expect("findings").len(), 1, "{document:#}");
    document["findings"][0]["title"].as_str().expect("a title").to_owned()
}

/// kmod parts options at spaces: the module does not load with a parameter that lacks its value.
#[test]
fn options_with_spaces_around_the_sign() {
    for (line, said, mended) in [
        (
            "options nf_conntrack hashsize = 65536\n",
            "does not load with `hashsize = 65536`",
            "options nf_conntrack hashsize=65536\n",
        ),
        (
            "options nf_conntrack hashsize =65536\n",
            "hashsize has no value",
            "options nf_conntrack hashsize=65536\n",
        ),
        (
            "options nf-conntrack hashsize= 65536\n",
            "hashsize has an empty value",
            "options nf_conntrack hashsize=65536\n",
        ),
        (
            "options nf_conntrack acct=1 expect_hashsize = 512 tstamp=0\n",
            "expect_hashsize has no value",
            "options nf_conntrack acct=1 expect_hashsize=512 tstamp=0\n",
        ),
        ("options nf_conntrack acct = 0\n", "turns acct of nf_conntrack on", "options nf_conntrack acct=0\n"),
        ("options nf_conntrack acct = 1\n", "turns acct of nf_conntrack on", "options nf_conntrack acct=1\n"),
        (
            "options nf_conntrack acct= 1 hashsize = 65536\n",
            "acct has an empty value",
            "options nf_conntrack acct=1 hashsize=65536\n",
        ),
        (
            "options nf_conntrack hash_size = 65536\n",
            "has no parameter hash_size",
            "options nf_conntrack hashsize=65536\n",
        ),
        (
            "options nf_conntrack hashsize = 64k\n",
            "hashsize has no value",
            "options nf_conntrack hashsize=65536\n",
        ),
        (
            "options nf_conntrack_ftp ports = 21,2121\n",
            "nf_conntrack_ftp does not load",
            "options nf_conntrack_ftp ports=21,2121\n",
        ),
        (
            "options nf_conntrack_ftp loose = 0\n",
            "turns loose of nf_conntrack_ftp on",
            "options nf_conntrack_ftp loose=0\n",
        ),
        (
            "options ip_conntrack hashsize = 65536\n",
            "options for ip_conntrack do not reach",
            "options nf_conntrack hashsize=65536\n",
        ),
    ] {
        let tree = tree(&[(OPTIONS, line)]);
        let title = title(&tree);
        assert!(title.contains(said), "{line}: {title}");
        cured(&tree);
        assert_eq!(text(&tree, OPTIONS), mended, "{line}");
    }
    for right in [
        "options nf_conntrack_ftp ports=21\n",
        "options nf_conntrack hashsize=65536 acct\n",
        "options e1000 x = 5\n",
    ] {
        assert_eq!(ids(&tree(&[(OPTIONS, right)]).document().1), Default::default(), "{right}");
    }
}

/// The first separator decides; the other one is a part of a name then.
#[test]
fn names_with_both_separators() {
    for key in [
        "net/netfilter.nf_conntrack_max",
        "net.netfilter/nf_conntrack_max",
        "net/netfilter.nf_conntrack_udp_timeout",
    ] {
        let line = format!("{key} = 262144\n");
        let tree = tree(&[(FILE, &line)]);
        let said = title(&tree);
        let sought = format!("/proc/sys/net/netfilter.{}", &key[14..]);
        assert!(said.starts_with(key) && said.contains(&sought), "{said}");
        cured(&tree);
        assert_eq!(text(&tree, FILE), set(&key["net/netfilter.nf_conntrack_".len()..], "262144"));
        let script = format!("#!/bin/sh\nsysctl -w {key}=262144\n");
        let tree = self::tree(&[("etc/rc.local", &script)]);
        let said = title(&tree);
        assert!(said.contains(&sought), "{said}");
        cured(&tree);
    }
}

#[test]
fn a_key_is_shown_as_it_is_written() {
    for key in ["net/nf.conntrack_max", "net/netfilter/nf_conntrack.max", "net.netfilter/nf_conntrack_count"]
    {
        let tree = tree(&[(FILE, &format!("{key} = 5\n"))]);
        assert!(title(&tree).contains(key), "{}", title(&tree));
        cured(&tree);
    }
}

/// Before Linux 6.15 a negative limit is none; since then the write is refused.
#[test]
fn a_negative_limit_is_told_by_the_kernels_version() {
    let image = |releases: &[&str], files: &[(&str, &str)]| {
        let tree = Tree::new(&[
            ("usr/lib/systemd/systemd-sysctl", ""),
            ("etc/modules-load.d/conntrack.conf", "nf_conntrack\n"),
        ]);
        for release in releases {
            tree.put(&format!("lib/modules/{release}/modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
        }
        files.iter().for_each(|(path, text)| tree.put(path, text));
        tree
    };
    let line = set("max", "-1");
    assert!(title(&image(&["5.10.0-32-amd64"], &[(FILE, &set("max", "-0x1"))])).contains("is no limit"));
    let script = "#!/bin/sh\nsysctl -w net.netfilter.nf_conntrack_max=-1\n";
    for (releases, words) in [
        (&["5.10.0-32-amd64"][..], "is no limit to this kernel"),
        (&["6.18.2"], "is negative"),
        (&[], "is no limit or is refused"),
        (&["5.10.0-32-amd64", "6.18.2"], "is no limit or is refused"),
    ] {
        for files in [&[(FILE, line.as_str())][..], &[("etc/rc.local", script)]] {
            let tree = image(releases, files);
            assert_eq!(
                ids(&tree.document().1),
                [("sysctl-bad-value".into(), "error".into())].into(),
                "{releases:?}"
            );
            assert!(title(&tree).contains(words), "{releases:?}: {}", title(&tree));
            cured(&tree);
        }
        // If another line sets it, that one counts.
        let other = ("etc/sysctl.d/10-a.conf", &*set("max", "524288").leak());
        let tree = image(releases, &[(FILE, &line), other]);
        cured(&tree);
        assert_eq!(text(&tree, FILE), format!("# {line}"));
    }
}
