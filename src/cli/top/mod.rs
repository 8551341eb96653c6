//! The full screen of `ctctl top`. One thread draws and takes keys; others gather, so that a key never waits for a
//! dump.

mod arrange;
mod ask;
mod connections;
mod connections_list;
mod cursor;
mod draw;
mod flush;
mod gather;
mod graph;
mod list;
mod message;
mod model;
mod popup;
mod reading;
mod screen;
mod wrap;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use clap::Parser;
use ratatui::style::{Color, Modifier, Style};

use super::args::{self, Global};
use super::filters::FilterArguments;
use super::place::Place;
use crate::core::model::{Filters, network};
use crate::direct;
use crate::error::{Error, Result};

use ask::Ask;
use flush::Flusher;
use gather::Gatherers;
use message::Message;
use model::{Listing, Model};
use screen::Screen;

/// Longest time between two drawings: a terminal that went away is noticed by drawing.
const REDRAW: Duration = Duration::from_secs(1);

/// Capabilities of the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// True for colours, false for bold and reverse only.
    pub colour: bool,
    /// True if symbols beyond ASCII may be drawn.
    pub unicode: bool,
}

impl Look {
    fn detect(place: &Place) -> Look {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8");
        Look { colour: place.style.colour, unicode }
    }

    /// Returns the style of less important text.
    pub fn dim(&self) -> Style {
        Style::default().add_modifier(Modifier::DIM)
    }

    /// Returns the style of more important text.
    pub fn bold(&self) -> Style {
        Style::default().add_modifier(Modifier::BOLD)
    }

    /// Returns the style of this colour, or the default style without colours.
    pub fn paint(&self, colour: Color) -> Style {
        if self.colour { Style::default().fg(colour) } else { Style::default() }
    }
}

/// Runs until a key, a signal or the end of the terminal.
///
/// # Errors
/// There is no terminal that can be drawn on, or the namespace cannot be found.
pub fn run(global: &Global, options: &args::Top) -> Result<u8> {
    check_terminal(global)?;
    let mut place = Place::find(global)?;
    // Notices on standard error would be written across the screen.
    place.style.verbosity = place.style.verbosity.min(-1);
    let place = Arc::new(place);
    let mut model = Model { filters: options.filters.0.clone(), ..Model::default() };
    model.how.rank = options.by.into();
    model.how.prefix = options.prefix;
    if !model.filters.is_empty() {
        model.filter_text = "of the command line".into();
    }
    let look = Look::detect(&place);
    let (gatherers, messages) = Gatherers::start(place.clone(), &model)?;
    let flusher = Flusher::new(global, gatherers.sender());
    let mut screen = Screen::open()?;
    gatherers.take_keys()?;
    loop {
        let drawn = screen.draw(|frame| {
            draw::draw(frame, &mut model, &place.settings.pressure, &look, place.style.zone());
        });
        let next = match drawn {
            Ok(()) => wait_for_messages(&mut model, &messages, &gatherers, &flusher),
            Err(_) => Next::End,
        };
        // A terminal that cannot be written to is gone: no error can be shown.
        if next == Next::End || (next == Next::Pause && screen.pause().is_err()) {
            return Ok(0);
        }
    }
}

/// Next step of the main loop after a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Draw,
    Pause,
    End,
}

/// Checks that this terminal can be drawn on.
fn check_terminal(global: &Global) -> Result<()> {
    let refuse = |why: String, hint: &str| Err(Error::usage("top", why).hint(hint));
    if global.json {
        return refuse("a screen is no document".into(), "use ctctl top-sources --watch --json");
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return refuse("standard input and output are no terminal".into(), "use ctctl top-sources --watch");
    }
    match std::env::var("TERM").as_deref() {
        Err(_) | Ok("") => refuse(
            "TERM is not set: what the terminal understands is not known".into(),
            "set TERM, or use ctctl top-sources --watch",
        ),
        Ok("dumb") => refuse(
            "TERM is dumb: such a terminal cannot move its cursor".into(),
            "use ctctl top-sources --watch",
        ),
        Ok(_) => Ok(()),
    }
}

