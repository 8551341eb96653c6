//! Messages to the thread that draws, from those that read.

use ratatui::crossterm::event::KeyEvent;

use super::arrange::Arrangement;
use super::connections::Read;
use super::model::Listing;
use crate::core::model::StatusDocument;

/// Bound on the work of counting: after a count the thread rests for at least this many times its duration.
pub const IDLE_SHARE: u32 = 10;

/// A message to the thread that draws.
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The window was resized.
    Redraw,
    /// A signal ends the process, or the terminal is gone.
    End,
    /// SIGTSTP came: the terminal is wanted for another job.
    Pause,
    /// Usage of the table.
    Status {
        /// Seconds since the start.
        second: u64,
        /// Status of the table and the agent.
        status: Box<StatusDocument>,
        /// Reason why the status is not from the agent; `None` if it is.
        without: Option<String>,
    },
    /// Sources, and the arrangement that they are in.
    Listing(Arrangement, Box<Listing>),
    /// The entries of one source, or the reason why they cannot be read.
    Connections(Box<std::result::Result<Read, String>>),
    /// Reason why something cannot be read.
    Trouble(String),
    /// Preview of a flush of this source, and true if the command succeeded.
    Previewed(super::arrange::Name, String, bool),
    /// Output of a flush that ended.
    Flushed(String),
}
