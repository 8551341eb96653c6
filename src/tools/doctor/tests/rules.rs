//! What of the rules calls for tracking, and what would be better without.

use super::*;

fn rule(handle: u64, by: &str, needs: bool, refuses: bool) -> Rule {
    let tracks_by = if by.is_empty() { Vec::new() } else { vec![by.into()] };
    let (table, chain) = ("filter".into(), "input".into());
    Rule { family: "inet", table, chain, handle, tracks_by, needs, refuses, ..Rule::default() }
}

#[test]
fn tracking_is_needed_where_something_is_decided_by_it() {
    let ruled = |rules: Vec<Rule>, policy_drop| {
        let facts = changed(|r| r.rules = Some(Ruleset { rules, policy_drop }));
        ids(&facts).first().map(|(id, severity)| (id.clone(), *severity))
    };
    let unneeded = |severity| Some(("conntrack-unneeded".to_owned(), severity));
    assert_eq!(ruled(vec![rule(7, "ct", false, false)], false), unneeded(Severity::Warning));
    assert_eq!(ruled(vec![], false), unneeded(Severity::Note));
    assert_eq!(ruled(vec![rule(7, "ct", false, false)], true), None, "policy drop");
    assert_eq!(ruled(vec![rule(7, "ct", false, false), rule(8, "", false, true)], false), None, "a reject");
    assert_eq!(ruled(vec![rule(7, "masq", true, false)], false), None);
    let sets_dscp = |by| Rule { writes: true, ..rule(8, by, false, false) };
    assert_eq!(ruled(vec![sets_dscp("ct")], false), None, "what it changes hangs on the state");
    assert_eq!(
        ruled(vec![rule(7, "ct", false, false), sets_dscp("")], false),
        None,
        "what an accept lets past"
    );
    assert_eq!(ruled(vec![sets_dscp("")], false), unneeded(Severity::Note), "without a look at states");
    let facts =
        changed(|r| r.rules = Some(Ruleset { rules: vec![rule(7, "ct", false, false)], policy_drop: false }));
    assert_eq!(
        alone(&facts, "conntrack-unneeded", Severity::Warning),
        ["nft delete rule inet filter input handle 7"]
    );
    // What logs, counts or marks by a state does that much.
    let logs = Rule { acts: true, ..rule(7, "ct", false, false) };
    let facts = changed(|r| r.rules = Some(Ruleset { rules: vec![logs], policy_drop: false }));
    let fix = alone(&facts, "conntrack-unneeded", Severity::Note);
    assert!(fix.iter().all(|line| line.starts_with('#')), "{fix:?}");
    let legacy = TrackingUser { place: "iptables-legacy table nat".into(), by: "x".into() };
    let facts = changed(|r| (r.rules, r.other_users) = (Some(Ruleset::default()), vec![legacy.clone()]));
    assert_eq!(ids(&facts), [], "its rules are not known");
    assert_eq!(usage::users(&facts), Some(vec![legacy]));
    assert_eq!(ids(&changed(|r| r.rules = None)), [], "nor these");
}

#[test]
fn questions_that_nobody_translates_are_better_untracked() {
    let served = |side, entries, translated| {
        let services = vec![Service { port: 53, side, entries, translated }];
        changed(|r| {
            r.table = Some(TableFacts { entries: 10_000, services, ..TableFacts::default() });
            r.in_the_way.insert((53, side), Vec::new());
        })
    };
    for (side, incoming, outgoing) in [
        (
            Side::Loopback,
            "iif lo udp dport 53 notrack; iif lo udp sport 53 notrack;",
            "oif lo udp dport 53 notrack; oif lo udp sport 53 notrack;",
        ),
        (Side::Server, "fib daddr type local udp dport 53 notrack;", "udp sport 53 notrack;"),
        (Side::Client, "fib daddr type local udp sport 53 notrack;", "udp dport 53 notrack;"),
    ] {
        let fix = alone(&served(side, 5000, 0), "better-untracked", Severity::Note);
        let hook = |hook: &str, rules: &str| format!("hook {hook} priority raw; {rules} }}");
        assert!(fix[0].starts_with("nft 'table inet untracked_"), "{fix:?}");
        assert!(fix[0].contains(&hook("prerouting", incoming)), "{fix:?}");
        assert!(fix[0].contains(&hook("output", outgoing)), "{fix:?}");
    }
    alone(&served(Side::Server, 30_000, 0), "better-untracked", Severity::Warning);
    assert_eq!(ids(&served(Side::Server, 5000, 1)), [], "what NAT needs keeps its entries");
    assert_eq!(ids(&served(Side::Server, 999, 0)), []);
    // What a filter would then drop is not pasted, nor where nobody knows what it does.
    let state = "the rule inet filter input handle 7 lets port 53 in by ct state alone";
    for known in [Some(vec![state.to_owned()]), None] {
        let mut facts = served(Side::Server, 5000, 0);
        let in_the_way = &mut facts.runtime.as_mut().expect("a runtime").in_the_way;
        let said = known.as_ref().map_or("were not read", |_| state);
        in_the_way.clear();
        in_the_way.extend(known.map(|rules| ((53, Side::Server), rules)));
        let fix = alone(&facts, "better-untracked", Severity::Note);
        assert!(fix.iter().all(|line| line.starts_with('#')), "{fix:?}");
        assert!(fix.iter().any(|line| line.contains(said)), "{fix:?}");
        assert!(fix.iter().any(|line| line.contains("`udp dport 53 accept`")), "{fix:?}");
    }
}
