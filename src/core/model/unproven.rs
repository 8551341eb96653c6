//! Reasons for which the idleness of an entry cannot be proven: such an entry counts as live.

use serde::{Deserialize, Serialize};

/// Fact that keeps the idleness of an entry from being proven.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unproven {
    /// An end of it is a socket of this host, which may send at any time.
    LocalSocket,
    /// Another program wrote its time left (`conntrack -U`, `-I`).
    Foreign,
    /// conntrackd writes entries in this namespace.
    Conntrackd,
    /// The timeout policies (`ct timeout`) or flowtables cannot be listed.
    Policies,
    /// It may have been in a flowtable, where its packets did not refresh it.
    Flowtable,
    /// It is in a flowtable now (OFFLOAD).
    Offloaded,
    /// No packet refreshes its timeout (FIXED_TIMEOUT).
    FixedTimeout,
    /// A helper sets its timeout, or it was expected by another entry.
    Helper,
    /// Its tracker keeps timeouts in the entry from birth (GRE), or its state is unknown.
    OwnTimeout,
    /// More time is left than any known timeout allows.
    NoBase,
    /// Its time left is short enough that another program may have written it before the first look.
    LittleLeft,
    /// The idleness that the arithmetic gives is longer than the entry or the host is old.
    TooYoung,
    /// Its timeout was set before the first look of this boot, and nobody knows what it was then.
    FirstLook,
    /// Never answered and not TCP: it may speak seldom.
    OneWay,
    /// `idle_proof = "observed"`: the time left is not asked.
    ByObservation,
}

impl Unproven {
    /// The reason as the end of a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Unproven::LocalSocket => "an end is a socket of this host",
            Unproven::Foreign => "another program wrote the time that is left",
            Unproven::Conntrackd => "conntrackd writes entries here, whose time left proves nothing",
            Unproven::Policies => "the timeout policies cannot be listed",
            Unproven::Flowtable => "it may have been in a flowtable",
            Unproven::Offloaded => "it is in a flowtable",
            Unproven::FixedTimeout => "no packet refreshes its timeout",
            Unproven::Helper => "a helper sets its timeout",
            Unproven::OwnTimeout => "which timeout it has is not told",
            Unproven::NoBase => "more time is left than any known timeout allows",
            Unproven::LittleLeft => "so little time is left that another program may have written it",
            Unproven::TooYoung => "the time left says longer than the host or the entry is old",
            Unproven::FirstLook => "its timeout may have been another before ctctl first looked",
            Unproven::OneWay => "never answered: only two scans without a packet in between tell",
            Unproven::ByObservation => {
                "idle_proof = \"observed\": only two scans without a packet in between tell"
            }
        }
    }
}

/// Number of entries of a scan whose idleness cannot be proven, for one reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnprovenCount {
    /// The reason for which it is not proven.
    pub why: Unproven,
    /// Number of entries.
    pub entries: u64,
}

/// Counts entries by why their idleness is not proven.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UnprovenCounts(Vec<UnprovenCount>);

impl UnprovenCounts {
    /// Counts `n` more entries for a reason.
    pub fn add(&mut self, why: Unproven, n: u64) {
        match self.0.iter_mut().find(|count| count.why == why) {
            Some(count) => count.entries += n,
            None => self.0.push(UnprovenCount { why, entries: n }),
        }
    }

    /// As many more as there are of others.
    pub fn add_all(&mut self, others: UnprovenCounts) {
        others.0.into_iter().for_each(|count| self.add(count.why, count.entries));
    }

    /// All of them, the most frequent reason first.
    pub fn rows(mut self) -> Vec<UnprovenCount> {
        self.0.sort_by_key(|count| (std::cmp::Reverse(count.entries), count.why));
        self.0
    }

    /// Number of entries for all reasons.
    pub fn total(&self) -> u64 {
        total(&self.0)
    }
}

/// Number of entries for all reasons.
pub fn total(counts: &[UnprovenCount]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.saturating_add(count.entries))
}

/// The most frequent reasons, each with its number: `900 (another program wrote the time that is left)`.
pub fn reasons(counts: &[UnprovenCount]) -> String {
    const NAMED: usize = 3;
    let named = counts.iter().take(NAMED);
    let mut named: Vec<String> =
        named.map(|count| format!("{} ({})", count.entries, count.why.text())).collect();
    let rest = total(counts.get(NAMED..).unwrap_or_default());
    if rest > 0 {
        named.push(format!("{rest} for other reasons"));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_reasons_are_named_with_their_numbers_and_none_is_lost() {
        let mut counts = UnprovenCounts::default();
        for (why, n) in [
            (Unproven::OneWay, 2),
            (Unproven::Foreign, 900),
            (Unproven::OneWay, 5),
            (Unproven::Helper, 1),
            (Unproven::NoBase, 3),
        ] {
            counts.add(why, n);
        }
        assert_eq!(counts.total(), 911);
        let text = reasons(&counts.rows());
        let expected = "900 (another program wrote the time that is left), 7 (never answered: only two scans \
                        without a packet in between tell), 3 (more time is left than any known timeout allows), \
                        1 for other reasons";
        assert_eq!(text, expected);
        assert_eq!(reasons(&[]), "");
    }
}
