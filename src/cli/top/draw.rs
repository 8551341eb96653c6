//! Draws the screen of a model, in whatever room there is.

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::model::{Model, Popup};
use super::wrap::wrap;
use super::{Look, connections_list, graph, list, popup};
use crate::cli::render::history::sentence;
use crate::cli::render::quantity::{counted, duration, growth, moment, percent, rate};
use crate::cli::render::text::escape;
use crate::core::model::{Level, PressureSettings, StatusDocument};

/// Number of lines that are always there: two of state, the list's title and header.
const FIXED: u16 = 4;
/// Keys in the list of sources; on a narrow screen the key with the largest number leaves first, 0 stays.
const KEYS: [(&str, u8); 9] = [
    ("q quit", 0),
    ("enter open", 2),
    ("s sort", 1),
    ("r reverse", 8),
    ("p prefix", 5),
    ("/ filter", 4),
    ("space freeze", 6),
    ("f flush", 3),
    ("? help", 0),
];
/// Keys in the list of connections; on a narrow screen the key with the largest number leaves first, 0 stays.
const KEYS_OF_CONNECTIONS: [(&str, u8); 8] = [
    ("q quit", 0),
    ("esc back", 1),
    ("enter details", 4),
    ("s sort", 2),
    ("r reverse", 5),
    ("/ filter", 3),
    ("space freeze", 6),
    ("? help", 0),
];

/// Draws everything. `model` learns the height of its list on the screen.
pub fn draw(
    frame: &mut Frame<'_>,
    model: &mut Model,
    marks: &PressureSettings,
    look: &Look,
    zone: &TimeZone,
) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let mut page = Page { buffer, look, area, next: area.y };
    page.line(
        &first(model, area.width.into()),
        Style::default().add_modifier(Modifier::BOLD),
        model.status.as_ref(),
    );
    page.line(&second(model, area.width.into()), Style::default(), None);
    let room = area.height.saturating_sub(FIXED + 1);
    // The list is needed most, so chart and actions are drawn only on a screen with enough lines for all.
    let chart = if room >= 12 { (room / 3 + 1).min(13) } else { 0 };
    let actions = if room >= 8 { (room / 4).clamp(2, 10) } else { 0 };
    if chart > 0 {
        let place = page.take(chart);
        let end = if model.frozen.is_some() { "frozen" } else { "now" };
        graph::draw(model.shown_usage(), marks, end, look, place, page.buffer);
    }
    let below = actions + u16::from(actions > 0) + 1;
    let rows = area.bottom().saturating_sub(page.next + 2 + below);
    let title_room = usize::from(area.width).saturating_sub(6);
    let lines = model.lines().len();
    if let Some(connections) = &mut model.connections {
        connections.cursor.scroll(rows.into(), connections.rows().len());
    } else {
        model.cursor.scroll(rows.into(), lines);
    }
    if let Some(connections) = &model.connections {
        page.title(&connections_list::title(model, connections, title_room));
        let place = page.take(rows + 1);
        connections_list::draw(connections, look, place, page.buffer);
    } else {
        page.title(&list::title(model, title_room));
        let place = page.take(rows + 1);
        list::draw(model, look, place, page.buffer);
    }
    if actions > 0 {
        page.title("what the agent does");
        let place = page.take(actions);
        draw_actions(model, zone, look, place, page.buffer);
    }
    page.next = area.bottom().saturating_sub(1).max(page.next.min(area.bottom()));
    page.line(&last(model, area.width.into()), look.dim(), None);
    popup::draw(model, look, area, page.buffer);
}

struct Page<'a> {
    buffer: &'a mut Buffer,
    look: &'a Look,
    area: Rect,
    next: u16,
}

impl Page<'_> {
    /// Takes the next `lines` lines of the screen, or those that are left.
    fn take(&mut self, lines: u16) -> Rect {
        let lines = lines.min(self.area.bottom().saturating_sub(self.next));
        let place = Rect { y: self.next, height: lines, ..self.area };
        self.next += lines;
        place
    }

    fn line(&mut self, text: &str, style: Style, level: Option<&StatusDocument>) {
        let place = self.take(1);
        if place.height == 0 {
            return;
        }
        self.buffer.set_stringn(place.x, place.y, text, place.width.into(), style);
        let Some(status) = level else { return };
        // The level has its colour at its place in the line.
        let word = status.level.name();
        if let Some(at) = text.find(word) {
            let before = text[..at].chars().count() as u16;
            let x = place.x + before.min(place.width);
            let width = (word.len() as u16).min(place.right().saturating_sub(x));
            self.buffer.set_style(Rect { x, width, ..place }, self.look.paint(level_colour(status.level)));
        }
    }

    fn title(&mut self, text: &str) {
        let place = self.take(1);
        if place.height == 0 {
            return;
        }
        let dash = if self.look.unicode { "─" } else { "-" };
        for x in place.x..place.right() {
            self.buffer[(x, place.y)].set_symbol(dash).set_style(self.look.dim());
        }
        let text = format!(" {text} ");
        let room = usize::from(place.width.saturating_sub(3));
        self.buffer.set_stringn(place.x + 2.min(place.width), place.y, text, room, Style::default());
    }
}

