//! Whole rulesets: packets that pass while they are tracked, and would not pass untracked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::SERVER_TCP;
use super::Obstacles;

/// The input chain with this policy, a chain `c` that is no base, and one more object.
fn refused(policy: &str, input: Value, c: Value, more: Value) -> Vec<String> {
    let chain = |name: &str| json!({"family": "inet", "table": "f", "name": name});
    let mut base = chain("i");
    for (key, value) in [("hook", json!("input")), ("type", json!("filter")), ("prio", json!(0))] {
        base[key] = value;
    }
    base["policy"] = policy.into();
    let rules = |name: &str, rules: Value| {
        let rules = rules.as_array().cloned().unwrap_or_default();
        let rule = |expr| json!({"rule": {"family": "inet", "table": "f", "chain": name, "handle": 1, "expr": expr}});
        rules.into_iter().map(rule).collect::<Vec<Value>>()
    };
    let objects =
        [vec![json!({"chain": base}), json!({"chain": chain("c")}), more], rules("i", input), rules("c", c)];
    let mut found = Obstacles::default();
    found.of_paths(&json!({"nftables": objects.concat()}), SERVER_TCP, &BTreeSet::from([22]));
    found.refusals
}

fn matched(left: Value, right: Value) -> Value {
    json!({"match": {"op": "==", "left": left, "right": right}})
}

fn state(states: &[&str]) -> Value {
    matched(json!({"ct": {"key": "state"}}), json!(states))
}

fn tcp_port(right: Value) -> Value {
    matched(json!({"payload": {"protocol": "tcp", "field": "dport"}}), right)
}

fn accept() -> Value {
    json!({"accept": null})
}

fn jump() -> Value {
    json!({"jump": {"target": "c"}})
}

#[test]
fn a_port_that_only_its_state_lets_in_is_found_wherever_the_state_is_asked_for() {
    let established = json!([state(&["established", "related"]), accept()]);
    let from_lan = matched(json!({"meta": {"key": "iifname"}}), json!("lan0"));
    let set = json!({"set": {"family": "inet", "table": "f", "name": "mgmt", "elem": [22, {"elem": {"val": 2222}}]}});
    let map = json!({"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set":
        [["invalid", {"drop": null}], ["new", {"jump": {"target": "c"}}], ["established", {"accept": null}]]}}});
    let named = json!([accept_on_22()]);
    for (input, c, more) in [
        (json!([established, [tcp_port(json!(22)), state(&["new"]), accept()]]), json!([]), Value::Null),
        // No rule names the port.
        (json!([established, [from_lan, state(&["new"]), accept()]]), json!([]), Value::Null),
        (json!([established, [tcp_port(json!("@mgmt")), state(&["new"]), accept()]]), json!([]), set),
        // The state is asked for by the jump, or by a map.
        (json!([established, [state(&["new"]), jump()]]), named.clone(), Value::Null),
        (json!([[map]]), named, Value::Null),
        // Others come in without a state.
        (
            json!([
                established,
                [tcp_port(json!(80)), accept()],
                [udp_53(), accept()],
                [lo(), accept()],
                [state(&["new"]), accept()]
            ]),
            json!([]),
            Value::Null,
        ),
        // An untracked packet has no mark of a connection.
        (json!([[matched(json!({"ct": {"key": "mark"}}), json!(1)), accept()]]), json!([]), Value::Null),
    ] {
        let refused = refused("drop", input.clone(), c, more);
        assert_eq!(refused.len(), 1, "{input}");
        assert!(
            refused[0].starts_with("the chain inet f i lets port 22 through by its connection state"),
            "{refused:?}"
        );
    }
}

fn accept_on_22() -> Value {
    json!([tcp_port(json!({"set": [80, {"range": [20, 30]}]})), accept()])
}

fn udp_53() -> Value {
    matched(json!({"payload": {"protocol": "udp", "field": "dport"}}), json!(53))
}

fn lo() -> Value {
    matched(json!({"meta": {"key": "iif"}}), json!("lo"))
}

#[test]
fn who_comes_in_without_a_state_or_did_not_come_in_before_is_not_locked_out() {
    let established = json!([state(&["established", "related"]), accept()]);
    let by_address = matched(json!({"payload": {"protocol": "ip", "field": "saddr"}}), json!("10.0.0.1"));
    for (policy, input) in [
        ("accept", json!([])),
        ("drop", json!([established, accept_on_22()])),
        ("drop", json!([established, [by_address, accept()], [state(&["new"]), accept()]])),
        ("drop", json!([[state(&["new", "untracked"]), accept()]])),
        // Closed for new connections, tracked or not.
        ("drop", json!([established])),
        ("drop", json!([])),
    ] {
        assert_eq!(refused(policy, input.clone(), json!([]), Value::Null), Vec::<String>::new(), "{input}");
    }
}

fn iptables(input: &str) -> Vec<String> {
    let mut found = Obstacles::default();
    found.of_iptables_paths(input, SERVER_TCP, &BTreeSet::from([22]));
    found.refusals
}

fn filter(rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("-A {rule}\n")).collect();
    format!("*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:ssh - [0:0]\n{rules}COMMIT\n")
}

