//! What may stand before an entry in a line: the stamp and the tag of syslog and journald, the file and the line of grep,
//! the pod of `kubectl logs`, a timestamp. Anything else is a line of something else.

use super::fields::{Broken, EVENT};
use crate::model::protocol_number;

/// A byte order mark, at the start of a file or of a message (RFC 5424).
pub(super) const BOM: char = '\u{feff}';

const UNKNOWN: Broken = "words before the protocol that are no prefix of a log, of grep or of a timestamp";
const TWO: Broken = "two entries in one line";
const EVENTS: [&str; 3] = ["[NEW]", "[UPDATE]", "[DESTROY]"];
/// Words of an entry begin so: a line that was cut and joined with the next.
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

/// Whether a line may begin so.
///
/// # Errors
/// Why not.
pub(super) fn check(prefix: &str) -> Result<(), Broken> {
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
    // A comment, or a line of diff(1).
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
            // cat -n, nl, awk's NR.
            (number, None) => is_number(number),
            // The log file of a container (CRI): F is a whole line, P a part.
            ("F", Some("stdout" | "stderr")) => true,
            ("P", Some("stdout" | "stderr")) => return Err("a part of a line (P in a container's log)"),
            // RFC 5424 without structured data.
            ("-", _) => begins_with_priority(words[0]) || words.iter().any(|word| is_time(word)),
            // A zone, a year, AM and PM behind the time of day.
            (word, Some(time)) => is_time(time) && is_zone_or_year(word),
        };
    if ends { Ok(()) } else { Err(UNKNOWN) }
}

/// `<13>` of syslog, and what may be glued to it.
fn begins_with_priority(word: &str) -> bool {
    let inside = word.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    inside.is_some_and(|(number, _)| is_number(number))
}

/// The name of a file, as grep writes it.
fn is_path(word: &str) -> bool {
    word.starts_with('/') && !word.starts_with("//")
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// `08:15:01`, `08:15:01.123456`, `2026-11-20T08:15:01+01:00`, `1795852501.123456`; `2026-11-20` is none.
fn is_time(word: &str) -> bool {
    let of_digits = |part: &str| is_number(part);
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let clock = word.contains(':')
        && digits >= 4
        && word.starts_with(|char: char| char.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_digit() || b":-+.,TZz".contains(&byte));
    let seconds = word.split_once('.').unwrap_or((word, "0"));
    let epoch = of_digits(seconds.0) && of_digits(seconds.1) && seconds.0.len() >= 9;
    // 20261120T081501Z: ISO 8601 without separators.
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
