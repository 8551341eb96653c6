//! The form of `conntrack -L -o xml`: one `<flow>` a line (libnetfilter_conntrack, `__snprintf_conntrack_xml`).

use super::fields::{CUT, EVENT, Fields, NoEntryReason, ShownEntry, number};
use crate::core::model::Status;

/// Reads the entry of a `<flow>`.
///
/// # Errors
/// The reason why the text is no entry.
pub(super) fn entry(text: &str) -> Result<ShownEntry, NoEntryReason> {
    if text.starts_with("<flow type=") {
        return Err(EVENT);
    }
    let inside = text.strip_prefix("<flow>").ok_or("XML that is not conntrack's")?;
    let (inside, rest) = inside.split_once("</flow>").ok_or("cut short, or XML over several lines")?;
    if !rest.trim().is_empty() {
        return Err("several flows in one line");
    }
    let mut fields = Fields::new();
    let (mut protocols, mut which) = (Vec::with_capacity(2), None);
    // States of SCTP have names of TCP's in this form; a state of TCP follows both directions.
    for element in inside.split('<').skip(1) {
        let (tag, text) = element.split_once('>').ok_or(CUT)?;
        let text = text.trim();
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        match (name, which) {
            ("meta", _) => which = Some(direction(attributes)?),
            ("layer4", _) => protocols.push(number::<u8>(attribute(attributes, "protonum").ok_or(CUT)?)?),
            ("zone", Some(Some(0))) => fields.of_entry("zone-orig", text)?,
            ("zone", Some(Some(1))) => fields.of_entry("zone-reply", text)?,
            ("state", Some(None)) => fields.state(*protocols.first().ok_or(CUT)?, text)?,
            ("timeout", Some(None)) => fields.time_left(number::<u64>(text)?.into()),
            ("assured/", Some(None)) => fields.set(Status::ASSURED, true),
            ("unreplied/", Some(None)) => fields.set(Status::SEEN_REPLY, false),
            ("mark" | "zone" | "use" | "id", Some(None)) | ("helper", _) => fields.of_entry(name, text)?,
            (name, Some(Some(which))) if !name.starts_with('/') => {
                fields.of_direction(which, name, text)?;
            }
            _ => {}
        }
    }
    match protocols.as_slice() {
        [one, other] if one == other => fields.finish(*one),
        _ => Err("not two directions of one protocol"),
    }
}

/// Returns the direction that a `meta` element is about; `None` if it is about both.
fn direction(attributes: &str) -> Result<Option<usize>, NoEntryReason> {
    match attribute(attributes, "direction") {
        Some("original") => Ok(Some(0)),
        Some("reply") => Ok(Some(1)),
        Some("independent") => Ok(None),
        _ => Err("XML that is not conntrack's"),
    }
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = attributes.split_once(name)?;
    rest.strip_prefix("=\"")?.split_once('"').map(|(value, _)| value)
}
