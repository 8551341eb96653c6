//! Puts sources into the order that the operator chose: sorted, folded by prefix, some prefixes unfolded. Pure.

use std::collections::BTreeSet;

use crate::cli::prefix;
use crate::core::model::{SortBy, SourceRow};

/// Largest number of lines in the list: more than an operator scrolls through.
pub const MOST_LINES: usize = 2000;
/// Largest number of sources shown below one prefix.
const MOST_MEMBERS: usize = 200;

/// Identity of a row: the source or prefix as text, and its zone.
pub type Name = (String, Option<u16>);

/// Order and folding of the list of sources.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Arrangement {
    /// Amount to sort by, the greatest first.
    pub rank: SortBy,
    /// True if the least comes first instead. An unknown amount comes last either way.
    pub reversed: bool,
    /// Prefix lengths (IPv4, IPv6) by which sources are folded; `None` shows each source.
    pub prefix: Option<(u8, u8)>,
    /// Prefixes whose sources are shown below them.
    pub unfolded: BTreeSet<Name>,
}

/// A line of the list.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Counts of the source or prefix.
    pub row: SourceRow,
    /// For a prefix, true if its sources are shown below it; `None` for a source.
    pub unfolded: Option<bool>,
    /// True for a source that is shown below its prefix.
    pub member: bool,
}

impl Line {
    /// Returns the identity of the line.
    pub fn name(&self) -> Name {
        (self.row.source.clone(), self.row.zone)
    }
}

/// Arranges `rows`, with shares of `entries`. Returns the lines, and the number of sources or prefixes without the
/// bound.
pub fn arrange(rows: &[SourceRow], entries: u64, how: &Arrangement) -> (Vec<Line>, u64) {
    let plain = |row: SourceRow| Line { row, unfolded: None, member: false };
    let Some(lengths) = how.prefix else {
        let mut sorted: Vec<SourceRow> = rows.to_vec();
        sort(&mut sorted, how, MOST_LINES);
        return (sorted.into_iter().map(plain).collect(), rows.len() as u64);
    };
    // In reversed order the bound would drop the prefixes that come first, so all are kept until they are sorted.
    let limit = if how.reversed { 0 } else { MOST_LINES };
    let (mut sums, total) = prefix::sum(rows, entries, lengths, how.rank, limit);
    if how.reversed {
        sort(&mut sums, how, MOST_LINES);
    }
    let mut lines = Vec::new();
    for sum in sums {
        let unfolded = how.unfolded.contains(&(sum.source.clone(), sum.zone));
        let members = if unfolded { members(rows, &sum, lengths, how) } else { Vec::new() };
        lines.push(Line { row: sum, unfolded: Some(unfolded), member: false });
        lines.extend(members.into_iter().map(|row| Line { row, unfolded: None, member: true }));
    }
    lines.truncate(MOST_LINES);
    (lines, total)
}

/// Sorts the rows, and keeps the first `most` of them.
fn sort(rows: &mut Vec<SourceRow>, how: &Arrangement, most: usize) {
    match how.reversed {
        false => prefix::sort(rows, how.rank),
        true => rows.sort_by(|a, b| {
            let (of_a, of_b) = (how.rank.of(a), how.rank.of(b));
            // `SortBy::of` returns a negative number for an unknown amount.
            let unknown_last = (of_a < 0.0).cmp(&(of_b < 0.0));
            unknown_last.then(of_a.total_cmp(&of_b)).then(a.entries.cmp(&b.entries))
        }),
    }
    rows.truncate(most);
}

fn members(rows: &[SourceRow], sum: &SourceRow, lengths: (u8, u8), how: &Arrangement) -> Vec<SourceRow> {
    let within =
        |row: &&SourceRow| row.zone == sum.zone && prefix::is_within(&row.source, &sum.source, lengths);
    let mut members: Vec<SourceRow> = rows.iter().filter(within).cloned().collect();
    sort(&mut members, how, MOST_MEMBERS);
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;

    fn rows() -> Vec<SourceRow> {
        let mut rows = canned::top_sources(&[
            ("10.0.0.1", 0, 5),
            ("10.0.0.2", 0, 6),
            ("10.0.1.1", 0, 9),
            ("10.0.0.2", 3, 1),
        ])
        .sources;
        rows[0].unreplied = Some(4);
        rows[1].unreplied = Some(3);
        rows
    }

    fn names(how: &Arrangement) -> Vec<String> {
        let show = |line: Line| {
            let mark = line.unfolded.map_or("", |unfolded| if unfolded { "-" } else { "+" });
            format!("{mark}{}{}", if line.member { " " } else { "" }, line.row.source)
        };
        arrange(&rows(), 21, how).0.into_iter().map(show).collect()
    }

    #[test]
    fn sources_are_sorted_as_asked() {
        assert_eq!(names(&Arrangement::default()), ["10.0.1.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"]);
        let by = Arrangement { rank: SortBy::Unreplied, ..Arrangement::default() };
        assert_eq!(names(&by), ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.0.2"]);
    }

    #[test]
    fn reversed_the_least_come_first_and_what_is_not_known_last() {
        let mut how = Arrangement { reversed: true, ..Arrangement::default() };
        assert_eq!(names(&how), ["10.0.0.2", "10.0.0.1", "10.0.0.2", "10.0.1.1"]);
        how.rank = SortBy::Unreplied;
        assert_eq!(names(&how), ["10.0.0.2", "10.0.0.1", "10.0.0.2", "10.0.1.1"]);
        how = Arrangement { prefix: Some((24, 64)), ..how };
        how.rank = SortBy::Entries;
        how.unfolded.insert(("10.0.0.0/24".into(), Some(0)));
        let expected = ["+10.0.0.0/24", "+10.0.1.0/24", "-10.0.0.0/24", " 10.0.0.1", " 10.0.0.2"];
        assert_eq!(names(&how), expected);
    }

    #[test]
    fn reversed_the_least_of_all_are_kept() {
        let many: Vec<String> = (0..3000u32).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect();
        let many: Vec<(&str, u16, u64)> = many.iter().zip(1u64..).map(|(s, n)| (s.as_str(), 0, n)).collect();
        let rows = canned::top_sources(&many).sources;
        for prefix in [None, Some((32, 64))] {
            let how = Arrangement { reversed: true, prefix, ..Arrangement::default() };
            let (lines, total) = arrange(&rows, 1, &how);
            assert_eq!((lines.len(), total, lines[0].row.entries), (MOST_LINES, 3000, 1));
        }
    }

    #[test]
    fn prefixes_fold_and_unfold_in_their_zone() {
        let mut how = Arrangement { prefix: Some((24, 64)), ..Arrangement::default() };
        assert_eq!(names(&how), ["+10.0.0.0/24", "+10.0.1.0/24", "+10.0.0.0/24"]);
        how.unfolded.insert(("10.0.0.0/24".into(), Some(0)));
        let expected = ["-10.0.0.0/24", " 10.0.0.2", " 10.0.0.1", "+10.0.1.0/24", "+10.0.0.0/24"];
        assert_eq!(names(&how), expected);
        assert_eq!(arrange(&rows(), 21, &how).1, 3);
    }
}
