//! Rules that untracked packets would not pass: clients that are let in by connection state alone would be locked out
//! by `notrack`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::TABLE;
use super::nft::{self, Nft};
use super::path::{Holds, Packet, Session};
use super::path_iptables::{self, in_range};
use super::path_nft::Ruleset;
use super::rule::{Rule, text};
use crate::error::Result;

/// Packets that would go untracked, by the header fields that hold their port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// Protocol, `tcp` or `udp`.
    pub protocol: &'static str,
    /// Fields that hold the port in incoming packets.
    pub incoming: &'static [&'static str],
    /// Fields that hold the port in outgoing packets.
    pub outgoing: &'static [&'static str],
    /// True if the packets never leave this host.
    pub loopback: bool,
}

/// Sentences on the rules that were found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Obstacles {
    /// Rules that would lock clients out.
    pub(super) refusals: Vec<String>,
    /// Rules that may lock clients out.
    pub(super) warnings: Vec<String>,
    /// Rules that may cut sessions when packets are tracked again.
    pub(super) later: Vec<String>,
}

impl Obstacles {
    /// Examines the rules of the calling thread's namespace.
    ///
    /// # Errors
    /// Exit 3 if the rules cannot be read.
    pub(super) fn find(nft: &Nft, way: Way, ports: &BTreeSet<u16>) -> Result<Obstacles> {
        let mut found = Obstacles::default();
        match nft.ruleset()? {
            Some(ruleset) => {
                found.of_nft(&ruleset, way, ports);
                found.of_paths(&ruleset, way, ports);
            }
            None => found.warnings.push("this nft knows no JSON, so its rules were not looked at".into()),
        }
        let iptables = nft::iptables();
        found.of_iptables(&iptables, way, ports);
        found.of_iptables_paths(&iptables, way, ports);
        found.warnings.dedup();
        found.refusals.dedup();
        Ok(found)
    }

    fn of_nft(&mut self, ruleset: &Value, way: Way, ports: &BTreeSet<u16>) {
        let objects = ruleset["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
        let foreign = |kind: &'static str| {
            let of_kind = objects.iter().filter_map(move |object| object.get(kind));
            of_kind.filter(|object| object["table"] != TABLE).collect::<Vec<&Value>>()
        };
        let chains = foreign("chain");
        let passed = |rule: &Rule| chains.iter().any(|chain| bypassed(chain) && rule.is_in(chain));
        let rules: Vec<Rule> = foreign("rule").into_iter().map(Rule::new).filter(|r| !passed(r)).collect();
        let listing = Ruleset::new(ruleset);
        let journeys: Vec<([&str; 2], Packet)> =
            packets_at_hooks(way, ports).map(|(_, hooks, [.., untracked])| (hooks, untracked)).collect();
        let concerns = |rule: &Rule| {
            let hooked = chains.iter().find(|chain| chain["hook"].is_string() && rule.is_in(chain));
            let met = |hooks: &[&str]| hooked.is_none_or(|chain| hooks.contains(&text(&chain["hook"])));
            journeys.iter().any(|(hooks, packet)| met(hooks) && listing.may_match(rule.listed(), packet))
        };
        for rule in &rules {
            let place = rule.place();
            if rule.drops_untracked() && concerns(rule) {
                self.refusals.push(format!("{place} drops what is untracked"));
            }
            if rule.drops_invalid() || rule.refuses_in_the_middle() {
                self.later.push(after_the_end(&place));
            }
            let port = ports.iter().find(|port| rule.is_of(way.protocol) && rule.passes_on_to(**port));
            if let Some(port) = port {
                self.refusals.push(format!(
                    "{place} passes another port on to port {port}, and the answers from there need tracking"
                ));
            }
            let port = ports.iter().find(|port| rule.names_port(way.protocol, "dport", **port));
            if let Some(port) = port.filter(|_| rule.has(&["dnat", "redirect"])) {
                self.refusals.push(format!("{place} passes port {port} on by DNAT, which needs tracking"));
            }
        }
        self.of_marks(&chains, &rules);
        let input = met_in("input", &chains, &rules);
        if !input.iter().any(|rule| rule.accepts_untracked()) {
            self.of_states(&input, way, ports);
        }
        for chain in chains.iter().filter(|chain| refuses_the_rest(chain, &rules)) {
            let (hook, fields, what) = match text(&chain["hook"]) {
                hook @ "input" => (hook, way.incoming, "comes in"),
                hook @ "output" => (hook, way.outgoing, "goes out"),
                _ => continue,
            };
            let met = met_in(hook, &chains, &rules);
            for port in ports.iter().filter(|port| !lets_past(&met, way, fields, **port)) {
                let name = format!("{} {}", text(&chain["table"]), text(&chain["name"]));
                self.warnings.push(format!(
                    "chain {name} drops what no rule accepts, and none names port {port} without ct state: look that \
                     it {what} untracked"
                ));
            }
        }
    }

