//! Words that may stand before an entry in a line: the stamp and the tag of syslog and journald, the file and the line
//! of grep, the pod of `kubectl logs`, a timestamp. A line with any other words is no entry.

use super::fields::{EVENT, NoEntryReason};
use crate::core::model::protocol_number;

/// A byte order mark, at the start of a file or of a message (RFC 5424).
pub(super) const BOM: char = '\u{feff}';

const UNKNOWN: NoEntryReason =
    "words before the protocol that are no prefix of a log, of grep or of a timestamp";
const TWO: NoEntryReason = "two entries in one line";
const EVENTS: [&str; 3] = ["[NEW]", "[UPDATE]", "[DESTROY]"];
/// Beginnings of an entry's words: in a prefix they show that a cut line was joined with the next.
const FIELDS: [&str; 13] = [
    "src=",
    "dst=",
    "sport=",
    "dport=",
    "type=",
    "code=",
    "packets=",
    "bytes=",
    "mark=",
    "use=",
    "[ASSURED]",
    "[UNREPLIED]",
    "[OFFLOAD]",
];

/// Checks that an entry may follow this prefix.
///
/// # Errors
/// The reason why it may not.
pub(super) fn check(prefix: &str) -> Result<(), NoEntryReason> {
    let prefix = prefix.trim_matches(|char: char| char.is_ascii_whitespace() || char == BOM);
    let words: Vec<&str> = prefix.split_ascii_whitespace().collect();
    let Some(last) = words.last() else { return Ok(()) };
    if words.iter().any(|word| EVENTS.iter().any(|event| word.ends_with(event))) {
        return Err(EVENT);
    }
    let of_an_entry = |word: &&str| FIELDS.iter().any(|field| word.starts_with(field));
    let is_head = |pair: &[&str]| {
        let name = pair[0].rsplit(':').next().unwrap_or_default();
        let named = !name.bytes().all(|byte| byte.is_ascii_digit());
        named && protocol_number(name).is_some_and(|number| number.to_string() == pair[1])
    };
    if words.iter().any(of_an_entry) || words.windows(2).any(is_head) {
        return Err(TWO);
    }
    // These characters begin a comment, or a line of diff(1).
    if words[0].starts_with(['#', ';', '<', '>', '+', '-', '/'])
        && !begins_with_priority(words[0])
        && !is_path(words[0])
    {
        return Err(UNKNOWN);
    }
    let before = words.len().checked_sub(2).map(|at| words[at]);
    let ends = last.ends_with([':', ']', '|'])
        || is_time(last)
        || match (*last, before) {
            // A number alone is from cat -n, nl or awk's NR.
            (number, None) => is_number(number),
            // In the log file of a container (CRI), F marks a whole line and P a part.
            ("F", Some("stdout" | "stderr")) => true,
            ("P", Some("stdout" | "stderr")) => return Err("a part of a line (P in a container's log)"),
            // A dash is the structured data of RFC 5424 if there is none.
            ("-", _) => begins_with_priority(words[0]) || words.iter().any(|word| is_time(word)),
            // A zone, a year, or AM and PM may follow the time of day.
            (word, Some(time)) => is_time(time) && is_zone_or_year(word),
        };
    if ends { Ok(()) } else { Err(UNKNOWN) }
}

/// True for a word that begins with a priority of syslog such as `<13>`; text may follow without a space.
fn begins_with_priority(word: &str) -> bool {
    let inside = word.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    inside.is_some_and(|(number, _)| is_number(number))
}

/// True for the path of a file, as grep writes it.
fn is_path(word: &str) -> bool {
    word.starts_with('/') && !word.starts_with("//")
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// True for `08:15:01`, `08:15:01.123456`, `2026-11-20T08:15:01+01:00`, `1795852501.123456`; false for `2026-11-20`.
fn is_time(word: &str) -> bool {
    let of_digits = |part: &str| is_number(part);
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let clock = word.contains(':')
        && digits >= 4
        && word.starts_with(|char: char| char.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_digit() || b":-+.,TZz".contains(&byte));
    let seconds = word.split_once('.').unwrap_or((word, "0"));
    let epoch = of_digits(seconds.0) && of_digits(seconds.1) && seconds.0.len() >= 9;
    // ISO 8601 without separators has the form 20261120T081501Z.
    let basic = word
        .split_once('T')
        .is_some_and(|(day, time)| day.len() == 8 && of_digits(day) && time.get(..6).is_some_and(of_digits));
    clock || epoch || basic
}

fn is_zone_or_year(word: &str) -> bool {
    let offset = word
        .strip_prefix(['+', '-'])
        .is_some_and(|rest| rest.len() >= 2 && is_number(&rest.replace(':', "")));
    let name = (1..=5).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_uppercase());
    offset || name || (word.len() == 4 && is_number(word))
}