/// Waits for a message, then handles all that have arrived.
fn wait_for_messages(
    model: &mut Model,
    messages: &Receiver<Message>,
    gatherers: &Gatherers,
    flusher: &Flusher,
) -> Next {
    let mut message = match messages.recv_timeout(REDRAW) {
        Ok(message) => Some(message),
        Err(RecvTimeoutError::Timeout) => return Next::Draw,
        Err(RecvTimeoutError::Disconnected) => return Next::End,
    };
    while let Some(happened) = message {
        let next = handle_message(model, happened, gatherers, flusher);
        if next != Next::Draw {
            return next;
        }
        message = messages.try_recv().ok();
    }
    Next::Draw
}

fn handle_message(model: &mut Model, message: Message, gatherers: &Gatherers, flusher: &Flusher) -> Next {
    let ask = match message {
        Message::End => return Next::End,
        Message::Pause => return Next::Pause,
        Message::Redraw => Ask::Nothing,
        Message::Key(key) => model.key(key),
        Message::Status { second, status, without } => {
            model.status(second, *status, without);
            Ask::Nothing
        }
        Message::Listing(how, listing) => {
            show_listing(model, &how, *listing);
            Ask::Nothing
        }
        Message::Connections(read) => {
            model.connections_read(*read);
            Ask::Nothing
        }
        Message::Trouble(why) => {
            model.trouble = Some(why);
            Ask::Nothing
        }
        Message::Previewed(name, said, can) => {
            model.previewed(&name, said, can);
            Ask::Nothing
        }
        Message::Flushed(said) => model.flushed(said),
    };
    serve_request(model, ask, gatherers, flusher)
}

/// Shows a listing, unless its arrangement is not the chosen one any more, or the screen is frozen and no key asked for
/// it.
fn show_listing(model: &mut Model, how: &arrange::Arrangement, listing: Listing) {
    let fresh = model.frozen.is_none() || model.listing.is_none() || model.arranging;
    if *how == model.how && fresh {
        model.arranging = false;
        model.listing(listing);
    }
}

fn serve_request(model: &mut Model, ask: Ask, gatherers: &Gatherers, flusher: &Flusher) -> Next {
    match ask {
        Ask::Nothing => {}
        Ask::Quit => return Next::End,
        Ask::Stop => direct::ask_to_stop(),
        Ask::Arrange => {
            model.arranging = true;
            gatherers.arrange(&model.how);
        }
        Ask::Read => {
            model.arranging = true;
            gatherers.arrange(&model.how);
            gatherers.read(&model.how, &model.filters);
            if model.connections.is_some() {
                gatherers.connect(model);
            }
        }
        Ask::Connections => gatherers.connect(model),
        Ask::Filter(text) => {
            let filters = filters_of(&text);
            let ask = model.filtered(text, filters);
            return serve_request(model, ask, gatherers, flusher);
        }
        Ask::Preview(name) => flusher.preview(name, &model.filters),
        Ask::Flush(name) => flusher.flush(&name, &model.filters),
    }
    Next::Draw
}

/// A line of filters, as they follow a command's name.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct FilterLine {
    #[command(flatten)]
    filters: FilterArguments,
}

/// Reads filters; a network without an option before it is a source.
fn filters_of(text: &str) -> std::result::Result<Filters, String> {
    let mut words: Vec<String> = Vec::new();
    let mut value = false;
    for word in text.split_whitespace() {
        let option = word.starts_with('-');
        if !option && !value && network(word).is_some() {
            words.push("--source".into());
        }
        // A word after an option is its value, even if it looks like a network; --not and the flags take none.
        value = option && !matches!(word, "--not" | "--unreplied" | "--assured") && !word.contains('=');
        words.push(word.into());
    }
    match FilterLine::try_parse_from(&words) {
        Ok(line) => Ok(line.filters.0),
        Err(error) => {
            let rendered = error.render().to_string();
            let why = rendered.lines().next().unwrap_or("no filter").trim_start_matches("error: ");
            Err(why.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_filters_is_the_command_lines() {
        assert_eq!(filters_of(""), Ok(Filters::default()));
        let bare = filters_of("10.0.0.0/8").expect("a network");
        assert_eq!(filters_of("--source 10.0.0.0/8"), Ok(bare));
        assert!(filters_of("-p udp --not --dport 53 --unreplied 2001:db8::1").is_ok());
        assert!(filters_of("-d 10.0.0.1 -m 7").is_ok());
        for wrong in ["-p udx", "hello", "--dport", "--not", "--help"] {
            let why = filters_of(wrong).expect_err(wrong);
            assert!(!why.is_empty() && !why.contains('\n'), "{wrong}: {why}");
        }
    }
}
