//! Commands and values of scripts, units, rules, tables of cron and profiles, each read as the program that runs it
//! does.

use std::collections::BTreeSet;

use super::super::formats::writes::{self, Write};
use super::super::formats::{Command, hooked, listed, shell, strings, tuned, udev, unit};
use super::hooks::{self, Hooks};
use crate::linux::image::{Image, Text};
use crate::linux::text_lines::{Format, joined};

/// Files that run commands.
const SCRIPTS: [&str; 6] =
    ["etc/rc.local", "etc/rc.d/rc.local", "etc/inittab", "etc/crontab", "etc/anacrontab", "etc/sysfs.conf"];
/// Directories of such files.
const SCRIPT_DIRECTORIES: [&str; 21] = [
    "etc/cron.d",
    "etc/cron.hourly",
    "etc/cron.daily",
    "etc/cron.weekly",
    "etc/cron.monthly",
    "etc/crontabs",
    "var/spool/cron",
    "var/spool/cron/crontabs",
    "etc/network/if-pre-up.d",
    "etc/network/if-up.d",
    "etc/NetworkManager/dispatcher.d",
    "etc/networkd-dispatcher/routable.d",
    "etc/ppp/ip-up.d",
    "etc/local.d",
    "etc/systemd/system",
    "etc/udev/rules.d",
    "etc/tmpfiles.d",
    "usr/lib/tmpfiles.d",
    "etc/sysfs.d",
    "usr/local/sbin",
    "usr/local/bin",
];
/// Directories of tuned's profiles, the first that counts first.
const PROFILES: [&str; 4] = ["etc/tuned/profiles", "etc/tuned", "usr/lib/tuned/profiles", "usr/lib/tuned"];

/// Values of connection tracking that something writes.
/// `started`: files of units that something starts, and scripts that these run; nothing where no systemd tells.
pub fn writes(image: &Image, started: Option<Vec<String>>) -> Vec<Write> {
    let mut paths = paths(image);
    paths.extend(started.iter().flatten().cloned());
    let starts: Option<BTreeSet<String>> =
        started.map(|started| started.iter().filter_map(|path| image.real(path)).collect());
    let sleeps = |path: &str, text: &Text| {
        path.contains("/systemd/system/")
            && starts.as_ref().is_some_and(|starts| !starts.contains(&text.path))
    };
    let of = |path: &String| {
        let text = ours(image, path)?;
        let mut found = of_file(path, &text);
        found.iter_mut().for_each(|write| write.unstarted = sleeps(path, &text));
        Some(found)
    };
    let mut found: Vec<Write> = paths.iter().filter_map(of).flatten().collect();
    let interfaces = hooks::interfaces(image);
    let interfaces = interfaces.iter().filter_map(|path| ours(image, path));
    let commands = interfaces.flat_map(|text| listed::of_interfaces(&joined(&text, Format::Interfaces)));
    found.extend(commands.flat_map(|command| writes::of(&command)));
    let emptied: Vec<(String, String)> = paths.iter().flat_map(|path| emptied(image, path)).collect();
    found.retain(|write| !emptied.iter().any(|(unit, key)| is_of(write, unit, key)));
    found.extend(profiles(image));
    // A unit is found again by the links that enable it.
    let mut seen = BTreeSet::new();
    found.retain(|write| {
        seen.insert((write.line.path.clone(), write.line.line, write.key.clone(), write.value.clone()))
    });
    found
}

/// Units and the settings of theirs that a drop-in empties.
fn emptied(image: &Image, path: &str) -> Vec<(String, String)> {
    let directory = path.rsplit('/').nth(1).unwrap_or_default();
    let unit = directory.strip_suffix(".d").filter(|_| path.contains("/systemd/") && path.ends_with(".conf"));
    let Some((unit, text)) = unit.zip(image.read_script(path)) else { return Vec::new() };
    let keys = unit::emptied(&joined(&text, Format::Unit));
    keys.into_iter().map(|key| (unit.to_owned(), key)).collect()
}

/// True if a write is a command of that setting, in the file of the unit itself.
fn is_of(write: &Write, unit: &str, key: &str) -> bool {
    let (_, name) = write.line.path.rsplit_once('/').unwrap_or_default();
    name == unit && write.line.text.split_once('=').is_some_and(|(name, _)| name.trim() == key)
}

