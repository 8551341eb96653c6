//! One rule of nftables as nft(8) prints it in JSON: the packets that it accepts or refuses, and its conditions.

use serde_json::Value;

/// A rule in the output of `nft -j`.
pub(super) struct Rule<'a>(&'a Value);

impl<'a> Rule<'a> {
    pub(super) fn new(rule: &'a Value) -> Self {
        Rule(rule)
    }

    /// Returns the rule's JSON.
    pub(super) fn listed(&self) -> &'a Value {
        self.0
    }

    pub(super) fn place(&self) -> String {
        let rule = self.0;
        let names = [&rule["family"], &rule["table"], &rule["chain"]].map(text).join(" ");
        format!("the rule {names} handle {}", rule["handle"])
    }

    fn expressions(&self) -> impl Iterator<Item = &'a Value> {
        self.0["expr"].as_array().into_iter().flatten()
    }

    pub(super) fn has(&self, verdicts: &[&str]) -> bool {
        self.expressions().any(|expression| verdicts.iter().any(|verdict| expression.get(verdict).is_some()))
    }

    fn refuses(&self) -> bool {
        self.has(&["drop", "reject"])
    }

    /// True if the rule matches the port in this field; `th` stands for the header of any transport protocol.
    pub(super) fn names_port(&self, protocol: &str, field: &str, port: u16) -> bool {
        self.matches().any(|m| {
            let payload = &m["left"]["payload"];
            let spoken = payload["protocol"] == protocol || payload["protocol"] == "th";
            spoken && payload["field"] == field && m["op"] != "!=" && holds(&m["right"], port)
        })
    }

    /// True if the rule passes packets of other ports on to this port of this host (`redirect`, or `dnat` without an
    /// address of another). A map may have any port.
    pub(super) fn passes_on_to(&self, port: u16) -> bool {
        self.expressions().any(|expression| {
            let redirect = expression.get("redirect");
            let nat = redirect.or_else(|| expression.get("dnat")).filter(|nat| nat.is_object());
            let here = |nat: &&Value| match nat["addr"].as_str() {
                Some(address) => address == "::1" || address.starts_with("127."),
                None => redirect.is_some() || nat.get("addr").is_none(),
            };
            nat.filter(here).is_some_and(|nat| match nat.get("port") {
                None => false,
                Some(given @ Value::Number(_)) => holds(given, port),
                Some(given) => given.get("range").is_none() || holds(given, port),
            })
        })
    }

    /// True if every header that the rule names is of this protocol.
    pub(super) fn is_of(&self, protocol: &str) -> bool {
        let other = if protocol == "tcp" { "udp" } else { "tcp" };
        !self.matches().any(|m| m["left"]["payload"]["protocol"] == other || m["right"] == other)
    }

    /// True if the rule sets the mark of packets by what connection tracking knows of them.
    pub(super) fn marks_by_entry(&self) -> bool {
        let is_mark = |e: &Value| e["mangle"]["key"]["meta"]["key"] == "mark";
        self.expressions().any(is_mark) && self.expressions().any(|e| e.to_string().contains("\"ct\":"))
    }

    /// True if the rule decides on packets by their mark.
    pub(super) fn decides_by_mark(&self) -> bool {
        let verdicts = ["accept", "drop", "reject", "return", "jump", "goto", "vmap", "queue"];
        let asks =
            |e: &Value| ["match", "vmap"].iter().any(|key| e[*key].to_string().contains(r#"{"key":"mark"}"#));
        self.has(&verdicts) && self.expressions().any(asks)
    }

    /// True if the rule refuses packets that begin a connection in its middle, as those of a session do whose packets
    /// were not tracked before.
    pub(super) fn refuses_in_the_middle(&self) -> bool {
        let begins = self.states().iter().any(|(negated, states)| states.contains(&"new") != *negated);
        let by_flags = self.matches().any(|m| m["left"].to_string().contains(r#""field":"flags""#));
        begins && by_flags && self.refuses()
    }

    /// True if the rule accepts all packets that this host sends to itself.
    pub(super) fn accepts_loopback(&self) -> bool {
        let interfaces = ["iif", "iifname", "oif", "oifname"];
        let of_interface = |m: &Value| interfaces.iter().any(|key| m["left"]["meta"]["key"] == *key);
        let named = self.matches().any(|m| of_interface(m) && m["op"] == "==" && m["right"] == "lo");
        named && self.has(&["accept"]) && self.conditions() == 1
    }

    /// True if the rule accepts all untracked packets.
    pub(super) fn accepts_untracked(&self) -> bool {
        let states = self.states();
        let named = states.iter().any(|(negated, states)| states.contains(&"untracked") != *negated);
        let matched = named && states.len() == self.conditions() && self.has(&["accept"]);
        matched || (self.conditions() == 0 && self.vmap_says("untracked", "accept"))
    }

    /// True if the rule refuses every packet that reaches it.
    pub(super) fn refuses_all(&self) -> bool {
        let unconditional = ["counter", "log", "drop", "reject"];
        self.refuses() && self.expressions().all(|e| unconditional.iter().any(|key| e.get(key).is_some()))
    }

    /// Returns the number of conditions beside a map of verdicts.
    fn conditions(&self) -> usize {
        let asking = ["match", "xt", "limit"];
        self.expressions().filter(|e| asking.iter().any(|key| e.get(key).is_some())).count()
    }

    /// True if the rule is in this chain.
    pub(super) fn is_in(&self, chain: &Value) -> bool {
        let rule = self.0;
        chain["name"] == rule["chain"] && chain["table"] == rule["table"] && chain["family"] == rule["family"]
    }

    fn matches(&self) -> impl Iterator<Item = &'a Value> {
        self.expressions().filter_map(|expression| expression.get("match"))
    }

    /// Returns the states of each `ct state` condition, with true if the condition is negated.
    fn states(&self) -> Vec<(bool, Vec<&'a str>)> {
        let of_state = self.matches().filter(|m| m["left"]["ct"]["key"] == "state");
        of_state.map(|m| (m["op"] == "!=", words(&m["right"]))).collect()
    }

    pub(super) fn wants_state(&self) -> bool {
        self.states().iter().any(|(negated, states)| states.contains(&"untracked") == *negated)
    }

    pub(super) fn drops_untracked(&self) -> bool {
        let matched = self.states().iter().any(|(negated, states)| states.contains(&"untracked") != *negated);
        (matched && self.refuses()) || self.vmap_says("untracked", "drop")
    }

    pub(super) fn drops_invalid(&self) -> bool {
        let matched = self.states().iter().any(|(negated, states)| states.contains(&"invalid") && !negated);
        (matched && self.refuses()) || self.vmap_says("invalid", "drop")
    }

    /// True if the rule has a map such as `ct state vmap { invalid : drop, … }` with this verdict for `state`.
    fn vmap_says(&self, state: &str, verdict: &str) -> bool {
        let maps = self.expressions().filter_map(|expression| expression.get("vmap"));
        let of_state = maps.filter(|map| map["key"]["ct"]["key"] == "state");
        let pairs = of_state.filter_map(|map| map["data"]["set"].as_array()).flatten();
        pairs.into_iter().any(|pair| pair[0] == state && (pair[1].get(verdict).is_some()))
    }
}

/// Returns the words of a right side: one, a list, a set.
pub(super) fn words(right: &Value) -> Vec<&str> {
    match right {
        Value::String(word) => vec![word],
        Value::Array(list) => list.iter().flat_map(words).collect(),
        Value::Object(object) => object.get("set").map(words).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// True if a right side contains the port: as a number, in a range, in a set of these. A named set (`@name`) contains
/// none here.
pub(super) fn holds(right: &Value, port: u16) -> bool {
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

/// Returns a name in a ruleset, `?` if it is no text.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
