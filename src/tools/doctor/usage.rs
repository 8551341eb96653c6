//! Findings on what makes the kernel track, and what would be better left alone.

use super::cure::{quoted, runtime, seen};
use super::facts::{Facts, Runtime, Service, Side, TableFacts};
use crate::core::model::{Evidence, Finding, Rule, Ruleset, Severity, TrackingUser};

/// Fewer entries are not worth a rule.
const MANY_ENTRIES: u64 = 1000;
/// Of the table's entries.
const SHARE_PERCENT: u64 = 10;

/// Findings on the ruleset and the table.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(runtime) = &facts.runtime else { return Vec::new() };
    let mut found = Vec::new();
    found.extend(unneeded(facts, runtime));
    found.extend(untracked(facts, runtime));
    found
}

/// Rules and programs that make the kernel track, as far as it was looked at; `None` where the ruleset could not be
/// read.
pub fn users(facts: &Facts) -> Option<Vec<TrackingUser>> {
    let runtime = facts.runtime.as_ref()?;
    let rules = runtime.rules.as_ref()?;
    let tracking = rules.rules.iter().filter(|rule| !rule.tracks_by.is_empty());
    let users = tracking.map(|rule| TrackingUser { place: place(rule), by: rule.tracks_by.join(", ") });
    Some(users.chain(runtime.other_users.iter().cloned()).collect())
}

fn place(rule: &Rule) -> String {
    format!("nft rule {} {} {} handle {}", rule.family, rule.table, rule.chain, rule.handle)
}

/// Rules only look at states that decide nothing, or there are none.
fn unneeded(facts: &Facts, runtime: &Runtime) -> Option<Finding> {
    let (rules, count) = (runtime.rules.as_ref()?, runtime.number("count")?);
    if !runtime.other_users.is_empty() || is_needed(rules) {
        return None;
    }
    let tracking: Vec<&Rule> = rules.rules.iter().filter(|rule| !rule.tracks_by.is_empty()).collect();
    if tracking.is_empty() && count == 0 {
        return None;
    }
    let source = ["nf_ct_netns_get, net/netfilter/nf_conntrack_proto.c", "nft(8), conntrack expressions"];
    if tracking.is_empty() {
        let because = "Entries are there and no rule of nftables asks for them: they are left over from a ruleset \
                       that is gone, or another program writes them.";
        return Some(
            Finding::new("conntrack-unneeded", Severity::Note, "no rule needs the entries in the table")
                .because(because)
                .seen([runtime_count(count)])
                .fix([format!(
                    "# they end by themselves; `{}` shows whether new ones come",
                    facts.ctctl("events")
                )])
                .source(&source),
        );
    }
    let severity = if tracking.iter().any(|rule| rule.acts) { Severity::Note } else { Severity::Warning };
    let delete = |rule: &&Rule| {
        let Rule { family, table, chain, handle, .. } = rule;
        let (table, chain) = (quoted(table), quoted(chain));
        let command = format!("{}nft delete rule {family} {table} {chain} handle {handle}", runtime.enter);
        match severity {
            Severity::Note => format!("# where its log, count or mark is not wanted: {command}"),
            _ => command,
        }
    };
    let evidence =
        tracking.iter().map(|rule| seen(format!("{}: {}", place(rule), rule.tracks_by.join(", "))));
    Some(
        Finding::new("conntrack-unneeded", severity, "connections are tracked though nothing needs it")
            .because(
                "These rules look at the state of connections, and so make the kernel track every one. Nothing in the \
                 ruleset translates, drops, rejects or limits by it: without them the table stays empty and cannot \
                 overflow.",
            )
            .seen(evidence.chain([runtime_count(count)]))
            .fix(tracking.iter().map(delete))
            .source(&source),
    )
}

fn runtime_count(count: u64) -> Evidence {
    runtime("count", count.to_string())
}

/// Tracking decides about packets: something translates, or something refuses or changes what a state did not let past.
fn is_needed(rules: &Ruleset) -> bool {
    let decides = rules.policy_drop || rules.rules.iter().any(|rule| rule.refuses || rule.writes);
    let looks = rules.rules.iter().any(|rule| !rule.tracks_by.is_empty());
    rules.rules.iter().any(|rule| rule.needs) || (decides && looks)
}

