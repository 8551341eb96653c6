//! The second chance: the time left of a silent entry is cut down, and it is deleted by nobody.
//!
//! The next packet puts the full timeout back, in either direction and without a RST to anyone; what is dead is gone
//! when the rest has run down.

use std::io;
use std::time::Instant;

use super::attribute::{Malformed, NLMSG_ERROR};
use super::own_ports::Registered;
use super::request;
use super::second_look::{Batch, SecondLook};
use super::socket::invalid;
use crate::core::model::{Entry, Status};

/// Cuts times left down, many a send, without acknowledgement: only errors come back. An update does not compare
/// `CTA_ID` (`ctnetlink_new_conntrack`), so each entry is looked at right before, as before a delete.
pub struct Shortener {
    look: SecondLook,
    /// Its updates are this program's own, and no other writer's.
    _own: Registered,
}

/// Result of a batch of second chances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shortened {
    /// Entries whose time left was cut down, as they were seen first, in the order in which they were queued.
    pub set: Vec<Entry>,
    /// Gone already, or another entry by now.
    pub already_gone: u64,
    /// A packet came since they were seen.
    pub revived: u64,
    /// As little left already: a time left is never raised.
    pub shorter_already: u64,
    /// Not sent: this thread had no CPU until the second look at the entry was old.
    pub stale: u64,
    /// Any other answer; FIXED_TIMEOUT answers EPERM and is not even asked.
    pub failed: u64,
    /// errno of the last failure.
    pub errno: Option<i32>,
}

impl Shortened {
    /// Adds another batch.
    pub fn add(&mut self, other: Shortened) {
        self.set.extend(other.set);
        self.already_gone += other.already_gone;
        self.revived += other.revived;
        self.shorter_already += other.shorter_already;
        self.stale += other.stale;
        self.failed += other.failed;
        self.errno = other.errno.or(self.errno);
    }
}

impl Shortener {
    /// Opens a socket of its own.
    ///
    /// # Errors
    /// As [`super::socket::Netlink::open`].
    pub fn open() -> crate::error::Result<Self> {
        let look = SecondLook::open()?;
        let own = Registered::new(look.port());
        Ok(Shortener { look, _own: own })
    }

    /// Queues an entry that was seen after `seen`.
    ///
    /// # Errors
    /// If the entry cannot be told apart with certainty, or packets do not refresh it; nothing is queued then.
    pub fn push(&mut self, entry: &Entry, seen: Instant) -> Result<(), Malformed> {
        if entry.status.any(Status::FIXED_TIMEOUT | Status::OFFLOAD | Status::HW_OFFLOAD) {
            return Err(Malformed("no packet would put this timeout back"));
        }
        self.look.push(entry, seen)
    }

    /// Looks at what is queued again, and leaves `seconds` to what has been silent and has more than that left.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    pub fn flush(&mut self, seconds: u32) -> io::Result<Shortened> {
        let mut shortened = Shortened::default();
        let queue = self.look.take();
        for batch in queue.batches() {
            shortened.add(self.shorten(&batch, seconds)?);
        }
        Ok(shortened)
    }

    /// Has the kernel tell all listeners of these entries as they are now: the packet that put a full timeout back told
    /// nobody (`__nf_ct_refresh_acct`), and conntrackd's peer still has the short one. Nothing is written.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    pub fn announce(&mut self, entries: &[Entry]) -> io::Result<()> {
        for batch in entries.chunks(256) {
            let mut requests = Vec::with_capacity(batch.len() * 112);
            for entry in batch {
                let sequence = self.look.next_sequence();
                // An entry that cannot be told apart was given no second chance.
                requests.extend(request::update_nothing(entry, sequence).unwrap_or_default());
            }
            // ENOENT: it has ended, which the kernel told.
            self.look.exchange(&requests, |_| ())?;
        }
        Ok(())
    }

    fn shorten(&mut self, batch: &Batch<'_>, seconds: u32) -> io::Result<Shortened> {
        let seen = self.look.again(batch)?;
        let mut shortened = Shortened {
            set: Vec::new(),
            already_gone: seen.gone,
            revived: seen.revived,
            shorter_already: 0,
            stale: 0,
            failed: seen.refused,
            errno: seen.errno,
        };
        let mut requests = Vec::with_capacity(seen.silent.len() * 128);
        let mut asked: Vec<(u32, Entry)> = Vec::with_capacity(seen.silent.len());
        for (entry, left) in seen.silent {
            if left <= seconds {
                shortened.shorter_already += 1;
                continue;
            }
            let sequence = self.look.next_sequence();
            requests.extend(request::update_timeout(&entry, seconds, sequence).map_err(invalid)?);
            asked.push((sequence, entry));
        }
        if seen.at.elapsed() > SecondLook::FRESH {
            // Stopped in between (SIGSTOP): what was seen again is old by now as well.
            shortened.stale = asked.len() as u64;
            return Ok(shortened);
        }
        self.look.exchange(&requests, |message| {
            let (NLMSG_ERROR, Ok(errno)) = (message.kind, message.errno()) else { return };
            let place = asked.iter().position(|(sequence, _)| *sequence == message.sequence);
            let Some(place) = place.filter(|_| errno != 0) else { return };
            asked.remove(place);
            match errno {
                // ETIME: on its way out (`__nf_ct_change_timeout`).
                libc::ENOENT | libc::ETIME => shortened.already_gone += 1,
                errno => {
                    shortened.failed += 1;
                    shortened.errno = Some(errno);
                }
            }
        })?;
        shortened.set = asked.into_iter().map(|(_, entry)| entry).collect();
        Ok(shortened)
    }
}

#[cfg(test)]
#[path = "second_chance_tests.rs"]
mod tests;
