//! `top-sources` as text.

use std::io::{self, Write};

use super::quantity::{count, counted, percent, rate};
use super::table::{self, Column, name, number};
use super::text::paragraph;
use super::{Style, quantity};
use crate::cli::reach::Without;
use crate::model::{Basis, SourceRow, TopSources};

/// Writes a line on where the counts come from (not with `-q`), and the table.
///
/// # Errors
/// The writer's.
pub fn write(
    out: &mut dyn Write,
    top: &TopSources,
    without: Option<&Without>,
    style: &Style,
) -> io::Result<()> {
    if style.verbosity >= 0 {
        paragraph(out, style.width, "", 0, &caption(top, without))?;
    }
    let zones = top.sources.iter().any(|row| row.zone.unwrap_or(0) != 0);
    table::write(out, &columns(zones), &top.sources, style)
}

fn caption(top: &TopSources, without: Option<&Without>) -> String {
    let entries = counted(top.entries, "entry", "entries");
    let sources = counted(top.sources_total, "source", "sources");
    let shown = match top.sources.len() as u64 {
        n if n < top.sources_total => format!(", the first {n} shown"),
        _ => String::new(),
    };
    let basis = match (top.basis, without) {
        (Basis::Agent, _) => "counted by the agent".into(),
        (Basis::Dump, None) => "from a dump of the kernel by the agent".into(),
        (Basis::Dump, Some(without)) => format!("from a dump of the kernel ({without})"),
    };
    let synced = if top.synced { "" } else { "; not in step with the kernel yet" };
    format!("{entries} from {sources}{shown}; {basis}{synced}")
}

fn columns(zones: bool) -> Vec<Column<SourceRow>> {
    let mut columns = vec![name("SOURCE", |row: &SourceRow| row.source.clone())];
    if zones {
        columns.push(number("ZONE", 0, |row| count(row.zone.map(u64::from))));
    }
    let counts: [Column<SourceRow>; 10] = [
        number("ENTRIES", 0, |row| row.entries.to_string()),
        number("SHARE", 6, |row| match percent(row.share_percent).as_str() {
            quantity::UNKNOWN => quantity::UNKNOWN.into(),
            share => share.replace(' ', ""),
        }),
        number("NEW/S", 3, |row| rate(row.new_per_second)),
        number("TCP", 1, |row| row.tcp.to_string()),
        number("UDP", 2, |row| row.udp.to_string()),
        number("ICMP", 8, |row| row.icmp.to_string()),
        number("OTHER", 9, |row| row.other.to_string()),
        number("ASSURED", 7, |row| count(row.assured)),
        number("UNREPLIED", 4, |row| count(row.unreplied)),
        number("IDLE", 5, |row| count(row.idle)),
    ];
    columns.extend(counts);
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;

    fn drawn(width: Option<usize>, top: &TopSources, without: Option<&Without>) -> String {
        let mut out = Vec::new();
        write(&mut out, top, without, &canned::style(width)).expect("memory");
        String::from_utf8(out).expect("text")
    }

    fn top() -> TopSources {
        let mut top =
            canned::top_sources(&[("10.0.0.1", 0, 7000), ("2001:db8:1111:2222:3333:4444:5555:6666", 0, 900)]);
        top.sources[0].new_per_second = Some(12.34);
        top.sources[0].unreplied = Some(17);
        top
    }

    #[test]
    fn piped_is_whole() {
        let expected = "\
7900 entries from 2 sources; counted by the agent
SOURCE                                  ENTRIES  SHARE  NEW/S   TCP  UDP  ICMP  OTHER  UNREPLIED
10.0.0.1                                   7000  88.6%   12.3  7000    0     0      0         17
2001:db8:1111:2222:3333:4444:5555:6666      900  11.4%      -   900    0     0      0          -
";
        assert_eq!(drawn(None, &top(), None), expected);
    }

    #[test]
    fn eighty_columns_lose_the_rarer_protocols() {
        let expected = "\
7900 entries from 2 sources; counted by the agent
SOURCE                                  ENTRIES  NEW/S   TCP  UDP  UNREPLIED
10.0.0.1                                   7000   12.3  7000    0         17
2001:db8:1111:2222:3333:4444:5555:6666      900      -   900    0          -
";
        assert_eq!(drawn(Some(80), &top(), None), expected);
    }

    #[test]
    fn forty_columns_keep_the_address_whole() {
        let expected = "\
7900 entries from 2 sources; counted by
the agent
SOURCE                                  ENTRIES
10.0.0.1                                   7000
2001:db8:1111:2222:3333:4444:5555:6666      900
";
        assert_eq!(drawn(Some(40), &top(), None), expected);
    }

    #[test]
    fn a_dump_says_why_it_is_one() {
        let mut dump = canned::top_sources(&[("10.0.0.1", 0, 1), ("10.0.0.1", 3, 1)]);
        dump.basis = Basis::Dump;
        dump.sources_total = 9;
        let without = Without::NoAgent("/run/ctctl/host.sock".into());
        let expected = "\
2 entries from 9 sources, the first 2 shown; from a dump of the kernel (no agent on /run/ctctl/host.sock)
SOURCE    ZONE  ENTRIES  SHARE  TCP  UDP  ICMP  OTHER
10.0.0.1     0        1  50.0%    1    0     0      0
10.0.0.1     3        1  50.0%    1    0     0      0
";
        assert_eq!(drawn(None, &dump, Some(&without)), expected);
    }

    #[test]
    fn an_empty_table_has_its_header() {
        let text = drawn(None, &canned::top_sources(&[]), None);
        assert!(
            text.starts_with("0 entries from 0 sources; counted by the agent\nSOURCE  ENTRIES"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2);
    }
}
