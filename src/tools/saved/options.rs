//! The form of `conntrack -L -o save`: the options with which `conntrack -R` creates the entry again (since 1.4.6).

use super::fields::{EVENT, Fields, NoEntryReason, ShownEntry, number};
use super::prefix;
use crate::core::model::{L4, Status, protocol_number};

const NO_ENTRY: NoEntryReason = "no entry";

/// Reads the entry of a line. `ended` is true if a newline follows, for only that shows that the line is complete.
///
/// # Errors
/// The reason why the line is no entry.
pub(super) fn entry(line: &str, ended: bool) -> Result<ShownEntry, NoEntryReason> {
    let begins = |word: &&str| matches!(word.rsplit(':').next(), Some("-A" | "-U" | "-D"));
    let start = line.split_ascii_whitespace().find(begins).ok_or(NO_ENTRY)?;
    let order = &start[start.len() - 2..];
    let at = start.as_ptr() as usize - line.as_ptr() as usize + start.len();
    prefix::check(&line[..at - 2])?;
    let mut fields = Fields::new();
    fields.set(Status::SEEN_REPLY, false);
    let (mut protocol, mut words, mut seen) = (None, line[at..].split_ascii_whitespace(), Vec::new());
    while let Some(option) = words.next() {
        if !option.starts_with('-') {
            return Err(NO_ENTRY);
        }
        if seen.contains(&option) {
            return Err("an option that stands twice: two lines in one");
        }
        seen.push(option);
        let value = words.next().ok_or("cut short: an option without its value")?;
        match option {
            "-p" => protocol = Some(protocol_number(value).ok_or("a protocol that is not known")?),
            "-u" => {
                for flag in value.split(',') {
                    match flag {
                        "SEEN_REPLY" => fields.set(Status::SEEN_REPLY, true),
                        "ASSURED" => fields.set(Status::ASSURED, true),
                        other if other.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') => {}
                        _ => return Err("a status that conntrack -o save does not write"),
                    }
                }
            }
            "-t" => fields.time_left(number::<u64>(value)?.into()),
            "--state" => fields.state(protocol.ok_or(NO_ENTRY)?, value)?,
            _ => other(option, value, &mut fields)?,
        }
    }
    let protocol = protocol.ok_or(NO_ENTRY)?;
    match (order, ended) {
        ("-A", true) => {}
        ("-A", false) => return Err("cut short, maybe: no newline stands at its end"),
        _ => return Err(EVENT),
    }
    let mut shown = fields.finish(protocol)?;
    // The options hold no ICMP type of the reply direction, only that of the original.
    if let (L4::Icmp { .. }, Some(reply)) = (shown.entry.original.l4, &mut shown.entry.reply) {
        reply.l4 = shown.entry.original.l4;
    }
    Ok(shown)
}

fn other(option: &str, value: &str, fields: &mut Fields) -> Result<(), NoEntryReason> {
    let (which, name) = match option {
        "-s" => (0, "src"),
        "-d" => (0, "dst"),
        // The option is -g if the destination is translated, -n if the source is.
        "-r" | "-g" => (1, "src"),
        "-q" | "-n" => (1, "dst"),
        "--sport" | "--srckey" => (0, "sport"),
        "--dport" | "--dstkey" => (0, "dport"),
        "--reply-port-src" | "--reply-key-src" => (1, "sport"),
        "--reply-port-dst" | "--reply-key-dst" => (1, "dport"),
        "--icmp-type" | "--icmpv6-type" => (0, "type"),
        "--icmp-code" | "--icmpv6-code" => (0, "code"),
        "--icmp-id" | "--icmpv6-id" => (0, "icmp-id"),
        "-w" => return fields.of_entry("zone", value),
        "--orig-zone" => return fields.of_entry("zone-orig", value),
        "--reply-zone" => return fields.of_entry("zone-reply", value),
        "-m" => return fields.of_entry("mark", value),
        "-c" | "-l" | "--role" | "--orig-vtag" | "--reply-vtag" => return Ok(()),
        _ => return Err("an option that conntrack -o save does not write"),
    };
    fields.of_direction(which, name, value).map(drop)
}
