//! Other programs and scripts that write the same values.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::cure::{SYSCTL_FILE, key};
use super::facts::{Facts, Files};
use super::formats::Command;
use super::formats::shell;
use super::formats::writes::{self, Write, script};
use super::last_writes::{self, Last};
use super::names::{self, Known, Near};
use super::settings::Setting;
use super::short_timeouts::{self, negative_finding, short};
use super::size::keep_buckets;
use super::trial::Written;
use super::value::{self, Reading};
use super::{flushes, kube_proxy, lines, negative_max, options, torn};
use crate::core::model::{FileLine, Finding, Severity};

/// Findings on scripts, units and profiles that write values, and on programs that run.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(files) = &facts.files {
        let boot = Boot {
            files,
            effective: files.effective(),
            last: Last::new(&files.writers),
            kept: RefCell::new(Written::new(facts)),
            placed: RefCell::default(),
        };
        for of_file in files.writers.chunk_by(|a, b| a.line.path == b.line.path) {
            found.extend(of_file.iter().filter_map(|write| weighed(facts, &boot, write, of_file)));
        }
    }
    found.extend(facts.files.iter().flat_map(|files| flushes::check(facts, files)));
    found.extend(kube_proxy::check(facts));
    found
}

/// Values that files of sysctls set, looked up once for all writers.
pub(super) struct Boot<'a> {
    files: &'a Files,
    pub(super) effective: BTreeMap<&'a str, Setting<'a>>,
    /// Writes that count in the end.
    pub(super) last: Last<'a>,
    /// Values that are kept where a script no longer writes them.
    pub(super) kept: RefCell<Written<'a>>,
    /// Values that set nothing in a script, and that fixes have set at boot.
    pub(super) placed: RefCell<BTreeMap<String, u64>>,
}

/// As [`of_write`]; a note, where nothing starts the unit that would write.
fn weighed(facts: &Facts, boot: &Boot<'_>, write: &Write, of_file: &[Write]) -> Option<Finding> {
    let mut finding = of_write(facts, boot, write, of_file)?;
    if write.unstarted {
        finding.severity = Severity::Note;
        finding.title.push_str("; nothing starts that unit at boot");
        finding.explanation = format!(
            "No link of a .wants or .requires directory names it, and no unit, timer, socket, path or rule that is in \
             force does: this counts only where a preset, a generator or somebody by hand starts it. {}",
            finding.explanation
        );
    }
    Some(finding)
}

fn of_write(facts: &Facts, boot: &Boot<'_>, write: &Write, of_file: &[Write]) -> Option<Finding> {
    if let Some(finding) = wrong_name(facts, boot, write) {
        return Some(finding);
    }
    let name = write.name().filter(|name| names::known(name) != Known::Unknown)?;
    let line = &write.line;
    if let Some(joined) = &write.torn {
        return Some(torn::finding(facts, boot, write, joined));
    }
    if let Some(finding) = negative(facts, boot, write, name) {
        return Some(finding);
    }
    if let Some(finding) = refused(facts, write, name) {
        return Some(finding);
    }
    if let Some(last) = boot.last.behind(write) {
        return (!is_same_command(last, write))
            .then(|| last_writes::beaten(facts, write, last).fix(moved(facts, boot, write, of_file)));
    }
    let full = key(name);
    let set = boot.effective.get(name);
    let number = write.value.as_deref().and_then(|value| value::read(name, value).number());
    let against = set.filter(|set| counts(write, Some(set), number));
    if let Some(finding) = too_short(facts, boot, write, of_file, name) {
        return Some(finding);
    }
    // A value that only the run decides, and nothing else sets, is not known to be wrong.
    if number.is_none() && set.is_none() {
        return None;
    }
    let size = options::hashsize(boot.files)
        .filter(|(_, size)| name == "buckets" && number.is_some_and(|n| n != *size));
    // A profile that a package ships is the operator's choice, and says nothing but that.
    if against.is_none() && size.is_none() && line.path.starts_with("/usr/lib/tuned/") {
        return None;
    }
    let severity = if against.is_some() || size.is_some() { Severity::Warning } else { Severity::Note };
    let title = match (against, size) {
        (Some(set), _) if write.overruled => {
            let again = if line.path.contains("/modprobe.d/") {
                "the boot applies behind it"
            } else {
                "tuned applies again"
            };
            format!("{} writes {full} too, against {} in sysctl.d, which {again}", line.path, set.number)
        }
        (Some(set), _) => format!("{} writes {full} too, against {} in sysctl.d", line.path, set.number),
        (None, Some((_, size))) => {
            format!("{} writes {full}, against hashsize={size} in modprobe.d", line.path)
        }
        (None, None) => format!("{} writes {full}", line.path),
    };
    let mut evidence = vec![facts.line(line)];
    evidence.extend(set.map(|set| facts.at(set.file, set.line)));
    evidence.extend(size.map(|(line, _)| facts.line(line)));
    Some(
        Finding::new("other-writer", severity, title)
            .because(
                "What a script writes behind the boot wins over files of sysctls without a trace, and is lost where \
                 something else writes later. One place is enough.",
            )
            .seen(evidence)
            .fix(moved(facts, boot, write, of_file))
            .source(&["sysctl.d(5)"]),
    )
}

