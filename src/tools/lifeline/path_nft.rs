//! Chains of nftables, evaluated for one packet from the output of `nft -j list ruleset`.

use serde_json::Value;

use super::TABLE;
use super::path::{Chain, Chains, Effect, Holds, Packet, Step};
use super::rule::{self, text};

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
        let mut holds = Holds::Yes;
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
            if let Some(found) = effect(expression) {
                into.push(Step { holds, effect: found });
            } else if let Some(matched) = expression.get("match") {
                holds = holds.and(self.holds(rule, matched, packet));
            } else if let Some(map) = expression.get("vmap") {
                for (found, verdict) in self.looked_up(rule, map, packet) {
                    let effect = effect(verdict);
                    into.extend(effect.map(|effect| Step { holds: holds.and(found), effect }));
                }
            } else if ["xt", "limit", "quota", "ct count"].iter().any(|key| expression.get(key).is_some()) {
                holds = holds.and(Holds::Unknown);
            }
        }
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
        if let Some(ct) = left.get("ct") {
            let known = ct["key"] == "state" && !rule::words(right).is_empty();
            let states = rule::words(right);
            return if known { Holds::from_bool(states.contains(&packet.state)) } else { Holds::Unknown };
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
