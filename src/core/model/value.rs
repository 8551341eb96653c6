//! The kernel's values that the agent may change.

use std::cmp::Ordering;
use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::timeouts::Timeout;

/// One value of the kernel that the agent reads, may change, and puts back. In text, such as the baseline on disk and
/// the journal, it is its name, by which values are ordered too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// `nf_conntrack_max`: entries of each network namespace at most. One for the host.
    Max,
    /// `nf_conntrack_buckets`: buckets of the hash table that all network namespaces share.
    Buckets,
    /// `nf_conntrack_events`: whether entries tell of events.
    Events,
    /// A timeout, in seconds.
    Timeout(Timeout),
}

impl Value {
    /// The timeout of established TCP connections.
    pub const ESTABLISHED: Value = Value::Timeout(Timeout::of_place(0));

    /// The value with this name.
    pub fn named(name: &str) -> Option<Value> {
        match name {
            "max" => Some(Value::Max),
            "buckets" => Some(Value::Buckets),
            "events" => Some(Value::Events),
            name => Timeout::named(name).map(Value::Timeout),
        }
    }

    /// The sysctl's name after `nf_conntrack_`, which is also the contract's.
    pub fn name(self) -> &'static str {
        match self {
            Value::Max => "max",
            Value::Buckets => "buckets",
            Value::Events => "events",
            Value::Timeout(timeout) => timeout.name(),
        }
    }

    /// True for a value that all network namespaces of the host share.
    pub fn is_of_host(self) -> bool {
        matches!(self, Value::Max | Value::Buckets)
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Value::named(&name).ok_or_else(|| D::Error::custom(format!("{name} is no value that ctctl changes")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_value_is_its_name_in_text_and_names_are_the_order() {
        let all = [Value::Max, Value::Buckets, Value::Events].into_iter();
        let all: BTreeMap<Value, u64> =
            all.chain(Timeout::all().map(Value::Timeout)).map(|v| (v, 1)).collect();
        let text = serde_json::to_string(&all).expect("JSON");
        let by_name: BTreeMap<String, u64> = serde_json::from_str(&text).expect("by name");
        assert!(all.keys().map(|value| value.name()).eq(by_name.keys()));
        assert_eq!(serde_json::from_str::<BTreeMap<Value, u64>>(&text).expect("by value"), all);
        assert_eq!(Value::named("tcp_timeout_established"), Some(Value::ESTABLISHED));
        assert!(serde_json::from_str::<Value>("\"acct\"").is_err());
    }
}