/// Takes a write out of its file, and has what its command leaves in force set where the boot sets it. What does harm,
/// and what only the run decides, goes.
fn moved(facts: &Facts, boot: &Boot<'_>, write: &Write, of_file: &[Write]) -> Vec<String> {
    let files = boot.files;
    let beside = of_file.iter().filter(|other| **other == *write || is_same_command(other, write));
    let (mut kept, mut said, mut loads) = (Vec::new(), Vec::new(), false);
    for other in beside.filter(|other| other.torn.is_none()) {
        let writable = |name: &&str| matches!(names::known(name), Known::Writable | Known::WritableSince(_));
        let Some(name) = other.name().filter(writable) else { continue };
        let set = boot.effective.get(name);
        let number = other.value.as_deref().and_then(|value| value::read(name, value).number());
        match number.filter(|number| short(name, *number).is_none()) {
            // The file's value is what counts in the end.
            Some(_) if other.unstarted => {}
            Some(_) if (other.overruled && set.is_some()) || !counts(other, set, number) => {}
            _ if boot.last.behind(other).is_some() => {}
            Some(number) if boot.last.kept_for(other, number).is_some() => {
                let kept = boot.last.kept_for(other, number);
                said.extend(kept.map(|(kept, by)| {
                    let path = facts.path(&by.line.path);
                    format!("# {} = {number} is not kept beside {kept}, which {path} writes", key(name))
                }));
            }
            Some(number) if name == "buckets" => kept.extend(keep_buckets(facts, number)),
            Some(number) => match boot.kept.borrow_mut().holds(name, number) {
                Ok(()) => {
                    kept.extend(facts.set_at_boot(set, name, number));
                    loads = true;
                }
                Err(why) => said.push(format!("# {} = {number} is not kept: {why}", key(name))),
            },
            None => said.extend(set.map(|set| {
                format!("# {} is then {}, as {} says", key(name), set.number, facts.path(&set.file.path))
            })),
        }
    }
    let mut fix = said;
    fix.push(without(facts, write));
    fix.extend(kept);
    if loads {
        fix.extend(load(facts, files));
    }
    fix
}

/// Has the module loaded before the boot applies files of sysctls, where it is not.
pub(super) fn load(facts: &Facts, files: &Files) -> Option<String> {
    let missing = !files.builtin && !super::modules::in_time(files);
    missing.then(|| facts.append(files.modules_file(), "nf_conntrack"))
}

/// True if a write changes what the files set, or sets what they do not.
fn counts(write: &Write, set: Option<&Setting<'_>>, number: Option<u64>) -> bool {
    set.is_none_or(|set| match (number, write.only) {
        (Some(number), Some('>')) => number > set.number,
        (Some(number), Some('<')) => number < set.number,
        (number, _) => number.is_none_or(|number| number != set.number),
    })
}

fn is_same_command(a: &Write, b: &Write) -> bool {
    a.command.is_some() && a.command == b.command
}

/// The file without the write: in a script `:` takes the place of the command, so that what stands around it stays a
/// script; elsewhere the line becomes a comment.
pub(super) fn without(facts: &Facts, write: &Write) -> String {
    let Some(command) = &write.command else { return facts.comment_out(&write.line.path, &write.line) };
    // Of what `sh -c` runs only what writes goes, where that can be cut out.
    let inside = script(command).map(|text| shell::of_line(&write.line, text)).unwrap_or_default();
    let is_it = |command: &&Command| writes::of(command).iter().any(|inner| inner.key == write.key);
    let ours = inside.iter().filter(is_it);
    let inner: Option<Vec<String>> = ours.map(|inner| among_others(&write.line, inner)).collect();
    let beside =
        inside.iter().chain([command]).find_map(|command| without_words(facts, &write.line, command));
    match inner.filter(|texts| !texts.is_empty()) {
        _ if beside.is_some() => beside.unwrap_or_default(),
        Some(texts) => {
            let cut = |text: &String| facts.substitute(&write.line.path, write.line.line, text, ":");
            texts.iter().map(cut).collect::<Vec<_>>().join(" && ")
        }
        None => without_command(facts, &write.line, command),
    }
}

