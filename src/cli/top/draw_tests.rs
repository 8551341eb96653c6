use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::cli::render::canned;
use crate::cli::top::arrange::{Arrangement, arrange};
use crate::cli::top::connections::{Connection, Connections, Read};
use crate::cli::top::model::Listing;
use crate::core::model::{Class, Entry, L4, Tuple, Verdict};
use ratatui::crossterm::event::KeyCode;

const PLAIN: Look = Look { colour: false, unicode: false };
const RICH: Look = Look { colour: true, unicode: true };

fn model() -> Model {
    let mut model = Model::default();
    for second in 0..30 {
        let mut status = canned::status();
        status.usage_percent = 60.0 + f64::from(second as u32);
        status.level = Level::High;
        model.status(second, status, None);
    }
    let rows: Vec<(String, u64)> = (1..40).map(|n| (format!("10.0.0.{n}"), 4000 - 100 * n)).collect();
    let rows: Vec<(&str, u16, u64)> = rows.iter().map(|(source, n)| (source.as_str(), 0, *n)).collect();
    let mut rows = canned::top_sources(&rows).sources;
    rows[0].new_per_second = Some(12.5);
    let (lines, total) = arrange(&rows, 7900, &Arrangement::default());
    model.listing(Listing {
        lines,
        total,
        entries: 7900,
        synced: true,
        origin: "counted by the agent".into(),
    });
    model
}

fn buffer(model: &mut Model, look: &Look, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test's terminal");
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let marks = PressureSettings::default();
    terminal.draw(|frame| draw(frame, model, &marks, look, &zone)).expect("drawn");
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let line = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..area.height).map(|y| line(y).trim_end().to_string()).collect()
}

fn screen(model: &mut Model, look: &Look, width: u16, height: u16) -> String {
    text(&buffer(model, look, width, height)).join("\n")
}

#[test]
fn eighty_by_twenty_four_shows_all_of_it() {
    let lines = text(&buffer(&mut model(), &PLAIN, 80, 24));
    assert_eq!(lines[0], "host  high  89.0 % of 65536 entries; agent 812");
    assert_eq!(lines[1], "7900 entries, 120.0 new/s, growth +3.2/s, full in 4 h 59 min; ceiling 262144");
    let shown = lines.join("\n");
    for part in ["critical 95", "high 80", "-- 39 sources, most entries first; counted by the agent --"] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    let header = lines.iter().position(|line| line.starts_with("SOURCE ")).expect("a header");
    assert!(lines[header].contains("*ENTRIES") && lines[header].contains("NEW/S"), "{}", lines[header]);
    assert!(lines[header + 1].starts_with("10.0.0.1 "), "{shown}");
    assert!(shown.contains("what the agent does") && shown.contains("raised max"), "{shown}");
    assert_eq!(lines[23], "q quit  enter open  s sort  p prefix  / filter  space freeze  f flush  ? help");
    assert!(lines.iter().all(|line| line.is_ascii()), "{shown}");
}

#[test]
fn without_colour_there_is_none_and_the_cursor_is_seen() {
    let plain = buffer(&mut model(), &PLAIN, 80, 24);
    let coloured = |cell: &&ratatui::buffer::Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
    assert_eq!(plain.content().iter().filter(coloured).count(), 0);
    let reversed = plain.content().iter().filter(|cell| cell.modifier.contains(Modifier::REVERSED)).count();
    assert_eq!(reversed, 80, "one whole line");
    let rich = buffer(&mut model(), &RICH, 80, 24);
    assert!(rich.content().iter().any(|cell| cell.fg == Color::Red || cell.fg == Color::Yellow));
}

#[test]
fn every_size_is_drawn_and_the_list_is_the_last_to_go() {
    for over in [
        Popup::Nothing,
        Popup::Help(0),
        Popup::Filter("-p udp".into(), Some("no such thing".into())),
        Popup::Flush { name: ("10.0.0.1".into(), Some(3)), preview: Some(("a\n".repeat(50), true)) },
        Popup::Outcome("x".repeat(500)),
    ] {
        for (width, height) in
            (0..12).flat_map(|w| (0..12).map(move |h| (w * w, h * h))).chain([(200, 60), (80, 24)])
        {
            let mut model = model();
            model.cursor.selected = 20;
            model.popup = over.clone();
            buffer(&mut model, &RICH, width, height);
            if over == Popup::Nothing && height >= 6 && width >= 40 {
                let shown = screen(&mut model, &PLAIN, width, height);
                assert!(shown.contains("10.0.0.21"), "the cursor's line at {width}x{height}:\n{shown}");
            }
        }
    }
    assert!(!screen(&mut Model::default(), &RICH, 80, 24).is_empty(), "before anything is known");
}

