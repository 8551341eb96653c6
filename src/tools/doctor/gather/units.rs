//! Units that something starts at boot, each with its drop-ins.

use std::collections::{BTreeMap, BTreeSet};

use super::super::formats::udev;
use super::super::units::{self, Unit};
use super::boot::inside;
use super::files::of_directories;
use crate::linux::image::Image;
use crate::linux::text_lines::{Format, joined};

/// Directories of units, in order of precedence (systemd.unit(5), Unit File Load Path).
const UNITS: [&str; 11] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
];
/// Targets that no boot reaches: what they want runs at the end, or in trouble.
const NOT_AT_BOOT: [&str; 10] = [
    "shutdown.target",
    "final.target",
    "umount.target",
    "reboot.target",
    "poweroff.target",
    "halt.target",
    "kexec.target",
    "rescue.target",
    "emergency.target",
    "exit.target",
];
/// Kinds of units that do not start by themselves: what they want starts with them.
const NOT_BY_THEMSELVES: [&str; 4] = [".service", ".timer", ".socket", ".path"];

/// Names in each of [`UNITS`].
struct Listed(Vec<(&'static str, BTreeSet<String>)>);

impl Listed {
    /// Those of a tree.
    fn new(image: &Image) -> Listed {
        Listed(
            UNITS.iter().map(|directory| (*directory, image.list(directory).into_iter().collect())).collect(),
        )
    }

    /// Directories of a unit's links, and of its drop-ins, by the unit's name.
    fn wants(&self) -> BTreeMap<&str, Vec<String>> {
        let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (directory, names) in &self.0 {
            for name in names {
                let ends = [".wants", ".requires", ".upholds", ".d"];
                let Some(owner) = ends.iter().find_map(|end| name.strip_suffix(end)) else { continue };
                found.entry(owner).or_default().push(format!("{directory}/{name}"));
            }
        }
        found
    }
}

/// Every unit that something starts at boot, with its drop-ins.
/// `first`: units that start anyway, by name.
pub fn started(image: &Image, first: Vec<String>) -> Vec<Unit> {
    let listed = Listed::new(image);
    let wants = listed.wants();
    let by_itself = |name: &&&str| {
        !NOT_AT_BOOT.contains(*name)
            && name.contains('.')
            && !NOT_BY_THEMSELVES.iter().any(|end| name.ends_with(end))
    };
    let alone = wants.keys().filter(by_itself).map(|name| (*name).to_owned());
    let first = first.into_iter().chain(alone).collect();
    with_wanted(image, &listed, &wants, first)
}

/// Units by name, and what starts with them.
pub fn started_with(image: &Image, first: Vec<String>) -> Vec<Unit> {
    let listed = Listed::new(image);
    with_wanted(image, &listed, &listed.wants(), first)
}

fn with_wanted(
    image: &Image,
    listed: &Listed,
    wants: &BTreeMap<&str, Vec<String>>,
    first: Vec<String>,
) -> Vec<Unit> {
    let mut todo = first;
    let mut found: BTreeMap<String, Unit> = BTreeMap::new();
    while let Some(name) = todo.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let unit = unit(image, &listed.0, &name);
        todo.extend(unit.starts());
        let linked = wants.get(name.as_str()).into_iter().flatten().filter(|path| !path.ends_with(".d"));
        todo.extend(linked.flat_map(|directory| image.list(directory)));
        found.insert(name, unit);
    }
    found.into_values().collect()
}

/// Units that rules of udev start (`SYSTEMD_WANTS`).
pub fn by_devices(image: &Image) -> Vec<String> {
    let rules = of_directories(
        image,
        "udev/rules.d",
        Format::Udev,
        |name| name.ends_with(".rules"),
        |line| line.contains("SYSTEMD_WANTS"),
    );
    let tokens = rules.iter().flat_map(|line| udev::tokens(&line.text));
    let wants = tokens.filter(|token| token.key == "ENV" && token.attribute == "SYSTEMD_WANTS");
    wants.flat_map(|token| token.value.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// A unit by its name; without directives where there is none, or where it is masked.
fn unit(image: &Image, listed: &[(&str, BTreeSet<String>)], name: &str) -> Unit {
    let template =
        name.split_once('@').and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
    let names: Vec<&str> = [Some(name), template.as_deref()].into_iter().flatten().collect();
    let place = names.iter().find_map(|name| {
        let (directory, _) = listed.iter().find(|(_, there)| there.contains(*name))?;
        Some(format!("{directory}/{name}"))
    });
    let text = place.as_ref().and_then(|path| image.read(path));
    let instance =
        name.split_once('@').and_then(|(_, rest)| Some(rest.rsplit_once('.')?.0)).unwrap_or_default();
    let mut directives = match &text {
        Some(text) => units::directives(&joined(text, Format::Unit)),
        // A link to /dev/null masks it, drop-ins and all.
        None if place.is_some() => return Unit { name: name.to_owned(), directives: Vec::new() },
        None => Vec::new(),
    };
    let mut dropins: BTreeMap<String, String> = BTreeMap::new();
    for name in names {
        let directory_name = format!("{name}.d");
        for (directory, _) in listed.iter().filter(|(_, there)| there.contains(&directory_name)) {
            for path in inside(image, &format!("{directory}/{directory_name}"), ".conf") {
                let file = path.rsplit('/').next().unwrap_or_default().to_owned();
                dropins.entry(file).or_insert(path);
            }
        }
    }
    for text in dropins.values().filter_map(|path| image.read(path)) {
        directives.extend(units::directives(&joined(&text, Format::Unit)));
    }
    for directive in directives.iter_mut().filter(|directive| directive.value.contains('%')) {
        directive.value = directive.value.replace("%i", instance).replace("%I", instance);
    }
    Unit { name: name.to_owned(), directives }
}
