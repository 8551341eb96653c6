//! The merge of a dump with the events that come while it runs.
//!
//! An identity that an event touched since the dump was asked for is as its last event says; any other is as the dump
//! says. NEW is delivered after the entry is in the hash (`nf_ct_deliver_cached_events`), DESTROY before it leaves
//! (`nf_ct_delete`): so a dump that begins after the listener sees all that the listener was not told.

use std::collections::HashMap;

use super::entry_index::EntryIndex;
use super::ledger::{BuildAsIs, Identify, Ledger};
use crate::core::model::{Entry, EntryId, Event, EventKind, ProtocolGroup, SourceKey};

/// Totals since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Tally {
    pub events: u64,
    pub new: u64,
    pub destroyed: u64,
    pub resyncs: u64,
}

#[derive(Clone, Copy, Debug)]
struct Touch {
    alive: bool,
    key: SourceKey,
    group: ProtocolGroup,
}

/// The counts as events keep them, and a dump under way.
#[derive(Debug, Default)]
pub struct Sync {
    identify: Identify,
    ledger: Ledger,
    touched: Option<HashMap<u64, Touch, BuildAsIs>>,
    /// Nothing was forgotten since the last dump.
    remembers: bool,
    tally: Tally,
    now_seconds: u32,
}

impl Sync {
    /// Nothing is known yet.
    pub fn new(identify: Identify) -> Self {
        Sync { identify, ..Sync::default() }
    }

    /// Makes the ledger remember the identities of its entries; so have the dumps that it adopts to.
    pub fn remembering(self) -> Self {
        Sync { ledger: self.ledger.remembering(self.identify.clone()), ..self }
    }

    /// Sets the time at which events from here on are heard.
    pub fn at(&mut self, now_seconds: u32) {
        self.now_seconds = now_seconds;
        self.ledger.hears_since(now_seconds);
    }

    /// Takes an event, in the order of the stream; gives the fingerprint of its entry.
    pub fn event(&mut self, event: &Event) -> u64 {
        self.tally.events += 1;
        let entry = &event.entry;
        let fingerprint = self.identify.entry(entry);
        let alive = match event.kind {
            EventKind::New => true,
            EventKind::Destroy => false,
            EventKind::Update => return fingerprint,
        };
        let (key, group) = (entry.source_key(), ProtocolGroup::of(entry.original.protocol));
        if let Some(touched) = &mut self.touched {
            touched.insert(fingerprint, Touch { alive, key, group });
        }
        if alive {
            self.tally.new += 1;
            self.ledger.born(fingerprint, key, group, self.now_seconds);
            self.ledger.remember(fingerprint, || EntryId::from(entry));
        } else {
            self.tally.destroyed += 1;
            self.ledger.remove(fingerprint, key, group);
        }
        fingerprint
    }

    /// The kernel deleted it because this program asked. In the stream an event says so too where the entry has event
    /// state; that one counts.
    pub fn deleted(&mut self, entry: &Entry) {
        let fingerprint = self.identify.entry(entry);
        let (key, group) = (entry.source_key(), ProtocolGroup::of(entry.original.protocol));
        if let Some(touched) = &mut self.touched {
            touched.entry(fingerprint).or_insert(Touch { alive: false, key, group });
        }
        self.ledger.remove_unheard(fingerprint, key, group);
    }

    /// A dump is about to be asked for: from here on, what events touch is theirs. Forgets an earlier one, and who was
    /// there so far: the dump knows that too, and both at once would take twice the memory.
    pub fn begin(&mut self) {
        self.ledger.forget();
        self.remembers = false;
        self.touched = Some(HashMap::default());
    }

    /// The dump has ended and is good: it becomes the counts, corrected by what events touched meanwhile.
    /// False if no dump was under way.
    pub fn adopt(&mut self, mut dumped: Ledger) -> bool {
        let Some(touched) = self.touched.take() else { return false };
        for (fingerprint, Touch { alive, key, group }) in touched {
            if alive {
                dumped.hear(fingerprint, key, group, self.now_seconds);
                // An entry that an event touched since was born since.
                if let Some(id) = self.ledger.roll().and_then(|roll| roll.get(fingerprint, key.address)) {
                    dumped.remember(fingerprint, || id);
                }
            } else {
                dumped.remove(fingerprint, key, group);
            }
        }
        dumped.keep_past(&self.ledger, self.tally.resyncs == 0, self.now_seconds);
        self.ledger = dumped;
        self.remembers = true;
        self.tally.resyncs += 1;
        true
    }

