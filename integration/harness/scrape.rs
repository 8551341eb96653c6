//! A client of the metrics endpoint over plain sockets, and a strict reader of what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to either kind of listener.
pub trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

pub fn tcp(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

pub fn unix(path: &Path) -> std::io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// One request, and everything until the server closes.
pub fn ask(mut wire: impl Wire, method: &str, path: &str) -> std::io::Result<Response> {
    write!(wire, "{method} {path} HTTP/1.1\r\nHost: gateway\r\n\r\n")?;
    let mut text = String::new();
    wire.read_to_string(&mut text)?;
    let broken = || std::io::Error::other(format!("no response: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(broken)?;
    let header = |line: &str| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned()));
    Ok(Response { status, headers: lines.filter_map(header).collect(), body: body.to_owned() })
}

/// A page: families by name, samples by name and labels.
#[derive(Debug, Default)]
pub struct Metrics {
    pub families: BTreeMap<String, String>,
    pub samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Metrics {
    /// Reads a page, and panics where it is not OpenMetrics 1.0 as far as this program writes it.
    pub fn parse(text: &str) -> Metrics {
        let mut metrics = Metrics::default();
        let mut helped = BTreeSet::new();
        let (mut family, mut kind) = (String::new(), String::new());
        let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no # EOF at the end: {text:?}"));
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, of) = rest.split_once(' ').expect("a type");
                (family, kind) = (name.to_owned(), of.to_owned());
                assert!(["gauge", "counter", "histogram"].contains(&of), "{line}");
                assert!(!name.ends_with("_total"), "{line}: the family's name has no suffix");
                assert!(metrics.families.insert(family.clone(), of.to_owned()).is_none(), "{line}: twice");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(name == family && !help.is_empty() && helped.insert(family.clone()), "{line}");
            } else {
                let (name, labels, value) = sample(line);
                let suffix =
                    name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} in {family}"));
                let suffixes: &[&str] = match kind.as_str() {
                    "counter" => &["_total"],
                    "histogram" => &["_bucket", "_count", "_sum"],
                    _ => &[""],
                };
                assert!(suffixes.contains(&suffix), "{line} in a {kind}");
                assert!(labels.contains_key("netns"), "{line}");
                assert!(kind == "gauge" || value >= 0.0, "{line}");
                assert!(metrics.samples.insert((name, labels), value).is_none(), "{line}: twice");
            }
        }
        assert_eq!(helped.len(), metrics.families.len());
        metrics
    }

    /// Samples of a name, whose labels hold all of `labels`.
    pub fn of(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let holds = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(label, text)| of.get(*label).is_some_and(|value| value == text))
        };
        let matching = self.samples.iter().filter(|((n, of), _)| n == name && holds(of));
        matching.map(|(_, value)| *value).collect()
    }

    /// The only one.
    pub fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.of(name, labels);
        assert_eq!(all.len(), 1, "{name} {labels:?}: {all:?}");
        all[0]
    }
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("no labels: {line}"));
    let (labels, value) = rest.rsplit_once("} ").unwrap_or_else(|| panic!("no value: {line}"));
    let label = |text: &str| {
        let (label, value) = text.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        (label.to_owned(), value.strip_suffix('"').unwrap_or_else(|| panic!("{line}")).to_owned())
    };
    // No value that this program writes has a comma.
    (name.to_owned(), labels.split(',').map(label).collect(), value.parse().expect("a number"))
}
