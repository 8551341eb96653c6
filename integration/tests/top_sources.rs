//! `top-sources` in all its forms, against the suite's own dump of the table.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::agent::{CTCTL, Setup, limit};
use crate::harness::fill::{Writer, churn, fill};
use crate::harness::flow::{self, Flow, L4};
use crate::harness::table;
use crate::harness::tool::{Answer, run, tool};
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("top_sources::a_saved_table_counts_as_the_kernels_own", saved),
    test("top_sources::groups_and_orders_are_the_tables", groups),
    test("top_sources::new_entries_a_second_by_agent_and_by_listening", new),
    test("top_sources::watch_is_a_line_a_time_and_ends_cleanly", watch),
];

/// Both families, four protocols, zones, marks, with and without a reply.
fn mixed() -> Topology {
    let topology = Topology::new();
    let mut flows = Vec::new();
    for n in 0..300u32 {
        let source = flow::source(n % 17);
        let (port, service) = (1000 + n as u16, [443, 53, 22][n as usize % 3]);
        let l4 = match n % 4 {
            0 => L4::Tcp(port, service, table::ESTABLISHED),
            1 => L4::Udp(port, service),
            2 => L4::Echo(port),
            _ => L4::Sctp(port, service, 4),
        };
        let mut one = Flow::new(source, [192, 0, 2, 9], l4, 3000);
        one.zone = if n % 5 == 0 { 7 } else { 0 };
        one.mark = n % 3;
        flows.push(if n % 2 == 0 { one.unreplied() } else { one });
    }
    for n in 0..60u16 {
        let source = std::net::Ipv6Addr::new(0xfd00, 0, 0, n % 2, 0, 0, 0, 1 + n % 4);
        let destination: std::net::Ipv6Addr = "fd00:9::9".parse().expect("an address");
        flows.push(Flow::new(source, destination, L4::Udp(2000 + n, 53), 3000));
    }
    fill(&topology.gateway, flows);
    topology
}

/// A document's rows without what depends on when and how it was made.
fn rows(document: &Value) -> Vec<Value> {
    let rows = document["sources"].as_array().or(document["rows"].as_array()).expect("rows").clone();
    rows.into_iter()
        .map(|mut row| {
            row.as_object_mut()
                .expect("a row")
                .retain(|name, _| !matches!(name.as_str(), "idle" | "idle_unknown" | "new_per_second"));
            row
        })
        .collect()
}

fn saved() {
    let topology = mixed();
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    let direct = rows(&setup.json(&["top-sources", "-n", "0", "--direct"]));
    assert!(direct.len() > 20, "{direct:?}");
    let conntrack = |options: &[&str]| {
        let of = |family| topology.gateway.must("conntrack", &[&["-L", "-f", family], options].concat(), "");
        of("ipv4") + &of("ipv6")
    };
    let proc = topology.gateway.enter(|| std::fs::read_to_string("/proc/thread-self/net/nf_conntrack"));
    let texts = [conntrack(&[]), conntrack(&["-o", "extended"]), conntrack(&["-o", "id,extended"])];
    for text in texts.into_iter().chain(proc.ok()) {
        let file = setup.dir.join("saved.txt");
        std::fs::write(&file, &text).expect("a file");
        let name = file.to_str().expect("text");
        let client = |input| {
            let mut command = Command::new(CTCTL);
            command.args(["top-sources", "-n", "0", "--json", "--input", input]);
            command
        };
        let document = |answer: &Answer| serde_json::from_str::<Value>(&answer.stdout).expect("JSON");
        let read = document(&run(client(name), "", Duration::from_secs(20)));
        assert_eq!((rows(&read), &read["unreadable_lines"]), (direct.clone(), &0.into()), "{text}");
        assert_eq!(read["basis"], "dump");
        // A line that is cut loses itself alone, from standard input as well.
        let (first, rest) = text.split_once('\n').expect("lines");
        let mut client = client("-");
        client.stdin(Stdio::piped());
        let answer = run(client, &format!("{}\n{rest}", &first[..40]), Duration::from_secs(20));
        let read = document(&answer);
        assert_eq!((&read["entries"], &read["unreadable_lines"]), (&359.into(), &1.into()), "{answer:?}");
        assert!(answer.code == 0 && answer.stderr.contains("line 1"), "{answer:?}");
    }
    // The forms that only this conntrack's version may have, and what logs and grep put before a line.
    let of = |options: &[&str]| {
        let mut command = tool("conntrack");
        command.arg("-L").args(options);
        topology.gateway.enter(|| run(command, "", Duration::from_secs(20)))
    };
    let forms = [&["-o", "save"][..], &["-o", "xml"], &["-o", "extended,id,ktimestamp"]].map(of);
    let taken = forms.into_iter().filter(|answer| answer.code == 0).map(|answer| answer.stdout);
    let plain = conntrack(&[]);
    let prefixed = |prefix: &str| plain.lines().map(|line| format!("{prefix}{line}\n")).collect::<String>();
    let prefixes = ["Jun 17 13:13:20 gw ct[6]: ", "saved.6:17:", "[pod/gw-6/ct] 2026-06-17T13:13:20.5Z "];
    for text in taken.chain(prefixes.map(prefixed)) {
        let mut client = Command::new(CTCTL);
        client.args(["top-sources", "-n", "0", "--json", "--input", "-"]).stdin(Stdio::piped());
        let answer = run(client, &text, Duration::from_secs(20));
        let read: Value = serde_json::from_str(&answer.stdout).expect("JSON");
        assert_eq!((rows(&read), &read["unreadable_lines"]), (direct.clone(), &0.into()), "{text}");
    }
}