#[test]
fn the_agent_is_paused_and_the_screen_is_frozen_in_two_words() {
    let mut model = model();
    let mut status = canned::status();
    if let Some(agent) = &mut status.agent {
        agent.paused = true;
    }
    model.status(31, status, None);
    let line = |model: &mut Model, width| text(&buffer(model, &PLAIN, width, 24))[0].clone();
    assert_eq!(line(&mut model, 80), "host  normal  12.1 % of 65536 entries; agent 812 paused");
    assert_eq!(line(&mut model, 40), "host  normal  12.1 %; agent 812 paused");
    model.frozen = Some(model.usage.clone());
    assert_eq!(
        line(&mut model, 80),
        "host  normal  12.1 % of 65536 entries; agent 812 paused  SCREEN FROZEN"
    );
    assert_eq!(line(&mut model, 60), "host  normal  12.1 %; agent 812 paused  SCREEN FROZEN");
    assert_eq!(line(&mut model, 40), "host  normal  12.1 %  SCREEN FROZEN");
    let shown = screen(&mut model, &PLAIN, 80, 24);
    assert!(shown.contains(" frozen\n") && !shown.contains(" now\n"), "{shown}");
}

#[test]
fn the_help_fits_and_is_paged_through_where_it_does_not() {
    let whole = |shown: &str| {
        for line in shown.lines() {
            let inside = line.strip_prefix("| ").and_then(|line| line.strip_suffix('|'));
            assert!(inside.is_none_or(|inside| inside.ends_with(' ')), "cut:\n{shown}");
        }
    };
    for (width, height) in [(80, 24), (80, 20), (60, 20), (120, 40)] {
        let mut model = model();
        model.popup = Popup::Help(0);
        let shown = screen(&mut model, &PLAIN, width, height);
        assert!(shown.contains("| q ") && shown.contains("| IDLE  "), "{width}x{height}:\n{shown}");
        assert!(shown.contains("| any key goes back"), "{shown}");
        whole(&shown);
    }
    for (width, height) in [(60, 12), (40, 12), (40, 6)] {
        let mut model = model();
        model.popup = Popup::Help(0);
        let mut read = String::new();
        for _ in 0..100 {
            let shown = screen(&mut model, &PLAIN, width, height);
            whole(&shown);
            read.push_str(&shown);
            if !model.more_help {
                break;
            }
            assert!(shown.contains("down shows more"), "{shown}");
            model.key(KeyCode::Down.into());
        }
        let words = read.split_whitespace().collect::<Vec<&str>>().join(" ");
        for part in ["quit, as ctrl-c", "flush the line", "UNREPLIED", "up shows what is above"] {
            assert!(words.contains(part), "{width}x{height} {part}:\n{words}");
        }
    }
}

#[test]
fn keys_are_told_whole_or_not_at_all() {
    for (width, expected) in [
        (120, "q quit  enter open  s sort  r reverse  p prefix  / filter  space freeze  f flush  ? help"),
        (60, "q quit  enter open  s sort  / filter  f flush  ? help"),
        (40, "q quit  enter open  s sort  ? help"),
        (10, "q quit  ? help"),
    ] {
        assert_eq!(fitting(&KEYS, width), expected);
    }
}

