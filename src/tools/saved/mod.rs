//! A table that was saved as text, on this machine or another: `conntrack -L`, /proc/net/nf_conntrack and similar
//! forms.
//!
//! It is read line by line, so that memory is in proportion to the number of groups counted and not to the file.

mod fields;
mod line;
mod options;
mod ovs;
mod prefix;
mod unknown;
mod xml;

use std::io::{self, BufRead, Read};

use crate::core::model::{Basis, Filters, Header, Netns, Question, Ranking};
use crate::core::state::{GroupCounts, Known};

pub use fields::{NoEntryReason, ShownEntry};
pub use line::entry;
use unknown::{Matched, UnknownStatuses};

/// Longest line that is read, in bytes: no line of any form is nearly this long.
const LONGEST_LINE: u64 = 64 << 10;
/// First bytes of files that are no text (RFC 1952; the magic numbers of xz and Zstandard; UTF-16 with its mark).
const OTHER_FILES: [(&[u8], NoEntryReason); 5] = [
    (b"\x1f\x8b", "compressed: try zcat FILE | ctctl top-sources --input -"),
    (b"\xfd7zXZ", "compressed: try xzcat FILE | ctctl top-sources --input -"),
    (b"\x28\xb5\x2f\xfd", "compressed: try zstdcat FILE | ctctl top-sources --input -"),
    (b"\xff\xfe", UTF16),
    (b"\xfe\xff", UTF16),
];
const UTF16: NoEntryReason = "UTF-16: try iconv -f UTF-16 -t UTF-8 FILE | ctctl top-sources --input -";

/// Result of reading a file.
#[derive(Clone, PartialEq, Debug)]
pub struct Reading {
    /// Ranking of the entries in the file.
    pub ranking: Ranking,
    /// First line that is no entry, counted from 1, with the reason; `None` if there is none.
    pub first_unreadable: Option<(u64, NoEntryReason)>,
}

/// Counts the entries of `text` that match. Idle times cannot be known, because the timeouts that were in force are not
/// in the text. If a filter asks for something that the text does not tell of an entry, the entry is left out and
/// counted as undecided.
///
/// # Errors
/// Those of the reader.
pub fn ranking(
    text: &mut dyn BufRead,
    question: &Question,
    taken_at: String,
    filters: &Filters,
) -> io::Result<Reading> {
    let mut counts = GroupCounts::new(*question);
    let mut unknown = UnknownStatuses::default();
    let (mut number, mut broken, mut first_unreadable) = (0, 0, None);
    let mut bytes = Vec::with_capacity(512);
    while next_line(text, &mut bytes)? {
        number += 1;
        match read(&bytes, number) {
            Ok(Some(shown)) => {
                if unknown.note(&shown, filters, question) == Matched::Yes {
                    counts.add(&shown.entry, Some(false));
                }
            }
            Ok(None) => {}
            Err(why) => {
                broken += 1;
                first_unreadable.get_or_insert((number, why));
            }
        }
    }
    let mut counted = counts.finish(Known::default());
    let not_told = unknown.take_out(&mut counted.rows);
    let ranking = Ranking {
        header: Header { schema: 1, taken_at, netns: Netns::default() },
        basis: Basis::Dump,
        synced: true,
        entries: counted.entries,
        grouping: question.grouping,
        total: counted.total,
        rows: counted.rows,
        names: None,
        unreadable_lines: Some(broken),
        not_told: Some(not_told),
        part_only: false,
    };
    Ok(Reading { ranking, first_unreadable })
}

fn read(bytes: &[u8], number: u64) -> Result<Option<ShownEntry>, NoEntryReason> {
    if number == 1
        && let Some((_, what)) = OTHER_FILES.iter().find(|(begins, _)| bytes.starts_with(begins))
    {
        return Err(what);
    }
    match std::str::from_utf8(bytes) {
        _ if bytes.len() as u64 > LONGEST_LINE => Err("too long"),
        Ok(line) if line.contains('\x1b') => {
            Err("colours of a terminal (grep --color=never leaves them out)")
        }
        Ok(line) => entry(line, line.ends_with('\n')),
        Err(_) => Err("not text"),
    }
}

/// Reads the next line, at most one byte over the bound; returns false at the end.
fn next_line(text: &mut dyn BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    if text.take(LONGEST_LINE + 1).read_until(b'\n', bytes)? == 0 {
        return Ok(false);
    }
    if bytes.last() != Some(&b'\n') && bytes.len() as u64 > LONGEST_LINE {
        text.skip_until(b'\n')?;
    }
    Ok(true)
}

impl Reading {
    /// True if no line was an entry, and some line was neither an entry nor empty.
    pub fn holds_no_entry(&self) -> bool {
        self.ranking.total == 0 && self.first_unreadable.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Grouping;

    fn read(text: &[u8]) -> Reading {
        let mut text = text;
        ranking(&mut text, &Question::default(), "then".into(), &Filters::default()).expect("memory")
    }

    fn udp(source: &str) -> String {
        format!(
            "udp 17 1 src={source} dst=192.0.2.1 sport=1 dport=2 src=192.0.2.1 dst={source} sport=2 dport=1 use=1\n"
        )
    }

    #[test]
    fn a_broken_line_is_counted_and_loses_nothing_else() {
        let mut text = udp("10.0.0.1").into_bytes();
        text.extend(b"udp 17 1 src=10.0.0.1 d\n\xff\xfe\n");
        text.extend(vec![b'x'; 3 * LONGEST_LINE as usize]);
        text.extend(b"\n\n");
        text.extend(udp("10.0.0.2").bytes());
        // The last line has no newline, as in a file that was cut.
        text.extend(udp("10.0.0.1").trim_end().bytes());
        let read = read(&text);
        assert_eq!((read.ranking.entries, read.ranking.total), (3, 2));
        assert_eq!(read.ranking.unreadable_lines, Some(3));
        assert_eq!(read.first_unreadable, Some((2, "a direction without both addresses")));
        assert!(!read.holds_no_entry());
        let row = &read.ranking.rows[0];
        assert_eq!((row.source.as_str(), row.entries, row.idle), ("10.0.0.1", 2, None));
    }

    #[test]
    fn a_file_that_ends_within_a_line_has_one_line_less() {
        let text = udp("10.0.0.1") + &udp("10.0.0.2");
        let last = text.trim_end().rfind("10.0.0.2").expect("there");
        for end in [last, last + 8, last + 18, text.len() - 7] {
            let read = read(&text.as_bytes()[..end]);
            assert_eq!((read.ranking.entries, read.ranking.unreadable_lines), (1, Some(1)), "{end}");
            assert_eq!(read.first_unreadable.map(|(line, _)| line), Some(2), "{end}");
        }
    }

    #[test]
    fn an_empty_table_is_one_and_another_file_is_none() {
        assert!(!read(b"").holds_no_entry());
        assert!(read(b"root:x:0:0::/root:/bin/bash\n").holds_no_entry());
    }

    #[test]
    fn groups_other_than_sources_come_from_text_as_well() {
        let question = Question { grouping: Grouping::Service, ..Question::default() };
        let text = udp("10.0.0.1");
        let read = ranking(&mut text.as_bytes(), &question, "then".into(), &Filters::default());
        let read = read.expect("memory");
        assert_eq!(read.ranking.rows[0].source, "udp/2");
    }
}
