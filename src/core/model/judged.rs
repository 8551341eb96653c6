//! The judgement of one entry: class, certain idleness and protection.

use super::{Class, Entry, FlushSettings, GroupPlace, TCP, Timeout, Unproven, Verdict};

/// The judgement of one entry at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judged {
    /// Its protocol and state.
    pub group: GroupPlace,
    /// The timeout that it stands under.
    pub timeout: Option<Timeout>,
    /// Its class, if it is of one.
    pub class: Option<Class>,
    /// Reason for which it stays whatever happens.
    pub protected: Option<&'static str>,
    /// Its certain idleness in seconds, the least that it can be.
    pub idle_seconds: Option<u32>,
    /// `idle_seconds` is exact, within a second.
    pub exact: bool,
    /// Reason for which no more than that is certain, where something is known to be in the way.
    pub unproven: Option<Unproven>,
    /// It was given a second chance, and no packet has come since.
    pub second_chance: bool,
    /// The time that it has left in seconds, where that is told.
    pub left_seconds: Option<u32>,
    /// Its idleness in seconds by the timeouts that are known, where that is more than what is certain: which were in
    /// force before the first look nobody saw.
    pub presumed_seconds: Option<u32>,
    /// Nothing but the unknown past of its timeout keeps it from being past its floor.
    pub presumed_stale: bool,
    /// By this it is ordered among those that fair share takes: as its idleness, but what is past the emergency floor
    /// for certain is told apart by what it is presumed to be.
    pub order_seconds: Option<u32>,
    /// It may go: of a class, unprotected, idle for certain past its floor.
    pub eligible: bool,
    /// It may go at level critical alone: unprotected, idle for certain past its class's floor, but not past its own.
    pub only_critical: bool,
    /// It is gone within `grace_seconds` unless a packet comes: it was given a second chance, or has no more left.
    pub in_grace: bool,
    /// It was given a second chance, and a packet came since.
    pub spoke: bool,
    /// The protection that it has may be lifted.
    pub liftable: bool,
    /// It would be eligible, were what protects it lifted.
    pub held_by_protection: bool,
    /// Idle for certain past its own floor, whatever protects it.
    pub past_floor: bool,
}

#[cfg(test)]
impl Judged {
    /// Judgement of an entry of a class that nothing protects, idle for certain for `idle_seconds`, and past its
    /// floor.
    pub fn eligible(entry: &Entry, class: Class, idle_seconds: u32) -> Self {
        Judged {
            group: GroupPlace::of(entry),
            timeout: None,
            class: Some(class),
            protected: None,
            idle_seconds: Some(idle_seconds),
            exact: true,
            unproven: None,
            second_chance: false,
            left_seconds: entry.timeout_seconds,
            presumed_seconds: None,
            presumed_stale: false,
            order_seconds: Some(idle_seconds),
            eligible: true,
            only_critical: false,
            in_grace: false,
            spoke: false,
            liftable: false,
            held_by_protection: false,
            past_floor: true,
        }
    }
}

impl Judged {
    /// The judgement as commands print it.
    pub fn verdict(&self, entry: &Entry, settings: &FlushSettings) -> Verdict {
        Verdict {
            class: self.class,
            idle_seconds: self.idle_seconds,
            exact: self.exact,
            unproven: self.unproven,
            second_chance: self.second_chance,
            left_seconds: self.left_seconds,
            presumed_seconds: self.presumed_seconds,
            floor_seconds: self.class.map(|class| settings.floor_of_seconds(class, entry)),
            protected: self.protected,
            liftable: self.liftable,
            past_floor: self.past_floor,
            in_grace: self.in_grace,
            protocol: entry.original.protocol,
        }
    }

    /// Nothing protects it, it is of a class, and how long it has been idle is not known, or not by the timeouts that
    /// may have been in force before the first look.
    pub fn idle_is_unknown(&self) -> bool {
        let unknown = self.idle_seconds.is_none() || self.presumed_stale;
        unknown && self.class.is_some() && self.protected.is_none()
    }

    /// It may go, as far as its idleness is known: as [`Verdict::may_go`].
    pub fn may_go(&self, entry: &Entry) -> Option<bool> {
        let certain = self.idle_seconds.is_some() && self.presumed_seconds.is_none();
        let half_closed = self.class.is_none() && entry.original.protocol == TCP && self.protected.is_none();
        let doubtful = half_closed && !certain;
        (!doubtful && !self.idle_is_unknown()).then_some(self.eligible)
    }

    /// Idleness of an entry that nothing protects, past its class's floor or not: certain as far as the emergency
    /// floor, and beyond that the order in which fair share takes.
    pub fn idle_unprotected(&self) -> Option<u32> {
        self.order_seconds.filter(|_| self.protected.is_none())
    }
}
