//! Reads files of other programs, each by the rules of the program that reads it. Pure: text and lines come in,
//! commands and values that they write come out.

pub mod hooked;
pub mod listed;
pub mod modprobe;
pub mod shell;
pub mod strings;
pub mod tuned;
pub mod udev;
pub mod unit;
mod words;
pub mod writes;

use crate::core::model::FileLine;

/// A simple command that a file has run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Command {
    /// The line that it stands in, with the lines that this one continues over.
    pub line: FileLine,
    /// Place in that line's text, with the redirections; `None` where it cannot be cut out of it.
    pub span: Option<(usize, usize)>,
    /// The program and its arguments, quotes taken away. What only the run decides stays as it is written (`$MAX`).
    pub words: Vec<String>,
    /// Redirections to files by name.
    pub redirects: Vec<Redirect>,
    /// Its input, where that stands in the file: a here-document, a here-string, the output of `echo`.
    pub input: Option<String>,
    /// It reads what the command before writes.
    pub piped: bool,
    /// Without a command in its place the text around it is no script: `if`, `case`, a function, `&&`.
    pub inside: bool,
    /// It runs when something stops, and not at a boot.
    pub at_stop: bool,
    /// Branches of `if` and `case` that it stands in, by the compound command and the place among its branches.
    pub branches: Vec<(u32, u32)>,
}

/// A redirection to a file by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// The number in front of it.
    pub number: Option<u32>,
    /// It writes to the file.
    pub writes: bool,
    /// File to which it is redirected.
    pub target: String,
}

/// Programs that run another, which their arguments name.
const WRAPPERS: [&str; 12] = [
    "sudo", "doas", "env", "exec", "command", "nice", "ionice", "nohup", "setsid", "chronic", "busybox",
    "timeout",
];
/// Options of theirs that take a word of their own.
const WITH_WORD: [&str; 6] = ["-n", "-u", "-g", "-c", "-s", "-k"];

impl Command {
    /// The program and its arguments, without assignments and programs that only run another.
    pub fn arguments(&self) -> &[String] {
        let mut words = &self.words[..];
        while let [first, rest @ ..] = words {
            let wrapper = base(first);
            if !WRAPPERS.contains(&wrapper) && !is_assignment(first) {
                break;
            }
            words = rest;
            while let [option, rest @ ..] = words {
                if !option.starts_with('-') || is_assignment(first) {
                    break;
                }
                // `sudo -n` takes none, `nice -n 5` does.
                let takes = WITH_WORD.contains(&option.as_str()) && !(wrapper == "sudo" && option == "-n");
                words = if takes { rest.get(1..).unwrap_or_default() } else { rest };
            }
            if wrapper == "timeout" {
                words = words.get(1..).unwrap_or_default();
            }
        }
        words
    }

    /// The program's name without its directory.
    pub fn program(&self) -> &str {
        self.arguments().first().map_or("", |word| base(word))
    }

    /// True if the shell that comes to it goes no further: `exit`, or `exec` of a program, in no condition, no function
    /// and no loop.
    fn ends_shell(&self) -> bool {
        let ends = match self.words.as_slice() {
            [first, ..] if first == "exit" => true,
            [first, second, ..] if first == "exec" => !second.starts_with('$'),
            _ => false,
        };
        ends && !self.inside && !self.piped
    }

    /// Output of `echo` or `printf` of constants.
    fn output(&self) -> Option<String> {
        let arguments = self.arguments().get(1..).unwrap_or_default();
        let options = arguments.iter().take_while(|word| word.starts_with('-') && word.len() <= 3).count();
        match (self.program(), arguments) {
            ("echo", _) => Some(arguments[options..].join(" ")),
            ("printf", [format]) => Some(format.trim_end_matches("\\n").to_owned()),
            ("printf", [format, value])
                if matches!(format.trim_end_matches("\\n"), "%s" | "%d" | "%u" | "%i") =>
            {
                Some(value.clone())
            }
            // `cat` passes its input through.
            ("cat", []) => self.input.clone(),
            ("tee", _) => self.input.clone(),
            _ => None,
        }
    }

    /// True if only one of the two runs: they stand in different branches.
    pub fn is_instead_of(&self, other: &Command) -> bool {
        let differs =
            |(id, at): &(u32, u32)| other.branches.iter().any(|(theirs, there)| theirs == id && there != at);
        self.branches.iter().any(differs)
    }

    /// Its line with other text in its place; nothing where it cannot be cut out of it.
    pub fn replaced(&self, with: &str) -> Option<String> {
        let (from, to) = self.span?;
        Some(format!("{}{with}{}", self.line.text.get(..from)?, self.line.text.get(to..)?))
    }

    /// Text of the command in its line; `None` where it cannot be cut out of it.
    pub fn text(&self) -> Option<&str> {
        let (from, to) = self.span?;
        self.line.text.get(from..to)
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| words::is_name(name))
}
