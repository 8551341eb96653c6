//! Parameters of nf_conntrack.ko in a line `options` of modprobe.d, as the kernel reads them.

use super::boot_modules::parameters;
use super::cure::{MODPROBE_FILE, key, quoted};
use super::facts::{Facts, Files};
use super::modules::{first, read, word};
use super::{names, spaced_options, trial, value};
use crate::core::model::{FileLine, Finding, Severity};

/// Kind of value that a parameter takes (param_ops of kernel/params.c).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Number,
    Switch,
}

/// Those of today and before.
const PARAMETERS: [(&str, Kind); 6] = [
    ("hashsize", Kind::Number),
    ("expect_hashsize", Kind::Number),
    ("acct", Kind::Switch),
    ("tstamp", Kind::Switch),
    ("enable_hooks", Kind::Switch),
    ("nf_conntrack_helper", Kind::Switch),
];

/// More buckets no kernel makes (nf_ct_alloc_hashtable: INT_MAX / sizeof(struct hlist_nulls_head)).
pub(super) const MOST_BUCKETS: u64 = i32::MAX as u64 / 8;

/// Options of a line, by name and value.
pub(super) fn options(line: &FileLine) -> impl Iterator<Item = (&str, Option<&str>)> {
    // Quotes may be around the whole as well (next_arg).
    let bare = |option| unquoted(option).unwrap_or(option);
    line.text.split_ascii_whitespace().skip(2).map(bare).map(|option| match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    })
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// A number as kstrtouint with base 0 takes it, in quotes or not (next_arg).
pub(super) fn number(text: &str) -> Option<u64> {
    let bare = text.strip_prefix('"').map_or(text, |rest| rest.strip_suffix('"').unwrap_or(rest));
    let bare = bare.strip_prefix('+').unwrap_or(bare);
    let (digits, radix) = match bare.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (&bare[2..], 16),
        [b'0', _, ..] => (&bare[1..], 8),
        _ => (bare, 10),
    };
    // from_str_radix takes a sign of its own.
    let number = digits.chars().all(|c| c.is_digit(radix)).then(|| u32::from_str_radix(digits, radix).ok());
    number.flatten().map(u64::from)
}

/// True if the kernel takes a value; nothing at all is enough for a switch alone.
fn is_taken(name: &str, kind: Kind, value: Option<&str>) -> bool {
    let Some(value) = value else { return kind == Kind::Switch };
    match kind {
        Kind::Number => number(value).is_some_and(|number| name != "hashsize" || number <= MOST_BUCKETS),
        // kstrtobool looks at the first letter, behind `o` at the second.
        Kind::Switch => match value.trim_start_matches('"').as_bytes() {
            [b'o' | b'O', second, ..] => b"nNfF".contains(second),
            [letter, ..] => b"yYtT1nNfF0".contains(letter),
            [] => false,
        },
    }
}

/// The last line that sets the module's hashsize, and to what. kmod takes what the kernel's command line says behind
/// what its files say (kmod_config_new).
pub fn hashsize(files: &Files) -> Option<(&FileLine, u64)> {
    let mut told =
        files.command_lines.iter().filter(|line| line.path != "/proc/cmdline").filter_map(|line| {
            let sizes = parameters(&line.text).filter(|(name, _)| name == ON_COMMAND_LINE);
            let size = sizes.filter_map(|(_, value)| number(&value)).last()?;
            Some((line, size))
        });
    told.next_back().or_else(|| in_modprobe(files))
}

/// The parameter as the kernel's command line has it.
const ON_COMMAND_LINE: &str = "nf_conntrack.hashsize";

/// Command that makes the module come with `size` buckets: in the line that says another number, if there is one.
pub fn sized(facts: &Facts, files: &Files, size: u64) -> String {
    match hashsize(files) {
        Some((line, old)) => resized(facts, line, old, size),
        None => facts.append(MODPROBE_FILE, &format!("options nf_conntrack hashsize={size}")),
    }
}

