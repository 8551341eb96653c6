//! Profiles of tuned: what several that include each other come to (tuned/profiles/loader.py, merger.py).

use std::collections::HashMap;

use super::writes::{BUCKETS, Write, is_ours, of_file};
use crate::core::model::FileLine;

/// Profiles that include each other, no more of them.
const MOST: usize = 32;

/// A section of a profile, which tuned calls a unit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Unit {
    name: String,
    options: Vec<(String, String, FileLine)>,
}

impl Unit {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(key, ..)| key == name).map(|(_, value, _)| value.as_str())
    }

    fn kind(&self) -> &str {
        self.option("type").unwrap_or(&self.name)
    }

    fn is_on(&self) -> bool {
        self.option("enabled").is_none_or(is_true)
    }
}

fn is_true(value: &str) -> bool {
    matches!(value, "1" | "True" | "true")
}

/// Values and scripts of the active profiles together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Merged {
    units: Vec<Unit>,
    scripts: Vec<String>,
}

/// The profiles of these names, those that they include before them. `load` gives a file's path and text by the
/// profile's name, none that it gave before.
pub fn merged(names: &[&str], load: &mut dyn FnMut(&str) -> Option<(String, String)>) -> Merged {
    let mut merged = Merged::default();
    let mut left = MOST;
    names.iter().for_each(|name| add(&mut merged, name, load, &mut left));
    merged
}

fn add(
    merged: &mut Merged,
    name: &str,
    load: &mut dyn FnMut(&str) -> Option<(String, String)>,
    left: &mut usize,
) {
    // A dash in front: where there is one of that name.
    let name = name.strip_prefix('-').unwrap_or(name);
    if *left == 0 || name.is_empty() || name.contains('/') {
        return;
    }
    *left -= 1;
    let Some((path, text)) = load(name) else { return };
    let units = units(&path, &text);
    let main = units.iter().find(|unit| unit.name == "main");
    if let Some(included) = main.and_then(|main| main.option("include")) {
        let included = included.to_owned();
        included.split([',', ';']).map(str::trim).for_each(|name| add(merged, name, load, left));
    }
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
    for unit in units.into_iter().filter(|unit| unit.name != "main") {
        if unit.kind() == "script" {
            let script = unit.option("script").map(|script| script.replace("${i:PROFILE_DIR}", &directory));
            let inside = |script: String| {
                if script.starts_with('/') { script } else { format!("{directory}/{script}") }
            };
            merged.scripts.extend(script.map(inside));
        }
        merge(&mut merged.units, unit);
    }
}

/// An option of a profile behind replaces one of the same name; `replace` and `drop` take away more.
fn merge(units: &mut Vec<Unit>, unit: Unit) {
    let Some(known) = units.iter_mut().find(|known| known.name == unit.name) else { return units.push(unit) };
    if unit.option("replace").is_some_and(is_true) {
        *known = unit;
        return;
    }
    let dropped: Vec<&str> =
        unit.option("drop").unwrap_or_default().split([',', ';']).map(str::trim).collect();
    known.options.retain(|(key, ..)| {
        !dropped.contains(&key.as_str())
            && !matches!(key.as_str(), "type" | "enabled")
            && unit.option(key).is_none()
    });
    known.options.extend(unit.options);
}

/// A comment begins with `#` or `;`, behind a value with ` #`; a line that begins with space continues a value, and
/// none of ours does.
fn units(path: &str, text: &str) -> Vec<Unit> {
    let mut found: Vec<Unit> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            match found.iter().position(|unit| unit.name == name) {
                // A section that comes again goes on.
                Some(at) => {
                    let unit = found.remove(at);
                    found.push(unit);
                }
                None => found.push(Unit { name: name.into(), ..Unit::default() }),
            }
        } else if let (Some(unit), Some((key, value))) = (found.last_mut(), bare.split_once('=')) {
            let value =
                value.split_once(" #").or_else(|| value.split_once("\t#")).map_or(value, |(value, _)| value);
            let at = FileLine {
                path: path.into(),
                line: number,
                last: number,
                text: bare.into(),
                ..FileLine::default()
            };
            unit.options.push((key.trim().into(), value.trim().into(), at));
        }
    }
    found
}

impl Merged {
    /// Scripts that it runs, as paths of the system.
    pub fn scripts(&self) -> &[String] {
        &self.scripts
    }

