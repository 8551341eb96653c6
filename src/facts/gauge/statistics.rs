//! The table's statistics, which ctnetlink tells and which the rest can do without.

use std::io;

use crate::core::model::Drops;
use crate::error::Result;
use crate::linux::ctnetlink::Ctnetlink;
use crate::linux::socket::{Netlink, explain};
use crate::linux::table;

/// The last statistics, and why there are no newer ones.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    last: Drops,
    trouble: Option<String>,
    failed: i32,
    not_before_seconds: f64,
}

impl Statistics {
    /// Longest time before the kernel is asked again after it gave no answer: each question may make it look for a
    /// module.
    const LONGEST_SECONDS: f64 = 10.0;

    /// Of now, or those of the last answer where ctnetlink is away.
    ///
    /// # Errors
    /// Exit 3 where this user may not ask.
    pub(super) fn look(&mut self, netlink: &mut Netlink, now_seconds: f64) -> Result<Drops> {
        if self.waits(now_seconds, Ctnetlink::default().is_loaded()) {
            return Ok(self.last);
        }
        let told = table::drops(netlink);
        self.heed(told, now_seconds)
    }

    /// Reason for which ctnetlink gave no answer the last time, if it gave none.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    fn waits(&self, now_seconds: f64, loaded: bool) -> bool {
        self.trouble.is_some() && !loaded && now_seconds < self.not_before_seconds
    }

    fn heed(&mut self, told: io::Result<Drops>, now_seconds: f64) -> Result<Drops> {
        match told {
            Ok(drops) => {
                (self.last, self.trouble, self.failed) = (drops, None, 0);
                Ok(drops)
            }
            Err(error) => {
                let explained = explain("conntrack statistics", &error);
                if error.kind() == io::ErrorKind::PermissionDenied {
                    return Err(explained);
                }
                let hint = explained.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
                self.trouble = Some(format!("ctnetlink does not answer: {}{hint}", explained.why));
                self.failed += 1;
                let pause = Self::LONGEST_SECONDS.min(f64::powi(2.0, self.failed.min(8) - 1));
                self.not_before_seconds = now_seconds + pause;
                Ok(self.last)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nfnetlink answers for a subsystem that is not there.
    const EINVAL: i32 = 22;
    const EPERM: i32 = 1;

    fn away() -> io::Result<Drops> {
        Err(io::Error::from_raw_os_error(EINVAL))
    }

    #[test]
    fn without_ctnetlink_the_last_answer_stays_and_the_reason_is_told() {
        let mut statistics = Statistics::default();
        let drops = Drops { drop: 7, ..Drops::default() };
        assert_eq!(statistics.heed(Ok(drops), 0.0), Ok(drops));
        assert_eq!(statistics.trouble(), None);
        assert_eq!(statistics.heed(away(), 1.0), Ok(drops));
        let why = statistics.trouble().expect("a reason");
        assert!(why.contains("nf_conntrack_netlink"), "{why}");
        assert_eq!(statistics.heed(Ok(drops), 2.0), Ok(drops));
        assert_eq!(statistics.trouble(), None, "the first answer ends it");
    }

    #[test]
    fn what_does_not_answer_is_asked_again_ever_more_rarely_but_at_once_when_it_is_loaded() {
        let mut statistics = Statistics::default();
        let (mut asked, mut now) = (0, 0.0);
        while now < 60.0 {
            if !statistics.waits(now, false) {
                asked += 1;
                let _ = statistics.heed(away(), now);
            }
            now += 0.25;
        }
        assert!((8..=10).contains(&asked), "{asked} times in a minute");
        assert!(!statistics.waits(now, true));
    }

    #[test]
    fn who_may_not_ask_is_told() {
        let refused = Statistics::default().heed(Err(io::Error::from_raw_os_error(EPERM)), 0.0);
        assert!(refused.is_err_and(|error| error.hint.is_some()));
    }
}
