//! Rulesets as `nft -j list ruleset` and iptables-save(8) print them.

use serde_json::json;

use super::super::SERVER_TCP;
use super::*;

/// A base chain with a hook, and rules in it.
fn nft(hook: &str, policy: &str, rules: &[Value]) -> Obstacles {
    asked(SERVER_TCP, 22, hook, policy, rules)
}

fn asked(way: Way, port: u16, hook: &str, policy: &str, rules: &[Value]) -> Obstacles {
    let names = |mut object: Value| {
        object["family"] = "inet".into();
        object["table"] = "filter".into();
        object
    };
    let chain = names(json!({"name": "c", "hook": hook, "policy": policy, "type": "filter", "prio": 0}));
    let mut objects = vec![json!({"metainfo": {}}), json!({"chain": chain})];
    for (handle, expr) in rules.iter().enumerate() {
        objects.push(json!({"rule": names(json!({"chain": "c", "handle": handle, "expr": expr}))}));
    }
    let mut found = Obstacles::default();
    found.of_nft(&json!({"nftables": objects}), way, &BTreeSet::from([port]));
    found
}

fn port(right: Value) -> Value {
    json!({"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": right}})
}

fn state(op: &str, right: Value) -> Value {
    json!({"match": {"op": op, "left": {"ct": {"key": "state"}}, "right": right}})
}

#[test]
fn a_port_that_is_let_in_without_state_is_no_obstacle() {
    let usual = [
        json!([state("in", json!(["established", "related"])), {"accept": null}]),
        json!([port(json!(22)), {"accept": null}]),
    ];
    assert_eq!(nft("input", "drop", &usual), Obstacles::default());
    // One network is let in by state and another without it: clients of that one still come in.
    let both = [
        json!([port(json!({"set": [80, 22]})), state("in", json!("new")), {"accept": null}]),
        json!([port(json!({"set": [{"range": [20, 30]}]})), {"accept": null}]),
    ];
    assert_eq!(nft("input", "accept", &both), Obstacles::default());
    assert_eq!(
        nft("forward", "drop", &[json!([state("in", json!("untracked")), {"drop": null}])]),
        Obstacles::default()
    );
}

#[test]
fn who_is_let_in_by_state_alone_would_be_locked_out() {
    let by_state = json!([port(json!(22)), state("in", json!("new")), {"accept": null}]);
    let found = nft("input", "accept", &[by_state]);
    assert!(found.refusals[0].contains("by ct state alone"), "{found:?}");
    let untracked = json!([port(json!(22)), state("in", json!(["new", "untracked"])), {"accept": null}]);
    assert_eq!(nft("input", "accept", &[untracked]).refusals, Vec::<String>::new());
    for rule in [
        json!([state("in", json!(["invalid", "untracked"])), {"drop": null}]),
        json!([state("!=", json!(["established", "related", "new"])), {"reject": {}}]),
        json!([{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["untracked", {"drop": null}]]}}}]),
    ] {
        let found = nft("input", "accept", &[rule]);
        assert!(found.refusals[0].contains("drops what is untracked"), "{found:?}");
    }
    // The rule is about another service only.
    let other = json!([state("!=", json!("new")), port(json!(9)), {"drop": null}]);
    assert_eq!(nft("input", "accept", &[other]), Obstacles::default());
    let found = nft("prerouting", "accept", &[json!([port(json!(22)), {"dnat": {"addr": "10.0.0.2"}}])]);
    assert!(found.refusals[0].contains("on by DNAT"), "{found:?}");
}

#[test]
fn what_may_break_is_a_warning() {
    let invalid = json!([{"vmap": {"key": {"ct": {"key": "state"}},
        "data": {"set": [["established", {"accept": null}], ["invalid", {"drop": null}]]}}}]);
    let found = nft("input", "accept", &[invalid]);
    assert!(found.refusals.is_empty() && found.later[0].contains("taken for INVALID"), "{found:?}");
    let found = nft("output", "drop", &[]);
    assert!(found.warnings[0].contains("none names port 22"), "{found:?}");
}

