//! Chunks received ahead of who reads them, on a thread of its own: what the reader makes of one hides behind the
//! kernel's time for the next ones.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

/// Chunks of 32 KiB between the two, the one that is read included. So many take some 1 ms: what is deleted right after
/// it was read is young still.
const CHUNKS: usize = 4;

/// One recv.
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

/// Where chunks come from.
pub(super) trait Source: Send {
    /// The next chunk, in a room that may be exchanged for another: its length, and whether it is the last.
    ///
    /// # Errors
    /// Then there are no more.
    fn next(&mut self, room: &mut Vec<u8>) -> io::Result<(usize, bool)>;
}

/// Receives until the last chunk and hands each to `each`, in order, on the calling thread; `each` ends it early by
/// answering false. `after`: the first chunk was filled after this. True at the end; `None` where no thread is to be had,
/// and nothing was received.
///
/// # Errors
/// As [`Source::next`]; what came before was handed over.
pub(super) fn receive(
    source: &mut impl Source,
    after: &mut Instant,
    mut each: impl FnMut(&Filled) -> bool,
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
        for chunk in filled {
            at_end = chunk.last;
            if !each(&chunk) {
                break;
            }
            // Nobody takes it who has received the last one, while others still wait here.
            let _ = free.send(chunk.room);
        }
        // Who waits for room learns that there will be none.
        drop(free);
        let received = receiving.join().map_err(|_| io::Error::other("a panic while receiving"))?;
        received.map(|()| Some(at_end))
    })
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
    }

    impl Source for Numbers {
        fn next(&mut self, room: &mut Vec<u8>) -> io::Result<(usize, bool)> {
            self.next += 1;
            room.resize(1, 0);
            room[0] = self.next;
            match self.last {
                None if self.next > 3 => Err(io::ErrorKind::Other.into()),
                last => Ok((1, last == Some(self.next))),
            }
        }
    }

    fn received(last: Option<u8>, until: u8, pause: Duration) -> (Vec<u8>, Option<bool>) {
        let mut met = Vec::new();
        let ended = receive(&mut Numbers { next: 0, last }, &mut Instant::now(), |chunk| {
            std::thread::sleep(pause);
            met.extend_from_slice(chunk.bytes());
            chunk.bytes() != [until]
        });
        (met, ended.ok().flatten())
    }

    #[test]
    fn every_chunk_comes_once_and_in_order_whoever_is_faster() {
        for (chunks, pause) in [(1, 0), (3, 0), (200, 0), (1, 2), (3, 2), (9, 2)] {
            let met = received(Some(chunks), u8::MAX, Duration::from_millis(pause));
            assert_eq!(met, ((1..=chunks).collect(), Some(true)), "{chunks} chunks, {pause} ms each");
        }
    }

    #[test]
    fn the_reader_may_leave_and_an_error_comes_after_what_was_received() {
        assert_eq!(received(Some(9), 2, Duration::ZERO), (vec![1, 2], Some(false)));
        assert_eq!(received(Some(9), 9, Duration::ZERO), ((1..=9).collect(), Some(true)));
        assert_eq!(received(None, u8::MAX, Duration::ZERO), (vec![1, 2, 3], None));
    }

    #[test]
    fn no_chunk_is_said_to_be_younger_than_the_one_before_was_asked_for() {
        let begun = Instant::now();
        let (mut after, mut ages) = (begun, Vec::new());
        let all = receive(&mut Numbers { next: 0, last: Some(9) }, &mut after, |chunk| {
            ages.push(chunk.after);
            true
        });
        assert_eq!((all.ok(), ages[0]), (Some(Some(true)), begun));
        assert!(ages.is_sorted());
    }
}
