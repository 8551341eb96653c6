//! The last of several writes of one value: what a file, or a unit with its drop-ins, leaves in force.

use std::collections::{HashMap, HashSet};

use super::formats::unit;
use super::formats::writes::Write;
use super::names::{self, Known};
use super::value::{self, Reading};

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
        let mut of_program = HashMap::new();
        for write in taken {
            if let Some(name) = write.name() {
                of_program.insert((program(&write.line.path), name), write);
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
            let larger = matches!(name, "max" | "buckets" | "expect_max");
            // In which order programs run is not known: a table is not made smaller.
            if kept.get(name).is_none_or(|(known, _)| !larger || number > *known) {
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
