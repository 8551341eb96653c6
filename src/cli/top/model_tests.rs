use super::*;
use crate::cli::render::canned;
use crate::cli::top::arrange;
use crate::cli::top::connections::Order;

fn press(model: &mut Model, code: KeyCode) -> Ask {
    model.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn write(model: &mut Model, text: &str) -> Ask {
    text.chars().map(|c| press(model, KeyCode::Char(c))).last().unwrap_or(Ask::Nothing)
}

fn listing(how: &Arrangement) -> Listing {
    let rows = canned::top_sources(&[
        ("10.0.0.1", 0, 9),
        ("10.0.0.2", 0, 8),
        ("10.0.1.1", 0, 7),
        ("10.0.1.2", 0, 6),
        ("10.0.2.1", 0, 1),
    ])
    .sources;
    let (lines, total) = arrange::arrange(&rows, 31, how);
    Listing { lines, total, entries: 31, synced: true, origin: "canned".into() }
}

fn filled() -> Model {
    let mut model = Model::default();
    model.listing(listing(&Arrangement::default()));
    model.cursor.scroll(3, model.lines().len());
    model
}

#[test]
fn q_and_control_c_end_it_from_wherever() {
    assert_eq!(press(&mut filled(), KeyCode::Char('q')), Ask::Quit);
    for over in [Popup::Nothing, Popup::Help(0), Popup::Filter("q".into(), None)] {
        let mut model = filled();
        model.popup = over;
        assert_eq!(model.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Ask::Quit);
    }
    let mut writing = filled();
    press(&mut writing, KeyCode::Char('/'));
    assert_eq!(press(&mut writing, KeyCode::Char('q')), Ask::Nothing);
}

#[test]
fn the_cursor_stays_in_the_list_and_on_its_source() {
    let mut model = filled();
    press(&mut model, KeyCode::Up);
    assert_eq!(model.cursor.selected, 0);
    press(&mut model, KeyCode::Down);
    model.cursor.scroll(3, model.lines().len());
    assert_eq!((model.cursor.selected, model.cursor.top), (1, 0));
    press(&mut model, KeyCode::End);
    model.cursor.scroll(3, model.lines().len());
    assert_eq!((model.cursor.selected, model.cursor.top), (4, 2));
    press(&mut model, KeyCode::PageDown);
    assert_eq!(model.cursor.selected, 4);
    press(&mut model, KeyCode::PageUp);
    model.cursor.scroll(3, model.lines().len());
    assert_eq!((model.cursor.selected, model.cursor.top), (2, 2));
    // The list comes in another order: the cursor goes with 10.0.1.1.
    let mut other = listing(&Arrangement::default());
    other.lines.swap(2, 0);
    model.listing(other);
    assert_eq!(model.cursor.selected, 0);
    // On the first line it stays there, whichever source that is.
    let mut other = listing(&Arrangement::default());
    other.lines.swap(4, 0);
    model.listing(other);
    assert_eq!(model.selected_line().expect("one").row.source, "10.0.2.1");
    model.listing(Listing { lines: vec![], ..listing(&Arrangement::default()) });
    model.cursor.scroll(0, model.lines().len());
    assert_eq!((model.cursor.selected, press(&mut model, KeyCode::Char('f'))), (0, Ask::Nothing));
}

#[test]
fn sorts_and_prefixes_go_round() {
    let mut model = filled();
    model.cursor.selected = 3;
    let ranks: Vec<SortBy> = (0..4)
        .map(|_| {
            assert_eq!(press(&mut model, KeyCode::Char('s')), Ask::Read);
            model.how.rank
        })
        .collect();
    assert_eq!(ranks, [SortBy::New, SortBy::Unreplied, SortBy::Idle, SortBy::Entries]);
    assert_eq!(model.cursor.selected, 0);
    press(&mut model, KeyCode::Char('p'));
    assert_eq!(model.how.prefix, Some((24, 64)));
    press(&mut model, KeyCode::Char('p'));
    press(&mut model, KeyCode::Char('p'));
    assert_eq!(model.how.prefix, None);
}

#[test]
fn a_prefix_unfolds_and_a_member_folds_it() {
    let mut model = filled();
    model.how.prefix = Some((24, 64));
    model.listing(listing(&model.how.clone()));
    press(&mut model, KeyCode::Down);
    assert_eq!(press(&mut model, KeyCode::Enter), Ask::Arrange);
    model.listing(listing(&model.how.clone()));
    let shown: Vec<&str> = model.lines().iter().map(|line| line.row.source.as_str()).collect();
    assert_eq!(shown, ["10.0.0.0/24", "10.0.1.0/24", "10.0.1.1", "10.0.1.2", "10.0.2.0/24"]);
    model.cursor.selected = 3;
    assert_eq!(press(&mut model, KeyCode::Left), Ask::Arrange);
    assert_eq!(model.cursor.selected, 1);
    model.listing(listing(&model.how.clone()));
    assert_eq!(model.lines().len(), 3);
}

#[test]
fn nobody_agrees_to_a_flush_that_was_not_shown() {
    let mut model = filled();
    let name = ("10.0.0.1".to_string(), Some(0));
    assert_eq!(press(&mut model, KeyCode::Char('f')), Ask::Preview(name.clone()));
    assert_eq!(press(&mut model, KeyCode::Char('y')), Ask::Nothing, "too early");
    model.previewed(&("10.9.9.9".into(), Some(0)), "another's".into(), true);
    assert_eq!(press(&mut model, KeyCode::Char('y')), Ask::Nothing, "another's preview");
    model.previewed(&name, "would delete 9 entries".into(), true);
    assert_eq!(press(&mut model, KeyCode::Char('y')), Ask::Flush(name.clone()));
    assert!(model.flushing && model.popup == Popup::Nothing);
    assert_eq!(press(&mut model, KeyCode::Char('f')), Ask::Nothing, "one at a time");
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.flushed("deleted 9".into()), Ask::Read);
    assert_eq!(model.popup, Popup::Outcome("deleted 9".into()));
    press(&mut model, KeyCode::Char('x'));
    for no in [KeyCode::Char('n'), KeyCode::Esc, KeyCode::Enter, KeyCode::Char('f')] {
        press(&mut model, KeyCode::Char('f'));
        model.previewed(&name, "would delete 9 entries".into(), true);
        assert_eq!((press(&mut model, no), &model.popup), (Ask::Nothing, &Popup::Nothing), "{no:?}");
    }
    press(&mut model, KeyCode::Char('f'));
    model.previewed(&name, "not permitted".into(), false);
    assert_eq!(press(&mut model, KeyCode::Char('y')), Ask::Nothing, "it cannot be done");
}

