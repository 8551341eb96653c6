//! Tells whether rules of nftables keep the kernel from telling that entries begin or end: `ct event set` gives an
//! entry a mask of events at its birth (`nft_ct_set_eval`, `xt_ct_tg_check`), and what is not in the mask is told to
//! nobody.

use std::io;

use super::attribute::{Attributes, be32};
use super::question;
use super::socket::Netlink;

/// `NFT_CT_EVENTMASK`, `enum nft_ct_keys`.
const EVENTMASK: u32 = 18;
/// IPCT_NEW, IPCT_RELATED (the beginning of an expected entry) and IPCT_DESTROY (`enum ip_conntrack_events`): without
/// one of these some entry begins or ends unheard.
const LIVES: u32 = 0b111;

/// The generation of the calling thread's ruleset: another one after each change of it.
///
/// # Errors
/// As [`Netlink::ask`]; EINVAL on a kernel without nf_tables.
pub fn generation(netlink: &mut Netlink) -> io::Result<Option<u32>> {
    const NFTA_GEN_ID: u16 = 1;
    let sequence = netlink.next_sequence();
    let mut found = None;
    netlink.ask(&question::nft_generation(sequence), sequence, |message| {
        let mut attributes = message.attributes().into_iter().flatten().flatten();
        found = attributes.find(|(kind, _)| *kind == NFTA_GEN_ID).and_then(|(_, value)| be32(value).ok());
    })?;
    Ok(found)
}

/// True if a rule of the calling thread's namespace masks births or ends.
///
/// # Errors
/// As [`Netlink::ask`].
pub fn any(netlink: &mut Netlink) -> io::Result<bool> {
    let sequence = netlink.next_sequence();
    let mut any = false;
    netlink.ask(&question::nft_rules(sequence), sequence, |message| {
        // The expressions of the rule (NFTA_RULE_EXPRESSIONS).
        let mut attributes = message.attributes().into_iter().flatten().flatten();
        any = any || attributes.any(|(kind, value)| kind == 4 && masks(value));
    })?;
    Ok(any)
}

/// Of the expressions of one rule.
fn masks(expressions: &[u8]) -> bool {
    let mut loaded = None;
    Attributes(expressions).flatten().any(|(_, expression)| {
        // Name and data of the expression (NFTA_EXPR_NAME, NFTA_EXPR_DATA).
        let (name, data) = (part(expression, 1), part(expression, 2));
        match name.split(|byte| *byte == 0).next().unwrap_or_default() {
            b"immediate" => {
                // The number that is loaded (NFTA_DATA_VALUE in NFTA_IMMEDIATE_DATA).
                loaded = host32(part(part(data, 2), 1));
                false
            }
            // NFTA_CT_KEY, and NFTA_CT_SREG where it is set. A mask from elsewhere than the rule may be any.
            b"ct" => {
                let sets = Attributes(data).flatten().any(|(kind, _)| kind == 4);
                sets && be32(part(data, 2)) == Ok(EVENTMASK) && loaded.is_none_or(hides)
            }
            b"target" => extension(data),
            _ => false,
        }
    })
}

/// The target `CT` of x_tables: NFTA_TARGET_NAME, NFTA_TARGET_INFO with a `struct xt_ct_target_info`, whose third field
/// is `ct_events`; 0 where the rule says nothing of events.
fn extension(data: &[u8]) -> bool {
    let is_ct = part(data, 1).split(|byte| *byte == 0).next() == Some(b"CT");
    let mask = part(data, 3).get(4..8).and_then(host32);
    is_ct && mask.is_some_and(|mask| mask != 0 && hides(mask))
}

fn hides(mask: u32) -> bool {
    mask & LIVES != LIVES
}

fn part(nested: &[u8], wanted: u16) -> &[u8] {
    Attributes(nested).flatten().find(|(kind, _)| *kind == wanted).map_or(&[], |(_, value)| value)
}

fn host32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::request::{attribute, nest};
    use super::*;

    fn expression(rule: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
        nest(rule, 1, |bytes| {
            attribute(bytes, 1, format!("{name}\0").as_bytes());
            nest(bytes, 2, data);
        });
    }

    fn immediate(rule: &mut Vec<u8>, value: u32) {
        expression(rule, "immediate", |bytes| {
            attribute(bytes, 1, &8_u32.to_be_bytes());
            nest(bytes, 2, |bytes| attribute(bytes, 1, &value.to_ne_bytes()));
        });
    }

    fn set(rule: &mut Vec<u8>, key: u32) {
        expression(rule, "ct", |bytes| {
            attribute(bytes, 2, &key.to_be_bytes());
            attribute(bytes, 4, &8_u32.to_be_bytes());
        });
    }

    fn events(mask: u32) -> Vec<u8> {
        let mut rule = Vec::new();
        immediate(&mut rule, mask);
        set(&mut rule, EVENTMASK);
        rule
    }

    fn target(name: &str, ct_events: u32) -> Vec<u8> {
        let mut rule = Vec::new();
        expression(&mut rule, "target", |bytes| {
            attribute(bytes, 1, format!("{name}\0").as_bytes());
            let info = [&[0; 4][..], &ct_events.to_ne_bytes(), &[0; 56]].concat();
            attribute(bytes, 3, &info);
        });
        rule
    }

    #[test]
    fn a_mask_without_births_children_or_ends_hides_them() {
        for (mask, hidden) in
            [(0b111, false), (0b1111_1111, false), (0b101, true), (0b100, true), (0b001, true), (0, true)]
        {
            assert_eq!(masks(&events(mask)), hidden, "nft, {mask:#b}");
            assert_eq!(masks(&target("CT", mask)), hidden && mask != 0, "xtables, {mask:#b}");
        }
        let mut unknown = Vec::new();
        set(&mut unknown, EVENTMASK);
        assert!(masks(&unknown), "who knows from where it comes");
    }

    #[test]
    fn other_rules_hide_nothing() {
        let mut mark = Vec::new();
        immediate(&mut mark, 1);
        set(&mut mark, 3);
        assert!(!masks(&mark) && !masks(&target("LOG", 1)) && !masks(&[]) && !masks(&[1, 2, 3]));
        let mut reads = Vec::new();
        expression(&mut reads, "ct", |bytes| attribute(bytes, 2, &EVENTMASK.to_be_bytes()));
        assert!(!masks(&reads));
    }
}
