//! Gathers what the boot loads and runs: lists of modules, the kernel's command line, units that are enabled, and
//! scripts.

use std::collections::BTreeSet;

use super::super::applying;
use super::super::boot_modules;
use super::super::formats::{Command, hooked, listed};
use super::super::units::{Directive, Unit};
use super::super::{BootModule, Program, When};
use super::commands;
use super::files::{lines, of_directories};
use super::hooks::{self, Hooks};
use super::units;
use crate::core::model::FileLine;
use crate::linux::image::Image;
use crate::linux::text_lines::Format;

/// Units that come before the files are applied, or apply them.
const EARLY: [&str; 2] = ["systemd-modules-load.service", "systemd-sysctl.service"];
/// Files with assignments that name modules, or hold the kernel's command line.
const ASSIGNING: [&str; 9] = [
    "etc/default/grub",
    "etc/default/u-boot",
    "etc/default/flash-kernel",
    "etc/dracut.conf",
    "etc/mkinitcpio.conf",
    "etc/conf.d/modules",
    "etc/update-extlinux.conf",
    "etc/sysconfig/kernel",
    "boot/grub2/grubenv",
];
/// Directories of such files, and how their names end.
const ASSIGNING_DIRECTORIES: [(&str, &str); 6] = [
    ("etc/default/grub.d", ".cfg"),
    ("usr/lib/dracut/dracut.conf.d", ".conf"),
    ("etc/dracut.conf.d", ".conf"),
    ("etc/mkinitcpio.conf.d", ".conf"),
    ("run/dracut.conf.d", ".conf"),
    ("etc/initramfs-tools/conf.d", ""),
];
/// Files that are the kernel's command line, or hold it in lines of their own.
const COMMAND_LINES: [&str; 9] = [
    "etc/kernel/cmdline",
    "usr/lib/kernel/cmdline",
    "boot/cmdline.txt",
    "boot/firmware/cmdline.txt",
    "boot/grub/grub.cfg",
    "boot/grub2/grub.cfg",
    "boot/extlinux/extlinux.conf",
    "boot/extlinux.conf",
    "boot/syslinux/syslinux.cfg",
];
const COMMAND_LINE_DIRECTORIES: [(&str, &str); 5] = [
    ("efi/loader/entries", ".conf"),
    ("etc/cmdline.d", ".conf"),
    ("usr/lib/cmdline.d", ".conf"),
    ("boot/loader/entries", ".conf"),
    ("boot/efi/loader/entries", ".conf"),
];
/// Scripts that the boot runs, or that run as an interface comes.
const SCRIPTS: [&str; 3] = ["etc/rc.local", "etc/rc.d/rc.local", "etc/rc.modules"];
const SCRIPT_DIRECTORIES: [&str; 9] = [
    "etc/local.d",
    "etc/network/if-pre-up.d",
    "etc/network/if-up.d",
    "etc/NetworkManager/dispatcher.d",
    "etc/networkd-dispatcher/routable.d",
    "etc/ppp/ip-up.d",
    "etc/boot.d",
    "etc/hotplug.d/iface",
    "etc/dhcp/dhclient-exit-hooks.d",
];
/// Scripts that run again and again.
const PERIODIC: [&str; 8] = [
    "etc/cron.hourly",
    "etc/cron.daily",
    "etc/cron.weekly",
    "etc/cron.monthly",
    "etc/periodic/15min",
    "etc/periodic/hourly",
    "etc/periodic/daily",
    "etc/periodic/weekly",
];
/// Links to the scripts that the boot starts: of sysvinit, OpenRC and OpenWrt.
const STARTED: [&str; 9] = [
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc5.d",
    "etc/rcS.d",
    "etc/rc.d",
    "etc/rc.d/rc3.d",
    "etc/runlevels/boot",
    "etc/runlevels/default",
    "etc/runlevels/sysinit",
];
/// Those that apply the files themselves, as the boot's own.
const OWN: [&str; 4] = ["procps", "sysctl", "kmod", "modules"];

