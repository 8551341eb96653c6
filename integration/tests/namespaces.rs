//! One agent for several namespaces: each stands alone.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::agent::CTCTL;
use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::environment::Need;
use crate::harness::namespace::{Namespace, unique};
use crate::harness::scrape::{Metrics, ask, unix};
use crate::harness::tool::{Answer, run};
use crate::harness::wait;
use crate::{Test, test};

/// Default sockets and state directories, which are root's.
const ROOT: &[Need] = &[Need::SecondUser];

pub const TESTS: &[Test] = &[
    test("namespaces::one_that_is_deleted_ends_nothing_for_the_others_and_may_come_back", one_of_two)
        .needs(ROOT),
    test("namespaces::one_that_comes_back_is_paused_until_the_same_moment", comes_back_paused).needs(ROOT),
    test("namespaces::one_that_another_agent_watches_is_tried_again", one_is_taken).needs(ROOT),
    test("namespaces::the_only_one_is_an_error_where_it_is_missing_or_goes_away", the_only_one).needs(ROOT),
];

const PATIENCE: Duration = Duration::from_secs(20);

/// An agent with the default sockets and state directories of its namespaces.
struct Several {
    directory: PathBuf,
    child: Child,
    guards: Vec<Guard>,
}

impl Several {
    fn start(names: &[&str]) -> Several {
        let directory = std::env::temp_dir().join(unique());
        std::fs::create_dir(&directory).expect("a temporary directory");
        let mut guards = vec![Guard::new(Leftover::Directory(directory.clone()))];
        guards.extend(
            names
                .iter()
                .map(|name| Guard::new(Leftover::Directory(PathBuf::from("/var/lib/ctctl").join(name)))),
        );
        let text = format!(
            "[agent]\nnetns = {names:?}\n[capacity]\nenabled = false\nbuckets = \"never\"\nlimit = 1000\n\
             [metrics]\nlisten = \"unix:{}\"\n[log]\nformat = \"text\"\n",
            directory.join("metrics").display()
        );
        std::fs::write(directory.join("ctctl.toml"), text).expect("the configuration");
        let log = File::create(directory.join("log")).expect("a log");
        let mut command = Command::new(CTCTL);
        command.arg("--config").arg(directory.join("ctctl.toml")).arg("agent").stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().expect("the agent");
        guards.push(Guard::new(Leftover::Process(child.id() as i32)));
        Several { directory, child, guards }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn client(&self, name: &str, args: &[&str]) -> Answer {
        let mut command = Command::new(CTCTL);
        command.arg("--config").arg(self.directory.join("ctctl.toml")).args(["--netns", name]).args(args);
        run(command, "", PATIENCE)
    }

    /// The agent's status of one namespace, once `good` holds for it.
    fn status(&self, name: &str, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, PATIENCE, || {
            let answer = self.client(name, &["status", "--json"]);
            let status: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
            let ours = status["agent"]["pid"] == self.child.id() && status["agent"]["synced"] == true;
            if ours && good(&status) { Ok(status) } else { Err(format!("{answer:?}\n{}", self.log())) }
        })
    }

    /// Waits until the metrics say of each name whether it is watched.
    fn watched(&self, expected: &[(&str, f64)]) {
        wait::until("the metrics", PATIENCE, || {
            let wire = unix(&self.directory.join("metrics")).map_err(|e| e.to_string())?;
            let page = ask(wire, "GET", "/metrics").map_err(|e| e.to_string())?;
            let metrics = Metrics::parse(&page.body);
            let told = |(name, value): &(&str, f64)| {
                metrics.of("ctctl_namespace_watched", &[("netns", name)]) == [*value]
            };
            if expected.iter().all(told) { Ok(()) } else { Err(page.body) }
        });
    }

    /// Of a namespace that is missing the agent's own socket says so.
    fn missing(&self, name: &str) {
        let pid = format!("the agent (pid {})", self.child.id());
        wait::until("a word on the missing namespace", PATIENCE, || {
            let answer = self.client(name, &["status"]);
            let said = answer.stderr.contains(&pid) && answer.stderr.contains("is missing since");
            if answer.code == 3 && said { Ok(()) } else { Err(format!("{answer:?}")) }
        });
        let check = self.client(name, &["status", "--check"]);
        assert_eq!((check.code, check.stdout.contains("is missing since")), (3, true), "{check:?}");
    }

    fn ended(mut self) -> (i32, String) {
        let status = wait::until("the agent's end", PATIENCE, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}\n{}", self.log())),
        });
        let log = self.log();
        // The process was waited for; the directories go.
        self.guards.pop().expect("the process").forget();
        (status.code().unwrap_or(-1), log)
    }

    fn stop(self) -> i32 {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("a signal");
        self.ended().0
    }
}

fn says_missing(name: &str) -> impl Fn(&Value) -> bool {
    let topic = format!("namespace {name} is missing since");
    move |status| status["waiting"].to_string().contains(&topic)
}

