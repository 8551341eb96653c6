//! The ranking of `top-sources` as text.

use std::io::{self, Write};

use super::quantity::{count, counted, percent, rate};
use super::table::{self, Column, name, number};
use super::text::paragraph;
use super::{Style, quantity};
use crate::cli::reach::NoAnswer;
use crate::core::model::{Basis, Grouping, NotTold, Ranking, SourceRow};

/// Number of lines beside the rows: the caption may take two, and the header one; the cursor stands on the last.
pub const LINES_AROUND: usize = 4;

/// Origin of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Counts of the agent.
    Agent,
    /// A dump of the kernel; holds the reason why the agent gave no answer.
    Kernel(NoAnswer),
    /// A file of this name.
    File(String),
}

impl Origin {
    /// Returns the agent unless there is a reason why it gave no answer.
    pub fn from_reason(without: Option<NoAnswer>) -> Origin {
        without.map_or(Origin::Agent, Origin::Kernel)
    }
}

/// A row and its name; the outer `None` if names were not asked for, the inner if the row has none.
type Named<'a> = (&'a SourceRow, Option<Option<&'a str>>);

/// Writes a line on the origin of the counts (not with `-q`), and the table.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, top: &Ranking, origin: &Origin, style: &Style) -> io::Result<()> {
    if style.verbosity >= 0 {
        paragraph(out, style.width, "", 0, &caption(top, origin))?;
    }
    let zones = top.grouping != Grouping::Zone && top.rows.iter().any(|row| row.zone.unwrap_or(0) != 0);
    let rows: Vec<Named<'_>> = top.named_rows().collect();
    table::write(out, &columns(top, zones, origin), &rows, style)
}

fn caption(top: &Ranking, origin: &Origin) -> String {
    let entries = counted(top.entries, "entry", "entries");
    let (one, many) = match top.grouping {
        Grouping::Source => ("source", "sources"),
        Grouping::Destination => ("destination", "destinations"),
        Grouping::Service => ("service", "services"),
        Grouping::NatSource => ("translated source", "translated sources"),
        Grouping::Zone => ("zone", "zones"),
        Grouping::Mark => ("mark", "marks"),
    };
    let link = match top.grouping {
        Grouping::Source => "from",
        Grouping::Destination | Grouping::Service => "to",
        _ => "in",
    };
    let groups = counted(top.total, one, many);
    let shown = match top.rows.len() as u64 {
        n if n < top.total => format!(", the first {n} shown"),
        _ => String::new(),
    };
    let basis = match (top.basis, origin) {
        (Basis::Agent, _) => "counted by the agent".into(),
        (Basis::Dump, Origin::Agent) => "from a dump of the kernel by the agent".into(),
        (Basis::Dump, Origin::Kernel(without)) => format!("from a dump of the kernel ({without})"),
        (Basis::Dump, Origin::File(name)) => match top.unreadable_lines {
            None | Some(0) => format!("from {name}"),
            Some(lines) => {
                format!("from {name}, of which {} no entry", counted(lines, "line is", "lines are"))
            }
        },
    };
    let not_told = top.not_told.as_ref().map_or(String::new(), not_told);
    let synced = if top.synced { "" } else { "; not in step with the kernel yet" };
    format!("{entries} {link} {groups}{shown}; {basis}{synced}{not_told}")
}

/// Returns the numbers of entries whose status a file does not tell.
fn not_told(not_told: &NotTold) -> String {
    let of = |(count, one, many): (u64, &str, &str)| {
        let entries = counted(count, "entry", "entries");
        let what = if count == 1 { one } else { many };
        (count > 0).then(|| format!("; of {entries} it does not tell whether {what}"))
    };
    let [assured, unreplied] = [not_told.all.assured, not_told.all.unreplied];
    let all =
        [(assured, "it is ASSURED", "they are ASSURED"), (unreplied, "it had a reply", "they had a reply")];
    all.into_iter().filter_map(of).collect()
}

