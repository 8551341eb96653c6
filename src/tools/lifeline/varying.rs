//! Conditions that may hold for one packet of a session and not for the next: rates, sizes, flags, marks, sets that
//! fill and empty themselves.
//!
//! A ruleset that accepts `ct state established` first has such conditions met by the first packet of a session alone.
//! Untracked, every packet meets them.

use serde_json::Value;

use super::rule::text;

/// Fields of headers that are the same in all packets of a session.
const FIXED_FIELDS: [&str; 8] =
    ["saddr", "daddr", "sport", "dport", "protocol", "nexthdr", "version", "type"];
/// Facts of a packet that are the same in all packets of a session.
const FIXED_META: [&str; 22] = [
    "iif", "iifname", "iifgroup", "iiftype", "iifkind", "oif", "oifname", "oifgroup", "oiftype", "oifkind",
    "ibrname", "obrname", "sdif", "sdifname", "l4proto", "nfproto", "protocol", "skuid", "skgid", "cgroup",
    "pkttype", "ipsec",
];
/// Matches of iptables whose result is the same for all packets of a session.
const FIXED_MATCHES: [&str; 16] = [
    "tcp",
    "udp",
    "multiport",
    "conntrack",
    "state",
    "comment",
    "iprange",
    "addrtype",
    "mac",
    "set",
    "physdev",
    "geoip",
    "policy",
    "pkttype",
    "owner",
    "cgroup",
];
/// Options of iptables' match `tcp` on single packets.
const SINGLE_PACKET_OPTIONS: [&str; 3] = ["--syn", "--tcp-flags", "--tcp-option"];

/// True if the value that nftables reads of a packet may differ from one packet of a session to the next. Facts of the
/// entry (`ct`) are not meant: an untracked packet has none.
pub(super) fn value(left: &Value) -> bool {
    let Some((key, inside)) = left.as_object().and_then(|object| object.iter().next()) else { return false };
    match key.as_str() {
        "payload" => !FIXED_FIELDS.contains(&text(&inside["field"])),
        "meta" => !FIXED_META.contains(&text(&inside["key"])),
        "concat" | "&" | "|" | "^" | "<<" | ">>" => inside.as_array().into_iter().flatten().any(value),
        "ct" | "fib" | "rt" | "socket" | "prefix" | "range" | "set" => false,
        _ => true,
    }
}

/// True if the statement of nftables lets some packets of a session on and others not.
pub(super) fn statement(expression: &Value) -> bool {
    let counts =
        |statement: &Value| ["limit", "quota", "ct count"].iter().any(|key| statement.get(key).is_some());
    let inside = ["set", "map", "meter"].iter().filter_map(|key| expression.get(key));
    let mut inside = inside.map(|set| &set["stmt"]);
    counts(expression)
        || expression.get("xt").is_some()
        || inside.any(|statement| {
            counts(statement) || statement.as_array().is_some_and(|all| all.iter().any(counts))
        })
}

/// True if elements come and go in the set by themselves: its rules add them, or they time out.
pub(super) fn set(set: &Value) -> bool {
    let flags = || set["flags"].as_array().into_iter().flatten().map(text);
    set.get("timeout").is_some()
        || flags().chain([text(&set["flags"])]).any(|flag| matches!(flag, "dynamic" | "timeout"))
}

/// True if a match of iptables, by name, may hold for one packet of a session and not for the next.
pub(super) fn iptables_match(name: &str) -> bool {
    !FIXED_MATCHES.contains(&name)
}

/// True if an option of iptables asks for something of a single packet.
pub(super) fn iptables_option(name: &str) -> bool {
    SINGLE_PACKET_OPTIONS.contains(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_session_has_in_all_its_packets_does_not_vary() {
        for fixed in [
            json!({"payload": {"protocol": "ip", "field": "saddr"}}),
            json!({"&": [{"payload": {"protocol": "ip6", "field": "saddr"}}, "ffff::"]}),
            json!({"meta": {"key": "iifname"}}),
            json!({"concat": [{"meta": {"key": "iifname"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}),
            json!({"fib": {"result": "type", "flags": "daddr"}}),
        ] {
            assert!(!value(&fixed), "{fixed}");
        }
        for varying in [
            json!({"meta": {"key": "length"}}),
            json!({"meta": {"key": "mark"}}),
            json!({"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "ack"]]}),
            json!({"payload": {"protocol": "tcp", "field": "flags"}}),
            json!({"concat": [{"meta": {"key": "mark"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}),
            json!({"numgen": {"mode": "inc", "mod": 2, "offset": 0}}),
        ] {
            assert!(value(&varying), "{varying}");
        }
    }

    #[test]
    fn rates_and_sets_that_fill_themselves_vary() {
        let over = json!({"limit": {"rate": 6, "per": "minute", "burst": 8, "inv": true}});
        assert!(statement(&over));
        assert!(statement(&json!({"set": {"op": "update", "elem": 1, "set": "@m", "stmt": [over]}})));
        assert!(!statement(&json!({"set": {"op": "add", "elem": 1, "set": "@m"}})));
        assert!(!statement(&json!({"counter": {"packets": 0, "bytes": 0}})));
        assert!(set(&json!({"name": "k", "flags": ["timeout"], "timeout": 3})));
        assert!(set(&json!({"name": "k", "flags": "dynamic"})));
        assert!(!set(&json!({"name": "k", "flags": ["interval"]})));
        assert!(iptables_match("recent") && iptables_match("hashlimit") && !iptables_match("iprange"));
    }
}
