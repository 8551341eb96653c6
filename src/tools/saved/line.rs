//! One line of a saved table: `conntrack -L` in each of its forms, /proc/net/nf_conntrack, /proc/net/ip_conntrack,
//! `ovs-appctl dpctl/dump-conntrack`, with the prefix that a log, grep or a timestamp may add.
//!
//! The plain form is that of `ct_seq_show` (net/netfilter/nf_conntrack_standalone.c), of its ancestors in 2.4 and 2.6
//! (ip_conntrack_standalone.c) and of libnetfilter_conntrack's `__snprintf_conntrack_default`: words, of which `src=`
//! begins a direction. The protocol is looked for a few words before the first `src=`, and never at the beginning of
//! the line, where a prefix may stand. All of these forms write `use=` after every field that counts here: a line
//! without it was cut short.

use super::fields::{CUT, EVENT, Fields, NoEntryReason, ShownEntry};
use super::{options, ovs, prefix, xml};
use crate::core::model::{Status, protocol_number};

const NO_ENTRY: NoEntryReason = "no entry: no protocol with its number stands before src=";
/// Keys of the message in JSON logs.
const MESSAGES: [&str; 4] = ["MESSAGE", "log", "message", "msg"];

/// Returns the entry that a line shows; `None` for an empty line and for lines that conntrack(8) and journalctl(1)
/// print beside entries. `ended` is true if a newline follows the line.
///
/// # Errors
/// The reason why the line is no entry.
pub fn entry(line: &str, ended: bool) -> Result<Option<ShownEntry>, NoEntryReason> {
    let line = line.trim_matches(|char: char| char.is_ascii_whitespace() || char == prefix::BOM);
    if line.is_empty() || is_frame(line) {
        return Ok(None);
    }
    if line.starts_with('{') {
        let message = message(line).ok_or("JSON without a message")?;
        return if message.starts_with('{') { Err("JSON in JSON") } else { entry(&message, true) };
    }
    let line = line.strip_prefix("MESSAGE=").unwrap_or(line);
    // No other form has a word that begins with `src=`.
    if let Some(at) = first_direction(line) {
        return plain(line, at).map(Some);
    }
    if let Some(at) = line.find("<flow") {
        prefix::check(&line[..at])?;
        return xml::entry(&line[at..]).map(Some);
    }
    match line.find(ovs::MARK) {
        Some(at) => ovs::entry(line, at, ended).map(Some),
        None => options::entry(line, ended).map(Some),
    }
}

/// True for lines around entries: the last words of conntrack(8), the root of its XML, journalctl's notes.
fn is_frame(line: &str) -> bool {
    let shown = line.ends_with("have been shown.") && line.contains("conntrack v");
    let xml = line.starts_with("<?xml") || matches!(line, "<conntrack>" | "</conntrack>");
    let notes = ["-- Logs begin ", "-- Journal begins ", "-- Boot ", "-- Reboot --", "-- No entries --"];
    shown || xml || notes.iter().any(|note| line.starts_with(note))
}

/// Returns the message in a line of `journalctl -o json` or of a container's log.
fn message(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = MESSAGES.iter().find_map(|key| value.get(key))?;
    // journald writes a message that is not UTF-8 as an array of bytes, and such a message is no entry.
    text.as_str().map(|text| text.trim().to_owned())
}

/// Returns the place at which the first direction begins.
fn first_direction(line: &str) -> Option<usize> {
    let starts = |at: &usize| line[..*at].ends_with(|before: char| before.is_ascii_whitespace());
    line.match_indices("src=").map(|(at, _)| at).find(starts)
}

/// Fields before the first direction.
struct Head<'a> {
    protocol: u8,
    /// True for IPv4, false for IPv6; `None` if the line does not name the layer 3 protocol.
    ipv4: Option<bool>,
    left: Option<i128>,
    state: Option<&'a str>,
    prefix: &'a str,
}

fn plain(line: &str, at: usize) -> Result<ShownEntry, NoEntryReason> {
    let head = head(&line[..at])?;
    prefix::check(head.prefix)?;
    let mut fields = Fields::new();
    if let Some(left) = head.left {
        fields.time_left(left);
    }
    if let Some(state) = head.state {
        fields.state(head.protocol, state)?;
    }
    let whole = body(&line[at..], &mut fields)?;
    let shown = fields.finish(head.protocol)?;
    match (head.ipv4, whole) {
        (Some(ipv4), _) if ipv4 != shown.entry.original.source.is_ipv4() => {
            Err("addresses of another family")
        }
        (_, true) => Ok(shown),
        (_, false) => Err("cut short: no use= stands at its end"),
    }
}

