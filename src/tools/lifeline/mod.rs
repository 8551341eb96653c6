//! Access to the gateway when the table is full: packets of a management port of the gateway itself bypass connection
//! tracking (`notrack`), so that they need no entry. The ports are elements of a set, and the kernel itself removes
//! each element when its time is over: ctctl need not run for that. A table has no timeout: an empty one stays, which
//! lets nothing past, until it is used again or removed.

mod nft;
mod obstacles;
mod path;
mod path_iptables;
mod path_nft;
mod rule;
mod varying;

use std::collections::BTreeSet;

use crate::core::model::{Header, LifelineDocument, LifelinePort, LifelineTable};
use crate::error::{Error, Result};
use crate::linux::clock;
use crate::linux::netns::Namespace;
use nft::Listed;
use obstacles::Obstacles;
pub use obstacles::Way;
use serde_json::Value;

/// Name of the nftables table that holds the set and the rules, and nothing else.
pub const TABLE: &str = "ctctl_lifeline";
const SET: &str = "ports";
/// Packets that the rules let past: those of a TCP server on this host.
const SERVER_TCP: Way = Way { protocol: "tcp", incoming: &["dport"], outgoing: &["sport"], loopback: false };

/// Operation of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Print the rules.
    Print,
    /// Load the rules into the kernel.
    Apply,
    /// Remove the rules from the kernel.
    Remove,
}

/// Prints, applies or removes the rules. After `seconds` the kernel forgets the ports; `None` keeps them for ever.
/// Ports that an earlier call let past stay, each with its own time.
///
/// Rules that would lock out the clients that they should let in are printed as comments, with the reasons in
/// [`LifelineDocument::refusals`].
///
/// # Errors
/// Exit 1 if [`Order::Apply`] would lock clients out. Exit 3 without nft, or if it refuses; [`Order::Print`] does not
/// fail then, but says that the rules were not checked.
pub fn run(
    namespace: &Namespace,
    ports: &BTreeSet<u16>,
    seconds: Option<u64>,
    order: Order,
) -> Result<LifelineDocument> {
    let ruleset = match order {
        Order::Remove => removal(),
        _ => ruleset(ports, seconds),
    };
    let mut document = LifelineDocument {
        header: Header { schema: 1, taken_at: clock::now_rfc3339(), netns: namespace.netns().clone() },
        ports: ports.iter().copied().collect(),
        seconds,
        applied: false,
        ruleset,
        warnings: Vec::new(),
        refusals: Vec::new(),
        not_checked: None,
        before: None,
        now: None,
    };
    let looked = namespace.enter().and_then(|()| nft::Nft::find());
    let found = match (order, &looked) {
        (Order::Remove, _) => Ok(Obstacles::default()),
        (_, Ok(nft)) => Obstacles::find(nft, SERVER_TCP, ports),
        (_, Err(error)) => Err(error.clone()),
    };
    match (order, found) {
        (Order::Print, Err(error)) => document.not_checked = Some(error.to_string()),
        (_, Err(error)) => return Err(error),
        (_, Ok(found)) => {
            document.refusals = found.refusals;
            document.warnings = [found.warnings, found.later].concat();
        }
    }
    if order == Order::Print {
        if !document.refusals.is_empty() {
            document.ruleset = as_comments(&document.ruleset);
        }
        return Ok(document);
    }
    if let Some(refused) = refusal(&document.refusals) {
        return Err(refused);
    }
    let nft = looked?;
    document.before = current_table(&nft)?;
    nft.apply(&document.ruleset)?;
    document.applied = true;
    document.now = current_table(&nft)?;
    Ok(document)
}

/// Returns the error for a list of refusals; `None` if it is empty.
pub fn refusal(refusals: &[String]) -> Option<Error> {
    let (first, more) = refusals.split_first()?;
    let others = if more.is_empty() { String::new() } else { format!(" (and {} more like it)", more.len()) };
    Some(
        Error::no("lifeline", format!("it would lock out: {first}{others}"))
            .hint("let the port in, and its answers out, without ct state and before rules that count or compare single packets (tcp dport PORT accept), then run this again; where NAT or marks are named, those rules have to leave the port alone"),
    )
}

/// Turns every line into a comment, so that nft(8) reads the ruleset and does nothing.
fn as_comments(ruleset: &str) -> String {
    ruleset.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}

/// Returns the rules of the calling thread's namespace that keep packets of a port out once they are untracked, or that
/// may do so; empty if such packets pass.
///
/// # Errors
/// Exit 3 without nft, or if it refuses to list.
pub fn in_the_way(way: Way, port: u16) -> Result<Vec<String>> {
    let found = Obstacles::find(&nft::Nft::find()?, way, &BTreeSet::from([port]))?;
    Ok([found.refusals, found.warnings].concat())
}

