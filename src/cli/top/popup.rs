//! Windows over the list: the help, the question before a flush, and its result.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::Look;
use super::model::{Model, Popup};
use super::wrap::wrap;
use crate::cli::render::flush::{DELETED, MOST_RECENT, SOURCE};
use crate::cli::render::text::escape;

/// Keys and their effects; a name in capitals is that of a column.
const HELP: [(&str, &str); 13] = [
    ("q", "quit, as ctrl-c"),
    ("up, down", "move; also j, k, page up, page down, home, end"),
    ("enter", "a source's connections, a prefix's sources, a connection's details"),
    ("esc", "back to the sources; there: no filter"),
    ("s", "sort by entries, new, unreplied, idle"),
    ("r", "reverse the order"),
    ("p", "fold by /24 and /64, by /16 and /48, or not"),
    ("+, -", "show and hide the sources of a prefix"),
    ("/", "filter: -p udp --dport 53, or a network"),
    ("space", "freeze the screen (not the agent), and go on"),
    ("f", "flush the line: shows what goes, then asks"),
    ("", ""),
    (
        "IDLE",
        "idle for certain past the floor of its class, and not protected; counted by a dump, as is UNREPLIED",
    ),
];

/// Draws the window that is open, if any.
pub fn draw(model: &mut Model, look: &Look, area: Rect, buffer: &mut Buffer) {
    let back = "any key goes back";
    if let Popup::Help(from) = &mut model.popup {
        let (text, last) = help(area);
        *from = (*from).min(last);
        model.more_help = *from < last;
        let shown = help_from(&text, *from, model.more_help, area);
        return framed("keys", &shown, look, area, buffer);
    }
    let (title, text) = match &model.popup {
        Popup::Nothing | Popup::Filter(..) | Popup::Help(_) => return,
        Popup::Connection(details) => ("connection".into(), lines(details, area, back).0),
        Popup::Outcome(said) => ("flush".into(), lines(&outcome_first(said), area, back).0),
        Popup::Flush { name: (source, zone), preview } => {
            let zone = zone.filter(|zone| *zone != 0).map_or(String::new(), |z| format!(" in zone {z}"));
            let of = format!("{}{zone}", escape(source));
            let (said, last) = match preview {
                None => ("looking what would go...", "esc leaves it"),
                Some((said, true)) => (said.as_str(), "y deletes them, other keys do not"),
                Some((said, false)) => (said.as_str(), back),
            };
            match lines(&format!("of {of}:\n{said}"), area, last) {
                (lines, true) => ("flush?".into(), lines),
                // If not all fits, the source moves into the title.
                _ => (format!("flush {of}?"), lines(said, area, last).0),
            }
        }
    };
    framed(&title, &text, look, area, buffer);
}

/// Returns the help in lines that fit the width, and the last line that it may begin with.
fn help(area: Rect) -> (Vec<String>, usize) {
    const INDENT: usize = 10;
    let width = usize::from(area.width).saturating_sub(4).max(INDENT + 10);
    let mut text = Vec::new();
    for (key, what) in HELP {
        let mut parts = Vec::new();
        wrap(what, (width - INDENT) as u16, &mut parts);
        for (at, part) in parts.iter().enumerate() {
            let key = if at == 0 { key } else { "" };
            text.push(format!("{key:<INDENT$}{}", part.trim_start()).trim_end().to_string());
        }
    }
    let last = text.len().saturating_sub(help_lines(area));
    // The empty line is dropped before anything has to scroll.
    if last > 0 {
        text.retain(|line| !line.is_empty());
    }
    let last = text.len().saturating_sub(help_lines(area));
    (text, last)
}

/// Returns the number of help lines that fit, without the frame and the line on how to leave.
fn help_lines(area: Rect) -> usize {
    usize::from(area.height).saturating_sub(3).max(1)
}

fn help_from(text: &[String], from: usize, more: bool, area: Rect) -> Vec<String> {
    let mut shown: Vec<String> = text.iter().skip(from).take(help_lines(area)).cloned().collect();
    shown.push(match (more, from) {
        (true, _) => "down shows more, any other key goes back".into(),
        (false, 0) => "any key goes back".into(),
        (false, _) => "up shows what is above, any other key goes back".into(),
    });
    shown
}

/// Wraps text to the window and appends `last`, which is always kept. Returns the lines, and true if all text fits.
fn lines(said: &str, area: Rect, last: &str) -> (Vec<String>, bool) {
    let margin = if area.width < 60 { 4 } else { 8 };
    let width = area.width.saturating_sub(margin);
    let room = usize::from(area.height.saturating_sub(3)).max(1);
    let mut lines = wrapped(said.lines(), width);
    let whole = lines.len() < room;
    if whole {
        lines.push(String::new());
    } else {
        lines = wrapped(without_sources(said), width);
        lines.truncate(room);
    }
    lines.push(last.into());
    (lines, whole)
}

/// Moves the result of a flush before the preview.
fn outcome_first(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let at = lines.iter().position(|line| line.starts_with(DELETED)).unwrap_or(0);
    [&lines[at..], &lines[..at]].concat().join("\n")
}

/// Keeps the number of entries and the most recently active ones, and drops the table of sources.
fn without_sources(said: &str) -> impl Iterator<Item = &str> {
    let mut table = false;
    said.lines().filter(move |line| {
        let heading = line.starts_with(MOST_RECENT);
        table = (table || line.starts_with(SOURCE)) && !heading;
        !table && !heading
    })
}

fn wrapped<'a>(said: impl Iterator<Item = &'a str>, width: u16) -> Vec<String> {
    let mut lines = Vec::new();
    for line in said {
        let line = escape(line);
        match line.chars().count() <= usize::from(width) {
            // A line that fits keeps its spaces: they align a table's columns.
            true => lines.push(line.into_owned()),
            false => wrap(&line, width, &mut lines),
        }
    }
    lines
}

fn framed(title: &str, text: &[String], look: &Look, area: Rect, buffer: &mut Buffer) {
    let widest = text.iter().map(|line| line.chars().count()).max().unwrap_or(0).max(title.len() + 4);
    let width = ((widest + 4) as u16).min(area.width);
    let height = ((text.len() + 2) as u16).min(area.height);
    if width < 4 || height < 3 {
        return;
    }
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let [corners, across, down] = match look.unicode {
        true => [["┌", "┐", "└", "┘"], ["─"; 4], ["│"; 4]],
        false => [["+"; 4], ["-"; 4], ["|"; 4]],
    };
    let wide =
        |left: &str, fill: &str, right: &str| format!("{left}{}{right}", fill.repeat(usize::from(width) - 2));
    let style = Style::reset();
    let mut put = |line: u16, text: &str| buffer.set_stringn(x, y + line, text, width.into(), style);
    put(0, &wide(corners[0], across[0], corners[1]));
    for line in 1..height - 1 {
        put(line, &wide(down[0], " ", down[0]));
    }
    put(height - 1, &wide(corners[2], across[0], corners[3]));
    buffer.set_stringn(x + 2, y, format!(" {title} "), usize::from(width) - 3, look.bold());
    // The last line is drawn even if not all fits: it says how to leave.
    let room = usize::from(height) - 2;
    let shown =
        text.iter().take(room.saturating_sub(1)).chain(text.iter().skip(room.saturating_sub(1)).last());
    for (at, line) in shown.enumerate() {
        buffer.set_stringn(x + 2, y + 1 + at as u16, line, usize::from(width) - 4, style);
    }
}
