//! One rule of nftables as nft(8) prints it in JSON: whom it lets in, and by what.

use serde_json::Value;

/// One rule of `nft -j`.
pub(super) struct Rule<'a>(&'a Value);

impl<'a> Rule<'a> {
    pub(super) fn new(rule: &'a Value) -> Self {
        Rule(rule)
    }

    /// As it is listed.
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

    /// A match by port of the protocol; `th` is that of any.
    pub(super) fn names_port(&self, protocol: &str, field: &str, port: u16) -> bool {
        self.matches().any(|m| {
            let payload = &m["left"]["payload"];
            let spoken = payload["protocol"] == protocol || payload["protocol"] == "th";
            spoken && payload["field"] == field && m["op"] != "!=" && holds(&m["right"], port)
        })
    }

    /// It lets in what this host says to itself.
    pub(super) fn accepts_loopback(&self) -> bool {
        let interfaces = ["iif", "iifname", "oif", "oifname"];
        let of_interface = |m: &Value| interfaces.iter().any(|key| m["left"]["meta"]["key"] == *key);
        let named = self.matches().any(|m| of_interface(m) && m["op"] == "==" && m["right"] == "lo");
        named && self.has(&["accept"]) && self.conditions() == 1
    }

    /// It lets in whatever is untracked.
    pub(super) fn accepts_untracked(&self) -> bool {
        let states = self.states();
        let named = states.iter().any(|(negated, states)| states.contains(&"untracked") != *negated);
        let matched = named && states.len() == self.conditions() && self.has(&["accept"]);
        matched || (self.conditions() == 0 && self.vmap_says("untracked", "accept"))
    }

    /// It refuses whatever reaches it.
    pub(super) fn refuses_all(&self) -> bool {
        let unconditional = ["counter", "log", "drop", "reject"];
        self.refuses() && self.expressions().all(|e| unconditional.iter().any(|key| e.get(key).is_some()))
    }

    /// How much it asks for beside a map of verdicts.
    fn conditions(&self) -> usize {
        let asking = ["match", "xt", "limit"];
        self.expressions().filter(|e| asking.iter().any(|key| e.get(key).is_some())).count()
    }

    /// Whether it stands in a chain.
    pub(super) fn is_in(&self, chain: &Value) -> bool {
        let rule = self.0;
        chain["name"] == rule["chain"] && chain["table"] == rule["table"] && chain["family"] == rule["family"]
    }

    fn matches(&self) -> impl Iterator<Item = &'a Value> {
        self.expressions().filter_map(|expression| expression.get("match"))
    }

    /// Right sides of `ct state`, with whether they are what must not be.
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

    /// `ct state vmap { invalid : drop, … }`.
    fn vmap_says(&self, state: &str, verdict: &str) -> bool {
        let maps = self.expressions().filter_map(|expression| expression.get("vmap"));
        let of_state = maps.filter(|map| map["key"]["ct"]["key"] == "state");
        let pairs = of_state.filter_map(|map| map["data"]["set"].as_array()).flatten();
        pairs.into_iter().any(|pair| pair[0] == state && (pair[1].get(verdict).is_some()))
    }
}

/// Words of a right side: one, a list, a set.
pub(super) fn words(right: &Value) -> Vec<&str> {
    match right {
        Value::String(word) => vec![word],
        Value::Array(list) => list.iter().flat_map(words).collect(),
        Value::Object(object) => object.get("set").map(words).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Whether a right side holds a port: a number, a range, a set of these. A named set (`@name`) holds none here.
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

/// A name in a ruleset.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
