//! What a key asks of the threads that read.

use super::arrange::Name;

/// Requests of a key to the other threads.
#[derive(Clone, PartialEq, Debug)]
pub enum Ask {
    /// Asks for nothing.
    Nothing,
    /// Ends the program.
    Quit,
    /// Stops the process until the shell continues it.
    Stop,
    /// Asks for the last counts in another arrangement.
    Arrange,
    /// Asks for new counts.
    Read,
    /// Asks for the entries of the source whose connections are shown, or to stop reading if there is none.
    Connections,
    /// Asks to parse these words as filters.
    Filter(String),
    /// Asks for a preview of a flush of this source.
    Preview(Name),
    /// Asks to flush this source.
    Flush(Name),
}

/// Returns the element after `now`, after the last one the first; the first one if `now` is not among them.
pub fn after<T: PartialEq + Clone>(all: &[T], now: &T) -> T {
    let at = all.iter().position(|one| one == now).map_or(0, |at| (at + 1) % all.len());
    all[at].clone()
}
