//! A flush from the screen: `ctctl flush` itself, as a process, so that there is one way to delete and one report of
//! it.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;

use super::arrange::Name;
use super::message::Message;
use crate::cli::args::Global;
use crate::core::model::{Filters, network};

/// Largest part of the command's output that is shown, in bytes.
const MOST_BYTES: usize = 4096;

/// Starts `ctctl flush` processes.
pub struct Flusher {
    global: Vec<OsString>,
    out: Sender<Message>,
}

impl Flusher {
    /// Creates a flusher for the namespace, agent and configuration of this command.
    pub fn new(global: &Global, out: Sender<Message>) -> Flusher {
        let mut words: Vec<OsString> = vec!["--color".into(), "never".into()];
        let mut option = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                words.extend([name.into(), value]);
            }
        };
        option("--netns", global.netns.as_ref().map(OsString::from));
        option("--socket", global.socket.as_ref().map(OsString::from));
        option("--config", global.config.as_ref().map(OsString::from));
        Flusher { global: words, out }
    }

    /// Asks for a preview of a flush of this source or prefix. Its output comes as a message.
    pub fn preview(&self, name: Name, filters: &Filters) {
        let note = if filters.is_empty() { "" } else { "only what matches the filter:\n" };
        self.run(self.words(&name, filters, "--dry-run"), move |said, can| {
            Message::Previewed(name, format!("{note}{said}"), can)
        });
    }

    /// Flushes this source or prefix. The output comes as a message.
    pub fn flush(&self, name: &Name, filters: &Filters) {
        self.run(self.words(name, filters, "--yes"), |said, _| Message::Flushed(said));
    }

    fn words(&self, (source, zone): &Name, filters: &Filters, how: &str) -> Vec<OsString> {
        let filters = match network(source) {
            Some(source) => filters.of_source(source, *zone).to_string(),
            // The command refuses a source that is no network, and its error is shown.
            None => format!("--source {source}"),
        };
        let mut words = self.global.clone();
        words.extend(["flush", how].into_iter().chain(filters.split(' ')).map(OsString::from));
        words
    }

    fn run(&self, words: Vec<OsString>, message: impl FnOnce(String, bool) -> Message + Send + 'static) {
        let out = self.out.clone();
        // If the thread cannot be started the question stays open, and esc leaves it.
        let _ = std::thread::Builder::new().name("flush".into()).spawn(move || {
            let (said, can) = ended(words);
            let _ = out.send(message(said, can));
        });
    }
}

/// Runs the command. Returns its output, and true if it succeeded.
fn ended(words: Vec<OsString>) -> (String, bool) {
    let run = || {
        let program = std::env::current_exe()?;
        Command::new(program).args(words).stdin(Stdio::null()).output()
    };
    match run() {
        Ok(output) => {
            let mut said = output.stdout;
            said.extend(output.stderr);
            said.truncate(MOST_BYTES);
            let said = String::from_utf8_lossy(&said).trim_end().to_string();
            (if said.is_empty() { "nothing was said".into() } else { said }, output.status.success())
        }
        Err(error) => (format!("ctctl flush: {error}"), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_command_names_the_source_in_its_zone_and_the_filter() {
        let line = ["ctctl", "--netns", "blue", "--socket", "/s", "top"];
        let global = crate::cli::args::Arguments::try_parse_from(line).expect("right").global;
        let flusher = Flusher::new(&global, std::sync::mpsc::channel().0);
        let words = |filters: &Filters| {
            let words = flusher.words(&("10.0.0.0/24".into(), Some(7)), filters, "--dry-run");
            words.iter().filter_map(|word| word.to_str()).collect::<Vec<&str>>().join(" ")
        };
        let before = "--color never --netns blue --socket /s flush --dry-run";
        assert_eq!(words(&Filters::default()), format!("{before} --source-zone 7 --source 10.0.0.0/24"));
        let filters = super::super::filters_of("10.0.0.0/8 -p udp --not --unreplied -w 7 -w 8");
        let expected = format!(
            "{before} --proto udp --zone 7 --zone 8 --source-zone 7 --source 10.0.0.0/24 --not --unreplied"
        );
        assert_eq!(words(&filters.expect("filters")), expected);
    }
}
