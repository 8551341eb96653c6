//! The command `ctctl status --all`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::Global;
use super::render::Style;
use super::{output, render};
use crate::config;
use crate::control::{Client, ConnectError};
use crate::core::model::{EverywhereDocument, NamespaceRow, Settings, StatusDocument, WatchingAgent};
use crate::direct;
use crate::error::{Error, Result};

/// Default directory of agents' control sockets.
const SOCKETS: &str = "/run/ctctl";
/// Longest wait for the answer of one agent: its row is shown without that answer, too.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Prints every namespace of the host, the fullest first.
///
/// # Errors
/// Exit 3 if no namespace has a table, or if not all can be looked at (those that can be are printed).
pub fn run(global: &Global) -> Result<u8> {
    if global.netns.is_some() {
        return Err(Error::usage("usage", "--all is every namespace").hint("leave out --netns or --all"));
    }
    let (settings, _) = config::load(global.config.as_deref())?;
    let mut document = direct::everywhere(&settings)?;
    for socket in sockets(Path::new(SOCKETS), global, &settings) {
        match Client::connect(&socket)
            .map(|mut client| client.with_timeout(ANSWER_TIMEOUT).status_without_scan())
        {
            Ok(Ok(status)) => merge_agent(&mut document, &status, &socket),
            // A socket on which no process listens is left by an agent that was killed.
            Err(ConnectError::NoAgent(_)) => {}
            Ok(Err(error)) => notice_no_answer(&socket, &error.why),
            Err(ConnectError::NotPermitted(_)) => notice_no_answer(&socket, "no permission"),
            Err(ConnectError::Other(_, why)) => notice_no_answer(&socket, &why),
        }
    }
    document.sort();
    let style = Style::of_stdout(global.color, global.verbosity());
    output::print(|out| match global.json {
        true => output::json(out, &document),
        false => render::everywhere::write(out, &document, &style),
    })?;
    incomplete(&document).map_or(Ok(0), Err)
}

fn notice_no_answer(socket: &Path, why: &str) {
    output::notice(&format!("status: the agent on {} was not heard: {why}", socket.display()));
}

/// Returns every socket on which an agent may answer.
fn sockets(directory: &Path, global: &Global, settings: &Settings) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries.filter(|path| path.extension().is_some_and(|extension| extension == "sock"));
    let named = [&global.socket, &settings.agent.socket].into_iter().flatten().map(PathBuf::from);
    found.chain(named).collect()
}

/// Puts an agent's figures into the row of its namespace, or adds a row if the scan found no way into that namespace.
fn merge_agent(document: &mut EverywhereDocument, status: &StatusDocument, socket: &Path) {
    let netns = &status.header.netns;
    let known = document.namespaces.iter().position(|row| row.netns.inode == netns.inode);
    let before = known.map(|at| document.namespaces.swap_remove(at));
    document.entries = document.entries + status.entries - before.as_ref().map_or(0, |row| row.entries);
    let socket = socket.display().to_string();
    document.namespaces.push(NamespaceRow {
        netns: netns.clone(),
        spec: before.as_ref().map_or_else(|| netns.key(), |row| row.spec.clone()),
        lowest_process: before.and_then(|row| row.lowest_process),
        entries: status.entries,
        limit: status.limit,
        usage_percent: status.usage_percent,
        level: status.level,
        new_per_second: status.new_per_second,
        seconds_to_full: status.seconds_to_full,
        drops: Some(status.drops),
        agent: status.agent.as_ref().map(|agent| WatchingAgent {
            pid: agent.pid,
            socket,
            dry_run: agent.dry_run,
            paused: agent.paused,
            synced: agent.synced,
        }),
    });
}

/// Returns the error for a document that does not show every namespace.
fn incomplete(document: &EverywhereDocument) -> Option<Error> {
    let hint = "run it as root of the host: this needs CAP_SYS_ADMIN";
    if let Some(refused) = document.refused.first() {
        let more = document.refused.len() - 1;
        let others = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        let why = format!("part only, not every namespace could be entered: {refused}{others}");
        return Some(Error::unreachable("status", why).hint(hint));
    }
    document.namespaces.is_empty().then(|| {
        let why = "no namespace has a connection tracking table";
        Error::unreachable("status", why).hint("modprobe nf_conntrack")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;
    use crate::core::model::{Header, Level, Netns};

    fn document(rows: &[(u64, u64)]) -> EverywhereDocument {
        let row = |(inode, entries): &(u64, u64)| NamespaceRow {
            netns: Netns { name: None, inode: *inode },
            spec: format!("/proc/{inode}/ns/net"),
            lowest_process: None,
            entries: *entries,
            limit: 1000,
            usage_percent: *entries as f64 / 10.0,
            level: Level::Normal,
            new_per_second: None,
            seconds_to_full: None,
            drops: None,
            agent: None,
        };
        EverywhereDocument {
            header: Header { schema: 1, taken_at: String::new(), netns: Netns::default() },
            entries: rows.iter().map(|(_, entries)| entries).sum(),
            max: 1000,
            namespaces: rows.iter().map(row).collect(),
            refused: Vec::new(),
            hidden_processes: 0,
        }
    }

    #[test]
    fn an_agents_figures_stand_in_the_row_of_its_namespace() {
        let mut status = canned::status();
        status.header.netns = Netns { name: None, inode: 8 };
        let mut all = document(&[(7, 10), (8, 20)]);
        merge_agent(&mut all, &status, Path::new("/s"));
        all.sort();
        assert_eq!((all.namespaces.len(), all.entries), (2, 10 + status.entries));
        let row = &all.namespaces[0];
        assert_eq!(
            (row.spec.as_str(), row.entries, row.limit),
            ("/proc/8/ns/net", status.entries, status.limit)
        );
        assert_eq!(row.usage_percent, status.usage_percent);
        // Only the agent leads to this namespace.
        status.header.netns = Netns { name: None, inode: 9 };
        merge_agent(&mut all, &status, Path::new("/s"));
        assert!(all.namespaces.iter().any(|row| row.spec == "net-9"));
    }

    #[test]
    fn sockets_are_those_of_the_directory_and_those_that_are_named() {
        let directory = tempfile::tempdir().expect("a directory");
        for file in ["gw.sock", "gw.lock", "host.sock"] {
            std::fs::write(directory.path().join(file), "").expect("written");
        }
        let mut settings = Settings::default();
        settings.agent.socket = Some("/elsewhere".into());
        let global = Global {
            netns: None,
            socket: None,
            config: None,
            json: false,
            color: crate::cli::args::Color::Auto,
            verbose: 0,
            quiet: 0,
        };
        let found = sockets(directory.path(), &global, &settings);
        let expected =
            [directory.path().join("gw.sock"), directory.path().join("host.sock"), "/elsewhere".into()];
        assert_eq!(found, BTreeSet::from(expected));
    }

    #[test]
    fn what_is_missing_is_exit_3() {
        assert_eq!(incomplete(&document(&[(7, 1)])), None);
        assert!(incomplete(&document(&[])).is_some_and(|error| error.why.contains("no namespace has")));
        let mut all = document(&[(7, 1)]);
        // A hidden process is mostly in a namespace that other processes show.
        all.hidden_processes = 1;
        assert_eq!(incomplete(&all), None);
        all.refused = vec!["/run/netns/a: no".into(), "b".into()];
        assert!(incomplete(&all).is_some_and(|error| error.why.ends_with("/run/netns/a: no (and 1 more)")));
    }
}
