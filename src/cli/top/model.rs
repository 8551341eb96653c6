//! Contents of the screen, and the effect of each key on it. Pure: it reads no clock, draws nothing and asks neither
//! agent nor kernel.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::arrange::{Arrangement, Line, Name};
use super::ask::{Ask, after};
use super::connections::{Connections, Read};
use super::cursor::Cursor;
use super::graph::Usage;
use crate::core::model::{Filters, SortBy, StatusDocument};

/// Prefix lengths that `p` steps through.
const PREFIXES: [Option<(u8, u8)>; 3] = [None, Some((24, 64)), Some((16, 48))];
/// Orders that `s` steps through.
const RANKS: [SortBy; 4] = [SortBy::Entries, SortBy::New, SortBy::Unreplied, SortBy::Idle];
/// Longest filter text, in bytes.
const LONGEST_FILTER: usize = 400;

/// A window over the list.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Popup {
    /// No window is open.
    #[default]
    Nothing,
    /// The help, from this line on.
    Help(usize),
    /// All details of one connection.
    Connection(String),
    /// A filter that is being written, and the reason why the last one was refused.
    Filter(String, Option<String>),
    /// A flush that waits for consent.
    Flush {
        /// Source or prefix to flush.
        name: Name,
        /// Output of the preview, and true if the flush is possible; `None` until it is known.
        preview: Option<(String, bool)>,
    },
    /// A message that stays until a key is pressed.
    Outcome(String),
}

/// Counts by source of the last reading.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Listing {
    /// Lines of the list.
    pub lines: Vec<Line>,
    /// Number of lines without the bound.
    pub total: u64,
    /// Number of entries counted.
    pub entries: u64,
    /// True if the counts agree with the kernel.
    pub synced: bool,
    /// Sentence on the origin of the counts.
    pub origin: String,
}

/// Everything that the screen shows.
#[derive(Debug, Default)]
pub struct Model {
    /// Last status of the table; `None` before the first.
    pub status: Option<StatusDocument>,
    /// Reason why the status is not from the agent; `None` if it is.
    pub without: Option<String>,
    /// Usage over time.
    pub usage: Usage,
    /// Last counts by source; `None` before the first.
    pub listing: Option<Listing>,
    /// Reason why there are no counts, or no newer ones.
    pub trouble: Option<String>,
    /// Order and folding of the sources.
    pub how: Arrangement,
    /// Filters as they were written.
    pub filter_text: String,
    /// Filters as they were parsed.
    pub filters: Filters,
    /// Usage at the time when the screen was frozen, since when nothing new is shown; `None` if it is not frozen.
    pub frozen: Option<Usage>,
    /// Window over the list.
    pub popup: Popup,
    /// True if the help goes on below its visible part: known once it was drawn.
    pub more_help: bool,
    /// True if a key asked for another list, which is shown even if the screen is frozen.
    pub arranging: bool,
    /// True while a flush is under way.
    pub flushing: bool,
    /// Cursor in the list of sources.
    pub cursor: Cursor,
    /// Entries of one source, shown in place of the list; `None` for the list.
    pub connections: Option<Connections>,
}

impl Model {
    /// Takes the status of this second.
    pub fn status(&mut self, second: u64, status: StatusDocument, without: Option<String>) {
        // Usage is recorded even if the screen is frozen.
        self.usage.add(second, status.usage_percent);
        if self.frozen.is_none() {
            (self.status, self.without) = (Some(status), without);
        }
    }

    /// Returns the usage to show.
    pub fn shown_usage(&self) -> &Usage {
        self.frozen.as_ref().unwrap_or(&self.usage)
    }

    /// Takes new counts by source.
    pub fn listing(&mut self, listing: Listing) {
        let selected = self.selected_line().map(Line::name);
        self.listing = Some(listing);
        self.trouble = None;
        // The cursor stays on its source, or on the first line if it was there.
        let lines = self.lines();
        let again = selected.filter(|_| self.cursor.selected > 0);
        let found = again.and_then(|name| lines.iter().position(|line| line.name() == name));
        self.cursor.selected = found.unwrap_or(self.cursor.selected).min(lines.len().saturating_sub(1));
    }

