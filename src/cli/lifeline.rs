//! `ctctl lifeline`.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::args::{self, Global};
use super::output;
use super::place::Place;
use super::render::text::escape;
use crate::error::Result;
use crate::lifeline::{self, Order, TABLE};
use crate::model::LifelineDocument;

/// An hour: longer than it takes to make room, shorter than an open door is forgotten.
const DEFAULT_SECONDS: u64 = 3600;
const SSH: u16 = 22;

/// Prints, applies or removes the rules.
///
/// # Errors
/// As [`lifeline::run`].
pub fn run(global: &Global, options: &args::Lifeline) -> Result<u8> {
    let place = Place::find(global)?;
    let order = match (options.apply, options.remove) {
        (_, true) => Order::Remove,
        (true, _) => Order::Apply,
        _ => Order::Print,
    };
    let ports = ports(&options.port, std::env::var("SSH_CONNECTION").ok().as_deref());
    let seconds = options.seconds.or((order == Order::Apply).then_some(DEFAULT_SECONDS));
    let document = lifeline::run(place.target.namespace(), &ports, seconds, order)?;
    for warning in document.warnings.iter().filter(|_| !place.json) {
        output::notice(&format!("lifeline: {warning}"));
    }
    output::print(|out| match place.json {
        true => output::json(out, &document),
        false => write(out, &document, order),
    })?;
    Ok(0)
}

/// Those that were named, or that of the SSH session which this runs in, or SSH's.
fn ports(named: &[u16], session: Option<&str>) -> BTreeSet<u16> {
    // sshd(8): client's address and port, server's address and port.
    let own =
        || session.and_then(|session| session.split(' ').nth(3)?.parse().ok()).filter(|port| *port != 0);
    if named.is_empty() { BTreeSet::from([own().unwrap_or(SSH)]) } else { named.iter().copied().collect() }
}

fn write(out: &mut dyn Write, document: &LifelineDocument, order: Order) -> io::Result<()> {
    let list: Vec<String> = document.ports.iter().map(u16::to_string).collect();
    let list = list.join(", ");
    match order {
        Order::Remove => {
            writeln!(out, "No port is let past connection tracking any more (table inet {TABLE}).")
        }
        Order::Apply => {
            writeln!(out, "Port {list} of this host is not tracked, and reachable when the table is full.")?;
            let seconds = document.seconds.unwrap_or_default();
            writeln!(out, "The kernel ends it in {seconds} s; `ctctl lifeline --remove` does now.")
        }
        Order::Print => {
            writeln!(out, "# Keeps port {list} of this host reachable when the connection table is full.")?;
            writeln!(
                out,
                "# To put it in: ctctl lifeline --apply, or nft -f with this file. To take it away:"
            )?;
            writeln!(out, "# ctctl lifeline --remove, or nft delete table inet {TABLE}.")?;
            write!(out, "{}", escape_lines(&document.ruleset))
        }
    }
}

fn escape_lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", escape(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_the_session_is_the_one_that_matters() {
        let of = |named: &[u16], session| ports(named, session).into_iter().collect::<Vec<u16>>();
        assert_eq!(of(&[], Some("192.0.2.9 50000 192.0.2.1 2222")), [2222]);
        assert_eq!(of(&[8022, 22], Some("192.0.2.9 50000 192.0.2.1 2222")), [22, 8022]);
        for session in [None, Some(""), Some("a b c d"), Some("a b c 0"), Some("a b c 99999")] {
            assert_eq!(of(&[], session), [22]);
        }
    }
}
