//! Entries of no class: no flush takes them at any level, so that a table that is full of them has to say so.

use serde::{Deserialize, Serialize};

use super::timeouts::Timeout;

/// Entries of TCP in one state that are of no class, as a scan saw them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unclassed {
    /// As filters name it (`close-wait`).
    pub state: String,
    /// The timeout that they stand under; none for a state that is not known.
    pub timeout: Option<Timeout>,
    /// Number of entries.
    pub entries: u64,
    /// The longest certain idleness, in seconds; none where that of no entry is known.
    pub oldest_idle_seconds: Option<u32>,
    /// That is exact, and not only the least that it can be.
    pub oldest_is_exact: bool,
    /// Entries whose idleness is not known.
    pub idle_unknown: u64,
    /// Entries that have been idle for longer than the kernel's own timeout, which would have ended them: for certain,
    /// or by the timeouts that are known.
    pub over_default: u64,
    /// Of these, those of which it is certain.
    #[serde(default)]
    pub over_default_certain: u64,
    /// Entries that have been idle for certain for ten times the kernel's own timeout.
    #[serde(default)]
    pub long_idle: u64,
    /// The longest certain silence of those that are presumed to have been idle for longer: since the first look at the
    /// timeouts of this boot.
    #[serde(default)]
    pub presumed_since_seconds: Option<u32>,
    /// Entries that have more time left than the kernel's own timeouts give to any entry in this state.
    #[serde(default)]
    pub left_longer: u64,
    /// The longest time left, in seconds.
    #[serde(default)]
    pub longest_left_seconds: Option<u32>,
}

/// Multiple of the kernel's own timeout for which an entry has to be silent for the flush that the remedy names.
const LONG_TIMES: u32 = 10;
/// Seconds that the kernel gives in any state of TCP to a connection with data in flight
/// (`tcp_timeout_unacknowledged`, `tcp_timeout_max_retrans`).
const IN_FLIGHT_SECONDS: u32 = 300;

/// Facts of one entry of no class.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence {
    /// Its certain idleness in seconds.
    pub certain: Option<u32>,
    /// That is exact, and not only the least that it can be.
    pub exact: bool,
    /// Its idleness in seconds by all that is known, certain or not.
    pub likely: Option<u32>,
    /// The seconds that it has left.
    pub left: Option<u32>,
}

/// A row of `status` and `plan`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnclassedRow {
    /// Name of the protocol, always `tcp`.
    pub protocol: String,
    /// As filters name it.
    pub state: String,
    /// Number of entries.
    pub entries: u64,
    /// Entries that were looked at in all.
    #[serde(default)]
    pub of_entries: u64,
    /// The sysctl's name after `nf_conntrack_`.
    pub timeout: Option<String>,
    /// Value of the timeout in seconds.
    pub timeout_seconds: Option<u32>,
    /// The kernel's own value.
    pub default_seconds: Option<u32>,
    /// The longest certain idleness; null where that of no entry is known.
    pub oldest_idle_seconds: Option<u32>,
    /// That is exact.
    #[serde(default)]
    pub oldest_is_exact: bool,
    /// Entries whose idleness is not known.
    pub idle_unknown: u64,
    /// Entries that the kernel's own timeout would have ended, for certain or by the timeouts that are known.
    pub over_default: u64,
    /// Of these, those of which it is certain.
    #[serde(default)]
    pub over_default_certain: u64,
    /// Entries that have been idle for certain for ten times the kernel's own timeout.
    #[serde(default)]
    pub long_idle: u64,
    /// The longest certain silence of those that are only presumed to have been idle for longer.
    #[serde(default)]
    pub presumed_since_seconds: Option<u32>,
    /// Entries that have more time left than the kernel's own timeouts give to any entry in this state.
    #[serde(default)]
    pub left_longer: u64,
    /// The longest time left.
    #[serde(default)]
    pub longest_left_seconds: Option<u32>,
}

impl Unclassed {
    /// None seen yet.
    pub fn empty(state: &str, timeout: Option<Timeout>) -> Self {
        Unclassed {
            state: state.into(),
            timeout,
            entries: 0,
            oldest_idle_seconds: None,
            oldest_is_exact: false,
            idle_unknown: 0,
            over_default: 0,
            over_default_certain: 0,
            long_idle: 0,
            presumed_since_seconds: None,
            left_longer: 0,
            longest_left_seconds: None,
        }
    }

