//! A way in when the table is full: packets of a management port of the gateway's own go past connection tracking
//! (`notrack`), so that they need no entry. The ports stand in a set whose elements the kernel itself takes away when
//! their time is over: nothing of this program has to be there for that. Tables have no time of their own: an empty
//! one stays, which lets nothing past, until it is used again or removed.

mod nft;
mod obstacles;
mod rule;

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::kernel::clock;
use crate::kernel::netns::Namespace;
use crate::model::{Header, LifelineDocument, LifelinePort, LifelineTable};
use nft::Listed;
use obstacles::Obstacles;
pub use obstacles::Way;
use serde_json::Value;

/// The table that holds it; nothing else is in there.
pub const TABLE: &str = "ctctl_lifeline";
const SET: &str = "ports";
/// What the rules let past: a server's TCP.
const SERVED: Way = Way { protocol: "tcp", incoming: &["dport"], outgoing: &["sport"], loopback: false };

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Show the rules.
    Print,
    /// Put them into the kernel.
    Apply,
    /// Take them away.
    Remove,
}

/// Prints, applies or removes. `seconds`: until the kernel forgets the ports; none is for ever. Ports that an earlier
/// call let past stay, each with its own time.
///
/// # Errors
/// Exit 1 where it would lock out those whom it is to let in, 3 without nft or where it refuses.
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
        before: None,
        now: None,
    };
    if order == Order::Print {
        return Ok(document);
    }
    namespace.enter()?;
    let nft = nft::Nft::find()?;
    if order == Order::Apply {
        let found = Obstacles::find(&nft, SERVED, ports)?;
        if let Some(refusal) = found.refusals.first() {
            let more = found.refusals.len() - 1;
            let others = if more == 0 { String::new() } else { format!(" (and {more} more like it)") };
            return Err(Error::no("lifeline", format!("{refusal}{others}"))
                .hint("let the port in without ct state, or take the rules that `ctctl lifeline` prints in your own hands"));
        }
        document.warnings = [found.warnings, found.later].concat();
    }
    document.before = standing(&nft)?;
    nft.apply(&document.ruleset)?;
    document.applied = true;
    document.now = standing(&nft)?;
    Ok(document)
}

/// What in the rules of the calling thread's namespace would keep a port out, or may, that goes untracked; nothing
/// where it comes through.
///
/// # Errors
/// Exit 3 without nft, or where it refuses to list.
pub fn in_the_way(way: Way, port: u16) -> Result<Vec<String>> {
    let found = Obstacles::find(&nft::Nft::find()?, way, &BTreeSet::from([port]))?;
    Ok([found.refusals, found.warnings].concat())
}

/// What the kernel has; nothing where this nft cannot say.
fn standing(nft: &nft::Nft) -> Result<Option<LifelineTable>> {
    Ok(match nft.set(TABLE, SET)? {
        Listed::Missing => Some(LifelineTable { is_there: false, ports: Vec::new() }),
        Listed::As(listing) => Some(LifelineTable { is_there: true, ports: elements(&listing) }),
        Listed::NotKnown => None,
    })
}

/// Elements of `nft -j list set`: a number alone, or with its time.
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

/// Adds the ports in one transaction, whatever is there: rules are put in anew, and an element has to go first, for
/// older kernels leave the time of one that is there as it is.
fn ruleset(ports: &BTreeSet<u16>, seconds: Option<u64>) -> String {
    let timeout = seconds.map_or(String::new(), |seconds| format!(" timeout {seconds}s"));
    let listed = |with: &str| ports.iter().map(|port| format!("{port}{with}")).collect::<Vec<_>>().join(", ");
    let (bare, timed) = (listed(""), listed(&timeout));
    let elements = format!("element inet {TABLE} {SET}");
    // Only what is addressed to the gateway itself: what it forwards from the same port needs its entry, and its NAT.
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

/// Whether it is there or not.
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