fn paths(image: &Image) -> Vec<String> {
    let mut paths: Vec<String> = SCRIPTS.iter().map(ToString::to_string).collect();
    paths.extend(Hooks::wireguard(image));
    let hooks = Hooks::new(image);
    for directory in SCRIPT_DIRECTORIES {
        for name in image.list(directory).into_iter().filter(|name| hooks.run(directory, name)) {
            let path = format!("{directory}/{name}");
            // Drop-ins of units.
            if name.ends_with(".d") {
                paths.extend(image.list(&path).iter().map(|inside| format!("{path}/{inside}")));
            }
            paths.push(path);
        }
    }
    paths
}

/// A file's text where it has to do with connection tracking, and is text.
fn ours(image: &Image, path: &str) -> Option<Text> {
    image.read_script(path).filter(|text| text.text.contains("conntrack") && !text.text.contains('\0'))
}

/// Values that a file writes, by what kind of file it is; a link makes it what its own place says.
fn of_file(path: &str, text: &Text) -> Vec<Write> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let below = |directory: &str| path.starts_with(directory);
    let of = |commands: Vec<Command>| at_start(commands).flat_map(|command| writes::of(&command)).collect();
    let plain = || joined(text, Format::Plain);
    match name {
        _ if path == "etc/crontab" || below("etc/cron.d/") => of(listed::of_cron(&plain(), 6)),
        _ if path == "etc/anacrontab" => of(listed::of_cron(&plain(), 3)),
        _ if below("var/spool/cron/") || below("etc/crontabs/") => of(listed::of_cron(&plain(), 5)),
        _ if path == "etc/inittab" => of(hooked::of_inittab(&plain())),
        _ if below("etc/wireguard/") => of(hooked::of_wg_quick(&plain())),
        _ if path == "etc/sysfs.conf" || below("etc/sysfs.d/") => listed::of_sysfs(&plain()),
        _ if path.contains("/tmpfiles.d/") => listed::of_tmpfiles(&plain()),
        _ if path.contains("/udev/rules.d/") => {
            let rules = if name.ends_with(".rules") { joined(text, Format::Udev) } else { Vec::new() };
            let mut found: Vec<Write> = of(udev::commands(&rules));
            found.extend(udev::writes(&rules));
            found
        }
        _ if path.contains("/systemd/system/") => of(unit::commands(&joined(text, Format::Unit))),
        _ => of(script(text)),
    }
}

/// Commands that a boot runs.
fn at_start(commands: Vec<Command>) -> impl Iterator<Item = Command> {
    commands.into_iter().filter(|command| !command.at_stop)
}

/// Shells by the name of the interpreter; a hook without one is run or read by a shell.
pub fn script(text: &Text) -> Vec<Command> {
    const SHELLS: [&str; 9] =
        ["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox", "openrc-run", "rc.common"];
    let first = text.text.lines().next().unwrap_or_default();
    let by_shell = match first.strip_prefix("#!") {
        Some(interpreter) => {
            let mut words =
                interpreter.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or_default());
            words.any(|word| SHELLS.contains(&word))
        }
        None => true,
    };
    match by_shell {
        true => shell::commands(&text.path, &text.text),
        false => strings::commands(&joined(text, Format::Plain)),
    }
}

/// Values that the active profiles of tuned write, and that the scripts write that they run.
fn profiles(image: &Image) -> Vec<Write> {
    let active = ["etc/tuned/active_profile", "etc/tuned/post_loaded_profile"];
    let active: Vec<Text> = active.iter().filter_map(|path| image.read(path)).collect();
    let names: Vec<&str> = active.iter().flat_map(|text| text.text.split_whitespace()).collect();
    let mut taken = BTreeSet::new();
    let merged = tuned::merged(&names, &mut |name| {
        let mut places = PROFILES.iter().map(|place| format!("{place}/{name}/tuned.conf"));
        let path = places.find(|path| !taken.contains(path) && image.exists(path))?;
        let text = image.read(&path)?;
        taken.insert(path);
        Some((text.path, text.text))
    });
    let main = image.read("etc/tuned/tuned-main.conf");
    let value = |line: &str| {
        line.split_once('=')
            .filter(|(key, _)| key.trim() == "reapply_sysctl")
            .map(|(_, v)| v.trim().to_owned())
    };
    let again = main.and_then(|text| text.text.lines().filter_map(value).next_back());
    let mut found = merged
        .writes(again.is_none_or(|value| matches!(value.as_str(), "1" | "True" | "true" | "yes" | "on")));
    let scripts = merged.scripts().iter().filter_map(|path| ours(image, path.trim_start_matches('/')));
    found.extend(scripts.flat_map(|text| at_start(script(&text))).flat_map(|command| writes::of(&command)));
    found
}
