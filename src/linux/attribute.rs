//! A borrowed walk over netlink messages and attributes (`struct nlmsghdr`, `struct nlattr`): no allocation, no trust.

/// The bytes end before what they announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed netlink message: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Type of a message that answers with an errno, 0 for success (`NLMSG_ERROR`).
pub const NLMSG_ERROR: u16 = 2;
/// Type of a dump's last message (`NLMSG_DONE`).
pub const NLMSG_DONE: u16 = 3;
/// Bytes of a message's header, `sizeof(struct nlmsghdr)`.
pub const HEADER: usize = 16;
/// Bytes of netfilter's header behind it, `sizeof(struct nfgenmsg)`.
pub const NFGEN: usize = 4;

/// One message: its header's fields and what follows the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// Type of the message, `nlmsg_type`.
    pub kind: u16,
    /// Flags of the message, `nlmsg_flags`.
    pub flags: u16,
    /// Sequence number of the request that it answers, `nlmsg_seq`.
    pub sequence: u32,
    /// `nlmsg_pid`: on an event, the ctnetlink user that caused it; 0 for traffic.
    pub port: u32,
    /// After the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes after `struct nfgenmsg`.
    pub fn attributes(&self) -> Result<Attributes<'a>, Malformed> {
        self.payload.get(NFGEN..).map(Attributes).ok_or(Malformed("no nfgenmsg"))
    }

    /// For `NLMSG_ERROR` and `NLMSG_DONE`: the errno, 0 for none.
    pub fn errno(&self) -> Result<i32, Malformed> {
        let bytes = self.payload.get(..4).ok_or(Malformed("no error code"))?;
        Ok(i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).wrapping_neg())
    }
}

/// The messages of one datagram. After an error nothing more comes.
#[derive(Clone, Debug)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let buffer = self.0;
        if buffer.is_empty() {
            return None;
        }
        self.0 = &[];
        let Some((header, _)) = buffer.split_first_chunk::<HEADER>() else {
            return Some(Err(Malformed("half a header")));
        };
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(0) as usize;
        if length < HEADER || length > buffer.len() {
            return Some(Err(Malformed("length outside the datagram")));
        }
        self.0 = buffer.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Ok(Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: word(8),
            port: word(12),
            payload: &buffer[HEADER..length],
        }))
    }
}

/// The attributes of a message or of a nest: type without its flags, and value.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let buffer = self.0;
        if buffer.is_empty() {
            return None;
        }
        self.0 = &[];
        if buffer.len() < 4 {
            return Some(Err(Malformed("half an attribute")));
        }
        let length = u16::from_ne_bytes([buffer[0], buffer[1]]) as usize;
        // NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the type.
        let kind = u16::from_ne_bytes([buffer[2], buffer[3]]) & 0x3fff;
        if length < 4 || length > buffer.len() {
            return Some(Err(Malformed("attribute longer than its room")));
        }
        self.0 = buffer.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Ok((kind, &buffer[4..length])))
    }
}

/// Big-endian integers of exactly their width.
pub(super) fn be16(value: &[u8]) -> Result<u16, Malformed> {
    value.try_into().map(u16::from_be_bytes).map_err(|_| Malformed("not 16 bits"))
}

/// Reads a 32-bit number in network byte order, which has to be the whole value.
pub(super) fn be32(value: &[u8]) -> Result<u32, Malformed> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| Malformed("not 32 bits"))
}

/// Reads a 64-bit number in network byte order, which has to be the whole value.
pub(super) fn be64(value: &[u8]) -> Result<u64, Malformed> {
    value.try_into().map(u64::from_be_bytes).map_err(|_| Malformed("not 64 bits"))
}

/// Reads an 8-bit number, which has to be the whole value.
pub(super) fn byte(value: &[u8]) -> Result<u8, Malformed> {
    match value {
        [one] => Ok(*one),
        _ => Err(Malformed("not 8 bits")),
    }
}
