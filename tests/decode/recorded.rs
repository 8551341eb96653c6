//! The recorded datagrams (tests/captures), shared with the fuzz target (tests/fuzz).

/// A dump of the whole table.
pub const DUMP: &[u8] = include_bytes!("../captures/dump.bin");
/// The stream of NEW, UPDATE and DESTROY of the same entries.
pub const EVENTS: &[u8] = include_bytes!("../captures/events.bin");

/// The datagrams of a capture.
pub fn datagrams(capture: &'static [u8]) -> impl Iterator<Item = &'static [u8]> {
    let mut rest = capture;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (datagram, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
        rest = tail;
        Some(datagram)
    })
}
