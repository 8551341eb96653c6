//! Local proof of life: a flow with an end in a socket of this host lives as long as the socket does.

use std::collections::HashSet;
use std::net::IpAddr;

use super::ledger::{BuildAsIs, Identify};
use crate::core::model::{Entry, L4, Tuple};

/// The connected sockets of the host as they were at one moment. Bounded: what is not known for certain counts as
/// alive.
#[derive(Clone, Debug, Default)]
pub struct LocalLife {
    identify: Identify,
    /// Fingerprints of tuples without direction.
    sockets: HashSet<u64, BuildAsIs>,
    /// Protocols whose sockets are not all known.
    unknown: Vec<u8>,
    own: HashSet<IpAddr>,
}

impl LocalLife {
    /// Sockets that are kept, 9 to 18 bytes each; with more of them their protocol is as good as not asked.
    pub const BOUND: usize = 1 << 20;

    /// A host with these addresses and no socket.
    pub fn of(own: HashSet<IpAddr>) -> Self {
        LocalLife { own, ..LocalLife::default() }
    }

    /// The host has a socket with this pair of ends.
    pub fn insert(&mut self, socket: &Tuple) {
        if self.sockets.len() < Self::BOUND {
            self.sockets.insert(self.identify.tuple(&undirected(socket), 0));
        } else {
            self.not_known(socket.protocol);
        }
    }

    /// The sockets of this protocol could not be asked for: each flow with an end on an own address may have one.
    pub fn not_known(&mut self, protocol: u8) {
        if !self.unknown.contains(&protocol) {
            self.unknown.push(protocol);
        }
    }

    /// True if all sockets of this protocol are known.
    pub fn knows(&self, protocol: u8) -> bool {
        !self.unknown.contains(&protocol)
    }

    /// Number of sockets.
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// True without a socket.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// True if a socket of this host has an end of this entry, as either direction shows it: before or after NAT,
    /// as the one that asked or the one that was asked.
    pub fn holds(&self, entry: &Entry) -> bool {
        if !self.unknown.is_empty() && self.unknown.contains(&entry.original.protocol) {
            // The end of the flow: the reply to a masqueraded flow goes to an own address and on from there.
            let far = entry.reply.map_or(entry.original.destination, |reply| reply.source);
            if self.own.contains(&entry.original.source) || self.own.contains(&far) {
                return true;
            }
        }
        if self.sockets.is_empty() {
            return false;
        }
        let known = |tuple: &Tuple| self.sockets.contains(&self.identify.tuple(tuple, 0));
        let original = undirected(&entry.original);
        let reply = entry.reply.as_ref().map(undirected).filter(|reply| *reply != original);
        known(&original) || reply.as_ref().is_some_and(known)
    }
}

/// The lesser end as the source.
fn undirected(tuple: &Tuple) -> Tuple {
    let L4::Ports { source, destination } = tuple.l4 else { return *tuple };
    if (tuple.source, source) <= (tuple.destination, destination) {
        return *tuple;
    }
    let l4 = L4::Ports { source: destination, destination: source };
    Tuple { source: tuple.destination, destination: tuple.source, l4, ..*tuple }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{TCP, UDP};

    fn tuple(source: [u8; 4], from: u16, destination: [u8; 4], to: u16) -> Tuple {
        let l4 = L4::Ports { source: from, destination: to };
        Tuple { source: source.into(), destination: destination.into(), protocol: TCP, l4 }
    }

    const OWN: [u8; 4] = [192, 0, 2, 1];
    const FAR: [u8; 4] = [198, 51, 100, 7];
    const INSIDE: [u8; 4] = [10, 0, 0, 5];

    fn entry(original: Tuple, reply: Tuple) -> Entry {
        Entry { original, reply: Some(reply), ..Entry::default() }
    }

    #[test]
    fn either_direction_and_either_side_of_nat_is_found() {
        let mut life = LocalLife::of([OWN.into()].into());
        life.insert(&tuple(OWN, 5000, FAR, 443));
        let out = entry(tuple(OWN, 5000, FAR, 443), tuple(FAR, 443, OWN, 5000));
        let came_in = entry(tuple(FAR, 443, OWN, 5000), tuple(OWN, 5000, FAR, 443));
        // The far end as the socket sees it is in one direction alone.
        let redirected = entry(tuple(FAR, 443, INSIDE, 80), tuple(OWN, 5000, FAR, 443));
        let translated = entry(tuple(OWN, 5000, FAR, 443), tuple(INSIDE, 8443, OWN, 5000));
        for entry in [out, came_in, redirected, translated] {
            assert!(life.holds(&entry), "{entry:?}");
        }
        let others = [
            entry(tuple(OWN, 5001, FAR, 443), tuple(FAR, 443, OWN, 5001)),
            entry(tuple(INSIDE, 5000, FAR, 443), tuple(FAR, 443, OWN, 6000)),
            entry(Tuple { protocol: UDP, ..out.original }, Tuple { protocol: UDP, ..out.reply.unwrap() }),
        ];
        for entry in others {
            assert!(!life.holds(&entry), "{entry:?}");
        }
    }

    #[test]
    fn sockets_that_cannot_be_asked_for_may_hold_whatever_ends_here() {
        let mut life = LocalLife::of([OWN.into()].into());
        life.not_known(TCP);
        assert!(life.holds(&entry(tuple(OWN, 1, FAR, 2), tuple(FAR, 2, OWN, 1))));
        assert!(life.holds(&entry(tuple(FAR, 1, OWN, 2), tuple(OWN, 2, FAR, 1))));
        let masqueraded = entry(tuple(INSIDE, 1, FAR, 2), tuple(FAR, 2, OWN, 1));
        let forwarded = entry(tuple(FAR, 1, OWN, 2), tuple(INSIDE, 2, FAR, 1));
        assert!(!life.holds(&masqueraded) && !life.holds(&forwarded));
        let udp = Tuple { protocol: UDP, ..tuple(OWN, 1, FAR, 2) };
        assert!(!life.holds(&Entry { original: udp, ..Entry::default() }), "UDP was asked for");
    }
}
