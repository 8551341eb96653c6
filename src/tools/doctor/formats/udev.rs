//! Rules of udev (udev(7)): what they match and what they do.

use super::writes::{BUCKETS, Write, is_ours, path};
use super::{Command, words};
use crate::core::model::FileLine;

/// One part of a rule, `KEY{attribute}OPERATOR"value"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token<'a> {
    /// The key, such as `RUN` or `KERNEL`.
    pub key: &'a str,
    /// The attribute in braces; empty where there is none.
    pub attribute: &'a str,
    /// `==`, `!=`, `=`, `+=`, `-=`, `:=`.
    pub operator: &'a str,
    /// Without its quotes.
    pub value: String,
}

/// The tokens of a rule, up to what is no token.
pub fn tokens(rule: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = rule;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (key, mut behind) = rest.split_at(end);
        let mut attribute = "";
        if let Some((inside, after)) = behind.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            (attribute, behind) = (inside, after);
        }
        behind = behind.trim_start();
        let Some(operator) =
            ["==", "!=", "+=", "-=", ":=", "="].into_iter().find(|op| behind.starts_with(op))
        else {
            return found;
        };
        behind = behind[operator.len()..].trim_start();
        let behind = behind.strip_prefix(['e', 'i']).filter(|b| b.starts_with('"')).unwrap_or(behind);
        let Some(quoted) = behind.strip_prefix('"').filter(|_| !key.is_empty()) else { return found };
        let Some(end) = closing(quoted) else { return found };
        found.push(Token { key, attribute, operator, value: quoted[..end].replace("\\\"", "\"") });
        rest = &quoted[end + 1..];
    }
}

fn closing(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// Commands that a rule runs.
pub fn commands(lines: &[FileLine]) -> Vec<Command> {
    let of = |line: &FileLine| {
        let tokens = tokens(&line.text);
        let runs = tokens.iter().filter(|t| matches!(t.key, "RUN" | "PROGRAM") && t.attribute != "builtin");
        let command =
            |value: &str| Command { line: line.clone(), words: words::words(value), ..Command::default() };
        runs.map(|token| command(&token.value)).collect::<Vec<_>>()
    };
    lines.iter().flat_map(of).collect()
}

/// Values that a rule writes itself: `SYSCTL{key}="value"`, and the module's `ATTR{parameters/hashsize}`.
pub fn writes(lines: &[FileLine]) -> Vec<Write> {
    let of = |line: &FileLine| {
        let tokens = tokens(&line.text);
        let module =
            tokens.iter().any(|t| t.key == "KERNEL" && t.operator == "==" && t.value == "nf_conntrack");
        let written = tokens.into_iter().filter(|token| token.operator == "=").filter_map(|token| {
            let key = match (token.key, token.attribute) {
                ("SYSCTL", attribute) => Some(path(attribute)).filter(|key| is_ours(key)),
                ("ATTR", "parameters/hashsize") if module => Some(BUCKETS.into()),
                _ => None,
            }?;
            Some(Write { line: line.clone(), key, value: Some(token.value), ..Write::default() })
        });
        written.collect::<Vec<_>>()
    };
    lines.iter().flat_map(of).collect()
}

/// True if a rule acts when the module of connection tracking comes.
pub fn is_for_module(rule: &str) -> bool {
    let tokens = tokens(rule);
    let is = |key: &str, value: &str| {
        let mut ours =
            tokens.iter().filter(|token| token.key == key && matches!(token.operator, "==" | "!="));
        ours.all(|token| (token.operator == "==") == matches(&token.value, value))
    };
    let named = tokens
        .iter()
        .any(|token| matches!(token.key, "KERNEL" | "DEVPATH") && token.value.contains("conntrack"));
    named && is("ACTION", "add") && is("SUBSYSTEM", "module") && is("KERNEL", "nf_conntrack")
}

/// Alternatives stand between `|`, each a pattern.
fn matches(pattern: &str, text: &str) -> bool {
    pattern.split('|').any(|pattern| crate::tools::doctor::settings::part_matches(pattern, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_taken_apart() {
        let rule = "ACTION==\"add\", SUBSYSTEM==\"module\",KERNEL==\"nf_conntrack\", RUN+=\"/bin/sh -c 'echo \\\"5\\\"'\"";
        let tokens: Vec<_> = tokens(rule).into_iter().map(|t| (t.key, t.operator, t.value)).collect();
        let is = |key, operator, value: &str| (key, operator, value.to_owned());
        assert_eq!(
            tokens,
            [
                is("ACTION", "==", "add"),
                is("SUBSYSTEM", "==", "module"),
                is("KERNEL", "==", "nf_conntrack"),
                is("RUN", "+=", "/bin/sh -c 'echo \"5\"'"),
            ]
        );
        assert!(is_for_module(rule));
        for other in [
            "ACTION==\"add\", SUBSYSTEM==\"net\", KERNEL==\"nf_conntrack\"",
            "ACTION==\"remove\", SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack\"",
            "SUBSYSTEM==\"module\", KERNEL!=\"nf_conntrack\"",
            "SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack_ftp\"",
            "SUBSYSTEM==\"module\", KERNEL==\"br_netfilter\"",
            "KERNEL==\"nf_conntrack",
        ] {
            assert!(!is_for_module(other), "{other}");
        }
        for ours in [
            "SUBSYSTEM==\"module\", KERNEL==\"nf_conntrack*\"",
            "KERNEL==\"br_netfilter|nf_conntrack\"",
            "ACTION==\"add|change\", DEVPATH==\"/module/nf_conntrack\"",
        ] {
            assert!(is_for_module(ours), "{ours}");
        }
    }

    #[test]
    fn a_rule_writes_values_itself() {
        let line = FileLine {
            text: "KERNEL==\"nf_conntrack\", SYSCTL{net.netfilter.nf_conntrack_max}=\"5\", ATTR{parameters/hashsize}=\"6\", \
                   SYSCTL{net.ipv4.ip_forward}=\"1\""
                .into(),
            ..FileLine::default()
        };
        let written: Vec<_> = writes(&[line]).into_iter().map(|w| (w.key, w.value)).collect();
        let is = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        assert_eq!(written, [is("net/netfilter/nf_conntrack_max", "5"), is(BUCKETS, "6")]);
    }
}
