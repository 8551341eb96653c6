//! The table itself: dump, delete, statistics.

use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::attribute::{Malformed, Message, Messages, NLMSG_DONE, NLMSG_ERROR, be32};
use super::decode;
use super::detail;
use super::request;
pub use super::second_look::Still;
use super::second_look::{BYTES_PER_ANSWER, Batch, Looked, SecondLook};
use super::socket::{Netlink, invalid};
use crate::model::{Class, Detail, Drops, Entry, Family, Identity};

/// One recv of a dump, or the answers to one batch of questions.
pub struct Chunk<'a> {
    bytes: &'a [u8],
    /// What was asked: others' answers are not ours.
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

    /// The same, with every attribute.
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

/// Dumps every entry and hands it over chunk by chunk; `each` ends the dump early by answering false.
///
/// # Errors
/// As netlink: EPERM without CAP_NET_ADMIN, and what [`Netlink::receive`] says.
pub fn dump(netlink: &mut Netlink, each: impl FnMut(&Chunk<'_>) -> bool) -> io::Result<()> {
    dump_of(netlink, None, each)
}

/// The same, of one family where only that is wanted: the one filter that every kernel has (`ctnetlink_dump_table`
/// compares `nfgen_family`).
///
/// # Errors
/// As [`dump`].
pub fn dump_of(
    netlink: &mut Netlink,
    only: Option<Family>,
    mut each: impl FnMut(&Chunk<'_>) -> bool,
) -> io::Result<()> {
    let mut place = Place::begin(netlink, only)?;
    if !place.go_on(netlink, &mut each)? {
        // The rest of this dump is left to a socket that nobody reads: close it by opening another.
        *netlink = Netlink::open().map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

/// How far a dump has come.
struct Place {
    sequence: u32,
    /// What is received next was filled after this.
    filled_after: Instant,
}

impl Place {
    fn begin(netlink: &mut Netlink, only: Option<Family>) -> io::Result<Self> {
        let place = Place { sequence: netlink.next_sequence(), filled_after: Instant::now() };
        netlink.send(&request::dump(only, place.sequence))?;
        Ok(place)
    }

    /// True at the end of the table, false where `each` left off.
    fn go_on(
        &mut self,
        netlink: &mut Netlink,
        each: &mut impl FnMut(&Chunk<'_>) -> bool,
    ) -> io::Result<bool> {
        loop {
            let before = Instant::now();
            let bytes = netlink.receive(0)?;
            let ended = ended(bytes, self.sequence)?;
            let filled_after = std::mem::replace(&mut self.filled_after, before);
            let wanted = each(&Chunk { bytes, sequences: self.sequence..=self.sequence, filled_after });
            if ended || !wanted {
                return Ok(ended);
            }
        }
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
        let place = Place::begin(&mut netlink, None)?;
        Ok(Walk { netlink, place, since: Instant::now() })
    }

    /// Hands over chunk by chunk until `each` answers false; true at the end of the table.
    ///
    /// # Errors
    /// As [`dump`].
    pub fn go_on(&mut self, mut each: impl FnMut(&Chunk<'_>) -> bool) -> io::Result<bool> {
        self.place.go_on(&mut self.netlink, &mut each)
    }

    /// For how long it has been under way.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Questions in one send: some 20 KiB of them, and a page for each answer.
const QUESTIONS: usize = 128;

/// Asks for these as they are now, batch by batch, and hands over those that are still there; `each` ends it early by
/// answering false. Where few of many are wanted that is far cheaper than a dump: an answer costs what an entry of a dump
/// does, and a lookup. Gives how many were asked for.
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
            // What could not be asked for exactly is left to a dump.
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

/// Deletes one by one, many a send, without acknowledgement: only errors come back. What was seen more
/// than a moment ago is looked at once more right before (`SecondLook`), and stays if a packet came.
pub struct Deleter {
    look: SecondLook,
    /// As what each queued entry goes.
    classes: Vec<Option<Class>>,
    witness: Option<Box<dyn Witness + Send>>,
}

/// Is told which entries go, so that what is heard of them afterwards can be understood. An entry that was queued
/// without a class is nobody's business.
pub trait Witness {
    /// These are deleted next: nothing was sent yet.
    fn going(&mut self, entries: &[(Entry, Class)]);

    /// One of those told last did not go: it was gone before, or the kernel refused.
    fn stayed(&mut self, entry: &Entry, class: Class);

    /// All others of those told last did: an event says so only of those that have event state
    /// (`nf_ct_ecache_ext_add`).
    fn gone(&mut self, entries: Vec<Entry>);
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

impl Deleter {
    /// An entry that was seen longer ago than this is not deleted but asked for again: it may have revived.
    pub const FRESH: Duration = SecondLook::FRESH;

    /// One that was seen longer ago than this is not asked for again either.
    pub const OLD: Duration = SecondLook::OLD;

    /// Opens a socket of its own.
    ///
    /// # Errors
    /// As [`Netlink::open`].
    pub fn open() -> crate::error::Result<Self> {
        Ok(Deleter { look: SecondLook::open()?, classes: Vec::new(), witness: None })
    }

    /// The same, for what an operator wants gone: nothing is left out for having been seen too long ago, as everything
    /// is in a table so sparse that the kernel walks all buckets for one chunk; it is asked for once more. With `still`
    /// entries go though they are alive, while this holds of them as they are then.
    pub fn for_an_operator(mut self, still: Option<Still>) -> Self {
        self.look.be_patient(still);
        self
    }

    /// The same, with a witness of every deletion.
    pub fn witnessed(self, witness: Box<dyn Witness + Send>) -> Self {
        Deleter { witness: Some(witness), ..self }
    }

    /// Queues the delete of an entry that was seen after `seen`.
    ///
    /// # Errors
    /// If the entry cannot be told apart with certainty; nothing is queued then.
    pub fn push(&mut self, entry: &Entry, seen: Instant) -> Result<(), Malformed> {
        self.push_as(entry, None, seen)
    }

    /// The same, of a class that the witness counts it by.
    ///
    /// # Errors
    /// As [`Deleter::push`].
    pub fn push_as(&mut self, entry: &Entry, class: Option<Class>, seen: Instant) -> Result<(), Malformed> {
        self.look.push(entry, seen)?;
        self.classes.push(class);
        Ok(())
    }

    /// Queued deletes.
    pub fn queued(&self) -> u64 {
        self.look.queued()
    }

    /// Looks at what is queued again, deletes what has not revived, and reads the errors.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    pub fn flush(&mut self) -> io::Result<Deleted> {
        self.flush_in(false)
    }

    /// The same; in a hurry what was seen some milliseconds ago is believed.
    ///
    /// # Errors
    /// As [`Deleter::flush`].
    pub fn flush_in(&mut self, hurry: bool) -> io::Result<Deleted> {
        let mut deleted = Deleted::default();
        let (queue, classes) = (self.look.take(), std::mem::take(&mut self.classes));
        for batch in queue.batches() {
            deleted.add(self.delete(&batch, &classes, hurry)?);
        }
        Ok(deleted)
    }

    /// A delete of each that has been silent, and the sequence number of the first.
    fn requests(&mut self, seen: &Looked) -> io::Result<(Vec<u8>, Option<u32>)> {
        let (mut requests, mut first) = (Vec::with_capacity(seen.silent.len() * 128), None);
        for (entry, _) in &seen.silent {
            let sequence = self.look.next_sequence();
            first.get_or_insert(sequence);
            request::push_delete(&mut requests, entry, sequence).map_err(invalid)?;
        }
        Ok((requests, first))
    }

    fn delete(&mut self, batch: &Batch<'_>, classes: &[Option<Class>], hurry: bool) -> io::Result<Deleted> {
        let mut seen = match self.look.young(batch, hurry) {
            Some(seen) => seen,
            None => self.look.again(batch)?,
        };
        let (mut requests, mut first) = self.requests(&seen)?;
        // Stopped, or without a CPU, in between: what was seen again is old by now as well.
        for _ in 0..LOOKS {
            if seen.at.elapsed() <= Self::FRESH {
                break;
            }
            seen = self.look.again(batch)?;
            (requests, first) = self.requests(&seen)?;
        }
        let mut deleted = Deleted {
            sent: seen.gone + seen.refused,
            already_gone: seen.gone,
            failed: seen.refused,
            errno: seen.errno,
            stale: seen.stale,
            revived: seen.revived,
        };
        if seen.at.elapsed() > Self::FRESH {
            deleted.stale += seen.silent.len() as u64;
            return Ok(deleted);
        }
        deleted.sent += seen.silent.len() as u64;
        let told =
            |place: usize| Some((seen.silent.get(place)?.0, (*classes.get(*seen.places.get(place)?)?)?));
        if let Some(witness) = &mut self.witness {
            witness.going(&(0..seen.silent.len()).filter_map(told).collect::<Vec<_>>());
        }
        // An error carries its request's sequence number, and those of a batch follow each other.
        let mut stayed = Vec::new();
        self.look.exchange(&requests, |message| {
            if let (NLMSG_ERROR, Ok(errno)) = (message.kind, message.errno()) {
                deleted.count(errno);
                stayed.push(message.sequence.wrapping_sub(first.unwrap_or(0)) as usize);
            }
        })?;
        if let Some(witness) = &mut self.witness {
            stayed.sort_unstable();
            let went = |place: &usize| stayed.binary_search(place).is_err();
            let gone =
                (0..seen.silent.len()).filter(went).filter_map(|place| Some(seen.silent.get(place)?.0));
            witness.gone(gone.collect());
            stayed.into_iter().filter_map(told).for_each(|(entry, class)| witness.stayed(&entry, class));
        }
        Ok(deleted)
    }
}

/// How often a batch is looked at again, because it grew old before it could be sent.
const LOOKS: usize = 3;

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