/// Another number in a line that [`hashsize`] gave.
pub fn resized(facts: &Facts, line: &FileLine, old: u64, size: u64) -> String {
    let option = |size: u64| format!("{ON_COMMAND_LINE}={size}");
    match line.text.contains(ON_COMMAND_LINE) {
        true => facts.substitute(&line.path, line.line, &option(old), &option(size)),
        false => facts.replace(&line.path, line, &with_hashsize(line, size)),
    }
}

/// The module's name in every kernel that is installed.
fn module(files: &Files) -> &'static str {
    if names::all_are_before_nf_conntrack(&files.kernels) { "ip_conntrack" } else { "nf_conntrack" }
}

fn in_modprobe(files: &Files) -> Option<(&FileLine, u64)> {
    let module = module(files);
    let sizes = read(files).filter(|line| is_of(line, module)).filter_map(|line| {
        let value = options(line).filter(|(name, _)| *name == "hashsize").last()?.1?;
        number(value).filter(|size| *size <= MOST_BUCKETS).map(|size| (line, size))
    });
    sizes.last()
}

/// The line with another number of buckets, and all its other options.
fn with_hashsize(line: &FileLine, size: u64) -> String {
    rewritten(line, |name| name != "hashsize", Some(&format!("hashsize={size}")))
}

fn rewritten(line: &FileLine, keep: impl Fn(&str) -> bool, more: Option<&str>) -> String {
    let kept = line.text.split_ascii_whitespace().skip(2);
    let name =
        |option: &str| unquoted(option).unwrap_or(option).split('=').next().unwrap_or_default().to_owned();
    let kept = kept.filter(|option| keep(&name(option)));
    ["options", "nf_conntrack"].into_iter().chain(kept).chain(more).collect::<Vec<_>>().join(" ")
}

/// The file under a name that is read, where nothing is wrong with what it then says and no other has the name.
fn under_its_name(facts: &Facts, files: &Files, line: &FileLine) -> Vec<String> {
    let to = format!("{}.conf", line.path);
    let taken = files.modprobe.iter().any(|other| other.path == to);
    let why = match taken {
        true => Some(format!("{} is there already", facts.path(&to))),
        false => trial::modprobe(facts, line, &to, &line.text),
    };
    match why {
        None => vec![facts.rename(&line.path, &to)],
        Some(why) => vec![format!("# if it were read: {why}"), facts.comment_out(&line.path, line)],
    }
}

/// Another text in place of a line where nothing is wrong with what it then says; else the line without the option.
pub(super) fn tried(facts: &Facts, line: &FileLine, with: &str, option: &str) -> Vec<String> {
    match trial::modprobe(facts, line, &line.path, with) {
        None => vec![facts.replace(&line.path, line, with)],
        Some(why) => vec![format!("# with {with}: {why}"), without(facts, line, option)],
    }
}

/// A line without one of its options: a comment, where nothing else stands in it.
pub(super) fn without(facts: &Facts, line: &FileLine, name: &str) -> String {
    match options(line).all(|(other, _)| other == name) {
        true => facts.comment_out(&line.path, line),
        false => facts.replace(&line.path, line, &rewritten(line, |other| other != name, None)),
    }
}

fn is_of(line: &FileLine, module: &str) -> bool {
    first(line) == "options" && word(line, 1).as_deref() == Some(module)
}

/// Options that reach nobody, or that the module does not load with.
pub fn check(facts: &Facts, files: &Files) -> Vec<Finding> {
    let of = |line| {
        let spaced = || spaced_options::check(facts, files, line);
        blank(facts, line).or_else(spaced).or_else(|| of_line(facts, files, line))
    };
    files.modprobe.iter().filter_map(of).collect()
}

