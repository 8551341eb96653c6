//! The hash table is resized there and back while commands read it: they answer of the whole table, or say that they do
//! not.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::agent::Setup;
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{Flow, established, source};
use crate::harness::hostwide::{self, BUCKETS};
use crate::harness::tool::Answer;
use crate::harness::topology::{SERVER4, Topology};
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("resizes::what_is_read_meanwhile_is_whole_or_said_to_be_partial", reads).needs(&[Need::HostWide]),
    test("resizes::a_flush_meanwhile_leaves_nothing_or_says_so", flushes).needs(&[Need::HostWide]),
];

/// More than enough that some of them meet a resize in their midst.
const ROUNDS: usize = 12;

/// Runs `work` while the number of buckets goes there and back all the time.
fn while_resized<T>(work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let first = hostwide::read(BUCKETS);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                for buckets in [first / 16, first] {
                    std::fs::write(format!("/proc/sys/net/netfilter/{BUCKETS}"), buckets.to_string())
                        .expect("buckets");
                }
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::SeqCst);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// True if it was whole; else it has to say so.
fn said_whole(answer: &Answer) -> bool {
    assert!(answer.code == 0 || answer.code == 3, "{} {}", answer.code, answer.stderr);
    assert_eq!(answer.code == 3, answer.stderr.contains("resized"), "{}", answer.stderr);
    answer.code == 0
}

fn reads() {
    const ENTRIES: usize = 20_000;
    let topology = Topology::new();
    fill(&topology.gateway, established(ENTRIES as u32, 100, 100));
    let mut setup = Setup::new(&topology.gateway, "");
    setup.aged = false;
    while_resized(|| {
        for round in 0..ROUNDS {
            let list = setup.ctctl(&["list", "--json"]);
            if said_whole(&list) {
                assert_eq!(list.stdout.lines().count(), ENTRIES, "list, round {round}");
            }
            let top = setup.ctctl(&["top-sources", "--direct", "--json", "-n", "1"]);
            let document: serde_json::Value = serde_json::from_str(&top.stdout).expect("JSON");
            assert_eq!(document["synced"], said_whole(&top), "{document}");
            if said_whole(&top) {
                assert_eq!(document["entries"], ENTRIES, "top-sources, round {round}");
            }
        }
    });
}

fn flushes() {
    const ENTRIES: u32 = 4000;
    let topology = Topology::new();
    let mut setup = Setup::new(&topology.gateway, "");
    setup.aged = false;
    let victim = source(1).to_string();
    while_resized(|| {
        for round in 0..ROUNDS {
            let of_one = |n| Flow::established(source(1), SERVER4, n as u16, 100);
            let mut writer = Writer::new(&topology.gateway);
            // What a partial flush has left is there already, and refused.
            (0..ENTRIES).for_each(|n| writer.create(&of_one(1024 + n)));
            writer.flush();
            // By a filter that the kernel knows, and by one that it does not.
            let filter = if round % 2 == 0 { ["-s", &victim] } else { ["-p", "tcp"] };
            let flushed = setup.ctctl(&["flush", filter[0], filter[1], "--yes", "--json"]);
            if said_whole(&flushed) {
                assert_eq!(topology.count(), 0, "{} of round {round}", flushed.stdout);
            }
        }
    });
    fill(&topology.gateway, [Flow::established(source(1), SERVER4, 9, 100)]);
    let flushed = setup.ctctl(&["flush", "-s", &victim, "--yes", "--json"]);
    assert!(said_whole(&flushed), "nothing is resized any more: {} {}", flushed.stdout, flushed.stderr);
    assert_eq!(topology.count(), 0, "{}", flushed.stdout);
}
