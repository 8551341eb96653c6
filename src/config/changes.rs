//! Differences between two configurations.

use super::tables::TABLES;
use crate::core::model::{Changed, Settings, TIMEOUTS, Timeout};

/// Returns the keys whose values differ, in the order of the file, with their values as TOML writes them.
pub fn changes(old: &Settings, new: &Settings) -> Vec<Changed> {
    let mut changes = Vec::new();
    let mut hold = |table: &str, key: &str, old: String, new: String| {
        if old != new {
            changes.push(Changed { key: format!("[{table}] {key}"), old, new, at_start: false });
        }
    };
    for table in TABLES {
        for key in table.keys {
            hold(table.name, key.name, (key.show)(old), (key.show)(new));
        }
        for spec in TIMEOUTS.iter().filter(|_| table.name == "timeouts") {
            let (Some(key), Some(timeout)) = (spec.floor_key, Timeout::named(spec.name)) else { continue };
            let floor = |settings: &Settings| {
                settings.timeouts.floor_seconds(timeout).map_or(String::new(), |seconds| seconds.to_string())
            };
            hold(table.name, key, floor(old), floor(new));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::accepted::ALL;
    use crate::config::{known_keys, parse};

    #[test]
    fn every_key_that_is_set_otherwise_is_named_with_both_values() {
        let defaults = Settings::default();
        for (table, key, value) in ALL {
            // The watermarks are checked against each other.
            let text = format!("[{table}]\n{key} = {value}\n");
            let set = parse(&text, "f").unwrap_or_else(|error| panic!("{text}: {error}"));
            let told = changes(&defaults, &set);
            let [change] = told.as_slice() else { panic!("{text}: {told:?}") };
            assert_eq!(change.key, format!("[{table}] {key}"));
            assert!(change.old != change.new && !change.old.is_empty(), "{change:?}");
            // The value shown could be written into the file.
            let again = parse(&format!("[{table}]\n{key} = {}\n", change.new), "f");
            assert_eq!(again.as_ref(), Ok(&set), "{change:?}");
            assert_eq!(changes(&set, &set), []);
        }
        let keys: usize = known_keys().iter().map(|(_, keys)| keys.len()).sum();
        assert_eq!(ALL.len(), keys);
    }
}
