//! Arbitrary typed messages, emitted to bytes: the borrowed decode says what the typed parse says.

use ctctl::core::model::EventKind;
use ctctl::linux::attribute::Messages;
use ctctl::linux::decode;
use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage};
use proptest::prelude::*;

use super::{generated, typed};

const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

proptest! {
    #[test]
    fn every_field_is_what_was_told_and_what_the_typed_parse_says((entry, attributes) in generated::told()) {
        let bytes = generated::new(attributes, |_| {});
        let typed = typed::parse(&bytes).expect("typed");
        prop_assert_eq!(typed::entry(typed::attributes(&typed)), Some(entry), "the typed parse");
        let messages: Vec<_> = Messages(&bytes).collect::<Result<_, _>>().expect("messages");
        prop_assert_eq!(messages.len(), 1);
        prop_assert_eq!(decode::entry(&messages[0]), Ok(Some(entry)), "the borrowed decode");
    }

    #[test]
    fn kind_and_foreignness_come_from_the_header_alone(
        told in prop::collection::vec((generated::told(), any::<bool>(), any::<(u16, u32, u32)>()), 1..5)
    ) {
        let (mut datagram, mut expected) = (Vec::new(), Vec::new());
        for ((entry, attributes), destroy, (flags, port, sequence)) in told {
            // Any flags, and often enough the two that matter.
            let flags = if sequence % 2 == 0 { flags | NLM_F_CREATE | NLM_F_EXCL } else { flags };
            let port = if sequence % 3 == 0 { 0 } else { port };
            let made = flags & NLM_F_CREATE != 0 && flags & NLM_F_EXCL != 0;
            let (message, kind) = match (destroy, made) {
                (true, _) => (ConntrackMessage::Delete(attributes), EventKind::Destroy),
                (false, true) => (ConntrackMessage::New(attributes), EventKind::New),
                (false, false) => (ConntrackMessage::New(attributes), EventKind::Update),
            };
            datagram.extend(generated::message(message, true, |header| {
                (header.flags, header.port_number, header.sequence_number) = (flags, port, sequence);
            }));
            expected.push((kind, entry, port != 0, sequence));
        }
        let read = Messages(&datagram).map(|message| {
            let message = message.expect("message");
            let event = decode::event(&message).expect("readable").expect("of the stream");
            // What tells of an entry's end is no part of a dump.
            assert_eq!(decode::entry(&message).expect("readable").is_none(), event.kind == EventKind::Destroy);
            (event.kind, event.entry, event.foreign, message.sequence)
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn other_messages_are_none(kind: u16, (_, attributes) in generated::told()) {
        let mut bytes = generated::new(attributes, |_| {});
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        let message = Messages(&bytes).next().expect("one").expect("message");
        prop_assert_eq!(decode::entry(&message).expect("readable").is_some(), kind == 0x100);
        prop_assert_eq!(decode::event(&message).expect("readable").is_some(), kind == 0x100 || kind == 0x102);
    }

    #[test]
    fn without_an_original_tuple_there_is_no_entry((_, attributes) in generated::told()) {
        let is_tuple = |a: &ConntrackAttribute| matches!(a, ConntrackAttribute::CtaTupleOrig(_));
        let without = attributes.into_iter().filter(|a| !is_tuple(a)).collect();
        let bytes = generated::new(without, |_| {});
        let message = Messages(&bytes).next().expect("one").expect("message");
        prop_assert!(decode::entry(&message).is_err());
    }
}
