//! Two agents and one max; files of sysctl.d.

use super::*;
use crate::act::executor::Values;
use crate::act::journal::Baseline;
use crate::core::model::{ConfiguredValue, Drift, Value};

const BOOT: &str = "11111111-2222-3333-4444-555555555555";

fn netns(inode: u64) -> Netns {
    Netns { name: None, inode }
}

fn values(pairs: &[(Value, u64)]) -> BTreeMap<Value, u64> {
    pairs.iter().map(|(name, value)| (*name, *value)).collect()
}

/// A state directory for each of two namespaces, and the directory of the lease.
struct Host {
    dirs: [tempfile::TempDir; 2],
    lease: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let dir = || tempfile::tempdir().unwrap();
        Host { dirs: [dir(), dir()], lease: dir() }
    }

    fn agent(&self, n: usize, boot: &str, now: &[(Value, u64)]) -> (Keeper, Vec<Draft>) {
        let places = (self.dirs[n].path(), Some(self.lease.path()));
        Keeper::take(places, boot, &netns(n as u64), &values(now), false, &SharedDisk::of_this_process())
            .unwrap()
    }

    fn held(&self) -> Option<Baseline> {
        Baseline::peek(self.lease.path(), BOOT, 0)
    }

    /// The first agent raised max and was killed.
    fn killed(&self) {
        let (mut first, _) = self.agent(
            0,
            BOOT,
            &[(Value::Max, 100_000), (Value::named("udp_timeout").expect("a timeout"), 30)],
        );
        assert!(self.held().is_none(), "nothing is held yet");
        first.will_write(Value::Max, 100_000, 150_000).unwrap();
        first.will_write(Value::named("udp_timeout").expect("a timeout"), 30, 20).unwrap();
    }
}

#[test]
fn what_is_the_hosts_lies_beside_the_lease_and_nothing_else() {
    let host = Host::new();
    host.killed();
    let held = host.held().unwrap().values;
    assert_eq!(held.keys().collect::<Vec<_>>(), [&Value::Max]);
    assert_eq!((held[&Value::Max].found, held[&Value::Max].written), (100_000, Some(150_000)));
}

#[test]
fn the_next_owner_puts_back_what_the_first_one_found() {
    let host = Host::new();
    host.killed();
    // One that starts as the owner.
    let (mut next, notes) = host.agent(1, BOOT, &[(Value::Max, 150_000)]);
    assert_eq!(notes[0].reason, "an earlier agent left max at 150000; it was 100000 before");
    assert_eq!(next.baseline()[&Value::Max], 100_000);
    next.released(Value::Max);
    assert!(host.held().is_none(), "back, and no longer held");
}

#[test]
fn one_that_becomes_the_owner_later_knows_it_too() {
    let host = Host::new();
    host.killed();
    let (mut next, notes) = host.agent(1, BOOT, &[(Value::named("udp_timeout").expect("a timeout"), 30)]);
    assert!(notes.is_empty() && !next.baseline().contains_key(&Value::Max), "max is another's");
    let noticed = next.notice(
        &values(&[
            (Value::Buckets, 512),
            (Value::Max, 150_000),
            (Value::named("udp_timeout").expect("a timeout"), 30),
        ]),
        Vec::new,
    );
    assert_eq!(noticed.len(), 1, "{noticed:?}");
    assert_eq!((noticed[0].drift, next.baseline()[&Value::Max]), (Drift::Own, 100_000));
    assert!(next.notice(&values(&[(Value::Buckets, 512), (Value::Max, 150_000)]), Vec::new).is_empty());
    next.will_write(Value::Max, 150_000, 225_000).unwrap();
    assert_eq!(host.held().unwrap().values[&Value::Max].found, 100_000);
    // The first one's namespace gets an agent again: max is no longer its to put back.
    let (first, _) = host.agent(0, BOOT, &[(Value::named("udp_timeout").expect("a timeout"), 20)]);
    assert!(!first.baseline().contains_key(&Value::Max));
    assert_eq!(first.baseline()[&Value::named("udp_timeout").expect("a timeout")], 30);
}

