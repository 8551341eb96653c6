//! The last of several writes of one value: what a file, or a unit with its drop-ins, leaves in force.

use std::collections::{HashMap, HashSet};

use super::cure::key;
use super::facts::Facts;
use super::formats::unit;
use super::formats::writes::Write;
use super::names::{self, Known};
use super::value::{self, Reading};
use crate::core::model::{Finding, Severity};

/// The writes that count in the end.
pub struct Last<'a> {
    of_program: HashMap<(&'a str, &'a str), &'a Write>,
    /// Of all programs, by name.
    kept: HashMap<&'a str, (u64, &'a Write)>,
}

impl<'a> Last<'a> {
    /// Those of all writes, which stand in the order in which each program runs them.
    pub fn new(writers: &'a [Write]) -> Last<'a> {
        let mut taken: Vec<&Write> = writers.iter().filter(|write| is_taken(write)).collect();
        // The commands of a unit run by their settings, those of its drop-ins behind its own.
        taken.sort_by_key(|write| (program(&write.line.path), order(write)));
        let mut of_program: HashMap<(&str, &str), &Write> = HashMap::new();
        for write in taken {
            let Some(name) = write.name() else { continue };
            let place = (program(&write.line.path), name);
            let stays = of_program.get(&place).is_some_and(|before| is_larger_instead(before, write, name));
            if !stays {
                of_program.insert(place, write);
            }
        }
        let last: HashSet<*const Write> =
            of_program.values().map(|write| std::ptr::from_ref::<Write>(write)).collect();
        let mut kept: HashMap<&str, (u64, &Write)> = HashMap::new();
        let counts = |write: &&Write| !write.unstarted && last.contains(&std::ptr::from_ref::<Write>(write));
        for write in writers.iter().filter(counts) {
            let number = write
                .value
                .as_deref()
                .zip(write.name())
                .and_then(|(value, name)| value::read(name, value).number());
            let Some((name, number)) = write.name().zip(number) else { continue };
            let larger = is_size(name);
            // The module comes before other programs run.
            let at_load = |write: &Write| write.line.path.contains("/modprobe.d/");
            let known = kept.get(name).map(|(known, by)| (*known, at_load(by)));
            let counts = match known {
                Some((_, loads)) if loads != at_load(write) => loads,
                // In which order programs run is not known: a table is not made smaller.
                Some((known, _)) => !larger || number > known,
                None => true,
            };
            if counts {
                kept.insert(name, (number, write));
            }
        }
        Last { of_program, kept }
    }

    /// The write of the same program that takes the place of what this one sets.
    pub fn behind(&self, write: &Write) -> Option<&'a Write> {
        let last = *self.of_program.get(&(program(&write.line.path), write.name()?))?;
        (is_taken(write) && last != write).then_some(last)
    }

    /// The number that a program of all leaves, and its write.
    pub fn kept(&self, name: &str) -> Option<(u64, &'a Write)> {
        self.kept.get(name).copied()
    }

    /// The write of another program that sets another number, which is kept in place of this one's.
    pub fn kept_for(&self, write: &Write, number: u64) -> Option<(u64, &'a Write)> {
        let (kept, by) = *self.kept.get(write.name()?)?;
        (kept != number && program(&by.line.path) != program(&write.line.path)).then_some((kept, by))
    }
}

/// Of which more is not less for anybody.
fn is_size(name: &str) -> bool {
    matches!(name, "max" | "buckets" | "expect_max")
}

/// True if only one of the two runs, and the first sets the larger size.
fn is_larger_instead(before: &Write, write: &Write, name: &str) -> bool {
    let number = |write: &Write| value::read(name, write.value.as_deref()?).number();
    let instead =
        before.command.as_ref().zip(write.command.as_ref()).is_some_and(|(a, b)| a.is_instead_of(b));
    instead && is_size(name) && number(before) > number(write)
}

/// Finding on a write whose value another of the same program takes away again, without its fix.
pub fn beaten(facts: &Facts, write: &Write, last: &Write) -> Finding {
    let (line, full) = (&write.line, key(write.name().unwrap_or_default()));
    let by = match last.line.path == line.path {
        true => format!("line {}", last.line.line),
        false => format!("{}:{}", last.line.path, last.line.line),
    };
    let title =
        format!("line {} of {} writes {full}, and {by} writes it too, which counts", line.line, line.path);
    let instead = write.command.as_ref().zip(last.command.as_ref()).is_some_and(|(a, b)| a.is_instead_of(b));
    let because = match line.path.contains("cron") {
        _ if instead => {
            "One of two branches runs, and which one does not stand in the file: the fix makes no table smaller."
        }
        true => {
            "Each line runs at its own time, and the value changes with them. One place is enough: the last one's is kept."
        }
        false => {
            "The last write counts. This one has no effect where the other runs, and what the other sets stays."
        }
    };
    Finding::new("other-writer", Severity::Note, title)
        .because(because)
        .seen([facts.line(line), facts.line(&last.line)])
        .source(&["sysctl(8)"])
}

/// True if the kernel takes the value, or the run decides.
fn is_taken(write: &Write) -> bool {
    let writable = |name| matches!(names::known(name), Known::Writable | Known::WritableSince(_));
    let Some(name) = write.name().filter(|name| writable(*name)) else { return false };
    let plain = write.value.as_deref().filter(|text| !text.contains(['$', '`', '%', '{']));
    let refused = plain.is_some_and(|text| matches!(value::read(name, text), Reading::Refused(..)));
    write.torn.is_none() && write.only.is_none() && !write.overruled && !refused
}

/// The unit that a file belongs to; any other file by its path.
fn program(path: &str) -> &str {
    let parts = || path.rsplitn(3, '/');
    let (name, directory) = (parts().next().unwrap_or(path), parts().nth(1).unwrap_or_default());
    match path.contains("/systemd/") {
        true => directory.strip_suffix(".d").unwrap_or(name),
        false => path,
    }
}

fn order(write: &Write) -> (Option<usize>, bool) {
    let path = &write.line.path;
    if !path.contains("/systemd/") {
        return (None, false);
    }
    let key = write.line.text.split('=').next().unwrap_or_default();
    (unit::order(key), path.ends_with(".conf"))
}
