//! Trees of fixtures: files that are written, files that are left alone, and files that are read later.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::today::{CurrentValue, Today, all_held};
use super::{Order, prepare, text};
use crate::act::journal::{Baseline, Held};
use crate::core::model::{Netns, PersistDocument, Value};

fn found(key: &str, now: u64) -> CurrentValue {
    CurrentValue { key: format!("net.netfilter.nf_conntrack_{key}"), now, before: None }
}

/// Max, buckets and a timeout that are not the kernel's own, and one timeout that is.
fn today() -> Today {
    let values =
        [("max", 200_000), ("buckets", 25_600), ("tcp_timeout_established", 86_400), ("udp_timeout", 30)];
    let values = values.into_iter().map(|(name, now)| (name, found(name, now)));
    Today { values: values.collect(), host: true, built_in: false, events: true }
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, text).expect("written");
}

fn persist(root: &Path, today: &Today) -> PersistDocument {
    let root = root.canonicalize().expect("a root");
    let (document, changes) = prepare(&root, today).unwrap_or_else(|error| panic!("{error}"));
    changes.iter().for_each(|change| change.write().unwrap_or_else(|error| panic!("{error}")));
    document
}

fn lines(root: &Path, path: &str) -> Vec<String> {
    let text = fs::read_to_string(root.join(path)).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// Every file of a tree with its content.
fn snapshot(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("read").flatten() {
            let path = entry.path();
            match fs::symlink_metadata(&path).expect("there").is_dir() {
                true => directories.push(path),
                false => {
                    all.insert(path.display().to_string(), fs::read_to_string(&path).unwrap_or_default());
                }
            }
        }
    }
    all
}

