//! No text panics, and every error has a place.

use proptest::prelude::*;

use super::accepted::{ALL, document};
use crate::config::parse;
use crate::error::Exit;

/// An error of any text has a place inside the text, and takes one line.
fn check_any(text: &str) -> std::result::Result<(), TestCaseError> {
    let Err(error) = parse(text, "f") else { return Ok(()) };
    prop_assert_eq!(error.exit, Exit::Usage);
    let shown = format!("{error} {}", error.hint.clone().unwrap_or_default());
    prop_assert!(!shown.contains(char::is_control), "{}", shown.escape_debug());
    let mut place = error.why.splitn(4, ':').skip(1).map(|n| n.parse::<usize>().unwrap());
    let (line, column) = (place.next().unwrap(), place.next().unwrap());
    let lines: Vec<&str> = text.split('\n').collect();
    prop_assert!((1..=lines.len()).contains(&line), "line {} of {}", line, lines.len());
    prop_assert!((1..=lines[line - 1].chars().count() + 1).contains(&column), "column {}", column);
    Ok(())
}

/// Pieces of text that a mutation inserts.
fn fragment() -> impl Strategy<Value = String> {
    let pieces =
        ["[", "]", "{", "}", "\"", "'", "=", ".", ",", "\n", "-", "nan", "1e999", "#", "\u{e9}", "\0"];
    let keys: Vec<&str> = ALL.iter().flat_map(|row| [row.0, row.1, row.2]).collect();
    let chosen = prop::sample::select([&pieces[..], &keys].concat()).prop_map(str::to_owned);
    prop_oneof![3 => chosen, 1 => any::<String>()]
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), lines in prop::collection::vec(fragment(), 0..12)) {
        check_any(&text)?;
        check_any(&lines.concat())?;
    }

    #[test]
    fn no_mutation_of_a_good_file_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..9_usize, fragment()), 1..4),
    ) {
        let mut text: Vec<char> = document().chars().collect();
        for (at, length, put) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len() - 1).max(at);
            text.splice(at..end, put.chars());
        }
        check_any(&text.into_iter().collect::<String>())?;
    }
}
