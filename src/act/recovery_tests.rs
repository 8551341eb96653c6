use std::cell::RefCell;
use std::io;

use super::*;
use crate::error::Exit;

const BOOT: &str = "11111111-2222-3333-4444-555555555555";

fn netns(inode: u64) -> Netns {
    Netns { name: Some("gw".into()), inode }
}

fn values(pairs: &[(Value, u64)]) -> BTreeMap<Value, u64> {
    pairs.iter().map(|(name, value)| (*name, *value)).collect()
}

/// A kernel of two values that may refuse.
#[derive(Default)]
struct Kernel {
    values: RefCell<BTreeMap<Value, u64>>,
    refuses: bool,
    unreadable: bool,
}

impl Kernel {
    fn of(pairs: &[(Value, u64)]) -> Self {
        Kernel { values: RefCell::new(values(pairs)), ..Kernel::default() }
    }

    fn now(&self, name: Value) -> u64 {
        self.values.borrow()[&name]
    }
}

impl Values for Kernel {
    fn read(&self, name: Value) -> io::Result<u64> {
        let value = self.values.borrow().get(&name).copied().filter(|_| !self.unreadable);
        value.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    fn write(&self, name: Value, value: u64) -> io::Result<u64> {
        if self.refuses {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        self.values.borrow_mut().insert(name, value);
        Ok(value)
    }
}

const FOUND: [(Value, u64); 2] = [(Value::Max, 100_000), (Value::ESTABLISHED, 432_000)];

fn start(dir: &Path, now: &[(Value, u64)]) -> (Keeper, Vec<Draft>) {
    Keeper::take((dir, None), BOOT, &netns(7), &values(now), false, &SharedDisk::of_this_process()).unwrap()
}

/// An agent that raised max and shortened a timeout, and the kernel that holds both.
fn at_work(dir: &Path) -> (Keeper, Kernel) {
    let (mut keeper, _) = start(dir, &FOUND);
    keeper.will_write(Value::Max, 100_000, 150_000).unwrap();
    keeper.will_write(Value::ESTABLISHED, 432_000, 7440).unwrap();
    (keeper, Kernel::of(&[(Value::Max, 150_000), (Value::ESTABLISHED, 7440)]))
}

fn results(rows: &[RevertRow]) -> Vec<(&str, u64, u64, &str)> {
    rows.iter().map(|row| (row.name.as_str(), row.from, row.to, row.result.as_str())).collect()
}

#[test]
fn the_first_start_finds_what_is_there_and_puts_it_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, notes) = start(dir.path(), &FOUND);
    assert!(notes.is_empty() && keeper.is_clear());
    assert_eq!(keeper.baseline(), values(&FOUND));
    assert_eq!(Keeper::found(dir.path(), BOOT, &netns(7)).unwrap().baseline(), values(&FOUND));
}

#[test]
fn a_start_after_a_crash_keeps_what_was_found_first() {
    let dir = tempfile::tempdir().unwrap();
    drop(at_work(dir.path()));
    let (keeper, notes) = start(dir.path(), &[(Value::Max, 150_000), (Value::ESTABLISHED, 7440)]);
    assert_eq!(keeper.baseline(), values(&FOUND));
    let mut said: Vec<&str> = notes.iter().map(|note| note.reason.as_str()).collect();
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "an earlier agent left max at 150000; it was 100000 before",
            "an earlier agent left tcp_timeout_established at 7440; it was 432000 before"
        ]
    );
    let kernel = Kernel::of(&[(Value::Max, 150_000), (Value::ESTABLISHED, 7440)]);
    let mut again = start(dir.path(), &[(Value::Max, 150_000), (Value::ESTABLISHED, 7440)]).0;
    again.restore(&kernel, 1000, 75.0, false);
    assert_eq!((kernel.now(Value::Max), kernel.now(Value::ESTABLISHED)), (100_000, 432_000));
}