#[test]
fn the_connections_of_a_source_fill_the_list() {
    let mut model = model();
    let mut connections = Connections::new(("10.0.0.1".into(), Some(3)));
    model.connections = Some(connections.clone());
    assert!(screen(&mut model, &PLAIN, 80, 24).contains("-- connections of 10.0.0.1 zone 3: reading --"));
    let entry = |port: u16| Entry {
        original: Tuple {
            source: [10, 0, 0, 1].into(),
            destination: [192, 0, 2, 9].into(),
            protocol: 17,
            l4: L4::Ports { source: port, destination: 53 },
        },
        timeout_seconds: Some(20),
        ..Entry::default()
    };
    let verdict = Verdict {
        class: Some(Class::UdpShort),
        idle_seconds: Some(10),
        exact: true,
        floor_seconds: Some(120),
        protocol: 17,
        ..Verdict::default()
    };
    let rows = (1000..1030).map(|port| Connection::new(&entry(port), &verdict)).collect();
    connections.take(Read { of: connections.order(), rows, total: 30, seconds: 0.004 });
    model.connections = Some(connections);
    let shown = screen(&mut model, &PLAIN, 80, 24);
    for part in [
        "-- 30 connections of 10.0.0.1 zone 3, longest idle first; read in 4 ms --",
        "PROTO  STATE      PORT  TO            LEFT  *IDLE  CLASS      UNDER PRESSURE",
        "udp    unreplied  1000  192.0.2.9:53   20s    10s  udp-short  stays: idle for...",
        "q quit  esc back  enter details  s sort  r reverse  / filter  ? help",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    let narrow = screen(&mut model, &PLAIN, 40, 8);
    assert!(narrow.contains("PROTO  PORT  TO            LEFT  *IDLE"), "{narrow}");
    model.popup = Popup::Connection("udp  unreplied  10.0.0.1:1000 > 192.0.2.9:53".into());
    assert!(screen(&mut model, &PLAIN, 80, 24).contains("- connection -"));
}

#[test]
fn what_does_not_grow_has_no_sign() {
    let mut model = model();
    for (growth, expected) in [(-0.04, "growth 0.0/s"), (0.04, "growth 0.0/s"), (-0.3, "growth -0.3/s")] {
        let status = StatusDocument { net_growth_per_second: Some(growth), ..canned::status() };
        model.status(40, status, None);
        let shown = screen(&mut model, &PLAIN, 80, 24);
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn with_no_agent_it_says_so() {
    let mut model = model();
    let status = StatusDocument { agent: None, last_actions: vec![], ..canned::status() };
    model.status(31, status, Some("no agent on /run/ctctl/host.sock".into()));
    let shown = screen(&mut model, &PLAIN, 80, 24);
    assert!(shown.contains("; no agent\n"), "{shown}");
    assert!(shown.contains("no agent on /run/ctctl/host.sock: read from dumps of the kernel"), "{shown}");
}

#[test]
fn a_flush_shows_what_goes_and_how_to_say_no() {
    let mut model = model();
    let name = ("10.0.0.1".to_string(), Some(7));
    model.popup = Popup::Flush { name: name.clone(), preview: None };
    assert!(screen(&mut model, &PLAIN, 80, 24).contains("looking what would go"));
    model.popup = Popup::Flush { name, preview: Some(("4600 entries would go\n\x1b[2J".into(), true)) };
    let shown = screen(&mut model, &PLAIN, 80, 24);
    for part in ["of 10.0.0.1 in zone 7:", "4600 entries would go", "\\u{1b}[2J", "y deletes them"] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
}

#[test]
fn where_there_is_little_room_the_question_has_its_count_and_a_victim() {
    let said = "40 entries of 1 source match\nSOURCE       ENTRIES\n10.128.0.41       40\nMost recently active:\n\
        tcp     established  10.128.0.41:1039      > 192.0.2.9:443          idle 1m\n\
        tcp     established  10.128.0.41:1038      > 192.0.2.9:443          idle 1m";
    let mut model = model();
    model.popup = Popup::Flush { name: ("10.128.0.41".into(), None), preview: Some((said.into(), true)) };
    let shown = screen(&mut model, &PLAIN, 40, 6);
    for part in [
        "flush 10.128.0.41?",
        "40 entries of 1 source match",
        "tcp established 10.128.0.41:1039 >",
        "192.0.2.9:443 idle 1m",
        "y deletes them, other keys do not",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert!(screen(&mut model, &PLAIN, 80, 24).contains("10.128.0.41       40"), "with room, all of it");
}

#[test]
fn what_came_of_a_flush_stands_first() {
    let before = "30 entries of 1 source match\nSOURCE       ENTRIES\n10.128.0.41       30\nMost recently active:\n\
        tcp     established  10.128.0.41:1039      > 192.0.2.9:443          idle 1m\n";
    let mut model = model();
    model.popup =
        Popup::Outcome(format!("{before}deleted 30 entries; 0 already gone, 0 revived\nctctl: flush: why"));
    let shown = screen(&mut model, &PLAIN, 40, 6);
    for part in ["deleted 30 entries; 0 already gone,", "0 revived", "ctctl: flush: why", "any key goes back"]
    {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    let shown = screen(&mut model, &PLAIN, 80, 24);
    let at = |part| shown.find(part).unwrap_or_else(|| panic!("{part}:\n{shown}"));
    assert!(at("deleted 30 entries") < at("30 entries of 1 source match"), "{shown}");
    model.popup = Popup::Outcome("nothing matches".into());
    assert!(screen(&mut model, &PLAIN, 40, 6).contains("nothing matches"));
}

#[test]
fn titles_leave_out_words_rather_than_half_of_one() {
    let mut model = model();
    let listing = model.listing.as_mut().expect("one");
    listing.origin = "from a dump (12 ms): the agent does not count by source what is unreplied".into();
    listing.synced = false;
    (listing.total, model.how.prefix) = (262_144, Some((24, 64)));
    model.how.rank = crate::core::model::SortBy::Unreplied;
    let shown = screen(&mut model, &PLAIN, 80, 24);
    let title = "-- 262144 prefixes by /24, /64, most unreplied first, not in step --";
    assert!(shown.contains(title), "{shown}");
    let wide = screen(&mut model, &PLAIN, 180, 24);
    assert!(wide.contains("count by source what is unreplied, not in step with the kernel yet --"), "{wide}");
    model.filter_text = "-s 10.0.0.0/8 -p udp --dport 53 --not --assured".into();
    assert!(
        screen(&mut model, &PLAIN, 80, 24).contains("filter -s 10.0.0.0/8... --"),
        "it says that it is cut"
    );
    let narrow = text(&buffer(&mut model, &PLAIN, 40, 8));
    assert_eq!(narrow[0], "host  high  89.0 % of 65536 entries");
    assert_eq!(narrow[1], "7900 entries, 120.0 new/s, growth +3.2/s");
}

#[test]
fn long_reasons_go_on_in_the_next_line() {
    let mut lines = Vec::new();
    wrap("flushed 1590 of 1590 entries: 1590 entries are over target", 30, &mut lines);
    assert_eq!(lines, ["flushed 1590 of 1590 entries:", "  1590 entries are over target"]);
}
