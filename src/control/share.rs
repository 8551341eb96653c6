//! Bound on the time that the agent's threads spend for users that may not change anything.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, Sleep, sleep};

/// Rate and burst of a token bucket of time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Share {
    /// Seconds of a core that are earned in a second.
    pub per_second: f64,
    /// Seconds of a core that may be spent at once after a time without questions.
    pub burst_seconds: f64,
}

/// Time that was spent and is not earned back yet.
#[derive(Debug)]
struct Budget {
    share: Share,
    spent_seconds: f64,
    at: Instant,
}

impl Budget {
    fn new(share: Share, now: Instant) -> Self {
        Budget { share, spent_seconds: 0.0, at: now }
    }

    fn settle(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.share.per_second;
        self.spent_seconds = (self.spent_seconds - earned).max(0.0);
        self.at = self.at.max(now);
    }

    fn charge(&mut self, spent: Duration, now: Instant) {
        self.settle(now);
        self.spent_seconds += spent.as_secs_f64();
    }

    /// Returns the time until anything may be spent again; zero if it may be spent now.
    fn wait(&mut self, now: Instant) -> Duration {
        self.settle(now);
        let over = self.spent_seconds - self.share.burst_seconds;
        match over > 0.0 {
            true => Duration::from_secs_f64((over / self.share.per_second.max(1e-6)).min(3600.0)),
            false => Duration::ZERO,
        }
    }
}

/// The budget of one user, within the budget that all users share that may not change anything: many user ids get no
/// more than one.
#[derive(Clone, Debug)]
pub(super) struct Account {
    own: Arc<Mutex<Budget>>,
    all: Arc<Mutex<Budget>>,
}

fn lock(budget: &Mutex<Budget>) -> MutexGuard<'_, Budget> {
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Account {
    /// Creates the first account, with the shared budget that all later ones use.
    pub(super) fn first(own: Share, all: Share) -> Self {
        let now = Instant::now();
        let budget = |share| Arc::new(Mutex::new(Budget::new(share, now)));
        Account { own: budget(own), all: budget(all) }
    }

    /// Creates the account of another user.
    pub(super) fn of_another(&self) -> Self {
        let share = lock(&self.own).share;
        Account { own: Arc::new(Mutex::new(Budget::new(share, Instant::now()))), all: self.all.clone() }
    }

    pub(super) fn charge(&self, spent: Duration) {
        let now = Instant::now();
        lock(&self.own).charge(spent, now);
        lock(&self.all).charge(spent, now);
    }

    /// Returns the time until anything may be done for this user again; zero if it may be done now.
    pub(super) fn wait(&self) -> Duration {
        let now = Instant::now();
        lock(&self.own).wait(now).max(lock(&self.all).wait(now))
    }

    /// True once all spent time has been earned back: forgetting the account then gives nothing away.
    pub(super) fn settled(&self) -> bool {
        let mut own = lock(&self.own);
        own.settle(Instant::now());
        own.spent_seconds == 0.0
    }
}

/// Returns the CPU time of the calling thread.
pub(super) fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap_or(TimeSpec::new(0, 0)).into()
}

/// Runs a future and charges the CPU time of each poll to an account. While the account is overdrawn the future is not
/// polled, for [`Metered::LONGEST`] at most: then it can send its client a refusal.
pub(super) struct Metered<F> {
    work: Pin<Box<F>>,
    account: Account,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Metered<F> {
    /// Longest delay; shorter than any client waits for one answer.
    const LONGEST: Duration = Duration::from_secs(2);

    pub(super) fn new(account: Account, work: F) -> Self {
        Metered { work: Box::pin(work), account, pause: None }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match &mut self.pause {
            Some(pause) => ready!(pause.as_mut().poll(context)),
            None => {
                let wait = self.account.wait().min(Self::LONGEST);
                if !wait.is_zero() {
                    let mut pause = Box::pin(sleep(wait));
                    // The first poll of the timer makes its end wake this task.
                    let over = pause.as_mut().poll(context).is_ready();
                    self.pause = Some(pause);
                    if !over {
                        return Poll::Pending;
                    }
                }
            }
        }
        self.pause = None;
        let before = thread_time();
        let done = self.work.as_mut().poll(context);
        self.account.charge(thread_time().saturating_sub(before));
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share { per_second: 0.1, burst_seconds: 0.5 };

    #[test]
    fn what_is_spent_over_the_burst_is_waited_for_until_it_is_earned() {
        let began = Instant::now();
        let at = |seconds: f64| began + Duration::from_secs_f64(seconds);
        let mut budget = Budget::new(SHARE, began);
        budget.charge(Duration::from_millis(500), began);
        assert_eq!(budget.wait(began), Duration::ZERO, "the burst");
        budget.charge(Duration::from_millis(100), began);
        assert!((budget.wait(began).as_secs_f64() - 1.0).abs() < 1e-6);
        assert!((budget.wait(at(0.4)).as_secs_f64() - 0.6).abs() < 1e-6);
        assert_eq!(budget.wait(at(1.01)), Duration::ZERO);
        // Time that is read out of order is not earned twice.
        assert_eq!(budget.wait(began), Duration::ZERO);
        budget.settle(at(1e6));
        assert_eq!(budget.spent_seconds, 0.0, "nothing is saved up");
    }

    #[test]
    fn however_questions_come_no_more_is_spent_than_burst_and_share() {
        let began = Instant::now();
        let mut budget = Budget::new(SHARE, began);
        let (mut now, mut spent) = (0.0, 0.0);
        while now < 100.0 {
            let at = began + Duration::from_secs_f64(now);
            let wait = budget.wait(at);
            if wait.is_zero() {
                // Each call takes up to 10 ms.
                let work = 0.001 * f64::from(1 + (spent * 1000.0) as u32 % 10);
                budget.charge(Duration::from_secs_f64(work), at);
                spent += work;
                now += work;
            } else {
                now += wait.as_secs_f64();
            }
        }
        assert!(spent <= 0.5 + 0.1 * 100.0 + 0.02, "{spent}");
        assert!(spent >= 0.1 * 100.0, "{spent}: all of the share can be had");
    }

    #[test]
    fn many_users_get_no_more_than_all_may_have() {
        let first = Account::first(SHARE, Share { per_second: 0.2, burst_seconds: 1.0 });
        let others: Vec<Account> = (0..3).map(|_| first.of_another()).collect();
        for account in &others {
            account.charge(Duration::from_millis(400));
        }
        assert!(!first.wait().is_zero(), "1.2 s were spent, 1 s may be");
        assert!(first.settled() && !others[0].settled());
    }
}
