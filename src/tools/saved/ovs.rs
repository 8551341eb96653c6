//! The form of `ovs-appctl dpctl/dump-conntrack` (lib/ct-dpif.c, `ct_dpif_format_entry`): fields between commas. The
//! status is there with `-m` only.

use super::fields::{Fields, NoEntryReason, ShownEntry};
use super::prefix;
use crate::core::model::{Status, TCP, protocol_number};

/// Text that only this form has.
pub(super) const MARK: &str = ",orig=(src=";

/// Reads the entry of a line in which [`MARK`] stands at `at`. `ended` is true if a newline follows, for only that
/// shows that the line is complete.
///
/// # Errors
/// The reason why the line is no entry.
pub(super) fn entry(line: &str, at: usize, ended: bool) -> Result<ShownEntry, NoEntryReason> {
    if !ended {
        return Err("cut short, maybe: no newline stands at its end");
    }
    let begins = |char: char| char.is_ascii_whitespace() || char == ':' || char == prefix::BOM;
    let start =
        line[..at].rfind(begins).map_or(0, |at| at + line[at..].chars().next().map_or(0, char::len_utf8));
    prefix::check(&line[..start])?;
    let protocol = protocol_number(&line[start..at]).ok_or("a protocol that is not known")?;
    let mut fields = Fields::new();
    fields.without_status();
    let mut status = None;
    for part in parts(&line[at + 1..])? {
        let (name, value) = part.split_once('=').ok_or("a word that the format does not have")?;
        match name {
            "orig" => of_direction(&mut fields, 0, value)?,
            "reply" => of_direction(&mut fields, 1, value)?,
            "protoinfo" => of_protocol(&mut fields, protocol, inside(value)?)?,
            "timeout" => fields.time_left(super::fields::number::<u64>(value)?.into()),
            "status" => status = Some(value),
            _ => fields.of_entry(name, value)?,
        }
    }
    let mut shown = fields.finish(protocol)?;
    if let Some(status) = status {
        let has = |flag: &str| status.split('|').any(|word| word == flag);
        let flags = [(has("ASSURED"), Status::ASSURED), (has("SEEN_REPLY"), Status::SEEN_REPLY)];
        shown.entry.status = Status(Status::CONFIRMED);
        flags.iter().filter(|(yes, _)| *yes).for_each(|(_, flag)| shown.entry.status.0 |= flag);
        (shown.assured_told, shown.reply_told) = (true, true);
    }
    Ok(shown)
}

/// Splits at commas outside parentheses.
fn parts(text: &str) -> Result<Vec<&str>, NoEntryReason> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, char) in text.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or("unequal parentheses")?,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if depth == 0 { Ok(parts) } else { Err("cut short: unequal parentheses") }
}

fn inside(value: &str) -> Result<&str, NoEntryReason> {
    value.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or("unequal parentheses")
}

fn of_direction(fields: &mut Fields, which: usize, value: &str) -> Result<(), NoEntryReason> {
    for part in inside(value)?.split(',') {
        let (name, value) = part.split_once('=').ok_or("a word that the format does not have")?;
        fields.of_direction(which, if name == "id" { "icmp-id" } else { name }, value)?;
    }
    Ok(())
}

/// Reads the state of TCP. With `-m` each end has its own state: it is taken if both are equal.
fn of_protocol(fields: &mut Fields, protocol: u8, text: &str) -> Result<(), NoEntryReason> {
    let value = |wanted: &str| {
        text.split(',')
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    };
    let both = value("state_orig").filter(|state| value("state_reply") == Some(state));
    match value("state").or(both) {
        Some(state) if protocol == TCP => fields.state(protocol, linux_state(state)),
        _ => Ok(()),
    }
}

/// Returns the kernel's name for a state of the userspace datapath, which follows RFC 9293.
fn linux_state(state: &str) -> &str {
    match state {
        "CLOSED" => "CLOSE",
        "FIN_WAIT_1" | "FIN_WAIT_2" => "FIN_WAIT",
        "CLOSING" => "LAST_ACK",
        state => state,
    }
}
