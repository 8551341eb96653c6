//! The table itself: dump, delete, statistics, timeout policies.

use std::io;
use std::time::{Duration, Instant};

use super::attribute::{Attributes, Malformed, Messages, NLMSG_DONE, NLMSG_ERROR, be32, byte};
use super::decode;
use super::request;
use super::socket::{Netlink, invalid};
use crate::model::{Drops, Entry, TimeoutPolicy};

/// One recv of a dump.
pub struct Chunk<'a> {
    bytes: &'a [u8],
    sequence: u32,
    /// The entries are no older than this: the kernel fills the next chunk while it hands out the one before
    /// (`netlink_recvmsg` calls `netlink_dump` ahead).
    pub filled_after: Instant,
}

impl Chunk<'_> {
    /// Its entries; one that cannot be read is an error of its own.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, Malformed>> {
        Messages(self.bytes).filter_map(|message| match message {
            Ok(message) if message.sequence != self.sequence => None,
            Ok(message) => decode::entry(&message).transpose(),
            Err(error) => Some(Err(error)),
        })
    }
}

/// Dumps every entry and hands it over chunk by chunk; `each` ends the dump early by answering false.
///
/// # Errors
/// As netlink: EPERM without CAP_NET_ADMIN, and what [`Netlink::receive`] says.
pub fn dump(netlink: &mut Netlink, mut each: impl FnMut(&Chunk<'_>) -> bool) -> io::Result<()> {
    let sequence = netlink.next_sequence();
    let mut filled_after = Instant::now();
    netlink.send(&request::dump(sequence))?;
    loop {
        let before = Instant::now();
        let bytes = netlink.receive(0)?;
        let ended = ended(bytes, sequence)?;
        if !each(&Chunk { bytes, sequence, filled_after }) {
            // The rest of this dump is left to a socket that nobody reads: close it by opening another.
            *netlink = Netlink::open().map_err(|error| io::Error::other(error.to_string()))?;
            return Ok(());
        }
        if ended {
            return Ok(());
        }
        filled_after = before;
    }
}

/// True if NLMSG_DONE is in this datagram.
fn ended(bytes: &[u8], sequence: u32) -> io::Result<bool> {
    for message in Messages(bytes) {
        let message = message.map_err(invalid)?;
        if message.sequence == sequence && matches!(message.kind, NLMSG_DONE | NLMSG_ERROR) {
            return match message.errno().map_err(invalid)? {
                0 => Ok(true),
                errno => Err(io::Error::from_raw_os_error(errno)),
            };
        }
    }
    Ok(false)
}

/// Deletes one by one, many a send, without acknowledgement: only errors come back.
pub struct Deleter {
    netlink: Netlink,
    bytes: Vec<u8>,
    queued: u64,
    oldest: Option<Instant>,
}

/// What a batch of deletes came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Sent.
    pub sent: u64,
    /// ENOENT: gone already, or another entry by now.
    pub already_gone: u64,
    /// Any other answer, and the last of them.
    pub failed: u64,
    /// errno of the last failure.
    pub errno: Option<i32>,
    /// Not sent: too long ago since the entry was seen.
    pub stale: u64,
}

impl Deleted {
    /// Entries that went.
    pub fn gone(&self) -> u64 {
        self.sent.saturating_sub(self.already_gone + self.failed)
    }

    /// Adds another batch.
    pub fn add(&mut self, other: Deleted) {
        self.sent += other.sent;
        self.already_gone += other.already_gone;
        self.failed += other.failed;
        self.stale += other.stale;
        self.errno = other.errno.or(self.errno);
    }
}

impl Deleter {
    /// An entry that was seen longer ago than this is not deleted: it may have revived.
    pub const FRESH: Duration = Duration::from_millis(50);

    /// Opens a socket of its own.
    ///
    /// # Errors
    /// As [`Netlink::open`].
    pub fn open() -> crate::error::Result<Self> {
        let netlink = Netlink::open()?;
        // Room for an error to each delete of a chunk.
        netlink.reserve(2 << 20);
        Ok(Deleter { netlink, bytes: Vec::with_capacity(64 << 10), queued: 0, oldest: None })
    }

    /// Queues the delete of an entry that was seen after `seen`.
    ///
    /// # Errors
    /// If the entry cannot be told apart with certainty; nothing is queued then.
    pub fn push(&mut self, entry: &Entry, seen: Instant) -> Result<(), Malformed> {
        let sequence = self.netlink.next_sequence();
        let bytes = request::delete(entry, sequence)?;
        self.bytes.extend_from_slice(&bytes);
        self.queued += 1;
        self.oldest = Some(self.oldest.map_or(seen, |oldest| oldest.min(seen)));
        Ok(())
    }

