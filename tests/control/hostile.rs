//! Clients that are slow, silent or mean: each costs its own connection, and the others are answered meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ctctl::control::frame::Frames;
use ctctl::control::{Client, Limits, schema};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;

use super::canned::{Agent, Canned, PATIENCE, Raw, status};

const STATUS: &str = r#"{"method":"io.ctctl.Control.GetStatus"}"#;

fn impatient() -> Limits {
    let short = Duration::from_millis(300);
    Limits { idle: short, request: short, write: short, ..Limits::default() }
}

/// Runs `attack` while another client asks on and on, and fails if one answer takes long.
fn besieged(agent: &Agent, attack: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let ask = || {
        let mut client = Client::connect(&agent.path).unwrap();
        let mut answers = 0;
        while !over.load(Ordering::Relaxed) || answers == 0 {
            let asked = Instant::now();
            assert_eq!(client.status().unwrap(), status());
            assert!(asked.elapsed() < Duration::from_secs(2), "answered after {:?}", asked.elapsed());
            answers += 1;
        }
    };
    std::thread::scope(|scope| {
        let asking = scope.spawn(ask);
        // Also where the attack fails the test.
        let end = Finally(&over);
        attack();
        drop(end);
        asking.join().unwrap();
    });
}

struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until the server has closed its end, without reading.
fn hung_up(raw: &Raw) -> bool {
    let mut fds = [PollFd::new(raw.stream.as_fd(), PollFlags::empty())];
    let patience = PollTimeout::try_from(PATIENCE).unwrap();
    poll(&mut fds, patience).unwrap() == 1 && fds[0].revents().unwrap().contains(PollFlags::POLLHUP)
}

#[test]
fn half_a_message() {
    let agent = Agent::start(Canned::new(1, 1), impatient());
    besieged(&agent, || {
        let mut raw = agent.raw();
        let began = Instant::now();
        raw.stream.write_all(&STATUS.as_bytes()[..20]).unwrap();
        assert_eq!(raw.reply(), None);
        assert!(began.elapsed() >= Duration::from_millis(300), "closed after {:?}", began.elapsed());
    });
}

#[test]
fn a_byte_now_and_then() {
    let agent = Agent::start(Canned::new(1, 1), impatient());
    besieged(&agent, || {
        let mut raw = agent.raw();
        let began = Instant::now();
        raw.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        // Leading white space is a part of the message: it may not put off its deadline.
        let closed = (0..100).position(|_| {
            let sent = raw.stream.write_all(b" ");
            let read = raw.stream.read(&mut [0; 16]);
            sent.is_err() || !matches!(&read, Err(e) if e.kind() == ErrorKind::WouldBlock)
        });
        assert!(closed.is_some_and(|bytes| bytes >= 3), "closed after {closed:?} bytes");
        assert!(began.elapsed() >= Duration::from_millis(300), "closed after {:?}", began.elapsed());
    });
}

#[test]
fn nothing_at_all() {
    let agent = Agent::start(Canned::new(1, 1), impatient());
    besieged(&agent, || {
        let began = Instant::now();
        assert_eq!(agent.raw().reply(), None);
        assert!(began.elapsed() >= Duration::from_millis(300), "closed after {:?}", began.elapsed());
    });
}

#[test]
fn ten_megabytes_without_an_end() {
    let agent = Agent::start(Canned::new(1, 1), Limits::default());
    besieged(&agent, || {
        let mut raw = agent.raw();
        let written = (0..2560).take_while(|_| raw.stream.write_all(&[b'['; 4096]).is_ok()).count() * 4096;
        assert!(written < 1 << 20, "{written} bytes were taken");
        assert_eq!(raw.reply(), None);
    });
}

#[test]
fn a_long_message_with_an_end() {
    let agent = Agent::start(Canned::new(1, 1), Limits { request_bytes: 100, ..Limits::default() });
    let padded = |length: usize| format!("{STATUS}{}", " ".repeat(length - STATUS.len()));
    agent.raw().ask(&padded(100));
    let mut raw = agent.raw();
    raw.send(&padded(101));
    assert_eq!(raw.reply(), None);
}

#[test]
fn a_reader_that_never_reads() {
    let agent = Agent::start(Canned::new(20_000, 1), impatient());
    besieged(&agent, || {
        let mut raw = agent.raw();
        raw.send(r#"{"method":"io.ctctl.Control.GetTopSources","more":true}"#);
        assert!(hung_up(&raw), "the write timeout ends it");
        let mut pages = 0;
        while raw.bytes().is_some() {
            pages += 1;
        }
        assert!(pages < 40, "{pages} pages: it got all");
    });
}

#[test]
fn a_reader_that_reads_a_little() {
    let limits = Limits { pages: Duration::from_millis(500), write: 3 * PATIENCE, ..Limits::default() };
    let agent = Agent::start(Canned::new(20_000, 1), limits);
    besieged(&agent, || {
        let mut raw = agent.raw();
        raw.send(r#"{"method":"io.ctctl.Control.GetTopSources","more":true}"#);
        assert!(hung_up(&raw), "the bound on all pages ends it");
    });
}

#[test]
fn a_hundred_connections() {
    let limits = Limits { idle: PATIENCE, ..Limits::default() };
    let agent = Agent::start(Canned::new(1, 1), limits);
    let mut first = agent.raw();
    first.ask(STATUS);
    let mut crowd: Vec<Raw> = (0..100).map(|_| agent.raw()).collect();
    // Accepted in order: 31 beside the first have a place, the others are told.
    let late = crowd.split_off(31);
    for mut raw in late {
        let told = raw.reply().expect("an error before the end");
        assert_eq!(told["error"], "io.ctctl.Control.Busy");
        assert_eq!(raw.reply(), None);
    }
    for raw in &mut crowd {
        raw.ask(STATUS);
    }
    first.ask(STATUS);
    let error = match Client::connect(&agent.path) {
        Ok(mut client) => client.status().unwrap_err(),
        Err(error) => panic!("{error:?}"),
    };
    assert!(error.why.contains("too many connections"), "{error}");
    // A connection that ends makes room for another: a question waits for that.
    let leaving = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        drop(crowd);
    });
    let (asked, mut client) = (Instant::now(), agent.client());
    client.status().unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(200), "there was no room before");
    leaving.join().unwrap();
}