#[test]
fn a_filter_is_written_refused_and_taken() {
    let mut model = filled();
    press(&mut model, KeyCode::Char('/'));
    write(&mut model, "-p udx");
    press(&mut model, KeyCode::Backspace);
    write(&mut model, "p");
    assert_eq!(press(&mut model, KeyCode::Enter), Ask::Filter("-p udp".into()));
    assert_eq!(model.filtered("-p udp".into(), Err("why".into())), Ask::Nothing);
    assert_eq!(model.popup, Popup::Filter("-p udp".into(), Some("why".into())));
    let wanted =
        crate::core::model::Filter { negated: false, wanted: crate::core::model::Wanted::Protocol(17) };
    assert_eq!(model.filtered("-p udp".into(), Ok(Filters::new(vec![wanted]))), Ask::Read);
    assert_eq!((model.filter_text.as_str(), &model.popup), ("-p udp", &Popup::Nothing));
    assert_eq!(press(&mut model, KeyCode::Esc), Ask::Read);
    assert!(model.filters.is_empty());
    assert_eq!(press(&mut model, KeyCode::Esc), Ask::Nothing);
}

#[test]
fn frozen_nothing_new_is_shown_and_time_goes_on() {
    let mut model = filled();
    model.status(1, canned::status(), None);
    assert_eq!(press(&mut model, KeyCode::Char(' ')), Ask::Nothing);
    let mut later = canned::status();
    later.entries = 1;
    later.usage_percent = 99.0;
    model.status(2, later, Some("no agent".into()));
    assert_eq!(model.status.as_ref().expect("one").entries, 7900);
    assert_ne!(format!("{:?}", model.shown_usage()), format!("{:?}", model.usage), "nor in the graph");
    assert_eq!(press(&mut model, KeyCode::Char(' ')), Ask::Read);
    assert_eq!(format!("{:?}", model.shown_usage()), format!("{:?}", model.usage));
}

