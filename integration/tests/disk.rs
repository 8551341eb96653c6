//! No record, no act: a state directory that hangs, is full, is removed or damaged; and a log that nobody reads.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::agent::{Agent, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, source};
use crate::harness::pressed::{ESTABLISHED, shortened, to_be_shortened};
use crate::harness::tool::must;
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::unanswered::Unanswered;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("disk::one_that_hangs_stops_neither_relief_nor_answers_nor_the_end", hangs).needs(&[Need::Age]),
    test("disk::one_that_hangs_at_the_start_does_not_keep_from_ending", hangs_at_start).needs(&[Need::Fuse]),
    test("disk::fifos_in_place_of_files_keep_nothing_waiting", fifos),
    test("disk::a_value_waits_for_its_record", waits_for_record).needs(&[Need::Age]),
    test("disk::without_a_record_nothing_is_set", no_record).needs(&[Need::Age]),
    test("disk::a_removed_directory_is_made_again_while_values_are_held", removed).needs(&[Need::Age]),
    test("disk::a_changed_digit_is_not_written_to_the_kernel", changed_digit).needs(&[Need::Age]),
    test("disk::a_log_that_nobody_reads_stops_neither_relief_nor_the_end", unread_log).needs(&[Need::Age]),
];

/// Longer than any of these takes on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an agent may take to end whatever its disk and its log do.
const END: Duration = Duration::from_secs(8);

/// The processes that write an agent's files, stopped: to the agent that is a disk that does not answer. They go on
/// when this is dropped.
struct Hanging(Vec<Pid>);

impl Hanging {
    fn new(agent: &Agent) -> Self {
        let children =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.pid)).expect("children");
        let pids: Vec<Pid> =
            children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().expect("a pid"))).collect();
        let writes = |pid: &Pid| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.contains("keep-files"))
        };
        assert!(pids.len() == 2 && pids.iter().all(writes), "{children}");
        pids.iter().for_each(|pid| kill(*pid, Signal::SIGSTOP).expect("stopped"));
        Hanging(pids)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| kill(*pid, Signal::SIGCONT).unwrap_or_default());
    }
}

/// A gateway below pressure, whose dead entries may go.
fn calm() -> (Topology, Setup) {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(1300, 10, 100_000));
    let setup = Setup::new(&topology.gateway, &format!("{}[flush]\ngrace_seconds = 5\n", limit(2000)));
    (topology, setup)
}

/// More dead entries, up to the limit.
fn press(topology: &Topology) {
    fill(
        &topology.gateway,
        (0..650).map(|n| Flow::established(source(n % 10), SERVER4, 20_000 + n as u16, 100_000)),
    );
    wait::until("relief", PATIENCE, || match topology.count() {
        count if count <= 1500 => Ok(()),
        count => Err(format!("{count} entries")),
    });
}

fn ends(mut agent: Agent) {
    let began = Instant::now();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended(), 0);
    assert!(began.elapsed() < END, "it took {:?} to end", began.elapsed());
}

fn hangs() {
    let (topology, setup) = calm();
    let agent = setup.start();
    let hanging = Hanging::new(&agent);
    press(&topology);
    for question in [&["status"][..], &["plan"], &["history", "-n", "5"]] {
        let began = Instant::now();
        let answer = setup.ctctl(question);
        assert_eq!(answer.code, 0, "{question:?}: {answer:?}");
        assert!(began.elapsed() < END, "{question:?} took {:?}", began.elapsed());
    }
    ends(agent);
    drop(hanging);
}

fn hangs_at_start() {
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        let (topology, setup) = calm();
        std::fs::create_dir(setup.state()).expect("a directory");
        let unanswered = Unanswered::over(&setup.state());
        let mut agent = setup.spawn(&[]);
        wait::until("the start to wait", PATIENCE, || {
            let log = agent.log();
            if log.contains("it may wait for the disk") { Ok(()) } else { Err(log) }
        });
        let began = Instant::now();
        agent.signal(signal);
        assert_eq!(agent.ended(), 0);
        assert!(began.elapsed() < END, "it took {:?} to end", began.elapsed());
        assert_eq!(topology.gateway.sysctl_number("/proc/sys/net/netfilter/nf_conntrack_events"), 2);
        drop(unanswered);
    }
}

fn fifos() {
    let (topology, setup) = calm();
    std::fs::create_dir(setup.state()).expect("a directory");
    let names = ["baseline.json", "timeouts-seen.json", "journal.jsonl", "journal.jsonl.1"];
    for name in names.map(|name| [name.to_owned(), format!("{name}.tmp")]).concat() {
        must("mkfifo", &[&setup.state().join(name).display().to_string()], "");
    }
    let agent = setup.start();
    press(&topology);
    assert_eq!(agent.status()["agent"]["journal_ok"], false, "the journal is no file");
    let baseline = std::fs::symlink_metadata(setup.state().join("baseline.json"));
    assert!(baseline.is_ok_and(|facts| facts.is_file()), "and the baseline is one");
    ends(agent);
}

