//! The possible ends of one packet in the chains of a filter, as far as the rules alone tell: it may be accepted,
//! dropped or passed on. A condition on a fact that is not known of the packet (its source, its interface) makes both
//! ways possible.

use std::collections::BTreeMap;

use super::obstacles::Way;

/// Result of a condition for the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holds {
    Yes,
    No,
    Unknown,
}

impl Holds {
    pub(super) fn from_bool(known: bool) -> Holds {
        if known { Holds::Yes } else { Holds::No }
    }

    pub(super) fn and(self, other: Holds) -> Holds {
        match (self, other) {
            (Holds::No, _) | (_, Holds::No) => Holds::No,
            (Holds::Yes, Holds::Yes) => Holds::Yes,
            _ => Holds::Unknown,
        }
    }

    /// Returns the opposite if the rule negates the condition (`!`).
    pub(super) fn negated(self, negated: bool) -> Holds {
        match (self, negated) {
            (Holds::Yes, true) => Holds::No,
            (Holds::No, true) => Holds::Yes,
            (holds, _) => holds,
        }
    }
}

/// Facts that are known of the packet.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// Protocol, `tcp` or `udp`.
    pub(super) protocol: &'static str,
    /// Fields of its header that hold the port: `dport`, `sport`.
    pub(super) fields: &'static [&'static str],
    pub(super) port: u16,
    /// Value of `ct state` for the packet, in nft's word.
    pub(super) state: &'static str,
    /// Result of conditions on other facts of its entry than the state (`ct status`, `ct mark`).
    pub(super) by_entry: Holds,
    /// True if the packet uses the interface lo.
    pub(super) loopback: bool,
}

impl Packet {
    /// Returns a packet to the port.
    pub(super) fn incoming(way: Way, port: u16, state: &'static str) -> Packet {
        // A session that is let through today may be so for any of these.
        let by_entry = if state == "established" { Holds::Yes } else { Holds::Unknown };
        Packet { protocol: way.protocol, fields: way.incoming, port, state, by_entry, loopback: way.loopback }
    }

    /// Returns a packet from the port.
    pub(super) fn outgoing(way: Way, port: u16, state: &'static str) -> Packet {
        Packet { fields: way.outgoing, ..Packet::incoming(way, port, state) }
    }

    pub(super) fn is_untracked(&self) -> bool {
        self.state == "untracked"
    }

    /// True if a protocol, by name or number, is the packet's.
    pub(super) fn is_of(&self, protocol: &str) -> bool {
        let number = if self.protocol == "tcp" { "6" } else { "17" };
        protocol.eq_ignore_ascii_case(self.protocol) || protocol == number
    }
}

/// Effect of a rule on a packet that it matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    Accept,
    Drop,
    /// Accept or drop, as a queue or a proxy decides.
    Either,
    Return,
    Jump(String),
    Goto(String),
}

/// One rule, evaluated for one packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub(super) holds: Holds,
    /// True if it may match one packet of a session and not the next.
    pub(super) varies: bool,
    pub(super) effect: Effect,
}

/// A chain; `drops` is true if the policy of a base chain is drop.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Chain {
    pub(super) steps: Vec<Step>,
    pub(super) drops: bool,
}

/// Ways in which a packet may leave a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Outcomes {
    pub(super) accepted: bool,
    pub(super) dropped: bool,
    /// True if the packet may reach the end of the chain, or a `return`.
    pub(super) passed: bool,
    /// True if it may meet a rule that matches one packet of a session and not the next.
    pub(super) varies: bool,
}

impl Outcomes {
    const ANY: Outcomes = Outcomes { accepted: true, dropped: true, passed: true, varies: false };

    fn add(&mut self, other: Outcomes) {
        self.accepted |= other.accepted;
        self.dropped |= other.dropped;
        self.passed |= other.passed;
        self.varies |= other.varies;
    }
}

/// Chains by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Chains(pub(super) BTreeMap<String, Chain>);

impl Chains {
    /// Returns the ways in which the packet may leave a base chain, whose policy decides at its end.
    pub(super) fn ends(&self, base: &str) -> Outcomes {
        let mut ends = self.walk(base, &mut BTreeMap::new());
        let drops = self.0.get(base).is_some_and(|chain| chain.drops);
        ends.dropped |= ends.passed && drops;
        ends.accepted |= ends.passed && !drops;
        ends
    }

