//! Deletes by identity, many a send, each looked at once more before.

use std::io;
use std::time::{Duration, Instant};

use super::attribute::{Malformed, NLMSG_ERROR};
use super::request;
pub use super::second_look::Still;
use super::second_look::{Batch, Looked, SecondLook};
use super::socket::invalid;
use crate::core::model::{Class, Entry};

/// Second looks at one batch at most, each because it grew old before it could be sent.
const LOOKS: usize = 3;

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

/// Result of a batch of deletes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Deletes that were sent to the kernel.
    pub sent: u64,
    /// ENOENT: gone already, or another entry by now.
    pub already_gone: u64,
    /// Any other answer, and the last of them.
    pub failed: u64,
    /// errno of the last failure.
    pub errno: Option<i32>,
    /// Not sent: each time that the entry was asked for again, this thread had no CPU until the answer was old.
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

    /// Opens a socket of its own.
    ///
    /// # Errors
    /// As [`super::socket::Netlink::open`].
    pub fn open() -> crate::error::Result<Self> {
        Ok(Deleter { look: SecondLook::open()?, classes: Vec::new(), witness: None })
    }

    /// Makes it delete what an operator wants gone: with `still` entries go though they are alive, as long as this
    /// holds of them as they are then.
    pub fn for_an_operator(mut self, still: Option<Still>) -> Self {
        self.look.ask_for(still);
        self
    }

    /// Adds a witness that is told of every deletion.
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

    /// Queues the delete of an entry, of a class that the witness counts it by.
    ///
    /// # Errors
    /// As [`Deleter::push`].
    pub fn push_as(&mut self, entry: &Entry, class: Option<Class>, seen: Instant) -> Result<(), Malformed> {
        self.look.push(entry, seen)?;
        self.classes.push(class);
        Ok(())
    }

    /// Number of queued deletes.
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

    /// Sends what is queued; with `hurry` entries that were seen some milliseconds ago are not looked at again.
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
            stale: 0,
            revived: seen.revived,
        };
        if seen.at.elapsed() > Self::FRESH {
            deleted.stale = seen.silent.len() as u64;
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
