//! Every entry's original tuple, zone and id, to be called up by source: what [`super::Ledger`] knows by fingerprints
//! alone. Kept only where the operator wants it (`[agent] remember_entries`).
//!
//! An entry is a node of 28 bytes (IPv6: 52) and a number in a table by identity; the nodes of a source are a chain,
//! and the first of each is in a table by source. With what a table leaves empty: 34 to 39 bytes an entry (IPv6: 58 to
//! 63), and 6 to 11 a source; a million entries of as many sources took 48 MB more of an agent (VmRSS). Nodes lie one
//! behind the other, the last fills the gap of what ends, so that memory goes with the entries. Fingerprints are not
//! kept but made again where nodes move: 10 ns against 8 bytes.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::ledger::Identify;
use crate::core::model::{EntryId, L4, Tuple};

/// The end of a chain.
const NONE: u32 = u32::MAX;
/// Less than this is not worth to be given back.
const WORTH_IT: usize = 1 << 16;

/// Identities, the families apart.
#[derive(Clone, Debug)]
pub struct EntryIndex {
    identify: Identify,
    v4: Page<Ipv4Addr>,
    v6: Page<Ipv6Addr>,
}

#[derive(Clone, Copy, Debug)]
struct Node<A> {
    source: A,
    destination: A,
    protocol: u8,
    l4: Packed,
    zone: u16,
    id: u32,
    /// Neighbours in the chain of the source.
    next: u32,
    before: u32,
}

/// [`L4`] in 5 bytes.
#[derive(Clone, Copy, Debug)]
struct Packed {
    kind: u8,
    bytes: [u8; 4],
}

impl From<L4> for Packed {
    fn from(l4: L4) -> Self {
        let halves = |a: [u8; 2], b: [u8; 2]| [a[0], a[1], b[0], b[1]];
        match l4 {
            L4::None => Packed { kind: 0, bytes: [0; 4] },
            L4::Ports { source, destination } => {
                Packed { kind: 1, bytes: halves(source.to_be_bytes(), destination.to_be_bytes()) }
            }
            L4::Icmp { kind, code, id } => Packed { kind: 2, bytes: halves([kind, code], id.to_be_bytes()) },
        }
    }
}

impl From<Packed> for L4 {
    fn from(packed: Packed) -> Self {
        let [a, b, c, d] = packed.bytes;
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        match packed.kind {
            0 => L4::None,
            1 => L4::Ports { source: first, destination: second },
            _ => L4::Icmp { kind: a, code: b, id: second },
        }
    }
}

impl<A: Copy + Into<IpAddr>> Node<A> {
    fn new(source: A, destination: A, id: &EntryId) -> Self {
        let EntryId { original, zone, id } = *id;
        let (protocol, l4) = (original.protocol, original.l4.into());
        Node { source, destination, protocol, l4, zone, id, next: NONE, before: NONE }
    }

    fn id(&self) -> EntryId {
        let Node { source, destination, protocol, l4, zone, id, .. } = *self;
        let (source, destination, l4) = (source.into(), destination.into(), l4.into());
        EntryId { original: Tuple { source, destination, protocol, l4 }, zone, id }
    }
}

#[derive(Clone, Debug)]
struct Page<A> {
    nodes: Vec<Node<A>>,
    by_identity: HashTable<u32>,
    /// The first node of each source, in whatever zone.
    chains: HashTable<u32>,
}

impl<A> Default for Page<A> {
    fn default() -> Self {
        Page { nodes: Vec::new(), by_identity: HashTable::new(), chains: HashTable::new() }
    }
}

impl<A: Copy + Eq + Hash + Into<IpAddr>> Page<A> {
    fn insert(&mut self, identify: &Identify, fingerprint: u64, mut node: Node<A>) {
        if self.place(identify, fingerprint).is_some() {
            return;
        }
        let Page { nodes, by_identity, chains } = self;
        make_room(by_identity, |p| identify.id(&nodes[*p as usize].id()));
        make_room(chains, |p| identify.any(nodes[*p as usize].source));
        let place = nodes.len() as u32;
        let of = |place: &u32| nodes[*place as usize].source;
        match chains.entry(identify.any(node.source), |p| of(p) == node.source, |p| identify.any(of(p))) {
            Entry::Occupied(mut first) => node.next = std::mem::replace(first.get_mut(), place),
            Entry::Vacant(vacant) => {
                vacant.insert(place);
            }
        }
        if let Some(next) = nodes.get_mut(node.next as usize) {
            next.before = place;
        }
        nodes.push(node);
        by_identity.insert_unique(fingerprint, place, |p| identify.id(&nodes[*p as usize].id()));
    }

    fn place(&self, identify: &Identify, fingerprint: u64) -> Option<u32> {
        let is = |place: &u32| identify.id(&self.nodes[*place as usize].id()) == fingerprint;
        self.by_identity.find(fingerprint, is).copied()
    }

    fn remove(&mut self, identify: &Identify, fingerprint: u64) {
        let Some(place) = self.place(identify, fingerprint) else { return };
        if let Ok(known) = self.by_identity.find_entry(fingerprint, |p| *p == place) {
            known.remove();
        }
        let Node { source, next, before, .. } = self.nodes[place as usize];
        self.lead(identify, source, before, place, next);
        if let Some(next) = self.nodes.get_mut(next as usize) {
            next.before = before;
        }
        self.nodes.swap_remove(place as usize);
        self.moved(identify, self.nodes.len() as u32, place);
        self.shrink(identify);
    }

