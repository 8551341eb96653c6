use std::os::unix::fs::PermissionsExt;

use super::super::{Baseline, Loaded};
use super::*;

const INODE: u64 = 4_026_531_840;

fn taken() -> Baseline {
    let mut baseline = Baseline::new(BOOT, netns());
    baseline.will_write(Value::Max, 65_536, 131_072);
    baseline.will_write(Value::ESTABLISHED, 432_000, 86_400);
    baseline
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Loads, and expects that the file is set aside under this name, for this reason.
fn expect_aside(dir: &Path, boot_id: &str, inode: u64, name: &str, reason: &str) {
    match Baseline::load(dir, boot_id, inode) {
        Loaded::SetAside { path, why } => {
            assert_eq!(path, dir.join(name));
            assert!(why.contains(reason), "{why}");
            assert!(path.exists() && !dir.join("baseline.json").exists());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_saved_is_loaded_by_its_own_boot_and_namespace() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("state");
    assert!(matches!(Baseline::load(&dir, BOOT, INODE), Loaded::None));
    let mut baseline = taken();
    baseline.save(&dir).unwrap();
    baseline.will_write(Value::Max, 131_072, 262_144);
    assert_eq!(
        (baseline.values[&Value::Max].found, baseline.values[&Value::Max].written),
        (65_536, Some(262_144))
    );
    baseline.save_before_write(&dir).unwrap();
    match Baseline::load(&dir, BOOT, INODE) {
        Loaded::Ours(loaded) => assert_eq!(loaded, baseline),
        other => panic!("{other:?}"),
    }
    assert_eq!(names(&dir), ["baseline.json"]);
    assert_eq!(fs::metadata(dir.join("baseline.json")).unwrap().permissions().mode() & 0o777 & !0o640, 0);
}

#[test]
fn another_boot_or_namespace_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let name = |number: u32| format!("baseline.json.{BOOT}-{number}");
    taken().save(dir.path()).unwrap();
    expect_aside(dir.path(), "0f0e0d0c-0000-0000-0000-000000000000", INODE, &name(1), "boot");
    taken().save(dir.path()).unwrap();
    expect_aside(dir.path(), BOOT, INODE + 1, &name(2), "namespace");
    assert!(matches!(Baseline::load(dir.path(), BOOT, INODE), Loaded::None));
}

#[test]
fn what_does_not_parse_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let good = serde_json::to_string(&taken()).unwrap();
    let path_in_a_name = good.replace("\"max\"", "\"../../kernel/core_pattern\"");
    let later = good.replace("\"schema\":1", "\"schema\":2");
    let broken = [&good[..good.len() / 2], "", "[]", "\u{0}", &path_in_a_name, &later];
    for (number, text) in broken.iter().enumerate() {
        fs::write(dir.path().join("baseline.json"), text).unwrap();
        expect_aside(dir.path(), BOOT, INODE, &format!("baseline.json.broken-{}", number + 1), "broken");
    }
    fs::create_dir(dir.path().join("baseline.json")).unwrap();
    expect_aside(dir.path(), BOOT, INODE, "baseline.json.broken-7", "broken");
    // A boot id that would be a path is not one.
    fs::write(dir.path().join("baseline.json"), good.replace(BOOT, "../../etc")).unwrap();
    expect_aside(dir.path(), BOOT, INODE, "baseline.json.broken-8", "boot");
}

#[test]
fn the_newest_four_set_aside_are_kept_and_nothing_else_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    for foreign in ["baseline.json.bak", "baseline.json.mine-1", "baseline.json.rpmsave", "notes-1"] {
        fs::write(dir.path().join(foreign), "").unwrap();
    }
    for _ in 0..12 {
        fs::write(dir.path().join("baseline.json"), "rubbish").unwrap();
        Baseline::load(dir.path(), BOOT, INODE);
    }
    let expected = [
        "baseline.json.bak",
        "baseline.json.broken-10",
        "baseline.json.broken-11",
        "baseline.json.broken-12",
        "baseline.json.broken-9",
        "baseline.json.mine-1",
        "baseline.json.rpmsave",
        "notes-1",
    ];
    assert_eq!(names(dir.path()), expected);
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let text = serde_json::to_string(&taken()).unwrap();
    let text = text.replacen("{\"schema\":1", "{\"later\":{\"a\":[1]},\"schema\":1", 1);
    let text = text.replace("\"found\":65536", "\"found\":65536,\"unit\":\"entries\"");
    fs::write(dir.path().join("baseline.json"), text).unwrap();
    match Baseline::load(dir.path(), BOOT, INODE) {
        Loaded::Ours(loaded) => assert_eq!(loaded.values, taken().values),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_save_that_fails_leaves_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    taken().save(dir.path()).unwrap();
    let before = fs::read(dir.path().join("baseline.json")).unwrap();
    std::os::unix::fs::symlink("/dev/full", dir.path().join("baseline.json.tmp")).unwrap();
    let mut changed = taken();
    changed.will_write(Value::Buckets, 1, 2);
    let error = changed.save_before_write(dir.path()).unwrap_err();
    assert!(error.why.contains("No space left") && error.hint.is_some(), "{error}");
    assert_eq!(fs::read(dir.path().join("baseline.json")).unwrap(), before);
    assert_eq!(names(dir.path()), ["baseline.json"]);
    changed.save(dir.path()).unwrap();
}

#[test]
fn a_baseline_that_cannot_be_read_is_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("baseline.json");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert!(matches!(Baseline::load(dir.path(), BOOT, INODE), Loaded::Unreadable(_)));
    assert!(fs::symlink_metadata(&path).is_ok());
}

#[test]
fn one_changed_digit_is_refused_and_a_file_of_an_earlier_version_is_not() {
    let dir = tempfile::tempdir().unwrap();
    taken().save(dir.path()).unwrap();
    let good = fs::read_to_string(dir.path().join("baseline.json")).unwrap();
    fs::write(dir.path().join("baseline.json"), good.replace("432000", "432001")).unwrap();
    assert_eq!(Baseline::peek(dir.path(), BOOT, INODE), None);
    expect_aside(dir.path(), BOOT, INODE, "baseline.json.broken-1", "checksum does not match");
    let earlier = serde_json::to_string_pretty(&taken()).unwrap();
    fs::write(dir.path().join("baseline.json"), earlier).unwrap();
    assert!(matches!(Baseline::load(dir.path(), BOOT, INODE), Loaded::Ours(_)));
}
