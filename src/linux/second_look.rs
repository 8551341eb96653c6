//! The look right before an act: is the entry still the one that was seen, and has it been silent since?

use std::io;
use std::time::{Duration, Instant};

use super::attribute::{Malformed, Message, Messages, NLMSG_ERROR};
use super::socket::{Netlink, invalid};
use super::{decode, request};
use crate::core::model::Entry;

/// Bytes that an answer takes of the socket's buffer: `ctnetlink_get_conntrack` allocates a page for each.
pub(super) const BYTES_PER_ANSWER: usize = 8 << 10;

/// Asks for entries once more, a whole batch in one send.
///
/// Between the dump's look at an entry and the act on it lie milliseconds, in which a packet may revive it: so each is
/// asked for again, and is acted on only if nothing but time has passed meanwhile. Sockets answer inside send(2), so
/// what remains is the length of one batch, well under a millisecond.
pub(super) struct SecondLook {
    netlink: Netlink,
    /// Number of answers for which the socket has room.
    batch: usize,
    queue: Queue,
    still: Option<Still>,
}

/// Decides whether an entry, as it is now, is still what was meant.
pub type Still = Box<dyn Fn(&Entry) -> bool + Send>;

/// Entries with their questions.
#[derive(Default)]
pub(super) struct Queue {
    entries: Vec<Entry>,
    oldest: Option<Instant>,
    batch: usize,
}

/// As many entries as are asked for in one send.
pub(super) struct Batch<'a> {
    entries: &'a [Entry],
    /// The place of its first entry in the queue.
    first: usize,
    oldest: Instant,
}

/// Result of a second look at a batch.
pub(super) struct Looked {
    /// The moment at which it began.
    pub at: Instant,
    /// Still there, the same by tuple, zone and id, and without a packet since (or what else was asked for): as they
    /// were seen first, with the seconds that they have left now.
    pub silent: Vec<(Entry, u32)>,
    /// Of each of these its place in the queue.
    pub places: Vec<usize>,
    /// A packet came since they were seen, or they are not what was asked for any more.
    pub revived: u64,
    /// ENOENT, or another entry by now.
    pub gone: u64,
    /// Not answered, or by another error, and the last of them.
    pub refused: u64,
    pub errno: Option<i32>,
}

impl Looked {
    fn begun(at: Instant) -> Self {
        Looked { at, silent: Vec::new(), places: Vec::new(), revived: 0, gone: 0, refused: 0, errno: None }
    }
}

impl Queue {
    pub(super) fn batches(&self) -> impl Iterator<Item = Batch<'_>> {
        let mut first = 0;
        let oldest = self.oldest.unwrap_or_else(Instant::now);
        self.entries.chunks(self.batch.max(1)).map(move |entries| {
            first += entries.len();
            Batch { entries, first: first - entries.len(), oldest }
        })
    }
}

impl SecondLook {
    /// Longest time since an entry was seen, or looked at again, for which it is acted on: after that it may have
    /// revived. It is asked for once more, however long ago it was seen: the few entries of a small namespace beside
    /// millions of others come in chunks that the kernel fills for seconds.
    pub(super) const FRESH: Duration = Duration::from_millis(50);

    /// Longest time since an entry was seen for which it is not asked for again: the question, its answer and the act
    /// after it take a batch as long.
    const YOUNG: Duration = Duration::from_millis(2);

    /// Longest time since an entry was seen for which it is not asked for again where the table is about to be full:
    /// each question costs a delete there, and what is refused meanwhile is alive for certain. Threads that share two
    /// cores with a flood wait for each other for a slice of 3 ms. A flow that was silent past its floor and speaks
    /// within these milliseconds is as unlucky as one that speaks right after them.
    const YOUNG_IN_A_HURRY: Duration = Duration::from_millis(10);

    /// Opens a socket of its own.
    pub(super) fn open() -> crate::error::Result<Self> {
        let netlink = Netlink::open()?;
        let batch = (netlink.reserve(2 << 20) / BYTES_PER_ANSWER).clamp(8, 256);
        Ok(SecondLook { netlink, batch, queue: Queue::default(), still: None })
    }

    /// Queues an entry that was seen after `seen`.
    ///
    /// # Errors
    /// If the entry cannot be told apart with certainty; nothing is queued then.
    pub(super) fn push(&mut self, entry: &Entry, seen: Instant) -> Result<(), Malformed> {
        request::identifiable(entry)?;
        self.queue.entries.push(*entry);
        self.queue.oldest = Some(self.queue.oldest.map_or(seen, |oldest| oldest.min(seen)));
        Ok(())
    }

    /// Number of queued entries.
    pub(super) fn queued(&self) -> u64 {
        self.queue.entries.len() as u64
    }

    /// Takes what is queued, to be looked at batch by batch.
    pub(super) fn take(&mut self) -> Queue {
        Queue { batch: self.batch, ..std::mem::take(&mut self.queue) }
    }

    /// Its socket's port.
    pub(super) fn port(&self) -> u32 {
        self.netlink.port()
    }

    pub(super) fn next_sequence(&mut self) -> u32 {
        self.netlink.next_sequence()
    }

