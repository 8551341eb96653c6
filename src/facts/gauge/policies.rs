//! Timeout policies as they are known to have been: one that is gone may still be some entry's base.

use std::io;

use crate::core::model::TimeoutPolicy;
use crate::linux::clock;
use crate::linux::modules::Asking;
use crate::linux::socket::Netlink;
use crate::linux::timeout_policies::{self, HeardPolicies, PolicyListener};

/// Interval at which policies of nfnetlink_cttimeout, which make no event, are listed in calm: 10 us with few of
/// them.
const LIST_SECONDS: f64 = 1.0;

/// All that were ever seen.
pub(super) struct Policies {
    known: Vec<TimeoutPolicy>,
    listener: Option<PolicyListener>,
    /// Others may have come and gone unheard since the last listing.
    lost: bool,
    listed_at_seconds: f64,
    /// Some were lost, and nobody was told yet.
    were_lost: bool,
}

impl Policies {
    /// None yet; from here on those that are made are heard.
    pub fn open(asking: &Asking) -> Self {
        let listener = PolicyListener::open(asking);
        let listed_at_seconds = f64::NEG_INFINITY;
        Policies { known: Vec::new(), listener, lost: false, listed_at_seconds, were_lost: false }
    }

    /// True once after some were lost.
    pub fn take_were_lost(&mut self) -> bool {
        std::mem::take(&mut self.were_lost)
    }

    pub fn known(&self) -> &[TimeoutPolicy] {
        &self.known
    }

    /// True if any of these is new.
    pub fn learn(&mut self, policies: impl IntoIterator<Item = TimeoutPolicy>) -> bool {
        let known = self.known.len();
        for policy in policies {
            if !self.known.contains(&policy) {
                self.known.push(policy);
            }
        }
        self.known.len() > known
    }

    /// True if any was made that is not known yet, or may have been.
    pub fn hear(&mut self) -> bool {
        let heard = self.listener.as_mut().map(PolicyListener::heard).unwrap_or_default();
        self.heard(heard)
    }

    fn heard(&mut self, heard: HeardPolicies) -> bool {
        self.lost |= heard.lost;
        self.learn(heard.made) | heard.lost
    }

    /// In calm as well as before a sweep: what is heard late is lost, and what no event tells of is gone. As
    /// [`Policies::list`].
    pub fn look(&mut self, netlink: &mut Netlink, asking: &Asking, now_seconds: f64) -> Option<u32> {
        self.hear();
        if self.lost {
            return self.list(netlink, asking).unwrap_or(None);
        }
        if now_seconds - self.listed_at_seconds >= LIST_SECONDS {
            self.listed_at_seconds = now_seconds;
            if let Ok(named) = timeout_policies::of_cttimeout(netlink, asking) {
                self.learn(named.into_iter().map(|named| named.policy));
            }
        }
        None
    }

    /// Learns all that there are. Where others may have come and gone unheard, until when (in seconds since the host
    /// came up): they can have set the time left of nothing that had a packet after that.
    ///
    /// # Errors
    /// As the kernel's; then nobody knows which there are.
    pub fn list(&mut self, netlink: &mut Netlink, asking: &Asking) -> io::Result<Option<u32>> {
        self.hear();
        let lost = self.lost;
        let listed = timeout_policies::list(netlink, asking)?;
        self.learn(listed);
        self.lost = false;
        // An event that is lost while they are listed is for the next listing.
        self.hear();
        if !lost && !self.lost {
            return Ok(None);
        }
        self.were_lost = true;
        // Rounded up: what is certain is what came after it.
        Ok(Some(clock::boottime_seconds() as u32 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(seconds: u32) -> TimeoutPolicy {
        TimeoutPolicy { protocol: 6, seconds: vec![seconds] }
    }

    #[test]
    fn what_is_gone_stays_known_and_what_was_lost_is_told_until_it_is_listed() {
        let mut policies = Policies {
            known: vec![policy(1)],
            listener: None,
            lost: false,
            listed_at_seconds: 0.0,
            were_lost: false,
        };
        let made = |seconds, lost| HeardPolicies { made: vec![policy(seconds)], lost };
        assert!(!policies.heard(made(1, false)), "known");
        assert!(policies.heard(made(2, false)) && !policies.lost);
        assert!(policies.heard(made(2, true)) && policies.lost);
        assert!(!policies.heard(HeardPolicies::default()) && policies.lost, "until they are listed");
        assert_eq!(policies.known(), [policy(1), policy(2)]);
    }
}
