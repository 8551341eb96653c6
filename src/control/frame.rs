//! Messages in a stream of bytes: each ends with one NUL.

/// Error: a message is longer than allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

/// Splits a stream into messages and holds an incomplete one: never more than the limit and one read.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Number of bytes that were searched and hold no NUL.
    searched: usize,
    limit_bytes: usize,
}

impl Frames {
    /// Accepts messages of at most `limit_bytes`, their NUL not counted.
    pub fn new(limit_bytes: usize) -> Self {
        Frames { bytes: Vec::new(), searched: 0, limit_bytes }
    }

    /// True if nothing has come after the last message.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends bytes that were read. Call it only after [`Frames::take`] found no message, or the buffer is not
    /// bounded.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next complete message without its NUL, `None` if there is none yet.
    ///
    /// # Errors
    /// The message is longer than the limit, complete or not.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let found = self.bytes[self.searched..].iter().position(|b| *b == 0).map(|i| self.searched + i);
        if found.unwrap_or(self.bytes.len()) > self.limit_bytes {
            return Err(TooLong);
        }
        let Some(end) = found else {
            self.searched = self.bytes.len();
            return Ok(None);
        };
        let rest = self.bytes.split_off(end + 1);
        let mut message = std::mem::replace(&mut self.bytes, rest);
        message.pop();
        self.searched = 0;
        Ok(Some(message))
    }
}