#[test]
fn iptables_that_let_in_by_state_alone_would_lock_out() {
    let established = "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
    for rules in [
        &["INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT"][..],
        &["INPUT -i eth1 -m state --state NEW -j ACCEPT", "INPUT -i lo -j ACCEPT"],
        &[
            "INPUT -p tcp -m multiport --dports 80,20:25 -m state --state NEW -m comment --comment \"a -j DROP\" -j ACCEPT",
        ],
        &["INPUT -m state --state NEW -j ssh", "ssh -p tcp -m tcp --dport 22 -j ACCEPT"],
        &[
            "INPUT -p udp -m udp --dport 53 -j ACCEPT",
            "INPUT -m conntrack ! --ctstate INVALID,UNTRACKED -j ACCEPT",
        ],
    ] {
        let refused = iptables(&filter(&[rules, &[established]].concat()));
        assert_eq!(refused.len(), 1, "{rules:?}");
        assert!(
            refused[0].starts_with("the chain INPUT of the iptables table filter lets port 22"),
            "{refused:?}"
        );
    }
}

#[test]
fn iptables_that_let_in_without_a_state_do_not() {
    let established = "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
    for rules in [
        &["INPUT -p tcp -m tcp --dport 22 -j ACCEPT"][..],
        &["INPUT -s 10.0.0.0/8 -j ACCEPT", "INPUT -m state --state NEW -j ACCEPT"],
        &["INPUT -m conntrack --ctstate UNTRACKED -j ACCEPT"],
        &["INPUT -j ssh", "ssh -p tcp -m tcp --dport 22 -j RETURN", "ssh -j DROP", "INPUT -p tcp -j ACCEPT"],
        // Closed, as the other family's tables often are.
        &[],
    ] {
        assert_eq!(iptables(&filter(&[rules, &[established]].concat())), Vec::<String>::new(), "{rules:?}");
    }
    for nonsense in
        ["", "*", "*filter\n-A", "*filter\n:INPUT\n-A INPUT -j", "*filter\n:INPUT DROP\n-A INPUT ! -p \"tcp"]
    {
        assert_eq!(iptables(nonsense), Vec::<String>::new());
    }
}

#[test]
fn answers_that_only_their_state_lets_out_are_locked_in() {
    let text = "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n-A OUTPUT -m state --state ESTABLISHED -j ACCEPT\nCOMMIT\n";
    assert!(iptables(text)[0].contains("chain OUTPUT of the iptables table filter"));
}

/// Established connections are let through first; after them, one rule.
fn behind_established(policy: &str, rule: Value, more: Value) -> Vec<String> {
    let established = json!([state(&["established", "related"]), accept()]);
    refused(policy, json!([established, rule]), json!([]), more)
}

#[test]
fn what_only_the_first_packet_meets_today_may_not_decide_on_every_packet() {
    let flags = json!({"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "ack"]]});
    let limit = |over: bool| json!({"limit": {"rate": 6, "burst": 8, "per": "minute", "inv": over}});
    let knock =
        json!({"set": {"family": "inet", "table": "f", "name": "k", "flags": ["timeout"], "timeout": 3}});
    let by_knock = matched(json!({"payload": {"protocol": "ip", "field": "saddr"}}), json!("@k"));
    let each = json!({"set": {"op": "update", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@m",
        "stmt": [limit(true)]}});
    for (policy, rule, more) in [
        ("drop", json!([tcp_port(json!(22)), limit(false), accept()]), Value::Null),
        ("drop", json!([tcp_port(json!(22)), matched(flags, json!("syn")), accept()]), Value::Null),
        (
            "drop",
            json!([matched(json!({"meta": {"key": "length"}}), json!({"range": [0, 100]})), accept()]),
            Value::Null,
        ),
        ("drop", json!([tcp_port(json!(22)), by_knock, accept()]), knock),
        ("accept", json!([tcp_port(json!(22)), each, {"drop": null}]), Value::Null),
    ] {
        let refused = behind_established(policy, rule.clone(), more);
        assert_eq!(refused.len(), 1, "{rule}");
        assert!(refused[0].contains("every packet would meet"), "{refused:?}");
    }
    // Other ports, and what no rule decides by.
    for rule in [json!([udp_53(), limit(false), accept()]), json!([limit(false), {"log": null}])] {
        assert_eq!(behind_established("accept", rule.clone(), Value::Null), Vec::<String>::new(), "{rule}");
    }
    // Every packet meets it today as well.
    let first = json!([[limit(true), {"drop": null}], [tcp_port(json!(22)), accept()]]);
    assert_eq!(refused("drop", first, json!([]), Value::Null), Vec::<String>::new());
}

#[test]
fn a_state_within_a_combination_is_a_state() {
    let left =
        json!({"concat": [{"ct": {"key": "state"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]});
    let of = |state: &str| json!({"concat": [state, 22]});
    let by_state = matched(left.clone(), json!({"set": [of("new"), of("established")]}));
    assert_eq!(refused("drop", json!([[by_state, accept()]]), json!([]), Value::Null).len(), 1);
    let any = matched(left, json!({"set": [of("new"), of("established"), of("untracked")]}));
    assert_eq!(refused("drop", json!([[any, accept()]]), json!([]), Value::Null), Vec::<String>::new());
}

#[test]
fn iptables_that_count_or_look_at_single_packets_behind_the_established_would_cut_sessions() {
    let established = "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
    for rules in [
        &["INPUT -p tcp -m tcp --dport 22 -m limit --limit 3/min --limit-burst 4 -j ACCEPT"][..],
        &["INPUT -p tcp -m tcp --dport 22 --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT"],
        &[
            "INPUT -m recent --update --seconds 60 --hitcount 10 --name S -j DROP",
            "INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        ],
        &["INPUT -p tcp -m tcp --dport 22 -m mark --mark 0x1 -j ACCEPT"],
    ] {
        let refused = iptables(&filter(&[&[established], rules].concat()));
        assert_eq!(refused.len(), 1, "{rules:?}");
        assert!(refused[0].contains("every packet would meet"), "{refused:?}");
    }
}
