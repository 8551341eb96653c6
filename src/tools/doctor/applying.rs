//! Finds what applies files of sysctls besides the boot itself, and whether conntrack's module is there by then:
//! units, scripts, rules of udev, commands of modprobe.d.

use super::boot_modules::normalized;
use super::facts::{Files, Program, When};
use super::formats::writes::script;
use super::formats::{Command, modprobe, shell, udev};
use super::modules;
use crate::core::model::{AppliedBy, FileLine, SysctlFile, SysctlLine};

/// Files that a command applies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// `sysctl --system`: the directories, and /etc/sysctl.conf.
    System,
    /// systemd-sysctl: the directories.
    Directories,
    /// `sysctl -p FILE`: one file.
    One(String),
    /// Lines of /etc/sysctl.d that contain one of these words (iptables-services).
    Matching(Vec<String>),
}

/// A command that applies files of sysctls behind the boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applier {
    /// Line that applies them.
    pub at: FileLine,
    /// Files that are applied.
    pub which: Which,
    /// Only names below one of these (`net/netfilter`); all where there is none.
    pub prefixes: Vec<String>,
    /// Conntrack's module is loaded by then for certain.
    pub certain: bool,
}

impl Applier {
    /// True if it applies a file.
    pub fn reads(&self, file: &SysctlFile) -> bool {
        match &self.which {
            Which::System => {
                matches!(file.applied_by, AppliedBy::Boot | AppliedBy::HandOnly) || is_conf(file)
            }
            Which::Directories => file.applied_by == AppliedBy::Boot && !is_conf(file),
            Which::One(path) => *path == file.path || *path == file.listed_as,
            Which::Matching(_) => file.listed_as.starts_with("/etc/sysctl.d/"),
        }
    }

    /// True if it applies a line of a file.
    pub fn applies(&self, file: &SysctlFile, line: &SysctlLine) -> bool {
        let below = |prefix: &String| line.key.starts_with(prefix.as_str());
        let named = match &self.which {
            Which::Matching(words) => words.iter().any(|word| line.text.contains(word.as_str())),
            _ => self.prefixes.is_empty() || self.prefixes.iter().any(below),
        };
        named && self.reads(file)
    }
}

fn is_conf(file: &SysctlFile) -> bool {
    file.path == "/etc/sysctl.conf" && file.listed_as == file.path
}

/// All that there are.
pub fn appliers(files: &Files) -> Vec<Applier> {
    let mut found: Vec<Applier> =
        files.programs.iter().flat_map(|program| of_program(program, files)).collect();
    found.extend(files.udev.iter().flat_map(of_rule));
    found.extend(modules::read(files).flat_map(of_install));
    found.extend(load_lists(files));
    found
}

fn of_program(program: &Program, files: &Files) -> Vec<Applier> {
    let (mut found, mut loaded) = (Vec::new(), false);
    if !matches!(program.when, When::Boot | When::Again) {
        return found;
    }
    for command in expanded(&program.commands) {
        loaded |= loads(&command, files);
        let at = command.line.clone();
        found.extend(applied(&command).map(|(which, prefixes)| Applier {
            at,
            which,
            prefixes,
            certain: loaded,
        }));
    }
    found
}

/// A rule of udev that runs it when the module comes.
fn of_rule(line: &FileLine) -> Vec<Applier> {
    match udev::is_for_module(&line.text) {
        true => certain(&udev::commands(std::slice::from_ref(line))),
        false => Vec::new(),
    }
}

/// `install nf_conntrack modprobe -i nf_conntrack && sysctl --system`.
fn of_install(line: &FileLine) -> Vec<Applier> {
    match modprobe::install(line).is_some_and(|(module, _)| normalized(module) == "nf_conntrack") {
        true => certain(&modprobe::commands(line)),
        false => Vec::new(),
    }
}