    /// Walks a chain. `known` holds the result of each chain walked, and any end for a chain that is still being
    /// walked: that would be a loop, which the kernel refuses.
    fn walk(&self, name: &str, known: &mut BTreeMap<String, Outcomes>) -> Outcomes {
        if let Some(ends) = known.get(name) {
            return *ends;
        }
        known.insert(name.into(), Outcomes::ANY);
        let steps = self.0.get(name).map(|chain| chain.steps.as_slice());
        let ends = steps.map_or(Outcomes::ANY, |steps| self.take(steps, known));
        known.insert(name.into(), ends);
        ends
    }

    fn take(&self, steps: &[Step], known: &mut BTreeMap<String, Outcomes>) -> Outcomes {
        let mut ends = Outcomes::default();
        for step in steps.iter().filter(|step| step.holds != Holds::No) {
            ends.varies |= step.varies;
            let goes_on = match &step.effect {
                Effect::Accept => {
                    ends.accepted = true;
                    false
                }
                Effect::Drop => {
                    ends.dropped = true;
                    false
                }
                Effect::Either => {
                    ends.add(Outcomes { passed: false, ..Outcomes::ANY });
                    false
                }
                Effect::Return => {
                    ends.passed = true;
                    false
                }
                Effect::Goto(chain) => {
                    ends.add(self.walk(chain, known));
                    false
                }
                Effect::Jump(chain) => {
                    let inner = self.walk(chain, known);
                    ends.add(Outcomes { passed: false, ..inner });
                    inner.passed
                }
            };
            if !goes_on && step.holds == Holds::Yes {
                return ends;
            }
        }
        ends.passed = true;
        ends
    }
}

/// The chains as three packets of one session meet them.
pub(super) struct Session {
    /// Its first packet of this direction.
    pub(super) first: Chains,
    /// One of an established session.
    pub(super) established: Chains,
    /// One that is not tracked.
    pub(super) untracked: Chains,
}

impl Session {
    /// True if the base chain accepts the packets only for their state: tracked ones may pass, untracked ones never do.
    pub(super) fn is_locked_out(&self, base: &str) -> bool {
        self.first.ends(base).accepted && !self.untracked.ends(base).accepted
    }

    /// True if the base chain would ask of every packet what it asks of the first one of a session now, and the answer
    /// may differ from one packet to the next.
    pub(super) fn is_asked_each_time(&self, base: &str) -> bool {
        self.untracked.ends(base).varies && !self.established.ends(base).varies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(holds: Holds, effect: Effect) -> Step {
        Step { holds, varies: false, effect }
    }

    fn ends(drops: bool, steps: &[Step], others: &[(&str, &[Step])]) -> Outcomes {
        let others = others
            .iter()
            .map(|(name, steps)| ((*name).to_string(), Chain { steps: steps.to_vec(), drops: false }));
        let base = ("base".to_string(), Chain { steps: steps.to_vec(), drops });
        Chains(others.chain([base]).collect()).ends("base")
    }

    #[test]
    fn the_first_rule_that_matches_for_certain_ends_the_walk() {
        use Effect::{Accept, Drop};
        use Holds::{No, Unknown, Yes};
        let of = |accepted, dropped| (accepted, dropped);
        let both = |e: Outcomes| (e.accepted, e.dropped);
        assert_eq!(both(ends(true, &[], &[])), of(false, true));
        assert_eq!(both(ends(true, &[step(No, Accept)], &[])), of(false, true));
        assert_eq!(both(ends(true, &[step(Unknown, Accept)], &[])), of(true, true));
        assert_eq!(both(ends(true, &[step(Yes, Accept)], &[])), of(true, false));
        assert_eq!(both(ends(false, &[step(Yes, Drop), step(Yes, Accept)], &[])), of(false, true));
    }

    #[test]
    fn jumps_come_back_gotos_do_not_and_a_loop_ends() {
        use Holds::{Unknown, Yes};
        let jump = |holds| step(holds, Effect::Jump("c".into()));
        let accept = step(Yes, Effect::Accept);
        let found = ends(true, &[jump(Yes), accept.clone()], &[("c", &[step(Yes, Effect::Return)])]);
        assert_eq!((found.accepted, found.dropped), (true, false));
        let goto = step(Yes, Effect::Goto("c".into()));
        let found = ends(true, &[goto, accept.clone()], &[("c", &[])]);
        assert_eq!((found.accepted, found.dropped), (false, true));
        let found = ends(true, &[jump(Unknown)], &[("c", &[accept])]);
        assert_eq!((found.accepted, found.dropped), (true, true));
        let found = ends(true, &[jump(Yes)], &[("c", &[jump(Yes)])]);
        assert!(found.accepted && found.dropped);
    }
}
