//! `ctctl doctor` on a running kernel: each finding is made to happen, and its printed command makes it go.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::agent::Setup;
use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, ESTABLISHED_SECONDS, Flow, L4};
use crate::harness::hostwide::{self, BUCKETS, MAX, Restore};
use crate::harness::namespace::{Namespace, unique};
use crate::harness::table::rows;
use crate::harness::tool::{Answer, find, run, tool};
use crate::harness::topology::{CLIENT4, SERVER4, Topology};
use crate::harness::wait;
use crate::tests::collisions::{collide, cpus, quiet};
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("doctor::values_in_force_are_cured_by_the_printed_commands", values),
    test("doctor::a_timeout_below_zero_is_an_error_and_a_row_of_status", negative),
    test("doctor::hints_and_fixes_are_for_the_namespace_that_was_asked_for", hints),
    test("doctor::looking_changes_nothing", changes_nothing),
    test("doctor::silence_is_what_list_tells_of_it", silence),
    test("doctor::collisions_are_insert_failed_and_no_full_table", collisions),
    test("doctor::taken_ports_are_port_pressure", ports),
    test("doctor::rules_that_track_for_nothing_are_named_and_deleted", unneeded),
    test("doctor::dns_of_the_gateway_itself_is_untracked_by_the_printed_rules", untracked),
    test("doctor::another_manager_is_named", manager),
    test("doctor::a_full_table_is_seen_in_counters_and_log", full).needs(&[Need::HostWide]),
    test("doctor::a_table_that_sheds_is_seen", sheds).needs(&[Need::HostWide]),
    test("doctor::sizes_are_cured_by_the_printed_commands", sizes).needs(&[Need::HostWide]),
    test("doctor::a_value_that_is_not_its_files_is_put_back", differs).needs(&[Need::HostWide]),
];

const PATIENCE: Duration = Duration::from_secs(60);

/// `doctor` of one namespace, with nothing of this machine's configuration.
struct Doctor(Setup);

impl Doctor {
    fn new(namespace: &Namespace) -> Doctor {
        let mut setup = Setup::new(namespace, "");
        setup.aged = false;
        Doctor(setup)
    }

    fn run(&self, sample: &str) -> Answer {
        run(self.0.client(&["doctor", "--json", "--sample", sample]), "", PATIENCE)
    }

    fn document(&self, sample: &str) -> Value {
        parse(&self.run(sample))
    }

    /// Its document of `sample`, while datagrams go to a port of the server where nobody listens, at a pace.
    fn while_sending(&self, topology: &Topology, sample: &str) -> Value {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut ports = (10_000..40_000).step_by(20).cycle();
                while !done.load(Ordering::Acquire) {
                    send(topology, ports.next().expect("a cycle"), 20, (SERVER4, 9));
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let answer = self.run(sample);
            done.store(true, Ordering::Release);
            parse(&answer)
        })
    }

    /// The severity of a finding, if there is one.
    fn severity(&self, id: &str) -> Option<String> {
        severity(&self.document("0s"), id)
    }

    /// Runs what a finding's fix says, but for the files of this machine.
    fn paste(&self, id: &str) {
        let document = self.document("0s");
        let finding = of(&document, id).unwrap_or_else(|| panic!("no {id} in {document:#}"));
        for command in finding["fix"].as_array().expect("a list").iter().filter_map(Value::as_str) {
            if command.starts_with("sysctl -w")
                || command.starts_with("echo ")
                || command.starts_with("ip netns")
            {
                shell(command);
            }
        }
    }
}

fn parse(answer: &Answer) -> Value {
    // 3 where the kernel's log is not for this user.
    assert!(matches!(answer.code, 0 | 1 | 3), "exit {}: {}", answer.code, answer.stderr);
    let document: Value = serde_json::from_str(&answer.stdout).expect("one document");
    let bad = matches!(document["severity"].as_str(), Some("warning" | "error"));
    assert_eq!(answer.code == 1, bad, "{document:#}");
    document
}

fn of<'a>(document: &'a Value, id: &str) -> Option<&'a Value> {
    document["findings"].as_array().expect("findings").iter().find(|finding| finding["id"] == id)
}

fn severity(document: &Value, id: &str) -> Option<String> {
    of(document, id).map(|finding| finding["severity"].as_str().expect("text").to_owned())
}

/// As pasted by root, whose PATH has sbin.
fn shell(command: &str) {
    let mut sh = tool("sh");
    sh.args(["-ec", command]).env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let answer = run(sh, "", PATIENCE);
    assert_eq!(answer.code, 0, "{command}: {}", answer.stderr);
}