fn certain(commands: &[Command]) -> Vec<Applier> {
    let of = |command: Command| {
        let (which, prefixes) = applied(&command)?;
        Some(Applier { at: command.line, which, prefixes, certain: true })
    };
    expanded(commands).into_iter().filter_map(of).collect()
}

/// Shells in shells are read this deep.
const DEEPEST: usize = 4;

/// The commands, and behind each shell those that it is given (`sh -c TEXT`).
pub fn expanded(commands: &[Command]) -> Vec<Command> {
    deeper(commands, DEEPEST)
}

fn deeper(commands: &[Command], depth: usize) -> Vec<Command> {
    let of = |command: &Command| {
        let inside = script(command).filter(|_| depth > 0).map(|text| shell::of_line(&command.line, text));
        let inside = inside.map(|inside| deeper(&inside, depth - 1)).unwrap_or_default();
        [vec![command.clone()], inside].concat()
    };
    commands.iter().flat_map(of).collect()
}

fn load_lists(files: &Files) -> impl Iterator<Item = Applier> {
    files.firewalls.iter().filter_map(|line| {
        let (name, list) = line.text.split_once('=')?;
        let words = list.trim().trim_matches(['"', '\'']).split_whitespace().map(str::to_owned).collect();
        name.trim().ends_with("TABLES_SYSCTL_LOAD_LIST").then(|| Applier {
            at: line.clone(),
            which: Which::Matching(words),
            prefixes: Vec::new(),
            certain: false,
        })
    })
}

/// Files that a command applies, and the names below which it does.
fn applied(command: &Command) -> Option<(Which, Vec<String>)> {
    let arguments = command.arguments();
    let has = |options: &[&str]| arguments.iter().any(|word| options.contains(&word.as_str()));
    match command.program() {
        "systemd-sysctl" => {
            let named = arguments.iter().skip(1).find(|word| !word.starts_with('-'));
            Some((named.map_or(Which::Directories, |path| Which::One(path.clone())), prefixes(arguments)))
        }
        "sysctl" if has(&["--system"]) => Some((Which::System, prefixes(arguments))),
        "sysctl" => {
            let is = |word: &String| match word.strip_prefix("--") {
                Some(long) => long == "load" || long.starts_with("load="),
                // Short options in one word: `-qp`, `-ep`.
                None => word.starts_with('-') && word.contains('p') && !word.contains('='),
            };
            let at = arguments.iter().position(is)?;
            let long = arguments[at].strip_prefix("--load=").map(str::to_owned);
            let next = arguments.iter().skip(at + 1).find(|word| !word.starts_with('-')).cloned();
            Some((Which::One(long.or(next).unwrap_or_else(|| "/etc/sysctl.conf".into())), Vec::new()))
        }
        "systemctl" if has(&["restart", "reload-or-restart", "try-restart"]) => service(arguments),
        "service" | "rc-service" | "invoke-rc.d" => service(arguments),
        "procps" | "sysctl.sh" => Some((Which::System, Vec::new())),
        _ => None,
    }
}

/// A restart of what applies them at boot.
fn service(arguments: &[String]) -> Option<(Which, Vec<String>)> {
    let named = arguments.iter().skip(1).find_map(|word| match word.trim_end_matches(".service") {
        "systemd-sysctl" => Some(Which::Directories),
        "procps" | "sysctl" => Some(Which::System),
        _ => None,
    });
    named.map(|which| (which, Vec::new()))
}

/// `--prefix=/net/netfilter` of systemd-sysctl, and what a pattern of procps says plainly.
fn prefixes(arguments: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word.as_str(), None),
        };
        if !matches!(option, "--prefix" | "--pattern" | "-r") {
            continue;
        }
        let value = value.or_else(|| words.next().map(String::as_str)).unwrap_or_default();
        let plain: String =
            value.chars().filter(|c| !matches!(c, '^' | '$' | '\\' | '*' | '(' | ')')).collect();
        let plain = plain.trim_start_matches("/proc/sys/").trim_start_matches('/');
        let dotted = !plain.contains('/');
        found.push(
            if dotted { plain.replace('.', "/") } else { plain.to_owned() }.trim_end_matches('/').to_owned(),
        );
    }
    found
}

