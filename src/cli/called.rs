//! Completes the commands that ctctl tells the operator to type with the options that it was started with itself: the
//! answer about one namespace must not name a command that acts on another.

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

use clap::CommandFactory;

use super::args::{Arguments, Global};

/// Commands that concern neither a namespace nor an agent.
const WITHOUT_NAMESPACE: [&str; 3] = ["generate", "help", "simulate"];

static CALLED: OnceLock<Called> = OnceLock::new();

/// Options of this process that choose the namespace, the socket and the configuration.
#[derive(Debug, Default)]
struct Called {
    /// Text such as ` --netns blue --socket /run/x.sock`; empty if no option was given.
    options: String,
    /// Names of the commands that take these options.
    commands: Vec<String>,
}

/// Stores the options that this process was started with; only the first call has an effect.
pub fn keep(global: &Global) {
    let _ = CALLED.set(Called::new(global));
}

/// Returns `text` with the options added to every `ctctl COMMAND` in it. Not for the command lines of other processes.
pub fn complete(text: &str) -> Cow<'_, str> {
    CALLED.get().map_or(Cow::Borrowed(text), |called| called.complete(text))
}

/// Completes each sentence of a document, for readers of JSON as well.
pub fn complete_all<'t>(sentences: impl IntoIterator<Item = &'t mut String>) {
    for sentence in sentences {
        if let Cow::Owned(completed) = complete(sentence) {
            *sentence = completed;
        }
    }
}

/// Returns `ctctl` with the options by which a second terminal reaches the agent that this process runs.
pub fn client(global: &Global) -> String {
    format!("ctctl{}", Called::new(global).options)
}

impl Called {
    fn new(global: &Global) -> Called {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let given = [
            ("--netns", global.netns.clone()),
            ("--socket", global.socket.as_deref().map(path)),
            ("--config", global.config.as_deref().map(path)),
        ];
        let given = given.into_iter().filter_map(|(option, value)| Some((option, value?)));
        let options = given.map(|(option, value)| format!(" {option} {}", quoted(&value))).collect();
        let command = Arguments::command();
        let names = command.get_subcommands().map(clap::Command::get_name);
        let commands = names.filter(|name| !WITHOUT_NAMESPACE.contains(name)).map(str::to_owned).collect();
        Called { options, commands }
    }

    fn complete<'t>(&self, text: &'t str) -> Cow<'t, str> {
        const NAME: &str = "ctctl ";
        if self.options.is_empty() || !text.contains(NAME) {
            return Cow::Borrowed(text);
        }
        let (mut done, mut rest) = (String::with_capacity(text.len() + 64), text);
        while let Some(at) = rest.find(NAME) {
            let (before, after) = rest.split_at(at + NAME.len());
            let begins = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || "-_./".contains(c));
            done.push_str(before);
            if begins && self.is_meant(after) {
                done.truncate(done.len() - 1);
                done.push_str(&self.options);
                done.push(' ');
            }
            rest = after;
        }
        done.push_str(rest);
        Cow::Owned(done)
    }

    /// True if `after`, which follows `ctctl `, begins with a command that takes the options.
    fn is_meant(&self, after: &str) -> bool {
        let end = after.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(after.len());
        let line = after[end..].split('`').next().unwrap_or_default();
        self.commands.iter().any(|command| *command == after[..end])
            && !after[end..].starts_with(':')
            && !line.starts_with(" --help")
    }
}

/// Quotes a word for a shell where that is needed.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn called(options: &[&str]) -> Called {
        let line = [&["ctctl"], options, &["status"]].concat();
        Called::new(&Arguments::try_parse_from(line).expect("right").global)
    }

    #[test]
    fn a_command_that_is_told_carries_what_it_was_asked_with() {
        let blue = called(&["--netns", "blue", "--socket", "/run/my dir/x.sock"]);
        let options = "--netns blue --socket '/run/my dir/x.sock'";
        for (told, typed) in [
            ("start it with `ctctl agent`, or ask", format!("start it with `ctctl {options} agent`, or ask")),
            ("ctctl plan", format!("ctctl {options} plan")),
            (
                "paused until `ctctl resume`; see ctctl top-sources -n 5.",
                format!("paused until `ctctl {options} resume`; see ctctl {options} top-sources -n 5."),
            ),
            // Text that is no command, and commands that concern no namespace.
            ("an agent of ctctl under pressure", "an agent of ctctl under pressure".into()),
            ("see `ctctl status --help`", "see `ctctl status --help`".into()),
            ("ctctl simulate --list", "ctctl simulate --list".into()),
            ("ctctl flush: no such file", "ctctl flush: no such file".into()),
            ("ctctl --netns red plan", "ctctl --netns red plan".into()),
            ("systemctl status x-ctctl status", "systemctl status x-ctctl status".into()),
        ] {
            assert_eq!(blue.complete(told), typed);
        }
        assert_eq!(
            called(&["--config", "/c.toml"]).complete("`ctctl plan`"),
            "`ctctl --config /c.toml plan`"
        );
        assert_eq!(called(&[]).complete("`ctctl plan`"), "`ctctl plan`");
    }

    #[test]
    fn what_is_typed_is_read_as_it_was_meant() {
        let netns = "it's; rm -rf /";
        let options = called(&["--netns", netns]).options;
        let words = shell(&format!("printf %s{options}"));
        assert_eq!(words, format!("--netns{netns}"));
    }

    fn shell(line: &str) -> String {
        let output = std::process::Command::new("sh").args(["-c", line]).output().expect("sh");
        String::from_utf8(output.stdout).expect("text")
    }
}
