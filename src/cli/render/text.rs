//! Text from elsewhere made safe to print, and lines made to fit.

use std::borrow::Cow;
use std::io::{self, Write};

/// Escapes control characters, and those that change the direction of writing, as `\u{1b}`: text from a socket or a
/// journal must not control the terminal.
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

/// Writes `first` and then `text` (escaped); on a terminal of `width` columns later lines are indented by `indent`.
/// Words are never cut: an address that does not fit overflows.
///
/// # Errors
/// Those of the writer.
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

/// Widest line of a sentence that goes into a pipe, in columns: short enough to be read in any window, and long enough
/// that what programs look for in it is seldom broken.
const PIPED: usize = 160;

/// Writes a sentence as [`paragraph`] does, and breaks it into lines even if the output is no terminal.
///
/// # Errors
/// Those of the writer.
pub fn prose(
    out: &mut dyn Write,
    width: Option<usize>,
    first: &str,
    indent: usize,
    text: &str,
) -> io::Result<()> {
    paragraph(out, Some(width.unwrap_or_else(piped)), first, indent, text)
}

/// Returns the width of a sentence that goes into a pipe: COLUMNS, which watch(1) sets for its command, or [`PIPED`].
pub fn piped() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.filter(|columns| (20..=PIPED).contains(columns)).unwrap_or(PIPED)
}

/// Returns `text` cut to `width` columns between words, with `...` at its end; true if that was needed.
pub fn clipped(text: &str, width: usize) -> (Cow<'_, str>, bool) {
    const END: &str = "...";
    if text.chars().count() <= width {
        return (Cow::Borrowed(text), false);
    }
    let room = width.saturating_sub(END.len());
    let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
    // A first word that does not fit is cut: unlike an address, half a word does not mislead.
    let head = if text[end..].starts_with(' ') { Some(&text[..end]) } else { None };
    let head = head.or_else(|| text[..end].rsplit_once(' ').map(|(head, _)| head)).unwrap_or(&text[..end]);
    (Cow::Owned(format!("{}{END}", head.trim_end_matches([' ', ',', ':', ';']))), true)
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
    fn a_sentence_is_cut_between_words_and_says_so() {
        for (width, text) in [
            (40, "usage is 82 % of 65536"),
            (22, "usage is 82 % of 65536"),
            (21, "usage is 82 % of..."),
            (11, "usage is..."),
            (7, "usag..."),
            (0, "..."),
        ] {
            let (cut, was) = clipped("usage is 82 % of 65536", width);
            assert_eq!((cut.as_ref(), was), (text, width < 22), "{width}");
        }
    }

    #[test]
    fn a_sentence_in_a_pipe_is_broken_and_a_paragraph_is_not() {
        let long = "word ".repeat(100);
        let mut out = Vec::new();
        prose(&mut out, None, "- ", 2, &long).expect("memory");
        let text = String::from_utf8(out).expect("text");
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= PIPED), "{text}");
        assert_eq!(wrapped(None, "- ", 2, &long).lines().count(), 1);
    }

    #[test]
    fn a_long_word_overflows_whole() {
        let address = "2001:db8:1111:2222:3333:4444:5555:6666";
        assert_eq!(wrapped(Some(10), "- ", 2, &format!("from {address}")), format!("- from\n  {address}\n"));
    }

    proptest! {
        #[test]
        fn what_is_cut_fits(text in "\\PC{0,80}", width in 3usize..60) {
            prop_assert!(clipped(&text, width).0.chars().count() <= width);
        }

        #[test]
        fn nothing_printed_controls_the_terminal(text in any::<String>(), width in 0usize..40) {
            let printed = wrapped(Some(width), "", 2, &text);
            prop_assert!(!printed.chars().any(|c| c != '\n' && unsafe_to_print(c)));
        }
    }
}