fn columns<'a>(top: &Ranking, zones: bool, origin: &Origin) -> Vec<Column<Named<'a>>> {
    let title = match top.grouping {
        Grouping::Source => "SOURCE",
        Grouping::Destination => "DESTINATION",
        Grouping::Service => "SERVICE",
        Grouping::NatSource => "NAT-SOURCE",
        Grouping::Zone => "ZONE",
        Grouping::Mark => "MARK",
    };
    let mut columns = vec![name(title, |(row, _): &Named<'a>| row.source.clone())];
    if top.names.is_some() {
        columns.push(name("NAME", |(_, name)| name.flatten().unwrap_or(quantity::UNKNOWN).into()));
    }
    if zones {
        columns.push(number("ZONE", 0, |(row, _)| count(row.zone.map(u64::from))));
    }
    columns.push(number("ENTRIES", 0, |(row, _)| row.entries.to_string()));
    columns.push(number("SHARE", 6, |(row, _)| match percent(row.share_percent).as_str() {
        quantity::UNKNOWN => quantity::UNKNOWN.into(),
        share => share.replace(' ', ""),
    }));
    // A file tells neither the rate of new entries nor idle times.
    let live = !matches!(origin, Origin::File(_));
    if live {
        columns.push(number("NEW/S", 3, |(row, _)| rate(row.new_per_second)));
    }
    // The column ASSURED is never left out if some of it is unknown: a reader has to see that.
    let hidden = top.not_told.as_ref().is_some_and(|not_told| not_told.all.assured > 0);
    let counts: [Column<Named<'a>>; 6] = [
        number("TCP", 1, |(row, _)| row.tcp.to_string()),
        number("UDP", 2, |(row, _)| row.udp.to_string()),
        number("ICMP", 8, |(row, _)| row.icmp.to_string()),
        number("OTHER", 9, |(row, _)| row.other.to_string()),
        number("ASSURED", if hidden { 0 } else { 7 }, |(row, _)| count(row.assured)),
        number("UNREPLIED", 4, |(row, _)| count(row.unreplied)),
    ];
    columns.extend(counts);
    if live {
        let unknown = top.rows.iter().any(|row| row.idle_unknown.is_some_and(|n| n > 0));
        columns.push(number("IDLE", 5, |(row, _)| count(row.idle)));
        if unknown {
            columns.push(number("IDLE UNKNOWN", 5, |(row, _)| count(row.idle_unknown)));
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;
    use crate::core::model::TopSources;

    fn drawn(width: Option<usize>, top: &TopSources, without: Option<&NoAnswer>) -> String {
        let mut out = Vec::new();
        let origin = Origin::from_reason(without.cloned());
        write(&mut out, &top.clone().into(), &origin, &canned::style(width)).expect("memory");
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
SOURCE                                  ENTRIES  SHARE  NEW/S   TCP  UDP  ICMP  OTHER  ASSURED  UNREPLIED  IDLE
10.0.0.1                                   7000  88.6%   12.3  7000    0     0      0        -         17     -
2001:db8:1111:2222:3333:4444:5555:6666      900  11.4%      -   900    0     0      0        -          -     -
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
    fn an_agents_answer_has_the_columns_of_a_dump() {
        let agent = canned::top_sources(&[("10.0.0.1", 0, 7000)]);
        let mut dump = agent.clone();
        dump.basis = Basis::Dump;
        let row = &mut dump.sources[0];
        (row.assured, row.unreplied, row.idle) = (Some(1), Some(2), Some(3));
        let without = NoAnswer::NoAgent("/run/ctctl/host.sock".into());
        let titles = |text: String| text.lines().find(|line| line.starts_with("SOURCE")).map(str::to_owned);
        for width in [None, Some(80)] {
            let told = [drawn(width, &agent, None), drawn(width, &dump, Some(&without))].map(titles);
            assert_eq!(told[0], told[1], "{width:?}");
        }
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
        let without = NoAnswer::NoAgent("/run/ctctl/host.sock".into());
        let expected = "\
2 entries from 9 sources, the first 2 shown; from a dump of the kernel (no agent on /run/ctctl/host.sock)
SOURCE    ZONE  ENTRIES  SHARE  NEW/S  TCP  UDP  ICMP  OTHER  ASSURED  UNREPLIED  IDLE
10.0.0.1     0        1  50.0%      -    1    0     0      0        -          -     -
10.0.0.1     3        1  50.0%      -    1    0     0      0        -          -     -
";
        assert_eq!(drawn(None, &dump, Some(&without)), expected);
    }

    #[test]
    fn other_groups_say_what_they_are_and_names_stand_beside() {
        let mut ranking = Ranking::from(canned::top_sources(&[("192.0.2.1", 0, 7), ("192.0.2.2", 0, 3)]));
        ranking.grouping = Grouping::Destination;
        ranking.basis = Basis::Dump;
        ranking.unreadable_lines = Some(2);
        ranking.names = Some(vec![Some("\x1b[2Jevil.example".into()), None]);
        let mut out = Vec::new();
        let origin = Origin::File("saved.txt".into());
        write(&mut out, &ranking, &origin, &canned::style(Some(72))).expect("memory");
        let expected = "\
10 entries to 2 destinations; from saved.txt, of which 2 lines are no
entry
DESTINATION  NAME                   ENTRIES  SHARE  TCP  UDP  UNREPLIED
192.0.2.1    \\u{1b}[2Jevil.example        7  70.0%    7    0          -
192.0.2.2    -                            3  30.0%    3    0          -
";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn of_a_file_only_what_a_file_can_tell_is_a_column() {
        let mut out = Vec::new();
        let origin = Origin::File("saved.txt".into());
        let empty = canned::top_sources(&[]).into();
        write(&mut out, &Ranking { basis: Basis::Dump, ..empty }, &origin, &canned::style(None))
            .expect("memory");
        let expected = "\
0 entries from 0 sources; from saved.txt
SOURCE  ENTRIES  SHARE  TCP  UDP  ICMP  OTHER  ASSURED  UNREPLIED
";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn what_is_unknown_has_a_column_of_its_own() {
        let mut dump = canned::top_sources(&[("10.0.0.1", 0, 5), ("10.0.0.2", 0, 3)]);
        dump.basis = Basis::Dump;
        for (row, (idle, unknown)) in dump.sources.iter_mut().zip([(None, 5), (None, 1)]) {
            (row.idle, row.idle_unknown) = (idle, Some(unknown));
        }
        let text = drawn(None, &dump, None);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(rows[1].ends_with(&["IDLE", "IDLE", "UNKNOWN"]), "{text}");
        assert!(rows[2].ends_with(&["-", "5"]) && rows[3].ends_with(&["-", "1"]), "{text}");
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