/// Reads backwards from the first direction: state, time left, number and name of the protocol, and those of layer 3.
fn head(text: &str) -> Result<Head<'_>, NoEntryReason> {
    let mut back = text.split_ascii_whitespace().rev().peekable();
    let state = back.next_if(|word| is_state(word));
    // GRE has fields of its own here in /proc (gre_print_conntrack).
    if back.next_if(|word| word.starts_with("stream_timeout=")).is_some() {
        back.next_if(|word| word.starts_with("timeout=")).ok_or(NO_ENTRY)?;
    }
    if back.peek().is_some_and(|word| word.starts_with("proto=")) {
        return Err("an expectation and no entry");
    }
    let last = back.next().and_then(integer).ok_or(NO_ENTRY)?;
    let (number, left) = match back.peek().and_then(|word| integer(word)) {
        Some(number) => {
            back.next();
            (number, Some(last))
        }
        None => (last, None),
    };
    let protocol = u8::try_from(number).map_err(|_| NO_ENTRY)?;
    let (mut first, glued) = unglued(back.next().ok_or(NO_ENTRY)?);
    match protocol_number(first).filter(|_| integer(first).is_none()) {
        Some(known) if known == protocol => {}
        None if first == "unknown" => {}
        Some(_) => return Err("a protocol with another's number"),
        None => return Err(NO_ENTRY),
    }
    let mut ipv4 = None;
    if !glued && let (Some(number), Some(name)) = (back.next(), back.next()) {
        let (name, _) = unglued(name);
        ipv4 = match (name, number) {
            ("ipv4", "2") => Some(true),
            ("ipv6", "10") => Some(false),
            _ => None,
        };
        first = if ipv4.is_some() { name } else { first };
    }
    let prefix = &text[..first.as_ptr() as usize - text.as_ptr() as usize];
    Ok(Head { protocol, ipv4, left, state, prefix })
}

/// Returns a name without the prefix of grep (`file:`, `file:12:`) or a byte order mark, and true if there was one.
fn unglued(word: &str) -> (&str, bool) {
    let name = word.rsplit([':', prefix::BOM]).next().unwrap_or(word);
    (name, name.len() < word.len())
}

fn integer(word: &str) -> Option<i128> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| word.parse().ok()).flatten()
}

fn is_state(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Reads both directions and the fields after them. Returns true if `use=` was among these.
fn body(text: &str, fields: &mut Fields) -> Result<bool, NoEntryReason> {
    let (mut seen, mut whole, mut before) = (0, false, "");
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let named = word.split_once('=').filter(|_| !word.starts_with('['));
        let Some((name, value)) = named else {
            match flag(word, seen, before, &mut words, fields) {
                Ok(()) => {}
                // The last word of a line without `use=` may be cut itself; the error is then that the line was cut
                // short.
                Err(_) if !whole && words.clone().next().is_none() => break,
                Err(why) => return Err(why),
            }
            continue;
        };
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
        {
            return Err("a field that the format does not have");
        }
        seen += usize::from(name == "src");
        // The id of ICMP follows its code; the id of the entry (`-o id`) stands at the end.
        let name = if name == "id" && before == "code" { "icmp-id" } else { name };
        if !fields.of_direction(seen.saturating_sub(1), name, value)? {
            fields.of_entry(name, value)?;
        }
        whole |= name == "use";
        before = name;
    }
    Ok(whole)
}

/// Reads a word that is no field.
fn flag<'a>(
    word: &str,
    seen: usize,
    before: &str,
    words: &mut impl Iterator<Item = &'a str>,
    fields: &mut Fields,
) -> Result<(), NoEntryReason> {
    match (word, seen) {
        ("[UNREPLIED]", 1) => fields.set(Status::SEEN_REPLY, false),
        ("[ASSURED]", 2) => fields.set(Status::ASSURED, true),
        ("[OFFLOAD]", 2) => fields.offloaded(Status::OFFLOAD),
        ("[HW_OFFLOAD]", 2) => fields.offloaded(Status::HW_OFFLOAD),
        ("[USERSPACE]", _) => return Err(EVENT),
        // AppArmor writes a mode after its profile: `unconfined (enforce)`.
        (word, 2) if before == "secctx" && word.starts_with('(') => {}
        // A time has the form of ctime(3): `[start=Tue Dec  1 03:09:37 2026]`.
        (word, 2) if word.starts_with("[start=") || word.starts_with("[stop=") => {
            words.take(4).find(|word| word.ends_with(']')).ok_or(CUT)?;
        }
        _ => return Err("a word that the format does not have"),
    }
    Ok(())
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
