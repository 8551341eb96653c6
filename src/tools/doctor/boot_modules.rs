//! Names of modules in what the boot reads before it applies files of sysctls: lists, the kernel's command line, and
//! the configuration of what makes an initramfs.

use super::facts::BootModule;
use crate::core::model::FileLine;

/// Meaning of an assignment to a program that makes an initramfs, or to a boot loader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    /// Modules that are loaded.
    Modules,
    /// The kernel's command line.
    CommandLine,
}

/// Assignments of files in the manner of a shell, by the beginning of their names.
const ASSIGNMENTS: [(&str, Told); 11] = [
    // dracut.conf(5). What add_drivers names is only put into the initramfs.
    ("force_drivers", Told::Modules),
    ("kernel_cmdline", Told::CommandLine),
    // Names of mkinitcpio.conf(5).
    ("MODULES_LOADED_ON_BOOT", Told::Modules),
    ("MODULES", Told::Modules),
    // OpenRC's conf.d/modules, and update-extlinux.conf of Alpine.
    ("modules", Told::Modules),
    ("default_kernel_opts", Told::CommandLine),
    ("GRUB_CMDLINE_LINUX", Told::CommandLine),
    ("U_BOOT_PARAMETERS", Told::CommandLine),
    ("LINUX_KERNEL_CMDLINE", Told::CommandLine),
    ("kernelopts", Told::CommandLine),
    ("CMDLINE", Told::CommandLine),
];

/// Options of the kernel's command line whose value is a list of modules to load: of systemd-modules-load(8), of
/// dracut.cmdline(7), and of Alpine's initramfs. `-` and `_` are one.
const OPTIONS: [&str; 7] = [
    "modules_load",
    "rd.modules_load",
    "rd.driver.pre",
    "rd.driver.post",
    "rdloaddriver",
    "rdinsmodpost",
    "modules",
];

/// As the kernel names a module.
pub fn normalized(name: &str) -> String {
    name.trim_end_matches(".ko").replace('-', "_")
}

fn named(name: &str, at: &FileLine, obeys_blacklist: bool) -> BootModule {
    BootModule { name: normalized(name), at: at.clone(), obeys_blacklist }
}

/// Of lists with a module a line. systemd looks up the line as a whole (modules-load.d(5)): with options, a second name
/// or `.ko` behind it, it finds nothing. Others take options behind the name.
pub fn of_lists(lines: &[FileLine], by_systemd: bool) -> Vec<BootModule> {
    let of = |line: &FileLine| match by_systemd {
        true => Some(line.text.trim_ascii()).filter(|text| !text.is_empty()).map(|text| BootModule {
            name: text.replace('-', "_"),
            at: line.clone(),
            obeys_blacklist: true,
        }),
        false => line.text.split_ascii_whitespace().next().map(|name| named(name, line, false)),
    };
    lines.iter().filter_map(of).collect()
}

/// Of the kernel's command line.
pub fn of_command_lines(lines: &[FileLine]) -> Vec<BootModule> {
    let of = |line: &FileLine| {
        let names = parameters(&line.text).filter(|(key, _)| OPTIONS.contains(&key.as_str()));
        let names = names.flat_map(|(_, value)| value.split(',').map(str::to_owned).collect::<Vec<_>>());
        names.filter(|name| !name.is_empty()).map(|name| named(&name, line, false)).collect::<Vec<_>>()
    };
    lines.iter().flat_map(of).collect()
}

/// Parameters of a kernel's command line, wherever it stands: `-` in names as `_`, quotes left out.
pub fn parameters(text: &str) -> impl Iterator<Item = (String, String)> {
    let bare = |c: char| matches!(c, '"' | '\'' | '(' | ')');
    text.split(move |c: char| c.is_whitespace() || bare(c)).filter_map(|word| {
        let (key, value) = word.split_once('=')?;
        Some((key.replace('-', "_"), value.to_owned()))
    })
}