/// The command without its assignments of connection tracking, where it has others too: those stay in force.
/// `None` where it has none, or where the words cannot be cut out of the line.
fn without_words(facts: &Facts, line: &FileLine, command: &Command) -> Option<String> {
    let is_ours = |word: &str| word.contains("nf_conntrack") || word.contains("ip_conntrack");
    let sysctl = command.words.iter().any(|word| word == "sysctl" || word.ends_with("/sysctl"));
    let assigned = || command.words.iter().filter(|word| word.contains('=') && !word.starts_with('-'));
    if !sysctl || assigned().all(|word| is_ours(word)) {
        return None;
    }
    let lines = if line.physical.is_empty() { std::slice::from_ref(&line.text) } else { &line.physical[..] };
    let cut = |word: &String| {
        let (n, before) =
            (line.line..).zip(lines).find_map(|(n, text)| Some((n, text.split_once(word.as_str())?.0)))?;
        // An argument in quotes would leave an empty one.
        before.ends_with([' ', '\t']).then(|| facts.substitute(&line.path, n, word, ""))
    };
    let cuts: Option<Vec<String>> = assigned().filter(|word| is_ours(word)).map(cut).collect();
    cuts.filter(|cuts| !cuts.is_empty()).map(|cuts| cuts.join(" && "))
}

/// As [`without`], of a command whatever it does. What else its line runs stays, and a unit keeps something to run:
/// systemd refuses a service without it.
pub fn without_command(facts: &Facts, line: &FileLine, command: &Command) -> String {
    match command.text() {
        // The lines of a here-document would be commands without it.
        Some(text) if line.line == line.last && here_document(text).is_some() => {
            let with = format!(": {}", here_document(text).unwrap_or_default());
            facts.substitute(&line.path, line.line, text, &with)
        }
        Some(text) if text == line.text && command.inside => facts.mute(&line.path, line),
        Some(text) if text == line.text => facts.comment_out(&line.path, line),
        Some(text) if line.line == line.last => facts.substitute(&line.path, line.line, text, ":"),
        // Its line continues over several.
        Some(_) => match command.replaced(":") {
            Some(with) => facts.replace(&line.path, line, &with),
            None => facts.comment_out(&line.path, line),
        },
        None => match among_others(line, command) {
            Some(text) => facts.substitute(&line.path, line.line, &text, ":"),
            None if line.path.contains("/systemd/") && line.text.starts_with("ExecStart=") => {
                facts.replace(&line.path, line, "ExecStart=/bin/true")
            }
            None => facts.comment_out(&line.path, line),
        },
    }
}

/// The redirection of a command whose input follows below it: `<<EOF`.
fn here_document(text: &str) -> Option<&str> {
    let from = &text[text.find("<<").filter(|at| !text[*at..].starts_with("<<<"))?..];
    let blank = from.len() - from[2..].trim_start_matches('-').trim_start().len();
    let word = from[blank..].find([' ', '\t', ';', '|', '&', '>', ')']).unwrap_or(from.len() - blank);
    (word > 0).then_some(&from[..blank + word])
}

/// The text of a command in a line that a shell runs with others in it; nothing where it is alone, or cannot be cut
/// out.
fn among_others(line: &FileLine, command: &Command) -> Option<String> {
    let text = command.words.join(" ");
    let writes = command.redirects.iter().any(|redirect| redirect.target.contains("conntrack"));
    let (before, behind) = line.text.split_once(&text).filter(|_| !writes && line.last == line.line)?;
    let others = [before, behind].iter().any(|part| [";", "&&", "||"].iter().any(|sign| part.contains(sign)));
    let by_shell = !line.path.contains("/systemd/") || line.text.contains("sh -");
    (others && by_shell).then_some(text)
}

