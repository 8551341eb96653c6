//! The thread that answers: what those who may not change anything can have it and the others do.
#![allow(unsafe_code)]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::agent::{Agent, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::topology::Topology;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("service::whatever_a_member_of_the_group_asks_it_costs_little", members).needs(&[Need::SecondUser]),
    test("service::who_answers_is_no_more_urgent_than_ordinary_processes", ordinary)
        .needs(&[Need::SecondUser]),
];

/// A user that may not change anything.
const MEMBER: libc::uid_t = 1000;

/// Runs `f` as [`MEMBER`]: the system call changes the calling thread alone, as no function of a C library does.
fn as_member<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        // SAFETY: numbers in, a number out.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, MEMBER, MEMBER, MEMBER) };
        assert_eq!(changed, 0, "setresuid: {}", std::io::Error::last_os_error());
        f()
    };
    let ended = std::thread::scope(|scope| scope.spawn(inside).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Sends `question(n)` again and again until `end` and reads each answer; how many there were. A connection that is
/// closed is made anew.
fn ask_until(socket: &Path, end: Instant, question: &(dyn Fn(u32) -> String + Sync)) -> u32 {
    let (mut answers, mut n) = (0, 0);
    while Instant::now() < end {
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let mut bytes = vec![0; 1 << 16];
        while Instant::now() < end {
            n += 1;
            let text = question(n) + "\0";
            // `oneway`: nothing comes back, and nothing is waited for.
            if stream.write_all(text.as_bytes()).is_err() {
                break;
            }
            if text.contains("oneway") {
                continue;
            }
            let mut last = 1;
            while last != 0 {
                match stream.read(&mut bytes) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => last = bytes[count - 1],
                }
            }
            if last != 0 {
                break;
            }
            answers += 1;
        }
    }
    answers
}

/// CPU time of the agent so far.
fn cpu(agent: &Agent<'_>) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.pid)).expect("its threads");
    let of = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
    };
    tasks.flatten().map(|task| of(task.path())).sum()
}

fn members() {
    const SPAN: Duration = Duration::from_secs(5);
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(20_000, 2000, 8000));
    let setup = Setup::new(&topology.gateway, &limit(1_000_000));
    let agent = setup.start();
    let everyone = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(setup.socket(), everyone).expect("the socket's mode");
    let call = |name: &str, rest: &str| format!(r#"{{"method":"io.ctctl.Control.{name}"{rest}}}"#);
    type Question<'a> = (&'a str, Box<dyn Fn(u32) -> String + Sync + 'a>);
    let floods: [Question<'_>; 7] = [
        ("plans", Box::new(|_| call("GetPlan", ""))),
        ("status", Box::new(|_| call("GetStatus", ""))),
        ("all sources", Box::new(|_| call("GetTopSources", r#","more":true"#))),
        (
            "ever other sources",
            Box::new(|n| call("GetTopSources", &format!(r#","parameters":{{"limit":{n}}},"more":true"#))),
        ),
        ("a plan that nobody reads", Box::new(|_| call("GetPlan", r#","oneway":true"#))),
        ("refusals", Box::new(|_| call("Pause", ""))),
        ("a description", Box::new(|_| r#"{"method":"org.varlink.service.GetInfo"}"#.into())),
    ];
    for (what, question) in &floods {
        let (before, began) = (cpu(&agent), Instant::now());
        let (socket, end) = (setup.socket(), began + SPAN);
        let flood = || as_member(|| ask_until(&socket, end, question.as_ref()));
        let answers: u32 = std::thread::scope(|scope| {
            let flooding: Vec<_> = (0..8).map(|_| scope.spawn(flood)).collect();
            // Root is answered meanwhile.
            let asked = Instant::now();
            assert_eq!(agent.status()["agent"]["synced"], true);
            assert!(asked.elapsed() < Duration::from_secs(2), "{what}: {:?}", asked.elapsed());
            flooding.into_iter().map(|flood| flood.join().expect("no panic")).sum()
        });
        let share = (cpu(&agent) - before) / began.elapsed().as_secs_f64();
        eprintln!("{what}: {answers} answers, {:.0} % of a core", share * 100.0);
        // A tenth of a core, and the burst of a second in the first of these spans; the rest is the agent's own work.
        assert!(share < 0.4, "{what}: {:.0} % of a core", share * 100.0);
        assert!(answers > 0 || question(1).contains("oneway"), "{what}: nothing was answered");
    }
    assert_eq!(agent.stop(), 0);
}

/// Niceness of each thread, with its name; the first is the process's own.
fn niceness(pid: i32) -> Vec<(String, i32)> {
    let read = |tid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).expect("the thread");
        let (name, rest) = stat.rsplit_once(") ").expect("a name");
        let nice = rest.split(' ').nth(16).and_then(|field| field.parse().ok()).expect("a niceness");
        (name.split_once(" (").expect("a name").1.to_owned(), nice)
    };
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let ids = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok());
    let mut ids: Vec<i32> = ids.collect();
    ids.sort_by_key(|tid| *tid != pid);
    ids.into_iter().map(read).collect()
}

/// As a unit with Nice=-10 starts it.
fn ordinary() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let start = || {
        // SAFETY: numbers in, a number out; of this thread alone, and of what it starts.
        assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) }, 0, "setpriority");
        setup.start()
    };
    let agent = std::thread::scope(|scope| scope.spawn(start).join()).expect("an agent");
    let threads = niceness(agent.pid);
    assert!(threads[0].1 >= 0, "{threads:?}");
    // The one that hears events and the one that acts at least.
    assert!(threads.iter().filter(|(_, nice)| *nice == -10).count() >= 2, "{threads:?}");
    assert_eq!(agent.stop(), 0);
}
