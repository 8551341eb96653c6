//! Rules of nftables that have to do with connection tracking. The lists come from the kernel's own memory; a caller
//! that must not load nf_tables asks only where it is.

use std::io;

use super::attribute::{Attributes, Message, be32, be64};
use super::question;
use super::socket::Netlink;
use crate::core::model::{Rule, Ruleset};

/// A ruleset of more is not read to its end.
const MOST_RULES: usize = 100_000;
const NF_DROP: u32 = 0;

/// Expressions that make the kernel track, and whether tracking is what they are for (nf_ct_netns_get in their
/// `init`).
const TRACKING: [(&str, bool); 9] = [
    ("ct", false),
    ("nat", true),
    ("masq", true),
    ("redir", true),
    ("flow_offload", true),
    ("connlimit", true),
    ("synproxy", true),
    // Objects of `ct helper`, `ct timeout`, `ct expectation`, and others that cannot be told apart here.
    ("objref", true),
    ("notrack", true),
];
/// Extensions of x_tables behind nft_compat that make the kernel track, and whether tracking is what they are for.
const EXTENSIONS: [(&str, bool); 20] = [
    ("conntrack", false),
    ("state", false),
    ("connbytes", true),
    ("connlabel", true),
    ("connlimit", true),
    ("connmark", true),
    ("helper", true),
    ("cluster", true),
    ("MASQUERADE", true),
    ("SNAT", true),
    ("DNAT", true),
    ("REDIRECT", true),
    ("NETMAP", true),
    ("CT", true),
    ("NOTRACK", true),
    ("CONNMARK", true),
    ("CONNSECMARK", true),
    ("SYNPROXY", true),
    ("CLUSTERIP", true),
    ("HMARK", true),
];

/// Attributes of a rule (`enum nft_rule_attributes`).
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
/// Attributes of an expression (`enum nft_expr_attributes`).
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
/// Registers that an expression reads and writes (include/uapi/linux/netfilter/nf_tables.h).
const NFTA_PAYLOAD_SREG: u16 = 5;
const NFTA_EXTHDR_DREG: u16 = 1;
const NFTA_EXTHDR_SREG: u16 = 7;

/// Targets of x_tables that change a packet or where it goes.
const WRITING: [&str; 9] = ["DSCP", "TOS", "TTL", "HL", "TCPMSS", "TCPOPTSTRIP", "ECN", "TPROXY", "TEE"];

/// The ruleset of the calling thread's namespace.
///
/// # Errors
/// As [`Netlink::ask`]: EPERM without CAP_NET_ADMIN.
pub fn list(netlink: &mut Netlink) -> io::Result<Ruleset> {
    let mut found = Ruleset::default();
    let sequence = netlink.next_sequence();
    netlink.ask(&question::nft_chains(sequence), sequence, |message| {
        found.policy_drop |= drops_by_policy(message);
    })?;
    let sequence = netlink.next_sequence();
    netlink.ask(&question::nft_rules(sequence), sequence, |message| {
        if found.rules.len() < MOST_RULES {
            found.rules.extend(rule(message));
        }
    })?;
    Ok(found)
}

/// NFTA_CHAIN_POLICY 5 of a base chain.
fn drops_by_policy(message: &Message<'_>) -> bool {
    let policy = message.attributes().into_iter().flatten().flatten().find(|(kind, _)| *kind == 5);
    policy.is_some_and(|(_, value)| be32(value) == Ok(NF_DROP))
}

/// Decodes a rule of a dump.
fn rule(message: &Message<'_>) -> Option<Rule> {
    let mut rule = Rule { family: family(*message.payload.first()?), ..Rule::default() };
    for (kind, value) in message.attributes().ok()?.flatten() {
        match kind {
            NFTA_RULE_TABLE => rule.table = text(value),
            NFTA_RULE_CHAIN => rule.chain = text(value),
            NFTA_RULE_HANDLE => rule.handle = be64(value).ok()?,
            NFTA_RULE_EXPRESSIONS => {
                Attributes(value).flatten().for_each(|(_, expression)| read(expression, &mut rule))
            }
            _ => {}
        }
    }
    Some(rule)
}

