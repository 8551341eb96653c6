//! Timeout policies: which there are, and which are made; and the flowtables, which keep flows' packets from timeouts.

use std::io;

use super::attribute::{Attributes, Messages, be32, byte};
use super::modules::Asking;
use super::question;
use super::socket::Netlink;
use crate::model::TimeoutPolicy;

/// The policies of nfnetlink_cttimeout and the `ct timeout` objects of nftables.
///
/// # Errors
/// As [`Netlink::ask`], but for a kernel that has neither, where there are none.
pub fn list(netlink: &mut Netlink, asking: &Asking) -> io::Result<Vec<TimeoutPolicy>> {
    let mut found = Vec::new();
    // Without their modules there are none.
    if asking.may("nfnetlink_cttimeout") {
        found.extend(of_cttimeout(netlink)?);
    }
    if asking.may("nf_tables") {
        found.extend(objects(netlink)?);
    }
    Ok(found)
}

fn of_cttimeout(netlink: &mut Netlink) -> io::Result<Vec<TimeoutPolicy>> {
    let mut found = Vec::new();
    let sequence = netlink.next_sequence();
    // CTA_TIMEOUT_L4PROTO 3, CTA_TIMEOUT_DATA 4.
    let asked = netlink.ask(&question::timeout_policies(sequence), sequence, |message| {
        found.extend(message.attributes().ok().and_then(|a| policy(a, 3, 4)));
    });
    absent_is_none(asked).map(|()| found)
}

fn objects(netlink: &mut Netlink) -> io::Result<Vec<TimeoutPolicy>> {
    let mut found = Vec::new();
    let sequence = netlink.next_sequence();
    // NFTA_OBJ_DATA 4 holds NFTA_CT_TIMEOUT_L4PROTO 2 and NFTA_CT_TIMEOUT_DATA 3.
    let asked = netlink.ask(&question::timeout_objects(sequence), sequence, |message| {
        for (_, data) in message.attributes().into_iter().flatten().flatten().filter(|(kind, _)| *kind == 4) {
            found.extend(policy(Attributes(data), 2, 3));
        }
    });
    absent_is_none(asked).map(|()| found)
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
pub struct PolicyListener(Netlink);

impl PolicyListener {
    /// Subscribes to nftables' changes, if the kernel has them and this user may.
    pub fn open(asking: &Asking) -> Option<Self> {
        const NFNLGRP_NFTABLES: u32 = 7;
        if !asking.may("nf_tables") {
            return None;
        }
        let netlink = Netlink::open().ok()?;
        netlink.reserve(1 << 20);
        netlink.set_no_enobufs().ok()?;
        netlink.join(NFNLGRP_NFTABLES).ok()?;
        Some(PolicyListener(netlink))
    }

    /// Those made since the last call; without waiting.
    pub fn heard(&mut self) -> Vec<TimeoutPolicy> {
        const NFT_MSG_NEWOBJ: u8 = 18;
        let mut found = Vec::new();
        while let Ok(bytes) = self.0.receive(libc::MSG_DONTWAIT) {
            for message in Messages(bytes).flatten() {
                if message.kind == u16::from_be_bytes([question::NFTABLES, NFT_MSG_NEWOBJ]) {
                    found.extend(message.attributes().ok().and_then(object));
                }
            }
        }
        found
    }
}

/// NFTA_OBJ_TYPE 3 says whether NFTA_OBJ_DATA 4 is a timeout's.
fn object(attributes: Attributes<'_>) -> Option<TimeoutPolicy> {
    let (mut is_timeout, mut data) = (false, None);
    for (kind, value) in attributes.flatten() {
        match kind {
            3 => is_timeout = be32(value) == Ok(question::NFT_OBJECT_CT_TIMEOUT),
            4 => data = Some(value),
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
