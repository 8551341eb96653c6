//! Timeouts that a packet may have set: the bases from which time left is counted down.
//!
//! Each packet sets an entry's timeout to the base of its state, so idle = base - left. A dump does not say which
//! base it was. All that it could have been are kept, and the least idleness that any of them allows is what is
//! certain.

use super::history::{Since, TimeoutHistory};
use crate::core::model::{
    DCCP, Entry, Features, GRE, ICMP, ICMPV6, SCTP, Status, TCP, TcpState, Timeout, TimeoutPolicy, UDP,
    UDPLITE, Unproven,
};

/// A candidate base.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Base {
    seconds: u32,
    since: Since,
}

/// One kind of entries.
#[derive(Clone, Debug, Default)]
struct Kind {
    /// Its candidate bases, sorted.
    bases: Vec<Base>,
    /// The longest of them that a packet sets by itself: one that is lent (data in flight, a zero window) only ever
    /// lowers what the state has (nf_conntrack_tcp_packet), so that a longer one was not set.
    longest_own: u32,
    /// Its timeout was not the kernel's own at the first look: whatever was in force before may be the base of an entry
    /// that has been silent since.
    set_before: bool,
    /// With no more seconds left than this, an entry that has been silent since the first look may have a shorter base
    /// that was raised to the kernel's own before.
    doubtful_left: u32,
    /// Longest base that is lent where a timeout that lends its base now and then was not the kernel's own at the
    /// first look.
    doubtful_lent: u32,
}

/// The candidate bases of every kind of entry.
#[derive(Clone, Debug, Default)]
pub struct Bases {
    tcp: [Kind; 10],
    udp: Kind,
    udp_replied: Kind,
    udp_assured: Kind,
    icmp: Kind,
    icmpv6: Kind,
    sctp: Kind,
    dccp: Kind,
    generic: Kind,
    /// Time of the first look at the timeouts of this boot, in seconds since the host came up; `None`: the past is
    /// known.
    first_look_seconds: Option<u32>,
}

const TCP_TIMEOUTS: [&str; 10] = [
    "",
    "tcp_timeout_syn_sent",
    "tcp_timeout_syn_recv",
    "tcp_timeout_established",
    "tcp_timeout_fin_wait",
    "tcp_timeout_close_wait",
    "tcp_timeout_last_ack",
    "tcp_timeout_time_wait",
    "tcp_timeout_close",
    // SYN_SENT2 (net/netfilter/nf_conntrack_proto_tcp.c: tcp_timeouts).
    "tcp_timeout_syn_sent",
];

/// Times that a flowtable leaves in an entry besides those of the sysctls (net/netfilter/nf_flow_table_core.c).
mod flowtable {
    /// A flow that goes into a flowtable has this much left (`NF_CT_DAY`), and nothing of it is given back while
    /// packets come: it comes out with a day less its stay, however lately it spoke.
    pub const DAY_SECONDS: u32 = 86_400;
    /// Time that is left to a connection that is being closed (`nf_flow_table_tcp_timeout`).
    pub const CLOSING_SECONDS: u32 = 300;
    /// `NF_FLOW_TIMEOUT`, where no sysctl says another.
    pub const TIMEOUT_SECONDS: u32 = 30;
    /// `NF_FLOWTABLE_TCP_PICKUP_TIMEOUT` and `NF_FLOWTABLE_UDP_PICKUP_TIMEOUT` of kernels before 5.14.
    pub const TCP_PICKUP_SECONDS: u32 = 120;
    pub const UDP_PICKUP_SECONDS: u32 = 30;
}

/// Makes lists of candidate bases.
struct Lists<'a> {
    history: &'a TimeoutHistory,
    policies: &'a [TimeoutPolicy],
    features: &'a Features,
}

