//! `events`: a live tail that says what it lost.

use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::agent::Setup;
use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{self, Flow, L4, source, source6};
use crate::harness::topology::{SERVER4, SERVER6, Topology};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("events::new_update_and_destroy_are_told_as_they_come", told),
    test("events::filters_and_a_count_bound_the_tail", filtered),
    test("events::as_text_it_ends_with_how_many_it_showed_and_lost", text),
    test("events::a_signal_or_a_reader_that_leaves_ends_it", ends),
    test("events::what_a_slow_reader_loses_is_counted", lost),
];

const PATIENCE: Duration = Duration::from_secs(20);

/// A tail of JSON Lines that has told its first event.
struct Tail {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
    guard: Option<Guard>,
}

impl Tail {
    /// Starts it, and makes a flow of another protocol until one is told: from then on all are heard.
    fn start(topology: &Topology, setup: &Setup, args: &[&str]) -> Tail {
        Tail::of(topology, setup, &[&["events", "--json"], args].concat())
    }

    fn of(topology: &Topology, setup: &Setup, command: &[&str]) -> Tail {
        let mut command = setup.client(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("ctctl");
        let guard = Some(Guard::new(Leftover::Process(child.id() as i32)));
        let lines = Some(BufReader::new(child.stdout.take().expect("a pipe")).lines());
        let mut writer = Writer::new(&topology.gateway);
        let id = child.id().to_string();
        wait::until("the tail to listen", PATIENCE, || {
            let listening =
                topology.gateway.enter(|| std::fs::read_to_string("/proc/thread-self/net/netlink"));
            let listening = listening.unwrap_or_default();
            let heard = |line: &&str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.get(1) == Some(&"12")
                    && words.get(2) == Some(&id.as_str())
                    && words.get(3) != Some(&"00000000")
            };
            if listening.lines().any(|line| heard(&line)) {
                Ok(())
            } else {
                Err(format!("pid {id}: {listening}"))
            }
        });
        writer.flush();
        Tail { child, lines, guard }
    }

    fn next(&mut self) -> Option<Value> {
        let line = self.lines.as_mut()?.next()?.expect("a line");
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a signal");
    }

