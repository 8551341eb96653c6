//! Every namespace of the host that has a table, straight from the kernel.

use crate::core::model::{Drops, EverywhereDocument, NamespaceRow, Netns, ProcessRow, Settings, Snapshot};
use crate::error::Result;
use crate::linux::clock;
use crate::linux::namespaces::{self, Visited};
use crate::linux::netns::{Namespace, name_of_spec};
use crate::{core::policy, facts::documents};

/// `status --all`, without what agents tell: each namespace is entered once, and nothing of its table is walked.
///
/// # Errors
/// Exit 3 where not even the caller's own namespace is known.
pub fn everywhere(settings: &Settings) -> Result<EverywhereDocument> {
    let walk = namespaces::visit()?;
    let own = Namespace::resolve(None)?;
    let rows: Vec<NamespaceRow> =
        walk.visited.iter().filter_map(|visited| row(visited, own.netns(), settings)).collect();
    let mut document = EverywhereDocument {
        header: documents::header(own.netns(), clock::now_rfc3339()),
        entries: rows.iter().map(|row| row.entries).sum(),
        max: walk.visited.iter().map(|visited| visited.max).max().unwrap_or(0),
        namespaces: rows,
        refused: walk.refused,
        hidden_processes: walk.hidden_processes,
    };
    document.sort();
    Ok(document)
}

/// True if the configuration is for this namespace: the one that it names, or the caller's where it names none. A
/// quota for one says nothing of the others.
fn is_meant(visited: &Visited, own: &Netns, settings: &Settings) -> bool {
    let named = |spec: &String| {
        *spec == visited.spec
            || name_of_spec(spec).is_some_and(|name| visited.netns.name.as_deref() == Some(name))
    };
    match settings.agent.netns.as_slice() {
        [] => visited.netns.inode == own.inode,
        named_there => named_there.iter().any(named),
    }
}

fn row(visited: &Visited, own: &Netns, settings: &Settings) -> Option<NamespaceRow> {
    let mut settings = settings.clone();
    if !is_meant(visited, own, &settings) {
        settings.capacity.limit = 0;
    }
    let settings = &settings;
    let snapshot = Snapshot { entries: visited.entries?, max: visited.max, ..Snapshot::default() };
    let drops = visited.statistics.as_ref().map(|statistics| Drops {
        drop: statistics.drop,
        early_drop: statistics.early_drop,
        insert_failed: statistics.insert_failed,
        chaintoolong: None,
    });
    Some(NamespaceRow {
        netns: visited.netns.clone(),
        spec: visited.spec.clone(),
        lowest_process: visited.process.clone().map(|(pid, name)| ProcessRow { pid, name }),
        entries: snapshot.entries,
        limit: policy::limit(&snapshot, settings).unwrap_or(0),
        usage_percent: documents::rounded(policy::usage_percent(&snapshot, settings)),
        level: policy::least_level(&snapshot, settings),
        new_per_second: None,
        seconds_to_full: documents::seconds_to_full(&snapshot, settings),
        drops,
        agent: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_counts_where_the_configuration_is_meant() {
        let visited = |name: Option<&str>, inode| Visited {
            netns: Netns { name: name.map(str::to_owned), inode },
            spec: name.unwrap_or("/proc/9/ns/net").into(),
            process: None,
            entries: Some(90),
            max: 1000,
            statistics: None,
        };
        let own = Netns { name: None, inode: 7 };
        let mut settings = Settings::default();
        settings.capacity.limit = 100;
        let limit =
            |visited: &Visited, settings: &Settings| row(visited, &own, settings).map(|row| row.limit);
        assert_eq!(limit(&visited(None, 7), &settings), Some(100));
        assert_eq!(limit(&visited(Some("gw"), 8), &settings), Some(1000));
        settings.agent.netns = vec!["/run/netns/gw".into(), "/proc/9/ns/net".into()];
        assert_eq!(limit(&visited(Some("gw"), 8), &settings), Some(100));
        assert_eq!(limit(&visited(None, 9), &settings), Some(100));
        assert_eq!(limit(&visited(Some("other"), 7), &settings), Some(1000));
        let without = Visited { entries: None, ..visited(None, 7) };
        assert_eq!(row(&without, &own, &settings), None);
    }
}
