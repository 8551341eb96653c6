//! Timeout policies: which there are, and which are made; and the flowtables, which keep flows' packets from timeouts.

use std::io;

use super::attribute::{Attributes, Message, Messages, be32, byte};
use super::modules::Asking;
use super::question;
use super::socket::Netlink;
use crate::core::model::TimeoutPolicy;

/// A policy, and what makes it known to its operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedPolicy {
    /// `ct timeout slow of table inet filter`, or `nfct timeout slow`.
    pub name: String,
    /// Timeouts that it sets.
    pub policy: TimeoutPolicy,
}

/// The policies of nfnetlink_cttimeout and the `ct timeout` objects of nftables.
///
/// # Errors
/// As [`Netlink::ask`], but for a kernel that has neither, where there are none.
pub fn list(netlink: &mut Netlink, asking: &Asking) -> io::Result<Vec<TimeoutPolicy>> {
    Ok(named(netlink, asking)?.into_iter().map(|named| named.policy).collect())
}

/// Lists the policies with their names.
///
/// # Errors
/// As [`list`].
pub fn named(netlink: &mut Netlink, asking: &Asking) -> io::Result<Vec<NamedPolicy>> {
    let mut found = of_cttimeout(netlink, asking)?;
    // Without its module there are none.
    if asking.may("nf_tables") {
        found.extend(objects(netlink)?);
    }
    Ok(found)
}

/// Those of nfnetlink_cttimeout alone, which tells nobody of changes: for a look once a second.
///
/// # Errors
/// As [`list`].
pub fn of_cttimeout(netlink: &mut Netlink, asking: &Asking) -> io::Result<Vec<NamedPolicy>> {
    let mut found = Vec::new();
    if !asking.may("nfnetlink_cttimeout") {
        return Ok(found);
    }
    let sequence = netlink.next_sequence();
    let asked = netlink.ask(&question::timeout_policies(sequence), sequence, |message| {
        // CTA_TIMEOUT_NAME 1, CTA_TIMEOUT_L4PROTO 3, CTA_TIMEOUT_DATA 4.
        let policy = message.attributes().ok().and_then(|attributes| policy(attributes, 3, 4));
        let name = format!("nfct timeout {}", texts(message, [1])[0]);
        found.extend(policy.map(|policy| NamedPolicy { name, policy }));
    });
    absent_is_none(asked).map(|()| found)
}

fn objects(netlink: &mut Netlink) -> io::Result<Vec<NamedPolicy>> {
    let mut found = Vec::new();
    let sequence = netlink.next_sequence();
    let asked = netlink.ask(&question::timeout_objects(sequence), sequence, |message| {
        let policy = message.attributes().ok().and_then(object);
        found.extend(policy.map(|policy| NamedPolicy { name: object_name(message), policy }));
    });
    absent_is_none(asked).map(|()| found)
}

/// NFTA_OBJ_TABLE 1 and NFTA_OBJ_NAME 2, with the family of `struct nfgenmsg`.
fn object_name(message: &Message<'_>) -> String {
    let family = match message.payload.first() {
        Some(1) => "inet",
        Some(2) => "ip",
        Some(5) => "netdev",
        Some(7) => "bridge",
        Some(10) => "ip6",
        _ => "?",
    };
    let [table, name] = texts(message, [1, 2]);
    format!("ct timeout {name} of table {family} {table}")
}

fn texts<const N: usize>(message: &Message<'_>, kinds: [u16; N]) -> [String; N] {
    let mut found = [const { String::new() }; N];
    for (kind, value) in message.attributes().into_iter().flatten().flatten() {
        if let Some(place) = kinds.iter().position(|k| *k == kind) {
            found[place] = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
        }
    }
    found
}

/// True if the namespace has a flowtable of nftables.
///
/// # Errors
/// As [`list`].
pub fn any_flowtable(netlink: &mut Netlink, asking: &Asking) -> io::Result<bool> {
    if !asking.may("nf_tables") {
        return Ok(false);
    }
    let mut any = false;
    let sequence = netlink.next_sequence();
    let asked = netlink.ask(&question::flowtables(sequence), sequence, |_| any = true);
    absent_is_none(asked).map(|()| any)
}

