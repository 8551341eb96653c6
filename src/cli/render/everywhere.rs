//! The namespaces of `status --all` as text: a line for each, the fullest first.

use std::io::{self, Write};

use super::Style;
use super::quantity::{UNKNOWN, count, counted, percent, rate};
use super::table::{self, name, number};
use super::text::paragraph;
use crate::core::model::{EverywhereDocument, NamespaceRow};

/// Writes a line on all namespaces together (not with `-q`), and the table.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, document: &EverywhereDocument, style: &Style) -> io::Result<()> {
    if style.verbosity >= 0 {
        let limit = match document.max {
            0 => "no limit".into(),
            max => format!("each may hold {max}"),
        };
        let entries = counted(document.entries, "entry", "entries");
        let namespaces = counted(document.namespaces.len() as u64, "namespace", "namespaces");
        let hidden = match document.hidden_processes {
            0 => String::new(),
            1 => "; 1 process does not show its namespace".into(),
            n => format!("; {n} processes do not show their namespaces"),
        };
        paragraph(out, style.width, "", 0, &format!("{entries} in {namespaces}; {limit}{hidden}"))?;
    }
    let columns = [
        name("NAMESPACE", |row: &NamespaceRow| row.spec.clone()),
        number("ENTRIES", 0, |row| row.entries.to_string()),
        number("LIMIT", 3, |row| if row.limit == 0 { "none".into() } else { row.limit.to_string() }),
        number("USAGE", 0, |row| if row.limit == 0 { UNKNOWN.into() } else { percent(row.usage_percent) }),
        name("LEVEL", |row| row.level.name().into()),
        number("NEW/S", 5, |row| rate(row.new_per_second)),
        number("DROP", 4, |row| count(row.drops.map(|drops| drops.drop))),
        name("AGENT", agent),
        name("PROCESS", process),
    ];
    table::write(out, &columns, &document.namespaces, style)
}

fn agent(row: &NamespaceRow) -> String {
    let Some(agent) = &row.agent else { return "none".into() };
    let notes = [(agent.paused, "paused"), (agent.dry_run, "dry run"), (!agent.synced, "not in step")];
    let notes = notes.into_iter().filter(|(on, _)| *on).map(|(_, note)| note);
    std::iter::once(format!("pid {}", agent.pid))
        .chain(notes.map(str::to_owned))
        .collect::<Vec<_>>()
        .join(", ")
}

fn process(row: &NamespaceRow) -> String {
    row.lowest_process
        .as_ref()
        .map_or(UNKNOWN.into(), |process| format!("{} ({})", process.name, process.pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;
    use crate::core::model::{Header, Level, Netns, ProcessRow, WatchingAgent};

    fn row(spec: &str, entries: u64, limit: u64) -> NamespaceRow {
        NamespaceRow {
            netns: Netns { name: Some(spec.into()), inode: 7 },
            spec: spec.into(),
            lowest_process: None,
            entries,
            limit,
            usage_percent: 100.0 * entries as f64 / limit as f64,
            level: Level::Normal,
            new_per_second: None,
            seconds_to_full: None,
            drops: None,
            agent: None,
        }
    }

    #[test]
    fn the_fullest_stands_first_with_its_agent_and_its_process() {
        let agent = WatchingAgent {
            pid: 812,
            socket: "/run/ctctl/gw.sock".into(),
            dry_run: true,
            paused: true,
            synced: true,
        };
        let full = NamespaceRow { level: Level::Critical, agent: Some(agent), ..row("gw", 480, 500) };
        let process = ProcessRow { pid: 4711, name: "ngi\x1bnx".into() };
        let container =
            NamespaceRow { lowest_process: Some(process), ..row("/proc/4711/ns/net", 5000, 65536) };
        let mut document = EverywhereDocument {
            header: Header { schema: 1, taken_at: String::new(), netns: Netns::default() },
            entries: 5480,
            max: 65536,
            namespaces: vec![row("b", 0, 65536), row("a", 0, 65536), container, full],
            refused: Vec::new(),
            hidden_processes: 1,
        };
        document.sort();
        let mut out = Vec::new();
        write(&mut out, &document, &canned::style(None)).expect("memory");
        let expected = "\
5480 entries in 4 namespaces; each may hold 65536; 1 process does not show its namespace
NAMESPACE          ENTRIES  LIMIT   USAGE  LEVEL     NEW/S  DROP  AGENT                     PROCESS
gw                     480    500  96.0 %  critical      -     -  pid 812, paused, dry run  -
/proc/4711/ns/net     5000  65536   7.6 %  normal        -     -  none                      ngi\\u{1b}nx (4711)
a                        0  65536   0.0 %  normal        -     -  none                      -
b                        0  65536   0.0 %  normal        -     -  none                      -
";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }
}
