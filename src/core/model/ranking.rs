//! Groups that fill the table, by whatever entries have in common.

use std::fmt;

use ipnet::IpNet;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::answer::{Basis, Header, SourceRow, TopSources};
use super::entry::Entry;
use super::protocol::protocol_name;
use super::tuple::GRE;

/// Feature by which entries are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// Source of the original direction.
    #[default]
    Source,
    /// Destination of the original direction, as the client addressed it.
    Destination,
    /// Protocol and destination port of the original direction.
    Service,
    /// The address that the source is translated to.
    NatSource,
    /// Zone of the original direction.
    Zone,
    /// The mark, `CTA_MARK`.
    Mark,
}

impl Grouping {
    /// True if its keys are addresses, which prefixes can sum and a resolver can name.
    pub fn of_addresses(self) -> bool {
        matches!(self, Grouping::Source | Grouping::Destination | Grouping::NatSource)
    }
}

/// Figure that groups are sorted by, the greatest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SortBy {
    /// Number of entries.
    #[default]
    Entries,
    /// New entries a second.
    New,
    /// Entries that never had a reply.
    Unreplied,
    /// Entries that are idle for certain past their class's floor, with nothing that protects them.
    Idle,
}

impl SortBy {
    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            SortBy::Entries => "entries",
            SortBy::New => "new",
            SortBy::Unreplied => "unreplied",
            SortBy::Idle => "idle",
        }
    }

    /// A row's amount; what is not known is the least.
    pub fn of(self, row: &SourceRow) -> f64 {
        let count = |n: Option<u64>| n.map_or(-1.0, |n| n as f64);
        match self {
            SortBy::Entries => row.entries as f64,
            SortBy::New => row.new_per_second.unwrap_or(-1.0),
            SortBy::Unreplied => count(row.unreplied),
            SortBy::Idle => count(row.idle),
        }
    }
}

/// Question of `top-sources`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Question {
    /// By what entries are counted.
    pub grouping: Grouping,
    /// By what groups are sorted.
    pub rank: SortBy,
    /// Lengths of IPv4 and IPv6 prefixes; `None`: whole addresses.
    pub prefix: Option<(u8, u8)>,
    /// Number of groups; 0 is all.
    pub limit: usize,
}

/// Feature that the entries of one group have in common. Sorted by address, number, zone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum GroupKey {
    /// An address or a prefix, in its zone.
    Prefix(IpNet, u16),
    /// No translation of the source, in its zone.
    Untranslated(u16),
    /// Protocol number, and the port where the protocol has one.
    Service(u8, Option<u16>),
    /// Number of a zone.
    Zone(u16),
    /// Value of a mark.
    Mark(u32),
}

impl GroupKey {
    /// The group of an entry.
    pub fn of(entry: &Entry, question: &Question) -> GroupKey {
        let prefix = |address: std::net::IpAddr| {
            let net = IpNet::from(address);
            let shorter = question
                .prefix
                .and_then(|(v4, v6)| IpNet::new(address, if address.is_ipv4() { v4 } else { v6 }).ok());
            GroupKey::Prefix(shorter.map_or(net, |net| net.trunc()), entry.zone)
        };
        match question.grouping {
            Grouping::Source => prefix(entry.original.source),
            Grouping::Destination => prefix(entry.original.destination),
            Grouping::Service => {
                // The second number of GRE is a key, not a service.
                let port = entry.original.destination_port().filter(|_| entry.original.protocol != GRE);
                GroupKey::Service(entry.original.protocol, port)
            }
            Grouping::NatSource => match entry.source_nat() {
                Some(reply) => prefix(reply.destination),
                None => GroupKey::Untranslated(entry.zone),
            },
            Grouping::Zone => GroupKey::Zone(entry.zone),
            Grouping::Mark => GroupKey::Mark(entry.mark),
        }
    }

    /// The zone that it belongs to, where it is of one.
    pub fn zone(&self) -> Option<u16> {
        match *self {
            GroupKey::Prefix(_, zone) | GroupKey::Untranslated(zone) | GroupKey::Zone(zone) => Some(zone),
            GroupKey::Service(..) | GroupKey::Mark(_) => None,
        }
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupKey::Prefix(net, _) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            GroupKey::Prefix(net, _) => net.fmt(f),
            GroupKey::Untranslated(_) => f.write_str("none"),
            GroupKey::Service(protocol, port) => {
                match protocol_name(*protocol) {
                    Some(name) => f.write_str(name)?,
                    None => protocol.fmt(f)?,
                }
                port.map_or(Ok(()), |port| write!(f, "/{port}"))
            }
            GroupKey::Zone(zone) => zone.fmt(f),
            // As conntrack(8) prints it.
            GroupKey::Mark(mark) => mark.fmt(f),
        }
    }
}

