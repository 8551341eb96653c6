//! The list of a source's connections: columns that fit, a cursor, a line for each.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::Look;
use super::connections::{By, Connection, Connections};
use super::list::{cut, mark};
use super::model::Model;
use crate::cli::render::quantity::{UNKNOWN, counted, took};
use crate::cli::render::text::escape;
use crate::core::model::Class;

/// A column, as wide as its widest cell. The column with the largest `leaves` leaves a narrow screen first; 0 stays.
struct Column {
    title: &'static str,
    right: bool,
    leaves: u8,
    by: Option<By>,
    cell: fn(&Connection) -> String,
}

const COLUMNS: [Column; 7] = [
    column("PROTO", false, 0, None, |row| row.protocol.clone()),
    column("STATE", false, 3, None, |row| row.state.into()),
    column("PORT", true, 2, None, Connection::port),
    column("TO", false, 0, Some(By::Destination), |row| row.to.clone()),
    column("LEFT", true, 1, Some(By::Left), Connection::left),
    column("IDLE", true, 0, Some(By::Idle), Connection::idle),
    column("CLASS", false, 4, None, |row| row.class.map_or(UNKNOWN, Class::name).into()),
];
/// Smallest width left over on a line at which the verdict is shown.
const VERDICT: usize = 16;

const fn column(
    title: &'static str,
    right: bool,
    leaves: u8,
    by: Option<By>,
    cell: fn(&Connection) -> String,
) -> Column {
    Column { title, right, leaves, by, cell }
}

/// Returns the title of the list, at most `room` characters.
pub fn title(model: &Model, connections: &Connections, room: usize) -> String {
    let order = connections.order();
    let (source, zone) = &order.of;
    let zone = zone.filter(|zone| *zone != 0).map_or(String::new(), |zone| format!(" zone {zone}"));
    let of = format!("of {}{zone}", escape(source));
    let Some(read) = &connections.read else {
        let why = model.trouble.as_deref().unwrap_or("reading");
        return cut(format!("connections {of}: {}", escape(why)), room);
    };
    let filter = match model.filter_text.as_str() {
        "" => String::new(),
        text => format!(", filter {}", escape(text)),
    };
    let shown = match read.rows.len() as u64 {
        n if n < read.total => format!(", the first {n} shown"),
        _ => String::new(),
    };
    let trouble = model.trouble.as_deref().map_or(String::new(), |why| format!(", old: {}", escape(why)));
    let what = format!(
        "{} {of}, {}{shown}{filter}{trouble}",
        counted(read.total, "connection", "connections"),
        order.by.words(order.reversed)
    );
    let long = format!("{what}; read in {}", took(read.seconds));
    if long.chars().count() <= room { long } else { cut(what, room) }
}

/// Draws the header and the lines from the first visible one on.
pub fn draw(connections: &Connections, look: &Look, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let (rows, order) = (connections.rows(), connections.order());
    let head = |column: &Column| match column.by == Some(order.by) {
        true => format!("{}{}", mark(order.reversed, look), column.title),
        false => column.title.into(),
    };
    let width = |column: &Column| {
        let cells = rows.iter().map(|row| (column.cell)(row).chars().count());
        cells.max().unwrap_or(0).max(head(column).chars().count())
    };
    let mut shown: Vec<(&Column, usize)> = COLUMNS.iter().map(|column| (column, width(column))).collect();
    let room = usize::from(area.width);
    let taken = |shown: &[(&Column, usize)]| shown.iter().map(|(_, width)| width + 2).sum::<usize>();
    while taken(&shown) > room + 2 {
        let leaves =
            |(_, (column, _)): &(usize, &(&Column, usize))| column.leaves > 0 && column.by != Some(order.by);
        let last = shown.iter().enumerate().filter(leaves).max_by_key(|(_, (column, _))| column.leaves);
        match last {
            Some((at, _)) => drop(shown.remove(at)),
            None => break,
        }
    }
    let rest = Some(room.saturating_sub(taken(&shown))).filter(|rest| *rest >= VERDICT);
    let line = |cell: &dyn Fn(&Column) -> String, verdict: &str| {
        let mut line = String::new();
        for (column, width) in &shown {
            let cell = cell(column);
            match column.right {
                true => line.push_str(&format!("{cell:>width$}  ")),
                false => line.push_str(&format!("{cell:<width$}  ")),
            }
        }
        line + &rest.map_or(String::new(), |rest| cut(verdict.into(), rest))
    };
    let bold = Style::default().add_modifier(Modifier::BOLD);
    buffer.set_stringn(area.x, area.y, line(&head, "UNDER PRESSURE"), room, bold);
    let cursor = &connections.cursor;
    let lines = rows.iter().enumerate().skip(cursor.top).take(usize::from(area.height) - 1);
    for ((at, row), y) in lines.zip(area.y + 1..) {
        let selected = at == cursor.selected;
        let style =
            if selected { Style::default().add_modifier(Modifier::REVERSED) } else { Style::default() };
        let text = line(&|column| (column.cell)(row), &row.verdict);
        buffer.set_stringn(area.x, y, escape(&text), room, style);
        if selected {
            // The whole line is reversed, so that the cursor is seen without colour too.
            buffer.set_style(Rect { y, height: 1, ..area }, style);
        }
    }
}