    fn ended(&mut self) -> Option<i32> {
        let status = wait::until("the tail's end", PATIENCE, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        self.guard.take().into_iter().for_each(Guard::forget);
        status.code()
    }
}

fn young(topology: &Topology) -> Setup {
    let mut setup = Setup::new(&topology.gateway, "");
    setup.aged = false;
    setup
}

fn told() {
    let topology = Topology::new();
    let setup = young(&topology);
    let mut tail = Tail::start(&topology, &setup, &[]);
    let flows = [
        Flow { zone: 7, mark: 5, ..Flow::established(source(1), SERVER4, 1024, 0) },
        Flow::new(source6(2), SERVER6, L4::Udp(5, 53), 100).unreplied(),
    ];
    for flow in &flows {
        let mut writer = Writer::new(&topology.gateway);
        writer.create(flow);
        writer.flush();
        writer.set_left(flow, 60);
        writer.flush();
        writer.delete(flow);
        writer.flush();
        for kind in ["new", "update", "destroy"] {
            let event = tail.next().expect("an event");
            assert_eq!((&event["event"], &event["schema"]), (&kind.into(), &1.into()), "{event}");
            assert_eq!(event["original"]["source"], flow.source.to_string());
            assert_eq!((&event["zone"], &event["foreign"]), (&flow.zone.into(), &true.into()), "{event}");
            assert_eq!(event["netns"]["inode"], topology.gateway.inode());
            if kind == "new" {
                assert_eq!(event["mark"], flow.mark);
            }
        }
    }
    tail.signal(Signal::SIGINT);
    assert_eq!(tail.next(), None);
    assert_eq!(tail.ended(), Some(0));
}

fn filtered() {
    let topology = Topology::new();
    let setup = young(&topology);
    let args = ["-e", "new", "-n", "2", "-p", "udp", "--not", "--dport", "53"];
    let mut tail = Tail::start(&topology, &setup, &args);
    let udp = |n: u32, port| Flow::new(source(n), SERVER4, L4::Udp(1, port), 100);
    fill(
        &topology.gateway,
        [udp(1, 53), Flow::established(source(2), SERVER4, 1, 0), udp(3, 99), udp(4, 53), udp(5, 98)],
    );
    fill(&topology.gateway, [udp(6, 97)]);
    let heard: Vec<Value> = std::iter::from_fn(|| tail.next()).collect();
    let ports: Vec<&Value> = heard.iter().map(|event| &event["original"]["dport"]).collect();
    assert_eq!(ports, [99, 98], "{heard:?}");
    assert_eq!(tail.ended(), Some(0));
    let refused = setup.ctctl(&["events", "--idle-over", "1m"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
    assert!(refused.stderr.contains("hint: "), "{refused:?}");
    topology.gateway.set_sysctl("net/netfilter/nf_conntrack_events", 0);
    let deaf = setup.ctctl(&["events"]);
    assert_eq!(deaf.code, 3, "{deaf:?}");
    assert!(deaf.stderr.contains("nf_conntrack_events is 0") && deaf.stderr.contains("hint: "), "{deaf:?}");
}

fn text() {
    let topology = Topology::new();
    let setup = young(&topology);
    let mut tail = Tail::of(&topology, &setup, &["events", "-n", "2", "-p", "udp"]);
    fill(&topology.gateway, (0..3).map(|n| Flow::new(source(n), SERVER4, L4::Udp(1, 53), 100)));
    let lines: Vec<String> = tail.lines.take().expect("a pipe").map(|line| line.expect("a line")).collect();
    assert_eq!((tail.ended(), lines.len()), (Some(0), 2), "{lines:?}");
    for (n, line) in lines.iter().enumerate() {
        assert!(line.contains(&format!("  new      udp     assured      {}:1 ", source(n as u32))), "{line}");
        assert!(line.ends_with("left 1m40s  by another program"), "{line}");
    }
    let mut said = String::new();
    tail.child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert_eq!(said, "ctctl: 2 events shown, 0 lost\n");
}

/// With nothing in the stream that would make it write.
fn ends() {
    let topology = Topology::new();
    let setup = young(&topology);
    let mut terminated = Tail::start(&topology, &setup, &[]);
    terminated.signal(Signal::SIGTERM);
    assert_eq!(terminated.ended(), Some(0));
    let mut left = Tail::start(&topology, &setup, &[]);
    drop(left.lines.take());
    assert_eq!(left.ended(), Some(0));
}

/// A reader that does not read for as long as 120,000 flows are made, more than the buffer of the tail holds.
fn lost() {
    const FLOWS: u32 = 120_000;
    let topology = Topology::new();
    let setup = young(&topology);
    let mut tail = Tail::start(&topology, &setup, &["-e", "new"]);
    fill(&topology.gateway, flow::established(FLOWS, 100, 0));
    let last = Flow::new(source(1), SERVER4, L4::Udp(1, 2), 100);
    let (mut heard, mut lost, mut total) = (0, 0, 0);
    let mut writer = Writer::new(&topology.gateway);
    while heard + lost < u64::from(FLOWS) {
        let event = tail.next().expect("more");
        match event["event"].as_str() {
            Some("new") => heard += 1,
            Some("lost") => {
                lost += event["lost"].as_u64().expect("how many");
                total = event["lost_total"].as_u64().expect("how many");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((heard + lost, lost), (u64::from(FLOWS), total), "not one is missing from the count");
    assert!(lost > 0, "all {heard} were heard: the reader was not slow enough to show anything");
    writer.create(&last);
    writer.flush();
    assert_eq!(tail.next().expect("the stream goes on")["original"]["dport"], 2);
    tail.signal(Signal::SIGTERM);
    assert_eq!(tail.ended(), Some(0));
}
