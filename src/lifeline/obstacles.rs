//! Rules that untracked packets would not come through: who is let in by state alone would be locked out by `notrack`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::TABLE;
use super::nft::{self, Nft};
use crate::error::Result;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Obstacles {
    /// It would lock out.
    pub(super) refusals: Vec<String>,
    /// It may.
    pub(super) warnings: Vec<String>,
}

impl Obstacles {
    /// In the calling thread's namespace.
    ///
    /// # Errors
    /// Exit 3 where the rules cannot be read.
    pub(super) fn find(nft: &Nft, ports: &BTreeSet<u16>) -> Result<Obstacles> {
        let mut found = Obstacles::default();
        match nft.ruleset()? {
            Some(ruleset) => found.of_nft(&ruleset, ports),
            None => found.warnings.push("this nft knows no JSON, so the rules were not looked at".into()),
        }
        found.of_iptables(&nft::iptables(), ports);
        found.warnings.dedup();
        Ok(found)
    }

    fn of_nft(&mut self, ruleset: &Value, ports: &BTreeSet<u16>) {
        let objects = ruleset["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ours = |object: &Value| object["table"] == TABLE;
        let passed: Vec<&Value> = objects
            .iter()
            .filter_map(|o| o.get("chain"))
            .filter(|chain| bypassed(chain) && !ours(chain))
            .collect();
        let is_passed = |rule: &Value| {
            let here = |chain: &&Value| {
                chain["name"] == rule["chain"]
                    && chain["table"] == rule["table"]
                    && chain["family"] == rule["family"]
            };
            passed.iter().copied().any(|chain| here(&chain))
        };
        let rules = objects.iter().filter_map(|object| object.get("rule")).filter(|rule| !ours(rule));
        let rules: Vec<Rule> = rules.filter(|rule| !is_passed(rule)).map(Rule::new).collect();
        for rule in &rules {
            let place = rule.place();
            if rule.drops_untracked() {
                self.refusals.push(format!("{place} drops what is untracked"));
            }
            if rule.drops_invalid() {
                self.warnings.push(after_the_end(&place));
            }
            let port = ports.iter().find(|port| rule.names_port("dport", **port));
            if let Some(port) = port.filter(|_| rule.has(&["dnat", "redirect"])) {
                self.refusals.push(format!("{place} passes port {port} on by DNAT, which needs tracking"));
            }
        }
        for port in ports {
            let accepting =
                || rules.iter().filter(|rule| rule.names_port("dport", *port) && rule.has(&["accept"]));
            let by_state = accepting().find(|rule| rule.wants_state());
            if let Some(rule) = by_state.filter(|_| accepting().all(Rule::wants_state)) {
                self.refusals.push(format!("{} lets port {port} in by ct state alone", rule.place()));
            }
        }
        self.of_policies(objects, &rules, ports);
    }

    /// A chain that drops by policy lets in, or out, only what a rule names.
    fn of_policies(&mut self, objects: &[Value], rules: &[Rule], ports: &BTreeSet<u16>) {
        for chain in objects.iter().filter_map(|object| object.get("chain")).filter(|c| c["policy"] == "drop")
        {
            let (field, what) = match chain["hook"].as_str() {
                Some("input") => ("dport", "comes in"),
                Some("output") => ("sport", "goes out"),
                _ => continue,
            };
            for port in ports {
                let named = rules
                    .iter()
                    .any(|r| r.names_port(field, *port) && r.has(&["accept"]) && !r.wants_state());
                if !named {
                    let name = format!("{} {}", text(&chain["table"]), text(&chain["name"]));
                    self.warnings.push(format!(
                        "chain {name} drops by policy and no rule names port {port}: look that it {what} untracked"
                    ));
                }
            }
        }
    }

    fn of_iptables(&mut self, text: &str, ports: &BTreeSet<u16>) {
        let mut table = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.first() != Some(&"-A") || words.get(1) == Some(&"FORWARD") {
                continue;
            }
            let after = |names: &[&str]| {
                let place = words.iter().position(|word| names.contains(word))?;
                words.get(place + 1).copied()
            };
            let target = after(&["-j", "-g"]).unwrap_or_default();
            let states: Vec<&str> = after(&["--ctstate", "--state"]).unwrap_or_default().split(',').collect();
            let refuses = matches!(target, "DROP" | "REJECT");
            let port = ports.iter().find(|port| {
                let listed = after(&["--dport", "--dports"]).unwrap_or_default();
                listed.split(',').any(|range| in_range(range, **port))
            });
            if refuses && states.contains(&"UNTRACKED") {
                self.warnings.push(format!("iptables drops what is untracked: {line}"));
            }
            if refuses && states.contains(&"INVALID") {
                self.warnings.push(after_the_end(&format!("iptables: {line}")));
            }
            match port {
                Some(port) if table == "nat" && matches!(target, "DNAT" | "REDIRECT") => {
                    self.refusals.push(format!(
                        "iptables passes port {port} on by DNAT, which needs tracking: {line}"
                    ));
                }
                Some(port)
                    if target == "ACCEPT" && states.contains(&"NEW") && !states.contains(&"UNTRACKED") =>
                {
                    self.warnings.push(format!("iptables lets port {port} in by state: {line}"));
                }
                _ => {}
            }
        }
    }
}

