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
    /// Entries that the kernel's own timeout would have ended.
    pub over_default: u64,
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
        }
    }

    /// `n` entries of this certain idleness, which is exact or the least that it can be, and of this one by all that is
    /// known.
    pub fn add(&mut self, idle: Option<u32>, exact: bool, likely: Option<u32>, n: u64) {
        self.entries += n;
        match idle {
            Some(idle) if self.oldest_idle_seconds.is_none_or(|oldest| idle > oldest) => {
                (self.oldest_idle_seconds, self.oldest_is_exact) = (Some(idle), exact);
            }
            Some(_) => {}
            None => self.idle_unknown += n,
        }
        let own = self.timeout.map(|timeout| timeout.spec().kernel_default_seconds);
        if own.zip(likely).is_some_and(|(own, idle)| idle > own) {
            self.over_default += n;
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

    /// The row on a line of a screen: `900 TCP in CLOSE_WAIT: tcp_timeout_close_wait is 3600 s, not 60 s`.
    pub fn brief(&self) -> String {
        let state = self.state.to_uppercase().replace('-', "_");
        let text = format!("{} TCP in {state}", self.entries);
        match (&self.timeout, self.timeout_seconds, self.default_seconds) {
            (Some(name), Some(now), Some(own)) if now > own => {
                format!("{text}: {name} is {now} s, not {own} s")
            }
            (Some(name), Some(now), _) => format!("{text}: {name} is {now} s"),
            _ => text,
        }
    }

    /// Remedy on a line of a screen; `None` where the timeout is the kernel's own or shorter.
    pub fn brief_remedy(&self) -> Option<String> {
        let own = self.default_seconds.filter(|_| self.is_kept())?;
        let silent = super::verdict::ShortDuration(own.saturating_mul(10));
        Some(format!("set it to {own}; `ctctl flush --state {} --idle-over {silent}`", self.state))
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
        match now {
            now if now > own => {
                let times = f64::from(now) / f64::from(own.max(1));
                text += &format!("; {name} is {now} s, {times:.0} times the kernel's own {own} s");
                if name == "tcp_timeout_close_wait" {
                    text += " (kube-proxy sets it to an hour)";
                }
            }
            now => text += &format!("; {name} is {now} s: they end so long after their last packet"),
        }
        if self.over_default > 0 && now > own {
            text += &format!(", and {} of them have been idle for longer than that", self.over_default);
        }
        text
    }

    /// Remedy in a sentence; `None` where the timeout is the kernel's own or shorter.
    pub fn remedy(&self) -> Option<String> {
        let (name, now, own) = (self.timeout.as_ref()?, self.timeout_seconds?, self.default_seconds?);
        (now > own).then(|| {
            format!(
                "set net.netfilter.nf_conntrack_{name} to {own} for those to come (where kube-proxy sets it, in its \
                 configuration); `ctctl flush --state {} --idle-over {}` takes those that are there and proven idle",
                self.state,
                super::verdict::ShortDuration(own.saturating_mul(10))
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(now: u32) -> UnclassedRow {
        let timeout = Timeout::named("tcp_timeout_close_wait");
        let seen = Unclassed { entries: 900, over_default: 870, ..Unclassed::empty("close-wait", timeout) };
        seen.row(Some(now), 960)
    }

    #[test]
    fn a_timeout_above_the_kernels_is_named_with_its_remedy() {
        let said = row(3600).sentence();
        let expected = "900 of 960 entries are TCP in CLOSE_WAIT, of no class: no flush by class takes them; \
                        tcp_timeout_close_wait is 3600 s, 60 times the kernel's own 60 s (kube-proxy sets it to an \
                        hour), and 870 of them have been idle for longer than that";
        assert_eq!(said, expected);
        let remedy = row(3600).remedy().expect("one");
        assert!(remedy.contains("nf_conntrack_tcp_timeout_close_wait to 60 "), "{remedy}");
        assert!(remedy.contains("`ctctl flush --state close-wait --idle-over 10m`"), "{remedy}");
    }

    #[test]
    fn under_the_kernels_own_timeout_they_end_by_themselves() {
        assert_eq!(row(60).remedy(), None);
        let said = row(60).sentence();
        assert!(
            said.ends_with("tcp_timeout_close_wait is 60 s: they end so long after their last packet"),
            "{said}"
        );
        let unknown = Unclassed { entries: 1, ..Unclassed::empty("unknown", None) }.row(None, 7);
        assert_eq!(
            (unknown.sentence().as_str(), unknown.remedy()),
            ("1 of 7 entries is TCP in UNKNOWN, of no class: no flush by class takes them", None)
        );
    }
}