/// True if a command brings conntrack's module.
pub fn loads(command: &Command, files: &Files) -> bool {
    let arguments = command.arguments();
    let has = |words: &[&str]| arguments.iter().any(|word| words.contains(&word.as_str()));
    match command.program() {
        "modprobe" => {
            let removes = has(&["-r", "--remove", "-n", "--dry-run", "-R"]);
            let names = arguments.iter().skip(1).filter(|word| !word.starts_with('-'));
            // Without -a what comes behind the first name are its options.
            let several = has(&["-a", "--all"])
                || arguments.iter().any(|w| w.starts_with('-') && !w.starts_with("--") && w.contains('a'));
            let names: Vec<_> = if several { names.collect() } else { names.take(1).collect() };
            !removes && names.iter().any(|name| modules::brings(&normalized(name), files))
        }
        "insmod" => arguments.get(1).is_some_and(|path| {
            let name = path.rsplit('/').next().unwrap_or_default();
            modules::brings(&normalized(name.split(".ko").next().unwrap_or(name)), files)
        }),
        "conntrack" => true,
        "iptables" | "ip6tables" => {
            has(&["conntrack", "state", "nat", "MASQUERADE", "SNAT", "DNAT", "--ctstate", "CT"])
        }
        _ => false,
    }
}

/// Programs that run before the boot applies the files and load the module.
pub fn loads_before(files: &Files) -> bool {
    let before = files.programs.iter().filter(|program| program.when == When::BeforeSysctls);
    let mut commands = before.flat_map(|program| expanded(&program.commands));
    commands.any(|command| loads(&command, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_apply_files_are_known() {
        let of = |line: &str| applied(&shell::commands("/x", line)[0]);
        let file = |path: &str| Some((Which::One(path.into()), Vec::new()));
        assert_eq!(of("sysctl --system"), Some((Which::System, Vec::new())));
        assert_eq!(of("/sbin/sysctl -p"), file("/etc/sysctl.conf"));
        assert_eq!(of("sysctl -e -q -p /etc/x.conf"), file("/etc/x.conf"));
        assert_eq!(of("sysctl -qp /etc/x.conf"), file("/etc/x.conf"));
        assert_eq!(of("sysctl --load=/etc/x.conf"), file("/etc/x.conf"));
        assert_eq!(
            of("/usr/lib/systemd/systemd-sysctl --prefix=/net/netfilter"),
            Some((Which::Directories, vec!["net/netfilter".into()]))
        );
        assert_eq!(of("systemctl restart systemd-sysctl.service"), Some((Which::Directories, Vec::new())));
        assert_eq!(of("service procps restart"), Some((Which::System, Vec::new())));
        for line in [
            "sysctl -w a=p",
            "sysctl -n net.x",
            "systemctl start systemd-sysctl",
            "sysctl net.ipv4.ip_forward=1",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn commands_that_bring_the_module_are_known() {
        let files = Files::default();
        let loads = |line: &str| loads(&shell::commands("/x", line)[0], &files);
        for line in [
            "modprobe nf_conntrack",
            "/sbin/modprobe -q nf-conntrack hashsize=1",
            "modprobe -a x nf_nat",
            "insmod /lib/modules/x/nf_conntrack.ko.xz",
            "iptables -t nat -A POSTROUTING -j MASQUERADE",
        ] {
            assert!(loads(line), "{line}");
        }
        for line in
            ["modprobe -r nf_conntrack", "modprobe x nf_conntrack", "iptables -A INPUT -j ACCEPT", "echo"]
        {
            assert!(!loads(line), "{line}");
        }
    }
}