/// `top-sources`, whatever it groups by. Printed with `sources`, or with `group` and `rows` instead.
#[derive(Clone, PartialEq, Debug)]
pub struct Ranking {
    /// Head of the document.
    pub header: Header,
    /// Source of the counts.
    pub basis: Basis,
    /// The counts are the kernel's.
    pub synced: bool,
    /// Entries that were counted.
    pub entries: u64,
    /// Feature that they are grouped by.
    pub grouping: Grouping,
    /// Groups, those that are not among the rows too.
    pub total: u64,
    /// The greatest groups. `source` is the group's key.
    pub rows: Vec<SourceRow>,
    /// The rows' names, where they were asked for.
    pub names: Option<Vec<Option<String>>>,
    /// Lines of a file that are no entries, where it was a file.
    pub unreadable_lines: Option<u64>,
    /// Facts that a file does not tell of its entries, where it was a file.
    pub not_told: Option<NotTold>,
    /// Counted from a dump from which entries may be missing. Not printed: `synced` is false then, and the exit code 3.
    pub part_only: bool,
}

/// Entries of which a text does not tell the status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UnknownStatus {
    /// Entries of which it does not tell whether they are ASSURED.
    pub assured: u64,
    /// Entries of which it does not tell whether they had a reply.
    pub unreplied: u64,
}

/// Facts that a text does not tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NotTold {
    /// Of the entries of each row.
    pub rows: Vec<UnknownStatus>,
    /// Of all that were counted.
    pub all: UnknownStatus,
    /// Entries that were left out, because a filter asks for what is not told of them.
    pub undecided: u64,
}

impl From<TopSources> for Ranking {
    fn from(top: TopSources) -> Ranking {
        Ranking {
            header: top.header,
            basis: top.basis,
            synced: top.synced,
            entries: top.entries,
            grouping: Grouping::Source,
            total: top.sources_total,
            rows: top.sources,
            names: None,
            unreadable_lines: None,
            not_told: None,
            part_only: false,
        }
    }
}

impl Ranking {
    /// Rows, each with its name: nothing where names were not asked for, `Some(None)` where there is none.
    pub fn named_rows(&self) -> impl Iterator<Item = (&SourceRow, Option<Option<&str>>)> {
        let name = |at: usize| Some(self.names.as_ref()?.get(at).and_then(Option::as_deref));
        self.rows.iter().enumerate().map(move |(at, row)| (row, name(at)))
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    header: &'a Header,
    basis: Basis,
    synced: bool,
    entries: u64,
    sources_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable_lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assured_unknown: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreplied_unknown: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undecided: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Grouping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<Vec<Row<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<Row<'a>>>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Option<&'a str>>,
    zone: Option<u16>,
    entries: u64,
    share_percent: f64,
    new_per_second: Option<f64>,
    tcp: u64,
    udp: u64,
    icmp: u64,
    other: u64,
    assured: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assured_unknown: Option<u64>,
    unreplied: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreplied_unknown: Option<u64>,
    idle: Option<u64>,
    idle_unknown: Option<u64>,
}

impl Serialize for Ranking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by_source = self.grouping == Grouping::Source;
        let unknown = |at: usize| self.not_told.as_ref().and_then(|not_told| not_told.rows.get(at));
        let rows = self.named_rows().enumerate();
        let rows: Vec<Row<'_>> = rows.map(|(at, (row, name))| self.row(row, name, unknown(at))).collect();
        let (sources, rows) = if by_source { (Some(rows), None) } else { (None, Some(rows)) };
        Document {
            header: &self.header,
            basis: self.basis,
            synced: self.synced,
            entries: self.entries,
            // Sources are not counted where something else is.
            sources_total: by_source.then_some(self.total),
            unreadable_lines: self.unreadable_lines,
            assured_unknown: self.not_told.as_ref().map(|not_told| not_told.all.assured),
            unreplied_unknown: self.not_told.as_ref().map(|not_told| not_told.all.unreplied),
            undecided: self.not_told.as_ref().map(|not_told| not_told.undecided),
            group: (!by_source).then_some(self.grouping),
            rows_total: (!by_source).then_some(self.total),
            sources,
            rows,
        }
        .serialize(serializer)
    }
}

impl Ranking {
    fn row<'a>(
        &self,
        row: &'a SourceRow,
        name: Option<Option<&'a str>>,
        unknown: Option<&UnknownStatus>,
    ) -> Row<'a> {
        let by_source = self.grouping == Grouping::Source;
        Row {
            source: by_source.then_some(&row.source),
            key: (!by_source).then_some(&row.source),
            name,
            zone: row.zone,
            entries: row.entries,
            share_percent: row.share_percent,
            new_per_second: row.new_per_second,
            tcp: row.tcp,
            udp: row.udp,
            icmp: row.icmp,
            other: row.other,
            assured: row.assured,
            assured_unknown: unknown.map(|unknown| unknown.assured).filter(|n| *n > 0),
            unreplied: row.unreplied,
            unreplied_unknown: unknown.map(|unknown| unknown.unreplied).filter(|n| *n > 0),
            idle: row.idle,
            idle_unknown: row.idle_unknown,
        }
    }
}

#[cfg(test)]
#[path = "ranking_tests.rs"]
mod tests;