    /// `n` entries that are alike.
    pub fn add(&mut self, silence: Silence, n: u64) {
        let Silence { certain, exact, likely, left } = silence;
        self.entries += n;
        match certain {
            Some(idle) if self.oldest_idle_seconds.is_none_or(|oldest| idle > oldest) => {
                (self.oldest_idle_seconds, self.oldest_is_exact) = (Some(idle), exact);
            }
            Some(_) => {}
            None => self.idle_unknown += n,
        }
        self.longest_left_seconds = self.longest_left_seconds.max(left);
        let Some(own) = self.timeout.map(|timeout| timeout.spec().kernel_default_seconds) else { return };
        if left.is_some_and(|left| left > own.max(IN_FLIGHT_SECONDS)) {
            self.left_longer += n;
        }
        if certain.is_some_and(|idle| idle >= own.saturating_mul(LONG_TIMES)) {
            self.long_idle += n;
        }
        if certain.max(likely).is_none_or(|idle| idle <= own) {
            return;
        }
        self.over_default += n;
        match certain.is_some_and(|idle| idle > own) {
            true => self.over_default_certain += n,
            false => {
                self.presumed_since_seconds =
                    self.presumed_since_seconds.max(Some(certain.unwrap_or_default()));
            }
        }
    }

    /// With the value that the timeout has now, and the entries that were looked at in all.
    pub fn row(&self, timeout_seconds: Option<u32>, of_entries: u64) -> UnclassedRow {
        UnclassedRow {
            protocol: "tcp".into(),
            state: self.state.clone(),
            entries: self.entries,
            of_entries,
            timeout: self.timeout.map(|timeout| timeout.name().into()),
            timeout_seconds,
            default_seconds: self.timeout.map(|timeout| timeout.spec().kernel_default_seconds),
            oldest_idle_seconds: self.oldest_idle_seconds,
            oldest_is_exact: self.oldest_is_exact,
            idle_unknown: self.idle_unknown,
            over_default: self.over_default,
            over_default_certain: self.over_default_certain,
            long_idle: self.long_idle,
            presumed_since_seconds: self.presumed_since_seconds,
            left_longer: self.left_longer,
            longest_left_seconds: self.longest_left_seconds,
        }
    }
}

impl UnclassedRow {
    /// A tenth of the table or more.
    pub fn is_much(&self) -> bool {
        self.entries > 0 && self.entries.saturating_mul(10) >= self.of_entries
    }

    /// A timeout above the kernel's own keeps them.
    pub fn is_kept(&self) -> bool {
        self.timeout_seconds.zip(self.default_seconds).is_some_and(|(now, own)| now > own)
    }

    /// Ten times the kernel's own timeout: who was silent for as long may be taken for dead.
    fn long_seconds(&self) -> Option<u32> {
        Some(self.default_seconds?.saturating_mul(LONG_TIMES))
    }

    /// Seconds from the scan on after which the first entry can be idle for certain for so long; `None` where of none
    /// anything is known.
    fn long_idle_in_seconds(&self) -> Option<u32> {
        Some(self.long_seconds()?.saturating_sub(self.oldest_idle_seconds.max(self.presumed_since_seconds)?))
    }

    /// The row on a line of a screen: `900 TCP in CLOSE_WAIT: tcp_timeout_close_wait is 3600 s, not 60 s`.
    pub fn brief(&self) -> String {
        let state = self.state.to_uppercase().replace('-', "_");
        let text = format!("{} TCP in {state}", self.entries);
        match (&self.timeout, self.timeout_seconds, self.default_seconds) {
            (Some(name), Some(now), Some(own)) if now > own => {
                format!("{text}: {name} is {now} s, not {own} s")
            }
            (Some(name), Some(now), _) => match self.longest_left_seconds.filter(|_| self.left_longer > 0) {
                Some(left) => format!("{text}: {name} is {now} s, but they have up to {left} s left"),
                None => format!("{text}: {name} is {now} s"),
            },
            _ => text,
        }
    }