    /// Makes the link to `from` in the chain of `source`, which is in the node `before` or the table of chains, lead
    /// to `to`.
    fn lead(&mut self, identify: &Identify, source: A, before: u32, from: u32, to: u32) {
        if let Some(before) = self.nodes.get_mut(before as usize) {
            before.next = to;
            return;
        }
        if let Ok(mut first) = self.chains.find_entry(identify.any(source), |p| *p == from) {
            *first.get_mut() = to;
            if to == NONE {
                first.remove();
            }
        }
    }

    /// The node that was at `from` fills the gap at `to`.
    fn moved(&mut self, identify: &Identify, from: u32, to: u32) {
        let Some(Node { source, next, before, .. }) = self.nodes.get(to as usize).copied() else { return };
        let fingerprint = identify.id(&self.nodes[to as usize].id());
        if let Some(place) = self.by_identity.find_mut(fingerprint, |p| *p == from) {
            *place = to;
        }
        self.lead(identify, source, before, from, to);
        if let Some(next) = self.nodes.get_mut(next as usize) {
            next.before = to;
        }
    }

    fn shrink(&mut self, identify: &Identify) {
        let Page { nodes, by_identity, chains } = self;
        let few = |len: usize, capacity: usize| capacity > WORTH_IT && len < capacity / 8;
        if few(nodes.len(), nodes.capacity()) {
            nodes.shrink_to(nodes.len() * 2);
        }
        if few(by_identity.len(), by_identity.capacity()) {
            by_identity.shrink_to(by_identity.len() * 2, |p| identify.id(&nodes[*p as usize].id()));
        }
        if few(chains.len(), chains.capacity()) {
            chains.shrink_to(chains.len() * 2, |p| identify.any(nodes[*p as usize].source));
        }
    }

    fn of(&self, identify: &Identify, source: A) -> impl Iterator<Item = &Node<A>> {
        let is = |place: &u32| self.nodes[*place as usize].source == source;
        let first = self.chains.find(identify.any(source), is).map(|place| &self.nodes[*place as usize]);
        std::iter::successors(first, |node| self.nodes.get(node.next as usize))
    }
}

/// Lays a table out anew where it is filled up by what was removed from it, instead of letting it double for that, as
/// hashbrown does where more than half of it is there (`reserve_rehash`). One that is five sixths full may double.
fn make_room(table: &mut HashTable<u32>, hash: impl Fn(&u32) -> u64) {
    // Seven of eight are what hashbrown fills at most.
    let most = table.num_buckets() / 8 * 7;
    if table.len() < table.capacity() || table.len() > most / 6 * 5 {
        return;
    }
    let mut anew = HashTable::with_capacity(most);
    table.iter().for_each(|place| {
        anew.insert_unique(hash(place), *place, &hash);
    });
    *table = anew;
}

impl EntryIndex {
    /// Nothing is known yet; `identify` is that of the fingerprints.
    pub fn new(identify: Identify) -> Self {
        EntryIndex { identify, v4: Page::default(), v6: Page::default() }
    }

    /// An entry of this fingerprint is there.
    pub fn insert(&mut self, fingerprint: u64, id: &EntryId) {
        match (id.original.source, id.original.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.v4.insert(&self.identify, fingerprint, Node::new(source, destination, id));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.v6.insert(&self.identify, fingerprint, Node::new(source, destination, id));
            }
            // The kernel has no tuple of two families.
            _ => {}
        }
    }

    /// An entry of this source is gone.
    pub fn remove(&mut self, fingerprint: u64, source: IpAddr) {
        match source {
            IpAddr::V4(_) => self.v4.remove(&self.identify, fingerprint),
            IpAddr::V6(_) => self.v6.remove(&self.identify, fingerprint),
        }
    }

    /// Identity of the entry with this fingerprint, of this source.
    pub fn get(&self, fingerprint: u64, source: IpAddr) -> Option<EntryId> {
        match source {
            IpAddr::V4(_) => {
                self.v4.place(&self.identify, fingerprint).map(|place| self.v4.nodes[place as usize].id())
            }
            IpAddr::V6(_) => {
                self.v6.place(&self.identify, fingerprint).map(|place| self.v6.nodes[place as usize].id())
            }
        }
    }

    /// Every entry of a source, of all zones or one; `None` where the source has more than `most` in all of them.
    pub fn of(&self, source: IpAddr, zone: Option<u16>, most: usize) -> Option<Vec<EntryId>> {
        let all: Vec<EntryId> = match source {
            IpAddr::V4(source) => self.v4.of(&self.identify, source).take(most + 1).map(Node::id).collect(),
            IpAddr::V6(source) => self.v6.of(&self.identify, source).take(most + 1).map(Node::id).collect(),
        };
        let wanted = |id: &EntryId| zone.is_none_or(|zone| id.zone == zone);
        (all.len() <= most).then(|| all.into_iter().filter(wanted).collect())
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        (self.v4, self.v6) = (Page::default(), Page::default());
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.v4.nodes.len() + self.v6.nodes.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[path = "entry_index_tests.rs"]
mod tests;