#[test]
fn paged_answers_of_one_user_wait_for_each_other() {
    let limits = Limits { paged_per_uid: 1, write: PATIENCE, pages: PATIENCE, ..Limits::default() };
    let agent = Agent::start(Canned::new(20_000, 1), limits);
    let ask = r#"{"method":"io.ctctl.Control.GetTopSources","more":true}"#;
    let (mut first, mut second) = (agent.raw(), agent.raw());
    first.send(ask);
    assert!(first.bytes().is_some());
    second.send(ask);
    // Both are accepted and read by now, or this one would not be answered; still the first holds the only place.
    assert_eq!(agent.client().status().unwrap(), status());
    let mut ready = [PollFd::new(second.stream.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ready, PollTimeout::from(100u8)).unwrap(), 0);
    drop(first);
    assert!(second.bytes().is_some());
}

#[test]
fn what_is_no_call_ends_the_connection() {
    let agent = Agent::start(Canned::new(1, 1), Limits::default());
    let deep = "[".repeat(60_000);
    let nested = format!(r#"{{"method":"io.ctctl.Control.GetStatus","parameters":{{"a":{deep}"#);
    let cases: [&[u8]; 12] = [
        b"\0",
        b"\0\0\0\0\0\0\0\0",
        b"nonsense\0",
        b"{}\0",
        b"[]\0",
        b"{\"method\":7}\0",
        b"{\"method\":\"io.ctctl.Control.GetStatus\",\"parameters\":[]}\0",
        b"{\"method\":\"io.ctctl.Control.GetStatus\",\"colour\":1}\0",
        b"{\"method\":\"io.ctctl.Control.GetStatus\",\"more\":true,\"oneway\":true}\0",
        b"{\"method\":\"\xff\xfe\"}\0",
        b"{\"method\":\"a.b\",\"method\":\"a.b\"}\0",
        nested.as_bytes(),
    ];
    besieged(&agent, || {
        for case in cases {
            let mut raw = agent.raw();
            raw.stream.write_all(case).unwrap();
            let _ = raw.stream.write_all(&[0]);
            assert_eq!(raw.reply(), None, "{:?}", String::from_utf8_lossy(case));
        }
    });
}

fn odd_json() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"method\"",
        "\"parameters\"",
        "\"more\"",
        "\"oneway\"",
        "\"upgrade\"",
        "true",
        "null",
        "-1",
        "1e999",
        "0.5",
        "18446744073709551616",
        "\"limit\"",
        "\"seconds\"",
        "\"since\"",
        "\"io.ctctl.Control.Pause\"",
        "\"io.ctctl.Control.GetTopSources\"",
        "\"org.varlink.service.GetInfo\"",
        "\"\\ud800\"",
        "\"error\"",
        "\"continues\"",
        " ",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

fn parameters() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec!["null", "0", "-1", "1.5", "1e300", "\"x\"", "true", "[]", "{}"]);
    let name = prop::sample::select(vec!["limit", "since", "seconds", "force", "interface", "x"]);
    let field = (name, value).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    prop::collection::vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(",")))
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = schema::decode(&bytes);
        let _ = schema::decode_reply(&bytes);
    }

    #[test]
    fn odd_json_is_decoded_or_refused(text in odd_json()) {
        let _ = schema::decode(text.as_bytes());
        let _ = schema::decode_reply(text.as_bytes());
    }

    #[test]
    fn whatever_the_parameters_the_call_that_comes_out_can_be_sent_again(
        method in prop::sample::select(vec!["GetStatus", "GetTopSources", "GetHistory", "Pause", "Revert"]),
        parameters in parameters(),
    ) {
        let text = format!("{{\"method\":\"io.ctctl.Control.{method}\",\"parameters\":{parameters}}}");
        let request = schema::decode(text.as_bytes()).unwrap();
        if let Ok(schema::Asked::Call(call)) = request.asked {
            let mut again = schema::encode_call(&call);
            prop_assert_eq!(again.pop(), Some(0));
            prop_assert_eq!(schema::decode(&again).unwrap().asked, Ok(schema::Asked::Call(call)));
        }
    }

    #[test]
    fn frames_do_not_depend_on_how_the_bytes_arrive(
        messages in prop::collection::vec(prop::collection::vec(1u8.., 0..20), 0..10),
        cuts in prop::collection::vec(1usize..15, 1..100),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(|m| m.iter().copied().chain([0])).collect();
        let (mut frames, mut rest, mut got) = (Frames::new(20), &stream[..], Vec::new());
        for cut in cuts.iter().cycle() {
            while let Some(message) = frames.take().unwrap() {
                got.push(message);
            }
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(*cut));
            frames.push(now);
            rest = later;
        }
        prop_assert_eq!(got, messages);
        prop_assert!(frames.is_empty());
    }
}