    /// The entries of a batch that were seen a moment ago, of which asking again would tell no more; `None` if one is
    /// older.
    pub(super) fn young(&self, batch: &Batch<'_>, hurry: bool) -> Option<Looked> {
        let at = batch.oldest;
        let silent = || batch.entries.iter().map(|e| (*e, e.timeout_seconds.unwrap_or(0))).collect();
        let places = || (batch.first..batch.first + batch.entries.len()).collect();
        let young = if hurry { Self::YOUNG_IN_A_HURRY } else { Self::YOUNG };
        (at.elapsed() <= young).then(|| Looked { silent: silent(), places: places(), ..Looked::begun(at) })
    }

    /// Asks for a batch.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    pub(super) fn again(&mut self, batch: &Batch<'_>) -> io::Result<Looked> {
        let mut looked = Looked::begun(Instant::now());
        // An answer carries its question's sequence number, and those of a batch follow each other.
        let mut questions = Vec::with_capacity(batch.entries.len() * 96);
        let mut first = None;
        for entry in batch.entries {
            let sequence = self.netlink.next_sequence();
            first.get_or_insert(sequence);
            request::push_get(&mut questions, entry, sequence).map_err(invalid)?;
        }
        let first = first.unwrap_or(0);
        let mut now: Vec<Option<Entry>> = vec![None; batch.entries.len()];
        let mut refused = 0;
        self.exchange(&questions, |message| match (message.kind, message.errno()) {
            (NLMSG_ERROR, Ok(0 | libc::ENOENT)) => {}
            (NLMSG_ERROR, Ok(errno)) => (refused, looked.errno) = (refused + 1, Some(errno)),
            _ => {
                let place = now.get_mut(message.sequence.wrapping_sub(first) as usize);
                if let (Some(place), Ok(found)) = (place, decode::entry(message)) {
                    *place = found;
                }
            }
        })?;
        for (i, (entry, now)) in batch.entries.iter().zip(now).enumerate() {
            let same =
                |now: &Entry| now.id == entry.id && now.zone == entry.zone && now.original == entry.original;
            match now.filter(same) {
                Some(now) => match self.left(entry, &now, batch.oldest.elapsed()) {
                    Some(left) => {
                        looked.silent.push((*entry, left));
                        looked.places.push(batch.first + i);
                    }
                    None => looked.revived += 1,
                },
                None => looked.gone += 1,
            }
        }
        looked.refused = looked.gone.min(refused);
        looked.gone -= looked.refused;
        Ok(looked)
    }

    /// With `still` not silence is asked for, but this.
    pub(super) fn ask_for(&mut self, still: Option<Still>) {
        self.still = still;
    }

    /// Seconds left of an entry that was seen `ago`, if it may go.
    fn left(&self, before: &Entry, now: &Entry, ago: Duration) -> Option<u32> {
        match &self.still {
            None => untouched(before, now, ago),
            // Those in a flowtable have no time left.
            Some(still) => still(now).then_some(now.timeout_seconds.unwrap_or(0)),
        }
    }

    /// Sends the bytes and hands every answer to `each`: all of them are queued when send(2) returns.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    pub(super) fn exchange(&mut self, bytes: &[u8], mut each: impl FnMut(&Message<'_>)) -> io::Result<()> {
        self.netlink.exchange(bytes, |bytes| Messages(bytes).flatten().for_each(|message| each(&message)))
    }
}

/// Seconds by which a time left may have run down more or less than has passed between two looks: both are told in
/// whole seconds, and a chunk is filled a while after its look began.
const SLACK_SECONDS: u64 = 3;

/// Seconds left now, if no packet came since the look `ago`: the time left has run down by that much. `ago` may be
/// long, where entries with children are looked for first in a table of millions. A packet may also have set a
/// shorter time: data that is not acknowledged yet, a zero window, a RST.
fn untouched(before: &Entry, now: &Entry, ago: Duration) -> Option<u32> {
    let left = now.timeout_seconds?;
    let ran_down = before.timeout_seconds?.checked_sub(left)?;
    (u64::from(ran_down).abs_diff(ago.as_secs()) <= SLACK_SECONDS
        && before.tcp == now.tcp
        && before.status == now.status)
        .then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Status;

    fn left(seconds: u32) -> Entry {
        Entry { timeout_seconds: Some(seconds), ..Entry::default() }
    }

    #[test]
    fn only_time_may_have_passed_between_two_looks() {
        let at_once = Duration::from_millis(10);
        assert_eq!(untouched(&left(100), &left(100), at_once), Some(100));
        assert_eq!(untouched(&left(100), &left(99), at_once), Some(99));
        for now in [101, 96, 0] {
            assert_eq!(untouched(&left(100), &left(now), at_once), None, "{now}");
        }
        let changed = Entry { status: Status(Status::ASSURED), ..left(100) };
        assert_eq!(untouched(&left(100), &changed, at_once), None);
        assert_eq!(untouched(&left(100), &Entry::default(), at_once), None, "offloaded meanwhile");
    }

    #[test]
    fn who_had_to_wait_has_run_down_by_as_long() {
        let ago = Duration::from_millis(20_900);
        for (now, silent) in [
            (101, false),
            (100, false),
            (84, false),
            (83, true),
            (79, true),
            (77, true),
            (76, false),
            (0, false),
        ] {
            assert_eq!(untouched(&left(100), &left(now), ago).is_some(), silent, "{now}");
        }
    }
}
