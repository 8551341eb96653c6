//! The table itself: dump, recall, statistics.

use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::ahead;
use super::attribute::{Malformed, Message, Messages, NLMSG_DONE, NLMSG_ERROR, be32};
use super::decode;
use super::detail;
pub use super::question::Part;
use super::second_look::BYTES_PER_ANSWER;
use super::socket::{Netlink, invalid};
use super::{cta, question, request};
use crate::core::model::{Detail, Drops, Entry, Identity};

/// One recv of a dump, or the answers to one batch of questions.
pub struct Chunk<'a> {
    bytes: &'a [u8],
    /// Sequence numbers of the questions: answers to others are not ours.
    sequences: RangeInclusive<u32>,
    /// The entries are no older than this: the kernel fills the next chunk while it hands out the one before
    /// (`netlink_recvmsg` calls `netlink_dump` ahead).
    pub filled_after: Instant,
}

impl Chunk<'_> {
    /// Its entries; one that cannot be read is an error of its own.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, Malformed>> {
        self.read(decode::entry)
    }

    /// The entries of the chunk with every attribute.
    pub fn details(&self) -> impl Iterator<Item = Result<Detail, Malformed>> {
        self.read(detail::detail)
    }

    fn read<T>(
        &self,
        // By its type, so that the hot walk of counting is compiled into the loop.
        decode: impl Fn(&Message<'_>) -> Result<Option<T>, Malformed>,
    ) -> impl Iterator<Item = Result<T, Malformed>> {
        Messages(self.bytes).filter_map(move |message| match message {
            Ok(message) if !self.sequences.contains(&message.sequence) => None,
            Ok(message) => decode(&message).transpose(),
            Err(error) => Some(Err(error)),
        })
    }
}

/// Takes the entries of a dump.
pub trait Reader {
    /// A chunk came; false ends the dump early.
    fn chunk(&mut self, chunk: &Chunk<'_>) -> bool;

    /// The kernel has begun the dump, and has let go of `nfnl_lock`, under which it makes the first chunk: all the
    /// table is walked there if little of it matches. What other requests wait for that lock come from here on.
    fn begun(&mut self) {}

    /// The kernel is at the next one: time for what could wait. False where there is no such thing, or no more of it.
    fn lull(&mut self) -> bool {
        false
    }
}

impl<F: FnMut(&Chunk<'_>) -> bool> Reader for F {
    fn chunk(&mut self, chunk: &Chunk<'_>) -> bool {
        self(chunk)
    }
}

/// Dumps every entry and hands it over chunk by chunk; `each` ends the dump early by answering false.
///
/// # Errors
/// As netlink: EPERM without CAP_NET_ADMIN, and what [`Netlink::receive`] says.
pub fn dump(netlink: &mut Netlink, mut each: impl FnMut(&Chunk<'_>) -> bool) -> io::Result<()> {
    dump_of(netlink, Part::Whole, &mut each)
}

/// Dumps a part of the table. Entries that are not of it may come too.
///
/// # Errors
/// As [`dump`].
pub fn dump_of(netlink: &mut Netlink, part: Part, reader: &mut impl Reader) -> io::Result<()> {
    let mut place = Place::begin(netlink, part)?;
    reader.begun();
    if !place.go_on_ahead(netlink, reader)? {
        // The rest of this dump is left to a socket that nobody reads: close it by opening another.
        *netlink = Netlink::open().map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

/// Place that a dump has reached.
struct Place {
    sequence: u32,
    /// The next chunk that is received was filled after this.
    filled_after: Instant,
}

impl Place {
    fn begin(netlink: &mut Netlink, part: Part) -> io::Result<Self> {
        let place = Place { sequence: netlink.next_sequence(), filled_after: Instant::now() };
        netlink.send(&question::dump(part, place.sequence))?;
        Ok(place)
    }

    /// As [`Place::go_on`], with some chunks received ahead: for who goes through the table to its end.
    fn go_on_ahead(&mut self, netlink: &mut Netlink, reader: &mut impl Reader) -> io::Result<bool> {
        let sequence = self.sequence;
        let mut dump = Dump { netlink, sequence };
        let received = ahead::receive(
            &mut dump,
            &mut self.filled_after,
            &mut Reading { reader: &mut *reader, sequence },
        );
        match received? {
            Some(at_end) => Ok(at_end),
            None => self.go_on(netlink, reader),
        }
    }

    /// True at the end of the table, false where the reader left off.
    fn go_on(&mut self, netlink: &mut Netlink, reader: &mut impl Reader) -> io::Result<bool> {
        loop {
            let before = Instant::now();
            let bytes = netlink.receive(0)?;
            let ended = ended(bytes, self.sequence)?;
            let filled_after = std::mem::replace(&mut self.filled_after, before);
            let wanted =
                reader.chunk(&Chunk { bytes, sequences: self.sequence..=self.sequence, filled_after });
            if ended || !wanted {
                return Ok(ended);
            }
        }
    }
}

/// A dump as the thread that receives it sees it.
struct Dump<'a> {
    netlink: &'a mut Netlink,
    sequence: u32,
}

impl ahead::Source for Dump<'_> {
    fn next(&mut self, room: &mut Vec<u8>) -> io::Result<(usize, bool)> {
        let length = self.netlink.receive_in_exchange(room)?;
        Ok((length, ended(&room[..length], self.sequence)?))
    }
}

/// A reader of a dump, as who receives ahead of it sees it.
struct Reading<'a, R> {
    reader: &'a mut R,
    sequence: u32,
}

impl<R: Reader> ahead::Reader for Reading<'_, R> {
    fn chunk(&mut self, filled: &ahead::Filled) -> bool {
        let (bytes, filled_after) = (filled.bytes(), filled.after);
        self.reader.chunk(&Chunk { bytes, sequences: self.sequence..=self.sequence, filled_after })
    }