/// What goes on when the ports have expired.
fn after_the_end(place: &str) -> String {
    format!("{place}: a session that lives through the end of the lifeline may be taken for INVALID there")
}

/// `22` or `20:25`.
fn in_range(text: &str, port: u16) -> bool {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    let bound = |text: &str, open: u16| if text.is_empty() { Ok(open) } else { text.parse::<u16>() };
    match (bound(first, 0), bound(last, u16::MAX)) {
        (Ok(first), Ok(last)) => !text.is_empty() && (first..=last).contains(&port),
        _ => false,
    }
}

/// A base chain that packets of the gateway's own port do not meet.
fn bypassed(chain: &Value) -> bool {
    matches!(chain["hook"].as_str(), Some("forward" | "ingress" | "egress"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// One rule of `nft -j`.
struct Rule<'a>(&'a Value);

impl<'a> Rule<'a> {
    fn new(rule: &'a Value) -> Self {
        Rule(rule)
    }

    fn place(&self) -> String {
        let rule = self.0;
        let names = [&rule["family"], &rule["table"], &rule["chain"]].map(text).join(" ");
        format!("the rule {names} handle {}", rule["handle"])
    }

    fn expressions(&self) -> impl Iterator<Item = &'a Value> {
        self.0["expr"].as_array().into_iter().flatten()
    }

    fn has(&self, verdicts: &[&str]) -> bool {
        self.expressions().any(|expression| verdicts.iter().any(|verdict| expression.get(verdict).is_some()))
    }

    fn refuses(&self) -> bool {
        self.has(&["drop", "reject"])
    }

    /// Matches by port: each with whether it is negated, and its right side.
    fn names_port(&self, field: &str, port: u16) -> bool {
        let matches = self.expressions().filter_map(|expression| expression.get("match"));
        let mut of_port = matches.filter(|m| m["left"]["payload"]["field"] == field && m["op"] != "!=");
        of_port.any(|m| holds(&m["right"], port))
    }

    /// Right sides of `ct state`, with whether they are what must not be.
    fn states(&self) -> Vec<(bool, Vec<&'a str>)> {
        let matches = self.expressions().filter_map(|expression| expression.get("match"));
        let of_state = matches.filter(|m| m["left"]["ct"]["key"] == "state");
        of_state.map(|m| (m["op"] == "!=", words(&m["right"]))).collect()
    }

    fn wants_state(&self) -> bool {
        self.states().iter().any(|(negated, states)| states.contains(&"untracked") == *negated)
    }

    fn drops_untracked(&self) -> bool {
        let matched = self.states().iter().any(|(negated, states)| states.contains(&"untracked") != *negated);
        (matched && self.refuses()) || self.vmap_drops("untracked")
    }

    fn drops_invalid(&self) -> bool {
        let matched = self.states().iter().any(|(negated, states)| states.contains(&"invalid") && !negated);
        (matched && self.refuses()) || self.vmap_drops("invalid")
    }

    /// `ct state vmap { invalid : drop, … }`.
    fn vmap_drops(&self, state: &str) -> bool {
        let maps = self.expressions().filter_map(|expression| expression.get("vmap"));
        let of_state = maps.filter(|map| map["key"]["ct"]["key"] == "state");
        let pairs = of_state.filter_map(|map| map["data"]["set"].as_array()).flatten();
        pairs.into_iter().any(|pair| pair[0] == state && (pair[1].get("drop").is_some()))
    }
}

/// Words of a right side: one, a list, a set.
fn words(right: &Value) -> Vec<&str> {
    match right {
        Value::String(word) => vec![word],
        Value::Array(list) => list.iter().flat_map(words).collect(),
        Value::Object(object) => object.get("set").map(words).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Whether a right side holds a port: a number, a range, a set of these. A named set is not looked into.
fn holds(right: &Value, port: u16) -> bool {
    let number = |value: &Value| value.as_u64();
    match right {
        Value::Number(_) => number(right) == Some(port.into()),
        Value::Object(object) => {
            let range =
                object.get("range").and_then(Value::as_array).is_some_and(|ends| match ends.as_slice() {
                    [first, last] => {
                        number(first).is_some_and(|n| n <= port.into())
                            && number(last).is_some_and(|n| n >= port.into())
                    }
                    _ => false,
                });
            let set = object.get("set").and_then(Value::as_array);
            range || set.is_some_and(|set| set.iter().any(|element| holds(element, port)))
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "obstacles_tests.rs"]
mod tests;
