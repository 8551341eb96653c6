//! The generated file: as it is, and with every key uncommented.

use std::path::Path;

use crate::config::{generated, known_keys, parse};
use crate::core::model::{Settings, TIMEOUTS, Timeout, TimeoutSettings};

/// The generated text without the mark before each key.
fn uncommented() -> String {
    let bare = |line: &str| match line.strip_prefix("# ") {
        Some(key) if key.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) => key.to_owned(),
        _ => line.to_owned(),
    };
    generated().lines().map(bare).collect::<Vec<_>>().join("\n")
}

#[test]
fn as_it_is_it_gives_exactly_the_defaults() {
    let text = generated();
    assert_eq!(parse(&text, "generated").expect("right"), Settings::default());
    let keys = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    assert_eq!(keys.collect::<Vec<_>>(), Vec::<&str>::new(), "only tables are not commented");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "a line is too long to be read");
}

#[test]
fn with_every_key_uncommented_it_gives_the_defaults_too() {
    let mut settings = parse(&uncommented(), "generated").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(settings.agent.socket.take().as_deref(), Some(Path::new("/run/ctctl/host.sock")));
    assert_eq!(settings.agent.state_dir.take().as_deref(), Some(Path::new("/var/lib/ctctl/host")));
    let floors = std::mem::take(&mut settings.timeouts.floors_seconds);
    for timeout in Timeout::all() {
        let default = TimeoutSettings::default().floor_seconds(timeout);
        assert_eq!(floors.get(&timeout).copied(), default, "{}", timeout.name());
    }
    assert_eq!(settings, Settings::default());
}

#[test]
fn it_names_every_key_in_its_table_with_a_line_before_it() {
    let text = uncommented();
    let (mut shown, mut before): (Vec<(&str, Vec<&str>)>, &str) = (Vec::new(), "");
    for line in text.lines() {
        if let Some(table) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            shown.push((table, Vec::new()));
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(before.starts_with("## ") && before.len() > 10, "{key} is not explained: {before:?}");
            shown.last_mut().expect("a table above").1.push(key);
        }
        before = line;
    }
    assert_eq!(shown, known_keys());
    for timeout in TIMEOUTS.iter().filter(|timeout| timeout.floor_key.is_some()) {
        assert!(text.contains(timeout.source), "{} has no source", timeout.name);
    }
}
