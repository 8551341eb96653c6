//! The terminal: taken at the start, given back at any end.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use crate::error::{Error, Result};
use crate::survey;

type Drawn = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// A screen of one's own; the operator's comes back when this is dropped.
pub struct Screen {
    terminal: Drawn,
}

impl Screen {
    /// Takes the terminal. A panic anywhere gives it back before it is told, and ends the process.
    ///
    /// # Errors
    /// Exit 3 where the terminal refuses.
    pub fn open() -> Result<Screen> {
        restore_at_panic();
        let cannot = |error: io::Error| Error::unreachable("terminal", error);
        match take() {
            Ok(terminal) => Ok(Screen { terminal }),
            Err(error) => {
                restore();
                Err(cannot(error))
            }
        }
    }

    /// Gives the terminal back, stops the process as SIGTSTP does, and takes the terminal again when it goes on.
    ///
    /// # Errors
    /// The terminal's, and sigaction(2)'s.
    pub fn pause(&mut self) -> io::Result<()> {
        give_back();
        survey::until_continued()?;
        self.terminal = take()?;
        Ok(())
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// The terminal's.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back. Once, whoever asks first; what fails has nobody to be told to.
pub fn restore() {
    static ONCE: Once = Once::new();
    ONCE.call_once(give_back);
}

/// With an empty screen, of which everything is drawn.
fn take() -> io::Result<Drawn> {
    enable_raw_mode()?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
    execute!(out, EnterAlternateScreen, Hide)?;
    Terminal::new(CrosstermBackend::new(out))
}

fn give_back() {
    let _ = disable_raw_mode();
    let mut out = io::stdout();
    let _ = execute!(out, Show, LeaveAlternateScreen);
    let _ = out.flush();
}

fn restore_at_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        tell(panic);
        // On whatever thread: a screen that goes on without it would show what is not so.
        std::process::exit(101);
    }));
}
