//! Every attribute that conntrack(8) shows, for what is printed and not for what is counted: it allocates.

use super::attribute::{Attributes, Malformed, Message, be16, be32, be64, byte};
use super::{cta, decode};
use crate::core::model::{Counters, Detail};

/// The entry that a message of a dump tells of, whole; `None` for a message of another type.
pub fn detail(message: &Message<'_>) -> Result<Option<Detail>, Malformed> {
    let Some(entry) = decode::entry(message)? else { return Ok(None) };
    let mut detail = Detail { entry, ..Detail::default() };
    for attribute in message.attributes()? {
        let (kind, value) = attribute?;
        match kind {
            cta::TUPLE_ORIG => detail.zone_original = zone(value)?,
            cta::TUPLE_REPLY => detail.zone_reply = zone(value)?,
            cta::STATUS => detail.has_status = true,
            cta::PROTOINFO => detail.other_state = other_state(value)?,
            cta::HELP => detail.helper = text(value)?,
            cta::MARK => detail.mark = Some(be32(value)?),
            cta::COUNTERS_ORIG => detail.counters_original = Some(counters(value)?),
            cta::COUNTERS_REPLY => detail.counters_reply = Some(counters(value)?),
            cta::USE => detail.use_count = Some(be32(value)?),
            cta::SECMARK => detail.secmark = Some(be32(value)?),
            cta::ZONE => detail.zone = Some(be16(value)?),
            cta::SECCTX => detail.secctx = text(value)?,
            cta::TIMESTAMP => {
                detail.stopped_unix_seconds =
                    first(value, cta::timestamp::STOP)?.map(be64).transpose()?.unwrap_or(0) / 1_000_000_000
            }
            _ => {}
        }
    }
    Ok(Some(detail))
}

/// An attribute of a nest.
fn first(nest: &[u8], wanted: u16) -> Result<Option<&[u8]>, Malformed> {
    for attribute in Attributes(nest) {
        match attribute? {
            (kind, value) if kind == wanted => return Ok(Some(value)),
            _ => {}
        }
    }
    Ok(None)
}

/// Reads the zone of one direction alone (`CTA_TUPLE_ZONE`).
fn zone(tuple: &[u8]) -> Result<Option<u16>, Malformed> {
    first(tuple, cta::tuple::ZONE)?.map(be16).transpose()
}

/// `CTA_PROTOINFO_SCTP_STATE` or `CTA_PROTOINFO_DCCP_STATE`.
fn other_state(protoinfo: &[u8]) -> Result<Option<u8>, Malformed> {
    for kind in [cta::protoinfo::DCCP, cta::protoinfo::SCTP] {
        if let Some(nest) = first(protoinfo, kind)? {
            return first(nest, cta::protoinfo::STATE)?.map(byte).transpose();
        }
    }
    Ok(None)
}

/// `CTA_COUNTERS_PACKETS` and `CTA_COUNTERS_BYTES`.
fn counters(nest: &[u8]) -> Result<Counters, Malformed> {
    let number = |kind| first(nest, kind)?.map(be64).transpose().map(|n| n.unwrap_or(0));
    Ok(Counters { packets: number(cta::counters::PACKETS)?, bytes: number(cta::counters::BYTES)? })
}

/// `CTA_HELP_NAME` and `CTA_SECCTX_NAME`: the first of its nest, ended by NUL.
fn text(nest: &[u8]) -> Result<Option<String>, Malformed> {
    Ok(first(nest, cta::NAME)?.map(|value| {
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        String::from_utf8_lossy(&value[..end]).into_owned()
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::linux::decode::CTNETLINK;

    fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u16 + 4).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn nest(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
        attribute(kind | 0x8000, &parts.concat())
    }

    fn read(attributes: &[Vec<u8>]) -> Result<Option<Detail>, Malformed> {
        let payload = [vec![2, 0, 0, 0], attributes.concat()].concat();
        let kind = u16::from_be_bytes([CTNETLINK, 0]);
        detail(&Message { kind, flags: 0, sequence: 1, port: 0, payload: &payload })
    }

    fn tuple(kind: u16, zone: Option<u16>) -> Vec<u8> {
        let addresses = nest(1, &[attribute(1, &[10, 0, 0, 1]), attribute(2, &[10, 0, 0, 2])]);
        let protocol = nest(2, &[attribute(1, &[50])]);
        let zone = zone.map(|zone| attribute(3, &zone.to_be_bytes())).unwrap_or_default();
        nest(kind, &[addresses, protocol, zone])
    }

    #[test]
    fn every_attribute_has_its_field() {
        let counters = nest(9, &[attribute(1, &7u64.to_be_bytes()), attribute(2, &900u64.to_be_bytes())]);
        let attributes = [
            tuple(1, Some(9)),
            tuple(2, None),
            attribute(3, &2u32.to_be_bytes()),
            nest(4, &[nest(3, &[attribute(1, &[4])])]),
            nest(5, &[attribute(1, b"ftp\0")]),
            attribute(8, &0u32.to_be_bytes()),
            counters,
            attribute(11, &1u32.to_be_bytes()),
            attribute(17, &6u32.to_be_bytes()),
            nest(19, &[attribute(1, b"system_u\0")]),
            nest(
                20,
                &[
                    attribute(1, &5_000_000_000u64.to_be_bytes()),
                    attribute(2, &6_000_000_000u64.to_be_bytes()),
                ],
            ),
        ];
        let read = read(&attributes).expect("well formed").expect("an entry");
        assert_eq!((read.zone, read.zone_original, read.zone_reply), (None, Some(9), None));
        assert_eq!((read.other_state, read.has_status, read.mark), (Some(4), true, Some(0)));
        assert_eq!((read.helper.as_deref(), read.secctx.as_deref()), (Some("ftp"), Some("system_u")));
        assert_eq!(read.counters_original, Some(Counters { packets: 7, bytes: 900 }));
        assert_eq!((read.counters_reply, read.use_count, read.secmark), (None, Some(1), Some(6)));
        assert_eq!((read.entry.started_unix_seconds, read.stopped_unix_seconds), (Some(5), 6));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_the_entry_is_that_of_the_other_walk(
            kinds in proptest::collection::vec((0u16..25, proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        ) {
            let whole = std::iter::once(tuple(1, None));
            let more = kinds.iter().map(|(kind, payload)| attribute(*kind, payload));
            let attributes: Vec<Vec<u8>> = whole.chain(more).collect();
            if let Ok(Some(detail)) = read(&attributes) {
                let payload = [vec![2, 0, 0, 0], attributes.concat()].concat();
                let kind = u16::from_be_bytes([CTNETLINK, 0]);
                let message = Message { kind, flags: 0, sequence: 1, port: 0, payload: &payload };
                prop_assert_eq!(decode::entry(&message), Ok(Some(detail.entry)));
            }
        }
    }
}
