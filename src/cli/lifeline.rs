//! The command `ctctl lifeline`.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::args::{self, Global};
use super::called::complete;
use super::output;
use super::place::Place;
use super::render::quantity;
use super::render::text::escape;
use crate::core::model::{LifelineDocument, LifelinePort, LifelineTable};
use crate::error::{Error, Result};
use crate::tools::lifeline::{self, Order, TABLE};

/// Time that a port stays untracked unless `--for` says otherwise. An hour is longer than it takes to make room in the
/// table, and shorter than it takes to forget an open port.
const DEFAULT_SECONDS: u64 = 3600;
const SSH: u16 = 22;

/// Prints, applies or removes the rules.
///
/// # Errors
/// Those of [`lifeline::run`]; exit 1 if the printed rules would lock the port out, 3 if they could not be checked.
pub fn run(global: &Global, options: &args::Lifeline) -> Result<u8> {
    let place = Place::find(global)?;
    let order = match (options.apply, options.remove) {
        (_, true) => Order::Remove,
        (true, _) => Order::Apply,
        _ => Order::Print,
    };
    let ports = ports(&options.port, std::env::var("SSH_CONNECTION").ok().as_deref());
    let seconds = options.seconds.or((order != Order::Remove).then_some(DEFAULT_SECONDS));
    let document = lifeline::run(place.target.namespace(), &ports, seconds, order)?;
    for warning in document.warnings.iter().filter(|_| !place.json) {
        output::notice(&format!("lifeline: {warning}"));
    }
    output::print(|out| match place.json {
        true => output::json(out, &document),
        false => write(out, &document, order),
    })?;
    let not_checked = document.not_checked.map(|why| {
        Error::unreachable("lifeline", format!("not checked against the rules in force: {why}"))
            .hint("run it as root where nft is installed, before it is loaded")
    });
    lifeline::refusal(&document.refusals).or(not_checked).map_or(Ok(0), Err)
}

/// Returns the ports that were named, else the server port of the SSH session that this process runs in, else 22.
fn ports(named: &[u16], session: Option<&str>) -> BTreeSet<u16> {
    // sshd(8): client's address and port, server's address and port.
    let own =
        || session.and_then(|session| session.split(' ').nth(3)?.parse().ok()).filter(|port| *port != 0);
    if named.is_empty() { BTreeSet::from([own().unwrap_or(SSH)]) } else { named.iter().copied().collect() }
}

fn write(out: &mut dyn Write, document: &LifelineDocument, order: Order) -> io::Result<()> {
    match order {
        Order::Remove => writeln!(out, "{}", removal_sentence(document.before.as_ref())),
        Order::Apply => {
            let time = lasting(document.seconds);
            writeln!(
                out,
                "{} of this host {} not tracked {time}, and reachable when the table is full.",
                port_list(&document.ports),
                is_or_are(&document.ports)
            )?;
            for other in ports_of_earlier_calls(document) {
                let more = if other.left_seconds.is_some() { " more" } else { "" };
                let time = lasting(other.left_seconds);
                writeln!(out, "Port {} stays so as before, {time}{more}.", other.port)?;
            }
            let end = format!(
                "The kernel ends it by itself; what is then left is an empty table inet {TABLE}, which lets nothing \
                 past. `ctctl lifeline --remove` ends it now, and takes the table away."
            );
            writeln!(out, "{}", complete(&end))
        }
        Order::Print => {
            for line in introduction(document) {
                writeln!(out, "# {}", escape(&complete(&line)))?;
            }
            write!(out, "{}", escape_lines(&document.ruleset))
        }
    }
}

/// Returns the comment lines printed above the rules: how they were checked, how long they hold, how to remove them.
fn introduction(document: &LifelineDocument) -> Vec<String> {
    let ports = port_list(&document.ports);
    if !document.refusals.is_empty() {
        let head = format!("NOT TO BE LOADED: it would lock out {} of this host.", ports.to_lowercase());
        let rest = [
            "The rules below are comments, so that nft -f does nothing with them. Let the port in without"
                .into(),
            "ct state first (tcp dport PORT accept), then run this again.".into(),
        ];
        return [head].into_iter().chain(document.refusals.clone()).chain(rest).collect();
    }
    let checked = match &document.not_checked {
        None => format!("Checked against the rules of this host at {}.", document.header.taken_at),
        Some(why) => format!(
            "NOT CHECKED against the rules in force ({why}): where they let the port in by ct state alone, this \
             locks it out."
        ),
    };
    let mut lines = vec![
        format!("{ports} of this host: reachable when the connection table is full, because not tracked."),
        format!(
            "Once loaded it holds {}; then the kernel takes the port out by itself.",
            lasting(document.seconds)
        ),
        checked,
        "To put it in: ctctl lifeline --apply, or nft -f with this file. To take it away:".into(),
        format!("ctctl lifeline --remove, or nft delete table inet {TABLE}."),
    ];
    lines.extend(document.warnings.iter().map(|warning| format!("Look at: {warning}")));
    lines
}

/// Returns `Port 22` or `Ports 22, 443`.
fn port_list(ports: &[u16]) -> String {
    let word = if ports.len() == 1 { "Port" } else { "Ports" };
    format!("{word} {}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "))
}

fn is_or_are(ports: &[u16]) -> &'static str {
    if ports.len() == 1 { "is" } else { "are" }
}

