//! Commands of systemd's units (systemd.service(5), Command lines).

use super::{Command, words};
use crate::core::model::FileLine;

/// The sections whose `Exec…=` run commands.
const SECTIONS: [&str; 4] = ["Service", "Socket", "Mount", "Swap"];

/// The settings whose commands run when a unit starts. What runs at its stop or reload writes nothing at a boot.
const AT_START: [&str; 4] = ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost"];

/// Place of a setting's commands in the order in which a start runs them.
pub fn order(key: &str) -> Option<usize> {
    AT_START.iter().position(|known| *known == key.trim())
}

/// Commands that a unit or a drop-in runs when it starts, in their order. An empty value takes back what stands above
/// it.
pub fn commands(lines: &[FileLine]) -> Vec<Command> {
    let mut found: Vec<(&str, Vec<Command>)> = Vec::new();
    for (key, value, line) in at_start(lines) {
        match value.is_empty() {
            true => found.retain(|(other, _)| *other != key),
            false => found.push((key, of_value(line, value))),
        }
    }
    found.sort_by_key(|(key, _)| order(key));
    found.into_iter().flat_map(|(_, commands)| commands).collect()
}

/// The settings that a drop-in empties: of the unit that it extends, these commands do not run.
pub fn emptied(lines: &[FileLine]) -> Vec<String> {
    let empty = at_start(lines).into_iter().filter(|(_, value, _)| value.is_empty());
    empty.map(|(key, ..)| key.to_owned()).collect()
}

/// Key, value and line of each setting in [`AT_START`].
fn at_start(lines: &[FileLine]) -> Vec<(&str, &str, &FileLine)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in lines {
        if let Some(name) = line.text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.text.split_once('=')
            && SECTIONS.contains(&section)
            && AT_START.contains(&key.trim())
        {
            found.push((key.trim(), value.trim(), line));
        }
    }
    found
}

/// The commands of a value. A word `;` stands between commands, and nothing is redirected. `%%` and `$$` are one
/// character.
pub fn of_value(line: &FileLine, value: &str) -> Vec<Command> {
    let value = value.trim_start_matches(['-', '@', ':', '+', '!', '|']);
    let mut found = Vec::new();
    let mut words =
        words::words(value).into_iter().map(|word| word.replace("%%", "%").replace("$$", "$")).peekable();
    while words.peek().is_some() {
        let words: Vec<String> = words.by_ref().take_while(|word| word != ";").collect();
        found.push(Command { line: line.clone(), words, ..Command::default() });
    }
    found
}