/// An agent below pressure that may shorten a timeout and nothing else.
fn to_be_pressed() -> (Topology, Setup) {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(3000, 100, 100_000));
    let setup = Setup::new(&topology.gateway, &format!("{}[flush]\nenabled = false\n", limit(5000)));
    (topology, setup)
}

fn fill_up(topology: &Topology) {
    fill(&topology.gateway, (0..2000).map(|n| Flow::established(source(n), SERVER4, 7000, 0)));
}

/// The timeout is as it was found although the agent wants it shorter, and says why.
fn stays(topology: &Topology, agent: &Agent, why: &str) {
    wait::until("what waits to be said", PATIENCE, || {
        let waiting = agent.status()["waiting"].to_string();
        match waiting.contains(why) && waiting.contains("tcp_timeout_established") {
            true => Ok(()),
            false => Err(waiting),
        }
    });
    wait::until("a deferred act", PATIENCE, || {
        let actions = agent.status()["last_actions"].clone();
        let deferred = actions
            .as_array()
            .expect("a list")
            .iter()
            .any(|record| record["event"] == "deferred" && record["name"] == "tcp_timeout_established");
        if deferred { Ok(()) } else { Err(actions.to_string()) }
    });
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 432_000);
}

fn waits_for_record() {
    let (topology, setup) = to_be_pressed();
    let agent = setup.start();
    let hanging = Hanging::new(&agent);
    fill_up(&topology);
    stays(&topology, &agent, "has not answered");
    drop(hanging);
    shortened(agent, &topology, 432_000).killed();
    assert_eq!(setup.ctctl(&["revert"]).code, 0);
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 432_000);
}

fn no_record() {
    let (topology, setup) = to_be_pressed();
    let agent = setup.start();
    // As on a disk without room, but for root too: the file beside the record cannot be written.
    let block = setup.state().join("baseline.json.tmp");
    std::fs::create_dir(&block).expect("in the way");
    fill_up(&topology);
    stays(&topology, &agent, "cannot be written");
    agent.killed();
    let reverted = setup.ctctl(&["revert"]);
    assert_eq!(reverted.code, 0, "{reverted:?}");
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 432_000);
    // With the way free it is done.
    std::fs::remove_dir(&block).expect("still there");
    let agent = shortened(setup.start(), &topology, 432_000);
    assert_eq!(agent.stop(), 0);
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 432_000);
}

fn removed() {
    let (topology, setup) = to_be_shortened();
    let agent = shortened(setup.start(), &topology, 432_000);
    std::fs::remove_dir_all(setup.state()).expect("removed");
    wait::until("the record to be there again", PATIENCE, || {
        if setup.state().join("baseline.json").exists() { Ok(()) } else { Err("not yet") }
    });
    agent.killed();
    let reverted = setup.ctctl(&["revert"]);
    assert_eq!(reverted.code, 0, "{reverted:?}");
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 432_000, "{reverted:?}");
}

fn changed_digit() {
    for journal in [true, false] {
        let (topology, setup) = to_be_shortened();
        shortened(setup.start(), &topology, 432_000).killed();
        let held = topology.gateway.sysctl_number(ESTABLISHED);
        let file = setup.state().join("baseline.json");
        let text = std::fs::read_to_string(&file).expect("a baseline");
        std::fs::write(&file, text.replace("432000", "432009")).expect("a changed digit");
        if !journal {
            std::fs::remove_file(setup.state().join("journal.jsonl")).expect("a journal");
        }
        let reverted = setup.ctctl(&["revert"]);
        assert_ne!(reverted.code, 0, "{reverted:?}");
        let said = format!("{}{}", reverted.stdout, reverted.stderr);
        assert!(said.contains("checksum does not match"), "{said}");
        assert!(setup.state().join("baseline.json.broken-1").exists(), "it is kept aside");
        let expected = if journal { 432_000 } else { held };
        assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), expected, "{said}");
    }
}

/// A pipe with no room left.
fn full_pipe() -> (std::io::PipeReader, File) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut writer = File::from(OwnedFd::from(writer));
    let flags =
        nix::fcntl::OFlag::from_bits_retain(nix::fcntl::fcntl(&writer, nix::fcntl::F_GETFL).expect("flags"));
    let set = |flags| nix::fcntl::fcntl(&writer, nix::fcntl::F_SETFL(flags)).expect("flags");
    set(flags | nix::fcntl::OFlag::O_NONBLOCK);
    let mut file = writer.try_clone().expect("a descriptor");
    while file.write(&[b'x'; 512]).is_ok() {}
    set(flags);
    writer.flush().expect("nothing");
    (reader, writer)
}

fn unread_log() {
    for format in ["text", "json"] {
        let (topology, setup) = calm();
        let text = std::fs::read_to_string(setup.config()).expect("a configuration");
        let text = text.replace("format = \"text\"", &format!("format = \"{format}\""));
        std::fs::write(setup.config(), text).expect("a configuration");
        let (reader, writer) = full_pipe();
        let mut agent = setup.spawn_into(&[], writer, PathBuf::new());
        agent.ready();
        press(&topology);
        assert_eq!(agent.status()["agent"]["log_lines_dropped"], 0, "they wait");
        ends(agent);
        drop(reader);
    }
}
