//! Bytes that nobody promised anything about: no panic, no loop, and never another tuple than the typed parse reads.

use ctctl::kernel::attribute::{Attributes, Messages};
use ctctl::kernel::decode;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{captures, generated, typed};

/// Walks a datagram by both parsers. Every step takes at least a header, so that the number of steps is bounded.
fn hold(datagram: &[u8]) {
    let mut at = 0;
    for (steps, message) in Messages(datagram).enumerate() {
        assert!(steps <= datagram.len() / 16, "a loop");
        let Ok(message) = message else { continue };
        let length = 16 + message.payload.len();
        let typed = typed::parse(&datagram[at..at + length]);
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
fn walk(bytes: &[u8], depth: usize) {
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

/// One fault: a byte set anywhere, a length field far out, an end too early, bytes doubled.
#[derive(Clone, Debug)]
enum Fault {
    Byte(prop::sample::Index, u8),
    Word(prop::sample::Index, u16),
    End(prop::sample::Index),
    Doubled(prop::sample::Index, prop::sample::Index),
}

fn fault() -> impl Strategy<Value = Fault> {
    let index = any::<prop::sample::Index>;
    let lengths = prop_oneof![0u16..40, any::<u16>()];
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Fault::Byte(at, byte)),
        4 => (index(), lengths).prop_map(|(at, length)| Fault::Word(at, length)),
        1 => index().prop_map(Fault::End),
        1 => (index(), index()).prop_map(|(from, to)| Fault::Doubled(from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, fault: &Fault) {
    let length = bytes.len();
    if length < 2 {
        return;
    }
    match fault {
        Fault::Byte(at, byte) => bytes[at.index(length)] = *byte,
        // Length and type fields stand at even places.
        Fault::Word(at, word) => {
            let at = at.index(length / 2) * 2;
            bytes[at..at + 2].copy_from_slice(&word.to_ne_bytes());
        }
        Fault::End(at) => bytes.truncate(at.index(length)),
        Fault::Doubled(from, to) => {
            let piece = bytes[from.index(length) & !3..].to_vec();
            let to = to.index(length) & !3;
            bytes.splice(to..to, piece);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_broken_message_is_refused_or_read_alike(
        (_, attributes) in generated::told(), faults in vec(fault(), 1..6)
    ) {
        let mut bytes = generated::new(attributes, |_| {});
        faults.iter().for_each(|fault| apply(&mut bytes, fault));
        hold(&bytes);
    }

    #[test]
    fn a_broken_capture_is_refused_or_read_alike(
        which: prop::sample::Index, faults in vec(fault(), 1..6)
    ) {
        let datagrams: Vec<_> = captures::datagrams(captures::DUMP).chain(captures::datagrams(captures::EVENTS)).collect();
        let mut bytes = which.get(&datagrams).to_vec();
        faults.iter().for_each(|fault| apply(&mut bytes, fault));
        hold(&bytes);
    }

    #[test]
    fn random_bytes_end(bytes in vec(any::<u8>(), 0..400)) {
        hold(&bytes);
        walk(&bytes, 0);
    }

    /// Random bytes rarely get past the first length; these do.
    #[test]
    fn random_words_end(words in vec(prop_oneof![0u16..64, any::<u16>()], 0..200)) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        hold(&bytes);
        walk(&bytes, 0);
    }
}

#[test]
fn every_cut_of_every_capture_ends() {
    for datagram in captures::datagrams(captures::EVENTS) {
        (0..datagram.len()).for_each(|end| hold(&datagram[..end]));
    }
}