#[test]
fn a_crash_between_the_record_and_the_write_leaves_nothing_held() {
    let dir = tempfile::tempdir().unwrap();
    drop(at_work(dir.path()));
    let (keeper, notes) = start(dir.path(), &FOUND);
    assert!(keeper.is_clear() && notes.is_empty());
    assert_eq!(keeper.baseline(), values(&FOUND));
}

/// One more raise and the way back were recorded, and the agent was killed before the kernel had them.
fn killed_before_a_second_write(dir: &Path) -> Kernel {
    let (mut keeper, kernel) = at_work(dir);
    keeper.will_write(Value::Max, 150_000, 225_000).unwrap();
    keeper.will_write(Value::ESTABLISHED, 7440, 432_000).unwrap();
    kernel
}

#[test]
fn a_crash_before_a_second_write_keeps_what_was_found_first() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = killed_before_a_second_write(dir.path());
    let now = kernel.values.borrow().clone();
    let (mut keeper, notes) =
        Keeper::take((dir.path(), None), BOOT, &netns(7), &now, false, &SharedDisk::of_this_process())
            .unwrap();
    assert_eq!((keeper.baseline(), notes.len()), (values(&FOUND), 2));
    assert!(keeper.notice(&now, Vec::new).is_empty(), "no other hand did this");
    keeper.restore(&kernel, 1000, 75.0, false);
    assert_eq!(*kernel.values.borrow(), values(&FOUND));
}

#[test]
fn revert_without_an_agent_knows_a_write_that_never_came() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = killed_before_a_second_write(dir.path());
    let mut keeper = Keeper::found(dir.path(), BOOT, &netns(7)).unwrap();
    let rows = keeper.restore(&kernel, 1000, 75.0, false);
    assert!(rows.len() == 2 && rows.iter().all(|row| row.result == "restored"), "{rows:?}");
    assert_eq!(*kernel.values.borrow(), values(&FOUND));
}

#[test]
fn what_someone_set_while_no_agent_ran_is_the_new_baseline() {
    let dir = tempfile::tempdir().unwrap();
    drop(at_work(dir.path()));
    let (keeper, _) = start(dir.path(), &[(Value::Max, 300_000), (Value::ESTABLISHED, 7440)]);
    assert_eq!(keeper.baseline()[&Value::Max], 300_000);
    assert_eq!(keeper.baseline()[&Value::ESTABLISHED], 432_000);
}

#[test]
fn a_baseline_of_another_boot_or_namespace_is_set_aside_and_said() {
    for (boot, inode, why) in
        [("99999999-0-0-0-0", 7, "earlier boot"), (BOOT, 8, "another network namespace")]
    {
        let dir = tempfile::tempdir().unwrap();
        drop(at_work(dir.path()));
        let now = values(&[(Value::Max, 150_000)]);
        let (keeper, notes) = Keeper::take(
            (dir.path(), None),
            boot,
            &netns(inode),
            &now,
            false,
            &SharedDisk::of_this_process(),
        )
        .unwrap();
        assert_eq!(keeper.baseline(), now);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].reason.contains(why), "{}", notes[0].reason);
    }
}

#[test]
fn a_dry_run_writes_no_baseline() {
    let dir = tempfile::tempdir().unwrap();
    let (mut keeper, _) = Keeper::take(
        (dir.path(), None),
        BOOT,
        &netns(7),
        &values(&FOUND),
        true,
        &SharedDisk::of_this_process(),
    )
    .unwrap();
    keeper.will_write(Value::Max, 100_000, 150_000).unwrap();
    keeper.close();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn without_a_durable_baseline_there_is_no_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    std::fs::write(&file, "a file, no directory").unwrap();
    let error =
        Keeper::take((&file, None), BOOT, &netns(7), &values(&FOUND), false, &SharedDisk::of_this_process())
            .unwrap_err();
    assert_eq!(error.exit, Exit::Unreachable);
    assert!(error.hint.is_some());
}

