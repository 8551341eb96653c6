//! Verdicts of the policy on single entries, with their reasons, as `list`, `flush` and the live view tell them.

use std::fmt;

use super::class::Class;
use super::tuple::TCP;
use super::unproven::Unproven;

/// Verdict on an entry: whether it could be given up under pressure, and the facts for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Its class, if it is of one.
    pub class: Option<Class>,
    /// Its idleness as far as it is certain, the least that it can be.
    pub idle_seconds: Option<u32>,
    /// `idle_seconds` is exact, within a second.
    pub exact: bool,
    /// Reason for which no more than that is certain, where something is known to be in the way.
    pub unproven: Option<Unproven>,
    /// It was given a second chance, and no packet has come since.
    pub second_chance: bool,
    /// The time that it has left, where that is told.
    pub left_seconds: Option<u32>,
    /// Its idleness by the timeouts that are known, where that is more than what is certain: which were in force before
    /// they were first looked at nobody saw.
    pub presumed_seconds: Option<u32>,
    /// Seconds for which entries of its class have to be idle.
    pub floor_seconds: Option<u32>,
    /// Reason for which it stays whatever happens.
    pub protected: Option<&'static str>,
    /// Configuration alone protects it: at critical it may go, as far as more than `max_percent` of the table is under
    /// such protection.
    pub liftable: bool,
    /// Idle for certain past its floor, protected or not.
    pub past_floor: bool,
    /// It ends by itself within the grace unless a packet comes.
    pub in_grace: bool,
    /// Its IP protocol.
    pub protocol: u8,
}

impl Verdict {
    /// It goes, once there is pressure: of a class, idle for certain past its floor, and nothing protects it.
    pub fn eligible(&self) -> bool {
        self.past_floor && self.protected.is_none()
    }

    /// It would be past its floor, were it known which timeouts were in force before they were first looked at.
    pub fn presumed_stale(&self) -> bool {
        let presumed = self.presumed_seconds.zip(self.floor_seconds);
        !self.past_floor && self.protected.is_none() && presumed.is_some_and(|(idle, floor)| idle >= floor)
    }

    /// Nothing protects it, it is of a class, and how long it has been idle is not known, or not by the timeouts that
    /// may have been in force before the first look.
    pub fn idle_is_unknown(&self) -> bool {
        let unknown = self.idle_seconds.is_none() || self.presumed_stale();
        unknown && self.class.is_some() && self.protected.is_none()
    }

    /// It may go, as far as its idleness is known. TCP of no class may never go; where it is not known whether it is
    /// idle, or that is only presumed, that is not said of it, for it may fill a table and a flush by hand takes it.
    pub fn may_go(&self) -> Option<bool> {
        let certain = self.idle_seconds.is_some() && self.presumed_seconds.is_none();
        let doubtful = self.class.is_none() && self.protocol == TCP && self.protected.is_none() && !certain;
        (!doubtful && !self.idle_is_unknown()).then_some(self.eligible())
    }

    /// Its idleness, where it is known exactly.
    pub fn exact_seconds(&self) -> Option<u32> {
        self.idle_seconds.filter(|_| self.exact)
    }

    /// Its idleness by all that is known, certain or not, to find entries by and not to delete by.
    pub fn likely_seconds(&self) -> Option<u32> {
        self.presumed_seconds.max(self.idle_seconds)
    }

    /// True if `flush --stale` takes it: it is eligible, and does not end by itself anyway.
    pub fn stale(&self) -> bool {
        self.eligible() && !self.in_grace
    }
}

/// `may go: …` or `stays: …`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = self.protected {
            let up_to = if self.liftable && self.past_floor { ", up to max_percent at critical" } else { "" };
            return write!(f, "stays: {reason}{up_to}");
        }
        let (Some(_), Some(floor)) = (self.class, self.floor_seconds) else {
            let what = if self.protocol == TCP { "TCP in this state" } else { "this" };
            return write!(f, "stays: {what} is never given up");
        };
        if self.second_chance || self.in_grace {
            return write!(f, "stays: {}", Ending(self));
        }
        if let Some(presumed) = self.presumed_seconds.filter(|_| self.presumed_stale()) {
            let presumed = ShortDuration::rough(presumed);
            return write!(
                f,
                "stays: idle for {presumed} only if its timeout was never set before ctctl looked"
            );
        }
        let floor = ShortDuration(floor);
        match (self.idle_seconds, self.unproven) {
            (None, None) => write!(f, "stays: nobody can tell for how long it has been idle"),
            (None, Some(why)) => {
                write!(f, "stays: nobody can tell for how long it has been idle ({})", why.text())
            }
            (Some(_), _) if !self.past_floor && self.exact => write!(f, "stays: idle for less than {floor}"),
            (Some(_), _) if !self.past_floor => write!(f, "stays: not idle for {floor} for certain"),
            (Some(_), _) => write!(f, "may go: idle for {floor} or longer"),
        }
    }
}

/// That an entry ends by itself, and when.
pub struct Ending<'a>(pub &'a Verdict);

/// `second chance, gone in 45s unless a packet comes`.
impl fmt::Display for Ending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chance = if self.0.second_chance { "second chance, " } else { "" };
        match self.0.left_seconds {
            Some(left) => write!(f, "{chance}gone in {} unless a packet comes", ShortDuration(left)),
            None => write!(f, "{chance}gone in moments unless a packet comes"),
        }
    }
}

/// An idleness as text: `4m14s`, `>=4m14s` where it may be longer, `-` where nothing is certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdleText {
    /// The least that it can be.
    pub seconds: Option<u32>,
    /// The idleness is exact, and not only the least that it can be.
    pub exact: bool,
}