fn is(severity: &str) -> Option<String> {
    Some(severity.to_owned())
}

fn values() {
    let gateway = Topology::new().gateway;
    let set =
        |name: &str, value: u32| gateway.set_sysctl(&format!("net/netfilter/nf_conntrack_{name}"), value);
    set("tcp_timeout_established", 60);
    set("tcp_be_liberal", 1);
    fill(&gateway, [Flow::new(CLIENT4, SERVER4, L4::Udp(1000, 53), 1000)]);
    let doctor = Doctor::new(&gateway);
    // Every new namespace has events 2, and Topology sets tcp_loose 0.
    for (id, expected) in [
        ("established-too-short", "error"),
        ("tcp-be-liberal", "note"),
        ("tcp-loose-off", "note"),
        ("events-blind", "note"),
    ] {
        assert_eq!(doctor.severity(id), is(expected), "{id}");
        doctor.paste(id);
        assert_eq!(doctor.severity(id), None, "{id} after its fix");
    }
    set("events", 0);
    assert_eq!(doctor.severity("events-off"), is("warning"));
    doctor.paste("events-off");
    set("tcp_timeout_established", 432_000);
    assert_eq!(doctor.severity("established-five-days"), is("note"));
    doctor.paste("established-five-days");
    let document = doctor.document("0s");
    assert_eq!(document["findings"], serde_json::json!([]), "{document:#}");
    let users = document["tracking_users"].as_array().expect("read");
    assert!(users.iter().any(|user| user["by"] == "masq"), "{users:?}");
}

/// The kernel takes it, and each packet then makes an entry that is expired.
fn negative() {
    let gateway = Topology::new().gateway;
    gateway.must("sysctl", &["-q", "-w", "net.netfilter.nf_conntrack_udp_timeout=-1"], "");
    let doctor = Doctor::new(&gateway);
    assert_eq!(doctor.severity("timeout-negative"), is("error"));
    let status = doctor.0.ctctl(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).expect("one document");
    let rows = status["timeouts"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["name"] == "udp_timeout").expect("its row");
    assert_eq!(row["current_seconds"], -1, "{row}");
    let text = doctor.0.ctctl(&["status"]).stdout;
    assert!(text.contains("udp_timeout is -1: entries end at birth"), "{text}");
    doctor.paste("timeout-negative");
    assert_eq!(doctor.severity("timeout-negative"), None);
    assert_eq!(gateway.sysctl_number("net/netfilter/nf_conntrack_udp_timeout"), 30);
}

fn hints() {
    let namespace = Namespace::new(&format!("{}-h", unique()));
    let plain = "table inet filter {\n chain input { type filter hook input priority 0; policy accept;\n \
                 ct state established accept; }\n}";
    namespace.must("nft", &["-f", "-"], plain);
    fill(&namespace, [Flow::new(CLIENT4, SERVER4, L4::Udp(1000, 53), 1000)]);
    namespace.must("nft", &["flush ruleset"], "");
    let document = Doctor::new(&namespace).document("0s");
    let fix =
        of(&document, "conntrack-unneeded").expect("found")["fix"][0].as_str().expect("text").to_owned();
    for part in [" --netns ", " --socket ", " events`"] {
        assert!(fix.contains(part), "{fix}");
    }
}

/// Entries with little left look as if they had been silent for days; whoever wrote them may have done so just now.
fn silence() {
    let gateway = Topology::new().gateway;
    // Less left than a connection with unacknowledged data has from the start, and more.
    fill(&gateway, flow::established(10, 10, ESTABLISHED_SECONDS - 150));
    fill(&gateway, (3000..3020).map(|port| Flow::established(CLIENT4, SERVER4, port, 428_000)));
    fill(&gateway, (2000..2020).map(|port| Flow::established(CLIENT4, SERVER4, port, 8000)));
    for (aged, certain) in [(false, 0), (true, 20)] {
        let mut setup = Setup::new(&gateway, "");
        setup.aged = aged;
        let list = setup.ctctl(&["list", "--json"]).stdout;
        // Of data in flight only the least idleness is known, and that is enough to call it short.
        let of_row = |row: Value| row["idle_seconds"].as_u64().or(row["idle_at_least_seconds"].as_u64());
        let row = |line| of_row(serde_json::from_str(line).expect("JSON Lines"));
        let idle: Vec<Option<u64>> = list.lines().map(row).collect();
        let silent = idle.iter().flatten().filter(|idle| **idle > 7440).count();
        let unknown = idle.iter().filter(|idle| idle.is_none()).count();
        assert!(idle.len() == 50 && (certain..=40).contains(&silent), "aged {aged}: {idle:?}");
        assert!(silent + unknown == 40, "aged {aged}: {idle:?}");
        let document = Doctor(setup).document("0s");
        let finding = of(&document, "established-five-days").expect("the kernel's default");
        let said = finding["evidence"].to_string();
        let told = |count: usize, text: String| assert_eq!(count > 0, said.contains(&text), "{text}: {said}");
        told(silent, format!("{silent} of 50 ESTABLISHED entries have been silent for more than 2 h 4 min"));
        told(unknown, format!("of {unknown} of 50 ESTABLISHED entries nobody can tell"));
        assert!(silent > 0 || !said.contains("silent for more than"), "{said}");
    }
}