    /// Refuses marks that rules make of entries and that decide on packets, or choose their route: untracked packets
    /// have none.
    fn of_marks(&mut self, chains: &[&Value], rules: &[Rule]) {
        let routes = |rule: &Rule| chains.iter().any(|chain| chain["type"] == "route" && rule.is_in(chain));
        let decided = rules.iter().find(|rule| rule.decides_by_mark());
        for rule in rules.iter().filter(|rule| rule.marks_by_entry()) {
            let then = match (routes(rule), decided) {
                (true, _) => "the route of a packet may depend on it".to_owned(),
                (false, Some(by)) => format!("{} decides by the mark", by.place()),
                (false, None) => continue,
            };
            let place = rule.place();
            self.refusals.push(format!(
                "{place} marks packets by connection tracking, and {then}: untracked ones have no such mark"
            ));
        }
    }

    /// Refuses base chains of nftables that let the ports through only for the state of their packets.
    fn of_paths(&mut self, ruleset: &Value, way: Way, ports: &BTreeSet<u16>) {
        let ruleset = Ruleset::new(ruleset);
        for (port, hooks, packets) in packets_at_hooks(way, ports) {
            let [first, established, untracked] = packets.map(|packet| ruleset.chains(&packet));
            let bases = hooks.iter().flat_map(|hook| ruleset.bases(hook));
            self.refuse(port, &Session { first, established, untracked }, bases, |base| {
                format!("the chain {base}")
            });
        }
    }

    fn of_iptables_paths(&mut self, text: &str, way: Way, ports: &BTreeSet<u16>) {
        for table in path_iptables::tables(text) {
            for (port, hooks, packets) in packets_at_hooks(way, ports) {
                let [first, established, untracked] = packets.map(|packet| table.chains(&packet));
                let session = Session { first, established, untracked };
                let bases = hooks.iter().map(|hook| hook.to_uppercase()).filter(|base| table.has(base));
                self.refuse(port, &session, bases, |base| {
                    format!("the chain {base} of the iptables table {}", table.name)
                });
            }
        }
    }

    fn refuse(
        &mut self,
        port: u16,
        session: &Session,
        bases: impl Iterator<Item = String>,
        named: impl Fn(&str) -> String,
    ) {
        for base in bases {
            if session.is_locked_out(&base) {
                self.refusals.push(format!(
                    "{} lets port {port} through by its connection state alone, and drops it untracked",
                    named(&base)
                ));
            } else if session.is_asked_each_time(&base) {
                self.refusals.push(format!(
                    "{} lets established connections of port {port} through first; untracked, every packet would meet \
                     rules on rates, flags, sizes, marks or sets that change, which now only the first one meets",
                    named(&base)
                ));
            }
        }
    }

    fn of_states(&mut self, rules: &[&Rule], way: Way, ports: &BTreeSet<u16>) {
        for port in ports {
            for field in way.incoming {
                let named = |rule: &&&Rule| rule.names_port(way.protocol, field, *port);
                let accepting = || rules.iter().filter(named).filter(|rule| rule.has(&["accept"]));
                let by_state = accepting().find(|rule| rule.wants_state());
                if let Some(rule) = by_state.filter(|_| accepting().all(|rule| rule.wants_state())) {
                    self.refusals.push(format!("{} lets port {port} in by ct state alone", rule.place()));
                }
            }
        }
    }

