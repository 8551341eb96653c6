//! The terminal: taken at the start, restored at any end.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use crate::direct;
use crate::error::{Error, Result};

type Drawn = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// The alternate screen; the normal screen comes back when this is dropped.
pub struct Screen {
    terminal: Drawn,
}

impl Screen {
    /// Takes the terminal. A panic on any thread restores it before the panic is printed, and ends the process.
    ///
    /// # Errors
    /// Exit 3 if the terminal refuses.
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

    /// Restores the terminal, stops the process as SIGTSTP does, and takes the terminal again when the process
    /// continues.
    ///
    /// # Errors
    /// Those of the terminal and of sigaction(2).
    pub fn pause(&mut self) -> io::Result<()> {
        give_back();
        direct::until_continued()?;
        self.terminal = take()?;
        Ok(())
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal, once per process. Errors are ignored, because they could not be shown.
pub fn restore() {
    static ONCE: Once = Once::new();
    ONCE.call_once(give_back);
}

/// Takes the terminal with an empty screen, so that the first frame draws everything.
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
        // A panic on any thread ends the process: without that thread the screen would show stale values.
        std::process::exit(101);
    }));
}