fn changes_nothing() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(2000, 20, 100));
    let all = || {
        let names = std::fs::read_dir("/proc/sys/net/netfilter").expect("sysctls").flatten();
        let mut names: Vec<_> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| name.starts_with("nf_conntrack_"));
        names.sort();
        let values: Vec<_> =
            names.iter().map(|name| topology.gateway.sysctl(&format!("net/netfilter/{name}"))).collect();
        let ruleset = topology.gateway.must("nft", &["-a", "list", "ruleset"], "");
        let mut entries: Vec<_> = rows(&topology.gateway).iter().map(|row| row.identity()).collect();
        entries.sort();
        let modules = std::fs::read_to_string("/proc/modules").map(|text| {
            let names = text.lines().filter_map(|line| line.split(' ').next());
            names.map(str::to_owned).collect::<Vec<_>>()
        });
        (values, ruleset, entries, modules.unwrap_or_default())
    };
    let before = all();
    Doctor::new(&topology.gateway).document("0s");
    assert!(before == all(), "something is not what it was");
}

fn collisions() {
    let [first, second, ..] = cpus()[..] else {
        eprintln!("doctor: one CPU cannot collide with itself: nothing was tested");
        return;
    };
    let topology = quiet();
    let doctor = Doctor::new(&topology.gateway);
    let document = std::thread::scope(|scope| {
        let looking = scope.spawn(|| doctor.document("6s"));
        collide(&topology, [first, second]);
        looking.join().expect("the doctor")
    });
    assert_eq!(severity(&document, "insert-failed"), is("warning"), "{document:#}");
    assert_eq!(severity(&document, "drops"), None, "the table had room");
    assert_eq!(doctor.severity("insert-failed"), is("note"), "it does not rise any more");
}

/// Sends one datagram each from client ports counted from `first`.
fn send(topology: &Topology, first: u16, count: u16, to: (std::net::Ipv4Addr, u16)) {
    topology.client.enter(|| {
        for port in first..first + count {
            let socket = UdpSocket::bind((CLIENT4, port)).expect("a port");
            let _ = socket.send_to(b"x", to);
        }
    });
}

fn ports() {
    let topology = Topology::new();
    let rules = "flush ruleset\ntable ip nat {\n chain post { type nat hook postrouting priority srcnat; \
                 oifname \"g1\" meta l4proto udp snat to 192.0.2.1:40000-40999; }\n}";
    topology.gateway.must("nft", &["-f", "-"], rules);
    let doctor = Doctor::new(&topology.gateway);
    assert_eq!(doctor.severity("port-pressure"), None);
    let document = doctor.while_sending(&topology, "2s");
    assert_eq!(severity(&document, "port-pressure"), is("warning"), "{document:#}");
    assert_ne!(doctor.severity("port-pressure"), is("warning"), "none are taken now");
}

