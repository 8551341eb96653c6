//! Counts of entries by protocol and state.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, TcpState};
use super::tuple::ProtocolGroup;

/// Entries of one protocol in one state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// `tcp`, `udp`, `icmp` or `other`.
    pub protocol: String,
    /// Of TCP its state (`syn-sent`), of all else `unreplied`, `replied` or `assured`.
    pub state: String,
    /// Number of entries.
    pub entries: u64,
}

/// The states of TCP by the kernel's number; the last is for numbers that are none.
const TCP: [&str; 11] = [
    "none",
    "syn-sent",
    "syn-recv",
    "established",
    "fin-wait",
    "close-wait",
    "last-ack",
    "time-wait",
    "close",
    "syn-sent2",
    "unknown",
];
const OTHERS: [&str; 3] = ["udp", "icmp", "other"];
const REPLIES: [&str; 3] = ["unreplied", "replied", "assured"];

/// Counts entries by protocol and state.
#[derive(Clone, Debug, Default)]
pub struct Groups([u64; TCP.len() + OTHERS.len() * REPLIES.len()]);

/// The place of a group among [`Groups`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupPlace(usize);

impl GroupPlace {
    /// Of an entry.
    pub fn of(entry: &Entry) -> Self {
        let group = match ProtocolGroup::of(entry.original.protocol) {
            ProtocolGroup::Tcp => {
                let state = entry.tcp.map_or(TcpState::None, |tcp| tcp.state).to_kernel();
                return GroupPlace(usize::from(state).min(TCP.len() - 1));
            }
            ProtocolGroup::Udp => 0,
            ProtocolGroup::Icmp => 1,
            ProtocolGroup::Other => 2,
        };
        let reply = if entry.status.assured() { 2 } else { usize::from(entry.status.seen_reply()) };
        GroupPlace(TCP.len() + group * REPLIES.len() + reply)
    }

    /// As in [`Group::state`].
    pub fn state(self) -> &'static str {
        match self.0.checked_sub(TCP.len()) {
            None => TCP[self.0],
            Some(place) => REPLIES[place % REPLIES.len()],
        }
    }
}

impl Groups {
    /// Counts one more entry.
    pub fn add(&mut self, place: GroupPlace) {
        self.add_many(place, 1);
    }

    /// Counts `n` more entries.
    pub fn add_many(&mut self, place: GroupPlace, n: u64) {
        self.0[place.0] += n;
    }

    /// All groups, those without entries too: a series that comes and goes cannot be graphed.
    pub fn rows(&self) -> Vec<Group> {
        let tcp = TCP.iter().map(|state| ("tcp", *state));
        let others = OTHERS.iter().flat_map(|protocol| REPLIES.iter().map(move |reply| (*protocol, *reply)));
        let row = |((protocol, state), entries): ((&str, &str), &u64)| Group {
            protocol: protocol.into(),
            state: state.into(),
            entries: *entries,
        };
        tcp.chain(others).zip(&self.0).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{ICMP, Status, TcpInfo, Tuple, UDP};

    #[test]
    fn every_entry_has_one_group() {
        let mut groups = Groups::default();
        let entry = |protocol, status| Entry {
            original: Tuple { protocol, ..Tuple::default() },
            status: Status(status),
            ..Entry::default()
        };
        let tcp = |state| {
            let tcp = Some(TcpInfo { state, flags_original: 0, flags_reply: 0 });
            Entry { tcp, ..entry(6, Status::ASSURED) }
        };
        for seen in [
            tcp(TcpState::TimeWait),
            tcp(TcpState::Unknown(200)),
            entry(6, 0),
            entry(UDP, 0),
            entry(UDP, Status::SEEN_REPLY),
            entry(ICMP, Status::SEEN_REPLY | Status::ASSURED),
            entry(47, Status::ASSURED),
        ] {
            groups.add(GroupPlace::of(&seen));
        }
        let rows = groups.rows();
        assert_eq!(rows.len(), 20);
        let some: Vec<(&str, &str)> = rows
            .iter()
            .filter(|row| row.entries > 0)
            .map(|row| {
                assert_eq!(row.entries, 1);
                (row.protocol.as_str(), row.state.as_str())
            })
            .collect();
        let expected = [
            ("tcp", "none"),
            ("tcp", "time-wait"),
            ("tcp", "unknown"),
            ("udp", "unreplied"),
            ("udp", "replied"),
            ("icmp", "assured"),
            ("other", "assured"),
        ];
        assert_eq!(some, expected);
    }
}
