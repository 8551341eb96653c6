//! The table itself: dump, delete, statistics.

use std::io;
use std::time::{Duration, Instant};

use super::attribute::{Malformed, Message, Messages, NLMSG_DONE, NLMSG_ERROR, be32};
use super::decode;
use super::request;
use super::socket::{Netlink, invalid};
use crate::model::{Drops, Entry};

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
///
/// Between the dump's look at an entry and its delete lie milliseconds, in which a packet may revive it: so each is
/// asked for once more, a whole batch in one send, and goes only if nothing but time has passed meanwhile. Sockets
/// answer inside send(2), so what remains is the length of one batch, well under a millisecond.
pub struct Deleter {
    netlink: Netlink,
    /// The questions of what is queued, one after the other.
    bytes: Vec<u8>,
    /// Each with the end of its question.
    queue: Vec<(Entry, usize)>,
    oldest: Option<Instant>,
    /// How many answers the socket holds.
    batch: usize,
}

/// What an answer holds of the socket's buffer: `ctnetlink_get_conntrack` allocates a page for each.
const BYTES_PER_ANSWER: usize = 8 << 10;

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
    /// Not sent: a packet came since it was seen.
    pub revived: u64,
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
        self.revived += other.revived;
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
        let batch = (netlink.reserve(2 << 20) / BYTES_PER_ANSWER).clamp(8, 256);
        Ok(Deleter { netlink, bytes: Vec::with_capacity(64 << 10), queue: Vec::new(), oldest: None, batch })
    }

    /// Queues the delete of an entry that was seen after `seen`.
    ///
    /// # Errors
    /// If the entry cannot be told apart with certainty; nothing is queued then.
    pub fn push(&mut self, entry: &Entry, seen: Instant) -> Result<(), Malformed> {
        let sequence = self.netlink.next_sequence();
        let bytes = request::get(entry, sequence)?;
        self.bytes.extend_from_slice(&bytes);
        self.queue.push((*entry, self.bytes.len()));
        self.oldest = Some(self.oldest.map_or(seen, |oldest| oldest.min(seen)));
        Ok(())
    }

    /// Queued deletes.
    pub fn queued(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Looks at what is queued again, deletes what has not revived, and reads the errors.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    pub fn flush(&mut self) -> io::Result<Deleted> {
        let mut deleted = Deleted::default();
        let (queue, questions) = (std::mem::take(&mut self.queue), std::mem::take(&mut self.bytes));
        let Some(oldest) = self.oldest.take() else { return Ok(deleted) };
        let mut start = 0;
        for batch in queue.chunks(self.batch) {
            let end = batch.last().map_or(start, |(_, end)| *end);
            if oldest.elapsed() > Self::FRESH {
                deleted.stale += batch.len() as u64;
            } else {
                deleted.add(self.delete(batch, &questions[start..end])?);
            }
            start = end;
        }
        Ok(deleted)
    }

    fn delete(&mut self, batch: &[(Entry, usize)], questions: &[u8]) -> io::Result<Deleted> {
        let mut deleted = Deleted::default();
        let looked = Instant::now();
        let silent = self.look_again(batch, questions, &mut deleted)?;
        let mut requests = Vec::with_capacity(questions.len());
        for entry in &silent {
            let sequence = self.netlink.next_sequence();
            requests.extend(request::delete(entry, sequence).map_err(invalid)?);
        }
        if looked.elapsed() > Self::FRESH {
            // Stopped in between (SIGSTOP): what was seen again is old by now as well.
            deleted.stale += silent.len() as u64;
            return Ok(deleted);
        }
        deleted.sent += silent.len() as u64;
        self.exchange(&requests, |message| {
            if let (NLMSG_ERROR, Ok(errno)) = (message.kind, message.errno()) {
                deleted.count(errno);
            }
        })?;
        Ok(deleted)
    }

    /// Those that are still there, the same by id, and have had no packet since they were seen.
    fn look_again(
        &mut self,
        batch: &[(Entry, usize)],
        questions: &[u8],
        deleted: &mut Deleted,
    ) -> io::Result<Vec<Entry>> {
        // An answer carries its question's sequence number, and those of a batch follow each other.
        let first = Messages(questions).flatten().next().map_or(0, |message| message.sequence);
        let mut now: Vec<Option<Entry>> = vec![None; batch.len()];
        let mut refused = Deleted::default();
        self.exchange(questions, |message| match (message.kind, message.errno()) {
            (NLMSG_ERROR, Ok(errno)) => refused.count(errno),
            _ => {
                let place = now.get_mut(message.sequence.wrapping_sub(first) as usize);
                if let (Some(place), Ok(found)) = (place, decode::entry(message)) {
                    *place = found;
                }
            }
        })?;
        let mut silent = Vec::with_capacity(batch.len());
        let mut missing = 0;
        for ((entry, _), now) in batch.iter().zip(now) {
            let same =
                |now: &Entry| now.id == entry.id && now.zone == entry.zone && now.original == entry.original;
            match now.filter(same) {
                Some(now) if untouched(entry, &now) => silent.push(*entry),
                Some(_) => deleted.revived += 1,
                None => missing += 1,
            }
        }
        (deleted.failed, deleted.errno) = (refused.failed.min(missing), refused.errno);
        deleted.already_gone = missing - deleted.failed;
        deleted.sent = missing;
        Ok(silent)
    }

    /// Sends the bytes and hands every answer to `each`: all of them are queued when send(2) returns.
    fn exchange(&mut self, bytes: &[u8], mut each: impl FnMut(&Message<'_>)) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.netlink.send(bytes)?;
        loop {
            match self.netlink.receive(libc::MSG_DONTWAIT) {
                Ok(bytes) => Messages(bytes).flatten().for_each(|message| each(&message)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Answers that found no room: what was not answered is not deleted.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whole seconds, a scheduler's whims included, that may pass between two looks.
const SLACK_SECONDS: u32 = 3;

/// No packet came between two looks that lie milliseconds apart: the time left has run down by that much and no more.
/// A packet may also have set a shorter one: data that is not acknowledged yet, a zero window, a RST.
fn untouched(before: &Entry, now: &Entry) -> bool {
    let ran_down = match (before.timeout_seconds, now.timeout_seconds) {
        (Some(before), Some(now)) => now <= before && before - now <= SLACK_SECONDS,
        _ => false,
    };
    ran_down && before.tcp == now.tcp && before.status == now.status
}

impl Deleted {
    fn count(&mut self, errno: i32) {
        match errno {
            0 => {}
            libc::ENOENT => self.already_gone += 1,
            errno => {
                self.failed += 1;
                self.errno = Some(errno);
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