fn unneeded() {
    let namespace = Namespace::new(&format!("{}-u", unique()));
    let rules = "table inet filter {\n chain input { type filter hook input priority 0; policy accept;\n \
                 ct state established accept; ct state invalid counter; }\n}";
    namespace.must("nft", &["-f", "-"], rules);
    namespace.set_sysctl("net/netfilter/nf_conntrack_udp_timeout", 1);
    let talk = || {
        namespace.enter(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.send_to(b"x", socket.local_addr().expect("an address")).expect("sent");
        });
    };
    let count = || namespace.sysctl_number("net/netfilter/nf_conntrack_count");
    talk();
    assert!(count() > 0, "the rules make the kernel track");
    let doctor = Doctor::new(&namespace);
    assert_eq!(doctor.severity("conntrack-unneeded"), is("note"), "a rule counts by it");
    let plain = rules.replace("invalid counter", "invalid accept");
    namespace.must("nft", &["-f", "-"], &format!("flush ruleset\n{plain}"));
    let document = doctor.document("0s");
    assert_eq!(severity(&document, "conntrack-unneeded"), is("warning"), "{document:#}");
    assert_eq!(document["tracking_users"].as_array().map(Vec::len), Some(2));
    doctor.paste("conntrack-unneeded");
    wait::until("the last entry to end", Duration::from_secs(10), || {
        match doctor.severity("conntrack-unneeded") {
            None => Ok(()),
            Some(severity) => Err(format!("{severity}, {} entries", count())),
        }
    });
    talk();
    assert_eq!(count(), 0, "nothing is tracked any more");
    // The same rules under a policy of drop decide something.
    let needed = rules.replace("policy accept", "policy drop");
    namespace.must("nft", &["-f", "-"], &format!("flush ruleset\n{needed}"));
    assert_eq!(doctor.severity("conntrack-unneeded"), None);
    // As do rules that change packets by their state, or behind one that lets others past.
    for written in [
        "ct state new ip dscp set cs1",
        "ct state new ip ttl set 64",
        "ct state new tcp flags syn tcp option maxseg size set 1400",
        "ip6 dscp set cs1",
    ] {
        let written = rules.replace("ct state invalid counter", written);
        namespace.must("nft", &["-f", "-"], &format!("flush ruleset\n{written}"));
        assert_eq!(doctor.severity("conntrack-unneeded"), None, "{written}");
    }
    let by_map = rules.replace("ct state invalid counter", "ct state vmap { invalid : drop }");
    namespace.must("nft", &["-f", "-"], &format!("flush ruleset\n{by_map}"));
    assert_eq!(doctor.severity("conntrack-unneeded"), None);
}

fn untracked() {
    const GATEWAY: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 77, 0, 1);
    let topology = Topology::new();
    let asked = |n: u16| Flow::new(CLIENT4, GATEWAY, L4::Udp(20_000 + n, 53), 1000);
    fill(&topology.gateway, (0..2000).map(asked));
    let doctor = Doctor::new(&topology.gateway);
    let document = doctor.document("0s");
    let title = of(&document, "better-untracked").and_then(|f| f["title"].as_str()).unwrap_or_default();
    assert!(title.starts_with("DNS to this host holds 2000 entries"), "{document:#}");
    // A filter that lets DNS in by its state would drop what has none.
    let by_state = "add table inet gate\nadd chain inet gate input { type filter hook input priority 0; policy drop; }\n\
        add rule inet gate input udp dport 53 ct state new accept\n";
    topology.gateway.must("nft", &["-f", "-"], by_state);
    let fix = of(&doctor.document("0s"), "better-untracked").map(|found| found["fix"].to_string());
    let fix = fix.expect("the finding");
    assert!(fix.contains("inet gate input handle") && fix.contains("by ct state alone"), "{fix}");
    assert!(!fix.contains("notrack;"), "{fix}");
    topology.gateway.must("nft", &["insert rule inet gate input udp dport 53 accept"], "");
    doctor.paste("better-untracked");
    let server = topology.gateway.enter(|| UdpSocket::bind((GATEWAY, 53)).expect("port 53"));
    server.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let client = topology.client.enter(|| UdpSocket::bind((CLIENT4, 10_000)).expect("a port"));
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    client.send_to(b"?", (GATEWAY, 53)).expect("sent");
    let mut room = [0; 8];
    let (_, from) = server.recv_from(&mut room).expect("the question");
    server.send_to(b"!", from).expect("sent");
    client.recv_from(&mut room).expect("the answer");
    let tracked = rows(&topology.gateway).iter().filter(|row| row.source_port == 10_000).count();
    assert_eq!(tracked, 0, "question and answer pass without an entry");
    topology.gateway.must("conntrack", &["-D", "-p", "udp", "--dport", "53"], "");
    assert_eq!(doctor.severity("better-untracked"), None);
}

fn manager() {
    let namespace = Namespace::new(&format!("{}-m", unique()));
    let doctor = Doctor::new(&namespace);
    assert_eq!(doctor.severity("other-manager"), None);
    let program = doctor.0.dir.join("kube-proxy");
    std::fs::copy(find("sleep").expect("sleep"), &program).expect("a copy");
    let mut child = namespace.enter(|| Command::new(&program).arg("60").spawn().expect("a process"));
    let guard = Guard::new(Leftover::Process(child.id() as i32));
    wait::until("the process to have its name", Duration::from_secs(5), || {
        doctor.severity("other-manager").map(|_| ()).ok_or("not seen")
    });
    child.kill().and_then(|()| child.wait()).expect("its end");
    guard.forget();
    assert_eq!(doctor.severity("other-manager"), None);
}

