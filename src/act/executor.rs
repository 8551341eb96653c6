//! The writer: plans become outcomes. It decides nothing, but looks again at the moment of acting: what it finds
//! changed since the decision, it leaves alone.

mod asked;
mod chunk;
mod sweep;
mod waiting;

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

pub use asked::Taker;
pub use sweep::{Judge, Surroundings, Swept, sweep};

use crate::core::model::{Class, Entry, Value};
use crate::linux::deleter::Deleted;
use crate::linux::deleting::{Deleting, Going};
use crate::linux::second_chance::{Shortened, Shortener};

/// Takes values and deletions, for the kernel or for nothing (dry run). The same plan reaches either.
pub trait Writer {
    /// Sets a value; returns what it is afterwards, or `None` if nothing was changed by intent.
    ///
    /// # Errors
    /// In the kernel's words.
    fn set(&mut self, value: Value, from: u64, to: u64) -> Result<Option<u64>, Refused>;

    /// Takes an entry that was seen after `seen`; it goes with [`Writer::begin`].
    fn take(&mut self, entry: &Entry, class: Class, seen: Instant);

    /// Begins to delete what was taken, as one batch, beside what the caller does next. In a `hurry`
    /// what was seen some milliseconds ago is not looked at again.
    ///
    /// # Errors
    /// If it cannot be begun; nothing of it is deleted then.
    fn begin(&mut self, hurry: bool) -> io::Result<()>;

    /// Result of the oldest batch that was begun and not told of; `None` if there is none, or, without `wait`, none
    /// that has ended.
    fn told(&mut self, wait: bool) -> Option<io::Result<Deleted>>;

    /// Leaves a second chance to an entry that was seen after `seen`; it has it after [`Writer::settle_chances`].
    fn give_grace(&mut self, entry: &Entry, seen: Instant);

    /// Leaves `grace_seconds` to each of those, and never more than it had.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    fn settle_chances(&mut self, grace_seconds: u32) -> io::Result<Shortened>;

    /// Tells whoever listens of entries that spoke in their grace.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    fn announce(&mut self, _spoke: &[Entry]) -> io::Result<()> {
        Ok(())
    }

    /// Nothing is changed by this one.
    fn dry(&self) -> bool;
}

/// Reason for which a value was not set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is not what the decision was made for any more.
    Changed(u64),
    /// The kernel said no.
    Kernel(String),
}

/// The writer that changes nothing.
#[derive(Debug, Default)]
pub struct DryWriter {
    taken: u64,
    begun: VecDeque<u64>,
    given: Vec<Entry>,
}

impl Writer for DryWriter {
    fn set(&mut self, _: Value, _: u64, _: u64) -> Result<Option<u64>, Refused> {
        Ok(None)
    }

    fn take(&mut self, _: &Entry, _: Class, _: Instant) {
        self.taken += 1;
    }

    fn begin(&mut self, _: bool) -> io::Result<()> {
        self.begun.push_back(std::mem::take(&mut self.taken));
        Ok(())
    }

    fn told(&mut self, _: bool) -> Option<io::Result<Deleted>> {
        let sent = self.begun.pop_front()?;
        Some(Ok(Deleted { sent, ..Deleted::default() }))
    }

    fn give_grace(&mut self, entry: &Entry, _: Instant) {
        self.given.push(*entry);
    }

    fn settle_chances(&mut self, _: u32) -> io::Result<Shortened> {
        Ok(Shortened { set: std::mem::take(&mut self.given), ..Shortened::default() })
    }

    fn dry(&self) -> bool {
        true
    }
}

/// Reads and writes values of the kernel.
pub trait Values {
    /// Reads a value.
    ///
    /// # Errors
    /// As read(2).
    fn read(&self, value: Value) -> io::Result<u64>;

    /// Writes it; what the kernel made of it.
    ///
    /// # Errors
    /// As write(2).
    fn write(&self, value: Value, to: u64) -> io::Result<u64>;
}

/// The writer on the kernel.
pub struct KernelWriter<V> {
    values: V,
    taken: Vec<Going>,
    deleting: Deleting,
    shortener: Shortener,
}

impl<V: Values> KernelWriter<V> {
    /// With these values, a thread for deletions, and a socket of its own for second chances.
    pub fn new(values: V, deleting: Deleting, shortener: Shortener) -> Self {
        KernelWriter { values, taken: Vec::new(), deleting, shortener }
    }
}

impl<V: Values> Writer for KernelWriter<V> {
    fn set(&mut self, value: Value, from: u64, to: u64) -> Result<Option<u64>, Refused> {
        let refused = |error: io::Error| Refused::Kernel(error.to_string());
        match self.values.read(value).map_err(refused)? {
            now if now == to => Ok(Some(to)),
            now if now != from => Err(Refused::Changed(now)),
            _ => self.values.write(value, to).map(Some).map_err(refused),
        }
    }

    fn take(&mut self, entry: &Entry, class: Class, seen: Instant) {
        self.taken.push(Going { entry: *entry, class: Some(class), seen });
    }

    fn begin(&mut self, hurry: bool) -> io::Result<()> {
        self.deleting.begin(std::mem::take(&mut self.taken), hurry)
    }

    fn told(&mut self, wait: bool) -> Option<io::Result<Deleted>> {
        self.deleting.told(wait)
    }

    fn give_grace(&mut self, entry: &Entry, seen: Instant) {
        // An entry that does not encode with certainty, or has a timeout that no packet would put back, is left
        // alone.
        let _ = self.shortener.push(entry, seen);
    }

    fn settle_chances(&mut self, grace_seconds: u32) -> io::Result<Shortened> {
        self.shortener.flush(grace_seconds)
    }

    fn announce(&mut self, spoke: &[Entry]) -> io::Result<()> {
        self.shortener.announce(spoke)
    }

    fn dry(&self) -> bool {
        false
    }
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