/// Characters that look like a space or like nothing, between which kmod sees no words.
fn blank(facts: &Facts, line: &FileLine) -> Option<Finding> {
    let odd = |c: char| value::is_blank(c) && !c.is_ascii();
    if !line.path.ends_with(".conf") || !line.text.contains(odd) {
        return None;
    }
    let with: String = line.text.chars().map(|c| if odd(c) { ' ' } else { c }).collect();
    Some(no_effect(
        facts,
        line,
        "a line about conntrack holds a space that is none, or a mark that is not seen".into(),
        "kmod parts words at spaces and tabs alone: a no-break space or a byte order mark, as web pages and editors leave \
         them, makes another word of it.",
        vec![facts.replace(&line.path, line, with.trim_ascii())],
    ))
}

pub(super) fn of_line(facts: &Facts, files: &Files, line: &FileLine) -> Option<Finding> {
    let alias = is_of(line, "ip_conntrack") && module(files) != "ip_conntrack";
    if is_of(line, "ip_conntrack") && !alias {
        return None;
    }
    if !alias && !is_of(line, "nf_conntrack") {
        return None;
    }
    if !line.path.ends_with(".conf") {
        return Some(no_effect(
            facts,
            line,
            format!("{} is not read: its name does not end in .conf", line.path),
            "modprobe reads *.conf of modprobe.d alone; the module comes with its default.",
            under_its_name(facts, files, line),
        ));
    }
    if alias {
        return Some(no_effect(
            facts,
            line,
            "options for ip_conntrack do not reach nf_conntrack".into(),
            "Options given to an alias count only where the module is loaded by that alias, which nothing does.",
            vec![facts.replace(&line.path, line, &rewritten(line, |_| true, None))],
        ));
    }
    if let Some((name, value)) = options(line).find(|(name, _)| kind(name).is_none()) {
        return Some(match name.starts_with('#') {
            true => no_comment(facts, line),
            false => unknown(facts, line, name, value),
        });
    }
    if files.builtin {
        return Some(no_effect(
            facts,
            line,
            "options of modprobe.d do not reach a conntrack that is built into the kernel".into(),
            "Built-in code takes its parameters from the kernel's command line (nf_conntrack.hashsize=); the sysctl \
             works as well.",
            as_sysctl(facts, line),
        ));
    }
    let refused =
        |(name, value): &(&str, Option<&str>)| kind(name).is_some_and(|kind| !is_taken(name, kind, *value));
    options(line).find(refused).map(|(name, value)| refuses(facts, line, name, value))
}