/// Modules that are named for the boot, and lines with the kernel's command line.
pub fn modules(image: &Image, systemd: bool) -> (Vec<BootModule>, Vec<FileLine>) {
    let conf = |name: &str| name.ends_with(".conf");
    let mut found = boot_modules::of_lists(
        &of_directories(image, "modules-load.d", Format::Plain, conf, |_| true),
        systemd,
    );
    // systemd reads /etc/modules by a link of modules-load.d alone.
    if !systemd {
        found.extend(boot_modules::of_lists(&lines(image.read("etc/modules"), Format::Plain), false));
    }
    // Loaded by the initramfs, and by procd's kmodloader.
    let mut lists =
        vec!["etc/initramfs-tools/modules".to_owned(), "usr/share/initramfs-tools/modules".to_owned()];
    for directory in ["usr/share/initramfs-tools/modules.d", "etc/modules-boot.d", "etc/modules.d"] {
        lists.extend(inside(image, directory, ""));
    }
    for path in &lists {
        found.extend(boot_modules::of_lists(&lines(image.read(path), Format::Plain), false));
    }
    let directories = ASSIGNING_DIRECTORIES.iter().flat_map(|(directory, end)| inside(image, directory, end));
    let mut command_lines = Vec::new();
    for path in ASSIGNING.iter().map(ToString::to_string).chain(directories) {
        let Some(text) = image.read(&path) else { continue };
        let (modules, lines) = boot_modules::of_assignments(&text.path, &text.text);
        found.extend(modules);
        command_lines.extend(lines);
    }
    let directories =
        COMMAND_LINE_DIRECTORIES.iter().flat_map(|(directory, end)| inside(image, directory, end));
    for path in COMMAND_LINES.iter().map(ToString::to_string).chain(directories) {
        command_lines.extend(lines(image.read(&path), Format::Plain));
    }
    // A tree may hold that of the system that it was taken from.
    command_lines.extend(lines(image.read("proc/cmdline"), Format::Plain));
    command_lines.retain(|line| line.text.contains('='));
    found.extend(boot_modules::of_command_lines(&command_lines));
    (found, command_lines)
}

/// Paths of the files of a directory whose names end so.
pub fn inside(image: &Image, directory: &str, end: &str) -> Vec<String> {
    let names = image.list(directory).into_iter().filter(|name| name.ends_with(end));
    names.map(|name| format!("{directory}/{name}")).collect()
}

/// Programs that run, and the files of which they are made.
#[derive(Default)]
pub struct Programs {
    /// In no particular order.
    pub programs: Vec<Program>,
    /// Files of units that are started, and of scripts that they run.
    pub paths: Vec<String>,
    /// Names of units that are started.
    pub units: Vec<String>,
}