#[test]
fn what_passes_between_two_namespaces_of_an_agent_is_put_back_by_the_one_that_has_it() {
    let host = Host::new();
    let (mut first, _) = host.agent(
        0,
        BOOT,
        &[
            (Value::Max, 100_000),
            (Value::Buckets, 512),
            (Value::named("udp_timeout").expect("a timeout"), 30),
        ],
    );
    let (mut second, _) = host.agent(1, BOOT, &[(Value::named("udp_timeout").expect("a timeout"), 30)]);
    first.will_write(Value::Max, 100_000, 150_000).unwrap();
    assert!(!second.give_up_host() && first.give_up_host() && !first.give_up_host());
    assert_eq!(
        first.baseline().into_keys().collect::<Vec<_>>(),
        [Value::named("udp_timeout").expect("a timeout")]
    );
    assert!(first.is_clear(), "nothing of it is put back here");
    assert_eq!(host.held().unwrap().values[&Value::Max].found, 100_000, "it lies beside the lease");
    second.notice(
        &values(&[
            (Value::Buckets, 512),
            (Value::Max, 150_000),
            (Value::named("udp_timeout").expect("a timeout"), 30),
        ]),
        Vec::new,
    );
    second.will_write(Value::Max, 150_000, 225_000).unwrap();
    assert_eq!(second.baseline()[&Value::Max], 100_000);
    // And back: what was set meanwhile is nobody else's hand.
    assert!(second.give_up_host());
    let noticed = first.notice(
        &values(&[
            (Value::Buckets, 512),
            (Value::Max, 225_000),
            (Value::named("udp_timeout").expect("a timeout"), 30),
        ]),
        Vec::new,
    );
    assert_eq!(noticed.iter().map(|n| n.drift).collect::<Vec<_>>(), [Drift::Own], "{noticed:?}");
    assert_eq!(first.baseline()[&Value::Max], 100_000);
    first.released(Value::Max);
    assert!(host.held().is_none() && second.is_clear());
}

#[test]
fn what_somebody_set_meanwhile_or_another_boot_held_is_not_adopted() {
    let host = Host::new();
    host.killed();
    let (next, notes) = host.agent(1, BOOT, &[(Value::Max, 300_000)]);
    assert_eq!((next.baseline()[&Value::Max], notes.len()), (300_000, 0));
    let host = Host::new();
    host.killed();
    let (next, notes) = host.agent(1, "99999999-0-0-0-0", &[(Value::Max, 150_000)]);
    assert_eq!(next.baseline()[&Value::Max], 150_000);
    assert!(notes[0].reason.contains("set aside") && notes[0].reason.contains("earlier boot"), "{notes:?}");
}

#[test]
fn a_broken_file_is_set_aside_with_a_word_and_written_anew() {
    let host = Host::new();
    std::fs::write(host.lease.path().join("baseline.json"), "{\"schema\": 1,").unwrap();
    let (mut agent, notes) = host.agent(0, BOOT, &[(Value::Max, 100_000)]);
    assert!(notes[0].reason.contains("broken"), "{notes:?}");
    agent.will_write(Value::Max, 100_000, 150_000).unwrap();
    assert_eq!(host.held().unwrap().values[&Value::Max].found, 100_000);
}

#[test]
fn revert_without_an_agent_takes_the_hosts_file_along() {
    let host = Host::new();
    host.killed();
    let mut keeper = Keeper::found(host.dirs[0].path(), BOOT, &netns(0)).unwrap().beside(host.lease.path());
    keeper.released(Value::Max);
    assert!(host.held().is_none());
    // Written by another agent since: not this one's to remove.
    let host = Host::new();
    host.killed();
    let (mut next, _) = host.agent(1, BOOT, &[(Value::Max, 150_000)]);
    next.will_write(Value::Max, 150_000, 225_000).unwrap();
    let mut keeper = Keeper::found(host.dirs[0].path(), BOOT, &netns(0)).unwrap().beside(host.lease.path());
    keeper.released(Value::Max);
    assert!(host.held().is_some());
}

