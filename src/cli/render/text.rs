//! Text from elsewhere made safe to print, and lines made to fit.

use std::borrow::Cow;
use std::io::{self, Write};

/// `text` with control characters, and those that turn the direction of writing, as `\u{1b}`: what comes from a
/// socket or a journal must not drive the terminal.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(unsafe_to_print) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match unsafe_to_print(c) {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

fn unsafe_to_print(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// Writes `first` and `text` (escaped) behind it; on a terminal of `width` columns later lines are indented by
/// `indent`. Words are never cut: an address that does not fit overflows.
///
/// # Errors
/// The writer's.
pub fn paragraph(
    out: &mut dyn Write,
    width: Option<usize>,
    first: &str,
    indent: usize,
    text: &str,
) -> io::Result<()> {
    let text = escape(text);
    write!(out, "{first}")?;
    let Some(width) = width else {
        return writeln!(out, "{text}");
    };
    let mut column = first.chars().count();
    let mut fresh = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if !fresh && column + 1 + length > width {
            write!(out, "\n{:indent$}", "")?;
            (column, fresh) = (indent, true);
        }
        if !fresh {
            write!(out, " ")?;
            column += 1;
        }
        write!(out, "{word}")?;
        column += length;
        fresh = false;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrapped(width: Option<usize>, first: &str, indent: usize, text: &str) -> String {
        let mut out = Vec::new();
        paragraph(&mut out, width, first, indent, text).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn escape_sequences_are_shown_and_not_sent() {
        assert_eq!(escape("max raised"), "max raised");
        assert_eq!(escape("a\x1b[2Jb\nc\u{9b}"), "a\\u{1b}[2Jb\\nc\\u{9b}");
        assert_eq!(escape("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(escape("größer"), "größer");
    }

    #[test]
    fn lines_break_between_words_on_a_terminal_alone() {
        let text = "usage is 82 % of 65536";
        assert_eq!(wrapped(Some(14), "1. ", 3, text), "1. usage is 82\n   % of 65536\n");
        assert_eq!(wrapped(None, "1. ", 3, text), "1. usage is 82 % of 65536\n");
    }

    #[test]
    fn a_long_word_overflows_whole() {
        let address = "2001:db8:1111:2222:3333:4444:5555:6666";
        assert_eq!(wrapped(Some(10), "- ", 2, &format!("from {address}")), format!("- from\n  {address}\n"));
    }

    proptest! {
        #[test]
        fn nothing_printed_controls_the_terminal(text in any::<String>(), width in 0usize..40) {
            let printed = wrapped(Some(width), "", 2, &text);
            prop_assert!(!printed.chars().any(|c| c != '\n' && unsafe_to_print(c)));
        }
    }
}
