//! A real terminal to look at: tmux(1) runs the program in a pseudo terminal and shows what is on the screen.

use std::time::Duration;

use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::namespace::unique;
use crate::harness::tool::must;
use crate::harness::wait;

const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal with a shell in it; both end when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    server: String,
    guard: Option<Guard>,
}

impl Terminal {
    /// 80 columns by 24 lines.
    pub fn new() -> Self {
        let server = unique();
        let shell = "exec env -u NO_COLOR PS1='$ ' LC_ALL=C.UTF-8 sh";
        must(
            "tmux",
            &["-u", "-L", &server, "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", shell],
            "",
        );
        let mut terminal = Terminal { server, guard: None };
        let pid = terminal.tmux(&["display-message", "-p", "#{pid}"]);
        terminal.guard = Some(Guard::new(Leftover::Process(pid.trim().parse().expect("a pid"))));
        // What is typed before the shell's prompt would be shown before it.
        wait::until("the first prompt", PATIENCE, || {
            let screen = terminal.screen();
            if screen.trim() == "$" { Ok(()) } else { Err(screen) }
        });
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        must("tmux", &[&["-u", "-L", &self.server], args].concat(), "")
    }

    /// Types a line.
    pub fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
        self.key("Enter");
    }

    /// Presses a key, by tmux's name of it.
    pub fn key(&self, name: &str) {
        self.tmux(&["send-keys", name]);
    }

    /// Has the shell in it empty the screen.
    pub fn clear(&self) {
        self.line("clear");
        wait::until("an empty screen", PATIENCE, || {
            let screen = self.screen();
            if screen.trim() == "$" { Ok(()) } else { Err(screen) }
        });
    }

    /// What is on the screen, a line a line.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with its escape sequences.
    pub fn painted(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until all of it is on the screen, and gives the screen.
    pub fn shows(&self, parts: &[&str]) -> String {
        wait::until(&format!("{parts:?} on the screen"), PATIENCE, || {
            let screen = self.screen();
            match parts.iter().all(|part| screen.contains(part)) {
                true => Ok(screen),
                false => Err(format!("\n{screen}")),
            }
        })
    }

    /// Another size.
    pub fn resize(&self, columns: u16, lines: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// A program's own screen is up, or the cursor is hidden.
    pub fn is_taken(&self) -> bool {
        self.tmux(&["display-message", "-p", "#{alternate_on}#{cursor_flag}"]).trim() != "01"
    }

    /// Waits until no program has a screen of its own any more.
    pub fn is_given_back(&self) {
        wait::until("the shell's screen", PATIENCE, || {
            if self.is_taken() { Err(self.screen()) } else { Ok(()) }
        });
    }

    /// Waits for the shell's prompt, with nothing typed behind it yet.
    pub fn prompts(&self) {
        wait::until("a prompt", PATIENCE, || {
            let screen = self.screen();
            if screen.trim_end().ends_with("\n$") { Ok(()) } else { Err(format!("\n{screen}")) }
        });
    }

    /// The process in front of the shell, by its command line.
    pub fn process(&self, marker: &str) -> i32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        wait::until("the program in the terminal", PATIENCE, || {
            let listed = std::fs::read_to_string(&children).unwrap_or_default();
            let found = listed.split_whitespace().find(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(marker)
            });
            found.and_then(|pid| pid.parse().ok()).ok_or(listed.clone())
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the terminal:\n{}\n---", self.screen());
        }
        let _ = crate::harness::tool::tool("tmux").args(["-L", &self.server, "kill-server"]).output();
        if let Some(guard) = self.guard.take() {
            guard.forget();
        }
    }
}
