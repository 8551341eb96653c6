//! Are the counts still the table's? Asked every tick against `nf_conntrack_count`, answered for a subtraction.
//!
//! The kernel's count includes what no event tells of yet (unconfirmed, queued), so equality under churn cannot be
//! asked for: in doubt is a difference beyond what is in flight plus 0.1 % that stays for three ticks and does not
//! shrink. Where nothing is in flight, any difference that stays is one.

/// Figures of one tick of the audit.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Entries as the kernel counts them, `nf_conntrack_count`.
    pub count: u64,
    /// The ledger's sum at the same moment.
    pub sum: u64,
    /// Events since the last tick.
    pub events: u64,
    /// Events were lost, or could not be read, since the last tick.
    pub lost: bool,
    /// Events are waiting: the ledger lags, and the difference says nothing.
    pub behind: bool,
    /// Any clock that only goes forward, in seconds.
    pub now_seconds: f64,
}

/// Result of one tick of the audit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The counts are the table's.
    Fine,
    /// In doubt, and a dump has to wait its turn.
    Doubt,
    /// In doubt: dump again, now.
    Resync,
}

/// The memory of the audit.
#[derive(Clone, Debug)]
pub struct Audit {
    synced: bool,
    /// A difference that a dump did not remove: entries that no dump shows (unconfirmed, in a queue).
    residual: i64,
    last: i64,
    ticks: u32,
    asked_for: Option<i64>,
    resyncing: bool,
    not_before_seconds: f64,
}

impl Default for Audit {
    fn default() -> Self {
        let not_before_seconds = f64::NEG_INFINITY;
        Audit {
            synced: false,
            residual: 0,
            last: 0,
            ticks: 0,
            asked_for: None,
            resyncing: false,
            not_before_seconds,
        }
    }
}

impl Audit {
    const LASTING_TICKS: u32 = 3;

    /// The counts can be relied on.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Looks once. After [`Finding::Resync`], [`Audit::resynced`] or [`Audit::failed`] must follow.
    pub fn look(&mut self, look: Look) -> Finding {
        let difference = look.count as i64 - look.sum as i64 - self.residual;
        if look.lost {
            self.synced = false;
        } else if !look.behind {
            let tolerated = if look.events == 0 { 0 } else { look.events + look.count / 1000 };
            if difference.unsigned_abs() <= tolerated {
                // The last dump did its work: the same difference another time is another difference.
                self.asked_for = None;
            }
            let shrinks = difference.abs() < self.last.abs() || difference.signum() != self.last.signum();
            let lasting = difference.unsigned_abs() > tolerated && (self.ticks == 0 || !shrinks);
            self.ticks = if lasting { self.ticks + 1 } else { 0 };
            self.last = difference;
            if self.ticks >= Self::LASTING_TICKS && self.synced {
                if self.asked_for == Some(difference) {
                    // The last dump was for this very difference and did not remove it.
                    self.residual += difference;
                    self.ticks = 0;
                    self.asked_for = None;
                } else {
                    self.asked_for = Some(difference);
                    self.synced = false;
                }
            }
        }
        if self.synced {
            return Finding::Fine;
        }
        if self.resyncing || look.now_seconds < self.not_before_seconds {
            return Finding::Doubt;
        }
        self.resyncing = true;
        Finding::Resync
    }

    /// True if this very moment shows a difference that is not in flight: for answers, which need not wait three ticks
    /// to say that they may be wrong.
    pub fn doubtful(&self, count: u64, sum: u64, in_flight: u64) -> bool {
        let difference = count as i64 - sum as i64 - self.residual;
        let tolerated = if in_flight == 0 { 0 } else { in_flight + count / 1000 };
        difference.unsigned_abs() > tolerated
    }

    /// True if this very moment shows no difference at all. Where entries begin without an event (`ct event set`
    /// without `new`), the tolerance for what is in flight would hide some hundred of a million for as long as others
    /// come and go.
    pub fn exact(&self, count: u64, sum: u64) -> bool {
        count as i64 - sum as i64 == self.residual
    }

    /// A dump was adopted. The next one for a mere difference waits 30 times as long as this one took (a table in
    /// which old entries end in silence all the time costs 3 % of a core at most), for lost events 4 times.
    pub fn resynced(&mut self, now_seconds: f64, duration_seconds: f64) {
        self.synced = true;
        self.resyncing = false;
        self.ticks = 0;
        self.last = 0;
        self.residual = 0;
        self.not_before_seconds = now_seconds + (30.0 * duration_seconds).clamp(1.0, 60.0);
    }

    /// Takes the kernel's count and the sum right after a dump was adopted: a difference that the dump removed is no
    /// longer asked for, though another of the same size comes before the next tick.
    pub fn removed(&mut self, count: u64, sum: u64, in_flight: u64) {
        if !self.doubtful(count, sum, in_flight) {
            self.asked_for = None;
        }
    }

    /// The counts are not to be relied on until the next dump, for a reason that the count does not show: the kernel
    /// told of no events for a while, or does not answer.
    pub fn doubt(&mut self) {
        self.synced = false;
    }

