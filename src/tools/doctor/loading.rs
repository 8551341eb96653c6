//! Lines about loading nf_conntrack that do not do what they say: words of the kernel's command line, lines that kmod
//! passes over, and options that come when the module is there already.

use super::applying;
use super::boot_modules::{normalized, parameters};
use super::facts::{Facts, Files, When};
use super::formats::Command;
use super::modules::{self, first, read, word};
use super::options::{self, MOST_BUCKETS, number, options};
use super::{names, trial, value};
use crate::core::model::{AppliedBy, FileLine, Finding, Severity};

/// Findings on how the module comes, and with what.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(files) = &facts.files else { return Vec::new() };
    let mut found: Vec<Finding> = read(files).filter_map(|line| passed_over(facts, files, line)).collect();
    found.extend(helper(facts, files));
    if !files.builtin {
        found.extend(refused(facts, files));
        found.extend(blacklisted(facts, files));
        found.extend(invalid(facts, files));
        found.extend(overruled(facts, files));
        found.extend(too_late(facts, files));
    }
    found
}

/// Words of a command line as they stand there, by name, with `-` in the name as `_`, and value.
fn words(line: &FileLine) -> impl Iterator<Item = (&str, String, &str)> {
    let bare = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | ')');
    line.text.split(bare).filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        Some((word, name.replace('-', "_"), value))
    })
}

/// Lines of the command line that give a parameter, each with the word and the value that counts there: the last.
fn given<'a>(files: &'a Files, parameter: &str) -> Vec<(&'a FileLine, &'a str, &'a str)> {
    let last = |line: &'a FileLine| {
        let (word, _, value) = words(line).filter(|(_, name, _)| name == parameter).last()?;
        Some((line, word, value))
    };
    files.command_lines.iter().filter_map(last).collect()
}

/// Takes a name out of the list that a word of the command line gives.
fn taken_out(facts: &Facts, line: &FileLine, word: &str, names: &[&str]) -> String {
    let (parameter, list) = word.split_once('=').unwrap_or((word, ""));
    let left: Vec<&str> =
        list.split(',').filter(|name| !names.contains(&normalized(name).as_str())).collect();
    let with = if left.is_empty() { String::new() } else { format!("{parameter}={}", left.join(",")) };
    off(facts, line, word, &with)
}

/// A word of the command line with another in its place; advice where the line is the running kernel's own.
fn off(facts: &Facts, line: &FileLine, word: &str, with: &str) -> String {
    match line.path.as_str() {
        "/proc/cmdline" => {
            format!("# take {word} out of the kernel's command line, in the configuration of the boot loader")
        }
        path => facts.substitute(path, line.line, word, with),
    }
}

/// What has to follow where a boot loader makes its own file of what was changed.
fn then_again(lines: &[&FileLine]) -> Option<String> {
    let made = lines.iter().any(|line| line.path.starts_with("/etc/"));
    made.then(|| {
        "# then have the boot loader's own file made again (update-grub, grub2-mkconfig, kernel-install)"
            .into()
    })
}

/// `module_blacklist=`: the kernel refuses to load it, or what it needs, whoever asks.
fn refused(facts: &Facts, files: &Files) -> Option<Finding> {
    // It compares the names as they are, without regard to `-`.
    const NEEDED: [&str; 3] = ["nf_conntrack", "nf_defrag_ipv4", "nf_defrag_ipv6"];
    let mut lines = given(files, "module_blacklist");
    lines.retain(|(_, _, list)| list.split(',').any(|name| NEEDED.contains(&name)));
    if lines.is_empty() {
        return None;
    }
    let mut fix: Vec<String> =
        lines.iter().map(|(line, word, _)| taken_out(facts, line, word, &NEEDED)).collect();
    let seen: Vec<&FileLine> = lines.iter().map(|(line, ..)| *line).collect();
    fix.extend(then_again(&seen));
    Some(
        Finding::new("module-not-loaded", Severity::Error, "the kernel refuses to load nf_conntrack")
            .because(
                "module_blacklist= on the kernel's command line is no blacklist of modprobe's: the kernel refuses the \
                 module whoever asks for it, by name or as what another needs. NAT, and rules that look at the state \
                 of connections, cannot be put in.",
            )
            .seen(seen.into_iter().map(|line| facts.line(line)))
            .fix(fix)
            .source(&["blacklisted, kernel/module/main.c", "kernel-parameters.txt, module_blacklist="]),
    )
}