/// Units that are started, the scripts that they run, and the scripts that run without a unit.
pub fn programs(image: &Image, systemd: bool) -> Programs {
    let mut found = Programs::default();
    let units = if systemd { self::started(image) } else { Vec::new() };
    let after_these: BTreeSet<String> = {
        let own = units.iter().filter(|unit| unit.name == EARLY[1]);
        own.flat_map(|unit| unit.words("After").map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    found.units = units.iter().map(|unit| unit.name.clone()).collect();
    let timers = units.iter().filter(|unit| unit.name.ends_with(".timer"));
    let timed: BTreeSet<String> = timers.flat_map(|unit| unit.starts()).collect();
    for unit in &units {
        let early = EARLY.contains(&unit.name.as_str())
            || unit.is_before(EARLY[1])
            || (after_these.contains(&unit.name) && unit.name.ends_with(".service"));
        let when = match timed.contains(&unit.name) {
            _ if early => When::BeforeSysctls,
            true => When::Again,
            false => When::Boot,
        };
        found.unit(image, unit, when);
    }
    for path in SCRIPTS {
        found.script(image, path, When::Boot);
    }
    let hooks = Hooks::new(image);
    for path in SCRIPT_DIRECTORIES.iter().flat_map(|directory| hooks.inside(directory)) {
        found.script(image, &path, When::Boot);
    }
    for path in PERIODIC.iter().flat_map(|directory| hooks.inside(directory)) {
        found.script(image, &path, When::Again);
    }
    for path in inside(image, "etc/sysconfig/modules", ".modules") {
        let when = if systemd { When::Boot } else { When::BeforeSysctls };
        found.script(image, &path, when);
    }
    found.services(image, &units);
    found.tables(image, &hooks);
    if systemd {
        found.started_by_commands(image);
    }
    found
}

impl Programs {
    fn unit(&mut self, image: &Image, unit: &Unit, when: When) {
        let of = |directive: &Directive| directive.at.path.trim_start_matches('/').to_owned();
        let mut paths: Vec<String> = unit.directives.iter().map(of).collect();
        paths.dedup();
        self.paths.extend(paths);
        self.with_scripts(image, when, unit.commands());
    }

    /// Commands, with those of scripts that they run.
    fn with_scripts(&mut self, image: &Image, when: When, started: Vec<Command>) {
        let mut commands = Vec::new();
        for command in started {
            let paths: Vec<String> =
                applying::expanded(std::slice::from_ref(&command)).iter().filter_map(script_of).collect();
            commands.push(command);
            for path in paths {
                let inside = of_script(image, &path);
                if !inside.is_empty() {
                    self.paths.push(path);
                }
                commands.extend(inside);
            }
        }
        self.push(when, commands);
    }

    /// A table of cron: what stands behind `@reboot` runs once.
    fn table(&mut self, image: &Image, path: &str, fields: usize) {
        let lines = lines(image.read(path), Format::Plain);
        for line in &lines {
            let when = if line.text.starts_with("@reboot") { When::Boot } else { When::Again };
            self.with_scripts(image, when, listed::of_cron(std::slice::from_ref(line), fields));
        }
    }

    /// A script, with the commands of scripts of the operator's own that it runs.
    fn script(&mut self, image: &Image, path: &str, when: When) {
        const OF_PACKAGES: [&str; 4] = ["bin/", "sbin/", "usr/bin/", "usr/sbin/"];
        let commands = of_script(image, path);
        let run = applying::expanded(&commands);
        let inside = run.iter().filter_map(script_of).collect::<BTreeSet<String>>();
        self.push(when, commands);
        let own = |path: &&String| !OF_PACKAGES.iter().any(|directory| path.starts_with(directory));
        for path in inside.iter().filter(own) {
            let commands = of_script(image, path);
            if !commands.is_empty() {
                self.paths.push(path.clone());
                self.push(when, commands);
            }
        }
    }

    /// Scripts of init.d that the boot starts; a unit of the same name takes their place.
    fn services(&mut self, image: &Image, units: &[Unit]) {
        let names = STARTED.iter().flat_map(|directory| image.list(directory));
        let order = |c: char| c.is_ascii_digit();
        let bare = |name: String| match name.strip_prefix('S').filter(|rest| rest.starts_with(order)) {
            Some(rest) => rest.trim_start_matches(order).to_owned(),
            None => name,
        };
        let names: BTreeSet<String> = names.map(bare).filter(|name| !OWN.contains(&name.as_str())).collect();
        let has_unit =
            |name: &String| units.iter().any(|unit| unit.name.strip_suffix(".service") == Some(name));
        for name in names.iter().filter(|name| !has_unit(name)) {
            let path = format!("etc/init.d/{name}");
            let commands = of_script(image, &path);
            if !commands.is_empty() {
                self.paths.push(path);
                self.push(When::Boot, commands);
            }
        }
    }

    /// Units that scripts and lines of tables start by `systemctl`.
    fn started_by_commands(&mut self, image: &Image) {
        let commands = self.programs.iter().flat_map(|program| applying::expanded(&program.commands));
        let first: Vec<String> = commands.flat_map(|command| started_by(&command)).collect();
        if first.iter().all(|name| self.units.contains(name)) {
            return;
        }
        let units = units::started_with(image, first);
        for unit in units.iter().filter(|unit| !self.units.contains(&unit.name)).collect::<Vec<_>>() {
            self.unit(image, unit, When::Boot);
        }
        self.units.extend(units.into_iter().map(|unit| unit.name));
    }

    /// Tables of cron, and interfaces(5).
    fn tables(&mut self, image: &Image, hooks: &Hooks<'_>) {
        self.table(image, "etc/crontab", 6);
        self.table(image, "etc/anacrontab", 3);
        for path in hooks.inside("etc/cron.d") {
            self.table(image, &path, 6);
        }
        let tables = ["etc/crontabs", "var/spool/cron/crontabs", "var/spool/cron"];
        for path in tables.iter().flat_map(|directory| inside(image, directory, "")) {
            self.table(image, &path, 5);
        }
        for path in hooks::interfaces(image) {
            let lines = lines(image.read(&path), Format::Interfaces);
            let up = |line: &FileLine| !line.text.contains("down");
            let lines: Vec<FileLine> = lines.into_iter().filter(up).collect();
            self.push(When::Boot, listed::of_interfaces(&lines));
        }
        for path in Hooks::wireguard(image) {
            self.push(When::Boot, hooked::of_wg_quick(&lines(image.read(&path), Format::Plain)));
        }
        let inittab = lines(image.read("etc/inittab"), Format::Plain);
        self.with_scripts(image, When::Boot, hooked::of_inittab(&inittab));
    }

    fn push(&mut self, when: When, commands: Vec<Command>) {
        if !commands.is_empty() {
            self.programs.push(Program { when, commands });
        }
    }
}

/// Units that `systemctl start` and its like name; those that systemd applies files with are `applying`'s.
fn started_by(command: &Command) -> Vec<String> {
    const VERBS: [&str; 4] = ["start", "restart", "reload-or-restart", "enable"];
    let mut words = command.arguments().iter().skip(1).filter(|word| !word.starts_with('-'));
    if command.program() != "systemctl" || !words.next().is_some_and(|verb| VERBS.contains(&verb.as_str())) {
        return Vec::new();
    }
    let named = words.filter(|name| !name.starts_with("systemd-"));
    named.map(|name| if name.contains('.') { name.clone() } else { format!("{name}.service") }).collect()
}

/// The path of a script that a command runs, itself or by a shell.
fn script_of(command: &Command) -> Option<String> {
    let arguments = command.arguments();
    let path = match command.program() {
        "sh" | "bash" | "dash" | "ash" | "ksh" => {
            arguments.iter().skip(1).find(|word| !word.starts_with('-'))?
        }
        _ => arguments.first()?,
    };
    path.strip_prefix('/').map(str::to_owned)
}

/// The commands of a script; none of a program, and none of a script that has to do with neither sysctls nor modules.
fn of_script(image: &Image, path: &str) -> Vec<Command> {
    // The last are those of scripts of the operator's own, which may have to do with them.
    const WORDS: [&str; 10] = [
        "sysctl",
        "procps",
        "modprobe",
        "insmod",
        "iptables",
        "conntrack",
        "systemctl",
        "/usr/local/",
        "/opt/",
        "/root/",
    ];
    let text = image
        .read_script(path)
        .filter(|text| !text.text.contains('\0') && WORDS.iter().any(|word| text.text.contains(word)));
    text.map(|text| commands::script(&text)).unwrap_or_default()
}

/// Units that something starts at boot.
fn started(image: &Image) -> Vec<Unit> {
    let first = EARLY.iter().map(ToString::to_string).chain(units::by_devices(image));
    units::started(image, first.collect())
}