    /// Remedy on a line of a screen; `None` where a timeout of the kernel's own or a shorter one ends them.
    pub fn brief_remedy(&self) -> Option<String> {
        let (own, long) = (self.default_seconds?, super::verdict::ShortDuration(self.long_seconds()?));
        let set = self.is_kept().then(|| format!("set it to {own}"));
        if set.is_none() && self.left_longer == 0 {
            return None;
        }
        let flush = match self.long_idle_in_seconds() {
            _ if self.long_idle > 0 => format!("`ctctl flush --state {} --idle-over {long}`", self.state),
            Some(wait) => {
                let wait = super::verdict::ShortDuration(wait);
                format!("none is idle for {long} for certain until {wait} after the scan")
            }
            None => "for how long they have been idle is not known".into(),
        };
        Some(set.map_or(flush.clone(), |set| format!("{set}; {flush}")))
    }

    /// The row by its timeout: one sentence without a full stop, for `plan`, `status` and `doctor`.
    pub fn sentence(&self) -> String {
        let state = self.state.to_uppercase().replace('-', "_");
        let are = if self.entries == 1 { "is" } else { "are" };
        let mut text = format!(
            "{} of {} entries {are} TCP in {state}, of no class: no flush by class takes them",
            self.entries, self.of_entries
        );
        let (Some(name), Some(now), Some(own)) = (&self.timeout, self.timeout_seconds, self.default_seconds)
        else {
            return text;
        };
        if now > own {
            let times = f64::from(now) / f64::from(own.max(1));
            text += &format!("; {name} is {now} s, {times:.0} times the kernel's own {own} s");
            if name == "tcp_timeout_close_wait" {
                text += " (kube-proxy sets it to an hour)";
            }
        } else if let Some(left) = self.longest_left_seconds.filter(|_| self.left_longer > 0) {
            text += &format!(
                "; {name} is {now} s, for packets to come: {} of them were given more before and keep the time left \
                 until a packet comes, the longest {left} s",
                self.left_longer
            );
        } else {
            text += &format!("; {name} is {now} s: they end so long after their last packet");
            return text;
        }
        self.idle_told(own).iter().for_each(|told| text += &format!("; {told}"));
        text
    }

    /// Entries that have been idle for longer than the kernel's own timeout: those of which it is certain, and those of
    /// which it is presumed, with what nobody can tell of them.
    pub fn idle_told(&self, own: u32) -> Vec<String> {
        let certain = self.over_default_certain;
        let told = (certain > 0)
            .then(|| format!("{certain} of them have for certain been idle for longer than {own} s"));
        let presumed = self.over_default.saturating_sub(certain);
        let guess = (presumed > 0).then(|| {
            format!(
                "{presumed} of them have presumably been idle for longer than {own} s, if their timeout was never set \
                 otherwise: certain is their silence since ctctl first looked in this boot, {} s before this scan",
                self.presumed_since_seconds.unwrap_or_default()
            )
        });
        told.into_iter().chain(guess).collect()
    }

    /// Remedy in a sentence; `None` where a timeout of the kernel's own or a shorter one ends them.
    pub fn remedy(&self) -> Option<String> {
        let (name, own) = (self.timeout.as_ref()?, self.default_seconds?);
        let flush = self.flush_hint()?;
        if self.is_kept() {
            return Some(format!(
                "set net.netfilter.nf_conntrack_{name} to {own} for packets to come (where kube-proxy sets it, in its \
                 configuration): entries that are there keep the time left, and {flush}"
            ));
        }
        (self.timeout_seconds.is_some() && self.left_longer > 0).then_some(flush)
    }

    /// The flush that takes those that are there, if it would take any; otherwise when it will.
    pub fn flush_hint(&self) -> Option<String> {
        let long = self.long_seconds()?;
        let command = format!(
            "`ctctl flush --state {} --idle-over {}`",
            self.state,
            super::verdict::ShortDuration(long)
        );
        if self.long_idle > 0 {
            return Some(format!("{command} takes the {} that are proven idle for so long", self.long_idle));
        }
        let Some(wait) = self.long_idle_in_seconds() else {
            return Some(format!(
                "for how long they have been idle is not known: no flush by idleness takes them, and `ctctl flush --state \
                 {}` takes all of them, live ones too",
                self.state
            ));
        };
        let text = super::verdict::ShortDuration(wait);
        Some(match self.longest_left_seconds.filter(|left| *left < wait) {
            Some(left) => format!(
                "those that are there end by themselves within {left} s, before a flush by idleness would take them"
            ),
            None => format!(
                "{command} takes none of them before {text} after this scan, and then those that stayed silent, if an \
                 agent watched meanwhile"
            ),
        })
    }
}

#[cfg(test)]
#[path = "unclassed_tests.rs"]
mod tests;
