//! The agent under what its systemd unit allows it, without systemd: the same capabilities, the same closed paths.
//! The unit's own lines are read, so that a line which goes too far fails here.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::agent::{CTCTL, Setup};
use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::hostwide::{self, MAX, Restore};
use crate::harness::tool::{find, run};
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] =
    &[test("unit::under_its_restrictions_the_agent_acts_notifies_restarts_and_stops", restricted)
        .needs(&[Need::HostWide])];

const FIRST: u64 = 20_000;
/// Less than any host is up that runs this: what is said to be idle for longer is not believed.
const IDLE_SECONDS: u32 = 50;
const SECTIONS: &str = "[capacity]\nbuckets = \"never\"\nceiling = 22000\n[flush]\nenabled = false\n\
    established_idle_floor_seconds = 20\n[timeouts]\ntcp_established_floor_seconds = 20\n";
const ESTABLISHED: &str = "net/netfilter/nf_conntrack_tcp_timeout_established";
const PATIENCE: Duration = Duration::from_secs(20);

/// The values of one key of the unit, without the mark for what may be missing.
fn values(unit: &str, key: &str) -> Vec<String> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.flat_map(str::split_whitespace).map(|word| word.trim_start_matches('-').to_owned()).collect()
}

/// A command that closes what the unit closes, and becomes the agent. ProtectSystem=strict is a read-only root.
fn closed(setup: &Setup, unit: &str) -> Command {
    let again = |path: &str, how: &str| {
        format!("if [ -e {path} ]; then mount --bind {path} {path}; mount -o remount,bind,{how} {path}; fi\n")
    };
    let dir = setup.dir.display().to_string();
    let mut script =
        String::from("set -e\nmount --make-rslave /\nmount --bind / /\nmount -o remount,bind,ro /\n");
    values(unit, "ReadOnlyPaths").iter().for_each(|path| script += &again(path, "ro"));
    let open = values(unit, "ReadWritePaths");
    open.iter().chain([&dir, &"/run/ctctl".to_owned()]).for_each(|path| script += &again(path, "rw"));
    let capabilities: Vec<String> = values(unit, "CapabilityBoundingSet")
        .iter()
        .map(|name| format!("+{}", name.trim_start_matches("CAP_").to_lowercase()))
        .collect();
    script += "if (echo closed >/ctctl-closed) 2>/dev/null; then echo 'the root is open' >&2; exit 99; fi\n";
    script +=
        "if (echo 1 >/proc/sys/vm/drop_caches) 2>/dev/null; then echo '/proc/sys is open' >&2; exit 98; fi\n";
    script += &format!(
        "exec {} --bounding-set=-all,{} --no-new-privs -- {CTCTL} --netns {} --config {} agent\n",
        find("setpriv").expect("setpriv").display(),
        capabilities.join(","),
        setup.netns,
        setup.config().display()
    );
    let mut command = Command::new(find("unshare").expect("unshare"));
    command.args(["--mount", "sh", "-c", &script]);
    command
}

/// The agent, and what a service manager hears of it.
struct Service {
    child: Child,
    manager: UnixDatagram,
    guard: Option<Guard>,
}

impl Service {
    fn start(setup: &Setup, unit: &str) -> Service {
        let socket = setup.dir.join("notify");
        let _ = std::fs::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).expect("a socket");
        manager.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut command = closed(setup, unit);
        command.env("NOTIFY_SOCKET", &socket).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("the agent");
        let guard = Some(Guard::new(Leftover::Process(child.id() as i32)));
        let service = Service { child, manager, guard };
        service.hears("READY=1");
        service
    }

    /// Waits for a word of the agent's.
    fn hears(&self, wanted: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.manager.recv(&mut buffer);
            let length = length.unwrap_or_else(|error| panic!("waited for {wanted}: {error}"));
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.contains(wanted) {
                return said;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a signal");
    }

    fn ended(mut self) -> Option<i32> {
        let status = wait::until("the agent's end", PATIENCE, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        self.guard.take().into_iter().for_each(Guard::forget);
        status.code()
    }
}

/// Entries of all namespaces, and what was freed but lately.
fn entries_in_slab() -> u64 {
    let slabs = std::fs::read_to_string("/proc/slabinfo").expect("/proc/slabinfo");
    let line = slabs.lines().find(|line| line.starts_with("nf_conntrack ")).expect("a slab of entries");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("active objects")
}

fn restricted() {
    let restore = Restore::new();
    let unit = {
        let mut command = Command::new(CTCTL);
        command.args(["generate", "unit"]);
        run(command, "", PATIENCE).stdout
    };
    let signal = values(&unit, "RestartKillSignal");
    assert_eq!(signal, ["SIGUSR1"]);
    let topology = Topology::new();
    restore.pin_max(FIRST);
    fill(&topology.gateway, flow::established(19_500, 200, IDLE_SECONDS));
    // Max can help for a part, timeouts for the rest; both are in other places of /proc/sys.
    let setup = Setup::new(&topology.gateway, SECTIONS);
    std::fs::create_dir_all("/run/ctctl").expect("RuntimeDirectory=");
    let shortened = || topology.gateway.sysctl_number(ESTABLISHED);
    let service = Service::start(&setup, &unit);
    wait::until("max and a timeout to be changed", PATIENCE, || {
        let (max, seconds) = (hostwide::read(MAX), shortened());
        if max > FIRST && seconds < 432_000 { Ok(()) } else { Err(format!("{max}, {seconds} s")) }
    });
    let status = setup.json(&["status"]);
    let agent = &status["agent"];
    assert_eq!((agent["journal_ok"].as_bool(), agent["dry_run"].as_bool()), (Some(true), Some(false)));
    let reason = status["bounds"]["reason"].to_string();
    assert!(!reason.contains("assumed"), "slabinfo cannot be read: {reason}");
    // A bad configuration at a reload is told, and the running one stays.
    setup.write("", "[capacity]\nceilling = 1\n");
    service.signal(Signal::SIGHUP);
    assert!(service.hears("not reloaded").contains("ceilling"));
    setup.write("", SECTIONS);
    // A restart changes nothing.
    let (max, seconds) = (hostwide::read(MAX), shortened());
    service.signal(Signal::SIGUSR1);
    service.hears("STOPPING=1");
    assert_eq!(service.ended(), Some(0));
    assert_eq!((hostwide::read(MAX), shortened()), (max, seconds), "a restart changed something");
    let service = Service::start(&setup, &unit);
    // A stop puts all of it back, as the first agent found it.
    let mut writer = crate::harness::fill::Writer::new(&topology.gateway);
    flow::established(19_500, 200, IDLE_SECONDS).for_each(|flow| writer.delete(&flow));
    writer.flush();
    // What other namespaces may hold is read from the slab, which is freed after a grace period of RCU.
    wait::until("the slab to show it", PATIENCE, || match entries_in_slab() {
        few @ 0..10_000 => Ok(few),
        many => Err(format!("{many} entries")),
    });
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended(), Some(0));
    assert_eq!((hostwide::read(MAX), shortened()), (FIRST, 432_000));
}