#[test]
fn revert_without_a_baseline_has_nothing_to_revert_and_another_namespaces_is_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = Keeper::found(dir.path(), BOOT, &netns(7)).unwrap();
    assert!(nothing.baseline().is_empty() && nothing.is_clear());
    drop(at_work(dir.path()));
    let error = Keeper::found(dir.path(), BOOT, &netns(8)).unwrap_err();
    assert_eq!(error.exit, Exit::No);
    assert!(error.to_string().contains("set aside"), "{error}");
}

#[test]
fn what_is_still_as_the_agent_wrote_it_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut keeper, kernel) = at_work(dir.path());
    let rows = keeper.restore(&kernel, 75_000, 75.0, false);
    assert_eq!(
        results(&rows),
        [("max", 150_000, 100_000, "restored"), ("tcp_timeout_established", 7440, 432_000, "restored")]
    );
    assert_eq!((kernel.now(Value::Max), kernel.now(Value::ESTABLISHED)), (100_000, 432_000));
    assert!(keeper.is_clear());
    assert!(keeper.restore(&kernel, 0, 75.0, false).is_empty(), "once");
}

#[test]
fn max_waits_while_the_table_is_too_full_for_it_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let (mut keeper, kernel) = at_work(dir.path());
    let rows = keeper.restore(&kernel, 75_001, 75.0, false);
    assert_eq!(results(&rows)[0], ("max", 150_000, 100_000, "waits"));
    assert!(rows[0].reason.as_ref().unwrap().contains("75001 entries are more than 75 % of 100000"));
    assert_eq!((kernel.now(Value::Max), kernel.now(Value::ESTABLISHED)), (150_000, 432_000));
    assert!(!keeper.is_clear());
    keeper.close();
    let mut later = Keeper::found(dir.path(), BOOT, &netns(7)).unwrap();
    let rows = later.restore(&kernel, 75_001, 75.0, true);
    assert_eq!(results(&rows), [("max", 150_000, 100_000, "restored")]);
}

#[test]
fn what_someone_else_set_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (mut keeper, kernel) = at_work(dir.path());
    kernel.write(Value::Max, 500_000).unwrap();
    let rows = keeper.restore(&kernel, 1000, 75.0, true);
    assert_eq!(results(&rows)[0], ("max", 500_000, 100_000, "left"));
    assert_eq!(kernel.now(Value::Max), 500_000);
    assert!(keeper.is_clear());
}

#[test]
fn what_the_kernel_refuses_stays_held() {
    let dir = tempfile::tempdir().unwrap();
    for broken in [|k: &mut Kernel| k.refuses = true, |k: &mut Kernel| k.unreadable = true] {
        let (mut keeper, mut kernel) = at_work(dir.path());
        broken(&mut kernel);
        let rows = keeper.restore(&kernel, 1000, 75.0, false);
        assert!(rows.len() == 2 && rows.iter().all(|row| row.result == "failed" && row.reason.is_some()));
        assert!(!keeper.is_clear());
    }
}

#[test]
fn what_was_put_back_already_is_no_news() {
    let dir = tempfile::tempdir().unwrap();
    let (mut keeper, _) = at_work(dir.path());
    assert!(keeper.restore(&Kernel::of(&FOUND), 1000, 75.0, false).is_empty());
    assert!(keeper.is_clear());
}

