//! Chains of iptables, evaluated for one packet from the output of iptables-save(8).

use super::path::{Chain, Chains, Effect, Holds, Packet, Step};
use super::varying;

/// Matches that add no condition beside their options, which are evaluated.
const EVALUATED_MATCHES: [&str; 6] = ["tcp", "udp", "multiport", "conntrack", "state", "comment"];
/// Matches that an untracked packet fails, because it has no entry.
const ENTRY_MATCHES: [&str; 4] = ["connmark", "connbytes", "connlabel", "helper"];

/// One table of one family.
pub(super) struct Table<'a> {
    pub(super) name: &'a str,
    lines: Vec<&'a str>,
}

/// Returns the tables that decide on packets. The nat table is left out: it sees tracked packets only.
pub(super) fn tables(text: &str) -> Vec<Table<'_>> {
    let mut tables: Vec<Table<'_>> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix('*') {
            Some(name) => tables.push(Table { name, lines: Vec::new() }),
            None => tables.last_mut().into_iter().for_each(|table| table.lines.push(line)),
        }
    }
    tables.retain(|table| table.name != "nat");
    tables
}

impl Table<'_> {
    /// Returns the chains, evaluated for this packet.
    pub(super) fn chains(&self, packet: &Packet) -> Chains {
        let mut chains = Chains::default();
        let declared = self.lines.iter().filter_map(|line| line.strip_prefix(':'));
        for mut words in declared.map(str::split_whitespace) {
            let name = words.next().unwrap_or_default().to_owned();
            chains.0.insert(name, Chain { steps: Vec::new(), drops: words.next() == Some("DROP") });
        }
        for line in &self.lines {
            let words = words(line);
            let [append, chain, rule @ ..] = words.as_slice() else { continue };
            if append == "-A" {
                let step = step(rule, packet, &chains);
                let chain = chains.0.entry(chain.clone()).or_default();
                chain.steps.extend(step);
            }
        }
        chains
    }

    /// True if the table has this chain.
    pub(super) fn has(&self, chain: &str) -> bool {
        let declared = self.lines.iter().filter_map(|line| line.strip_prefix(':'));
        declared.map(str::split_whitespace).any(|mut words| words.next() == Some(chain))
    }
}

/// True if a rule decides on packets by their mark.
pub(super) fn decides_by_mark(text: &str) -> bool {
    text.lines().any(|line| {
        let words = words(line);
        let has = |word: &str| words.iter().any(|found| found == word);
        has("-A") && has("--mark") && !has("MARK") && !has("CONNMARK") && !has("connmark")
    })
}

/// Splits a rule into words; a quoted text is one word.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut escaped) = (Vec::new(), None::<String>, false, false);
    for char in line.chars() {
        match char {
            _ if escaped => {
                word.get_or_insert_default().push(char);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            char if char.is_whitespace() && !quoted => words.extend(word.take()),
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

fn step(rule: &[String], packet: &Packet, chains: &Chains) -> Option<Step> {
    let (mut holds, mut negated, mut by_state, mut of_entry) = (Holds::Yes, false, false, false);
    let mut varies = false;
    let mut words = rule.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        let mut value = || words.next().unwrap_or_default();
        let found = match word {
            "-j" | "-g" => {
                let name = value();
                // A match on other facts of an entry, without a state, fails if the packet has no entry.
                let entry =
                    if of_entry && !by_state && packet.is_untracked() { Holds::No } else { Holds::Yes };
                return effect(name, word == "-g", chains).map(|effect| Step {
                    holds: holds.and(entry),
                    varies,
                    effect,
                });
            }
            "-p" => {
                let protocol = value();
                Holds::from_bool(packet.is_of(protocol) || matches!(protocol, "all" | "0"))
            }
            "-m" => match value() {
                name if EVALUATED_MATCHES.contains(&name) => Holds::Yes,
                name if ENTRY_MATCHES.contains(&name) && packet.is_untracked() => Holds::No,
                name => {
                    varies |= varying::iptables_match(name);
                    Holds::Unknown
                }
            },
            "-i" | "-o" => match value() {
                "lo" => Holds::from_bool(packet.loopback),
                name if packet.loopback && !name.ends_with('+') => Holds::No,
                _ => Holds::Unknown,
            },
            "--ctstate" | "--state" => {
                by_state = true;
                Holds::from_bool(value().split(',').any(|state| state.eq_ignore_ascii_case(packet.state)))
            }
            "--dport" | "--dports" => has_port(packet, &["dport"], value()),
            "--sport" | "--sports" => has_port(packet, &["sport"], value()),
            "--ports" => has_port(packet, &["dport", "sport"], value()),
            "--comment" => {
                value();
                Holds::Yes
            }
            option if option.starts_with("--ct") => {
                of_entry = true;
                // If a state is asked for too, conntrack_mt compares nothing else of a packet without an entry.
                if packet.is_untracked() { Holds::Yes } else { packet.by_entry }
            }
            option if option.starts_with('-') => {
                varies |= varying::iptables_option(option);
                Holds::Unknown
            }
            // This word is the value of an unknown option.
            _ => continue,
        };
        holds = holds.and(found.negated(std::mem::take(&mut negated)));
    }
    None
}

fn has_port(packet: &Packet, fields: &[&str], listed: &str) -> Holds {
    match fields.iter().any(|field| packet.fields.contains(field)) {
        true => Holds::from_bool(listed.split(',').any(|range| in_range(range, packet.port))),
        false => Holds::Unknown,
    }
}

fn effect(target: &str, goto: bool, chains: &Chains) -> Option<Effect> {
    Some(match target {
        "ACCEPT" => Effect::Accept,
        "DROP" | "REJECT" | "TARPIT" => Effect::Drop,
        "RETURN" => Effect::Return,
        "NFQUEUE" | "QUEUE" | "SYNPROXY" | "TPROXY" => Effect::Either,
        chain if chains.0.contains_key(chain) && goto => Effect::Goto(chain.into()),
        chain if chains.0.contains_key(chain) => Effect::Jump(chain.into()),
        _ => return None,
    })
}

/// True if the port is in a range such as `22` or `20:25`.
pub(super) fn in_range(text: &str, port: u16) -> bool {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    let bound = |text: &str, open: u16| if text.is_empty() { Ok(open) } else { text.parse::<u16>() };
    match (bound(first, 0), bound(last, u16::MAX)) {
        (Ok(first), Ok(last)) => !text.is_empty() && (first..=last).contains(&port),
        _ => false,
    }
}