/// Names of modules that `modprobe.blacklist=` lists.
pub fn listed_for_modprobe(files: &Files) -> impl Iterator<Item = String> {
    let of = |line: &FileLine| {
        let lists = parameters(&line.text).filter(|(name, _)| name == "modprobe.blacklist");
        lists.flat_map(|(_, list)| list.split(',').map(normalized).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    files.command_lines.iter().flat_map(of)
}

/// Takes the module off `modprobe.blacklist=`.
pub fn off_the_list(facts: &Facts, files: &Files) -> Vec<String> {
    let lines = of_modprobe(files);
    let mut fix: Vec<String> =
        lines.iter().map(|(line, word)| taken_out(facts, line, word, &["nf_conntrack"])).collect();
    fix.extend(then_again(&lines.iter().map(|(line, _)| *line).collect::<Vec<_>>()));
    fix
}

/// Each word `modprobe.blacklist=` that names the module: kmod adds up what they list.
fn of_modprobe(files: &Files) -> Vec<(&FileLine, &str)> {
    let of = |line| {
        let lists = words(line).filter(|(_, name, _)| name == "modprobe.blacklist");
        let ours =
            lists.filter(|(_, _, list)| list.split(',').any(|name| normalized(name) == "nf_conntrack"));
        ours.map(move |(word, ..)| (line, word))
    };
    files.command_lines.iter().flat_map(of).collect()
}

/// As a line `blacklist` of modprobe.d.
fn blacklisted(facts: &Facts, files: &Files) -> Option<Finding> {
    let lines = of_modprobe(files);
    // If values come too late for it, that finding says it already.
    if lines.is_empty() || super::order::before_module(facts, files).is_some() {
        return None;
    }
    Some(
        Finding::new(
            "module-blacklisted",
            Severity::Warning,
            "modprobe.blacklist= names nf_conntrack, and does not keep it away",
        )
        .because(
            "kmod reads it as a line `blacklist` of modprobe.d: modules-load.d and loading by alias pass over the \
             module. `modprobe nf_conntrack` loads it all the same, and so does every module that needs it, with the \
             first rule that asks for one, and later than its settings.",
        )
        .seen(lines.iter().map(|(line, _)| facts.line(line)))
        .fix(off_the_list(facts, files))
        .source(&["modprobe(8), modprobe.blacklist=", "kcmdline_parse_result, libkmod", "modules-load.d(5)"]),
    )
}

const ON_COMMAND_LINE: &str = "nf_conntrack.hashsize";

/// A number of buckets on the command line that the kernel does not take: the module does not load.
fn invalid(facts: &Facts, files: &Files) -> Option<Finding> {
    let mut lines = given(files, ON_COMMAND_LINE);
    lines.retain(|(_, _, value)| {
        !value.contains(['$', '`']) && number(value).is_none_or(|size| size > MOST_BUCKETS)
    });
    let (_, word, _) = lines.first()?;
    let seen: Vec<&FileLine> = lines.iter().map(|(line, ..)| *line).collect();
    let fix = lines.iter().map(|(line, word, value)| {
        let meant = value::meant(value).filter(|size| (1..=MOST_BUCKETS).contains(size));
        let with = meant.map(|size| format!("{ON_COMMAND_LINE}={size}")).unwrap_or_default();
        off(facts, line, word, &with)
    });
    Some(
        Finding::new("modprobe-bad-value", Severity::Error, format!("nf_conntrack does not load with {word}"))
            .because(
                "kmod gives the module what the kernel's command line says of it, behind what modprobe.d says, and the \
                 kernel ends the loading at a value that it cannot take.",
            )
            .seen(seen.iter().map(|line| facts.line(line)))
            .fix(fix.chain(then_again(&seen)))
            .source(&["parse_args, kernel/params.c", "kmod_config_new, libkmod"]),
    )
}

/// hashsize in modprobe.d, against another on the command line: kmod puts that behind, and the last one counts.
fn overruled(facts: &Facts, files: &Files) -> Option<Finding> {
    let told = given(files, ON_COMMAND_LINE);
    let running = told.iter().position(|(line, ..)| line.path == "/proc/cmdline");
    let (line, _, value) = running.map(|at| told[at]).or(told.last().copied())?;
    let size = number(value).filter(|size| *size <= MOST_BUCKETS)?;
    let other = |line: &&FileLine| {
        let sizes = options(line).filter(|(name, _)| *name == "hashsize");
        let last = sizes.filter_map(|(_, value)| number(value?)).last();
        first(line) == "options"
            && word(line, 1).as_deref() == Some("nf_conntrack")
            && last.is_some_and(|other| other != size)
    };
    let lines: Vec<&FileLine> = read(files).filter(other).collect();
    (!lines.is_empty()).then(|| {
        Finding::new(
            "modprobe-no-effect",
            Severity::Warning,
            format!("{ON_COMMAND_LINE}={size} on the kernel's command line wins over modprobe.d"),
        )
        .because(
            "kmod puts what the command line says of a module behind what modprobe.d says, and of two values the kernel \
             takes the last.",
        )
        .seen(lines.iter().map(|line| facts.line(line)).chain([facts.line(line)]))
        .fix(lines.iter().map(|line| options::without(facts, line, "hashsize")))
        .source(&["kmod_config_new, libkmod", "parse_args, kernel/params.c"])
    })
}

/// Commands of modprobe.d, and the words that each needs behind it.
const COMMANDS: [(&str, usize); 7] = [
    ("options", 2),
    ("blacklist", 1),
    ("alias", 2),
    ("install", 2),
    ("remove", 2),
    ("softdep", 2),
    ("weakdep", 2),
];

/// A line about conntrack that begins with no command of modprobe.d, or lacks what that needs: libkmod says so on
/// stderr, and passes over it.
fn passed_over(facts: &Facts, files: &Files, line: &FileLine) -> Option<Finding> {
    let odd = |c: char| value::is_blank(c) && !c.is_ascii();
    if !line.text.contains("conntrack") || line.text.contains(odd) {
        return None;
    }
    let command = line.text.split_ascii_whitespace().next()?;
    let behind = line.text.split_ascii_whitespace().count() - 1;
    let known = COMMANDS.iter().find(|(known, _)| *known == command);
    if known.is_some_and(|(_, needed)| behind >= *needed) {
        return None;
    }
    let title = match known {
        Some(_) => format!("kmod passes over a line about conntrack: `{command}` lacks what it needs"),
        None => format!("kmod passes over a line about conntrack: it knows no command `{command}`"),
    };
    // An empty list of options is no loss.
    let severity = if known.is_some() { Severity::Note } else { Severity::Error };
    let lower = command.trim_end_matches(':').to_ascii_lowercase();
    // The command is left out.
    let meant = match normalized(command) == "nf_conntrack" {
        true => Some(format!("options {}", line.text)),
        false if names::distance(&lower, "options") <= 2 && known.is_none() => {
            Some(format!("options{}", &line.text[command.len()..]))
        }
        false => None,
    };
    let meant =
        meant.filter(|text| text.split_ascii_whitespace().nth(2).is_some_and(|word| word.contains('=')));
    let fix = match meant {
        Some(with) => {
            let tried = FileLine { text: with.clone(), ..line.clone() };
            let wrong = options::of_line(facts, files, &tried).map(|finding| finding.title);
            match wrong.or_else(|| trial::modprobe(facts, line, &line.path, &with)) {
                None => vec![facts.replace(&line.path, line, &with)],
                Some(why) => vec![format!("# with {with}: {why}"), facts.comment_out(&line.path, line)],
            }
        }
        None => vec![facts.comment_out(&line.path, line)],
    };
    Some(
        Finding::new("modprobe-no-effect", severity, title)
            .because(
                "libkmod writes \"ignoring bad line\" to stderr and goes on: the module comes without what the line says. \
                 Commands are written small, and stand alone in front.",
            )
            .seen([facts.line(line)])
            .fix(fix)
            .source(&["modprobe.d(5), COMMANDS", "kmod_config_parse, libkmod"]),
    )
}

/// The first kernel without the parameter and the sysctl nf_conntrack_helper.
const WITHOUT_HELPER: names::Version = (6, 0);

/// nf_conntrack_helper as a parameter, and as a sysctl where no kernel tells whether it is there.
fn helper(facts: &Facts, files: &Files) -> Vec<Finding> {
    let versions: Vec<names::Version> =
        files.kernels.iter().filter_map(|release| names::version(release)).collect();
    let newer = versions.iter().filter(|version| **version >= WITHOUT_HELPER).count();
    let all_newer = newer > 0 && newer == versions.len();
    if newer == 0 && !versions.is_empty() {
        return Vec::new();
    }
    let (severity, when) = match all_newer {
        true => (Severity::Error, "is no longer there since Linux 6.0"),
        false => (Severity::Note, "does nothing from Linux 6.0 on"),
    };
    let because = "Until 5.19 it has the kernel assign helpers by port; from 6.0 on the parameter is ignored (\"unknown \
                   parameter ignored\" in the log), the sysctl is not there, and rules assign helpers: `ct helper set` \
                   of nft(8), `-j CT --helper` of iptables.";
    let finding = |title: String| {
        Finding::new("modprobe-no-effect", severity, title).because(because).source(&[
            "net/netfilter/nf_conntrack_helper.c",
            "parse_args and unknown_module_param_cb, kernel",
        ])
    };
    let name = "nf_conntrack_helper";
    let in_modprobe = read(files).filter(|line| {
        first(line) == "options"
            && word(line, 1).as_deref() == Some("nf_conntrack")
            && options(line).any(|(option, _)| option == name)
    });
    let mut found: Vec<Finding> = in_modprobe
        .map(|line| {
            let fix = [options::without(facts, line, name)];
            finding(format!("the parameter {name} of nf_conntrack {when}")).seen([facts.line(line)]).fix(fix)
        })
        .collect();
    for (line, word, _) in given(files, "nf_conntrack.nf_conntrack_helper") {
        let fix = [off(facts, line, word, "")];
        found.push(finding(format!("the parameter {word} {when}")).seen([facts.line(line)]).fix(fix));
    }
    let applied = |by| matches!(by, AppliedBy::Boot | AppliedBy::Again);
    let files_of_sysctls = files.sysctl.iter().filter(|file| !all_newer && applied(file.applied_by));
    for (file, line) in files_of_sysctls.flat_map(|file| file.lines.iter().map(move |line| (file, line))) {
        // Behind `-` its author knows that it is not everywhere.
        if line.conntrack_name() == Some("helper") && line.value.is_some() && !line.may_fail {
            let mut finding = finding(format!("the sysctl net.netfilter.{name} {when}"));
            finding.id = "sysctl-unknown-name".into();
            found.push(finding.seen([facts.at(file, line)]).fix([facts.comment_out(&file.path, line)]));
        }
    }
    found
}

/// `modprobe nf_conntrack hashsize=N` in a script, where the boot has loaded the module before.
fn too_late(facts: &Facts, files: &Files) -> Vec<Finding> {
    let early = modules::listed(files);
    let Some(early) = early.iter().find(|module| module.loads) else { return Vec::new() };
    let later = files.programs.iter().filter(|program| program.when != When::BeforeSysctls);
    let commands = later.flat_map(|program| applying::expanded(&program.commands));
    commands.filter_map(|command| of_modprobe_call(facts, files, &command, early.line)).collect()
}

fn of_modprobe_call(facts: &Facts, files: &Files, command: &Command, early: &FileLine) -> Option<Finding> {
    let words = command.arguments();
    let mut behind = words.iter().skip(1).filter(|word| !word.starts_with('-'));
    let ours = command.program() == "modprobe" && normalized(behind.next()?) == "nf_conntrack";
    let several = words.iter().any(|word| word == "-a" || word == "--all" || word == "-r");
    let given: Vec<&String> = behind.filter(|word| word.contains('=')).collect();
    let size = given.iter().filter_map(|word| number(word.strip_prefix("hashsize=")?)).next_back();
    let kept = options::hashsize(files).map(|(_, size)| size);
    if !ours || several || given.is_empty() || (size.is_some() && size == kept && given.len() == 1) {
        return None;
    }
    let line = &command.line;
    let mut fix: Vec<String> =
        given.iter().map(|word| facts.substitute(&line.path, line.line, &format!(" {word}"), "")).collect();
    if let Some(size) = size.filter(|size| kept.is_none() && *size <= MOST_BUCKETS) {
        fix.push(modules::keep_buckets(facts, size));
    }
    let list = given.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(" ");
    Some(
        Finding::new(
            "modprobe-no-effect",
            Severity::Warning,
            format!("{} gives nf_conntrack {list} when it is loaded already", line.path),
        )
        .because(
            "modprobe does nothing for a module that is there, and says nothing: options count as it is loaded alone. \
             The boot loads it before.",
        )
        .seen([facts.line(line), facts.line(early)])
        .fix(fix)
        .source(&["modprobe(8), --first-time", "modprobe.d(5), options"]),
    )
}