#[test]
fn another_hand_is_noticed_once_and_respected() {
    let dir = tempfile::tempdir().unwrap();
    let (mut keeper, kernel) = at_work(dir.path());
    assert!(keeper.notice(&kernel.values.borrow(), Vec::new).is_empty(), "its own values are no news");
    let notes = keeper.notice(
        &values(&[(Value::Max, 500_000), (Value::ESTABLISHED, 432_000), (Value::Events, 1)]),
        Vec::new,
    );
    let said: Vec<&str> = notes.iter().map(|note| note.draft.reason.as_str()).collect();
    assert_eq!(
        said,
        [
            "max was changed from 150000 to 500000 by someone else: that is its baseline now, and it stays so until it \
             has been calm or the table is full",
            "tcp_timeout_established was put back to 432000, as it was found, by someone else; it had been set to 7440, \
             and will be again after 1, 5, then 15 min of pressure"
        ]
    );
    assert_eq!((notes[0].draft.from, notes[0].draft.to), (Some(150_000), Some(500_000)));
    assert_eq!(keeper.baseline()[&Value::Max], 500_000);
    assert!(keeper.is_clear());
    assert!(
        keeper.notice(&values(&[(Value::Max, 500_000), (Value::ESTABLISHED, 432_000)]), Vec::new).is_empty()
    );
    assert_eq!(Keeper::found(dir.path(), BOOT, &netns(7)).unwrap().baseline()[&Value::Max], 500_000);
}

#[test]
fn a_write_that_failed_is_taken_back_from_the_record() {
    let dir = tempfile::tempdir().unwrap();
    let (mut keeper, _) = at_work(dir.path());
    keeper.will_write(Value::Max, 150_000, 225_000).unwrap();
    keeper.unwritten(Value::Max, 150_000);
    keeper.unwritten(Value::ESTABLISHED, 432_000);
    let kernel = Kernel::of(&[(Value::Max, 150_000), (Value::ESTABLISHED, 432_000)]);
    assert!(keeper.notice(&kernel.values.borrow(), Vec::new).is_empty());
    let rows = keeper.restore(&kernel, 1000, 75.0, false);
    assert_eq!(results(&rows), [("max", 150_000, 100_000, "restored")]);
}

#[test]
fn a_baseline_that_holds_nothing_is_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut keeper, _) = at_work(dir.path());
    keeper.close();
    let held = || Keeper::found(dir.path(), BOOT, &netns(7)).unwrap().baseline();
    assert!(!held().is_empty(), "it holds something");
    keeper.released(Value::Max);
    keeper.released(Value::ESTABLISHED);
    keeper.close();
    assert!(held().is_empty());
}

#[test]
fn what_an_earlier_agent_holds_is_not_forgotten_by_one_that_may_not_write_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_, kernel) = at_work(dir.path());
    let mut mine = kernel.values.borrow().clone();
    mine.remove(&Value::Max);
    drop(
        Keeper::take((dir.path(), None), BOOT, &netns(7), &mine, false, &SharedDisk::of_this_process())
            .unwrap(),
    );
    assert_eq!(Keeper::found(dir.path(), BOOT, &netns(7)).unwrap().baseline()[&Value::Max], 100_000);
}

#[test]
fn nothing_to_put_back_is_said_of_what_is_known_alone() {
    let dir = tempfile::tempdir().unwrap();
    let found = || Keeper::found(dir.path(), BOOT, &netns(7));
    assert!(found().is_ok(), "no agent was ever here");
    let seen =
        TimeoutsSeen { boot_id: BOOT.into(), inode: 7, watcher: Some((17, 1200)), ..Default::default() };
    let write = |seen: &TimeoutsSeen| std::fs::write(TimeoutsSeen::path(dir.path()), seen.text()).unwrap();
    write(&seen);
    let error = found().unwrap_err();
    assert_eq!(error.exit, Exit::No);
    assert!(error.to_string().contains("did not end in order, and its baseline is gone"), "{error}");
    write(&TimeoutsSeen { watcher: None, last_look_seconds: Some(5), ..seen });
    assert!(found().is_ok(), "it put back what it held");
    std::fs::write(Baseline::path(dir.path()), "{}").unwrap();
    // The first one sets it aside.
    for _ in 0..2 {
        let error = found().unwrap_err();
        assert!(error.to_string().contains("set aside as"), "{error}");
    }
}
