//! Accepted values, key by key and in every way to write them.

use std::collections::BTreeMap;

use crate::config::{known_keys, parse};
use crate::core::model::*;

/// Every key with a value that is not its default.
pub(in crate::config) const ALL: &[(&str, &str, &str)] = &[
    ("agent", "netns", r#"["gw1", "/proc/7/ns/net"]"#),
    ("agent", "socket", r#""/run/a.sock""#),
    ("agent", "state_dir", r#""/srv/state""#),
    ("agent", "dry_run", "true"),
    ("agent", "interval_ms", "1_000"),
    ("agent", "socket_group", r#""adm""#),
    ("agent", "restore_on_exit", r#""never""#),
    ("agent", "events", r#""keep""#),
    ("agent", "remember_entries", "true"),
    ("pressure", "target_percent", "60"),
    ("pressure", "low_percent", "70.5"),
    ("pressure", "high_percent", "85"),
    ("pressure", "critical_percent", "1e2"),
    ("pressure", "horizon_seconds", "0"),
    ("pressure", "calm_seconds", "0.5"),
    ("capacity", "enabled", "false"),
    ("capacity", "memory_percent", "90"),
    ("capacity", "keep_available_percent", "0"),
    ("capacity", "ceiling", "4294967295"),
    ("capacity", "limit", "0x10000"),
    ("capacity", "buckets", r#""never""#),
    ("capacity", "stall_budget_ms", "7.5"),
    ("flush", "enabled", "false"),
    ("flush", "idle_proof", r#""observed""#),
    ("flush", "per_second_high", "1"),
    ("flush", "per_second_critical", "2"),
    ("flush", "fair_share", "false"),
    ("flush", "source_prefix", "[24, 56]"),
    ("flush", "source_weights", r#"{ "fd00::7" = 2.5, "10.1.2.3/8" = 20 }"#),
    ("flush", "closed_idle_floor_seconds", "6"),
    ("flush", "time_wait_idle_floor_seconds", "66"),
    ("flush", "unreplied_idle_floor_seconds", "36"),
    ("flush", "udp_short_ports", "[53]"),
    ("flush", "udp_short_idle_floor_seconds", "11"),
    ("flush", "udp_idle_floor_seconds", "121"),
    ("flush", "other_idle_floor_seconds", "241"),
    ("flush", "established_idle_floor_seconds", "7441"),
    ("flush", "emergency_idle_floor_seconds", "61"),
    ("flush", "grace_seconds", "62"),
    ("timeouts", "enabled", "false"),
    ("timeouts", "tcp_established_floor_seconds", "8000"),
    ("timeouts", "tcp_syn_sent_floor_seconds", "61"),
    ("timeouts", "tcp_syn_recv_floor_seconds", "62"),
    ("timeouts", "tcp_last_ack_floor_seconds", "31"),
    ("timeouts", "tcp_time_wait_floor_seconds", "63"),
    ("timeouts", "tcp_close_floor_seconds", "9"),
    ("timeouts", "udp_floor_seconds", "32"),
    ("timeouts", "udp_stream_floor_seconds", "130"),
    ("timeouts", "icmp_floor_seconds", "64"),
    ("timeouts", "icmpv6_floor_seconds", "65"),
    ("timeouts", "generic_floor_seconds", "250"),
    ("timeouts", "gre_floor_seconds", "33"),
    ("timeouts", "gre_stream_floor_seconds", "181"),
    ("timeouts", "sctp_established_floor_seconds", "211"),
    ("protect", "sources", r#"["10.0.0.1", "10.0.8.0/24", "fd00::/8"]"#),
    ("protect", "destinations", r#"["192.0.2.1/32"]"#),
    ("protect", "ports", "[22, 65535]"),
    ("protect", "marks", r#"["0x1/0xff", "7", 9]"#),
    ("protect", "zones", "[0, 65535]"),
    ("protect", "helpers", "false"),
    ("protect", "own_ssh", "false"),
    ("protect", "max_percent", "100"),
    ("metrics", "listen", r#""unix:/run/m.sock""#),
    ("metrics", "top_sources", "20"),
    ("log", "format", r#""json""#),
];

pub(super) fn document() -> String {
    let mut text = String::new();
    let mut open = "";
    for (table, key, value) in ALL {
        if *table != open {
            text += &format!("[{table}]\n");
            open = table;
        }
        text += &format!("{key} = {value}\n");
    }
    text
}

fn networks(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn expected() -> Settings {
    let floors: BTreeMap<Timeout, u32> = [
        ("tcp_timeout_established", 8000),
        ("tcp_timeout_syn_sent", 61),
        ("tcp_timeout_syn_recv", 62),
        ("tcp_timeout_last_ack", 31),
        ("tcp_timeout_time_wait", 63),
        ("tcp_timeout_close", 9),
        ("udp_timeout", 32),
        ("udp_timeout_stream", 130),
        ("icmp_timeout", 64),
        ("icmpv6_timeout", 65),
        ("generic_timeout", 250),
        ("gre_timeout", 33),
        ("gre_timeout_stream", 181),
        ("sctp_timeout_established", 211),
    ]
    .map(|(name, seconds)| (Timeout::named(name).unwrap(), seconds))
    .into();
    let networks_weighed = networks(&["fd00::7/128", "10.0.0.0/8"]);
    Settings {
        agent: AgentSettings {
            netns: vec!["gw1".into(), "/proc/7/ns/net".into()],
            socket: Some("/run/a.sock".into()),
            state_dir: Some("/srv/state".into()),
            dry_run: true,
            interval_ms: 1000,
            socket_group: "adm".into(),
            restore_on_exit: RestoreOnExit::Never,
            events: EventsSetting::Keep,
            remember_entries: true,
        },
        pressure: PressureSettings {
            target_percent: 60.0,
            low_percent: 70.5,
            high_percent: 85.0,
            critical_percent: 100.0,
            horizon_seconds: 0.0,
            calm_seconds: 0.5,
        },
        capacity: CapacitySettings {
            enabled: false,
            memory_percent: 90.0,
            keep_available_percent: 0.0,
            ceiling: 4_294_967_295,
            limit: 65536,
            buckets: BucketsSetting::Never,
            stall_budget_ms: 7.5,
        },
        flush: FlushSettings {
            enabled: false,
            idle_proof: IdleProof::Observed,
            per_second_high: 1,
            per_second_critical: 2,
            fair_share: false,
            source_prefix: (24, 56),
            source_weights: networks_weighed.into_iter().zip([2.5, 20.0]).collect(),
            closed_idle_floor_seconds: 6,
            time_wait_idle_floor_seconds: 66,
            unreplied_idle_floor_seconds: 36,
            udp_short_ports: vec![53],
            udp_short_idle_floor_seconds: 11,
            udp_idle_floor_seconds: 121,
            other_idle_floor_seconds: 241,
            established_idle_floor_seconds: 7441,
            emergency_idle_floor_seconds: 61,
            grace_seconds: 62,
        },
        timeouts: TimeoutSettings { enabled: false, floors_seconds: floors },
        protect: ProtectSettings {
            sources: networks(&["10.0.0.1/32", "10.0.8.0/24", "fd00::/8"]),
            destinations: networks(&["192.0.2.1/32"]),
            ports: vec![22, 65535],
            marks: vec![
                Mark { value: 1, mask: 0xff },
                Mark { value: 7, mask: u32::MAX },
                Mark { value: 9, mask: u32::MAX },
            ],
            zones: vec![0, 65535],
            helpers: false,
            own_ssh: false,
            max_percent: 100.0,
        },
        metrics: MetricsSettings { listen: "unix:/run/m.sock".into(), top_sources: 20 },
        log: LogSettings { format: LogFormat::Json },
    }
}

#[test]
fn an_empty_file_and_empty_tables_are_the_defaults() {
    let headers: String = known_keys().iter().map(|(table, _)| format!("[{table}]\n")).collect();
    for text in ["", "# nothing\n", "\u{feff}", headers.as_str()] {
        assert_eq!(parse(text, "f").unwrap(), Settings::default(), "{text:?}");
    }
}

#[test]
fn every_key_is_read() {
    assert_eq!(parse(&document(), "f").unwrap(), expected());
    assert_eq!(parse(&document().replace('\n', "\r\n"), "f").unwrap(), expected());
}

#[test]
fn every_key_alone_changes_its_own_setting() {
    for (table, key, value) in ALL {
        for text in [format!("[{table}]\n{key} = {value}"), format!("{table}.{key} = {value}")] {
            let settings = parse(&text, "f").unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_ne!(settings, Settings::default(), "{text}");
        }
    }
}

#[test]
fn the_document_above_has_every_known_key() {
    let known = known_keys().into_iter().flat_map(|(table, keys)| keys.into_iter().map(move |k| (table, k)));
    let mut known: Vec<_> = known.collect();
    let mut tested: Vec<_> = ALL.iter().map(|(table, key, _)| (*table, *key)).collect();
    known.sort_unstable();
    tested.sort_unstable();
    assert_eq!(tested, known);
}

#[test]
fn other_ways_to_write_a_value() {
    let of = |text: &str| parse(text, "f").unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(of("agent = { netns = 'gw' }").agent.netns, ["gw"]);
    assert_eq!(of("[agent]\nnetns = []").agent.netns, [""; 0]);
    assert_eq!(of("[metrics]\nlisten = ''").metrics.listen, "");
    assert_eq!(of("[metrics]\nlisten = '[::1]:9466'").metrics.listen, "[::1]:9466");
    let equal = of("[pressure]\ntarget_percent = 75").pressure;
    assert_eq!((equal.target_percent, equal.low_percent), (75.0, 75.0));
    let text = "[flush]\nper_second_high = 5\n[flush.source_weights]\n\"10.0.0.0/8\" = 20\n";
    assert_eq!(of(text).flush.source_weights, [("10.0.0.0/8".parse().unwrap(), 20.0)]);
    let marks = of("[protect]\nmarks = ['0XFFFFFFFF', '0/1', '4294967295/0xffffffff']").protect.marks;
    let mark = |value, mask| Mark { value, mask };
    assert_eq!(marks, [mark(u32::MAX, u32::MAX), mark(0, 1), mark(u32::MAX, u32::MAX)]);
}

#[test]
fn a_time_is_a_number_or_a_text_with_units_under_every_key_of_time() {
    let of_time = ALL.iter().filter(|(_, key, _)| key.ends_with("_seconds") || key.ends_with("_ms"));
    for (table, key, value) in of_time.clone() {
        let unit = if key.ends_with("_ms") { "ms" } else { "s" };
        let plain = value.replace('_', "");
        for text in [plain.clone(), format!("{plain}{unit}")] {
            let said = parse(&format!("[{table}]\n{key} = \"{text}\"\n"), "f");
            let expected = parse(&format!("[{table}]\n{key} = {value}\n"), "f");
            assert!(expected.is_ok() && said == expected, "{key} = {text:?}: {said:?}");
        }
    }
    assert!(of_time.count() > 20);
    let read = parse("[pressure]\ncalm_seconds = \"1m30s\"\n[agent]\ninterval_ms = \"0.5s\"\n", "f").unwrap();
    assert_eq!((read.pressure.calm_seconds, read.agent.interval_ms), (90.0, 500));
}

#[test]
fn a_time_that_is_none_is_shown_with_what_to_write() {
    for (text, what) in [
        ("[pressure]\ncalm_seconds = \"soon\"", "or a duration"),
        ("[pressure]\ncalm_seconds = \"36500d\"", ""),
        ("[flush]\ngrace_seconds = \"0.5s\"", "a whole number from 1"),
        ("[flush]\ngrace_seconds = \"0s\"", "a whole number from 1"),
        ("[agent]\ninterval_ms = \"2m\"", "a whole number from 10 to 60000"),
    ] {
        let read = parse(text, "f");
        if what.is_empty() {
            assert!(read.is_ok(), "{text}: {read:?}");
            continue;
        }
        let error = read.expect_err(text);
        assert!(error.why.contains("f:2:") && error.why.contains(what), "{error}");
    }
}