/// Of assignments in the manner of a shell; a value may go over several lines.
pub fn of_assignments(path: &str, text: &str) -> (Vec<BootModule>, Vec<FileLine>) {
    let (mut modules, mut lines) = (Vec::new(), Vec::new());
    for (at, name, value) in assignments(path, text) {
        let told = ASSIGNMENTS.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, told)| *told);
        match told {
            Some(Told::Modules) => {
                let bare = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | ')' | ',');
                let names = value.split(bare).filter(|name| !name.is_empty() && !name.starts_with('#'));
                modules.extend(names.map(|name| named(name, &at, false)));
            }
            Some(Told::CommandLine) => lines.push(at),
            None => {}
        }
    }
    (modules, lines)
}

/// `NAME=value` and `NAME+=value` with the line where each begins; a quoted value or a list in parentheses ends where
/// it is closed.
fn assignments(path: &str, text: &str) -> Vec<(FileLine, String, String)> {
    let mut found = Vec::new();
    let mut lines = (1u32..).zip(text.lines());
    while let Some((line, first)) = lines.next() {
        let first = first.trim();
        let Some((name, value)) = first.split_once('=').filter(|_| !first.starts_with('#')) else { continue };
        let at = FileLine {
            path: path.to_owned(),
            line,
            last: line,
            text: first.to_owned(),
            ..FileLine::default()
        };
        let mut value = value.trim().to_owned();
        while is_open(&value) {
            let Some((_, more)) = lines.next() else { break };
            value.push(' ');
            value.push_str(more.split('#').next().unwrap_or_default().trim());
        }
        let name = name.trim().trim_end_matches('+').trim_start_matches("export ").trim();
        found.push((at, name.to_owned(), value));
    }
    found
}

fn is_open(value: &str) -> bool {
    let quote = |c: char| value.starts_with(c) && value.matches(c).count() == 1;
    quote('"') || quote('\'') || (value.starts_with('(') && !value.contains(')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> FileLine {
        FileLine { text: text.into(), ..FileLine::default() }
    }

    fn names(modules: &[BootModule]) -> Vec<&str> {
        modules.iter().map(|module| module.name.as_str()).collect()
    }

    #[test]
    fn the_command_line_names_modules_in_each_of_its_ways() {
        for (text, expected) in [
            ("quiet modules-load=nf_conntrack,br-netfilter", &["nf_conntrack", "br_netfilter"][..]),
            ("GRUB_CMDLINE_LINUX=\"modules_load=nf_conntrack\"", &["nf_conntrack"]),
            ("rd.driver.pre=nf_conntrack ro", &["nf_conntrack"]),
            ("nf_conntrack.hashsize=65536 modules-load=", &[]),
        ] {
            assert_eq!(names(&of_command_lines(&[line(text)])), expected, "{text}");
        }
    }

    #[test]
    fn assignments_of_those_that_make_an_initramfs() {
        for (text, expected) in [
            ("force_drivers+=\" nf_conntrack  nf-nat \"\n", &["nf_conntrack", "nf_nat"][..]),
            ("force_drivers+=\"\n  nf_conntrack # early\n\"\nadd_drivers+=\" x \"\n", &["nf_conntrack"]),
            ("MODULES=(ext4 nf_conntrack)\n", &["ext4", "nf_conntrack"]),
            ("MODULES=(\n  nf_conntrack\n)\n", &["nf_conntrack"]),
            ("modules=\"nf_conntrack\"\n", &["nf_conntrack"]),
            ("#force_drivers+=\" nf_conntrack \"\nadd_drivers+=\" nf_conntrack \"\n", &[]),
        ] {
            assert_eq!(names(&of_assignments("/x", text).0), expected, "{text}");
        }
        let (modules, lines) = of_assignments("/x", "GRUB_CMDLINE_LINUX_DEFAULT='quiet modules-load=a'\n");
        assert!(modules.is_empty());
        assert_eq!(names(&of_command_lines(&lines)), ["a"]);
    }
}
