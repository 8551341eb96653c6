//! Names of addresses, from the resolver of the user who runs the command: only with `--resolve`, at most 256 addresses
//! a table, and never waited for longer than two seconds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Number of questions under way at once: a resolver that is silent holds each for 10 s and more.
const WORKERS: usize = 16;
/// Largest number of addresses that one table asks for.
const MOST_ADDRESSES: usize = 256;
/// Longest time that a table waits for names. A name that comes later is shown the next time.
const NAMES_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest number of names that are kept.
const MOST_NAMES: usize = 1 << 16;

/// Function that looks up the name of an address.
type Lookup = fn(IpAddr) -> Option<String>;

/// Looks up names on threads, and keeps the answers.
pub struct Resolver {
    questions: Sender<IpAddr>,
    answers: Receiver<(IpAddr, Option<String>)>,
    /// Answers by address: `None` if not answered yet, `Some(None)` if the address has no name.
    known: HashMap<IpAddr, Option<Option<String>>>,
}

impl Resolver {
    /// Starts the threads that ask. They belong to the network namespace of this moment, which is the caller's own: its
    /// resolver is the one that /etc/resolv.conf names.
    pub fn start() -> Resolver {
        Resolver::with(|address| dns_lookup::lookup_addr(&address).ok())
    }

    fn with(lookup: Lookup) -> Resolver {
        let (questions, asked) = channel::<IpAddr>();
        let (answer, answers) = channel();
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..WORKERS {
            let (asked, answer) = (asked.clone(), answer.clone());
            let work = move || {
                loop {
                    let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(address) = next else { return };
                    // A resolver may return the address itself instead of a name.
                    let name = lookup(address).filter(|name| name.parse::<IpAddr>().is_err());
                    if answer.send((address, name)).is_err() {
                        return;
                    }
                }
            };
            // If threads cannot be started the table is shown without names.
            let _ = std::thread::Builder::new().name("resolve".into()).spawn(work);
        }
        Resolver { questions, answers, known: HashMap::new() }
    }

    /// Returns the name of each of `sources`; `None` if it is no address, has no name, or is not answered in time.
    pub fn names<'a>(&mut self, sources: impl Iterator<Item = &'a str>) -> Vec<Option<String>> {
        self.names_within(sources, NAMES_TIMEOUT)
    }

    fn names_within<'a>(
        &mut self,
        sources: impl Iterator<Item = &'a str>,
        wait: Duration,
    ) -> Vec<Option<String>> {
        let addresses: Vec<Option<IpAddr>> = sources.map(|source| source.parse().ok()).collect();
        if self.known.len() > MOST_NAMES {
            self.known.retain(|_, name| name.is_none());
        }
        let wanted: Vec<IpAddr> = addresses.iter().flatten().copied().take(MOST_ADDRESSES).collect();
        for address in &wanted {
            if !self.known.contains_key(address) && self.questions.send(*address).is_ok() {
                self.known.insert(*address, None);
            }
        }
        let deadline = Instant::now() + wait;
        while wanted.iter().any(|address| self.known.get(address) == Some(&None)) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left) {
                Ok((address, name)) => drop(self.known.insert(address, Some(name))),
                Err(_) => break,
            }
        }
        let name = |address: &Option<IpAddr>| self.known.get(address.as_ref()?).cloned().flatten().flatten();
        addresses.iter().map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canned(address: IpAddr) -> Option<String> {
        match address.to_string().as_str() {
            "10.0.0.1" => Some("one.example".into()),
            // A resolver may return the address if it has no name for it.
            "10.0.0.2" => Some("10.0.0.2".into()),
            "10.0.0.3" => loop {
                std::thread::park();
            },
            _ => None,
        }
    }

    #[test]
    fn names_come_for_addresses_that_have_one() {
        let mut resolver = Resolver::with(canned);
        let names = resolver.names(["10.0.0.1", "10.0.0.2", "10.0.0.0/24", "none", "::1"].into_iter());
        assert_eq!(names, [Some("one.example".into()), None, None, None, None]);
    }

    #[test]
    fn a_silent_resolver_is_not_waited_for() {
        let mut resolver = Resolver::with(canned);
        let began = Instant::now();
        let ask =
            |resolver: &mut Resolver, wait| resolver.names_within(["10.0.0.3", "10.0.0.1"].into_iter(), wait);
        // The address with a name may need several rounds; the silent one delays no round beyond its 50 ms.
        let mut names = ask(&mut resolver, Duration::from_millis(50));
        while names[1].is_none() && began.elapsed() < Duration::from_secs(20) {
            names = ask(&mut resolver, Duration::from_millis(50));
        }
        assert_eq!(names, [None, Some("one.example".into())]);
    }

    #[test]
    fn no_table_asks_for_more_than_so_many() {
        let mut resolver = Resolver::with(canned);
        let many: Vec<String> =
            (0..2000u32).map(|n| std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string()).collect();
        assert_eq!(resolver.names(many.iter().map(String::as_str)).len(), 2000);
        assert_eq!(resolver.known.len(), MOST_ADDRESSES);
    }
}
