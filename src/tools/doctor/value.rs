//! Reads the text that is written to one of conntrack's sysctls as the kernel does.

use crate::core::model::Timeout;

/// Result of reading a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Taken as this number, as its author meant it.
    Taken(u64),
    /// Taken, but not as a reader would think: why.
    Surprising(u64, &'static str),
    /// A timeout below zero, which the kernel takes: entries are then expired when they are made.
    Negative(i64),
    /// Refused: why, and the number that was meant, if one can be made out.
    Refused(String, Option<u64>),
}

impl Reading {
    /// The number that is then in force; nothing below zero.
    pub fn number(&self) -> Option<u64> {
        match self {
            Reading::Taken(number) | Reading::Surprising(number, _) => Some(*number),
            Reading::Negative(_) | Reading::Refused(..) => None,
        }
    }
}

/// Values that a u8 holds as a switch (proc_dou8vec_minmax with 0 and 1).
const SWITCHES: [&str; 6] =
    ["acct", "timestamp", "checksum", "tcp_loose", "tcp_be_liberal", "tcp_ignore_invalid_rst"];

/// Reads `text` for the name after `nf_conntrack_` as `proc_get_long` and its callers (kernel/sysctl.c) do: white
/// space, then digits, by whose beginning they are octal or hexadecimal, and behind the digits a space, a tab or the
/// end. The no-break space of Unicode is two bytes of which it takes none for white space.
pub fn read(name: &str, text: &str) -> Reading {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let Some(word) = text.split([' ', '\t', '\n']).next().filter(|word| !word.is_empty()) else {
        return Reading::Refused("there is no value".into(), None);
    };
    let (sign, unsigned) = match word.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, word),
    };
    let (digits, radix) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&unsigned[2..], 16),
        [b'0', _, ..] => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    let refused = |why: &str| Reading::Refused(format!("{word:?} {why}"), meant(text));
    if sign && !is_timeout(name) {
        return refused("is negative");
    }
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return refused("is no number to the kernel");
    }
    let Ok(number) = u64::from_str_radix(digits, radix) else {
        return refused("is too large");
    };
    if let Some(bound) = bound(name).filter(|bound| number > *bound) {
        return Reading::Refused(format!("{word} is more than the kernel takes here ({bound})"), Some(bound));
    }
    if let (true, Ok(number @ 1..)) = (sign, i64::try_from(number)) {
        return Reading::Negative(-number);
    }
    match radix {
        8 => Reading::Surprising(number, "a number that begins with 0 is octal"),
        // A whole second number behind it: a thousands separator, or two values.
        _ if text.split_whitespace().nth(1).is_some_and(|w| w.starts_with(|c: char| c.is_ascii_digit())) => {
            Reading::Surprising(number, "only what stands before the space counts")
        }
        _ => Reading::Taken(number),
    }
}

/// The largest value that any kernel takes; nothing where none is known.
fn bound(name: &str) -> Option<u64> {
    if name == "events" {
        return Some(2);
    }
    if SWITCHES.contains(&name) {
        return Some(1);
    }
    if matches!(name, "tcp_max_retrans" | "log_invalid") {
        return Some(255);
    }
    // proc_dointvec_jiffies refuses what overflows at HZ jiffies a second; HZ is 100 at least.
    Some(if is_timeout(name) { i32::MAX as u64 / 100 } else { i32::MAX.try_into().ok()? })
}

/// Written through proc_dointvec_jiffies, in seconds and with a sign.
fn is_timeout(name: &str) -> bool {
    Timeout::named(name).is_some() || name == "frag6_timeout"
}

/// White space to a reader, and what an editor shows as nothing.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}')
}

/// The number that somebody meant who wrote `65536.`, `65,536`, `65_536`, `"65536"`, `64k`, `1d`.
pub(super) fn meant(text: &str) -> Option<u64> {
    let bare = text.split(['#', ';']).next().unwrap_or_default();
    let kept: String =
        bare.chars().filter(|c| !matches!(c, '"' | '\'' | '_' | ',' | '=' | '+') && !is_blank(*c)).collect();
    let kept = kept.trim_end_matches('.');
    let digits = kept.find(|c: char| !c.is_ascii_digit()).unwrap_or(kept.len());
    let (number, unit) = kept.split_at(digits);
    let factor: u64 = match unit {
        "" | "s" | ".0" => 1,
        "k" | "K" => 1024,
        "M" => 1 << 20,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_linux_6_18_reads_them() {
        let read = |text| super::read("tcp_timeout_established", text);
        for (text, number) in [("86400", 86_400), (" 86400 # c", 86_400), ("0x100", 256), ("0", 0)] {
            assert_eq!(read(text), Reading::Taken(number), "{text}");
        }
        for (text, meant) in [
            ("86400.", Some(86_400)),
            ("86400;", Some(86_400)),
            ("86,400", Some(86_400)),
            ("86_400", Some(86_400)),
            ("1d", Some(86_400)),
            ("\"86400\"", Some(86_400)),
            ("86400.0", Some(86_400)),
            ("= 44", Some(44)),
            ("\u{a0}44", Some(44)),
            ("44\u{a0}", Some(44)),
            ("44\u{2009}000", Some(44_000)),
            ("1e5", None),
            ("08", Some(8)),
            ("+5", Some(5)),
            ("", None),
            ("21474837", Some(21_474_836)),
            ("99999999999999999999999", None),
        ] {
            let Reading::Refused(_, number) = read(text) else { panic!("{text} is refused") };
            assert_eq!(number, meant, "{text}");
        }
        for (text, number) in [("-1", -1), ("-0x10", -16), ("-86400", -86_400), (" -5 # c", -5)] {
            assert_eq!(read(text), Reading::Negative(number), "{text}");
        }
        assert_eq!(read("-0"), Reading::Taken(0));
        assert!(matches!(read("-1x"), Reading::Refused(..)) && matches!(read("--1"), Reading::Refused(..)));
        assert!(matches!(super::read("max", "-1"), Reading::Refused(..)));
        assert_eq!(read("0100").number(), Some(64));
        assert!(matches!(read("65 536"), Reading::Surprising(65, _)));
        assert!(matches!(super::read("events", "3"), Reading::Refused(_, Some(2))));
        assert_eq!(super::read("tcp_loose", "1"), Reading::Taken(1));
        assert_eq!(super::read("max", "65536"), Reading::Taken(65_536));
    }

    proptest! {
        #[test]
        fn nothing_panics(name in "[a-z_]{0,12}", text in any::<String>()) {
            let _ = read(&name, &text);
        }
    }
}