fn full() {
    let restore = Restore::new();
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(500, 10, 0));
    restore.pin_max(500);
    let doctor = Doctor::new(&topology.gateway);
    let document = doctor.while_sending(&topology, "2s");
    assert_eq!(severity(&document, "drops"), is("error"), "{document:#}");
    assert_eq!(severity(&document, "early-drop"), None, "everything is ASSURED");
    // The kernel writes ten messages of its network in 5 s, of whichever namespace.
    let mut port = 20_000;
    let document = wait::until("the kernel to log it", Duration::from_secs(30), || {
        send(&topology, port, 10, (SERVER4, 9));
        port += 10;
        let document = doctor.document("0s");
        severity(&document, "table-full-logged").map(|_| document).ok_or("not logged")
    });
    let title = of(&document, "table-full-logged").and_then(|f| f["title"].as_str()).unwrap_or_default();
    assert!(title.ends_with(&format!("in netns {}", topology.gateway.inode())), "{title}");
    doctor.paste("drops");
    assert_eq!(hostwide::read(MAX), 1000);
    send(&topology, 40_000, 20, (SERVER4, 9));
    assert_eq!(doctor.severity("drops"), is("note"), "it is over");
    assert!(topology.count() >= 520, "{} entries", topology.count());
    // Another namespace's full table is not this one's.
    assert_eq!(Doctor::new(&topology.server).severity("table-full-logged"), None);
}

fn sheds() {
    let restore = Restore::new();
    let topology = Topology::new();
    // In the few buckets where the kernel looks there has to be one that may go.
    restore.pin_max(hostwide::read(BUCKETS).min(262_144) / 2);
    let max = hostwide::read(MAX) as u32;
    fill(&topology.gateway, flow::established(max, 500, 0).map(Flow::unreplied));
    let doctor = Doctor::new(&topology.gateway);
    let document = doctor.while_sending(&topology, "3s");
    assert_eq!(severity(&document, "early-drop"), is("warning"), "{document:#}");
}

fn sizes() {
    let restore = Restore::new();
    let gateway = Topology::new().gateway;
    let doctor = Doctor::new(&gateway);
    let buckets = hostwide::read(BUCKETS);
    restore.pin_max(8 * buckets + 1);
    assert_eq!(doctor.severity("max-over-buckets"), is("warning"));
    doctor.paste("max-over-buckets");
    assert!(hostwide::read(BUCKETS) > buckets, "resized");
    assert_eq!(doctor.severity("max-over-buckets"), None);
    restore.pin_max(i32::MAX as u64);
    assert_eq!(doctor.severity("memory-of-max"), is("error"));
    doctor.paste("memory-of-max");
    assert_eq!(doctor.severity("memory-of-max"), None);
    restore.pin_max(1024);
    assert_eq!(doctor.severity("buckets-over-need"), is("note"));
    doctor.paste("buckets-over-need");
    assert_eq!(hostwide::read(BUCKETS), 1024);
    assert_eq!(doctor.severity("buckets-over-need"), None);
}

/// In a mount namespace with a directory of sysctls of its own, on the host's network namespace.
fn differs() {
    let name = "nf_conntrack_sctp_timeout_heartbeat_sent";
    let path = std::path::PathBuf::from("/proc/sys/net/netfilter").join(name);
    let now: u64 = std::fs::read_to_string(&path).expect("the value").trim().parse().expect("a number");
    let _guard = Guard::new(Leftover::Value(path, now.to_string()));
    let script = format!(
        "mount -t tmpfs tmpfs /etc/sysctl.d && echo 'net.netfilter.{name} = {}' > /etc/sysctl.d/50-x.conf && \
         exec \"$0\" doctor --json --sample 0s",
        now + 1
    );
    let look = || {
        let mut command = tool("unshare");
        command.args(["--mount", "sh", "-c", &script, crate::harness::agent::CTCTL]);
        let answer = run(command, "", PATIENCE);
        let document: Value = serde_json::from_str(&answer.stdout).expect("one document");
        of(&document, "runtime-differs").cloned()
    };
    let finding = look().expect("the file says another value");
    assert_eq!(finding["severity"], "warning");
    let command = finding["fix"][0].as_str().expect("a command");
    assert_eq!(command, format!("sysctl -w net.netfilter.{name}={}", now + 1));
    shell(command);
    assert_eq!(look(), None);
}
