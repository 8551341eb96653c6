//! What has to hold for any bytes: shared by the property tests and the fuzz target (tests/fuzz).

use ctctl::linux::attribute::{Attributes, Messages};
use ctctl::linux::decode;

use super::typed;

/// Walks a datagram by both parsers. Every step takes at least a header, so that the number of steps is bounded.
pub fn hold(datagram: &[u8]) {
    let mut at = 0;
    for (steps, message) in Messages(datagram).enumerate() {
        assert!(steps <= datagram.len() / 16, "a loop");
        let Ok(message) = message else { continue };
        let length = 16 + message.payload.len();
        // The typed parse of other subsystems panics on some bytes, and is no matter of ours.
        let ours = message.kind >> 8 == u16::from(decode::CTNETLINK);
        let typed = if ours { typed::parse(&datagram[at..at + length]) } else { None };
        at += length.next_multiple_of(4);
        walk(message.payload, 0);
        let (entry, event) = (decode::entry(&message), decode::event(&message));
        if let (Ok(Some(entry)), Ok(Some(event))) = (&entry, &event) {
            assert_eq!(entry, &event.entry);
        }
        let Ok(Some(event)) = event else { continue };
        if let Some(typed) = typed.and_then(|t| typed::entry(typed::attributes(&t))) {
            assert_eq!(event.entry.original, typed.original);
            assert_eq!(event.entry.reply, typed.reply);
            assert_eq!((event.entry.id, event.entry.zone), (typed.id, typed.zone));
        }
    }
}

/// Takes every value for a nest.
pub fn walk(bytes: &[u8], depth: usize) {
    for (steps, attribute) in Attributes(bytes).enumerate() {
        assert!(steps <= bytes.len() / 4, "a loop");
        match attribute {
            Ok((kind, value)) if depth < 4 => {
                assert!(kind <= 0x3fff && value.len() + 4 <= bytes.len());
                walk(value, depth + 1);
            }
            _ => {}
        }
    }
}