fn groups() {
    let topology = mixed();
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    let _agent = setup.start();
    let kernel = table::rows(&topology.gateway);
    let ask = |args: &[&str]| setup.json(&[&["top-sources", "-n", "0"], args].concat());
    let counted = |document: &Value| {
        let pair = |row: &Value| Some((row["key"].as_str()?.to_string(), row["entries"].as_u64()?));
        rows(document).iter().filter_map(pair).fold(BTreeMap::new(), |mut sums, (key, n)| {
            *sums.entry(key).or_insert(0) += n;
            sums
        })
    };
    let expected = |key: &dyn Fn(&table::Row) -> String| {
        kernel.iter().fold(BTreeMap::new(), |mut sums: BTreeMap<String, u64>, row| {
            *sums.entry(key(row)).or_default() += 1;
            sums
        })
    };
    let service = |row: &table::Row| match row.protocol {
        1 => "icmp".to_string(),
        58 => "icmpv6".to_string(),
        n => {
            let name = match n {
                6 => "tcp",
                17 => "udp",
                _ => "sctp",
            };
            format!("{name}/{}", row.destination_port)
        }
    };
    for (group, key) in [
        ("destination", &(|row: &table::Row| row.destination.to_string()) as &dyn Fn(&table::Row) -> String),
        ("service", &service),
        ("zone", &|row| row.zone.to_string()),
        ("mark", &|row| row.mark.to_string()),
        ("nat-source", &|_| "none".into()),
    ] {
        let document = ask(&["--group", group]);
        assert_eq!((&document["group"], &document["basis"]), (&group.into(), &"dump".into()));
        assert_eq!(counted(&document), expected(key), "{group}");
    }
    let unreplied = ask(&["--by", "unreplied"]);
    let amounts: Vec<u64> = rows(&unreplied).iter().filter_map(|row| row["unreplied"].as_u64()).collect();
    assert!(amounts[0] > 0 && amounts.is_sorted_by(|a, b| a >= b), "{amounts:?}");
    let silent = kernel.iter().filter(|row| row.status & table::IPS_SEEN_REPLY == 0).count() as u64;
    assert_eq!(amounts.iter().sum::<u64>(), silent);
    // The agent answers what it keeps, and filters are not of that.
    assert_eq!(ask(&[])["basis"], "agent");
    let udp = ask(&["-p", "udp", "--not", "-w", "7"]);
    let wanted = kernel.iter().filter(|row| row.protocol == 17 && row.zone != 7).count();
    assert_eq!((&udp["basis"], &udp["entries"]), (&"dump".into(), &wanted.into()));
}

fn new() {
    let topology = Topology::new();
    fill(
        &topology.gateway,
        (0..500).map(|port| Flow::established([10, 1, 1, 1], [192, 0, 2, 9], 1000 + port, 60)),
    );
    // The agent knows the rate of a source for as long as it holds anything.
    fill(&topology.gateway, [Flow::established([10, 2, 2, 2], [192, 0, 2, 9], 65_000, 60)]);
    let setup = Setup::new(&topology.gateway, &limit(100_000));
    let busy = |n: u32| Flow::established([10, 2, 2, 2], [192, 0, 2, 9], 1000 + (n % 60_000) as u16, 60);
    let fastest = |document: &Value| {
        let row = document["sources"][0].clone();
        (row["source"].clone(), row["new_per_second"].as_f64().unwrap_or(-1.0))
    };
    for basis in ["dump", "agent"] {
        let _agent = (basis == "agent").then(|| setup.start());
        let (gateway, ended) = (&topology.gateway, AtomicBool::new(false));
        let ended = &ended;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut writer = Writer::new(gateway);
                while !ended.load(Relaxed) {
                    churn(&mut writer, 500, 250, 50, busy);
                    for n in 200..250 {
                        writer.delete(&busy(n));
                    }
                    writer.flush();
                }
            });
            let seen = wait::until_or("the busy source first", Duration::from_secs(30), || {
                let top = setup.try_json(&["top-sources", "--by", "new", "-n", "2"])?;
                let (source, rate) = fastest(&top);
                let right = source == "10.2.2.2" && rate > 100.0 && rate < 1000.0 && top["basis"] == basis;
                if right { Ok(()) } else { Err(top.to_string()) }
            });
            ended.store(true, Relaxed);
            seen.unwrap_or_else(|why| panic!("{basis}: {why}"));
        });
    }
}

/// Its lines as they come.
fn watching(setup: &Setup) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut client = setup.client(&["top-sources", "--watch=0.1", "--json", "-n", "1"]);
    let mut child = client.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a client");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, out)
}

fn line(out: &mut impl BufRead) -> Value {
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    assert!(line.ends_with('\n'), "{line:?}");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn ended(mut child: Child) -> Option<i32> {
    let status = wait::until("the end", Duration::from_secs(20), || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    });
    status.code()
}

fn watch() {
    let topology = mixed();
    let mut setup = Setup::new(&topology.gateway, &limit(10_000));
    // The process itself, without one around it that ages it.
    setup.aged = false;
    let (child, mut out) = watching(&setup);
    for _ in 0..3 {
        let document = line(&mut out);
        assert_eq!((&document["entries"], &document["schema"]), (&360.into(), &1.into()));
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("a signal");
    // What was begun is whole.
    let rest: Vec<String> = out.lines().map(|line| line.expect("text")).collect();
    assert!(rest.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{rest:?}");
    assert_eq!(ended(child), Some(0));
    let (child, mut out) = watching(&setup);
    line(&mut out);
    drop(out);
    assert_eq!(ended(child), Some(0), "a closed pipe is no error");
}
