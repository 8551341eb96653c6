//! A way in when the table is full: packets of a management port of the gateway's own go past connection tracking
//! (`notrack`), so that they need no entry. The ports stand in a set whose elements the kernel itself takes away when
//! their time is over: nothing of this program has to be there for that.

mod nft;
mod obstacles;

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::kernel::clock;
use crate::kernel::netns::Namespace;
use crate::model::{Header, LifelineDocument};
use obstacles::Obstacles;

/// The table that holds it; nothing else is in there.
pub const TABLE: &str = "ctctl_lifeline";

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

/// Prints, applies or removes. `seconds`: until the kernel forgets the ports; none is for ever.
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
    };
    if order == Order::Print {
        return Ok(document);
    }
    namespace.enter()?;
    let nft = nft::Nft::find()?;
    if order == Order::Apply {
        let found = Obstacles::find(&nft, ports)?;
        if let Some(refusal) = found.refusals.first() {
            let more = found.refusals.len() - 1;
            let others = if more == 0 { String::new() } else { format!(" (and {more} more like it)") };
            return Err(Error::no("lifeline", format!("{refusal}{others}"))
                .hint("let the port in without ct state, or take the rules that `ctctl lifeline` prints in your own hands"));
        }
        document.warnings = found.warnings;
    }
    nft.apply(&document.ruleset)?;
    document.applied = true;
    Ok(document)
}

/// A ruleset that replaces itself in one transaction: at no moment is there half of it.
fn ruleset(ports: &BTreeSet<u16>, seconds: Option<u64>) -> String {
    let timeout = seconds.map_or(String::new(), |seconds| format!(" timeout {seconds}s"));
    let elements: Vec<String> = ports.iter().map(|port| format!("{port}{timeout}")).collect();
    let flags = if seconds.is_some() { "    flags timeout\n" } else { "" };
    // Only what is addressed to the gateway itself: what it forwards from the same port needs its entry, and its NAT.
    format!(
        "{removal}table inet {TABLE} {{\n  set ports {{\n    type inet_service\n{flags}    elements = {{ {elements} }}\n  }}\n\
         \n  chain prerouting {{\n    type filter hook prerouting priority raw; policy accept;\n    \
         tcp dport @ports fib daddr type local notrack\n  }}\n\
         \n  chain output {{\n    type filter hook output priority raw; policy accept;\n    \
         tcp sport @ports notrack\n  }}\n}}\n",
        removal = removal(),
        elements = elements.join(", "),
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
        assert!(
            text.contains("flags timeout") && text.contains("{ 22 timeout 600s, 2222 timeout 600s }"),
            "{text}"
        );
        assert!(
            text.starts_with("add table inet ctctl_lifeline\ndelete table inet ctctl_lifeline\ntable inet")
        );
        assert!(text.contains("tcp dport @ports fib daddr type local notrack"), "{text}");
        let text = ruleset(&BTreeSet::from([22]), None);
        assert!(text.contains("elements = { 22 }") && !text.contains("timeout"), "{text}");
    }
}
