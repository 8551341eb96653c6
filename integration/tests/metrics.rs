//! The metrics endpoint over a real agent: what it tells, and who may ask how.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, L4, source};
use crate::harness::scrape::{Metrics, Response, ask, tcp, unix};
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("metrics::every_name_of_the_contract_is_told_and_agrees_with_status", names).needs(&[Need::Age]),
    test("metrics::only_get_and_head_of_metrics_are_answered", manners),
    test("metrics::hostile_clients_cost_a_connection_each_and_nothing_else", hostile),
    test("metrics::the_oldest_that_has_not_asked_makes_room_for_the_next", half_open),
    test("metrics::a_port_that_is_taken_is_waited_for", taken),
    test("metrics::sources_are_told_only_where_they_are_wanted", sources),
];

/// Family and kind of each name of the contract.
const CONTRACT: &[(&str, &str)] = &[
    ("ctctl_entries", "gauge"),
    ("ctctl_entries_by", "gauge"),
    ("ctctl_max", "gauge"),
    ("ctctl_limit", "gauge"),
    ("ctctl_max_ceiling", "gauge"),
    ("ctctl_memory_budget_bytes", "gauge"),
    ("ctctl_buckets", "gauge"),
    ("ctctl_level", "gauge"),
    ("ctctl_seconds_to_full", "gauge"),
    ("ctctl_new", "counter"),
    ("ctctl_destroyed", "counter"),
    ("ctctl_kernel_stat", "counter"),
    ("ctctl_sources", "gauge"),
    ("ctctl_source_entries", "gauge"),
    ("ctctl_timeout_seconds", "gauge"),
    ("ctctl_timeout_baseline_seconds", "gauge"),
    ("ctctl_actions", "counter"),
    ("ctctl_act_duration_seconds", "histogram"),
    ("ctctl_flushed", "counter"),
    ("ctctl_regret", "counter"),
    ("ctctl_protected_entries", "gauge"),
    ("ctctl_values_overridden", "counter"),
    ("ctctl_overruns", "counter"),
    ("ctctl_lost_events", "counter"),
    ("ctctl_event_buffer_bytes", "gauge"),
    ("ctctl_event_queued_bytes", "gauge"),
    ("ctctl_event_lag_seconds", "gauge"),
    ("ctctl_event_stall_seconds", "gauge"),
    ("ctctl_resyncs", "counter"),
    ("ctctl_synced", "gauge"),
    ("ctctl_journal_ok", "gauge"),
    ("ctctl_log_lines_dropped", "counter"),
    ("ctctl_dry_run", "gauge"),
    ("ctctl_namespace_watched", "gauge"),
    ("ctctl_build_info", "gauge"),
];

fn listening(setup: &Setup) -> String {
    format!("[metrics]\nlisten = \"unix:{}\"\n", setup.dir.join("metrics").display())
}

fn get(setup: &Setup) -> Response {
    let path = setup.dir.join("metrics");
    wait::until("an answer", Duration::from_secs(10), || ask(unix(&path)?, "GET", "/metrics"))
}

/// A page that is no older than this call.
fn scrape(setup: &Setup) -> Metrics {
    std::thread::sleep(Duration::from_millis(600));
    Metrics::parse(&get(setup).body)
}

