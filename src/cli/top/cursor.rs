//! The cursor and the visible part of a list that is longer than the screen. Pure.

use ratatui::crossterm::event::KeyCode;

/// A line of a list, and the part of the list around it that is visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// Number of the line under the cursor.
    pub selected: usize,
    /// Number of the first visible line.
    pub top: usize,
    /// Number of visible lines: 0 until the list was drawn.
    page: usize,
}

impl Cursor {
    /// Moves as the key says, within a list of `lines`.
    pub fn walk(&mut self, key: KeyCode, lines: usize) {
        let last = lines.saturating_sub(1);
        let page = self.page.max(2) - 1;
        self.selected = match key {
            KeyCode::Up | KeyCode::Char('k') => self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.selected + 1,
            KeyCode::PageUp => self.selected.saturating_sub(page),
            KeyCode::PageDown => self.selected + page,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => self.selected,
        }
        .min(last);
    }

    /// Moves to the first line.
    pub fn go_to_top(&mut self) {
        (self.selected, self.top) = (0, 0);
    }

    /// Scrolls so that the cursor's line is among the `page` visible ones of a list of `lines`.
    pub fn scroll(&mut self, page: usize, lines: usize) {
        self.page = page;
        let lowest_top = (self.selected + 1).saturating_sub(page);
        let highest_top = lines.saturating_sub(page);
        self.top = self.top.min(highest_top).clamp(lowest_top.min(self.selected), self.selected);
    }
}
