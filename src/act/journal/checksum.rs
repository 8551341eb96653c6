//! A checksum in the last field of a JSON document, over every byte of the file.
//!
//! It is there for accidents: a block that comes back wrong, an editor that was too helpful. It keeps nobody out who
//! may write the file.

use serde::Serialize;

/// Before the eight digits.
const FIELD: &str = "\"checksum\": \"crc32-";
const DIGITS: usize = 8;

/// The document as indented JSON with its checksum (CRC-32 of the text, with zeros for the digits) and a newline.
///
/// # Errors
/// Where it cannot be written as JSON.
pub(super) fn sealed(document: &impl Serialize) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(document)?;
    // The end of the document's own object.
    text.pop();
    text.truncate(text.trim_end().len());
    let start = text.len() + ",\n  ".len() + FIELD.len();
    text += &format!(",\n  {FIELD}{:0DIGITS$x}\"\n}}\n", 0);
    let digits = format!("{:0DIGITS$x}", crc32fast::hash(text.as_bytes()));
    text.replace_range(start..start + DIGITS, &digits);
    Ok(text)
}

/// Holds a file against its checksum. One without is accepted: versions up to 0.1 wrote none, and an agent that is
/// restarted by an upgrade has to know what the one before it changed.
///
/// # Errors
/// What is wrong, as part of a sentence.
pub(super) fn verify(bytes: &[u8]) -> Result<(), String> {
    let Some(at) = bytes.windows(FIELD.len()).rposition(|window| window == FIELD.as_bytes()) else {
        return match bytes.windows(8).any(|window| window == b"checksum") {
            true => Err("its checksum cannot be read".into()),
            false => Ok(()),
        };
    };
    let start = at + FIELD.len();
    let Some(said) = bytes.get(start..start + DIGITS) else { return Err("its checksum is cut off".into()) };
    let mut sum = crc32fast::Hasher::new();
    for part in [&bytes[..start], &[b'0'; DIGITS], &bytes[start + DIGITS..]] {
        sum.update(part);
    }
    let is = format!("{:0DIGITS$x}", sum.finalize());
    match is.as_bytes() == said {
        true => Ok(()),
        false => Err(format!(
            "its checksum does not match (it says {}, the content has {is}): something changed it",
            String::from_utf8_lossy(said)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    struct Document {
        name: &'static str,
        values: BTreeMap<&'static str, u64>,
    }

    fn text() -> String {
        let values = [("max", 65_536), ("tcp_timeout_established", 432_000)].into();
        sealed(&Document { name: "gw", values }).expect("JSON")
    }

    #[test]
    fn what_was_sealed_is_json_and_matches() {
        let text = text();
        assert_eq!(verify(text.as_bytes()), Ok(()));
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(parsed["values"]["max"], 65_536);
        assert!(parsed["checksum"].as_str().is_some_and(|sum| sum.starts_with("crc32-")), "{text}");
    }

    #[test]
    fn a_file_without_one_is_of_an_earlier_version() {
        assert_eq!(verify(b"{\"schema\":1}"), Ok(()));
        assert!(verify(b"{\"checksum\": \"md5-1\"}").is_err());
    }

    #[test]
    fn one_changed_digit_is_seen_wherever_it_is() {
        let text = text();
        for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
            let mut changed = text.clone().into_bytes();
            changed[at] = if byte == b'9' { b'0' } else { byte + 1 };
            let said = verify(&changed);
            assert!(said.is_err(), "digit {at} of\n{text}");
        }
    }

    proptest! {
        #[test]
        fn no_other_bytes_match(at in 0usize..1000, xor in 1u8..=255, cut in any::<bool>()) {
            let mut bytes = text().into_bytes();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] ^= xor }
            // Bytes of the field's name itself that no longer read so carry no value.
            let in_name = {
                let text = text();
                let start = text.find("\"checksum").expect("a field");
                (start..start + "\"checksum\"".len()).contains(&at)
            };
            prop_assert!(in_name || cut || verify(&bytes).is_err());
            prop_assert!(!cut || verify(&bytes).is_err() || serde_json::from_slice::<serde_json::Value>(&bytes).is_err());
        }
    }
}