/// Short questions and answers of this host itself that nothing translates, and that are many.
pub fn worth_a_rule(table: &TableFacts) -> impl Iterator<Item = &Service> {
    table.services.iter().filter(|service| {
        service.entries >= MANY_ENTRIES
            && service.entries.saturating_mul(100) >= table.entries.saturating_mul(SHARE_PERCENT)
            && service.translated == 0
    })
}

fn untracked(facts: &Facts, runtime: &Runtime) -> Vec<Finding> {
    let Some(table) = &runtime.table else { return Vec::new() };
    worth_a_rule(table).map(|service| better_untracked(facts, runtime, service, table.entries)).collect()
}

fn better_untracked(facts: &Facts, runtime: &Runtime, service: &Service, entries: u64) -> Finding {
    let port = service.port;
    let name = match port {
        53 => "DNS".to_owned(),
        123 => "NTP".into(),
        514 => "syslog".into(),
        port => format!("UDP port {port}"),
    };
    let whose = match service.side {
        Side::Loopback => "of this host with itself",
        Side::Server => "to this host",
        Side::Client => "from this host",
    };
    let max = runtime.number("max").unwrap_or(0);
    let heavy = max > 0 && service.entries.saturating_mul(100) >= max.saturating_mul(SHARE_PERCENT);
    let severity = if heavy { Severity::Warning } else { Severity::Note };
    let share = 100 * service.entries / entries.max(1);
    let title = format!("{name} {whose} holds {} entries, {share} % of the table", service.entries);
    Finding::new("better-untracked", severity, title)
        .because(
            "Each question makes an entry for 30 to 120 s that nobody looks at again; a flood of them fills the table. \
             Nothing translates these, so that they need no entry. No rule of ct state lets in what has none but \
             that of `untracked`: a filter has to accept the port without ct state first.",
        )
        .seen([seen(format!("{} untranslated UDP entries of port {port}", service.entries))])
        .fix(past_tracking(facts, runtime, service))
        .source(&["nft(8), notrack statement", "nf_tables raw priority: before conntrack's hooks at -200"])
}

/// The rules, where a filter is known to let through what they make untracked; else what has to come first.
fn past_tracking(facts: &Facts, runtime: &Runtime, service: &Service) -> Vec<String> {
    let (port, enter) = (service.port, &runtime.enter);
    let unknown = vec!["the filter's rules were not read".to_owned()];
    let in_the_way = runtime.in_the_way.get(&(port, service.side)).unwrap_or(&unknown);
    if in_the_way.is_empty() {
        return vec![format!("{enter}nft '{}'", notrack(service))];
    }
    let accepting = match service.side {
        Side::Loopback => "`iif lo accept` and `oif lo accept`".to_owned(),
        Side::Server => {
            format!("`udp dport {port} accept` (and `udp sport {port} accept` where output drops)")
        }
        Side::Client => {
            format!("`udp sport {port} accept` (and `udp dport {port} accept` where output drops)")
        }
    };
    let mut fix = vec!["# without tracking the filter would drop this traffic, or may:".to_owned()];
    fix.extend(in_the_way.iter().map(|rule| format!("#   {rule}")));
    fix.push(format!("# let it in without ct state first, before whatever refuses it: {accepting};"));
    fix.push(format!("# `{}` then prints the rules that leave it untracked", facts.ctctl("doctor")));
    fix
}

/// Both directions: what comes in before conntrack sees it, and what goes out.
fn notrack(service: &Service) -> String {
    let port = service.port;
    let (incoming, outgoing) = match service.side {
        Side::Loopback => (
            format!("iif lo udp dport {port} notrack; iif lo udp sport {port} notrack;"),
            format!("oif lo udp dport {port} notrack; oif lo udp sport {port} notrack;"),
        ),
        Side::Server => {
            (format!("fib daddr type local udp dport {port} notrack;"), format!("udp sport {port} notrack;"))
        }
        Side::Client => {
            (format!("fib daddr type local udp sport {port} notrack;"), format!("udp dport {port} notrack;"))
        }
    };
    let side = format!("{:?}", service.side).to_lowercase();
    format!(
        "table inet untracked_{side}_{port} {{ \
         chain in {{ type filter hook prerouting priority raw; {incoming} }}; \
         chain out {{ type filter hook output priority raw; {outgoing} }}; }}"
    )
}
