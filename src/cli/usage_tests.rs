use super::*;
use clap::Parser;

fn refused(line: &[&str]) -> (String, String) {
    let error = Arguments::try_parse_from(line).expect_err("refused");
    let error = explain(&error, &line.iter().map(OsString::from).collect::<Vec<_>>());
    (error.why, error.hint.unwrap_or_default())
}

#[test]
fn the_nearest_right_one_is_the_hint() {
    let (why, hint) = refused(&["ctctl", "status", "--chek"]);
    assert_eq!(why, "unexpected argument '--chek' found");
    assert_eq!(hint, "a similar argument exists: '--check'");
    let (why, hint) = refused(&["ctctl", "statsu"]);
    assert_eq!(why, "unrecognized subcommand 'statsu'");
    assert!(hint.contains("'status'"), "{hint}");
}

#[test]
fn a_bad_value_says_what_to_write() {
    let (why, hint) = refused(&["ctctl", "pause", "--for", "90x"]);
    assert_eq!(why, "invalid value '90x' for '--for <DURATION>': no such unit");
    assert_eq!(hint, "write seconds, or numbers with units (d, h, m, s, ms): 90, 90s, 10m, 2h, 1d, 1h30m");
    let (why, _) = refused(&["ctctl", "pause", "--for", "-1s"]);
    assert_eq!(why, "invalid value '-1s' for '--for <DURATION>': not a duration");
}

#[test]
fn a_number_has_its_range_and_a_name_the_others() {
    let range = |first| format!("write a whole number from {first} to 18446744073709551615");
    for (line, says, hint) in [
        ("top-sources -n x", "'x' for '-n <N>': not a whole number", range(0)),
        ("top-sources -n 99999999999999999999", "': too large", range(0)),
        ("history -n -1", "'-1' for '-n <N>': not a whole number", range(0)),
        ("flush --stale --limit -1", "'-1' for '--limit <N>': not a whole number", range(1)),
        ("flush --stale --limit 0", "': that is none at all", range(1)),
        ("events -n -1", "'-1' for '--count <N>': not a whole number", range(1)),
        ("lifeline --port -1", "'-1' for '--port <N>': not a whole", "write a port from 1 to 65535".into()),
        ("lifeline --port 65536", "': not a port", "write a port from 1 to 65535".into()),
        ("lifeline --port 0", "': not a port", "write a port from 1 to 65535".into()),
        (
            "list --dport -1",
            "'-1' for '--dport <PORT>': not a",
            "write a whole number from 0 to 65535".into(),
        ),
        ("list -p 300", "'300' for '--proto <NAME|NUMBER>': no such", {
            "write a name such as tcp, or a number from 0 to 255".into()
        }),
        ("top --by size", "'size' for '--by <WHAT>'", "write one of: entries, new, unreplied, idle".into()),
        ("list --assured=yes", "'--assured' takes no value", "write '--assured' alone, without `=`".into()),
        ("list --verbose=3", "'--verbose' takes no value", "write '--verbose' alone, without `=`".into()),
    ] {
        let (why, said) = refused(&["ctctl"].into_iter().chain(line.split(' ')).collect::<Vec<_>>());
        assert!(why.contains(says), "{line}: {why}");
        assert_eq!(said, hint, "{line}: {why}");
        assert!(!why.contains("digit") && !why.contains('['), "{line}: {why}");
    }
}

#[test]
fn without_a_suggestion_the_help_of_the_command_is_the_hint() {
    let (_, hint) = refused(&["ctctl", "top-sources", "20"]);
    assert_eq!(hint, "see `ctctl top-sources --help`");
    let (why, hint) = refused(&["ctctl"]);
    assert!(why.contains("requires a subcommand"), "{why}");
    assert!(!why.contains('\n'));
    assert_eq!(hint, "see `ctctl --help`");
}

#[test]
fn what_other_tools_write_is_answered_with_what_is_written_here() {
    for (line, says) in [
        ("hlep list", "a similar subcommand exists: 'help'"),
        ("list -p icmp6", "a similar value exists: 'icmpv6'"),
        ("top-sources --group dest", "a similar value exists: 'destination'"),
        ("list --src 10.0.0.1", "a similar argument exists: '--source'"),
        ("list tcp", "filters are options: write `-p tcp`"),
        ("flush src=10.0.0.1", "filters are options: write `-s 10.0.0.1`"),
        ("events dport=53", "filters are options: write `--dport 53`"),
        ("top 2001:db8::/32", "filters are options: write `-s 2001:db8::/32`"),
        ("status tcp", "see `ctctl status --help`"),
    ] {
        let (why, hint) = refused(&["ctctl"].into_iter().chain(line.split(' ')).collect::<Vec<_>>());
        assert_eq!(hint, says, "{line}: {why}");
    }
}

/// Typos of a word: two letters swapped, one left out, one twice.
fn typos(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let mut found = Vec::new();
    for i in 1..letters.len() {
        let mut swapped = letters.clone();
        swapped.swap(i - 1, i);
        let (mut short, mut long) = (letters.clone(), letters.clone());
        short.remove(i);
        long.insert(i, letters[i]);
        found.extend([swapped, short, long].map(String::from_iter));
    }
    found.retain(|typo| typo != word && !typo.starts_with('-'));
    found
}

/// The hint for every typo that is no valid word is the word itself, or another with as few edits.
fn answered(before: &[&str], mark: &str, word: &str, among: &[String]) {
    for typo in typos(word).into_iter().filter(|typo| !among.contains(typo)) {
        let wrong = format!("{mark}{typo}");
        let line: Vec<&str> = before.iter().copied().chain([wrong.as_str()]).collect();
        let Err(error) = Arguments::try_parse_from(&line) else { continue };
        let error = explain(&error, &line.iter().map(OsString::from).collect::<Vec<_>>());
        let hint = error.hint.unwrap_or_default();
        let near = among.iter().filter(|other| strsim(&typo, other) <= strsim(&typo, word));
        let right = near.chain([&word.to_string()]).any(|word| hint.contains(&format!("'{mark}{word}'")));
        assert!(right, "{line:?}: {} / {hint}", error.why);
    }
}

fn strsim(a: &str, b: &str) -> usize {
    crate::config::edits(a, b)
}

fn walk(command: &clap::Command, before: &[&str]) {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.iter().for_each(|name| answered(before, "", name, &names));
    let options: Vec<String> =
        command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect();
    options.iter().for_each(|name| answered(before, "--", name, &options));
    for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
        let possible = argument.get_possible_values();
        let values: Vec<String> = possible.iter().map(|value| value.get_name().to_owned()).collect();
        let option = argument.get_long().map(|long| format!("--{long}"));
        let line: Vec<&str> = before.iter().copied().chain(option.as_deref()).collect();
        values.iter().for_each(|value| answered(&line, "", value, &values));
    }
    for sub in command.get_subcommands() {
        walk(sub, &[before, &[sub.get_name()]].concat());
    }
}

#[test]
fn every_mistyped_command_option_and_value_is_answered_with_the_right_one() {
    let mut command = Arguments::command();
    command.build();
    walk(&command, &["ctctl"]);
}