/// Notes what an expression does to the rule that has it.
fn read(expression: &[u8], rule: &mut Rule) {
    let (mut name, mut data) = (String::new(), &[][..]);
    for (kind, value) in Attributes(expression).flatten() {
        match kind {
            NFTA_EXPR_NAME => name = text(value),
            NFTA_EXPR_DATA => data = value,
            _ => {}
        }
    }
    match name.as_str() {
        // NFTA_CT_SREG 4: a mark, a label or an event mask is set.
        "ct" if Attributes(data).flatten().any(|(kind, _)| kind == 4) => tracks(rule, &name, true),
        // NFTA_MATCH_NAME and NFTA_TARGET_NAME are 1.
        "match" | "target" => {
            let extension = Attributes(data).flatten().find(|(kind, _)| *kind == 1);
            extension.into_iter().for_each(|(_, value)| extended(rule, &text(value)));
        }
        "reject" | "queue" | "lookup" if name != "lookup" || verdict_map(data) => rule.refuses = true,
        // NFTA_META_SREG 3: a mark, a priority or a trace is set.
        "meta" => rule.acts |= Attributes(data).flatten().any(|(kind, _)| kind == 3),
        "counter" | "log" | "quota" | "dynset" | "dup" => rule.acts = true,
        // NFTA_PAYLOAD_SREG 5: dscp, ttl, an address is set.
        "payload" => rule.writes |= has(data, NFTA_PAYLOAD_SREG),
        // An option of TCP is set, or taken away where nothing is loaded either.
        "exthdr" => rule.writes |= has(data, NFTA_EXTHDR_SREG) || !has(data, NFTA_EXTHDR_DREG),
        "fwd" | "tproxy" => rule.writes = true,
        "immediate" => rule.refuses |= immediate_drop(data),
        _ => {
            if let Some((name, needs)) = TRACKING.iter().find(|(known, _)| *known == name) {
                tracks(rule, name, *needs);
            }
        }
    }
}

fn extended(rule: &mut Rule, name: &str) {
    rule.refuses |= matches!(name, "REJECT" | "DROP" | "NFQUEUE" | "TARPIT");
    rule.acts |= matches!(name, "LOG" | "NFLOG" | "MARK" | "CLASSIFY" | "SET" | "TRACE");
    rule.writes |= WRITING.contains(&name);
    if let Some((name, needs)) = EXTENSIONS.iter().find(|(known, _)| *known == name) {
        tracks(rule, name, *needs);
    }
}

fn has(data: &[u8], attribute: u16) -> bool {
    Attributes(data).flatten().any(|(kind, _)| kind == attribute)
}

fn tracks(rule: &mut Rule, by: &str, needs: bool) {
    if !rule.tracks_by.iter().any(|known| known == by) {
        rule.tracks_by.push(by.into());
    }
    rule.needs |= needs;
}

/// NFTA_LOOKUP_DREG 3 is NFT_REG_VERDICT (0): `ct state vmap { … }`, whose elements may drop.
fn verdict_map(data: &[u8]) -> bool {
    Attributes(data).flatten().any(|(kind, value)| kind == 3 && be32(value) == Ok(0))
}

/// NFTA_IMMEDIATE_DATA 2, NFTA_DATA_VERDICT 2, NFTA_VERDICT_CODE 1.
fn immediate_drop(data: &[u8]) -> bool {
    let inside = |data: &[u8], wanted: u16| {
        let found =
            Attributes(data).flatten().find(|(kind, _)| *kind == wanted).map(|(_, value)| value.to_vec());
        found.unwrap_or_default()
    };
    be32(&inside(&inside(&inside(data, 2), 2), 1)) == Ok(NF_DROP)
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// Name of a family of rules (`NFPROTO_*`).
fn family(number: u8) -> &'static str {
    match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "unknown",
    }
}