    fn lull(&mut self) -> bool {
        self.reader.lull()
    }
}

/// A dump that may be left off and gone on with later: the kernel keeps its place (`netlink_callback`), and the little
/// that it had filled ahead says when. Where a table is relieved again and again, none of it is walked twice before all
/// of it was walked once.
pub struct Walk {
    netlink: Netlink,
    place: Place,
    since: Instant,
}

impl Walk {
    /// From the first bucket, on a socket of its own.
    ///
    /// # Errors
    /// As [`Netlink::open`] and sendto(2).
    pub fn begin() -> io::Result<Self> {
        let mut netlink = Netlink::open().map_err(|error| io::Error::other(error.to_string()))?;
        let place = Place::begin(&mut netlink, Part::Whole)?;
        Ok(Walk { netlink, place, since: Instant::now() })
    }

    /// Hands over chunk by chunk until `each` answers false; true at the end of the table.
    ///
    /// # Errors
    /// As [`dump`].
    pub fn go_on(&mut self, mut each: impl FnMut(&Chunk<'_>) -> bool) -> io::Result<bool> {
        self.place.go_on(&mut self.netlink, &mut each)
    }

    /// Walks on with chunks received ahead of `each`, on a thread of its own: where `each` leaves off, what comes
    /// next is lost.
    ///
    /// # Errors
    /// As [`dump`].
    pub fn go_ahead(&mut self, mut each: impl FnMut(&Chunk<'_>) -> bool) -> io::Result<bool> {
        self.place.go_on_ahead(&mut self.netlink, &mut each)
    }

    /// For how long it has been under way.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Questions in one send: some 20 KiB of them, and a page for each answer.
const QUESTIONS: usize = 128;

/// Asks for these as they are now, batch by batch, and hands over those that are still there; `each` ends it early by
/// answering false. Where few of many are wanted that is far cheaper than a dump: an answer costs what an entry of a
/// dump does, and a lookup. Gives how many were asked for.
///
/// # Errors
/// As sendto(2) and recvmsg(2).
pub fn recall(
    netlink: &mut Netlink,
    known: &[impl Identity],
    mut each: impl FnMut(&Chunk<'_>) -> bool,
) -> io::Result<usize> {
    let mut asked = 0;
    netlink.reserve(QUESTIONS * 2 * BYTES_PER_ANSWER);
    let (mut questions, mut answers) = (Vec::new(), Vec::new());
    for batch in known.chunks(QUESTIONS) {
        questions.clear();
        answers.clear();
        let first = netlink.next_sequence();
        let mut last = first;
        for known in batch {
            // An entry that could not be asked for exactly is left to a dump.
            if request::push_get(&mut questions, known, last).is_ok() {
                last = netlink.next_sequence();
            }
        }
        let filled_after = Instant::now();
        netlink.exchange(&questions, |bytes| answers.extend_from_slice(bytes))?;
        asked += batch.len();
        if !each(&Chunk { bytes: &answers, sequences: first..=last, filled_after }) {
            break;
        }
    }
    Ok(asked)
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

/// The per-CPU statistics, summed (`IPCTNL_MSG_CT_GET_STATS_CPU`).
///
/// # Errors
/// As [`Netlink::ask`].
pub fn drops(netlink: &mut Netlink) -> io::Result<Drops> {
    let sequence = netlink.next_sequence();
    let mut sum = Drops::default();
    netlink.ask(&question::stats_cpu(sequence), sequence, |message| {
        for (kind, value) in message.attributes().into_iter().flatten().flatten() {
            let value = u64::from(be32(value).unwrap_or(0));
            match kind {
                cta::stats::INSERT_FAILED => sum.insert_failed += value,
                cta::stats::DROP => sum.drop += value,
                cta::stats::EARLY_DROP => sum.early_drop += value,
                cta::stats::CHAIN_TOOLONG => sum.chaintoolong = Some(sum.chaintoolong.unwrap_or(0) + value),
                _ => {}
            }
        }
    })?;
    Ok(sum)
}

/// True if no entry of this namespace was ever expected by another: none came by an expectation (`expect_new`,
/// counted by `init_conntrack`), and none was created over netlink (`insert`, counted by
/// `nf_conntrack_hash_check_insert` alone), which may name any master. The table need not be gone through to know
/// that then.
///
/// # Errors
/// As [`Netlink::ask`], and where the kernel does not tell both counters.
pub fn never_expected(netlink: &mut Netlink) -> io::Result<bool> {
    let created = stats_sum(netlink, question::stats_cpu, cta::stats::INSERT)?;
    let expected = stats_sum(netlink, question::expectation_stats_cpu, cta::stats_exp::NEW)?;
    Ok(created == 0 && expected == 0)
}

/// One of the per-CPU statistics, summed.
fn stats_sum(netlink: &mut Netlink, request: fn(u32) -> Vec<u8>, wanted: u16) -> io::Result<u64> {
    let sequence = netlink.next_sequence();
    let mut sum = None;
    netlink.ask(&request(sequence), sequence, |message| {
        for (kind, value) in message.attributes().into_iter().flatten().flatten() {
            if let (true, Ok(value)) = (kind == wanted, be32(value)) {
                sum = Some(sum.unwrap_or(0) + u64::from(value));
            }
        }
    })?;
    sum.ok_or_else(|| invalid(Malformed("a statistic is missing")))
}

/// Count and max as netlink tells them (`IPCTNL_MSG_CT_GET_STATS`); max is missing before 5.10.
///
/// # Errors
/// As [`Netlink::ask`].
pub fn count_and_max(netlink: &mut Netlink) -> io::Result<(u64, Option<u64>)> {
    let sequence = netlink.next_sequence();
    let (mut count, mut max) = (None, None);
    netlink.ask(&question::stats(sequence), sequence, |message| {
        for (kind, value) in message.attributes().into_iter().flatten().flatten() {
            match kind {
                cta::stats_global::ENTRIES => count = be32(value).ok(),
                cta::stats_global::MAX_ENTRIES => max = be32(value).ok(),
                _ => {}
            }
        }
    })?;
    let count = count.ok_or_else(|| invalid(Malformed("no CTA_STATS_GLOBAL_ENTRIES")))?;
    Ok((count.into(), max.map(u64::from)))
}