    fn of_iptables(&mut self, text: &str, way: Way, ports: &BTreeSet<u16>) {
        let mut table = "";
        let decides_by_mark = path_iptables::decides_by_mark(text);
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            }
            let words = path_iptables::words(line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
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
            let spoken = after(&["-p"]).is_none_or(|protocol| protocol == way.protocol);
            let port = ports.iter().filter(|_| spoken).find(|port| {
                let listed = after(&["--dport", "--dports"]).unwrap_or_default();
                listed.split(',').any(|range| in_range(range, **port))
            });
            if refuses && states.contains(&"UNTRACKED") {
                self.warnings.push(format!("iptables drops what is untracked: {line}"));
            }
            let by_flags = words.iter().any(|word| matches!(*word, "--syn" | "--tcp-flags"));
            if refuses && (states.contains(&"INVALID") || (states.contains(&"NEW") && by_flags)) {
                self.later.push(after_the_end(&format!("iptables: {line}")));
            }
            let by_entry = words.contains(&"--restore-mark")
                || (target == "MARK"
                    && words.iter().any(|word| matches!(*word, "conntrack" | "state" | "connmark")));
            if spoken
                && by_entry
                && (decides_by_mark || (table == "mangle" && words.get(1) == Some(&"OUTPUT")))
            {
                self.refusals.push(format!(
                    "iptables marks packets by connection tracking, and the mark decides on them: untracked ones have none: \
                     {line}"
                ));
            }
            let given = || {
                after(&["--to-ports"])
                    .or_else(|| after(&["--to-destination"])?.rsplit_once(':').map(|to| to.1))
            };
            let here = || {
                after(&["--to-destination"]).is_none_or(|to| to.starts_with(':') || to.starts_with("127."))
            };
            let to =
                ports.iter().find(|port| given().is_some_and(|to| in_range(&to.replace('-', ":"), **port)));
            if let Some(to) = to.filter(|_| spoken && here() && matches!(target, "DNAT" | "REDIRECT")) {
                self.refusals.push(format!(
                    "iptables passes another port on to port {to}, and the answers from there need tracking: {line}"
                ));
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

/// Returns the warning about sessions that go on when the ports have expired.
fn after_the_end(place: &str) -> String {
    format!("{place}: a session that lives through the end of the lifeline may be taken for INVALID there")
}

/// Returns for each port and direction the hooks that its packets pass, and the first such packet of a session, one of an
/// established session, and an untracked one.
fn packets_at_hooks(
    way: Way,
    ports: &BTreeSet<u16>,
) -> impl Iterator<Item = (u16, [&'static str; 2], [Packet; 3])> {
    // A server's first packet comes in, and its answer belongs to a connection already; for a client it is the reverse.
    let serves = way.incoming.contains(&"dport");
    let (comes, goes) = if serves { ("new", "established") } else { ("established", "new") };
    ports.iter().flat_map(move |port| {
        let mut incoming =
            [comes, "established", "untracked"].map(|state| Packet::incoming(way, *port, state));
        let mut outgoing =
            [goes, "established", "untracked"].map(|state| Packet::outgoing(way, *port, state));
        for first in [&mut incoming[0], &mut outgoing[0]] {
            first.by_entry = Holds::Unknown;
        }
        [(*port, ["prerouting", "input"], incoming), (*port, ["output", "postrouting"], outgoing)]
    })
}

/// True for a base chain that packets of the gateway's own port do not meet.
fn bypassed(chain: &Value) -> bool {
    matches!(chain["hook"].as_str(), Some("forward" | "ingress" | "egress"))
}

/// Returns the rules that a packet may meet at a hook: those of the hook's base chains, and of chains that are no base.
fn met_in<'a, 'r>(hook: &str, chains: &[&Value], rules: &'a [Rule<'r>]) -> Vec<&'a Rule<'r>> {
    let elsewhere = |rule: &Rule| {
        chains.iter().any(|chain| chain["hook"].is_string() && chain["hook"] != hook && rule.is_in(chain))
    };
    rules.iter().filter(|rule| !elsewhere(rule)).collect()
}

/// True if the chain drops packets by its policy, or by a rule without a condition.
fn refuses_the_rest(chain: &Value, rules: &[Rule]) -> bool {
    chain["policy"] == "drop" || rules.iter().any(|rule| rule.is_in(chain) && rule.refuses_all())
}

/// True if rules that do not ask for a state accept the port in each of `fields`, or if one accepts all untracked
/// packets, or all loopback packets where these never leave the host.
fn lets_past(rules: &[&Rule], way: Way, fields: &[&str], port: u16) -> bool {
    let named = |field: &&str| {
        let mut accepting = rules.iter().filter(|rule| rule.has(&["accept"]) && !rule.wants_state());
        accepting.any(|rule| rule.names_port(way.protocol, field, port))
    };
    let general = |rule: &&Rule| rule.accepts_untracked() || (way.loopback && rule.accepts_loopback());
    rules.iter().any(general) || fields.iter().all(named)
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod path_tests;
#[cfg(test)]
#[path = "obstacles_tests.rs"]
mod tests;
