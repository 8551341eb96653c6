//! Files of directories that run: names and modes that `run-parts` and its kin pass over, and the files that
//! interfaces(5) names.

use std::collections::BTreeSet;

use super::super::settings::part_matches;
use super::files::lines;
use crate::linux::image::Image;
use crate::linux::text_lines::Format;

/// Family of the system that a tree holds, as far as the scripts of cron and the like run in another way there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    /// run-parts(8) of debianutils, and Debian's cron.
    Debian,
    /// run-parts of crontabs, and cronie.
    RedHat,
    /// run-parts of busybox.
    Busybox,
    /// Nothing tells: every file may run.
    Unknown,
}

/// Directories whose scripts run-parts runs.
const RUN_PARTS: [&str; 11] = [
    "etc/cron.hourly",
    "etc/cron.daily",
    "etc/cron.weekly",
    "etc/cron.monthly",
    "etc/network/if-pre-up.d",
    "etc/network/if-up.d",
    "etc/ppp/ip-up.d",
    "etc/periodic/15min",
    "etc/periodic/hourly",
    "etc/periodic/daily",
    "etc/periodic/weekly",
];
/// Directory of tables, of which cron takes the names that run-parts takes, or nearly so.
const TABLES: &str = "etc/cron.d";

/// Rules by which files of such directories run.
pub struct Hooks<'a> {
    image: &'a Image,
    family: Family,
}

impl<'a> Hooks<'a> {
    /// Those of a tree.
    pub fn new(image: &'a Image) -> Hooks<'a> {
        Hooks { image, family: family(image) }
    }

    /// Paths of the files of wg-quick.
    pub fn wireguard(image: &Image) -> Vec<String> {
        inside(image, "etc/wireguard", |name| name.ends_with(".conf"))
    }

    /// Paths of the files of a directory that run, or may run.
    pub fn inside(&self, directory: &str) -> Vec<String> {
        inside(self.image, directory, |name| self.run(directory, name))
    }

    /// True if a file of a directory runs, or may run.
    pub fn run(&self, directory: &str, name: &str) -> bool {
        let script = RUN_PARTS.contains(&directory);
        let named = match self.family {
            _ if !script && directory != TABLES => true,
            Family::Debian | Family::Busybox => is_plain(name),
            Family::RedHat if script => cronie_runs(name),
            Family::RedHat => cronie_reads(name),
            Family::Unknown => true,
        };
        let started =
            || !script || self.family == Family::Unknown || self.image.runs(&format!("{directory}/{name}"));
        named && started()
    }
}

fn family(image: &Image) -> Family {
    let release = ["etc/os-release", "usr/lib/os-release"].iter().find_map(|path| image.read(path));
    let ids: Vec<String> = release
        .iter()
        .flat_map(|text| text.text.lines())
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| {
            value.trim_matches(['"', '\'']).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let is = |files: &[&str], names: &[&str]| {
        files.iter().any(|path| image.exists(path)) || ids.iter().any(|id| names.contains(&id.as_str()))
    };
    match () {
        () if is(&["etc/debian_version"], &["debian", "ubuntu"]) => Family::Debian,
        () if is(&["etc/redhat-release", "etc/fedora-release"], &["rhel", "fedora", "centos"]) => {
            Family::RedHat
        }
        () if is(&["etc/alpine-release"], &["alpine"]) => Family::Busybox,
        () => Family::Unknown,
    }
}

/// Names that run-parts(8) takes without an option for others, and cron of Debian in /etc/cron.d.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// Names that run-parts of Red Hat's crontabs takes.
fn cronie_runs(name: &str) -> bool {
    const LEFT_OUT: [&str; 8] = ["~", ",", ",v", ".rpmsave", ".rpmorig", ".rpmnew", ".swp", ".cfsaved"];
    !name.starts_with('.') && !LEFT_OUT.iter().any(|end| name.ends_with(end))
}

/// Names that cronie takes in /etc/cron.d (`not_a_crontab`).
fn cronie_reads(name: &str) -> bool {
    const LEFT_OUT: [&str; 4] = ["~", ".rpmsave", ".rpmorig", ".rpmnew"];
    !name.starts_with(['.', '#']) && !LEFT_OUT.iter().any(|end| name.ends_with(end))
}

/// More files of interfaces(5) are not looked at.
const MOST_SOURCED: usize = 4096;

/// The files that ifupdown reads: /etc/network/interfaces, and what `source` and `source-directory` name there.
pub fn interfaces(image: &Image) -> Vec<String> {
    let mut todo = vec!["etc/network/interfaces".to_owned()];
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    while let Some(path) = todo.pop().filter(|_| found.len() < MOST_SOURCED) {
        if !seen.insert(path.clone()) {
            continue;
        }
        for line in lines(image.read(&path), Format::Interfaces) {
            let mut words = line.text.split_ascii_whitespace();
            let told = words.next().unwrap_or_default();
            for pattern in words.map(|word| below(&path, word)) {
                match told {
                    "source" => todo.extend(expanded(image, &pattern)),
                    "source-directory" => todo.extend(inside(image, &pattern, is_plain)),
                    // busybox
                    "source-dir" => todo.extend(inside(image, &pattern, |name| !name.starts_with('.'))),
                    _ => break,
                }
            }
        }
        found.push(path);
    }
    found
}

/// A path of a line, below the root; without `/` in front it begins in the directory of the file.
fn below(file: &str, word: &str) -> String {
    let word = word.trim_matches(['"', '\'']);
    match word.strip_prefix('/') {
        Some(path) => path.trim_end_matches('/').to_owned(),
        None => format!("{}/{}", file.rsplit_once('/').map_or("", |(directory, _)| directory), word),
    }
}

fn inside(image: &Image, pattern: &str, counts: impl Fn(&str) -> bool) -> Vec<String> {
    let files = |directory: String| {
        let names = image.list(&directory).into_iter().filter(|name| counts(name));
        names.map(|name| format!("{directory}/{name}")).collect::<Vec<_>>()
    };
    expanded(image, pattern).into_iter().flat_map(files).collect()
}

/// The paths that match a pattern of a shell.
fn expanded(image: &Image, pattern: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let wild = part.contains(['*', '?', '[']);
        let join = |directory: &str, name: &str| match directory {
            "" => name.to_owned(),
            directory => format!("{directory}/{name}"),
        };
        let of = |directory: &String| match wild {
            false => vec![join(directory, part)],
            true => {
                let names = image.list(directory).into_iter();
                let names = names.filter(|name| part.starts_with('.') || !name.starts_with('.'));
                names.filter(|name| part_matches(part, name)).map(|name| join(directory, &name)).collect()
            }
        };
        found = found.iter().flat_map(of).take(MOST_SOURCED).collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_their_readers_take_them() {
        for (name, plain, runs, reads) in [
            ("ct", true, true, true),
            ("0ct_x-y", true, true, true),
            ("ct.sh", false, true, true),
            ("ct~", false, false, false),
            ("ct,v", false, false, true),
            ("ct.rpmsave", false, false, false),
            ("ct.swp", false, false, true),
            (".ct", false, false, false),
            ("#ct", false, true, false),
        ] {
            assert_eq!(
                (is_plain(name), cronie_runs(name), cronie_reads(name)),
                (plain, runs, reads),
                "{name}"
            );
        }
    }
}