/// Hears of `ct timeout` objects as they are made, so that one that is gone before the next listing is known all the
/// same: flows under it keep its base.
pub struct PolicyListener {
    netlink: Netlink,
    /// The kernel's count of what was lost, as far as it was told.
    lost: u32,
}

/// Changes that were heard of since the last call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeardPolicies {
    /// Those that were made.
    pub made: Vec<TimeoutPolicy>,
    /// Others may have been made and removed unheard.
    pub lost: bool,
}

impl PolicyListener {
    /// Room for the change of a ruleset of some 40,000 rules: each change is a message, whatever it is about, and one
    /// transaction sends all of its messages at once. It is a bound: only what waits takes memory.
    const ROOM_BYTES: usize = 32 << 20;

    /// Subscribes to nftables' changes, if the kernel has them and this user may.
    pub fn open(asking: &Asking) -> Option<Self> {
        const NFNLGRP_NFTABLES: u32 = 7;
        if !asking.may("nf_tables") {
            return None;
        }
        let netlink = Netlink::open().ok()?;
        netlink.reserve(Self::ROOM_BYTES);
        netlink.set_no_enobufs().ok()?;
        netlink.join(NFNLGRP_NFTABLES).ok()?;
        Some(PolicyListener { netlink, lost: 0 })
    }

    /// Messages that found no room since it was opened; it has still to be told what they were lost from.
    pub fn lost(&self) -> u32 {
        self.netlink.lost().unwrap_or(u32::MAX)
    }

    /// Those made since the last call; without waiting. Two small system calls where nothing was changed.
    pub fn heard(&mut self) -> HeardPolicies {
        const NFT_MSG_NEWOBJ: u8 = 18;
        let mut heard = HeardPolicies::default();
        loop {
            let bytes = match self.netlink.receive(libc::MSG_DONTWAIT) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // One that does not fit its room is gone; the next may be there.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    heard.lost = true;
                    continue;
                }
                Err(_) => {
                    heard.lost = true;
                    break;
                }
            };
            for message in Messages(bytes) {
                let Ok(message) = message else {
                    heard.lost = true;
                    break;
                };
                if message.kind == u16::from_be_bytes([question::NFTABLES, NFT_MSG_NEWOBJ]) {
                    heard.made.extend(message.attributes().ok().and_then(object));
                }
            }
        }
        let lost = self.lost();
        heard.lost |= std::mem::replace(&mut self.lost, lost) != lost;
        heard
    }
}

/// Attributes of a stateful object (`enum nft_object_attributes`).
const NFTA_OBJ_TYPE: u16 = 3;
const NFTA_OBJ_DATA: u16 = 4;

/// The policy of an object that is a timeout; `None` for another object.
fn object(attributes: Attributes<'_>) -> Option<TimeoutPolicy> {
    let (mut is_timeout, mut data) = (false, None);
    for (kind, value) in attributes.flatten() {
        match kind {
            NFTA_OBJ_TYPE => is_timeout = be32(value) == Ok(question::NFT_OBJECT_CT_TIMEOUT),
            NFTA_OBJ_DATA => data = Some(value),
            _ => {}
        }
    }
    policy(Attributes(data.filter(|_| is_timeout)?), 2, 3)
}

fn policy(attributes: Attributes<'_>, protocol: u16, data: u16) -> Option<TimeoutPolicy> {
    let mut found = TimeoutPolicy { protocol: 0, seconds: Vec::new() };
    for (kind, value) in attributes.flatten() {
        if kind == protocol {
            found.protocol = byte(value).ok()?;
        } else if kind == data {
            found.seconds = Attributes(value).flatten().filter_map(|(_, v)| be32(v).ok()).collect();
        }
    }
    (!found.seconds.is_empty()).then_some(found)
}

/// The subsystem is not there (EINVAL, EOPNOTSUPP, ENOENT from nfnetlink): nobody can have made a policy.
fn absent_is_none(asked: io::Result<()>) -> io::Result<()> {
    match asked {
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOENT)) =>
        {
            Ok(())
        }
        other => other,
    }
}
