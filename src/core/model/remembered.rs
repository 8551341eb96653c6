//! Entries of a source, as an agent remembers them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::answer::Header;
use super::candidate::EntryId;
use super::tuple::{L4, Tuple};

/// The entries of a source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EntriesOfSource {
    #[serde(flatten)]
    pub header: Header,
    pub entries_total: u64,
    /// Another program updates entries, as [`super::AgentStatus::others_update`].
    pub others_update: bool,
    pub entries: Vec<EntryRow>,
}

/// By what the kernel finds an entry: original tuple, zone, `CTA_ID`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EntryRow {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    /// Of GRE the keys.
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
    pub icmp_type: Option<u8>,
    pub icmp_code: Option<u8>,
    pub icmp_id: Option<u16>,
    pub zone: u16,
    pub id: u32,
    /// There are entries that were expected because of it, or were of late.
    pub has_children: bool,
}

impl EntryRow {
    /// Of an entry.
    pub fn new(known: &EntryId, has_children: bool) -> Self {
        let EntryId { original: Tuple { source, destination, protocol, l4 }, zone, id } = *known;
        let icmp = match l4 {
            L4::Icmp { kind, code, id } => Some((kind, code, id)),
            _ => None,
        };
        EntryRow {
            source,
            destination,
            protocol,
            source_port: known.original.source_port(),
            destination_port: known.original.destination_port(),
            icmp_type: icmp.map(|icmp| icmp.0),
            icmp_code: icmp.map(|icmp| icmp.1),
            icmp_id: icmp.map(|icmp| icmp.2),
            zone,
            id,
            has_children,
        }
    }

    /// Identity of the entry.
    pub fn id(&self) -> EntryId {
        let EntryRow { source, destination, protocol, zone, id, .. } = *self;
        let l4 = match (self.source_port, self.destination_port, self.icmp_type, self.icmp_code, self.icmp_id)
        {
            (Some(source), Some(destination), ..) => L4::Ports { source, destination },
            (_, _, Some(kind), Some(code), Some(id)) => L4::Icmp { kind, code, id },
            _ => L4::None,
        };
        EntryId { original: Tuple { source, destination, protocol, l4 }, zone, id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_the_same_after_it_was_told() {
        let kinds =
            [L4::None, L4::Ports { source: 0, destination: 65535 }, L4::Icmp { kind: 128, code: 0, id: 0 }];
        for l4 in kinds {
            let original = Tuple { l4, protocol: 7, ..Tuple::default() };
            let known = EntryId { original, zone: 9, id: u32::MAX };
            let row = EntryRow::new(&known, true);
            let text = serde_json::to_string(&row).expect("JSON");
            assert_eq!(serde_json::from_str::<EntryRow>(&text).expect("the same").id(), known);
        }
    }
}
