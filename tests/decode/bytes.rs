//! Bytes that nobody promised anything about: no panic, no loop, and never another tuple than the typed parse reads.

use proptest::collection::vec;
use proptest::prelude::*;

use super::hold::{hold, walk};
use super::{generated, recorded};

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
        let datagrams: Vec<_> = recorded::datagrams(recorded::DUMP).chain(recorded::datagrams(recorded::EVENTS)).collect();
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
    for datagram in recorded::datagrams(recorded::EVENTS) {
        (0..datagram.len()).for_each(|end| hold(&datagram[..end]));
    }
}
