//! Commands of systemd's units (systemd.service(5), Command lines).

use super::{Command, words};
use crate::model::FileLine;

/// The sections whose `Exec…=` run commands.
const SECTIONS: [&str; 4] = ["Service", "Socket", "Mount", "Swap"];

/// Commands of the lines of a unit or a drop-in.
pub fn commands(lines: &[FileLine]) -> Vec<Command> {
    let mut section = "";
    let mut found = Vec::new();
    for line in lines {
        if let Some(name) = line.text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.text.split_once('=')
            && SECTIONS.contains(&section)
            && key.trim_end().starts_with("Exec")
        {
            found.extend(of_value(line, value.trim_start()));
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
