//! Finds the commands of a shell script: simple commands with their words and redirections (POSIX, 2.3 and 2.10).
//! Quotes, comments, continuation lines, here-documents and command substitutions are understood; variables are known
//! where the script gives them one constant. Nothing is run, and what is decided at run time stays as it is written
//! (`$MAX`).

mod documents;
mod stops;

use std::collections::HashMap;

use self::documents::Document;
use self::stops::Stops;
use super::words::{closing, is_name};
use super::{Command, Redirect};
use crate::core::model::FileLine;

/// Commands inside commands are read this deep.
const DEEPEST: usize = 8;
/// Bytes of a constant, and of a word that constants still go into.
const LONGEST: usize = 256;

/// The commands of a script, in the order in which they stand there.
pub fn commands(path: &str, text: &str) -> Vec<Command> {
    let mut reader = Reader::new(path, text);
    reader.script();
    reader.found
}

/// The commands of one line of another file, which runs it by a shell.
pub fn of_line(line: &FileLine, command: &str) -> Vec<Command> {
    let mut found = commands(&line.path, command);
    for command in &mut found {
        command.line = line.clone();
        command.span = None;
    }
    found
}

#[derive(Default)]
struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    at: usize,
    /// Places at which the lines behind the first begin.
    starts: Vec<usize>,
    depth: usize,
    found: Vec<Command>,
    open: Command,
    began: Option<usize>,
    /// End of the last word of the open command.
    ended: usize,
    piped: bool,
    /// The command that is open stands behind `&&`, `||` or `|`.
    joined: bool,
    /// Compound commands that are open.
    compounds: usize,
    /// Of those the subshells, each by their number with it.
    subshells: Vec<usize>,
    /// A parenthesis behind a function's name is open.
    named: bool,
    /// The shell has come to its end.
    over: bool,
    stops: Stops,
    documents: Vec<Document>,
    variables: HashMap<String, Option<String>>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a str, text: &'a str) -> Reader<'a> {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Reader { path, text, starts, ..Reader::default() }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn script(&mut self) {
        while let Some(c) = self.peek().filter(|_| !self.over) {
            match c {
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.rest().starts_with("\\\n") => self.at += 2,
                '\n' => {
                    self.over |= self.end(false);
                    self.at += 1;
                    self.documents();
                }
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                ';' | '&' | '|' | '(' | ')' => self.operator(),
                '<' | '>' => self.redirect(None),
                _ => self.argument(),
            }
        }
        self.end(false);
    }

    fn operator(&mut self) {
        let rest = &self.text[self.at..];
        if rest.starts_with("&>") {
            self.at += 1;
            return self.redirect(None);
        }
        let length =
            ["&&", "||", ";;", "|&"].iter().find(|op| rest.starts_with(**op)).map_or(1, |op| op.len());
        let operator = &rest[..length];
        let (pipe, joined) = (matches!(operator, "|" | "|&"), matches!(operator, "|" | "|&" | "&&" | "||"));
        // A subshell; elsewhere a parenthesis ends a pattern, or follows a function's name.
        let opens = operator == "(" && self.open.words.is_empty();
        let words = self.open.words.clone();
        let last = self.end(pipe);
        self.stops.operator(operator, &words);
        // In a pipe, or in the background, it ends no more than itself.
        self.over |= last && matches!(operator, ";" | ";;");
        self.compounds += usize::from(opens);
        self.parenthesis(operator, opens);
        self.joined |= joined;
        self.at += length;
    }

    /// Counts subshells; what is open is one, or follows a function's name.
    fn parenthesis(&mut self, operator: &str, opens: bool) {
        match operator {
            "(" if opens => self.subshells.push(self.compounds),
            "(" => self.named = true,
            ")" if std::mem::take(&mut self.named) => {}
            ")" if self.subshells.pop_if(|subshell| *subshell == self.compounds).is_some() => {
                self.compounds -= 1;
            }
            _ => {}
        }
    }

    /// A word, or the number of a file in front of a redirection.
    fn argument(&mut self) {
        let start = self.at;
        self.began.get_or_insert(start);
        let word = self.word();
        let number =
            !word.is_empty() && word.len() == self.at - start && word.chars().all(|c| c.is_ascii_digit());
        match number && self.rest().starts_with(['<', '>']) {
            true => self.redirect(Some(word)),
            false => self.push(word),
        }
    }

    /// Adds a word, but for one before the command that does not belong to it.
    fn push(&mut self, word: String) {
        const BEFORE: [&str; 10] = ["if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"];
        if self.open.words.is_empty() {
            match word.as_str() {
                "if" | "while" | "until" | "for" | "select" | "case" | "{" => self.compounds += 1,
                "fi" | "done" | "esac" | "}" => self.compounds = self.compounds.saturating_sub(1),
                _ => {}
            }
            self.stops.word(&word, self.compounds);
        }
        if self.open.words.is_empty() && BEFORE.contains(&word.as_str()) {
            // The command begins behind it.
            self.began = None;
            return;
        }
        self.open.words.push(word);
        self.ended = self.at;
    }

    fn redirect(&mut self, number: Option<String>) {
        self.began.get_or_insert(self.at);
        let rest = self.rest();
        let operators = ["<<<", "<<-", ">>", ">|", ">&", "<<", "<&", "<>", ">", "<"];
        let Some(operator) = operators.into_iter().find(|operator| rest.starts_with(operator)) else {
            return;
        };
        self.at += operator.len();
        while self.rest().starts_with([' ', '\t']) {
            self.at += 1;
        }
        let target = self.word();
        self.ended = self.at;
        match operator {
            "<<" | "<<-" => {
                self.documents.push(Document { end: target, tabs: operator == "<<-", command: None });
            }
            "<<<" => self.open.input = Some(target),
            // Duplicates a file that is open already.
            ">&" | "<&" if target.chars().all(|c| c.is_ascii_digit() || c == '-') => {}
            operator => self.open.redirects.push(Redirect {
                number: number.and_then(|n| n.parse().ok()),
                writes: operator != "<" && operator != "<&",
                target,
            }),
        }
    }

    /// Ends the command that is open; true if a shell that comes to it goes no further.
    fn end(&mut self, pipes: bool) -> bool {
        let mut command = std::mem::take(&mut self.open);
        let began = self.began.take();
        let from_pipe = std::mem::replace(&mut self.piped, pipes);
        let Some(began) = began.filter(|_| !command.words.is_empty() || !command.redirects.is_empty()) else {
            return false;
        };
        command.inside = std::mem::take(&mut self.joined) || self.compounds > 0;
        (command.at_stop, command.branches) = self.stops.now();
        self.assign(&command.words);
        command.piped = from_pipe;
        if command.input.is_none() && from_pipe {
            command.input = self.found.last().and_then(Command::output);
        }
        let ended = self.ended.max(began);
        let (start, first) = self.logical_start(began);
        let (end, last) = self.logical_end(ended);
        let whole = &self.text[start..end];
        let indent = whole.len() - whole.trim_start().len();
        let text = whole.replace("\\\n", "").replace('\n', " ").trim().to_owned();
        // In the joined text.
        let place = |at: usize| {
            let before = &self.text[start..at];
            (before.len() - 2 * before.matches("\\\n").count()).checked_sub(indent)
        };
        let span = place(began).zip(place(ended));
        let quoted = whole.replace("\\\n", "").contains('\n');
        command.span = span.filter(|(from, to)| !quoted && text.get(*from..*to).is_some());
        let lines = || whole.split('\n').map(|line| line.trim().to_owned()).collect();
        let physical = if first == last { Vec::new() } else { lines() };
        command.line = FileLine { path: self.path.into(), line: first, last, text, physical };
        for document in self.documents.iter_mut().filter(|document| document.command.is_none()) {
            document.command = Some(self.found.len());
        }
        let last = command.ends_shell();
        self.found.push(command);
        last
    }

    /// The first of the lines that go on to the one at `at`.
    fn logical_start(&self, at: usize) -> (usize, u32) {
        let begin = |at: usize| self.text[..at].rfind('\n').map_or(0, |at| at + 1);
        let (mut start, mut line) = (begin(at), self.line_of(at));
        while self.text[..start].ends_with("\\\n") {
            (start, line) = (begin(start - 2), line - 1);
        }
        (start, line)
    }

    /// The last of the lines to which the one at `at` goes on.
    fn logical_end(&self, at: usize) -> (usize, u32) {
        let end = |at: usize| self.text[at..].find('\n').map_or(self.text.len(), |length| at + length);
        let (mut ends, mut line) = (end(at), self.line_of(at));
        while self.text[..ends].ends_with('\\') && ends < self.text.len() {
            (ends, line) = (end(ends + 1), line + 1);
        }
        (ends, line)
    }

    fn line_of(&self, at: usize) -> u32 {
        let lines = self.starts.partition_point(|start| *start <= at);
        u32::try_from(lines).unwrap_or(u32::MAX - 1) + 1
    }

    /// Constants that the script gives to variables. One that changes is unknown from then on.
    fn assign(&mut self, words: &[String]) {
        const DECLARE: [&str; 5] = ["export", "readonly", "local", "declare", "typeset"];
        let declares = words.first().is_some_and(|word| DECLARE.contains(&word.as_str()));
        let assigned = words.iter().skip(usize::from(declares));
        for word in assigned {
            let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_name(name)) else { break };
            let constant = value.len() <= LONGEST && !value.contains(['$', '`']);
            let value = constant.then(|| value.to_owned());
            let known = self.variables.entry(name.into()).or_insert_with(|| value.clone());
            if *known != value {
                *known = None;
            }
        }
    }

    /// A word without its quotes.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\'' => {
                    self.at += 1;
                    let end = self.rest().find('\'').unwrap_or(self.rest().len());
                    word.push_str(&self.rest()[..end]);
                    self.at = (self.at + end + 1).min(self.text.len());
                }
                '"' => {
                    self.at += 1;
                    self.double_quoted(&mut word);
                }
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c) => word.push(c),
                    }
                }
                '$' | '`' => self.expansion(&mut word),
                c => {
                    self.at += c.len_utf8();
                    word.push(c);
                }
            }
        }
        word
    }

    fn double_quoted(&mut self, word: &mut String) {
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c @ ('$' | '`' | '"' | '\\')) => word.push(c),
                        Some(c) => word.extend(['\\', c]),
                    }
                }
                '$' | '`' => self.expansion(word),
                c => {
                    self.at += c.len_utf8();
                    word.push(c);
                }
            }
        }
    }

    /// `$name`, `${…}`, `$(…)`, `$((…))` and backquotes: the constant, or as it is written.
    fn expansion(&mut self, word: &mut String) {
        let start = self.at;
        if self.rest().starts_with('`') {
            let end = self.rest()[1..].find('`').map_or(self.rest().len(), |end| end + 2);
            self.at += end;
            let inside = self.text[start + 1..self.at].trim_end_matches('`').to_owned();
            self.nested(&inside, start + 1);
        } else if self.rest().starts_with("$(") {
            self.at += 2;
            let end = closing(self.rest());
            let inside = self.rest()[..end].to_owned();
            if !inside.starts_with('(') {
                self.nested(&inside, self.at);
            }
            self.at = (self.at + end + 1).min(self.text.len());
        } else if self.rest().starts_with("${") {
            let end = self.rest().find('}').map_or(self.rest().len(), |end| end + 1);
            self.at += end;
            let name = self.text[start + 2..self.at].trim_end_matches('}');
            if let Some(Some(value)) = self.variables.get(name).filter(|_| word.len() <= LONGEST) {
                return word.push_str(value);
            }
        } else {
            self.at += 1;
            let rest = &self.text[self.at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let name = &rest[..end];
            self.at += end;
            if let Some(Some(value)) = self.variables.get(name).filter(|_| word.len() <= LONGEST) {
                return word.push_str(value);
            }
        }
        word.push_str(&self.text[start..self.at]);
    }

    /// Commands of a substitution that begins at `at`.
    fn nested(&mut self, inside: &str, at: usize) {
        if self.depth >= DEEPEST {
            return;
        }
        let mut reader = Reader::new(self.path, inside);
        reader.depth = self.depth + 1;
        reader.variables = std::mem::take(&mut self.variables);
        reader.script();
        self.variables = std::mem::take(&mut reader.variables);
        let (before, mut found) = (self.line_of(at) - 1, reader.found);
        for command in &mut found {
            command.span = None;
            command.line.line += before;
            command.line.last += before;
        }
        self.found.extend(found);
    }
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