impl From<&Verdict> for IdleText {
    fn from(verdict: &Verdict) -> Self {
        IdleText { seconds: verdict.idle_seconds, exact: verdict.exact }
    }
}

impl fmt::Display for IdleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            None => f.pad("-"),
            Some(seconds) if self.exact => ShortDuration::rough(seconds).fmt(f),
            Some(seconds) => f.pad(&format!(">={}", ShortDuration::rough(seconds))),
        }
    }
}

/// Seconds as filters write them: `90s` is `1m30s`, exact, without spaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShortDuration(pub u32);

impl ShortDuration {
    const UNITS: [(u32, char); 4] = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];

    /// Without what two units cannot say.
    pub fn rough(seconds: u32) -> Self {
        let first = Self::UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(3);
        let (second, _) = Self::UNITS[(first + 1).min(3)];
        ShortDuration(seconds / second * second)
    }
}

impl fmt::Display for ShortDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let (mut rest, mut text) = (self.0, String::new());
        for (unit, letter) in Self::UNITS {
            if rest >= unit {
                write!(text, "{}{letter}", rest / unit)?;
                rest %= unit;
            }
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_silence_that_is_only_presumed_nobody_knows_whether_it_is_idle() {
        let half_closed = Verdict { protocol: TCP, idle_seconds: Some(900), ..Verdict::default() };
        assert_eq!(half_closed.may_go(), Some(false));
        let presumed = Verdict { idle_seconds: Some(22), presumed_seconds: Some(900), ..half_closed };
        let unknown = Verdict { idle_seconds: None, ..half_closed };
        assert_eq!((presumed.may_go(), unknown.may_go()), (None, None));
        let protected = Verdict { protected: Some("[protect] sources"), ..presumed };
        assert_eq!(protected.may_go(), Some(false));
        assert_eq!(Verdict { protocol: 47, ..unknown }.may_go(), Some(false));
    }

    #[test]
    fn durations_are_those_that_filters_take() {
        for (seconds, exact, rough) in [
            (0, "0s", "0s"),
            (59, "59s", "59s"),
            (7440, "2h4m", "2h4m"),
            (7441, "2h4m1s", "2h4m"),
            (431_999, "4d23h59m59s", "4d23h"),
            (86_401, "1d1s", "1d"),
        ] {
            assert_eq!(ShortDuration(seconds).to_string(), exact);
            assert_eq!(ShortDuration::rough(seconds).to_string(), rough);
        }
    }

    #[test]
    fn the_least_that_it_can_be_is_not_said_to_be_all() {
        let text = |seconds, exact| IdleText { seconds, exact }.to_string();
        assert_eq!(text(Some(254), true), "4m14s");
        assert_eq!(text(Some(254), false), ">=4m14s");
        assert_eq!(
            (text(None, false), format!("{:>4}", IdleText { seconds: None, exact: true })),
            ("-".into(), "   -".into())
        );
    }

    #[test]
    fn every_verdict_says_its_reason() {
        let class = Some(Class::Established);
        let stale = Verdict {
            class,
            idle_seconds: Some(8000),
            exact: true,
            left_seconds: Some(45),
            floor_seconds: Some(7440),
            past_floor: true,
            ..Verdict::default()
        };
        let said = |verdict: Verdict| (verdict.stale(), verdict.to_string());
        assert_eq!(said(stale), (true, "may go: idle for 2h4m or longer".into()));
        let grace = Verdict { in_grace: true, ..stale };
        assert_eq!(said(grace), (false, "stays: gone in 45s unless a packet comes".into()));
        // However short the idleness is that is certain of it.
        let chance = Verdict { second_chance: true, idle_seconds: Some(254), past_floor: false, ..grace };
        assert_eq!(said(chance), (false, "stays: second chance, gone in 45s unless a packet comes".into()));
        let protected = Verdict { protected: Some("a helper is attached"), ..stale };
        assert_eq!(said(protected), (false, "stays: a helper is attached".into()));
        let by_hand = Verdict { protected: Some("[protect] sources"), liftable: true, ..stale };
        assert_eq!(said(by_hand), (false, "stays: [protect] sources, up to max_percent at critical".into()));
        let fresh = Verdict { past_floor: false, ..by_hand };
        assert_eq!(said(fresh), (false, "stays: [protect] sources".into()));
        let young = Verdict { idle_seconds: Some(9), past_floor: false, ..stale };
        assert_eq!(said(young), (false, "stays: idle for less than 2h4m".into()));
        let unknown = Verdict { idle_seconds: None, past_floor: false, ..stale };
        assert_eq!(said(unknown), (false, "stays: nobody can tell for how long it has been idle".into()));
        let least = Verdict { exact: false, ..young };
        assert_eq!(said(least), (false, "stays: not idle for 2h4m for certain".into()));
        let why = Verdict { unproven: Some(Unproven::Foreign), ..unknown };
        let because = "stays: nobody can tell for how long it has been idle (another program wrote the time that is left)";
        assert_eq!(said(why), (false, because.into()));
        let doubtful = Verdict { presumed_seconds: Some(90_000), ..unknown };
        let only = "stays: idle for 1d1h only if its timeout was never set before ctctl looked";
        assert_eq!(said(doubtful), (false, only.into()));
        assert_eq!(said(Verdict { presumed_seconds: Some(60), ..young }).1, "stays: idle for less than 2h4m");
        let half = Verdict { protocol: TCP, ..Verdict::default() };
        assert_eq!(said(half), (false, "stays: TCP in this state is never given up".into()));
    }
}
