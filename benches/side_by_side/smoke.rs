//! What `cargo test` runs: every part once, small and short, so that none stops to work unseen. Speed is not judged.

use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Parser;
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::cleanup::{self, Guard, Leftover};
use crate::harness::hostwide::{self, BUCKETS, MAX};
use crate::harness::wait;
use crate::{Asked, PARTS, process};

const SMALL: [&str; 7] = [
    "--entries=10000",
    "--runs=1",
    "--per-second=20000",
    "--event-seconds=1",
    "--rest-seconds=1",
    "--churn-seconds=1",
    "--sizes=1000,10000",
];

/// As libtest: filters, `--list` and the like.
pub fn main() {
    let mut arguments = Arguments::from_args();
    // They share the host's values, and none is to be disturbed.
    arguments.test_threads = Some(1);
    let missing = if arguments.list { None } else { process::may_measure().err() };
    if let Some(why) = &missing {
        eprintln!("IGNORED: the benchmarks: {why}");
    } else {
        cleanup::on_interrupt();
    }
    let trial = |name: String, run: fn(&str)| {
        let part = name.clone();
        let run = move || -> Result<(), Failed> {
            run(&part);
            Ok(())
        };
        Trial::test(format!("benchmark::{name}"), run).with_ignored_flag(missing.is_some())
    };
    let mut trials: Vec<Trial> = PARTS.iter().map(|(name, _)| trial((*name).into(), part)).collect();
    trials.push(trial("an_interrupt_puts_the_hosts_values_back".into(), interrupted));
    libtest_mimic::run(&arguments, trials).exit();
}

fn part(name: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let drawing = directory.path().join("growth.svg");
    let svg = format!("--svg={}", drawing.display());
    let asked = Asked::parse_from(["side_by_side", name, &svg].into_iter().chain(SMALL));
    let before = values();
    asked.measure();
    assert_eq!(values(), before, "max and buckets of the host");
    if name == "growth" {
        let text = std::fs::read_to_string(&drawing).expect("the drawing");
        well_formed(&text);
    }
}

fn values() -> [u64; 2] {
    let _lock = hostwide::lock(true);
    [MAX, BUCKETS].map(hostwide::read)
}

/// Each signal in the middle of the part that writes both values.
fn interrupted(_: &str) {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let before = values();
        let mut command = Command::new(std::env::current_exe().expect("its own path"));
        command.args(["--bench", "rescue", "--runs=100"]).args(&SMALL[..1]).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::null()).spawn().expect("starts");
        let guard = Guard::new(Leftover::Process(child.id() as i32));
        // Other suites on this machine may hold the lock.
        wait::until("the host's values to be written", Duration::from_secs(600), || {
            let now = [MAX, BUCKETS].map(hostwide::read);
            if now[0] != before[0] && now[1] != before[1] { Ok(()) } else { Err(format!("{now:?}")) }
        });
        kill(Pid::from_raw(child.id() as i32), signal).expect("a signal");
        let ended = child.wait().expect("its end");
        guard.forget();
        assert_eq!(ended.code(), Some(code), "{signal}");
        assert_eq!(values(), before, "max and buckets of the host after {signal}");
    }
}

/// Every element that begins ends in its turn, and a title, a description and text are there.
fn well_formed(svg: &str) {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("the end of a tag");
        let name = tag.split(char::is_whitespace).next().unwrap_or_default();
        assert!(!text.contains('&') || text.contains(';'), "{text:?}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag:?}");
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag:?}"),
            None if tag.ends_with('/') => (),
            None => open.push(name),
        }
        seen.push(name);
    }
    assert_eq!(open, Vec::<&str>::new());
    for name in ["title", "desc", "text", "polyline"] {
        assert!(seen.contains(&name), "no {name}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "a number is missing");
}
