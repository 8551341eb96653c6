//! Open connections by user: their number, and the time that the agent may still spend for each user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::limits::Limits;
use super::share::Account;

/// The user at the other end of a connection (SO_PEERCRED: as of its connect()).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) pid: Option<u32>,
    pub(super) may_change: bool,
}

/// The kernel's `DEFAULT_OVERFLOWUID`: uid that every user without a mapping has inside a user namespace.
const OVERFLOW_UID: u32 = 65534;

impl Peer {
    /// Builds a peer. It may change things if it is uid 0 or the agent's own user, for that user can stop the agent
    /// anyway. The overflow uid may not, because strangers share it.
    pub(super) fn new(uid: u32, own_uid: u32) -> Self {
        Peer { uid, pid: None, may_change: uid == 0 || (uid == own_uid && uid != OVERFLOW_UID) }
    }

    /// Adds the process id; 0 means that the process is in another pid namespace.
    pub(super) fn with_pid(self, pid: Option<i32>) -> Self {
        Peer { pid: pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0), ..self }
    }
}

/// Users that have connections, or that had some a moment ago.
pub(super) struct ConnectionLimiter {
    limits: Limits,
    users: Arc<Mutex<HashMap<u32, User>>>,
    /// Account whose budget for all users together every other account shares.
    accounts: Account,
}

struct User {
    connections: usize,
    paged: Arc<Semaphore>,
    account: Option<Account>,
}

/// The permit of one connection; it is given back when dropped.
pub(super) struct ConnectionPermit {
    uid: u32,
    pub(super) paged: Arc<Semaphore>,
    /// Account that the connection's time is charged to; `None` for users that may change things.
    pub(super) account: Option<Account>,
    users: Arc<Mutex<HashMap<u32, User>>>,
}

fn lock(users: &Mutex<HashMap<u32, User>>) -> MutexGuard<'_, HashMap<u32, User>> {
    users.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConnectionLimiter {
    pub(super) fn new(limits: Limits) -> Self {
        let accounts = Account::first(limits.share_per_uid, limits.share_of_all);
        ConnectionLimiter { limits, users: Arc::default(), accounts }
    }

    /// Admits one more connection of this user, if the limits allow it.
    pub(super) fn admit(&self, peer: Peer) -> Option<ConnectionPermit> {
        let mut users = lock(&self.users);
        // A user that has left is remembered until its account has recovered: a new connection is no new budget.
        let unsettled = |user: &User| user.account.as_ref().is_some_and(|account| !account.settled());
        users.retain(|_, user| user.connections > 0 || unsettled(user));
        let all: usize = users.values().map(|user| user.connections).sum();
        let own = users.get(&peer.uid).map_or(0, |user| user.connections);
        let limits = &self.limits;
        let free = match peer.may_change {
            true => all < limits.connections,
            false => {
                all < limits.connections.saturating_sub(limits.connections_kept)
                    && own < limits.connections_per_uid
            }
        };
        if !free {
            return None;
        }
        let user = users.entry(peer.uid).or_insert_with(|| User {
            connections: 0,
            paged: Arc::new(Semaphore::new(limits.paged_per_uid)),
            account: (!peer.may_change).then(|| self.accounts.of_another()),
        });
        user.connections += 1;
        Some(ConnectionPermit {
            uid: peer.uid,
            paged: user.paged.clone(),
            account: user.account.clone(),
            users: self.users.clone(),
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut users = lock(&self.users);
        if let Some(user) = users.get_mut(&self.uid) {
            // The last time of this connection is charged after this; `admit` removes the user later.
            user.connections -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_may_change() {
        assert!(Peer::new(0, 0).may_change);
        assert!(Peer::new(0, 900).may_change);
        assert!(Peer::new(900, 900).may_change);
        assert!(!Peer::new(1000, 0).may_change);
        assert!(!Peer::new(1000, 900).may_change);
        assert!(!Peer::new(OVERFLOW_UID, OVERFLOW_UID).may_change);
    }

    #[test]
    fn seats_are_bounded_by_user_and_kept_for_root() {
        let limits =
            Limits { connections: 6, connections_kept: 2, connections_per_uid: 3, ..Limits::default() };
        let limiter = ConnectionLimiter::new(limits);
        let seat = |uid| limiter.admit(Peer::new(uid, 0));
        let mut held: Vec<ConnectionPermit> = (0..3).filter_map(|_| seat(1000)).collect();
        assert_eq!(held.len(), 3);
        assert!(seat(1000).is_none(), "a user has three");
        held.extend(seat(1001));
        assert_eq!(held.len(), 4);
        assert!(seat(1002).is_none(), "the last two are root's");
        held.extend([seat(0), seat(0)].into_iter().flatten());
        assert_eq!(held.len(), 6);
        assert!(seat(0).is_none(), "all are taken");
        held.clear();
        held.extend(seat(1003));
        assert_eq!(lock(&limiter.users).len(), 1, "nothing is kept of who has left");
    }

    #[test]
    fn a_user_that_comes_back_has_no_new_budget() {
        let limiter = ConnectionLimiter::new(Limits::default());
        let seat = |uid| limiter.admit(Peer::new(uid, 0)).expect("a place");
        let account = seat(1000).account.clone().expect("an account");
        account.charge(Duration::from_secs(2));
        let back = seat(1000).account.clone().expect("an account");
        assert!(!back.wait().is_zero());
        assert!(seat(0).account.is_none(), "root has what it wants");
    }
}
