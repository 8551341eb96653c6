//! Options of modprobe.d with spaces around `=`. kmod passes each word on as a parameter of its own.

use super::facts::{Facts, Files};
use super::modules::{first, word};
use super::options;
use crate::core::model::{FileLine, Finding, Severity};

/// Parameters of conntrack's other modules that count without a value.
const SWITCHES: [&str; 2] = ["loose", "callforward_filter"];

/// An option in several words.
struct Spaced {
    /// As it stands in the line.
    shown: String,
    name: String,
    value: String,
    /// Words that the kernel gets for it.
    words: usize,
    /// Its first word has the `=`, and no value behind it: `name= value`.
    empty: bool,
}

/// Options of a line in one word each, and those of them that stood in several.
fn joined(line: &FileLine) -> (Vec<String>, Vec<Spaced>) {
    let words: Vec<&str> = line.text.split_ascii_whitespace().skip(2).collect();
    let (mut all, mut spaced, mut rest) = (Vec::new(), Vec::new(), &words[..]);
    while let [name, behind @ ..] = rest {
        let is_name = !name.contains('=') && !name.starts_with(['#', '"']);
        let (taken, bare, value) = match behind {
            ["=", value, ..] if is_name => (3, *name, *value),
            ["="] if is_name => (2, *name, ""),
            [value, ..] if is_name && value.len() > 1 && value.starts_with('=') => (2, *name, &value[1..]),
            [value, ..] if !value.contains(['=', '#']) && name.len() > 1 && name.ends_with('=') => {
                (2, &name[..name.len() - 1], *value)
            }
            _ => {
                all.push((*name).to_owned());
                rest = behind;
                continue;
            }
        };
        // What was meant by nothing nobody knows.
        if !value.is_empty() {
            all.push(format!("{bare}={value}"));
        }
        spaced.push(Spaced {
            shown: rest[..taken].join(" "),
            name: bare.to_owned(),
            value: value.to_owned(),
            words: taken,
            empty: name.ends_with('='),
        });
        rest = &rest[taken..];
    }
    (all, spaced)
}

/// Finding on a line of nf_conntrack, or of a module that belongs to it.
pub fn check(facts: &Facts, files: &Files, line: &FileLine) -> Option<Finding> {
    let module = word(line, 1).filter(|_| first(line) == "options")?;
    let others = ["nf_conntrack_", "nf_nat", "nf_flow_table"];
    let is_other = others.iter().any(|prefix| module.starts_with(prefix));
    if !(module == "nf_conntrack" || module == "ip_conntrack" || is_other) {
        return None;
    }
    let (all, spaced) = joined(line);
    let with = format!("options {module} {}", all.join(" "));
    let mended = FileLine { text: with.clone(), ..line.clone() };
    let as_meant = || options::of_line(facts, files, &mended);
    let is_read = line.path.ends_with(".conf") && module != "ip_conntrack" && !files.builtin;
    let known: Vec<&Spaced> =
        spaced.iter().filter(|option| is_other || options::is_known(&option.name)).collect();
    let Some(option) = known.first().filter(|_| is_read) else {
        // What is wrong with the option as it is meant is wrong with it in pieces.
        let found = as_meant().filter(|_| !spaced.is_empty() && !is_other)?;
        let mut fix = found.fix;
        if !line.path.ends_with(".conf") {
            fix.insert(0, facts.replace(&line.path, line, &with));
        }
        return Some(Finding { evidence: vec![facts.line(line)], fix, ..found });
    };
    let is_switch = |option: &Spaced| {
        !option.empty
            && (options::is_switch(&option.name) || (is_other && SWITCHES.contains(&option.name.as_str())))
    };
    let refused = known.iter().find(|option| !is_switch(option));
    let off = |option: &&&Spaced| option.value.starts_with(['0', 'n', 'N']);
    let (severity, title) = match refused {
        Some(Spaced { shown, name, empty, .. }) => {
            let what = if *empty { "an empty value" } else { "no value" };
            (Severity::Error, format!("{module} does not load with `{shown}`: {name} has {what}"))
        }
        None => {
            let off = known.iter().find(off);
            let Spaced { shown, name, .. } = off.unwrap_or(option);
            let severity = if off.is_some() { Severity::Error } else { Severity::Warning };
            (severity, format!("`{shown}` turns {name} of {module} on, whatever value stands there"))
        }
    };
    let words = refused.unwrap_or(option).words;
    let because = match refused {
        Some(_) => format!(
            "kmod parts options at spaces, so that the kernel gets {words} parameters. It ends the loading of a module at \
             a parameter that lacks its value (EINVAL), and every module that needs it fails with it."
        ),
        None => format!(
            "kmod parts options at spaces, so that the kernel gets {words} parameters: a switch without a value is on, \
             and the others it ignores with a line in its log."
        ),
    };
    let fix = match as_meant().filter(|_| !is_other) {
        Some(found) => found.fix,
        None if all.is_empty() => vec![facts.comment_out(&line.path, line)],
        None if is_other => vec![facts.replace(&line.path, line, &with)],
        None => options::tried(facts, &mended, &with, &option.name),
    };
    Some(
        Finding::new("modprobe-bad-value", severity, title)
            .because(because)
            .seen([facts.line(line)])
            .fix(fix)
            .fix(facts.live(&format!("modprobe {module}")))
            .source(&["modprobe.d(5)", "parse_args and next_arg, kernel/params.c and lib/cmdline.c"]),
    )
}