fn lasting(seconds: Option<u64>) -> String {
    seconds.map_or("for ever".into(), |seconds| format!("for {}", quantity::duration(seconds as f64)))
}

/// Returns the untracked ports that earlier calls added and that stay.
fn ports_of_earlier_calls(document: &LifelineDocument) -> impl Iterator<Item = &LifelinePort> {
    let now = document.now.iter().flat_map(|table| &table.ports);
    now.filter(|port| !document.ports.contains(&port.port))
}

/// Returns the sentence that says what was removed.
fn removal_sentence(before: Option<&LifelineTable>) -> String {
    match before {
        Some(table) if !table.is_there => {
            format!("There was nothing to remove: no table inet {TABLE}.")
        }
        Some(table) if table.ports.is_empty() => {
            format!("The time of its ports was over already; the empty table inet {TABLE} is gone too.")
        }
        Some(table) => {
            let ports: Vec<u16> = table.ports.iter().map(|port| port.port).collect();
            format!("{} {} tracked again: table inet {TABLE} is gone.", port_list(&ports), is_or_are(&ports))
        }
        None => format!("No port is let past connection tracking any more: there is no table inet {TABLE}."),
    }
}

fn escape_lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", escape(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Header, Netns};

    #[test]
    fn the_port_of_the_session_is_the_one_that_matters() {
        let of = |named: &[u16], session| ports(named, session).into_iter().collect::<Vec<u16>>();
        assert_eq!(of(&[], Some("192.0.2.9 50000 192.0.2.1 2222")), [2222]);
        assert_eq!(of(&[8022, 22], Some("192.0.2.9 50000 192.0.2.1 2222")), [22, 8022]);
        for session in [None, Some(""), Some("a b c d"), Some("a b c 0"), Some("a b c 99999")] {
            assert_eq!(of(&[], session), [22]);
        }
    }

    #[test]
    fn what_a_removal_took_away_is_told_apart() {
        let table = |ports: &[LifelinePort]| Some(LifelineTable { is_there: true, ports: ports.to_vec() });
        let of = |port| LifelinePort { port, left_seconds: Some(9) };
        assert!(
            removal_sentence(table(&[of(22), of(2222)]).as_ref())
                .starts_with("Ports 22, 2222 are tracked again")
        );
        assert!(removal_sentence(table(&[]).as_ref()).contains("over already"));
        let nothing = LifelineTable { is_there: false, ports: Vec::new() };
        assert!(removal_sentence(Some(&nothing)).contains("nothing to remove"));
        assert!(removal_sentence(None).starts_with("No port is let past"));
    }

    fn printed(change: impl FnOnce(&mut LifelineDocument)) -> String {
        let mut document = LifelineDocument {
            header: Header { schema: 1, taken_at: "2026-11-20T08:00:00Z".into(), netns: Netns::default() },
            ports: vec![22],
            seconds: Some(3600),
            applied: false,
            ruleset: "add table inet t\n".into(),
            warnings: Vec::new(),
            refusals: Vec::new(),
            not_checked: None,
            before: None,
            now: None,
        };
        change(&mut document);
        let mut out = Vec::new();
        write(&mut out, &document, Order::Print).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_is_printed_says_how_long_it_holds_and_what_it_would_break() {
        let text = printed(|_| {});
        assert!(
            text.contains("holds for 1 h; then the kernel") && text.ends_with("\nadd table inet t\n"),
            "{text}"
        );
        assert!(text.contains("# Checked against the rules of this host at 2026-11-20T08:00:00Z."), "{text}");
        let text = printed(|d| d.warnings = vec!["chain\nc".into()]);
        assert!(text.contains("# Look at: chain\\nc\n"), "{text}");
        let text = printed(|d| d.not_checked = Some("no nft".into()));
        assert!(text.contains("# NOT CHECKED against the rules in force (no nft)"), "{text}");
        let text = printed(|d| (d.refusals, d.ruleset) = (vec!["a rule".into()], "# add table\n".into()));
        assert!(text.starts_with("# NOT TO BE LOADED: it would lock out port 22"), "{text}");
        assert!(text.contains("\n# a rule\n") && !text.contains("nft -f with this file"), "{text}");
        assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
    }

    #[test]
    fn times_are_told_in_two_units_and_ports_of_before_are_named() {
        let now = LifelineTable {
            is_there: true,
            ports: vec![
                LifelinePort { port: 22, left_seconds: Some(597) },
                LifelinePort { port: 23, left_seconds: None },
                LifelinePort { port: 2222, left_seconds: Some(34_559_999) },
            ],
        };
        let document = LifelineDocument {
            header: Header { schema: 1, taken_at: String::new(), netns: Netns::default() },
            ports: vec![2222],
            seconds: Some(34_560_000),
            applied: true,
            ruleset: String::new(),
            warnings: Vec::new(),
            refusals: Vec::new(),
            not_checked: None,
            before: None,
            now: Some(now),
        };
        let mut out = Vec::new();
        write(&mut out, &document, Order::Apply).expect("memory");
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("Port 2222 of this host is not tracked for 400 d, and"), "{text}");
        assert!(text.contains("Port 22 stays so as before, for 9 min 57 s more.\n"), "{text}");
        assert!(text.contains("Port 23 stays so as before, for ever.\n"), "{text}");
        assert!(text.contains("an empty table inet ctctl_lifeline"), "{text}");
    }
}