    /// Values of connection tracking that it writes. `again`: tuned applies the files of sysctls behind its own values
    /// (`reapply_sysctl` of tuned-main.conf, and the default).
    pub fn writes(&self, again: bool) -> Vec<Write> {
        let variables = self.variables();
        let mut found = Vec::new();
        for unit in self.units.iter().filter(|unit| unit.is_on()) {
            for (name, value, line) in &unit.options {
                let (key, value) = match unit.kind() {
                    // tuned makes a slash of each dot.
                    "sysctl" => (Some(name.replace('.', "/")).filter(|key| is_ours(key)), value.as_str()),
                    "net" if name == "nf_conntrack_hashsize" => (Some(BUCKETS.to_owned()), value.as_str()),
                    "sysfs" => (of_file(name), value.as_str()),
                    "modules" if name.replace('-', "_") == "nf_conntrack" => {
                        let mut sizes =
                            value.split([' ', '\t', ',']).filter_map(|word| word.strip_prefix("hashsize="));
                        match sizes.next_back() {
                            Some(size) => (Some(BUCKETS.to_owned()), size),
                            None => continue,
                        }
                    }
                    _ => continue,
                };
                let Some(key) = key else { continue };
                let value = expanded(value, &variables);
                let value = value.trim_matches(['"', '\'']);
                // `>5` writes 5 where less is in force, `<5` where more is.
                let only = value.chars().next().filter(|c| matches!(c, '<' | '>') && value.len() > 1);
                let value = Some(if only.is_some() { value[1..].to_owned() } else { value.to_owned() });
                let overruled = again && unit.kind() == "sysctl";
                found.push(Write { line: line.clone(), key, value, only, overruled, ..Write::default() });
            }
        }
        found
    }

    fn variables(&self) -> HashMap<&str, &str> {
        let units = self.units.iter().filter(|unit| unit.name == "variables");
        units
            .flat_map(|unit| unit.options.iter().map(|(key, value, _)| (key.as_str(), value.as_str())))
            .collect()
    }
}

/// `${name}` of the section `variables`; what tuned works out by itself stays.
fn expanded(value: &str, variables: &HashMap<&str, &str>) -> String {
    let mut said = value.to_owned();
    // A variable may stand for another one.
    for _ in 0..4 {
        let Some((before, rest)) = said.split_once("${") else { break };
        let Some((name, behind)) = rest.split_once('}') else { break };
        let Some(value) = variables.get(name).filter(|value| value.len() <= 256) else { break };
        said = format!("{before}{value}{behind}");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(profiles: &[(&str, &str)]) -> Merged {
        let mut left: Vec<_> = profiles.to_vec();
        merged(&[profiles[0].0], &mut |name| {
            let at = left.iter().position(|(known, _)| *known == name)?;
            let (name, text) = left.remove(at);
            Some((format!("/usr/lib/tuned/{name}/tuned.conf"), text.to_owned()))
        })
    }

    #[track_caller]
    fn writes(profiles: &[(&str, &str)], expected: &[(&str, &str)]) {
        let writes = of(profiles).writes(true);
        let writes: Vec<_> =
            writes.iter().map(|w| (w.name().expect("ours"), w.value.as_deref().unwrap_or("?"))).collect();
        assert_eq!(writes, expected);
    }

    #[test]
    fn a_profile_replaces_what_it_includes() {
        let parent = "[sysctl]\nnet.netfilter.nf_conntrack_max=1\nnet.netfilter.nf_conntrack_acct=1 # on\n[net]\nnf_conntrack_hashsize=2\n";
        writes(
            &[
                ("child", "[main]\ninclude=parent\n[sysctl]\nnet.netfilter.nf_conntrack_max = 5\n"),
                ("parent", parent),
            ],
            &[("acct", "1"), ("max", "5"), ("buckets", "2")],
        );
        writes(
            &[("child", "[main]\ninclude=-none, parent\n[sysctl]\nreplace=1\nx=1\n"), ("parent", parent)],
            &[("buckets", "2")],
        );
        writes(
            &[
                (
                    "child",
                    "[main]\ninclude=parent\n[sysctl]\ndrop=net.netfilter.nf_conntrack_max\n[net]\nenabled=false\n",
                ),
                ("parent", parent),
            ],
            &[("acct", "1")],
        );
        writes(&[("child", "[main]\ninclude=child\n[net]\nnf_conntrack_hashsize=3\n")], &[("buckets", "3")]);
    }

    #[test]
    fn units_write_in_their_ways() {
        let text = "[variables]\nsize=65536\n[my]\ntype=sysctl\nnet.nf_conntrack_max=>${size}\n[modules]\nnf_conntrack=+r hashsize=7\n\
                    [sysfs]\n/sys/module/nf_conntrack/parameters/hashsize=8\n[script]\nscript=${i:PROFILE_DIR}/s.sh\n\
                    [sysctl]\n#net.nf_conntrack_max=9\nnet.ipv4.vs.conntrack=1\n";
        let merged = of(&[("p", text)]);
        writes(&[("p", text)], &[("max", "65536"), ("buckets", "7"), ("buckets", "8")]);
        let all = merged.writes(true);
        assert_eq!((all[0].only, all[0].overruled, all[1].overruled), (Some('>'), true, false));
        assert_eq!((all[0].line.line, all[0].line.text.as_str()), (5, "net.nf_conntrack_max=>${size}"));
        assert_eq!(merged.scripts(), ["/usr/lib/tuned/p/s.sh"]);
    }
}
