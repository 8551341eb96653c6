//! Chains of nftables, evaluated for one packet from the output of `nft -j list ruleset`.

use serde_json::Value;

use super::TABLE;
use super::path::{Chain, Chains, Effect, Holds, Packet, Step};
use super::rule::{self, text};
use super::varying;

/// Families whose chains a TCP or UDP packet meets.
const FAMILIES: [&str; 3] = ["ip", "ip6", "inet"];
/// Headers that a rule may name; one that is not the packet's protocol does not match.
const OTHER_HEADERS: [&str; 11] =
    ["tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "igmp", "esp", "ah", "comp"];
/// Priority `raw`: chains before it see no connection state yet.
const RAW: i64 = -300;

/// Objects of the listing.
pub(super) struct Ruleset<'a>(&'a [Value]);

impl<'a> Ruleset<'a> {
    pub(super) fn new(listing: &'a Value) -> Self {
        Ruleset(listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default())
    }

    fn all(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> {
        let of_kind = self.0.iter().filter_map(move |object| object.get(kind));
        of_kind.filter(|object| object["table"] != TABLE && FAMILIES.contains(&text(&object["family"])))
    }

    /// Returns the names of the base chains at a hook that decide on packets. Those of type nat see tracked packets
    /// only.
    pub(super) fn bases(&self, hook: &str) -> Vec<String> {
        let deciding = |chain: &&Value| {
            chain["hook"] == hook && chain["type"] != "nat" && chain["prio"].as_i64().is_none_or(|p| p >= RAW)
        };
        self.all("chain").filter(deciding).map(|chain| name(chain, "name")).collect()
    }

    /// Returns the chains, evaluated for this packet.
    pub(super) fn chains(&self, packet: &Packet) -> Chains {
        let mut chains = Chains::default();
        for chain in self.all("chain") {
            let drops = chain["policy"] == "drop";
            chains.0.insert(name(chain, "name"), Chain { steps: Vec::new(), drops });
        }
        for rule in self.all("rule") {
            let chain = chains.0.entry(name(rule, "chain")).or_default();
            self.steps(rule, packet, &mut chain.steps);
        }
        chains
    }

    /// True if the packet may match every condition of a rule.
    pub(super) fn may_match(&self, rule: &Value, packet: &Packet) -> bool {
        let expressions = rule["expr"].as_array().into_iter().flatten();
        let mut matched = expressions.filter_map(|expression| expression.get("match"));
        matched.all(|matched| self.holds(rule, matched, packet) != Holds::No)
    }

    fn steps(&self, rule: &Value, packet: &Packet, into: &mut Vec<Step>) {
        let (mut holds, mut varies) = (Holds::Yes, false);
        let target = |verdict: &Value| format!("{} {}", place(rule), text(&verdict["target"]));
        let effect = |expression: &Value| {
            let of = |(key, effect): (&str, Effect)| expression.get(key).map(|_| effect);
            let plain = [
                ("accept", Effect::Accept),
                ("drop", Effect::Drop),
                ("reject", Effect::Drop),
                ("return", Effect::Return),
                ("queue", Effect::Either),
                ("synproxy", Effect::Either),
                ("tproxy", Effect::Either),
            ];
            let plain = plain.into_iter().find_map(of);
            let jump = || expression.get("jump").map(|verdict| Effect::Jump(target(verdict)));
            let goto = || expression.get("goto").map(|verdict| Effect::Goto(target(verdict)));
            plain.or_else(jump).or_else(goto)
        };
        for expression in rule["expr"].as_array().into_iter().flatten() {
            if let Some(effect) = effect(expression) {
                let varies = varies || (effect == Effect::Accept && self.asks_a_changing_set(rule));
                into.push(Step { holds, varies, effect });
            } else if let Some(matched) = expression.get("match") {
                let found = self.holds(rule, matched, packet);
                varies |= found == Holds::Unknown && varying::value(&matched["left"]);
                holds = holds.and(found);
            } else if let Some(map) = expression.get("vmap") {
                for (found, verdict) in self.looked_up(rule, map, packet) {
                    let effect = effect(verdict);
                    let varies = varies || (found == Holds::Unknown && varying::value(&map["key"]));
                    into.extend(effect.map(|effect| Step { holds: holds.and(found), varies, effect }));
                }
            } else if varying::statement(expression) {
                (holds, varies) = (holds.and(Holds::Unknown), true);
            }
        }
    }

    /// True if a condition of the rule looks an address up in a set that fills and empties itself.
    fn asks_a_changing_set(&self, rule: &Value) -> bool {
        let matched = rule["expr"].as_array().into_iter().flatten().filter_map(|e| e.get("match"));
        let mut names = matched.filter_map(|matched| matched["right"].as_str()?.strip_prefix('@'));
        names.any(|name| {
            let here = |set: &&Value| {
                set["name"] == name && set["table"] == rule["table"] && set["family"] == rule["family"]
            };
            self.all("set").find(here).is_some_and(varying::set)
        })
    }

    fn holds(&self, rule: &Value, matched: &Value, packet: &Packet) -> Holds {
        let (left, right) = (&matched["left"], &matched["right"]);
        if packet.is_untracked() && left.get("ct").is_some_and(|ct| ct["key"] != "state") {
            // If the packet has no entry, nft_ct_get_eval ends the rule before anything is compared.
            return Holds::No;
        }
        self.is(rule, left, right, packet).negated(matched["op"] == "!=")
    }

    /// Compares the value that `left` reads of the packet with `right`, or with its elements.
    fn is(&self, rule: &Value, left: &Value, right: &Value, packet: &Packet) -> Holds {
        if let Some(parts) = left["concat"].as_array() {
            return self.is_one_of(rule, parts, right, packet);
        }
        if let Some(ct) = left.get("ct") {
            let known = ct["key"] == "state" && !rule::words(right).is_empty();
            let states = rule::words(right);
            return if known { Holds::from_bool(states.contains(&packet.state)) } else { packet.by_entry };
        }
        if let Some(payload) = left.get("payload") {
            let (protocol, field) = (text(&payload["protocol"]), text(&payload["field"]));
            return match (protocol, field) {
                ("ip", "protocol") | ("ip6", "nexthdr") => of_protocol(right, packet),
                (header, _) if header != "th" && header != packet.protocol => {
                    match OTHER_HEADERS.contains(&header) {
                        true => Holds::No,
                        false => Holds::Unknown,
                    }
                }
                (_, field) if packet.fields.contains(&field) => self.holds_port(rule, right, packet.port),
                _ => Holds::Unknown,
            };
        }
        match text(&left["meta"]["key"]) {
            "l4proto" => of_protocol(right, packet),
            "iif" | "iifname" | "oif" | "oifname" => match right.as_str() {
                Some("lo") => Holds::from_bool(packet.loopback),
                Some(name) if packet.loopback && !name.ends_with('*') => Holds::No,
                _ => Holds::Unknown,
            },
            _ => Holds::Unknown,
        }
    }

    /// Compares the values that `parts` read of the packet with the elements of a set of such combinations.
    fn is_one_of(&self, rule: &Value, parts: &[Value], right: &Value, packet: &Packet) -> Holds {
        let one = [right.clone()];
        let elements = match right["set"].as_array() {
            Some(elements) => elements.as_slice(),
            None if right.get("concat").is_some() => &one,
            None => return Holds::Unknown,
        };
        let compare = |element: &Value| {
            let values = element["concat"].as_array().map(Vec::as_slice).unwrap_or_default();
            let pairs = parts.iter().zip(values);
            pairs.fold(Holds::Yes, |holds, (left, right)| holds.and(self.is(rule, left, right, packet)))
        };
        let found: Vec<Holds> = elements.iter().map(compare).collect();
        match (found.contains(&Holds::Yes), found.contains(&Holds::Unknown)) {
            (true, _) => Holds::Yes,
            (false, true) => Holds::Unknown,
            (false, false) => Holds::No,
        }
    }

    /// Returns the verdicts of a map, each with the result of its condition.
    fn looked_up<'m>(&self, rule: &Value, map: &'m Value, packet: &Packet) -> Vec<(Holds, &'m Value)>
    where
        'a: 'm,
    {
        let data = &map["data"];
        let named = data.as_str().and_then(|data| self.named("map", rule, data));
        let pairs = data["set"].as_array().or(named).into_iter().flatten();
        pairs.map(|pair| (self.is(rule, &map["key"], &pair[0], packet), &pair[1])).collect()
    }

    /// Returns the elements of a named set or map (`@name`) of the rule's table.
    fn named(&self, kind: &'static str, rule: &Value, name: &str) -> Option<&'a Vec<Value>> {
        let name = name.strip_prefix('@')?;
        let here = |object: &&Value| {
            object["name"] == name && object["table"] == rule["table"] && object["family"] == rule["family"]
        };
        self.all(kind).find(here)?["elem"].as_array()
    }

    fn holds_port(&self, rule: &Value, right: &Value, port: u16) -> Holds {
        let Some(name) = right.as_str() else { return Holds::from_bool(rule::holds(right, port)) };
        let elements = self.named("set", rule, name);
        elements.map_or(Holds::Unknown, |elements| {
            let value = |element: &Value| element["elem"].get("val").unwrap_or(element).clone();
            Holds::from_bool(elements.iter().any(|element| rule::holds(&value(element), port)))
        })
    }
}

fn of_protocol(right: &Value, packet: &Packet) -> Holds {
    let named = |value: &Value| match value {
        Value::String(name) => Some(packet.is_of(name)),
        Value::Number(number) => Some(packet.is_of(&number.to_string())),
        _ => None,
    };
    let of_set = || right["set"].as_array().map(|set| set.iter().any(|value| named(value) == Some(true)));
    named(right).or_else(of_set).map_or(Holds::Unknown, Holds::from_bool)
}

fn place(object: &Value) -> String {
    format!("{} {}", text(&object["family"]), text(&object["table"]))
}

fn name(object: &Value, field: &str) -> String {
    format!("{} {}", place(object), text(&object[field]))
}