fn level_colour(level: Level) -> Color {
    match level {
        Level::Normal => Color::Green,
        Level::High => Color::Yellow,
        Level::Critical => Color::Red,
    }
}

/// Returns the first line: namespace, level, usage, limit, and the agent. On a narrow screen the facts that matter most
/// stay: that the agent does not act, and that the screen is frozen.
fn first(model: &Model, room: usize) -> String {
    let Some(status) = &model.status else {
        return "ctctl top: reading".into();
    };
    let netns = status.header.netns.key();
    let text = format!("{}  {}  {}", escape(&netns), status.level.name(), percent(status.usage_percent));
    let of = format!(" of {} entries", status.limit);
    let (who, short) = match &status.agent {
        Some(agent) if agent.paused => (format!("; agent {} paused", agent.pid), "; agent paused"),
        Some(agent) if agent.dry_run => (format!("; agent {}, dry run", agent.pid), "; dry run"),
        Some(agent) => (format!("; agent {}", agent.pid), ""),
        None => ("; no agent".into(), "; no agent"),
    };
    let frozen = if model.frozen.is_some() { "  SCREEN FROZEN" } else { "" };
    let forms = [(of.as_str(), who.as_str()), (&of, short), ("", &who), ("", short), ("", "")];
    let mut forms = forms.iter().map(|(of, who)| format!("{text}{of}{who}{frozen}"));
    let shortest = forms.next_back().unwrap_or_default();
    forms.find(|text| text.chars().count() <= room).unwrap_or(shortest)
}

/// Returns the second line: entries, rate of new ones, growth, time until full, max and ceiling.
fn second(model: &Model, room: usize) -> String {
    let Some(status) = &model.status else {
        return model.trouble.as_deref().map(|why| escape(why).into_owned()).unwrap_or_default();
    };
    let growth = match status.net_growth_per_second {
        Some(_) => format!(", growth {}/s", growth(status.net_growth_per_second)),
        None => ", growth -".into(),
    };
    let full = match status.seconds_to_full {
        Some(seconds) if seconds <= 0.0 => ", full".into(),
        Some(seconds) => format!(", full in {}", duration(seconds)),
        None => ", not filling".into(),
    };
    let new = format!(", {} new/s", rate(status.new_per_second));
    let mut more = vec![new, growth, full];
    // Max and ceiling come last: they are missed least on a narrow screen.
    let ceiling = status.bounds.max_ceiling;
    if status.max != status.limit {
        more.push(format!("; max {}", status.max));
    }
    if ceiling > 0 {
        more.push(format!("; ceiling {ceiling}"));
    }
    append_fitting(counted(status.entries, "entry", "entries"), &more, room)
}

/// Adds the parts that fit whole: half a number is another number.
fn append_fitting(text: String, more: &[String], room: usize) -> String {
    more.iter().fold(text, |text, part| {
        let fits = text.chars().count() + part.chars().count() <= room;
        if fits { text + part } else { text }
    })
}

fn last(model: &Model, room: usize) -> String {
    match (&model.popup, model.flushing) {
        (Popup::Filter(text, why), _) => match why {
            Some(why) => format!("filter: {text}_  ({why})"),
            None => format!("filter: {text}_  (enter: take it, esc: leave it)"),
        },
        (_, true) => "flushing...".into(),
        _ if model.connections.is_some() => fitting(&KEYS_OF_CONNECTIONS, room),
        _ => fitting(&KEYS, room),
    }
}

/// Returns the keys that fit, each whole.
fn fitting(keys: &[(&str, u8)], room: usize) -> String {
    let mut kept = keys.to_vec();
    loop {
        let text = kept.iter().map(|(key, _)| *key).collect::<Vec<&str>>().join("  ");
        let last = kept.iter().enumerate().max_by_key(|(_, (_, leaves))| *leaves);
        match last {
            Some((at, (_, leaves))) if *leaves > 0 && text.len() > room => drop(kept.remove(at)),
            _ => return text,
        }
    }
}

/// Draws what waits, then the acts with their reasons, newest first.
fn draw_actions(model: &Model, zone: &TimeZone, look: &Look, place: Rect, buffer: &mut Buffer) {
    let mut lines: Vec<String> = Vec::new();
    match model.status.as_ref() {
        Some(status) if status.agent.is_none() => {
            let why = model.without.as_deref().unwrap_or("no agent");
            let text = format!("{}: read from dumps of the kernel, and nothing is done", escape(why));
            wrap(&text, place.width, &mut lines);
        }
        Some(status) => {
            for waiting in &status.waiting {
                wrap(&format!("waits: {}", escape(waiting)), place.width, &mut lines);
            }
            for record in status.last_actions.iter().rev() {
                if lines.len() >= place.height.into() {
                    break;
                }
                let at = moment(&record.at, zone);
                let time = at.split(' ').next_back().unwrap_or_default();
                wrap(&format!("{time} {}", escape(&sentence(record))), place.width, &mut lines);
            }
            if lines.is_empty() {
                lines.push("nothing yet".into());
            }
        }
        None => {}
    }
    for (y, line) in (place.y..place.bottom()).zip(&lines) {
        let style = if line.starts_with("  ") { look.dim() } else { Style::default() };
        buffer.set_stringn(place.x, y, line, place.width.into(), style);
    }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