fn names() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(10_000, 100, 8000));
    let udp = |n: u16| Flow::new(source(7000), SERVER4, L4::Udp(n, 4000), 29).unreplied();
    fill(&topology.gateway, (2000..2007).map(udp));
    let setup = Setup::new(&topology.gateway, "");
    setup.write("", &format!("{}{}", limit(10_000), listening(&setup)));
    let agent = setup.start();
    wait::until("relief", Duration::from_secs(10), || {
        let count = topology.count();
        if count <= 7100 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    fill(&topology.gateway, (2000..2005).map(|port| Flow::established(source(8000), SERVER4, port, 0)));
    let response = get(&setup);
    assert_eq!(
        response.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let metrics = scrape(&setup);
    for (name, kind) in CONTRACT {
        assert_eq!(metrics.families.get(*name).map(String::as_str), Some(*kind), "{name}");
    }
    let status = agent.status();
    let netns: &[(&str, &str)] = &[("netns", &topology.gateway.name)];
    let told = |name| metrics.one(name, netns);
    assert_eq!(told("ctctl_entries"), topology.count() as f64);
    assert_eq!(Some(told("ctctl_max")), status["max"].as_f64());
    assert_eq!(told("ctctl_limit"), 10_000.0);
    assert_eq!(Some(told("ctctl_buckets")), status["buckets"].as_f64());
    assert_eq!(told("ctctl_new_total"), 5.0, "what began since the agent listens");
    assert_eq!((told("ctctl_synced"), told("ctctl_journal_ok"), told("ctctl_dry_run")), (1.0, 1.0, 0.0));
    let stats: f64 = metrics.of("ctctl_kernel_stat_total", netns).iter().sum();
    assert!(stats >= 0.0 && metrics.of("ctctl_kernel_stat_total", netns).len() == 4);
    let established = status["timeouts"].as_array().expect("timeouts").len();
    assert_eq!(metrics.of("ctctl_timeout_seconds", netns).len(), established);
    let flushed = metrics.one("ctctl_flushed_total", &[("class", "established")]);
    assert!((2900.0..=3100.0).contains(&flushed), "{flushed}");
    assert_eq!(metrics.of("ctctl_regret_total", &[]).iter().sum::<f64>(), 0.0);
    let done = metrics.one("ctctl_actions_total", &[("action", "flush"), ("result", "done")]);
    let (count, sum) = (told("ctctl_act_duration_seconds_count"), told("ctctl_act_duration_seconds_sum"));
    assert!(done >= 1.0 && count >= done && sum > 0.0, "{done} {count} {sum}");
    let mut buckets: Vec<(f64, f64)> = metrics
        .samples
        .iter()
        .filter(|((name, _), _)| name == "ctctl_act_duration_seconds_bucket")
        .map(|((_, labels), n)| (labels["le"].replace("+Inf", "inf").parse().expect("a bound"), *n))
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)));
    assert_eq!(metrics.one("ctctl_entries_by", &[("protocol", "udp"), ("state", "unreplied")]), 7.0);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(metrics.one("ctctl_build_info", &version), 1.0);
    assert_eq!(agent.stop(), 0);
    assert!(!setup.dir.join("metrics").exists(), "the socket goes with the agent");
}

/// A port of this namespace, where agents are started, that nobody has for now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn on_port(port: u16) -> String {
    format!("{}[metrics]\nlisten = \"127.0.0.1:{port}\"\n", limit(100_000))
}

fn manners() {
    let topology = Topology::new();
    let port = free_port();
    let mut setup = Setup::new(&topology.gateway, &on_port(port));
    setup.aged = false;
    let agent = setup.start();
    let ask =
        |method: &str, path: &str| ask(tcp(port).expect("a connection"), method, path).expect("an answer");
    let page = ask("GET", "/metrics");
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-length"], page.body.len().to_string());
    assert_eq!(ask("GET", "/metrics?name=x").status, 200, "a query changes nothing");
    let head = ask("HEAD", "/metrics");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.headers["content-type"], page.headers["content-type"]);
    assert!(head.headers["content-length"].parse::<usize>().expect("a length") > 1000);
    for path in ["/", "/metrics/", "/metric", "/../metrics"] {
        assert_eq!(ask("GET", path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = ask(method, "/metrics");
        assert_eq!((refused.status, refused.headers["allow"].as_str()), (405, "GET, HEAD"), "{method}");
    }
    assert_eq!(agent.stop(), 0);
    tcp(port).expect_err("nobody listens any more");
}

fn hostile() {
    let topology = Topology::new();
    let port = free_port();
    let mut setup = Setup::new(&topology.gateway, &on_port(port));
    setup.aged = false;
    let agent = setup.start();
    // Headers without end.
    let mut huge = tcp(port).expect("a connection");
    let line = format!("X: {}\r\n", "y".repeat(4000));
    let _ = huge.write_all(b"GET /metrics HTTP/1.1\r\n");
    let sent = (0..100).take_while(|_| huge.write_all(line.as_bytes()).is_ok()).count();
    let mut answer = Vec::new();
    let _ = huge.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains(" 200 "), "after {sent} headers");
    // Gone before the answer, or talking nonsense.
    for nonsense in ["", "GET /metrics HTTP/1.1\r\n\r\n", "\0\0\0\0", "GET / HTTP/9\r\n\r\n"] {
        let mut gone = tcp(port).expect("a connection");
        gone.write_all(nonsense.as_bytes()).expect("a few bytes");
    }
    // More of them than are let in, each silent after its first bytes.
    let started = Instant::now();
    let mut slow: Vec<_> = (0..40).map(|_| tcp(port).expect("a place in the backlog")).collect();
    slow.iter_mut().for_each(|wire| drop(wire.write_all(b"GET /metrics HT")));
    assert_eq!(agent.status()["level"], "normal", "the agent answers all the same");
    wait::until("an answer in spite of them", Duration::from_secs(12), || {
        match ask(tcp(port)?, "GET", "/metrics") {
            Ok(response) if response.status == 200 => Ok(()),
            other => Err(std::io::Error::other(format!("{other:?}"))),
        }
    });
    for wire in &mut slow {
        // Closed: an end, or a reset where our bytes were not read.
        let _ = wire.read(&mut [0; 512]);
    }
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(agent.status()["agent"]["synced"], true);
    assert_eq!(agent.stop(), 0);
}

