//! Connections at once, by user: their number, and what each user may still have done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::server::Limits;
use super::share::Account;

/// The user at the other end of a connection (SO_PEERCRED: as of its connect()).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) pid: Option<u32>,
    pub(super) may_change: bool,
}

/// `DEFAULT_OVERFLOWUID`: what every user without a mapping looks like from inside a user namespace.
const OVERFLOW_UID: u32 = 65534;

impl Peer {
    /// uid 0 may, and so may the agent's own user: who can be that user can stop the agent anyway. Not where that
    /// uid is the one that strangers share.
    pub(super) fn new(uid: u32, own_uid: u32) -> Self {
        Peer { uid, pid: None, may_change: uid == 0 || (uid == own_uid && uid != OVERFLOW_UID) }
    }

    /// The same, of a process.
    pub(super) fn with_pid(self, pid: Option<i32>) -> Self {
        Peer { pid: pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0), ..self }
    }
}

/// Everyone who is connected, or was a moment ago.
pub(super) struct Guests {
    limits: Limits,
    seated: Arc<Mutex<HashMap<u32, Guest>>>,
    /// Its budget for all users together is that of every account.
    accounts: Account,
}

struct Guest {
    connections: usize,
    paged: Arc<Semaphore>,
    account: Option<Account>,
}

/// A connection's place, free again when dropped.
pub(super) struct Seat {
    uid: u32,
    pub(super) paged: Arc<Semaphore>,
    /// Where what it costs is charged; `None` for those who may change things.
    pub(super) account: Option<Account>,
    seated: Arc<Mutex<HashMap<u32, Guest>>>,
}

fn lock(seated: &Mutex<HashMap<u32, Guest>>) -> MutexGuard<'_, HashMap<u32, Guest>> {
    seated.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guests {
    pub(super) fn new(limits: Limits) -> Self {
        let accounts = Account::first(limits.share_per_uid, limits.share_of_all);
        Guests { limits, seated: Arc::default(), accounts }
    }

    /// A place for one more connection of this user, if there is one.
    pub(super) fn seat(&self, peer: Peer) -> Option<Seat> {
        let mut seated = lock(&self.seated);
        // A user that has left is known for as long as it has not earned back what it spent: a new connection is no new
        // budget.
        let owes = |guest: &Guest| guest.account.as_ref().is_some_and(|account| !account.settled());
        seated.retain(|_, guest| guest.connections > 0 || owes(guest));
        let all: usize = seated.values().map(|guest| guest.connections).sum();
        let own = seated.get(&peer.uid).map_or(0, |guest| guest.connections);
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
        let guest = seated.entry(peer.uid).or_insert_with(|| Guest {
            connections: 0,
            paged: Arc::new(Semaphore::new(limits.paged_per_uid)),
            account: (!peer.may_change).then(|| self.accounts.of_another()),
        });
        guest.connections += 1;
        Some(Seat {
            uid: peer.uid,
            paged: guest.paged.clone(),
            account: guest.account.clone(),
            seated: self.seated.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seated = lock(&self.seated);
        if let Some(guest) = seated.get_mut(&self.uid) {
            // What this connection cost in the end is charged after this: see `seat` for when a user is forgotten.
            guest.connections -= 1;
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
        let guests = Guests::new(limits);
        let seat = |uid| guests.seat(Peer::new(uid, 0));
        let mut held: Vec<Seat> = (0..3).filter_map(|_| seat(1000)).collect();
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
        assert_eq!(lock(&guests.seated).len(), 1, "nothing is kept of who has left");
    }

    #[test]
    fn a_user_that_comes_back_has_no_new_budget() {
        let guests = Guests::new(Limits::default());
        let seat = |uid| guests.seat(Peer::new(uid, 0)).expect("a place");
        let account = seat(1000).account.clone().expect("an account");
        account.charge(Duration::from_secs(2));
        let back = seat(1000).account.clone().expect("an account");
        assert!(!back.wait().is_zero());
        assert!(seat(0).account.is_none(), "root has what it wants");
    }
}