#[test]
fn rules_of_iptables_are_warned_of_and_its_dnat_is_refused() {
    let mut found = Obstacles::default();
    let text = "*nat\n-A PREROUTING -p tcp -m tcp --dport 20:30 -j DNAT --to-destination 10.0.0.2:22\nCOMMIT\n*filter\n\
        -A INPUT -m conntrack --ctstate INVALID,UNTRACKED -j DROP\n-A INPUT -p tcp -m multiport --dports 80,22 -m \
        state --state NEW -j ACCEPT\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\n-A INPUT -p tcp --dport 2222 \
        -j ACCEPT\nCOMMIT\n";
    found.of_iptables(text, SERVER_TCP, &BTreeSet::from([22]));
    assert_eq!((found.refusals.len(), found.warnings.len(), found.later.len()), (1, 2, 1), "{found:?}");
    for nonsense in ["", "-A", "*\n-A INPUT --dport", "-A INPUT --dport : -j ACCEPT", "\u{0}"] {
        found.of_iptables(nonsense, SERVER_TCP, &BTreeSet::from([22]));
    }
    assert!(!in_range("", 22) && !in_range("70000", 22) && in_range(":22", 22) && !in_range("23:", 22));
}

#[test]
fn both_ends_of_datagrams_are_looked_for_where_they_have_their_port() {
    let (own, theirs, both): (&[&str], &[&str], &[&str]) = (&["dport"], &["sport"], &["dport", "sport"]);
    let server = Way { protocol: "udp", incoming: own, outgoing: theirs, loopback: false };
    let client = Way { incoming: theirs, outgoing: own, ..server };
    let itself = Way { incoming: both, outgoing: both, loopback: true, ..server };
    let of = |protocol: &str, field: &str| json!({"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": 53}});
    let established = json!([state("in", json!(["established", "related"])), {"accept": null}]);
    let lo =
        json!([{"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": "lo"}}, {"accept": null}]);
    let way_in = |way, rule: Value| {
        asked(way, 53, "input", "drop", &[established.clone(), rule]) == Obstacles::default()
    };
    assert!(way_in(server, json!([of("udp", "dport"), {"accept": null}])));
    assert!(way_in(client, json!([of("udp", "sport"), {"accept": null}])));
    assert!(way_in(itself, lo.clone()));
    assert!(way_in(client, json!([state("in", json!("untracked")), {"accept": null}])));
    // Not enough: the port of the other protocol, of the other end, of packets not from this host, or of one end only.
    assert!(!way_in(server, json!([of("tcp", "dport"), {"accept": null}])));
    assert!(!way_in(client, json!([of("udp", "dport"), {"accept": null}])));
    assert!(!way_in(server, lo));
    assert!(!way_in(itself, json!([of("udp", "dport"), {"accept": null}])));
    let found = asked(
        server,
        53,
        "input",
        "drop",
        &[json!([of("udp", "dport"), state("in", json!("new")), {"accept": null}])],
    );
    assert!(found.refusals[0].contains("lets port 53 in by ct state alone"), "{found:?}");
    let refused = [established, json!([{"counter": {"packets": 0, "bytes": 0}}, {"reject": null}])];
    let found = asked(client, 53, "input", "accept", &refused);
    assert!(found.warnings[0].contains("drops what no rule accepts"), "{found:?}");
}

#[test]
fn what_another_hook_accepts_lets_nothing_in() {
    let chain = |name: &str, policy: &str| json!({"chain": {"family": "inet", "table": "filter", "name": name, "hook": name, "policy": policy}});
    let rule = |chain: &str, expr: Value| json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "handle": 1, "expr": expr}});
    let objects = [
        chain("input", "drop"),
        chain("output", "accept"),
        rule("input", json!([port(json!(22)), state("in", json!("new")), {"accept": null}])),
        rule("output", json!([port(json!(22)), {"accept": null}])),
    ];
    let mut found = Obstacles::default();
    found.of_nft(&json!({"nftables": objects}), SERVER_TCP, &BTreeSet::from([22]));
    assert!(found.refusals[0].contains("by ct state alone"), "{found:?}");
}