/// More silent connections than there may be, and still whoever comes last is answered at once.
fn half_open() {
    let topology = Topology::new();
    let port = free_port();
    let mut setup = Setup::new(&topology.gateway, &on_port(port));
    setup.aged = false;
    let agent = setup.start();
    let connect = || tcp(port).expect("a place in the backlog");
    let mut silent: Vec<_> = (0..16).map(|_| connect()).collect();
    silent.iter_mut().for_each(|wire| wire.write_all(b"GET /metrics HT").expect("a few bytes"));
    for _ in 0..3 {
        let asked = Instant::now();
        assert_eq!(ask(connect(), "GET", "/metrics").expect("an answer").status, 200);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
    // The oldest has gone for it, the latest can still ask.
    let gone = silent.remove(0).read(&mut [0; 512]);
    assert!(!matches!(gone, Ok(1..)), "{gone:?}");
    let mut latest = silent.pop().expect("the latest");
    latest.write_all(b"TP/1.1\r\nHost: gateway\r\n\r\n").expect("the rest");
    let mut answer = String::new();
    latest.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    assert_eq!(agent.stop(), 0);
}

fn taken() {
    let topology = Topology::new();
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("bound").port();
    let mut setup = Setup::new(&topology.gateway, &on_port(port));
    setup.aged = false;
    let agent = setup.start();
    let waits = || agent.status()["waiting"].to_string();
    wait::until("a word on it", Duration::from_secs(5), || {
        let waiting = waits();
        let said = waiting.contains("metrics wait") && waiting.contains(&port.to_string());
        if said { Ok(()) } else { Err(waiting) }
    });
    drop(holder);
    wait::until("the metrics", Duration::from_secs(12), || ask(tcp(port)?, "GET", "/metrics").map(drop));
    assert!(!waits().contains("metrics"), "{}", waits());
    assert_eq!(agent.stop(), 0);
    // Switched off: no word, no listener.
    setup.write("", &limit(100_000));
    let agent = setup.start();
    assert!(!agent.status()["waiting"].to_string().contains("metrics"));
    tcp(port).expect_err("nobody listens");
    assert_eq!(agent.stop(), 0);
}

fn sources() {
    let topology = Topology::new();
    for (n, entries) in [(1, 30), (2, 20), (3, 10)] {
        let of = |port: u16| Flow::established(source(n), SERVER4, port, 0);
        fill(&topology.gateway, (2000..2000 + entries).map(of));
    }
    let mut setup = Setup::new(&topology.gateway, "");
    setup.aged = false;
    setup.write("", &format!("{}{}", limit(100_000), listening(&setup)));
    let agent = setup.start();
    let metrics = scrape(&setup);
    assert_eq!(metrics.of("ctctl_source_entries", &[]), [0.0; 0]);
    assert_eq!(metrics.of("ctctl_sources", &[]), [3.0]);
    setup.write("", &format!("{}{}top_sources = 2\n", limit(100_000), listening(&setup)));
    assert_eq!(setup.ctctl(&["reload"]).code, 0);
    let metrics = scrape(&setup);
    assert_eq!(metrics.of("ctctl_source_entries", &[]).len(), 2);
    assert_eq!(metrics.one("ctctl_source_entries", &[("source", &source(1).to_string())]), 30.0);
    assert_eq!(metrics.one("ctctl_source_entries", &[("source", &source(2).to_string())]), 20.0);
    // The third overtakes the second, which stays all the same.
    fill(&topology.gateway, (3000..3015).map(|port| Flow::established(source(3), SERVER4, port, 0)));
    let metrics = scrape(&setup);
    assert_eq!(metrics.one("ctctl_source_entries", &[("source", &source(2).to_string())]), 20.0);
    assert_eq!(agent.stop(), 0);
}
