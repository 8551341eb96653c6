//! What the screen shows and what keys do to it. Pure: it reads no clock, draws nothing and asks nobody.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::arrange::{Arrangement, Line, Name};
use super::connections::{Connections, Read};
use super::cursor::Cursor;
use super::graph::Usage;
use crate::model::{Filters, SortBy, StatusDocument};

/// Prefixes that `p` goes through.
const PREFIXES: [Option<(u8, u8)>; 3] = [None, Some((24, 64)), Some((16, 48))];
/// Orders that `s` goes through.
const RANKS: [SortBy; 4] = [SortBy::Entries, SortBy::New, SortBy::Unreplied, SortBy::Idle];
/// The longest filter.
const LONGEST_FILTER: usize = 400;

/// What a key asks of those who gather.
#[derive(Clone, PartialEq, Debug)]
pub enum Ask {
    /// Nothing.
    Nothing,
    /// The end.
    Quit,
    /// To stop until the shell continues it.
    Stop,
    /// The same counts in another arrangement.
    Arrange,
    /// Other counts.
    Read,
    /// The entries of the source whose connections are shown; none any more where none are.
    Connections,
    /// Whether these words are filters.
    Filter(String),
    /// What a flush of this source would take.
    Preview(Name),
    /// To flush this source.
    Flush(Name),
}

/// What lies over the list.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Over {
    /// Nothing.
    #[default]
    Nothing,
    /// The keys, from this line on.
    Help(usize),
    /// One connection, whole.
    Connection(String),
    /// A filter that is being written, and why the last one was none.
    Filter(String, Option<String>),
    /// A flush that waits for a word.
    Flush {
        /// Of whom.
        name: Name,
        /// What it would take: nothing before that is known, then what was said, and whether it can be done.
        preview: Option<(String, bool)>,
    },
    /// What came of something, until a key.
    Told(String),
}

/// Counts by source as they were read last.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Listing {
    /// The list.
    pub lines: Vec<Line>,
    /// Lines without a bound.
    pub total: u64,
    /// Entries that were counted.
    pub entries: u64,
    /// Whether these are the kernel's.
    pub synced: bool,
    /// Where from.
    pub origin: String,
}

/// The screen's contents.
#[derive(Debug, Default)]
pub struct Model {
    /// The table, as it was seen last.
    pub status: Option<StatusDocument>,
    /// Why it is not the agent who says so.
    pub without: Option<String>,
    /// Usage over time.
    pub usage: Usage,
    /// Sources.
    pub listing: Option<Listing>,
    /// Why there are none, or no newer ones.
    pub trouble: Option<String>,
    /// How sources are shown.
    pub how: Arrangement,
    /// The filter as it was written.
    pub filter_text: String,
    /// What it means.
    pub filters: Filters,
    /// Usage as it was when the screen was frozen; since then nothing new is shown.
    pub frozen: Option<Usage>,
    /// What lies over it.
    pub over: Over,
    /// There is more of the help below what is shown of it: known once it was drawn.
    pub more_help: bool,
    /// A key asked for another list, which is to be shown though the screen is frozen.
    pub arranging: bool,
    /// A flush is under way.
    pub flushing: bool,
    /// Where one is in the list of sources.
    pub cursor: Cursor,
    /// The entries of one source, shown in place of the list.
    pub connections: Option<Connections>,
}

impl Model {
    /// The table's state of this second.
    pub fn status(&mut self, second: u64, status: StatusDocument, without: Option<String>) {
        // Time goes on, shown or not.
        self.usage.add(second, status.usage_percent);
        if self.frozen.is_none() {
            (self.status, self.without) = (Some(status), without);
        }
    }

    /// Usage as it is to be shown.
    pub fn shown_usage(&self) -> &Usage {
        self.frozen.as_ref().unwrap_or(&self.usage)
    }

    /// Counts by source.
    pub fn listing(&mut self, listing: Listing) {
        let selected = self.selected_line().map(Line::name);
        self.listing = Some(listing);
        self.trouble = None;
        // The cursor stays on its source, wherever that is now; at the top it stays at the top.
        let lines = self.lines();
        let again = selected.filter(|_| self.cursor.selected > 0);
        let found = again.and_then(|name| lines.iter().position(|line| line.name() == name));
        self.cursor.selected = found.unwrap_or(self.cursor.selected).min(lines.len().saturating_sub(1));
    }

    /// The entries of a source: shown if they are still wanted, and the screen is not frozen or a key asked for them.
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

    /// The list.
    pub fn lines(&self) -> &[Line] {
        self.listing.as_ref().map_or(&[], |listing| &listing.lines)
    }

    /// The line under the cursor.
    pub fn selected_line(&self) -> Option<&Line> {
        self.lines().get(self.cursor.selected)
    }

