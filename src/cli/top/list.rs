//! The list of sources: columns that fit, a cursor, a line for each source or prefix.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::Look;
use super::arrange::Line;
use super::cursor::Cursor;
use super::model::Model;
use crate::cli::render::quantity::{UNKNOWN, count, counted, rate};
use crate::cli::render::text::escape;
use crate::core::model::SortBy;

/// A column: title, width, rank, the order that it sorts by, and its text. The column with the largest rank leaves a
/// narrow screen first; 0 stays.
struct Column {
    title: &'static str,
    width: usize,
    rank: u8,
    sort: Option<SortBy>,
    cell: fn(&Line) -> String,
}

const COLUMNS: [Column; 10] = [
    column("ENTRIES", 9, 0, Some(SortBy::Entries), |line| line.row.entries.to_string()),
    column("SHARE", 6, 4, None, |line| format!("{:.1}%", line.row.share_percent)),
    column("NEW/S", 8, 1, Some(SortBy::New), |line| rate(line.row.new_per_second)),
    column("TCP", 8, 5, None, |line| line.row.tcp.to_string()),
    column("UDP", 8, 6, None, |line| line.row.udp.to_string()),
    column("ICMP", 6, 8, None, |line| line.row.icmp.to_string()),
    column("OTHER", 6, 9, None, |line| line.row.other.to_string()),
    column("ASSURED", 8, 7, None, |line| count(line.row.assured)),
    column("UNREPLIED", 10, 2, Some(SortBy::Unreplied), |line| count(line.row.unreplied)),
    column("IDLE", 8, 3, Some(SortBy::Idle), |line| count(line.row.idle)),
];

const fn column(
    title: &'static str,
    width: usize,
    rank: u8,
    sort: Option<SortBy>,
    cell: fn(&Line) -> String,
) -> Column {
    Column { title, width, rank, sort, cell }
}

/// Returns the title of the list in at most `room` characters; the parts that are needed least are left out first.
pub fn title(model: &Model, room: usize) -> String {
    let prefix = model.how.prefix.map_or(String::new(), |(v4, v6)| format!(" by /{v4}, /{v6}"));
    let filter = match model.filter_text.as_str() {
        "" => String::new(),
        text => format!(", filter {}", escape(text)),
    };
    let Some(listing) = &model.listing else {
        let why = model.trouble.as_deref().unwrap_or("reading");
        return cut(format!("sources{prefix}: {}", escape(why)), room);
    };
    let (one, many) = if model.how.prefix.is_some() { ("prefix", "prefixes") } else { ("source", "sources") };
    let synced =
        if listing.synced { ["", ""] } else { [", not in step with the kernel yet", ", not in step"] };
    let trouble = model.trouble.as_deref().map_or(String::new(), |why| format!(", old: {}", escape(why)));
    let count = counted(listing.total, one, many);
    let first = if model.how.reversed { "fewest" } else { "most" };
    let what = format!("{count}{prefix}, {first} {} first{filter}", model.how.rank.name());
    let origin = format!("; {}", escape(&listing.origin));
    // The short form leaves out the duration of the dump and the reason for it.
    let briefly = origin.split(" (").next().unwrap_or_default();
    let forms = [(origin.as_str(), synced[0]), (briefly, synced[0]), (briefly, synced[1]), ("", synced[1])];
    let mut forms = forms.iter().map(|(origin, synced)| format!("{what}{origin}{synced}{trouble}"));
    let shortest = forms.next_back().unwrap_or_default();
    forms.find(|text| text.chars().count() <= room).unwrap_or_else(|| cut(shortest, room))
}

/// Cuts text to `room` characters, with `...` at its end.
pub fn cut(text: String, room: usize) -> String {
    match text.chars().count() <= room {
        true => text,
        false => text.chars().take(room.saturating_sub(3)).collect::<String>() + "...",
    }
}

/// Returns the mark of the column that a list is sorted by.
pub fn mark(reversed: bool, look: &Look) -> &'static str {
    match (reversed, look.unicode) {
        (false, true) => "▼",
        (true, true) => "▲",
        (false, false) => "*",
        (true, false) => "^",
    }
}

/// Draws the header and the lines from the first visible one on.
pub fn draw(model: &Model, look: &Look, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let Cursor { top, selected, .. } = model.cursor;
    let shown = &model.lines()[top.min(model.lines().len())..];
    let shown = &shown[..shown.len().min(usize::from(area.height) - 1)];
    let zones = model.lines().iter().any(|line| line.row.zone.unwrap_or(0) != 0);
    let names: Vec<String> = shown.iter().map(|line| name(line, zones, look)).collect();
    let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(15);
    let columns = fitting(model, shown, usize::from(area.width).saturating_sub(name_width));
    let header = |column: &&Column| {
        let sorted = column.sort == Some(model.how.rank);
        let mark = if sorted { mark(model.how.reversed, look) } else { "" };
        format!("{mark}{}", column.title)
    };
    let titles: Vec<String> = columns.iter().map(header).collect();
    let head = text("SOURCE", name_width, &columns, titles.into_iter());
    let bold = Style::default().add_modifier(Modifier::BOLD);
    buffer.set_stringn(area.x, area.y, head, area.width.into(), bold);
    for (at, (line, name)) in shown.iter().zip(&names).enumerate() {
        let y = area.y + 1 + at as u16;
        let cells = columns.iter().map(|column| (column.cell)(line));
        let selected = top + at == selected;
        let style =
            if selected { Style::default().add_modifier(Modifier::REVERSED) } else { Style::default() };
        buffer.set_stringn(area.x, y, text(name, name_width, &columns, cells), area.width.into(), style);
        if selected {
            // The whole line is reversed, so that the cursor is seen without colour too.
            buffer.set_style(Rect { y, height: 1, ..area }, style);
        }
    }
}

fn name(line: &Line, zones: bool, look: &Look) -> String {
    let mark = match (line.unfolded, line.member, look.unicode) {
        (Some(true), _, true) => "▾ ",
        (Some(false), _, true) => "▸ ",
        (Some(true), _, false) => "- ",
        (Some(false), _, false) => "+ ",
        (None, true, _) => "    ",
        (None, false, _) => "",
    };
    let zone = match line.row.zone {
        Some(zone) if zones => format!(" zone {zone}"),
        _ => String::new(),
    };
    format!("{mark}{}{zone}", escape(&line.row.source))
}

/// Returns the columns that fit: those in which nothing is known leave first, then those with the largest rank.
fn fitting(model: &Model, shown: &[Line], room: usize) -> Vec<&'static Column> {
    let sorted = |column: &Column| column.sort == Some(model.how.rank);
    let knows = |column: &Column| shown.is_empty() || shown.iter().any(|line| (column.cell)(line) != UNKNOWN);
    let mut columns: Vec<&'static Column> =
        COLUMNS.iter().filter(|column| column.rank == 0 || sorted(column) || knows(column)).collect();
    while columns.iter().map(|column| column.width + 2).sum::<usize>() > room {
        let leaves = |(_, column): &(usize, &&Column)| column.rank > 0 && !sorted(column);
        let last = columns.iter().enumerate().filter(leaves).max_by_key(|(_, column)| column.rank);
        match last {
            Some((at, _)) => drop(columns.remove(at)),
            None => break,
        }
    }
    columns
}

fn text(name: &str, name_width: usize, columns: &[&Column], cells: impl Iterator<Item = String>) -> String {
    let mut line = format!("{name:<name_width$}");
    for (column, cell) in columns.iter().zip(cells) {
        line.push_str(&format!("  {cell:>width$}", width = column.width));
    }
    line
}