    /// The dump is worth nothing (events were lost meanwhile, buckets were resized).
    pub fn abandon(&mut self) {
        self.touched = None;
    }

    /// Counts by source.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Identities of its entries, if they are to be remembered and all of them are.
    pub fn roll(&self) -> Option<&EntryIndex> {
        self.ledger.roll().filter(|_| self.remembers)
    }

    /// Totals of the counts.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{L4, Tuple};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn entry(n: u8) -> Entry {
        let l4 = L4::Ports { source: 1, destination: 2 };
        let original =
            Tuple { source: [10, 0, 0, n % 5].into(), destination: [10, 1, 0, n].into(), protocol: 6, l4 };
        Entry { id: 7, original, ..Entry::default() }
    }

    fn event(n: u8, kind: EventKind) -> Event {
        Event { kind, entry: entry(n), foreign: false }
    }

    /// What a kernel does to identity `n`, and whether its end is told.
    #[derive(Clone, Debug)]
    enum Step {
        Toggle(u8),
        SilentEnd(u8),
        /// This program deletes it, and tells so after so many more steps.
        Deleted(u8, usize),
    }

    fn counts(ledger: &Ledger) -> BTreeMap<String, u64> {
        ledger
            .top(0, crate::core::model::SortBy::Entries, 0)
            .into_iter()
            .map(|r| (r.address.to_string(), r.entries))
            .collect()
    }

    fn see(dumped: &mut Ledger, identify: &Identify, n: u8) {
        let (entry, fingerprint) = (entry(n), identify.entry(&entry(n)));
        dumped.insert(fingerprint, entry.source_key(), ProtocolGroup::Tcp, 0);
        dumped.remember(fingerprint, || EntryId::from(&entry));
    }

    /// Who its entries are, as it tells by source.
    fn remembered(sync: &Sync) -> BTreeMap<u8, EntryId> {
        let roll = sync.roll().expect("it remembers");
        let of = |n: u8| roll.of([10, 0, 0, n].into(), None, 20).expect("few");
        let n = |id: &EntryId| match id.original.destination {
            std::net::IpAddr::V4(address) => address.octets()[3],
            std::net::IpAddr::V6(_) => unreachable!("IPv4 alone"),
        };
        let all: Vec<EntryId> = (0..5).flat_map(of).collect();
        assert_eq!(all.len(), roll.len(), "each is found by its source, once");
        all.into_iter().map(|id| (n(&id), id)).collect()
    }

    proptest! {
        /// A modelled kernel of 20 identities, each dumped at a moment of its own while events go on, and told late:
        /// after the merge and the end of the queue, the counts are the kernel's.
        #[test]
        fn a_dump_among_events_counts_each_entry_once(
            before in prop::collection::vec(0u8..20, 0..40),
            blind in prop::collection::hash_set(0u8..20, 0..8),
            during in prop::collection::vec(prop_oneof![3 => (0u8..20).prop_map(Step::Toggle), 1 => (0u8..20).prop_map(Step::SilentEnd), 2 => (0u8..20, 0usize..40).prop_map(|(n, late)| Step::Deleted(n, late))], 0..60),
            visits in prop::collection::vec(0usize..60, 20),
            lag in 0usize..30,
        ) {
            // Entries older than the listener: those in `blind` have no event state and end in silence.
            let mut alive: BTreeMap<u8, bool> = BTreeMap::new();
            for n in before { if alive.remove(&n).is_none() { alive.insert(n, !blind.contains(&n)); } }
            let identify = Identify::default();
            let mut sync = Sync::new(identify.clone()).remembering();
            sync.begin();
            let mut dumped = Ledger::default().remembering(identify.clone());
            let mut queue = std::collections::VecDeque::new();
            let (mut deleted, mut silent): (Vec<(usize, u8)>, _) = (Vec::new(), std::collections::HashSet::new());
            for (at, step) in during.iter().enumerate() {
                for n in (0u8..20).filter(|n| visits[*n as usize] == at && alive.contains_key(n)) {
                    see(&mut dumped, &identify, n);
                }
                match *step {
                    Step::Deleted(n, late) => if let Some(told) = alive.remove(&n) {
                        if told { queue.push_back(event(n, EventKind::Destroy)) }
                        deleted.push((at + late, n));
                        silent.remove(&n);
                    },
                    Step::Toggle(n) => match alive.remove(&n) {
                        Some(true) => queue.push_back(event(n, EventKind::Destroy)),
                        Some(false) => { silent.insert(n); }
                        None => { alive.insert(n, true); queue.push_back(event(n, EventKind::New)) }
                    },
                    // An end in silence before the dump comes by is all that a dump can see of it.
                    Step::SilentEnd(n) => if visits[n as usize] > at && alive.get(&n) == Some(&false) { alive.remove(&n); silent.insert(n); },
                }
                deleted.retain(|(due, n)| *due > at || { sync.deleted(&entry(*n)); false });
                if queue.len() > lag { sync.event(&queue.pop_front().unwrap()); }
            }
            for n in (0u8..20).filter(|n| visits[*n as usize] >= during.len() && alive.contains_key(n)) {
                see(&mut dumped, &identify, n);
            }
            // A blind entry that the dump saw and that ended afterwards is the audit's business, not the merge's.
            let unseen_end = (0u8..20).any(|n| !alive.contains_key(&n) && {
                let mut probe = dumped.clone();
                probe.remove(identify.entry(&entry(n)), entry(n).source_key(), ProtocolGroup::Tcp)
                    && silent.contains(&n)
            });
            prop_assume!(!unseen_end);
            prop_assert!(sync.adopt(dumped));
            // What is told of later than the dump is over is told in any order with the rest of the queue.
            let (first, last): (Vec<_>, Vec<_>) = deleted.into_iter().partition(|(due, _)| due % 2 == 0);
            for (_, n) in first { sync.deleted(&entry(n)); }
            for late in queue { sync.event(&late); }
            for (_, n) in last { sync.deleted(&entry(n)); }
            let mut expected = BTreeMap::new();
            for n in alive.keys() { *expected.entry(entry(*n).original.source.to_string()).or_insert(0) += 1; }
            prop_assert_eq!(counts(sync.ledger()), expected);
            let there: BTreeMap<u8, EntryId> = alive.keys().map(|n| (*n, EntryId::from(&entry(*n)))).collect();
            prop_assert_eq!(remembered(&sync), there);
        }
    }

    #[test]
    fn new_destroy_new_of_one_identity_is_one_entry() {
        let mut sync = Sync::default();
        for kind in [EventKind::New, EventKind::Destroy, EventKind::New] {
            sync.event(&event(1, kind));
        }
        assert_eq!(sync.ledger().entries(), 1);
    }

    #[test]
    fn an_abandoned_dump_changes_nothing_but_who_is_remembered() {
        let identify = Identify::default();
        let ledger = || Ledger::default().remembering(identify.clone());
        let mut sync = Sync::new(identify.clone()).remembering();
        assert!(sync.roll().is_none(), "nobody has looked");
        sync.begin();
        sync.event(&event(1, EventKind::New));
        assert!(sync.adopt(ledger()) && remembered(&sync).len() == 1);
        sync.begin();
        sync.event(&event(2, EventKind::New));
        sync.abandon();
        assert!(!sync.adopt(Ledger::default()));
        assert_eq!(sync.ledger().entries(), 2);
        assert!(sync.roll().is_none(), "the first is not known any more");
        sync.begin();
        let mut dumped = ledger();
        [1, 2].into_iter().for_each(|n| see(&mut dumped, &identify, n));
        assert!(sync.adopt(dumped) && remembered(&sync).len() == 2);
    }
}