    /// The filter's words were filters, or not.
    pub fn filtered(&mut self, text: String, filters: Result<Filters, String>) -> Ask {
        match filters {
            Ok(filters) => {
                (self.filters, self.filter_text, self.over) = (filters, text, Over::Nothing);
                self.cursor.selected = 0;
                if let Some(connections) = &mut self.connections {
                    connections.forget();
                }
                Ask::Read
            }
            Err(why) => {
                self.over = Over::Filter(text, Some(why));
                Ask::Nothing
            }
        }
    }

    /// What a flush would take, for the question that is open.
    pub fn previewed(&mut self, of: &Name, said: String, can: bool) {
        if let Over::Flush { name, preview } = &mut self.over
            && name == of
        {
            *preview = Some((said, can));
        }
    }

    /// A flush ended.
    pub fn flushed(&mut self, said: String) -> Ask {
        self.flushing = false;
        if matches!(self.over, Over::Nothing | Over::Told(_)) {
            self.over = Over::Told(said);
        }
        Ask::Read
    }

    /// A key.
    pub fn key(&mut self, key: KeyEvent) -> Ask {
        if key.kind == KeyEventKind::Release {
            return Ask::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                // ctrl-\ is told as ctrl-4: they are one byte.
                KeyCode::Char('c' | '\\' | '4') => Ask::Quit,
                KeyCode::Char('z') => Ask::Stop,
                KeyCode::Char('u') if matches!(self.over, Over::Filter(..)) => {
                    self.over = Over::Filter(String::new(), None);
                    Ask::Nothing
                }
                _ => Ask::Nothing,
            };
        }
        match std::mem::take(&mut self.over) {
            Over::Nothing => self.key_in_list(key.code),
            Over::Help(from) => self.key_in_help(key.code, from),
            Over::Connection(_) | Over::Told(_) => Ask::Nothing,
            Over::Filter(text, why) => self.key_in_filter(key.code, text, why),
            Over::Flush { name, preview } => self.key_in_flush(key.code, name, preview),
        }
    }

    fn key_in_list(&mut self, key: KeyCode) -> Ask {
        match key {
            KeyCode::Char('q') => return Ask::Quit,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.over = Over::Help(0),
            KeyCode::Char('/') => self.over = Over::Filter(self.filter_text.clone(), None),
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

    /// From the source under the cursor to its connections.
    fn enter_source(&mut self) -> Ask {
        let Some(of) = self.selected_line().map(Line::name) else { return Ask::Nothing };
        self.connections = Some(Connections::of(of));
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
                    self.over = Over::Connection(connection.details.clone());
                }
            }
            other => connections.walk(other),
        }
        Ask::Nothing
    }

    /// Pages through it where it is longer than the screen; any other key leaves it.
    fn key_in_help(&mut self, key: KeyCode, from: usize) -> Ask {
        match key {
            KeyCode::Down | KeyCode::PageDown | KeyCode::Char('j') if self.more_help => {
                self.over = Over::Help(from + 1);
            }
            KeyCode::Up | KeyCode::PageUp | KeyCode::Char('k') if from > 0 => {
                self.over = Over::Help(from - 1);
            }
            _ => {}
        }
        Ask::Nothing
    }

    /// From the top of a list that is another one now.
    fn rearranged(&mut self, ask: Ask) -> Ask {
        self.cursor.go_to_top();
        ask
    }

    fn fold(&mut self, key: KeyCode) -> Ask {
        let at = self.cursor.selected;
        let Some(line) = self.selected_line() else { return Ask::Nothing };
        // A member folds its prefix.
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
            self.over = Over::Told("a flush is under way".into());
            return Ask::Nothing;
        }
        self.over = Over::Flush { name: name.clone(), preview: None };
        Ask::Preview(name)
    }

    fn key_in_flush(&mut self, key: KeyCode, name: Name, preview: Option<(String, bool)>) -> Ask {
        match (key, &preview) {
            // Nobody agrees to what was not shown.
            (KeyCode::Char('y' | 'Y'), Some((_, true))) => {
                self.flushing = true;
                Ask::Flush(name)
            }
            (KeyCode::Char('y' | 'Y'), None) => {
                self.over = Over::Flush { name, preview };
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
                self.over = Over::Filter(text, why);
                return Ask::Nothing;
            }
        }
        self.over = Over::Filter(text, None);
        Ask::Nothing
    }
}

/// What comes after `now`, the first after the last; from what is not among them the first.
pub fn after<T: PartialEq + Clone>(all: &[T], now: &T) -> T {
    let at = all.iter().position(|one| one == now).map_or(0, |at| (at + 1) % all.len());
    all[at].clone()
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