    /// Events were lost: the wait is shorter, for the doubt is certain.
    pub fn hurry(&mut self, now_seconds: f64, duration_seconds: f64) {
        let soon = now_seconds + (4.0 * duration_seconds).clamp(0.25, 10.0);
        self.not_before_seconds = self.not_before_seconds.min(soon);
    }

    /// The dump came to nothing: another may be tried, a little later.
    pub fn failed(&mut self, now_seconds: f64, duration_seconds: f64) {
        self.resyncing = false;
        self.synced = false;
        self.not_before_seconds = now_seconds + (4.0 * duration_seconds).clamp(0.25, 10.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced() -> Audit {
        let mut audit = Audit::default();
        assert_eq!(audit.look(look(5, 0, 0, 0.0)), Finding::Resync);
        audit.resynced(0.0, 0.0);
        audit
    }

    fn look(count: u64, sum: u64, events: u64, now_seconds: f64) -> Look {
        Look { count, sum, events, lost: false, behind: false, now_seconds }
    }

    #[test]
    fn a_difference_that_stays_in_quiet_is_doubt_after_three_ticks() {
        let mut audit = synced();
        assert_eq!(audit.look(look(100, 101, 0, 9.0)), Finding::Fine);
        assert_eq!(audit.look(look(100, 101, 0, 9.2)), Finding::Fine);
        assert_eq!(audit.look(look(100, 101, 0, 9.5)), Finding::Resync);
        assert!(!audit.synced());
        assert_eq!(audit.look(look(100, 101, 0, 9.7)), Finding::Doubt, "one dump at a time");
    }

    #[test]
    fn churn_and_shrinking_differences_are_no_doubt() {
        let mut audit = synced();
        for tick in 0..50 {
            assert_eq!(audit.look(look(10_000, 10_400, 500, 9.0 + f64::from(tick))), Finding::Fine);
        }
        for (tick, sum) in [300, 250, 200, 150, 101].into_iter().enumerate() {
            assert_eq!(audit.look(look(100, sum, 0, 90.0 + tick as f64)), Finding::Fine);
        }
    }

    #[test]
    fn lost_events_are_doubt_at_once_but_dumps_are_bounded_in_rate() {
        let mut audit = synced();
        audit.resynced(10.0, 1.0);
        let lost = Look { lost: true, ..look(100, 100, 9, 10.1) };
        assert_eq!(audit.look(lost), Finding::Doubt);
        assert!(!audit.synced());
        audit.hurry(10.1, 1.0);
        assert_eq!(audit.look(look(100, 100, 0, 13.9)), Finding::Doubt);
        assert_eq!(audit.look(look(100, 100, 0, 14.2)), Finding::Resync);
    }

    #[test]
    fn what_the_count_does_not_show_is_doubt_until_a_dump() {
        let mut audit = synced();
        audit.doubt();
        assert!(!audit.synced());
        assert_eq!(audit.look(look(100, 100, 0, 9.0)), Finding::Resync, "though the sums are alike");
        audit.resynced(9.0, 0.0);
        assert_eq!(audit.look(look(100, 100, 0, 9.2)), Finding::Fine);
    }

    #[test]
    fn a_difference_that_no_dump_removes_is_asked_for_once() {
        let mut audit = synced();
        let mut dumps = 0;
        for tick in 0..400 {
            let now = 100.0 + f64::from(tick);
            if audit.look(look(103, 100, 0, now)) == Finding::Resync {
                dumps += 1;
                audit.resynced(now, 0.0);
            }
        }
        assert_eq!(dumps, 1);
        assert!(audit.synced());
    }

    #[test]
    fn the_same_difference_before_the_next_tick_is_asked_for_again() {
        let mut audit = synced();
        let mut dumps = 0;
        for tick in 0..100u32 {
            let now = 100.0 + f64::from(tick);
            // After each of two dumps, and before the next look, as many end in silence as did before.
            let (count, sum) = (9000 - 1000 * dumps.min(2), 10_000 - 1000 * dumps.min(3));
            if audit.look(look(count, sum, 0, now)) == Finding::Resync {
                dumps += 1;
                audit.resynced(now, 0.0);
                audit.removed(count, count, 0);
            }
        }
        assert_eq!(dumps, 3);
    }

    #[test]
    fn the_same_difference_another_time_is_asked_for_again() {
        let mut audit = synced();
        let mut dumps = 0;
        let mut sum = 9000;
        for tick in 0..400u32 {
            let now = 100.0 + f64::from(tick);
            let count = 9000 - 1000 * u64::from(tick / 50);
            if audit.look(look(count, sum, 0, now)) == Finding::Resync {
                dumps += 1;
                sum = count;
                audit.resynced(now, 0.0);
            }
        }
        assert_eq!((dumps, sum), (7, 2000));
    }

    #[test]
    fn a_ledger_that_lags_behind_its_queue_is_not_judged() {
        let mut audit = synced();
        for tick in 0..10 {
            let behind = Look { behind: true, ..look(90_000, 10_000, 64, 50.0 + f64::from(tick)) };
            assert_eq!(audit.look(behind), Finding::Fine);
        }
    }
}
