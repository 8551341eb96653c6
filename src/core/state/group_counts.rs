//! Entries counted by what they have in common: memory in proportion to groups, whatever they hold.

use std::cmp::Reverse;

use hashbrown::HashMap;

use crate::core::model::{Entry, GroupKey, ProtocolGroup, Question, SortBy, SourceRow};

/// One group. 32 bits: nf_conntrack_max is one of the kernel's `int`.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    tcp: u32,
    udp: u32,
    icmp: u32,
    other: u32,
    assured: u32,
    unreplied: u32,
    idle: u32,
    idle_unknown: u32,
    born: u32,
}

impl Counts {
    fn entries(&self) -> u64 {
        [self.tcp, self.udp, self.icmp, self.other].map(u64::from).iter().sum()
    }
}

/// Counts entries, one by one.
#[derive(Debug)]
pub struct GroupCounts {
    question: Question,
    groups: HashMap<GroupKey, Counts>,
    entries: u64,
}

/// Figures that could be known of each group.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Known {
    /// Idleness was judged.
    pub idle: bool,
    /// Seconds for which new entries were listened to; `None` if they were not.
    pub listened_seconds: Option<f64>,
}

/// Ranked groups, with the totals.
#[derive(Clone, PartialEq, Debug)]
pub struct Counted {
    /// Entries of all groups.
    pub entries: u64,
    /// Number of groups.
    pub total: u64,
    /// The greatest, by what was asked.
    pub rows: Vec<SourceRow>,
}

impl GroupCounts {
    /// Nothing is counted yet.
    pub fn new(question: Question) -> GroupCounts {
        GroupCounts { question, groups: HashMap::new(), entries: 0 }
    }

    /// An entry is there; `idle`: it may go, if that is known.
    pub fn add(&mut self, entry: &Entry, idle: Option<bool>) {
        self.entries += 1;
        let counts = self.groups.entry(GroupKey::of(entry, &self.question)).or_default();
        let of_protocol = match ProtocolGroup::of(entry.original.protocol) {
            ProtocolGroup::Tcp => &mut counts.tcp,
            ProtocolGroup::Udp => &mut counts.udp,
            ProtocolGroup::Icmp => &mut counts.icmp,
            ProtocolGroup::Other => &mut counts.other,
        };
        let bump = |n: &mut u32, yes: bool| *n = n.saturating_add(u32::from(yes));
        bump(of_protocol, true);
        bump(&mut counts.assured, entry.status.assured());
        bump(&mut counts.unreplied, !entry.status.seen_reply());
        bump(&mut counts.idle, idle == Some(true));
        bump(&mut counts.idle_unknown, idle.is_none());
    }

    /// Counts entries anew. What began while somebody listened stays counted.
    pub fn recount(&mut self) {
        self.entries = 0;
        self.groups.retain(|_, counts| {
            *counts = Counts { born: counts.born, ..Counts::default() };
            counts.born > 0
        });
    }

    /// An entry began while somebody listened; whether it is there is another question.
    pub fn born(&mut self, entry: &Entry) {
        let counts = self.groups.entry(GroupKey::of(entry, &self.question)).or_default();
        counts.born = counts.born.saturating_add(1);
    }

    /// The greatest groups, ties by entries, then by key.
    pub fn finish(self, known: Known) -> Counted {
        let Question { rank, limit, .. } = self.question;
        let amount = |counts: &Counts| match rank {
            SortBy::Entries => counts.entries(),
            SortBy::New => counts.born.into(),
            SortBy::Unreplied => counts.unreplied.into(),
            SortBy::Idle => counts.idle.into(),
        };
        let total = self.groups.len() as u64;
        let mut groups: Vec<(GroupKey, Counts)> = self.groups.into_iter().collect();
        let order =
            |(key, counts): &(GroupKey, Counts)| (Reverse(amount(counts)), Reverse(counts.entries()), *key);
        if limit > 0 && limit < groups.len() {
            groups.select_nth_unstable_by_key(limit - 1, order);
            groups.truncate(limit);
        }
        groups.sort_unstable_by_key(order);
        let rows = groups.iter().map(|(key, counts)| row(key, counts, self.entries, known)).collect();
        Counted { entries: self.entries, total, rows }
    }
}

