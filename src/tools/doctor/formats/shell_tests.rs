use proptest::prelude::*;

use super::*;

fn words(script: &str) -> Vec<String> {
    commands("/x", script).iter().map(|command| command.words.join("|")).collect()
}

#[test]
fn scripts_are_taken_apart_as_a_shell_does() {
    for (script, expected) in [
        ("a b; c 'd e' && f\n", &["a|b", "c|d e", "f"][..]),
        ("if a; then b \\\n c; fi # d; e\n", &["a", "b|c", "fi"]),
        ("x=\"a; b\" # c\n", &["x=a; b"]),
        ("echo 'two\nlines; here' b\nc\n", &["echo|two\nlines; here|b", "c"]),
        ("cat <<E >f; d\nbody; here\nE\ne\n", &["cat", "d", "e"]),
        ("cat <<-'E'\n\tbody\n\tE\ne\n", &["cat", "e"]),
        ("a $(b; c) `d`\n", &["b", "c", "d", "a|$(b; c)|`d`"]),
        ("case $1 in start) a ;; *) b ;; esac\n", &["case|$1|in|start", "a", "*", "b", "esac"]),
        ("a#b c\\ d\n", &["a#b|c d"]),
        ("a 2>&1 | b\n", &["a", "b"]),
        ("a &>/dev/null\n", &["a"]),
        ("f() { a; }\n", &["f", "a", "}"]),
        ("A=1; echo $A ${A} \"$A\" '$A' $B\n", &["A=1", "echo|1|1|1|$A|$B"]),
        ("A=1; A=2; echo $A\n", &["A=1", "A=2", "echo|$A"]),
        ("echo $((1 + 2)) x\n", &["echo|$((1 + 2))|x"]),
        ("echo \"unended\n", &["echo|unended\n"]),
    ] {
        assert_eq!(words(script), expected, "{script}");
    }
}

#[test]
fn places_and_redirections_are_known() {
    let found = commands("/x", "# one\n  a b >/x 2>/y </z\nc \\\n d\n");
    let [first, second] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((first.line.line, first.line.last, first.line.text.as_str()), (2, 2, "a b >/x 2>/y </z"));
    let redirects: Vec<_> = first.redirects.iter().map(|r| (r.number, r.writes, r.target.as_str())).collect();
    assert_eq!(redirects, [(None, true, "/x"), (Some(2), true, "/y"), (None, false, "/z")]);
    assert_eq!((second.line.line, second.line.last, second.line.text.as_str()), (3, 4, "c  d"));
    let inside = |script: &str| -> Vec<bool> { commands("/x", script).iter().map(|c| c.inside).collect() };
    assert_eq!(inside("a\nif b; then\nc\nfi\nd\n"), [false, true, true, false, false]);
    assert_eq!(inside("a &&\nb\nc\n"), [false, true, false]);
    assert_eq!(inside("f() {\na\n}\nb\n"), [false, true, false, false]);
    let all = commands("/x", "a && \\\n b c \\\n || d\ne\n");
    let lines: Vec<_> = all.iter().map(|command| (command.line.line, command.line.last)).collect();
    assert_eq!(lines, [(1, 3), (1, 3), (1, 3), (4, 4)]);
    assert_eq!(all[1].replaced(":").as_deref(), Some("a &&  :  || d"));
    let piped = commands("/x", "echo 5 | tee a | cat\n");
    assert_eq!(piped[2].input.as_deref(), Some("5"));
    assert!(piped[1].piped && !piped[0].piped);
}

proptest! {
    #[test]
    fn nothing_panics_and_places_are_inside(script in "[a-z $(){}'\"`;&|<>#\\\\\n=é1]{0,60}") {
        for command in commands("/x", &script) {
            prop_assert!(command.line.line <= command.line.last);
            if let Some((from, to)) = command.span {
                prop_assert!(command.line.text.get(from..to).is_some(), "{:?}", command);
            }
        }
    }
}