impl Lists<'_> {
    /// Of what is never in a flowtable.
    fn plain(&self, protocols: &[u8], names: &[&str]) -> Kind {
        self.with(protocols, names, &[], &[])
    }

    /// Of what may have been in a flowtable: `flow_offload_fixup_ct` takes `less` from the base of a flow that leaves
    /// one, and `fixed` are bases of the flowtable's own. Of these a base above all others would turn what nobody knows
    /// into silence: it is left out.
    fn offloadable(&self, protocols: &[u8], names: &[&str], less: &[u32], fixed: &[u32]) -> Kind {
        match (self.features.flowtables_possible, less.is_empty()) {
            (false, _) => self.plain(protocols, names),
            (true, true) => self.with(protocols, names, &[flowtable::TIMEOUT_SECONDS], fixed),
            (true, false) => self.with(protocols, names, less, fixed),
        }
    }

    fn with(&self, protocols: &[u8], names: &[&str], less: &[u32], fixed: &[u32]) -> Kind {
        let named = names.iter().flat_map(|name| self.history.of(name));
        let mut all: Vec<Base> = named.map(|(seconds, since)| Base { seconds, since }).collect();
        let policies = self.policies.iter().filter(|policy| protocols.contains(&policy.protocol));
        let policies = policies.flat_map(|policy| &policy.seconds);
        let of_policies: Vec<Base> =
            policies.map(|seconds| Base { seconds: *seconds, since: None }).collect();
        let most = all.iter().map(|base| base.seconds).max().unwrap_or(0);
        let longest_own =
            own(names).iter().flat_map(|name| self.history.of(name)).map(|(seconds, _)| seconds);
        let longest_own = longest_own.chain(of_policies.iter().map(|base| base.seconds)).max().unwrap_or(0);
        let fixed = fixed.iter().filter(|seconds| **seconds < most);
        let fixed: Vec<Base> = fixed.map(|seconds| Base { seconds: *seconds, since: None }).collect();
        for less in less {
            let shorter: Vec<Base> = all.iter().map(|base| base.less(*less)).collect();
            all.extend(shorter);
        }
        all.extend(of_policies.into_iter().chain(fixed));
        all.sort_unstable();
        all.dedup();
        Kind { longest_own, ..self.doubted(all, names) }
    }

    /// With what is doubtful of the time before the first look. The first of `names` is the state's own timeout in TCP;
    /// the others lend a base now and then.
    fn doubted(&self, bases: Vec<Base>, names: &[&str]) -> Kind {
        let Some(first) = self.history.first_look() else { return Kind { bases, ..Kind::default() } };
        let set = |name: &str| Timeout::named(name).is_some_and(|t| first.set_before.contains(&t));
        let own = own(names);
        let own_default = own.iter().filter_map(|name| Timeout::named(name));
        let own_default = own_default.map(|t| t.spec().kernel_default_seconds).max().unwrap_or(0);
        Kind {
            bases,
            longest_own: 0,
            set_before: own.iter().any(|name| set(name)),
            doubtful_left: (own_default / 2).min(A_DAY),
            doubtful_lent: if names.iter().any(|name| set(name)) { AN_HOUR } else { 0 },
        }
    }
}

/// Of the timeouts that an entry may have, those of its state; in TCP all others are lent now and then.
fn own<'a, 'b>(names: &'b [&'a str]) -> &'b [&'a str] {
    if names[0].starts_with("tcp_") { &names[..1] } else { names }
}

const AN_HOUR: u32 = 3600;
/// Timeouts of ESTABLISHED that people set instead of five days are no longer than this.
const A_DAY: u32 = 86_400;

impl Base {
    fn less(self, seconds: u32) -> Base {
        Base { seconds: self.seconds.saturating_sub(seconds), ..self }
    }
}