fn kind(name: &str) -> Option<Kind> {
    PARAMETERS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// True if nf_conntrack has the parameter.
pub(super) fn is_known(name: &str) -> bool {
    kind(name).is_some()
}

/// True if the parameter counts without a value.
pub(super) fn is_switch(name: &str) -> bool {
    kind(name) == Some(Kind::Switch)
}

fn no_effect(facts: &Facts, line: &FileLine, title: String, because: &str, fix: Vec<String>) -> Finding {
    Finding::new("modprobe-no-effect", Severity::Error, title)
        .because(because)
        .seen([facts.line(line)])
        .fix(fix)
        .source(&["modprobe.d(5)", "nf_conntrack_core.c: module_param_call(hashsize, …)"])
}

fn unknown(facts: &Facts, line: &FileLine, name: &str, value: Option<&str>) -> Finding {
    let of_buckets = name.contains("hash") || name.contains("bucket");
    let size = value.and_then(number).filter(|_| of_buckets);
    let fix = match size {
        Some(size) => {
            let with = rewritten(line, |other| other != name, Some(&format!("hashsize={size}")));
            tried(facts, line, &with, name)
        }
        None => vec![without(facts, line, name)],
    };
    no_effect(
        facts,
        line,
        format!("nf_conntrack has no parameter {name}"),
        "The kernel ignores it with a line in its log; max is a sysctl, the number of buckets is hashsize.",
        fix,
    )
}

/// Finding on words behind options, which are no comment: every one of them goes to the kernel, and one that is a
/// parameter counts.
fn no_comment(facts: &Facts, line: &FileLine) -> Finding {
    let (before, behind) = line.text.split_once('#').unwrap_or((&line.text, ""));
    let counts =
        behind.split_whitespace().any(|word| kind(word.split('=').next().unwrap_or_default()).is_some());
    let severity = if counts { Severity::Warning } else { Severity::Note };
    Finding::new("modprobe-no-effect", severity, "a comment behind options of nf_conntrack is none")
        .because(
            "modprobe.d knows comments at the beginning of a line alone. The kernel gets these words as parameters: it \
             ignores those that it does not know with a line in its log, and takes the others.",
        )
        .seen([facts.line(line)])
        .fix([facts.replace(&line.path, line, before.trim_end())])
        .source(&["modprobe.d(5)", "kmod_config_parse, libkmod"])
}

fn as_sysctl(facts: &Facts, line: &FileLine) -> Vec<String> {
    let mut fix = vec![facts.comment_out(&line.path, line)];
    let sizes = options(line).filter(|(name, _)| *name == "hashsize");
    let set = facts.files.as_ref().is_some_and(|files| files.effective().contains_key("buckets"));
    if let Some(size) = sizes.filter_map(|(_, value)| number(value?)).last().filter(|_| !set) {
        fix.push(facts.append(super::cure::SYSCTL_FILE, &format!("{} = {size}", key("buckets"))));
    }
    fix
}

/// One parameter that cannot be read is enough.
fn refuses(facts: &Facts, line: &FileLine, name: &str, value: Option<&str>) -> Finding {
    let title = match value {
        Some(value) => format!("nf_conntrack does not load with {name}={}", quoted(value)),
        None => format!("nf_conntrack does not load with {name} without a value"),
    };
    let meant = value.filter(|_| name == "hashsize").and_then(value::meant);
    let mut fix = match meant.filter(|size| (1..=MOST_BUCKETS).contains(size)) {
        Some(size) => tried(facts, line, &with_hashsize(line, size), name),
        None => vec![without(facts, line, name)],
    };
    fix.extend(facts.live("modprobe nf_conntrack"));
    Finding::new("modprobe-bad-value", Severity::Error, title)
        .because(
            "The kernel ends the loading of a module at a parameter whose value it cannot take (`invalid for \
             parameter` in its log), and every module that needs conntrack fails with it: NAT, and rules that look at \
             the state of connections, are not there after the next boot.",
        )
        .seen([facts.line(line)])
        .fix(fix)
        .source(&[
            "parse_args, kernel/params.c",
            "nf_conntrack_set_hashsize and nf_ct_alloc_hashtable, net/netfilter/nf_conntrack_core.c",
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_the_kernel_takes_them() {
        for (text, size) in [
            ("65536", Some(65_536)),
            ("0x10000", Some(65_536)),
            ("0200000", Some(65_536)),
            ("\"65536\"", Some(65_536)),
            ("+7", Some(7)),
            ("0", Some(0)),
            ("4294967295", Some(4_294_967_295)),
            ("4294967296", None),
            ("++7", None),
            ("-7", None),
            ("0x", None),
            ("08", None),
            ("64k", None),
            ("", None),
        ] {
            assert_eq!(number(text), size, "{text}");
        }
        let taken = |name, value| is_taken(name, kind(name).expect("known"), value);
        assert!(taken("hashsize", Some("268435455")) && !taken("hashsize", Some("268435456")));
        assert!(taken("expect_hashsize", Some("268435456")) && !taken("hashsize", None));
        for value in [None, Some("1"), Some("N"), Some("off"), Some("on"), Some("\"y\"")] {
            assert!(taken("acct", value), "{value:?}");
        }
        for value in [Some(""), Some("2"), Some("o"), Some("enabled")] {
            assert!(!taken("tstamp", value), "{value:?}");
        }
    }
}