#[test]
fn r_reverses_from_the_top_and_asks_for_all_that_may_be_first() {
    let mut model = filled();
    model.cursor.selected = 3;
    assert_eq!(press(&mut model, KeyCode::Char('r')), Ask::Read);
    assert_eq!((model.how.reversed, model.cursor.selected), (true, 0));
    assert_eq!(press(&mut model, KeyCode::Char('r')), Ask::Read);
    assert!(!model.how.reversed);
}

#[test]
fn enter_on_a_source_shows_its_connections_and_esc_goes_back() {
    let mut model = filled();
    model.filter_text = "-p udp".into();
    model.filters = crate::cli::top::filters_of("-p udp").expect("a filter");
    press(&mut model, KeyCode::Down);
    assert_eq!(press(&mut model, KeyCode::Enter), Ask::Connections);
    let order = model.connections.as_ref().expect("they are shown").order();
    assert_eq!(order.of, ("10.0.0.2".to_string(), Some(0)));
    let read = |of: Order, total| Ok(Read { of, rows: vec![], total, seconds: 0.0 });
    model.connections_read(read(Order { of: ("10.9.9.9".into(), None), ..order.clone() }, 5));
    let total = |model: &Model| model.connections.as_ref().and_then(|c| c.read.as_ref()).map(|r| r.total);
    assert_eq!(total(&model), None, "another's");
    model.connections_read(read(order.clone(), 3));
    assert_eq!(total(&model), Some(3));
    press(&mut model, KeyCode::Char(' '));
    model.connections_read(read(order.clone(), 4));
    assert_eq!(total(&model), Some(3), "frozen");
    assert_eq!(press(&mut model, KeyCode::Char('s')), Ask::Connections);
    let order = model.connections.as_ref().expect("they are shown").order();
    model.connections_read(read(order.clone(), 4));
    assert_eq!(total(&model), Some(4), "a key asked for them");
    model.connections_read(Err("no such thing".into()));
    assert_eq!(model.trouble.as_deref(), Some("no such thing"));
    assert_eq!(press(&mut model, KeyCode::Char('f')), Ask::Nothing, "the line is no source");
    assert_eq!(press(&mut model, KeyCode::Esc), Ask::Connections);
    assert!(model.connections.is_none() && !model.filters.is_empty(), "the filter stays");
    model.connections_read(read(order, 9));
    assert!(model.connections.is_none(), "what comes late is not shown");
    assert_eq!(model.cursor.selected, 1);
    // A prefix has no connections, only the sources below it have.
    model.how.prefix = Some((24, 64));
    model.listing(listing(&model.how.clone()));
    press(&mut model, KeyCode::Home);
    assert_eq!(press(&mut model, KeyCode::Enter), Ask::Arrange);
    model.listing(listing(&model.how.clone()));
    press(&mut model, KeyCode::Down);
    assert_eq!(press(&mut model, KeyCode::Enter), Ask::Connections);
    assert_eq!(press(&mut model, KeyCode::Char('q')), Ask::Quit);
}

#[test]
fn the_help_is_paged_through_where_it_is_longer_than_the_screen() {
    let mut model = filled();
    press(&mut model, KeyCode::Char('?'));
    assert_eq!(model.popup, Popup::Help(0));
    model.more_help = true;
    press(&mut model, KeyCode::Down);
    assert_eq!(model.popup, Popup::Help(1));
    press(&mut model, KeyCode::Up);
    press(&mut model, KeyCode::Up);
    assert_eq!(model.popup, Popup::Nothing, "any other key goes back");
}