/// Returns the table that the kernel has now; `None` if this nft was built without JSON.
fn current_table(nft: &nft::Nft) -> Result<Option<LifelineTable>> {
    Ok(match nft.set(TABLE, SET)? {
        Listed::Missing => Some(LifelineTable { is_there: false, ports: Vec::new() }),
        Listed::Found(listing) => Some(LifelineTable { is_there: true, ports: elements(&listing) }),
        Listed::NoJson => None,
    })
}

/// Reads the elements of `nft -j list set`: each a number alone, or a number with its time.
fn elements(listing: &Value) -> Vec<LifelinePort> {
    let objects = listing["nftables"].as_array().into_iter().flatten();
    let elements = objects.filter_map(|object| object["set"]["elem"].as_array()).flatten();
    let port = |element: &Value| {
        let timed = &element["elem"];
        let number = if timed.is_null() { element } else { &timed["val"] };
        let port = number.as_u64().and_then(|number| number.try_into().ok())?;
        Some(LifelinePort { port, left_seconds: timed["expires"].as_u64() })
    };
    elements.filter_map(port).collect()
}

/// Returns a transaction that adds the ports, whatever the kernel has: rules are loaded anew, and each element is
/// deleted before it is added, because older kernels keep the time of an element that is there.
fn ruleset(ports: &BTreeSet<u16>, seconds: Option<u64>) -> String {
    let timeout = seconds.map_or(String::new(), |seconds| format!(" timeout {seconds}s"));
    let listed = |with: &str| ports.iter().map(|port| format!("{port}{with}")).collect::<Vec<_>>().join(", ");
    let (bare, timed) = (listed(""), listed(&timeout));
    let elements = format!("element inet {TABLE} {SET}");
    // The rules match only packets addressed to the gateway itself: forwarded packets of the same port need an entry,
    // and NAT.
    format!(
        "add table inet {TABLE}\nflush table inet {TABLE}\ntable inet {TABLE} {{\n  set {SET} {{\n    \
         type inet_service\n    flags timeout\n  }}\n\
         \n  chain prerouting {{\n    type filter hook prerouting priority raw; policy accept;\n    \
         tcp dport @{SET} fib daddr type local notrack\n  }}\n\
         \n  chain output {{\n    type filter hook output priority raw; policy accept;\n    \
         tcp sport @{SET} notrack\n  }}\n}}\n\
         add {elements} {{ {bare} }}\ndelete {elements} {{ {bare} }}\nadd {elements} {{ {timed} }}\n",
    )
}

/// Returns a transaction that removes the table, which may be missing.
fn removal() -> String {
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_end_with_their_time_and_forwarded_flows_are_left_alone() {
        let text = ruleset(&BTreeSet::from([22, 2222]), Some(600));
        let element = "element inet ctctl_lifeline ports";
        let renewed = format!(
            "add {element} {{ 22, 2222 }}\ndelete {element} {{ 22, 2222 }}\n\
             add {element} {{ 22 timeout 600s, 2222 timeout 600s }}\n"
        );
        assert!(text.ends_with(&renewed) && text.contains("flags timeout"), "{text}");
        assert!(text.contains("tcp dport @ports fib daddr type local notrack"), "{text}");
        let text = ruleset(&BTreeSet::from([22]), None);
        assert!(
            text.ends_with("add element inet ctctl_lifeline ports { 22 }\n") && !text.contains("22 timeout"),
            "{text}"
        );
    }

    #[test]
    fn what_would_lock_out_is_printed_as_comments() {
        let text = as_comments(&ruleset(&BTreeSet::from([22]), Some(600)));
        assert!(
            text.lines().all(|line| line.starts_with('#')) && text.contains("# add table inet"),
            "{text}"
        );
        assert_eq!(refusal(&[]), None);
        let error = refusal(&["a rule".into(), "another".into()]).expect("refused");
        assert_eq!(error.to_string(), "lifeline: it would lock out: a rule (and 1 more like it)");
    }

    #[test]
    fn ports_with_a_time_and_without_are_read_as_nft_lists_them() {
        let set = serde_json::json!({"name": "ports", "flags": ["timeout"],
            "elem": [{"elem": {"val": 22, "timeout": 600, "expires": 597}}, 24, "x", 70_000]});
        let listing = serde_json::json!({"nftables": [{"metainfo": {}}, {"set": set}]});
        let of = |port, left_seconds| LifelinePort { port, left_seconds };
        assert_eq!(elements(&listing), [of(22, Some(597)), of(24, None)]);
        assert_eq!(elements(&serde_json::json!({"nftables": [{"set": {"name": "ports"}}]})), []);
        assert_eq!(elements(&Value::Null), []);
    }
}
