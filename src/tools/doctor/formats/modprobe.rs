//! Commands of modprobe.d(5).

use super::{Command, shell};
use crate::core::model::FileLine;

/// Module of a line `install MODULE COMMAND`, as it is written, and the command, which a shell runs in place of loading
/// the module.
pub fn install(line: &FileLine) -> Option<(&str, &str)> {
    let rest = line.text.trim_start().strip_prefix("install")?.strip_prefix([' ', '\t'])?.trim_start();
    let (module, command) = rest.split_once([' ', '\t'])?;
    Some((module, command.trim()))
}

/// The commands that a line `install` runs. Those that stand beside others can be cut out of the line.
pub fn commands(line: &FileLine) -> Vec<Command> {
    let Some((_, text)) = install(line) else { return Vec::new() };
    let mut found = shell::commands(&line.path, text);
    let before = line.text.rfind(text).filter(|_| found.len() > 1);
    for command in &mut found {
        command.span = command.span.zip(before).map(|((from, to), before)| (from + before, to + before));
        command.line = line.clone();
    }
    found
}
