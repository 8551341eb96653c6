use clap::Parser;

use super::super::args::{Arguments, Command};
use super::*;

fn asked(line: &str) -> Result<Question> {
    let words = ["ctctl", "top-sources"].into_iter().chain(line.split_whitespace());
    let arguments = Arguments::try_parse_from(words).expect("parses");
    let Command::TopSources(options) = arguments.command else { panic!("another command") };
    question(&arguments.global, &options)
}

#[test]
fn what_does_not_go_together_is_refused_with_a_way_out() {
    assert_eq!(asked(""), Ok(Question { limit: 20, ..Question::default() }));
    let destination = asked("--group destination --prefix 24 --by unreplied -n 3 --resolve").expect("goes");
    assert_eq!((destination.grouping, destination.rank), (Grouping::Destination, SortBy::Unreplied));
    for line in [
        "--group service --prefix 24",
        "--group mark --resolve",
        "--input - --by new",
        "--input - --by idle",
        "--input - --netns blue",
    ] {
        let error = asked(line).expect_err(line);
        assert!(error.hint.is_some() && error.exit as u8 == 2, "{line}");
    }
}