fn row(key: &GroupKey, counts: &Counts, all: u64, known: Known) -> SourceRow {
    // Three decimals say all that a rate or a share can.
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    let entries = counts.entries();
    SourceRow {
        source: key.to_string(),
        zone: key.zone(),
        entries,
        share_percent: rounded(100.0 * entries as f64 / all.max(1) as f64),
        new_per_second: known.listened_seconds.map(|s| rounded(f64::from(counts.born) / s.max(0.001))),
        tcp: counts.tcp.into(),
        udp: counts.udp.into(),
        icmp: counts.icmp.into(),
        other: counts.other.into(),
        assured: Some(counts.assured.into()),
        unreplied: Some(counts.unreplied.into()),
        // That none is idle is known only where nothing of it is unknown.
        idle: (known.idle && (counts.idle > 0 || counts.idle_unknown == 0)).then_some(counts.idle.into()),
        idle_unknown: known.idle.then_some(counts.idle_unknown.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Grouping, L4, Status, TCP, Tuple, UDP};

    fn entry(source: [u8; 4], protocol: u8, port: u16, status: u32) -> Entry {
        let l4 = L4::Ports { source: 1000, destination: port };
        let original = Tuple { source: source.into(), destination: [192, 0, 2, 1].into(), protocol, l4 };
        let l4 = L4::Ports { source: port, destination: 1000 };
        let reply = Tuple { source: original.destination, destination: original.source, protocol, l4 };
        Entry { original, reply: Some(reply), status: Status(status), ..Entry::default() }
    }

    fn counted(question: Question, entries: &[Entry]) -> Vec<(String, Option<u16>, u64)> {
        let mut counts = GroupCounts::new(question);
        entries.iter().for_each(|entry| counts.add(entry, Some(entry.status.assured())));
        let rows = counts.finish(Known { idle: true, listened_seconds: None }).rows;
        rows.into_iter().map(|row| (row.source, row.zone, row.entries)).collect()
    }

    fn by(grouping: Grouping) -> Question {
        Question { grouping, ..Question::default() }
    }

    #[test]
    fn every_group_has_its_key() {
        let mut entries = vec![
            entry([10, 0, 0, 1], TCP, 443, Status::SEEN_REPLY | Status::ASSURED),
            entry([10, 0, 0, 2], UDP, 53, 0),
            entry([10, 0, 1, 2], UDP, 53, 0),
            entry([10, 0, 1, 2], 99, 7, 0),
        ];
        entries[0].reply.as_mut().expect("there").destination = [198, 51, 100, 1].into();
        entries[0].status.0 |= Status::SRC_NAT;
        entries[1].zone = 7;
        entries[1].mark = 0x10;
        entries[3].original.l4 = L4::None;
        entries[3].reply.as_mut().expect("there").l4 = L4::None;
        let keys = |question| counted(question, &entries);
        let some = |key: &str, zone, n| (key.to_string(), Some(zone), n);
        let none = |key: &str, n| (key.to_string(), None, n);
        assert_eq!(
            keys(by(Grouping::Source)),
            [some("10.0.1.2", 0, 2), some("10.0.0.1", 0, 1), some("10.0.0.2", 7, 1)]
        );
        assert_eq!(keys(by(Grouping::Destination)), [some("192.0.2.1", 0, 3), some("192.0.2.1", 7, 1)]);
        assert_eq!(keys(by(Grouping::Service)), [none("udp/53", 2), none("tcp/443", 1), none("99", 1)]);
        assert_eq!(
            keys(by(Grouping::NatSource)),
            [some("none", 0, 2), some("198.51.100.1", 0, 1), some("none", 7, 1)]
        );
        assert_eq!(keys(by(Grouping::Zone)), [some("0", 0, 3), some("7", 7, 1)]);
        assert_eq!(keys(by(Grouping::Mark)), [none("0", 3), none("16", 1)]);
        let question = Question { prefix: Some((24, 64)), limit: 1, ..Question::default() };
        assert_eq!(keys(question), [some("10.0.1.0/24", 0, 2)]);
    }

    #[test]
    fn rows_are_sorted_as_asked_and_ties_by_address() {
        let assured = Status::SEEN_REPLY | Status::ASSURED;
        let entries = [
            entry([10, 0, 0, 9], TCP, 1, 0),
            entry([10, 0, 0, 9], TCP, 2, 0),
            entry([10, 0, 0, 1], TCP, 1, assured),
            entry([10, 0, 0, 1], TCP, 2, assured),
            entry([10, 0, 0, 1], TCP, 3, assured),
            entry([10, 0, 0, 2], TCP, 3, 0),
        ];
        let ranked = |rank, limit| {
            let rows = counted(Question { rank, limit, ..Question::default() }, &entries);
            rows.into_iter().map(|row| row.0).collect::<Vec<_>>()
        };
        assert_eq!(ranked(SortBy::Entries, 0), ["10.0.0.1", "10.0.0.9", "10.0.0.2"]);
        assert_eq!(ranked(SortBy::Unreplied, 0), ["10.0.0.9", "10.0.0.2", "10.0.0.1"]);
        assert_eq!(ranked(SortBy::Idle, 0), ["10.0.0.1", "10.0.0.9", "10.0.0.2"]);
        assert_eq!(ranked(SortBy::Unreplied, 1), ["10.0.0.9"]);
    }

    #[test]
    fn that_nothing_is_idle_is_said_only_where_it_is_known_of_every_entry() {
        let mut counts = GroupCounts::new(Question { rank: SortBy::Idle, ..Question::default() });
        let of = |last| entry([10, 0, 0, last], TCP, 1, 0);
        for (last, idle) in
            [(1, None), (1, None), (1, Some(false)), (2, Some(false)), (3, Some(true)), (3, None)]
        {
            counts.add(&of(last), idle);
        }
        let rows = counts.finish(Known { idle: true, listened_seconds: None }).rows;
        let told: Vec<_> = rows.iter().map(|row| (row.source.as_str(), row.idle, row.idle_unknown)).collect();
        let expected =
            [("10.0.0.3", Some(1), Some(1)), ("10.0.0.1", None, Some(2)), ("10.0.0.2", Some(0), Some(0))];
        assert_eq!(told, expected);
    }

    #[test]
    fn births_are_a_rate_and_no_entries() {
        let mut counts = GroupCounts::new(Question { rank: SortBy::New, ..Question::default() });
        counts.add(&entry([10, 0, 0, 1], TCP, 1, 0), Some(false));
        for port in 0..10 {
            counts.born(&entry([10, 0, 0, 2], TCP, port, 0));
        }
        let counted = counts.finish(Known { idle: false, listened_seconds: Some(2.0) });
        assert_eq!((counted.entries, counted.total), (1, 2));
        let row = &counted.rows[0];
        assert_eq!((row.source.as_str(), row.entries, row.new_per_second), ("10.0.0.2", 0, Some(5.0)));
        assert_eq!((row.idle, counted.rows[1].new_per_second), (None, Some(0.0)));
    }
}