#[test]
fn three_files_hold_what_is_not_the_kernels_own() {
    let tree = tempfile::tempdir().expect("a tree");
    let document = persist(tree.path(), &today());
    assert_eq!(lines(tree.path(), text::MODULES_LOAD), ["nf_conntrack"]);
    assert_eq!(lines(tree.path(), text::MODPROBE), ["options nf_conntrack hashsize=25600"]);
    let wanted = [
        "net.netfilter.nf_conntrack_max = 200000",
        "net.netfilter.nf_conntrack_tcp_timeout_established = 86400",
    ];
    assert_eq!(lines(tree.path(), text::SYSCTL), wanted);
    assert!(
        document.files.iter().all(|file| file.change == "new" && file.diff.starts_with("--- /dev/null\n"))
    );
    let mode = fs::metadata(tree.path().join(text::SYSCTL)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(document.overridden, []);
}

#[test]
fn again_it_changes_nothing_and_a_change_keeps_the_file_before() {
    let tree = tempfile::tempdir().expect("a tree");
    persist(tree.path(), &today());
    let before = snapshot(tree.path());
    let document = persist(tree.path(), &today());
    assert!(document.files.iter().all(|file| file.change == "unchanged" && file.diff.is_empty()));
    assert_eq!(snapshot(tree.path()), before, "idempotent");
    let mut other = today();
    other.values.insert("max", found("max", 300_000));
    let document = persist(tree.path(), &other);
    let changed: Vec<_> = document.files.iter().filter(|file| file.change == "changed").collect();
    let [file] = changed[..] else { panic!("{changed:?}") };
    assert!(
        file.diff
            .contains("-net.netfilter.nf_conntrack_max = 200000\n+net.netfilter.nf_conntrack_max = 300000")
    );
    let backup = file.backup.as_ref().expect("a backup");
    assert!(backup.ends_with("etc/sysctl.d/90-ctctl.conf.bak"), "{backup}");
    let sysctl = tree.path().canonicalize().expect("a root").join(text::SYSCTL).display().to_string();
    assert_eq!(fs::read_to_string(backup).expect("kept"), before[&sysctl]);
    let left: Vec<String> = snapshot(tree.path()).into_keys().filter(|path| path.ends_with(".tmp")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn what_only_an_emergency_made_is_not_written() {
    let tree = tempfile::tempdir().expect("a tree");
    let mut today = today();
    let held = |key: &str, now, before| CurrentValue { before: Some(before), ..found(key, now) };
    today.values.insert("max", held("max", 400_000, 200_000));
    today.values.insert("tcp_timeout_established", held("tcp_timeout_established", 7440, 432_000));
    today.values.insert("events", held("events", 1, 2));
    let document = persist(tree.path(), &today);
    let wanted = ["net.netfilter.nf_conntrack_max = 200000", "net.netfilter.nf_conntrack_events = 1"];
    assert_eq!(lines(tree.path(), text::SYSCTL), wanted);
    let max = document.values.iter().find(|row| row.name == "max").expect("max");
    assert!(max.reason.as_ref().is_some_and(|why| why.contains("400000 is the agent's")), "{max:?}");
    today.events = false;
    assert_eq!(persist(tree.path(), &today).values.len(), 2, "events go back to the kernel's own");
}

#[test]
fn what_any_owner_of_the_hosts_values_found_is_known() {
    let [state, host] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let baseline = |dir: &Path, inode, value: Value, found| {
        let mut baseline = Baseline::new("boot", Netns { name: None, inode });
        baseline.values.insert(value, Held::found(found));
        baseline.save(dir).expect("saved");
    };
    baseline(state.path(), 7, Value::named("udp_timeout").expect("a timeout"), 30);
    // The file belongs to no namespace.
    baseline(host.path(), 0, Value::Max, 200_000);
    let order = Order {
        root: "/".into(),
        dry_run: true,
        named: false,
        state_dir: state.path().into(),
        host_dir: host.path().into(),
        events: false,
    };
    let found = |inode| {
        let held = all_held(&order, "boot", inode).expect("readable");
        held.into_iter().map(|(name, held)| (name, held.found)).collect::<Vec<_>>()
    };
    assert_eq!(found(7), [(Value::Max, 200_000), (Value::named("udp_timeout").expect("a timeout"), 30)]);
    assert_eq!(found(8), [(Value::Max, 200_000)], "of another namespace");
}

#[test]
fn a_file_that_comes_later_is_named_and_left_as_it_is() {
    let tree = tempfile::tempdir().expect("a tree");
    let root = tree.path();
    put(
        root,
        "etc/sysctl.d/10-before.conf",
        "net.netfilter.nf_conntrack_max=1\nnet.netfilter.nf_conntrack_udp_timeout=60\n",
    );
    put(root, "usr/lib/sysctl.d/95-later.conf", "# x\n-net/netfilter/nf_conntrack_max = 65536\n");
    put(root, "run/sysctl.d/96-same.conf", "net.netfilter.nf_conntrack_max = 200000\n");
    put(root, "etc/sysctl.conf", "net.ipv4.ip_forward=1\nnet.nf_conntrack_max=131072\n");
    symlink("../sysctl.conf", root.join("etc/sysctl.d/99-sysctl.conf")).expect("a link");
    put(root, "etc/modprobe.d/aaa.conf", "options nf_conntrack hashsize=1\n");
    put(root, "etc/modprobe.d/nf.conf", "options nf-conntrack acct=1 hashsize=16384\n");
    put(root, "lib/modprobe.d/blacklist.conf", "blacklist nf_conntrack\n");
    put(root, "etc/ufw/ufw.conf", "ENABLED=yes\n");
    put(root, "etc/ufw/sysctl.conf", "net/netfilter/nf_conntrack_tcp_timeout_established=3600\n");
    let foreign = snapshot(root);
    let document = persist(root, &today());
    let found: Vec<(String, &str)> = document
        .overridden
        .iter()
        .map(|row| (row.name.clone(), row.place.strip_prefix(&document.root).unwrap_or(&row.place)))
        .collect();
    let wanted = [
        ("module", "/lib/modprobe.d/blacklist.conf:1"),
        ("buckets", "/etc/modprobe.d/nf.conf:1"),
        ("max", "/usr/lib/sysctl.d/95-later.conf:2"),
        ("max", "/etc/sysctl.conf:2"),
        ("tcp_timeout_established", "/etc/ufw/sysctl.conf:1"),
    ];
    assert_eq!(found, wanted.map(|(name, place)| (name.to_owned(), place)));
    // An earlier file sets another value, so the kernel's default has to be written.
    assert!(lines(root, text::SYSCTL).contains(&"net.netfilter.nf_conntrack_udp_timeout = 30".to_owned()));
    let after = snapshot(root);
    foreign.iter().for_each(|(path, text)| assert_eq!(after.get(path), Some(text), "{path} was touched"));
}

#[test]
fn a_foreign_file_in_the_place_of_ours_stays() {
    let tree = tempfile::tempdir().expect("a tree");
    let root = tree.path().canonicalize().expect("a root");
    put(&root, text::SYSCTL, "net.netfilter.nf_conntrack_max = 5\n");
    let before = snapshot(&root);
    let error = prepare(&root, &today()).expect_err("refused");
    assert_eq!(error.exit as u8, 1, "{error}");
    fs::remove_file(root.join(text::SYSCTL)).expect("removed");
    symlink("/dev/null", root.join(text::SYSCTL)).expect("masked");
    assert!(prepare(&root, &today()).is_err(), "a mask is the operator's wish");
    assert_eq!(before.len(), snapshot(&root).len());
}

#[test]
fn a_link_in_an_image_does_not_lead_to_this_machines_files() {
    let (tree, machine) = (tempfile::tempdir().expect("a tree"), tempfile::tempdir().expect("another"));
    fs::create_dir(tree.path().join("etc")).expect("made");
    symlink(machine.path(), tree.path().join("etc/sysctl.d")).expect("a link");
    let root = tree.path().canonicalize().expect("a root");
    assert!(prepare(&root, &today()).expect_err("refused").why.contains("out of the root"));
    assert_eq!(snapshot(machine.path()).len(), 0);
    // A file's absolute link is meant below the root: this machine's own 99-x.conf is not looked at.
    let tree = tempfile::tempdir().expect("a tree");
    put(machine.path(), "x", "net.netfilter.nf_conntrack_max = 7\n");
    put(tree.path(), "etc/sysctl.d/98-y.conf", "");
    symlink(machine.path().join("x"), tree.path().join("etc/sysctl.d/99-x.conf")).expect("a link");
    assert_eq!(persist(tree.path(), &today()).overridden, []);
}

#[test]
fn built_into_the_kernel_the_buckets_are_a_sysctl_and_elsewhere_host_values_are_left_out() {
    let tree = tempfile::tempdir().expect("a tree");
    let document = persist(tree.path(), &Today { built_in: true, ..today() });
    assert_eq!(lines(tree.path(), text::SYSCTL)[0], "net.netfilter.nf_conntrack_buckets = 25600");
    assert!(document.notes[0].contains("nf_conntrack.hashsize=25600"), "{:?}", document.notes);
    assert!(!tree.path().join(text::MODPROBE).exists(), "nothing reads it there");
    // A file of an earlier run is removed and kept as a backup; one of another program stays.
    let tree = tempfile::tempdir().expect("a tree");
    persist(tree.path(), &today());
    let ours = tree.path().join(text::MODPROBE);
    let before = fs::read_to_string(&ours).expect("written");
    let document = persist(tree.path(), &Today { built_in: true, ..today() });
    let removed: Vec<_> = document.files.iter().filter(|file| file.change == "removed").collect();
    let [file] = removed[..] else { panic!("{:?}", document.files) };
    assert!(!ours.exists() && file.diff.contains("-options nf_conntrack hashsize=25600"), "{file:?}");
    assert_eq!(fs::read_to_string(file.backup.as_ref().expect("a backup")).expect("kept"), before);
    fs::write(&ours, "options nf_conntrack acct=1\n").expect("somebody else's");
    let document = persist(tree.path(), &Today { built_in: true, ..today() });
    assert!(
        ours.exists() && document.files.iter().all(|file| file.change == "unchanged"),
        "{:?}",
        document.files
    );
    let tree = tempfile::tempdir().expect("a tree");
    let mut container = Today { host: false, ..today() };
    container.values.retain(|name, _| !["max", "buckets"].contains(name));
    persist(tree.path(), &container);
    let files: Vec<String> = snapshot(tree.path()).into_keys().collect();
    assert!(files.len() == 1 && files[0].ends_with(text::SYSCTL), "{files:?}");
}

#[test]
fn a_hosts_file_is_not_written_over_from_another_namespace() {
    let root = tempfile::tempdir().expect("a directory");
    for change in &prepare(root.path(), &today()).expect("a host's").1 {
        change.write().expect("written");
    }
    let container = Today { host: false, ..today() };
    let error = prepare(root.path(), &container).map(|_| ()).expect_err("another namespace's");
    assert!(error.to_string().contains("holds the values of a host"), "{error}");
}