    /// Queued deletes.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Sends what is queued, unless it is no longer fresh, and reads the errors.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    pub fn flush(&mut self) -> io::Result<Deleted> {
        let mut deleted = Deleted::default();
        let (queued, oldest) = (std::mem::take(&mut self.queued), self.oldest.take());
        let Some(oldest) = oldest else { return Ok(deleted) };
        if oldest.elapsed() > Self::FRESH {
            self.bytes.clear();
            deleted.stale = queued;
            return Ok(deleted);
        }
        let sent = self.netlink.send(&self.bytes);
        self.bytes.clear();
        sent?;
        deleted.sent = queued;
        loop {
            match self.netlink.receive(libc::MSG_DONTWAIT) {
                Ok(bytes) => count_errors(bytes, &mut deleted),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(deleted),
                Err(error) => return Err(error),
            }
        }
    }
}

fn count_errors(bytes: &[u8], deleted: &mut Deleted) {
    for message in Messages(bytes).flatten().filter(|m| m.kind == NLMSG_ERROR) {
        match message.errno() {
            Ok(0) | Err(_) => {}
            Ok(libc::ENOENT) => deleted.already_gone += 1,
            Ok(errno) => {
                deleted.failed += 1;
                deleted.errno = Some(errno);
            }
        }
    }
}

/// The per-CPU statistics, summed (`IPCTNL_MSG_CT_GET_STATS_CPU`).
///
/// # Errors
/// As [`Netlink::ask`].
pub fn drops(netlink: &mut Netlink) -> io::Result<Drops> {
    let sequence = netlink.next_sequence();
    let mut sum = Drops::default();
    netlink.ask(&request::stats_cpu(sequence), sequence, |message| {
        for (kind, value) in message.attributes().into_iter().flatten().flatten() {
            let value = u64::from(be32(value).unwrap_or(0));
            match kind {
                9 => sum.insert_failed += value,
                10 => sum.drop += value,
                11 => sum.early_drop += value,
                15 => sum.chaintoolong += value,
                _ => {}
            }
        }
    })?;
    Ok(sum)
}

/// Count and max as netlink tells them (`IPCTNL_MSG_CT_GET_STATS`); max is missing before 5.10.
///
/// # Errors
/// As [`Netlink::ask`].
pub fn count_and_max(netlink: &mut Netlink) -> io::Result<(u64, Option<u64>)> {
    let sequence = netlink.next_sequence();
    let (mut count, mut max) = (None, None);
    netlink.ask(&request::stats(sequence), sequence, |message| {
        for (kind, value) in message.attributes().into_iter().flatten().flatten() {
            match kind {
                1 => count = be32(value).ok(),
                2 => max = be32(value).ok(),
                _ => {}
            }
        }
    })?;
    let count = count.ok_or_else(|| invalid(Malformed("no CTA_STATS_GLOBAL_ENTRIES")))?;
    Ok((count.into(), max.map(u64::from)))
}

/// The policies of nfnetlink_cttimeout and the `ct timeout` objects of nftables.
///
/// # Errors
/// As [`Netlink::ask`], but for a kernel that has neither, where there are none.
pub fn timeout_policies(netlink: &mut Netlink) -> io::Result<Vec<TimeoutPolicy>> {
    let mut found = Vec::new();
    let sequence = netlink.next_sequence();
    // CTA_TIMEOUT_L4PROTO 3, CTA_TIMEOUT_DATA 4.
    let asked = netlink.ask(&request::timeout_policies(sequence), sequence, |message| {
        found.extend(message.attributes().ok().and_then(|a| policy(a, 3, 4)));
    });
    absent_is_none(asked)?;
    let sequence = netlink.next_sequence();
    // NFTA_OBJ_DATA 4 holds NFTA_CT_TIMEOUT_L4PROTO 2 and NFTA_CT_TIMEOUT_DATA 3.
    let asked = netlink.ask(&request::timeout_objects(sequence), sequence, |message| {
        for (_, data) in message.attributes().into_iter().flatten().flatten().filter(|(kind, _)| *kind == 4) {
            found.extend(policy(Attributes(data), 2, 3));
        }
    });
    absent_is_none(asked)?;
    Ok(found)
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