#[test]
fn what_another_agent_wrote_is_not_called_somebodys() {
    struct Kernel(u64);
    impl Values for Kernel {
        fn read(&self, _: Value) -> std::io::Result<u64> {
            Ok(self.0)
        }
        fn write(&self, name: Value, _: u64) -> std::io::Result<u64> {
            panic!("{name} is another's")
        }
    }
    let host = Host::new();
    host.killed();
    let (mut next, _) = host.agent(1, BOOT, &[(Value::Max, 150_000)]);
    next.will_write(Value::Max, 150_000, 225_000).unwrap();
    let reverted = |now| {
        let keeper = Keeper::found(host.dirs[0].path(), BOOT, &netns(0)).unwrap();
        // It is asked once only: what is left is let go.
        let mut keeper =
            Keeper { dir: tempfile::tempdir().unwrap().keep(), ..keeper.beside(host.lease.path()) };
        keeper.baseline.values.retain(|name, _| *name == Value::Max);
        keeper.restore(&Kernel(now), 1000, 75.0, false).remove(0)
    };
    let row = reverted(225_000);
    assert_eq!(row.reason.as_deref(), Some("another agent set it to 225000 and puts it back"));
    assert_eq!((row.result.as_str(), row.from), ("left", 225_000));
    assert_eq!(reverted(300_000).reason.as_deref(), Some("someone else set it to 300000"));
}

#[test]
fn a_reset_to_a_files_value_is_a_restart_and_its_value_the_baseline() {
    let host = Host::new();
    let (mut keeper, _) = host.agent(
        0,
        BOOT,
        &[(Value::ESTABLISHED, 432_000), (Value::named("udp_timeout").expect("a timeout"), 30)],
    );
    keeper.will_write(Value::ESTABLISHED, 432_000, 7440).unwrap();
    let files = || {
        let file = |name: Value, value| ConfiguredValue {
            name: name.to_string(),
            value,
            file: "/etc/sysctl.d/60-firewall.conf".into(),
        };
        vec![file(Value::ESTABLISHED, 86_400), file(Value::named("udp_timeout").expect("a timeout"), 77)]
    };
    let now = values(&[(Value::ESTABLISHED, 86_400), (Value::named("udp_timeout").expect("a timeout"), 60)]);
    let noticed = keeper.notice(&now, files);
    let kinds: Vec<(Drift, bool)> = noticed.iter().map(|n| (n.drift, n.was_held)).collect();
    assert_eq!(kinds, [(Drift::Configured, true), (Drift::NewValue, false)]);
    let said = &noticed[0].draft.reason;
    assert!(said.contains("put to 86400, the value of /etc/sysctl.d/60-firewall.conf"), "{said}");
    assert!(said.contains("again after 1, 5, then 15 min"), "{said}");
    assert_eq!(
        noticed[1].draft.reason,
        "udp_timeout was changed from 30 to 60 by someone else: that is its baseline now"
    );
    assert_eq!(keeper.baseline(), now);
    assert!(keeper.notice(&now, || panic!("nothing changed: no file is read")).is_empty());
}

#[test]
fn events_back_at_the_modules_default_are_nobodys_hand() {
    let host = Host::new();
    let (mut keeper, _) =
        host.agent(0, BOOT, &[(Value::Events, 2), (Value::named("udp_timeout").expect("a timeout"), 30)]);
    keeper.will_write(Value::Events, 2, 1).unwrap();
    assert!(
        keeper
            .notice(
                &values(&[(Value::Events, 2), (Value::named("udp_timeout").expect("a timeout"), 30)]),
                Vec::new
            )
            .is_empty()
    );
    assert_eq!(keeper.baseline()[&Value::Events], 2);
    assert!(!keeper.is_clear(), "it is held still");
    // Where it was found as the agent wants it, what the module brings is no new baseline.
    let (mut keeper, _) = host.agent(1, BOOT, &[(Value::Events, 1)]);
    assert!(keeper.notice(&values(&[(Value::Events, 2)]), Vec::new).is_empty());
    assert_eq!(keeper.baseline()[&Value::Events], 1);
    assert_eq!(keeper.notice(&values(&[(Value::Events, 0)]), Vec::new).len(), 1, "nobody's default");
}
