//! The README, held against the program: its configuration parses and tells the defaults, every command has a row.

use std::path::Path;

use ctctl::config;
use ctctl::model::Settings;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md")
}

/// The one block of TOML, and the line of the README before it.
fn example(readme: &str) -> (&str, usize) {
    let parts: Vec<&str> = readme.split("```").collect();
    let blocks: Vec<usize> =
        (0..parts.len()).filter(|&i| i % 2 == 1 && parts[i].starts_with("toml\n")).collect();
    let [block] = blocks[..] else { panic!("one block of TOML, not {}", blocks.len()) };
    let before: usize = parts[..block].iter().map(|part| part.matches('\n').count()).sum();
    (parts[block].strip_prefix("toml\n").expect("the marker"), before + 1)
}

fn parsed() -> Settings {
    let readme = readme();
    let (text, before) = example(&readme);
    // As many empty lines in front as the README has, so that an error names the README's line.
    let text = "\n".repeat(before) + text;
    config::parse(&text, "README.md").unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_configuration_is_of_defaults() {
    let settings = parsed();
    assert!(settings.agent.socket.is_none() && settings.timeouts.floors_seconds.is_empty());
    assert_eq!(settings, Settings::default());
}

#[test]
fn every_command_is_in_the_table_and_in_the_program() {
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_ctctl")).arg("--help").output().expect("starts");
    let help = String::from_utf8(output.stdout).expect("text");
    let listed = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let commands: Vec<&str> =
        listed.lines().filter(is_name).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 5, "{help}");
    let readme = readme();
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `")).collect();
    for command in commands {
        let named = |row: &&str| row.split(['`', ' ', ',']).any(|word| word == command);
        assert!(rows.iter().any(named), "{command} has no row");
    }
}

#[test]
fn it_is_short_enough_to_be_read() {
    assert!(readme().lines().count() <= 300);
}
