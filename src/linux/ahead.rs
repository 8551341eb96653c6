//! Chunks received ahead of who reads them, on a thread of its own: what the reader makes of one hides behind the
//! kernel's time for the next ones.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Chunks of 32 KiB that lie between the two threads at most, the one that is read included. Eight take some 1.3 ms:
/// an entry that is deleted right after it was read was seen a moment ago.
const CHUNKS: usize = 8;
/// Pause of a reader that finds no chunk, in which one or two come. It sleeps instead of waiting to be woken: on a
/// core that idles in a virtual machine a wake-up costs its sender some 5 us, and 7,300 of them a million entries
/// made the dump 8 % longer.
const LULL: Duration = Duration::from_micros(250);

/// The bytes of one recv.
pub(super) struct Filled {
    room: Vec<u8>,
    length: usize,
    /// The kernel filled it after this.
    pub after: Instant,
    /// Nothing comes after it.
    pub last: bool,
}

impl Filled {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.room[..self.length]
    }
}

/// Fills one chunk after another.
pub(super) trait Source: Send {
    /// The next chunk, in a room that may be exchanged for another: its length, and whether it is the last.
    ///
    /// # Errors
    /// Then there are no more.
    fn next(&mut self, room: &mut Vec<u8>) -> io::Result<(usize, bool)>;
}

/// Takes the chunks, in the order in which they were filled.
pub(super) trait Reader {
    /// A chunk came; false ends it early.
    fn chunk(&mut self, filled: &Filled) -> bool;
    /// None is there: time for what could wait. False where there is no such thing.
    fn lull(&mut self) -> bool;
}

/// Receives until the last chunk and hands each to `reader`, in order, on the calling thread. `after`: the first chunk
/// was filled after this. True at the end; `None` where no thread is to be had, and nothing was received.
///
/// # Errors
/// As [`Source::next`]; what came before was handed over.
pub(super) fn receive(
    source: &mut impl Source,
    after: &mut Instant,
    reader: &mut impl Reader,
) -> io::Result<Option<bool>> {
    let (full, filled) = sync_channel(CHUNKS);
    let (free, empty) = sync_channel(CHUNKS);
    (0..CHUNKS).for_each(|_| drop(free.try_send(Vec::new())));
    thread::scope(|scope| {
        let body = move || fill(source, after, &full, &empty);
        let Ok(receiving) = thread::Builder::new().name("receive".into()).spawn_scoped(scope, body) else {
            return Ok(None);
        };
        let mut at_end = false;
        while let Some(chunk) = next(&filled, reader) {
            at_end = chunk.last;
            if !reader.chunk(&chunk) {
                break;
            }
            // Nobody takes it who has received the last one, while others still wait here.
            let _ = free.send(chunk.room);
        }
        // A receiver that waits for room, or with a chunk, learns that nobody reads any more.
        drop((free, filled));
        let received = receiving.join().map_err(|_| io::Error::other("a panic while receiving"))?;
        received.map(|()| Some(at_end))
    })
}

/// `None` after the last.
fn next(filled: &Receiver<Filled>, reader: &mut impl Reader) -> Option<Filled> {
    loop {
        match filled.try_recv() {
            Ok(chunk) => return Some(chunk),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if reader.lull() => {}
            Err(TryRecvError::Empty) => thread::sleep(LULL),
        }
    }
}

/// Until the end, or until nobody reads any more.
fn fill(
    source: &mut impl Source,
    after: &mut Instant,
    full: &SyncSender<Filled>,
    empty: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Ok(mut room) = empty.recv() {
        let before = Instant::now();
        let (length, last) = source.next(&mut room)?;
        let chunk = Filled { room, length, after: std::mem::replace(after, before), last };
        if full.send(chunk).is_err() || last {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// So many chunks, each its number; then the end, or an error.
    struct Numbers {
        next: u8,
        last: Option<u8>,
        pause: Duration,
    }

    impl Source for Numbers {
        fn next(&mut self, room: &mut Vec<u8>) -> io::Result<(usize, bool)> {
            std::thread::sleep(self.pause);
            self.next += 1;
            room.resize(1, 0);
            room[0] = self.next;
            match self.last {
                None if self.next > 3 => Err(io::ErrorKind::Other.into()),
                last => Ok((1, last == Some(self.next))),
            }
        }
    }

    /// Slow with each, until one that ends it; something is left to do for so many lulls.
    #[derive(Default)]
    struct Slow {
        pause: Duration,
        until: Option<u8>,
        work: usize,
        met: Vec<u8>,
        after: Vec<Instant>,
    }

    impl Reader for Slow {
        fn chunk(&mut self, chunk: &Filled) -> bool {
            std::thread::sleep(self.pause);
            self.met.extend_from_slice(chunk.bytes());
            self.after.push(chunk.after);
            self.until.is_none_or(|until| chunk.bytes() != [until])
        }

        fn lull(&mut self) -> bool {
            self.work = self.work.saturating_sub(1);
            self.work > 0
        }
    }

    fn received(last: Option<u8>, reader: &mut Slow) -> Option<bool> {
        receive(&mut Numbers { next: 0, last, pause: Duration::ZERO }, &mut Instant::now(), reader)
            .ok()
            .flatten()
    }

    #[test]
    fn every_chunk_comes_once_and_in_order_whoever_is_faster() {
        for (chunks, pause) in [(1, 0), (3, 0), (200, 0), (1, 2), (3, 2), (9, 2)] {
            let mut reader = Slow { pause: Duration::from_millis(pause), ..Slow::default() };
            assert_eq!(received(Some(chunks), &mut reader), Some(true));
            assert_eq!(reader.met, (1..=chunks).collect::<Vec<u8>>(), "{chunks} chunks, {pause} ms each");
        }
    }

    #[test]
    fn the_reader_may_leave_and_an_error_comes_after_what_was_received() {
        for (last, until, met, ended) in
            [(Some(99), Some(2), 2, Some(false)), (Some(9), Some(9), 9, Some(true)), (None, None, 3, None)]
        {
            let mut reader = Slow { until, ..Slow::default() };
            assert_eq!(received(last, &mut reader), ended);
            assert_eq!(reader.met, (1..=met).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn while_no_chunk_is_there_the_reader_may_do_what_could_wait() {
        let mut reader = Slow { work: 3, ..Slow::default() };
        let mut source = Numbers { next: 0, last: Some(2), pause: Duration::from_millis(50) };
        assert!(matches!(receive(&mut source, &mut Instant::now(), &mut reader), Ok(Some(true))));
        assert_eq!((reader.met, reader.work), (vec![1, 2], 0));
    }

    #[test]
    fn no_chunk_is_said_to_be_younger_than_the_one_before_was_asked_for() {
        let begun = Instant::now();
        let (mut after, mut reader) = (begun, Slow::default());
        let mut source = Numbers { next: 0, last: Some(9), pause: Duration::ZERO };
        let all = receive(&mut source, &mut after, &mut reader);
        assert_eq!((all.ok(), reader.after[0]), (Some(Some(true)), begun));
        assert!(reader.after.is_sorted());
    }
}