/// A negative limit, which older kernels take.
fn negative(facts: &Facts, boot: &Boot<'_>, write: &Write, name: &str) -> Option<Finding> {
    let number = negative_max::number(name, write.value.as_deref()?)?;
    let finding = negative_max::finding(boot.files, name, number, Some(&write.line.path))?;
    let set = boot.effective.contains_key(name) || boot.last.kept(name).is_some();
    let mut fix = vec![without(facts, write)];
    if !set && boot.placed.borrow_mut().insert(name.to_owned(), negative_max::sane(name)).is_none() {
        fix.extend(facts.set_at_boot(None, name, negative_max::sane(name)));
        fix.extend(load(facts, boot.files));
    }
    Some(finding.seen([facts.line(&write.line)]).fix(fix))
}

/// A constant that the kernel refuses. What only the run decides may be right.
fn refused(facts: &Facts, write: &Write, name: &str) -> Option<Finding> {
    let text = write.value.as_deref().filter(|text| !text.contains(['$', '`', '%', '{']))?;
    let Reading::Refused(why, _) = value::read(name, text) else { return None };
    let title = format!("{} does not set {}: {why}", write.line.path, key(name));
    Some(
        Finding::new("sysctl-bad-value", Severity::Error, title)
            .because(
                "The kernel refuses the whole text (EINVAL) where anything but white space follows the digits: a dot, a \
                 comma, a unit, quotes. The old value stays.",
            )
            .seen([facts.line(&write.line)])
            .fix([without(facts, write)])
            .source(&["proc_get_long, kernel/sysctl.c"]),
    )
}

/// A name that no kernel takes: as in a file of sysctls, and nothing that sysctl.d could hold instead.
fn wrong_name(facts: &Facts, boot: &Boot<'_>, write: &Write) -> Option<Finding> {
    let path = &write.line.path;
    let old = names::renamed(&write.key);
    let name = write.name();
    let (id, why) = match name.map(names::known) {
        _ if old.is_some() => {
            if names::all_know_old_names(&boot.files.kernels) {
                return None;
            }
            (
                "sysctl-renamed",
                "ip_conntrack became nf_conntrack in Linux 2.6.20; the old names are gone since 4.9."
                    .to_owned(),
            )
        }
        Some(Known::ReadOnly) => {
            ("sysctl-read-only", "It is the kernel's own count, and the write is refused (mode 0444).".into())
        }
        None | Some(Known::Unknown) => (
            "sysctl-unknown-name",
            match names::nearest(name.unwrap_or_else(|| write.key.rsplit('/').next().unwrap_or_default())) {
                Some(Near::Meant(near) | Near::Perhaps(near)) => {
                    format!("Nothing is set. Perhaps {} was meant.", key(near))
                }
                None => "Nothing is set, and no name that there is comes near.".into(),
            },
        ),
        _ => return None,
    };
    // A value that only the run decides may be right.
    if write.key.contains(['$', '`', '*', '?', '[']) {
        return None;
    }
    let mixed = lines::mixed(&write.key);
    let (shown, why) = match mixed {
        Some(name) => (
            format!("/proc/sys/{}", write.key),
            format!("{} {} has one kind of them.", lines::SEPARATORS, key(name)),
        ),
        None => (write.key.rsplit('/').next().unwrap_or_default().to_owned(), why),
    };
    let meant =
        mixed.map(|name| format!("# if it is meant, set {} in {}", key(name), facts.path(SYSCTL_FILE)));
    Some(
        Finding::new(id, Severity::Error, format!("{path} writes {shown}, which sets nothing"))
            .because(why)
            .seen([facts.line(&write.line)])
            .fix([without(facts, write)])
            .fix(meant)
            .source(&["nf_ct_sysctl_table, net/netfilter/nf_conntrack_standalone.c"]),
    )
}

/// Findings on values of a script that are too short: they count behind the boot, and are no better for it.
fn too_short(
    facts: &Facts,
    boot: &Boot<'_>,
    write: &Write,
    of_file: &[Write],
    name: &str,
) -> Option<Finding> {
    let evidence = vec![facts.line(&write.line)];
    let finding = match value::read(name, write.value.as_deref()?) {
        Reading::Negative(number) => negative_finding(name, number).seen(evidence),
        reading => {
            let seconds = reading.number()?;
            short_timeouts::finding(name, seconds, &short(name, seconds)?, evidence, Some(&write.line.path))
        }
    };
    Some(finding.fix(moved(facts, boot, write, of_file)))
}
