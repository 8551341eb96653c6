//! What becomes of one packet in the chains of a filter, as far as the rules alone tell: which of accepted, dropped and
//! passed on can happen. A condition on what is not known of the packet (its source, its interface) makes both ways
//! possible.

use std::collections::BTreeMap;

use super::obstacles::Way;

/// Whether a condition holds for the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holds {
    Yes,
    No,
    Unknown,
}

impl Holds {
    pub(super) fn of(known: bool) -> Holds {
        if known { Holds::Yes } else { Holds::No }
    }

    pub(super) fn and(self, other: Holds) -> Holds {
        match (self, other) {
            (Holds::No, _) | (_, Holds::No) => Holds::No,
            (Holds::Yes, Holds::Yes) => Holds::Yes,
            _ => Holds::Unknown,
        }
    }

    /// The condition with `!` before it, where there is one.
    pub(super) fn negated(self, negated: bool) -> Holds {
        match (self, negated) {
            (Holds::Yes, true) => Holds::No,
            (Holds::No, true) => Holds::Yes,
            (holds, _) => holds,
        }
    }
}

/// What is known of the packet.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// `tcp` or `udp`.
    pub(super) protocol: &'static str,
    /// Fields of its header that hold the port: `dport`, `sport`.
    pub(super) fields: &'static [&'static str],
    pub(super) port: u16,
    /// Its `ct state`, in nft's word.
    pub(super) state: &'static str,
    /// It comes by the interface lo.
    pub(super) loopback: bool,
}

impl Packet {
    /// A packet to the port.
    pub(super) fn incoming(way: Way, port: u16, state: &'static str) -> Packet {
        Packet { protocol: way.protocol, fields: way.incoming, port, state, loopback: way.loopback }
    }

    /// A packet from the port.
    pub(super) fn outgoing(way: Way, port: u16, state: &'static str) -> Packet {
        Packet { fields: way.outgoing, ..Packet::incoming(way, port, state) }
    }

    pub(super) fn is_untracked(&self) -> bool {
        self.state == "untracked"
    }

    /// Whether a protocol, by name or number, is the packet's.
    pub(super) fn is_of(&self, protocol: &str) -> bool {
        let number = if self.protocol == "tcp" { "6" } else { "17" };
        protocol.eq_ignore_ascii_case(self.protocol) || protocol == number
    }
}

/// What a rule does with a packet that it matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    Accept,
    Drop,
    /// A queue or a proxy decides.
    Either,
    Return,
    Jump(String),
    Goto(String),
}

/// One rule, for one packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub(super) holds: Holds,
    pub(super) effect: Effect,
}

/// A chain; `drops` is the policy of a base chain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Chain {
    pub(super) steps: Vec<Step>,
    pub(super) drops: bool,
}

/// How a packet may leave a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ends {
    pub(super) accepted: bool,
    pub(super) dropped: bool,
    /// It reaches the end, or a `return`.
    pub(super) passed: bool,
}

impl Ends {
    const ANY: Ends = Ends { accepted: true, dropped: true, passed: true };

    fn add(&mut self, other: Ends) {
        self.accepted |= other.accepted;
        self.dropped |= other.dropped;
        self.passed |= other.passed;
    }
}

/// Chains by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Chains(pub(super) BTreeMap<String, Chain>);

impl Chains {
    /// How the packet may leave a base chain: its policy takes what passes.
    pub(super) fn ends(&self, base: &str) -> Ends {
        let mut ends = self.walk(base, &mut BTreeMap::new());
        let drops = self.0.get(base).is_some_and(|chain| chain.drops);
        ends.dropped |= ends.passed && drops;
        ends.accepted |= ends.passed && !drops;
        ends
    }

    /// `known` holds what was walked, and any end for a chain that is being walked: a loop, which the kernel refuses.
    fn walk(&self, name: &str, known: &mut BTreeMap<String, Ends>) -> Ends {
        if let Some(ends) = known.get(name) {
            return *ends;
        }
        known.insert(name.into(), Ends::ANY);
        let steps = self.0.get(name).map(|chain| chain.steps.as_slice());
        let ends = steps.map_or(Ends::ANY, |steps| self.take(steps, known));
        known.insert(name.into(), ends);
        ends
    }

    fn take(&self, steps: &[Step], known: &mut BTreeMap<String, Ends>) -> Ends {
        let mut ends = Ends::default();
        for step in steps.iter().filter(|step| step.holds != Holds::No) {
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
                    ends.add(Ends { passed: false, ..Ends::ANY });
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
                    ends.add(Ends { passed: false, ..inner });
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

/// Whether `chain` accepts the port's packets for their state alone: tracked they come through, untracked they never do.
pub(super) fn locks_out(tracked: &Chains, untracked: &Chains, base: &str) -> bool {
    tracked.ends(base).accepted && !untracked.ends(base).accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(holds: Holds, effect: Effect) -> Step {
        Step { holds, effect }
    }

    fn ends(drops: bool, steps: &[Step], others: &[(&str, &[Step])]) -> Ends {
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
        let both = |e: Ends| (e.accepted, e.dropped);
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