impl Bases {
    /// From what timeouts were and are, the timeout policies, and what the kernel's features add.
    pub fn new(history: &TimeoutHistory, policies: &[TimeoutPolicy], features: &Features) -> Self {
        let lists = Lists { history, policies, features };
        let named = |prefix: &str| -> Vec<&'static str> {
            Timeout::all().map(Timeout::name).filter(|name| name.starts_with(prefix)).collect()
        };
        let udp_answered = |names: &[&str]| {
            let fixed = [flowtable::UDP_PICKUP_SECONDS];
            lists.offloadable(&[UDP, UDPLITE], names, &features.flowtable_udp_seconds, &fixed)
        };
        let both = ["udp_timeout", "udp_timeout_stream"];
        Bases {
            tcp: std::array::from_fn(|state| Self::tcp(&lists, state)),
            udp: lists.plain(&[UDP, UDPLITE], &both[..1]),
            udp_replied: udp_answered(&both),
            // A two-way UDP flow is ASSURED by the packet that first sets the stream's timeout
            // (nf_conntrack_udp_packet), and no later packet sets another: since Linux 5.16.
            udp_assured: udp_answered(if features.assured_udp_is_stream { &both[1..] } else { &both }),
            icmp: lists.plain(&[ICMP], &["icmp_timeout"]),
            icmpv6: lists.plain(&[ICMPV6], &["icmpv6_timeout"]),
            sctp: lists.plain(&[SCTP], &named("sctp_timeout_")),
            dccp: lists.plain(&[DCCP], &named("dccp_timeout_")),
            generic: lists.plain(&(0..=255).collect::<Vec<u8>>(), &["generic_timeout"]),
            first_look_seconds: history.first_look().map(|first| first.at_seconds),
        }
    }

    fn tcp(lists: &Lists<'_>, state: usize) -> Kind {
        let Some(name) = TCP_TIMEOUTS.get(state).filter(|name| !name.is_empty()) else {
            return Kind::default();
        };
        // Data in flight, retransmissions and a zero window lend another base while the state stays. So does a RST that
        // does not close: that of `tcp_timeout_close` (nf_conntrack_tcp_packet), and where it is out of the window, or
        // a FIN is, that of `tcp_timeout_unacknowledged` (nf_tcp_handle_invalid).
        let names = [name, "tcp_timeout_unacknowledged", "tcp_timeout_max_retrans", "tcp_timeout_close"];
        let seconds = &lists.features.flowtable_tcp_seconds;
        match TcpState::from_kernel(state as u8) {
            // No flow goes into a flowtable before it is ESTABLISHED (nft_flow_offload_eval).
            TcpState::SynSent | TcpState::SynRecv | TcpState::SynSent2 => lists.plain(&[TCP], &names),
            // A kernel that can have flowtables may have had one that nobody saw.
            TcpState::Established if !lists.features.flowtables_possible && !seconds.is_empty() => {
                lists.with(&[TCP], &names, &[], &[flowtable::DAY_SECONDS])
            }
            TcpState::Established => {
                let fixed = [flowtable::DAY_SECONDS, flowtable::TCP_PICKUP_SECONDS];
                lists.offloadable(&[TCP], &names, seconds, &fixed)
            }
            _ => lists.offloadable(&[TCP], &names, seconds, &[flowtable::CLOSING_SECONDS]),
        }
    }

    fn of(&self, entry: &Entry) -> Option<&Kind> {
        Some(match entry.original.protocol {
            TCP => match entry.tcp.map(|tcp| tcp.state) {
                None | Some(TcpState::None | TcpState::Unknown(_)) => return None,
                Some(state) => &self.tcp[state.to_kernel() as usize],
            },
            UDP | UDPLITE if entry.status.assured() => &self.udp_assured,
            UDP | UDPLITE if entry.status.seen_reply() => &self.udp_replied,
            UDP | UDPLITE => &self.udp,
            ICMP => &self.icmp,
            ICMPV6 => &self.icmpv6,
            // The kernel keeps GRE's timeouts in the entry from its birth (`ct->proto.gre`): whatever was in force then
            // is the base for life.
            GRE => return None,
            SCTP => &self.sctp,
            DCCP => &self.dccp,
            _ => &self.generic,
        })
    }

    /// The first look at the timeouts of this boot, in seconds since the host came up, where the base of an entry that
    /// has been silent since may be one that nobody saw. `idle_seconds`: of the base that is known. `lives`: a shorter
    /// timeout that was raised to the kernel's own before is reckoned with too.
    ///
    /// What a timeout was before somebody set it, nothing tells: a flow that spoke a moment before
    /// `udp_timeout_stream` went from 180 to 600 has the look of one that has been silent for seven minutes. Where a
    /// timeout has the kernel's own value, it is believed to have had no other, but for what has less than half of it
    /// left, or of five days less than one.
    pub fn doubtful_before(&self, entry: &Entry, idle_seconds: u32, lives: bool) -> Option<u32> {
        let (kind, left) = (self.of(entry)?, entry.timeout_seconds?);
        // A base that is as short as this is not the one that a shorter was raised to.
        let raised = left <= kind.doubtful_left && left.saturating_add(idle_seconds) > kind.doubtful_left;
        let doubtful = kind.set_before || (lives && (raised || left <= kind.doubtful_lent));
        self.first_look_seconds.filter(|_| doubtful)
    }

    /// For how many seconds an entry has been idle at least at `up_seconds`, by arithmetic alone.
    ///
    /// A base that is in force only since a moment was set by no packet before it: more idleness than has passed
    /// since then rules it out. Without that, shortening a timeout would hide what is idle from the flush it is for.
    ///
    /// # Errors
    /// Why nothing is certain: no time left is told (offloaded), more is left than any base allows, or packets do not
    /// set the timeout.
    pub fn least(&self, entry: &Entry, up_seconds: u32) -> Result<Least, Unproven> {
        if entry.helper || entry.master.is_some() || entry.status.any(Status::HELPER | Status::EXPECTED) {
            return Err(Unproven::Helper);
        }
        if entry.status.any(Status::FIXED_TIMEOUT) {
            return Err(Unproven::FixedTimeout);
        }
        let offloaded = entry.status.any(Status::OFFLOAD | Status::HW_OFFLOAD);
        let left = entry.timeout_seconds.filter(|_| !offloaded).ok_or(Unproven::Offloaded)?;
        let kind = self.of(entry).ok_or(Unproven::OwnTimeout)?;
        let possible = |base: &&Base| {
            let (slack, least) = (2, silence_seconds(base.seconds, left));
            base.since.is_none_or(|since| least <= up_seconds.saturating_sub(since) + slack)
        };
        // Sorted: the first base that is not under the time left gives the least idleness.
        let from = kind.bases.partition_point(|base| base.seconds < left);
        let mut fitting = kind.bases[from..].iter().filter(possible);
        let base_seconds = fitting.next().ok_or(Unproven::NoBase)?.seconds;
        let other = |base: &Base| base.seconds > base_seconds && base.seconds <= kind.longest_own;
        Ok(Least {
            base_seconds,
            idle_seconds: silence_seconds(base_seconds, left),
            alone: !fitting.any(other),
        })
    }

    /// As [`Bases::least`], without why.
    pub fn least_idle_seconds(&self, entry: &Entry, up_seconds: u32) -> Option<u32> {
        self.least(entry, up_seconds).ok().map(|least| least.idle_seconds)
    }
}

/// Idleness of an entry as arithmetic tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Least {
    /// The shortest base that fits.
    base_seconds: u32,
    /// Seconds for which it has been idle at least.
    pub idle_seconds: u32,
    /// No other base fits: that is how long it has been idle.
    pub alone: bool,
}

impl Least {
    /// The base that gives the least idleness has little left, which another writer may have set: conntrackd
    /// commits flows with 180 s or less, people write 10 to 3600 (`conntrack -U --timeout`). A sixteenth of the base at
    /// most, and an hour at most: what is dead spends no more of its life there.
    ///
    /// Not seen: a time that was written before this agent heard anything, where a base of 7440 to 57,600 s came into
    /// force after the write and the agent began anew after that. A sixteenth of the new base is less than an hour
    /// then.
    pub fn little_is_left(&self, entry: &Entry) -> bool {
        let most = (self.base_seconds / 16).min(AN_HOUR);
        entry.timeout_seconds.is_some_and(|left| left <= most)
    }
}

/// Time left is cut to whole seconds, so up to one of them is not certain.
fn silence_seconds(base: u32, left: u32) -> u32 {
    (base - left).saturating_sub(1)
}

#[cfg(test)]
#[path = "bases_tests.rs"]
mod tests;
