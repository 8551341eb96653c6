use std::collections::BTreeMap;

use super::super::Held;
use super::*;
use crate::act::journal::SharedDisk;
use crate::core::model::{Netns, Value};

const BOOT: &str = "11111111-2222-3333-4444-555555555555";
const NAME: Value = Value::ESTABLISHED;

fn netns() -> Netns {
    Netns { name: Some("gw".into()), inode: 7 }
}

fn keeper(dir: &Path, host: Option<&Path>) -> Keeper {
    let values: BTreeMap<Value, u64> = [(Value::Max, 100_000), (NAME, 432_000)].into();
    let mut keeper =
        Keeper::take((dir, host), BOOT, &netns(), &values, false, &SharedDisk::of_this_process()).unwrap().0;
    keeper.entrust(Records::start(SharedDisk::of_this_process(), || ()).unwrap());
    keeper
}

fn ready(keeper: &mut Keeper, name: Value, values: (u64, u64)) {
    keeper.prepare(name, values, None);
    keeper.settle(Duration::from_secs(30));
    assert_eq!(keeper.prepare(name, values, None), Readiness::Ready);
}

fn on_disk(dir: &Path) -> BTreeMap<Value, Held> {
    Baseline::peek(dir, BOOT, 7).expect("it matches its checksum").values
}

#[test]
fn a_value_is_ready_once_its_record_is_on_disk_and_no_hand_is_seen_in_it() {
    let (dir, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut keeper = keeper(dir.path(), Some(host.path()));
    ready(&mut keeper, Value::Max, (100_000, 150_000));
    ready(&mut keeper, NAME, (432_000, 7440));
    let held = on_disk(dir.path())[&NAME];
    assert_eq!((held.found, held.written, held.before), (432_000, Some(7440), Some(432_000)));
    let hosts = Baseline::peek(host.path(), BOOT, 0).expect("beside the lease").values;
    assert_eq!((hosts.len(), hosts[&Value::Max].written), (1, Some(150_000)));
    // The kernel has the old ones still: nobody changed them, and nothing is held.
    let now = [(Value::Max, 100_000), (NAME, 432_000)].into();
    assert!(keeper.notice(&now, Vec::new).is_empty() && keeper.is_clear());
    assert_eq!(
        (keeper.prepared(Value::Max, 100_000), keeper.prepared(Value::Max, 99)),
        (Some(150_000), None)
    );
    keeper.will_write(NAME, 432_000, 7440).unwrap();
    assert!(!keeper.is_clear() && keeper.prepared(NAME, 432_000).is_none());
    // What is not to be written after all is taken back from the files.
    assert_eq!(keeper.withdraw(|_| false), [Value::Max]);
    keeper.settle(Duration::from_secs(30));
    assert_eq!(
        (on_disk(dir.path())[&Value::Max].written, on_disk(dir.path())[&NAME].written),
        (None, Some(7440))
    );
    assert!(!Baseline::path(host.path()).exists());
}

#[test]
fn without_a_record_a_value_is_not_ready_and_is_so_as_soon_as_there_is_one() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("state");
    let mut keeper = keeper(&dir, None);
    keeper.settle(Duration::from_secs(30));
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::write(&dir, "a file in the way").unwrap();
    keeper.prepare(NAME, (432_000, 7440), None);
    keeper.settle(Duration::from_secs(30));
    let Readiness::Failed(why) = keeper.prepare(NAME, (432_000, 7440), None) else { panic!("no record") };
    assert!(
        keeper.trouble().is_some_and(|trouble| trouble.contains(&why)) && keeper.hangs_back(Duration::MAX)
    );
    std::fs::remove_file(&dir).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while keeper.prepare(NAME, (432_000, 7440), None) != Readiness::Ready && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(on_disk(&dir)[&NAME].written, Some(7440));
    assert_eq!(keeper.trouble(), None);
}

#[test]
fn the_end_of_an_agent_that_holds_nothing_leaves_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = keeper(dir.path(), None);
    ready(&mut keeper, NAME, (432_000, 7440));
    keeper.close();
    keeper.finish(Duration::from_secs(30)).unwrap();
    assert!(!Baseline::path(dir.path()).exists());
}

#[test]
fn a_directory_that_is_removed_while_a_value_is_held_costs_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = keeper(dir.path(), None);
    ready(&mut keeper, NAME, (432_000, 7440));
    keeper.will_write(NAME, 432_000, 7440).unwrap();
    keeper.settle(Duration::from_secs(30));
    std::fs::remove_dir_all(dir.path()).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while Baseline::peek(dir.path(), BOOT, 7).is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(on_disk(dir.path())[&NAME].written, Some(7440));
}