    /// Takes the entries of a source, if they are still wanted, and the screen is not frozen or a key asked for them.
    pub fn connections_read(&mut self, read: Result<Read, String>) {
        let frozen = self.frozen.is_some();
        let Some(connections) = &mut self.connections else { return };
        match read {
            Ok(read) if read.of == connections.order() => {
                if !frozen || connections.awaited {
                    connections.take(read);
                    self.trouble = None;
                }
            }
            Ok(_) => {}
            Err(why) => self.trouble = Some(why),
        }
    }

    /// Returns the lines of the list.
    pub fn lines(&self) -> &[Line] {
        self.listing.as_ref().map_or(&[], |listing| &listing.lines)
    }

    /// Returns the line under the cursor.
    pub fn selected_line(&self) -> Option<&Line> {
        self.lines().get(self.cursor.selected)
    }

    /// Takes the parsed filters, or shows the reason why they were refused.
    pub fn filtered(&mut self, text: String, filters: Result<Filters, String>) -> Ask {
        match filters {
            Ok(filters) => {
                (self.filters, self.filter_text, self.popup) = (filters, text, Popup::Nothing);
                self.cursor.selected = 0;
                if let Some(connections) = &mut self.connections {
                    connections.forget();
                }
                Ask::Read
            }
            Err(why) => {
                self.popup = Popup::Filter(text, Some(why));
                Ask::Nothing
            }
        }
    }

    /// Takes the preview of a flush, if its question is still open.
    pub fn previewed(&mut self, of: &Name, said: String, can: bool) {
        if let Popup::Flush { name, preview } = &mut self.popup
            && name == of
        {
            *preview = Some((said, can));
        }
    }

    /// Takes the output of a flush that ended.
    pub fn flushed(&mut self, said: String) -> Ask {
        self.flushing = false;
        if matches!(self.popup, Popup::Nothing | Popup::Outcome(_)) {
            self.popup = Popup::Outcome(said);
        }
        Ask::Read
    }

