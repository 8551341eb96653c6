//! The client against a server that is not the agent.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use ctctl::control::Client;
use ctctl::core::model::TopSources;
use ctctl::error::{Error, Exit};

use super::canned;

/// What the client makes of a server that reads a call and then writes this until the client goes away.
fn answered(write: impl Fn(&mut dyn Write) + Sync, ask: impl FnOnce(&mut Client) -> Error) -> Error {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rogue.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            write(&mut stream);
        });
        let mut client = Client::connect(&path).unwrap();
        let error = ask(&mut client);
        assert_eq!(error.exit, Exit::Unreachable);
        assert!(error.hint.is_some(), "{error}");
        error
    })
}

fn status(client: &mut Client) -> Error {
    client.status().unwrap_err()
}

fn once(bytes: &[u8]) -> impl Fn(&mut dyn Write) + Sync {
    move |stream| drop(stream.write_all(bytes))
}

#[test]
fn what_is_no_reply_is_an_error() {
    for garbage in [&b"\0"[..], b"nonsense\0", b"[]\0", b"{\"parameters\":7}\0", b"{}\0", b"\xff\0"] {
        let error = answered(once(garbage), status);
        assert!(error.why.contains("not understood"), "{garbage:?}: {error}");
    }
    let error = answered(once(b"{\"parameters\":{\"schema\":1}}\0"), status);
    assert!(error.why.contains("missing field"), "{error}");
    let error = answered(once(b"{\"error\":\"io.ctctl.Control.Failed\"}\0"), status);
    assert!(error.why.contains("without a message"), "{error}");
}

#[test]
fn an_older_agent_is_named_as_such() {
    let reply = b"{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"x.Y\"}}\0";
    let error = answered(once(reply), status);
    assert!(error.why.contains("MethodNotFound x.Y"), "{error}");
    assert!(error.hint.unwrap().contains("versions"));
}

#[test]
fn a_closed_connection_is_an_error() {
    let error = answered(|_| {}, status);
    assert!(error.why.contains("closed the connection"), "{error}");
}

#[test]
fn a_message_without_end_is_not_held() {
    let endless = |stream: &mut dyn Write| while stream.write_all(&[b' '; 65536]).is_ok() {};
    let error = answered(endless, status);
    assert!(error.why.contains("16 MiB"), "{error}");
}

#[test]
fn pages_without_rows_do_not_go_on_for_ever() {
    let page = TopSources { sources: Vec::new(), ..canned::top_sources(0) };
    let page = serde_json::json!({"parameters": page, "continues": true}).to_string() + "\0";
    let endless = move |stream: &mut dyn Write| while stream.write_all(page.as_bytes()).is_ok() {};
    let error =
        answered(endless, |client| client.top_sources(0, ctctl::core::model::SortBy::Entries).unwrap_err());
    assert!(error.why.contains("without end"), "{error}");
}

#[test]
fn a_reply_that_trickles_is_given_up() {
    let began = Instant::now();
    let trickle = |stream: &mut dyn Write| {
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let error = answered(trickle, status);
    assert!(error.why.contains("in time"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