#[test]
fn a_port_that_others_are_passed_on_to_needs_its_answers_tracked() {
    let redirect =
        |to: Value| nft("prerouting", "accept", &[json!([port(json!(2222)), {"redirect": to}])]).refusals;
    for to in [json!({"port": 22}), json!({"port": {"range": [20, 30]}}), json!({"port": {"map": {}}})] {
        let refusals = redirect(to.clone());
        assert!(refusals.len() == 1 && refusals[0].contains("on to port 22"), "{to}: {refusals:?}");
    }
    assert_eq!(redirect(json!({"port": 80})), Vec::<String>::new());
    let dnat = |to: Value| nft("prerouting", "accept", &[json!([port(json!(2222)), {"dnat": to}])]).refusals;
    assert_eq!(dnat(json!({"addr": "10.0.0.5", "port": 22})), Vec::<String>::new(), "another host's port");
    assert_eq!(dnat(json!({"addr": "127.0.0.1", "port": 22})).len(), 1);
    let of_iptables = |rule: &str| {
        let mut found = Obstacles::default();
        found.of_iptables(
            &format!("*nat\n-A PREROUTING -p tcp {rule}\nCOMMIT\n"),
            SERVER_TCP,
            &BTreeSet::from([22]),
        );
        found.refusals.len()
    };
    assert_eq!(of_iptables("-m tcp --dport 2222 -j REDIRECT --to-ports 22"), 1);
    assert_eq!(of_iptables("-m tcp --dport 2222 -j DNAT --to-destination :20-30"), 1);
    assert_eq!(of_iptables("-m tcp --dport 2222 -j DNAT --to-destination 10.0.0.5:22"), 0);
    assert_eq!(of_iptables("-m tcp --dport 80 -j REDIRECT --to-ports 8080"), 0);
}

#[test]
fn marks_of_entries_that_decide_are_refused_and_marks_that_do_not_are_left_alone() {
    let of_entry = json!([
        {"match": {"op": "==", "left": {"ct": {"key": "direction"}}, "right": "original"}},
        {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}
    ]);
    let by_mark =
        json!([{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}}, {"accept": null}]);
    let found = nft("input", "drop", &[of_entry.clone(), by_mark.clone()]);
    assert!(found.refusals.iter().any(|refusal| refusal.contains("have no such mark")), "{found:?}");
    for rules in [vec![of_entry], vec![by_mark]] {
        let found = nft("prerouting", "accept", &rules);
        assert_eq!(found.refusals, Vec::<String>::new(), "{rules:?}");
    }
    let of_iptables = |rules: &str| {
        let mut found = Obstacles::default();
        found.of_iptables(&format!("*mangle\n{rules}COMMIT\n"), SERVER_TCP, &BTreeSet::from([22]));
        found.refusals.len()
    };
    let restore = "-A PREROUTING -j CONNMARK --restore-mark\n";
    assert_eq!(of_iptables(restore), 0);
    assert_eq!(of_iptables(&format!("{restore}-A INPUT -m mark --mark 0x1 -j ACCEPT\n")), 1);
}

#[test]
fn what_refuses_new_connections_without_syn_may_cut_a_session_at_the_end() {
    let flags = json!({"match": {"op": "!=", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}},
        ["fin", "syn", "rst", "ack"]]}, "right": "syn"}});
    let found = nft("input", "accept", &[json!([flags, state("in", json!("new")), {"drop": null}])]);
    assert_eq!((found.refusals, found.later.len()), (vec![], 1));
    let mut found = Obstacles::default();
    let rule = "*filter\n-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -j DROP\nCOMMIT\n";
    found.of_iptables(rule, SERVER_TCP, &BTreeSet::from([22]));
    assert_eq!(found.later.len(), 1);
}