    /// Handles a key.
    pub fn key(&mut self, key: KeyEvent) -> Ask {
        if key.kind == KeyEventKind::Release {
            return Ask::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                // Terminals send one byte for ctrl-\ and ctrl-4, which is reported as ctrl-4.
                KeyCode::Char('c' | '\\' | '4') => Ask::Quit,
                KeyCode::Char('z') => Ask::Stop,
                KeyCode::Char('u') if matches!(self.popup, Popup::Filter(..)) => {
                    self.popup = Popup::Filter(String::new(), None);
                    Ask::Nothing
                }
                _ => Ask::Nothing,
            };
        }
        match std::mem::take(&mut self.popup) {
            Popup::Nothing => self.key_in_list(key.code),
            Popup::Help(from) => self.key_in_help(key.code, from),
            Popup::Connection(_) | Popup::Outcome(_) => Ask::Nothing,
            Popup::Filter(text, why) => self.key_in_filter(key.code, text, why),
            Popup::Flush { name, preview } => self.key_in_flush(key.code, name, preview),
        }
    }

    fn key_in_list(&mut self, key: KeyCode) -> Ask {
        match key {
            KeyCode::Char('q') => return Ask::Quit,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.popup = Popup::Help(0),
            KeyCode::Char('/') => self.popup = Popup::Filter(self.filter_text.clone(), None),
            KeyCode::Char(' ') => {
                self.frozen = if self.frozen.is_some() { None } else { Some(self.usage.clone()) };
                return if self.frozen.is_some() { Ask::Nothing } else { Ask::Read };
            }
            other if self.connections.is_some() => return self.key_in_connections(other),
            KeyCode::Esc if !self.filters.is_empty() => {
                return self.filtered(String::new(), Ok(Filters::default()));
            }
            KeyCode::Char('s') => {
                self.how.rank = after(&RANKS, &self.how.rank);
                return self.rearranged(Ask::Read);
            }
            KeyCode::Char('r') => {
                self.how.reversed = !self.how.reversed;
                return self.rearranged(Ask::Read);
            }
            KeyCode::Char('p') => {
                self.how.prefix = after(&PREFIXES, &self.how.prefix);
                self.how.unfolded.clear();
                return self.rearranged(Ask::Read);
            }
            KeyCode::Enter if self.selected_line().is_some_and(|line| line.unfolded.is_none()) => {
                return self.enter_source();
            }
            KeyCode::Enter | KeyCode::Right | KeyCode::Left | KeyCode::Char('+' | '-') => {
                return self.fold(key);
            }
            KeyCode::Char('f') => return self.ask_to_flush(),
            other => self.cursor.walk(other, self.lines().len()),
        }
        Ask::Nothing
    }

    /// Opens the connections of the source under the cursor.
    fn enter_source(&mut self) -> Ask {
        let Some(of) = self.selected_line().map(Line::name) else { return Ask::Nothing };
        self.connections = Some(Connections::new(of));
        Ask::Connections
    }

    fn key_in_connections(&mut self, key: KeyCode) -> Ask {
        let Some(connections) = &mut self.connections else { return Ask::Nothing };
        match key {
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace => {
                self.connections = None;
                return Ask::Connections;
            }
            KeyCode::Char('s') => return connections.sort_by_next(),
            KeyCode::Char('r') => return connections.reverse(),
            KeyCode::Enter | KeyCode::Right => {
                if let Some(connection) = connections.selected() {
                    self.popup = Popup::Connection(connection.details.clone());
                }
            }
            other => connections.walk(other),
        }
        Ask::Nothing
    }

    /// Scrolls the help if it is longer than the screen; any other key closes it.
    fn key_in_help(&mut self, key: KeyCode, from: usize) -> Ask {
        match key {
            KeyCode::Down | KeyCode::PageDown | KeyCode::Char('j') if self.more_help => {
                self.popup = Popup::Help(from + 1);
            }
            KeyCode::Up | KeyCode::PageUp | KeyCode::Char('k') if from > 0 => {
                self.popup = Popup::Help(from - 1);
            }
            _ => {}
        }
        Ask::Nothing
    }

    /// Moves the cursor to the top, because the list is another one now.
    fn rearranged(&mut self, ask: Ask) -> Ask {
        self.cursor.go_to_top();
        ask
    }

    fn fold(&mut self, key: KeyCode) -> Ask {
        let at = self.cursor.selected;
        let Some(line) = self.selected_line() else { return Ask::Nothing };
        // The key folds the prefix of a source that is shown below it.
        let head =
            if line.member { self.lines()[..at].iter().rposition(|line| !line.member) } else { Some(at) };
        let Some((head, name, unfolded)) = head.and_then(|head| {
            let line = &self.lines()[head];
            Some((head, line.name(), line.unfolded?))
        }) else {
            return Ask::Nothing;
        };
        let unfold = match key {
            KeyCode::Right | KeyCode::Char('+') => true,
            KeyCode::Left | KeyCode::Char('-') => false,
            _ => !unfolded,
        };
        match unfold {
            true => drop(self.how.unfolded.insert(name)),
            false => {
                self.how.unfolded.remove(&name);
                self.cursor.selected = head;
            }
        }
        Ask::Arrange
    }

    fn ask_to_flush(&mut self) -> Ask {
        let Some(name) = self.selected_line().map(Line::name) else { return Ask::Nothing };
        if self.flushing {
            self.popup = Popup::Outcome("a flush is under way".into());
            return Ask::Nothing;
        }
        self.popup = Popup::Flush { name: name.clone(), preview: None };
        Ask::Preview(name)
    }

    fn key_in_flush(&mut self, key: KeyCode, name: Name, preview: Option<(String, bool)>) -> Ask {
        match (key, &preview) {
            // Consent counts only once the preview was shown.
            (KeyCode::Char('y' | 'Y'), Some((_, true))) => {
                self.flushing = true;
                Ask::Flush(name)
            }
            (KeyCode::Char('y' | 'Y'), None) => {
                self.popup = Popup::Flush { name, preview };
                Ask::Nothing
            }
            _ => Ask::Nothing,
        }
    }

    fn key_in_filter(&mut self, key: KeyCode, mut text: String, why: Option<String>) -> Ask {
        match key {
            KeyCode::Esc => return Ask::Nothing,
            KeyCode::Enter => return Ask::Filter(text),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(c) if text.len() < LONGEST_FILTER && !c.is_control() => text.push(c),
            _ => {
                self.popup = Popup::Filter(text, why);
                return Ask::Nothing;
            }
        }
        self.popup = Popup::Filter(text, None);
        Ask::Nothing
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