fn one_of_two() {
    let (a, b) = (unique(), unique());
    let first = Namespace::new(&a);
    let agent = Several::start(&[&a, &b]);
    // Missing at the start.
    agent.status(&a, "the first to be watched", says_missing(&b));
    agent.missing(&b);
    agent.watched(&[(&a, 1.0), (&b, 0.0)]);
    for _ in 0..2 {
        let second = Namespace::new(&b);
        let status =
            agent.status(&b, "the second to be watched", |status| status["netns"]["inode"] == second.inode());
        assert_eq!(status["netns"]["name"], b.as_str());
        agent.status(&a, "no word on the second", |status| !says_missing(&b)(status));
        agent.watched(&[(&a, 1.0), (&b, 1.0)]);
        drop(second);
        agent.status(&a, "a word on the second", says_missing(&b));
        agent.missing(&b);
        agent.watched(&[(&a, 1.0), (&b, 0.0)]);
    }
    // Deleted and made again at once: another one under the same name.
    let second = Namespace::new(&b);
    agent.status(&b, "the second to be watched", |status| status["netns"]["inode"] == second.inode());
    drop(second);
    let second = Namespace::new(&b);
    agent.status(&b, "the new one to be watched", |status| status["netns"]["inode"] == second.inode());
    // And the other way round.
    drop(first);
    agent.missing(&a);
    agent.status(&b, "a word on the first", says_missing(&a));
    assert_eq!(agent.stop(), 0);
    for name in [&a, &b] {
        let socket = PathBuf::from(format!("/run/ctctl/{name}.sock"));
        assert!(!socket.exists(), "{} goes with the agent", socket.display());
    }
}

/// A pause is of the namespace that it was told for, whatever becomes of that.
fn comes_back_paused() {
    let (a, b) = (unique(), unique());
    let _first = Namespace::new(&a);
    let agent = Several::start(&[&a, &b]);
    let watched = |second: &Namespace, paused: bool| {
        let inode = second.inode();
        agent.status(&b, "the second", |status| {
            status["netns"]["inode"] == inode && status["agent"]["paused"] == paused
        })
    };
    let second = Namespace::new(&b);
    watched(&second, false);
    let told = agent.client(&b, &["pause", "--for", "1h"]);
    assert_eq!(told.code, 0, "{told:?}");
    drop(second);
    agent.missing(&b);
    let second = Namespace::new(&b);
    watched(&second, true);
    // Paused it sets nothing either that is set at each start, and does once it may act again.
    let events = "/proc/sys/net/netfilter/nf_conntrack_events";
    assert_eq!(second.sysctl_number(events), 2);
    let old = crate::harness::table::rows(&second).len();
    crate::harness::fill::fill(&second, crate::harness::flow::established(990, 10, 100_000));
    wait::throughout("nothing to be flushed", Duration::from_secs(2), || {
        let now = crate::harness::table::rows(&second).len();
        if now == old + 990 { Ok(()) } else { Err(format!("{now} of {} entries", old + 990)) }
    });
    agent.status(&a, "the first, which is not paused", |status| status["agent"]["paused"] == false);
    assert_eq!(agent.client(&b, &["resume"]).code, 0);
    watched(&second, false);
    wait::until("what is set at a start", PATIENCE, || match second.sysctl_number(events) {
        1 => Ok(()),
        other => Err(format!("events is {other}")),
    });
    // What is taken back is forgotten too.
    drop(second);
    agent.missing(&b);
    let second = Namespace::new(&b);
    watched(&second, false);
    assert_eq!(agent.stop(), 0);
}

/// What another agent watches already is tried again and again, and the other namespace is watched meanwhile.
fn one_is_taken() {
    let (a, b) = (unique(), unique());
    let [_first, _second] = [&a, &b].map(|name| Namespace::new(name));
    let other = Several::start(&[&b]);
    other.status(&b, "the other agent", |_| true);
    let agent = Several::start(&[&a, &b]);
    agent.status(&a, "a word on the second", |status| {
        let waiting = status["waiting"].to_string();
        waiting.contains("is not watched since") && waiting.contains("watches this namespace already")
    });
    assert_eq!(other.stop(), 0);
    agent.status(&b, "the second to be watched", |_| true);
    assert_eq!(agent.stop(), 0);
}

/// There is nothing to do without it: the exit says so, and a unit with Restart=on-failure tries again.
fn the_only_one() {
    let name = unique();
    let (code, log) = Several::start(&[&name]).ended();
    assert_eq!(code, 3, "{log}");
    assert!(log.contains("no namespace is called"), "{log}");
    let only = Namespace::new(&name);
    let agent = Several::start(&[&name]);
    agent.status(&name, "it to be watched", |_| true);
    drop(only);
    let (code, log) = agent.ended();
    assert_eq!(code, 3, "{log}");
    assert!(log.contains("is gone; there is nothing to watch any more"), "{log}");
}
