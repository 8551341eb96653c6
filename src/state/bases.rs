//! Which timeout a packet may have set: the bases from which time left is counted down.
//!
//! Each packet sets an entry's timeout to the base of its state, so idle = base - left. A dump does not say which
//! base it was. All that it could have been are kept, and the least idleness that any of them allows is what is
//! certain.

use std::collections::BTreeMap;

use crate::model::{
    DCCP, Entry, GRE, ICMP, ICMPV6, SCTP, Status, TCP, TcpState, Timeout, TimeoutPolicy, TimeoutValues, UDP,
    UDPLITE,
};

/// Since when a value has been in force at the earliest, in seconds since the host came up; `None`: nobody knows.
type Since = Option<u32>;

/// Every value that each timeout sysctl is known to have had: an entry keeps the base of its last packet, whatever
/// the sysctl says by now. The kernel's compiled-in values belong to them, for the time before anyone looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutHistory(BTreeMap<Timeout, BTreeMap<u32, Since>>);

impl Default for TimeoutHistory {
    fn default() -> Self {
        let default = |t: Timeout| (t, BTreeMap::from([(t.spec().kernel_default_seconds, None)]));
        TimeoutHistory(Timeout::all().map(default).collect())
    }
}

impl TimeoutHistory {
    /// Remembers current values; one that is new was not there before `since`.
    pub fn saw(&mut self, values: &TimeoutValues, since: Since) {
        for (timeout, seconds) in values {
            self.saw_one(*timeout, *seconds, since);
        }
    }

    /// Remembers one value. What is known to be older stays so.
    pub fn saw_one(&mut self, timeout: Timeout, seconds: u32, since: Since) {
        let known = self.0.entry(timeout).or_default().entry(seconds).or_insert(since);
        *known = known.and_then(|known| since.map(|since| known.min(since)));
    }

    /// Every value that was seen, by name.
    pub fn all(&self) -> impl Iterator<Item = (Timeout, u32)> {
        self.0.iter().flat_map(|(timeout, seconds)| seconds.keys().map(|s| (*timeout, *s)))
    }

    fn of(&self, name: &str) -> impl Iterator<Item = (u32, Since)> {
        let values = Timeout::named(name).and_then(|t| self.0.get(&t));
        values.into_iter().flatten().map(|(seconds, since)| (*seconds, *since))
    }
}

/// A candidate base.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Base {
    seconds: u32,
    since: Since,
}

/// The candidate bases of every kind of entry, sorted.
#[derive(Clone, Debug, Default)]
pub struct Bases {
    tcp: [Vec<Base>; 10],
    udp: Vec<Base>,
    udp_replied: Vec<Base>,
    udp_assured: Vec<Base>,
    icmp: Vec<Base>,
    icmpv6: Vec<Base>,
    gre: Vec<Base>,
    sctp: Vec<Base>,
    dccp: Vec<Base>,
    generic: Vec<Base>,
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

impl Bases {
    /// From what timeouts were and are, the timeout policies, and, where flowtables are in use, how much a flow that
    /// leaves one loses (`flow_offload_fixup_ct`: base - `nf_flowtable_tcp_timeout`).
    pub fn new(history: &TimeoutHistory, policies: &[TimeoutPolicy], flowtable_seconds: &[u32]) -> Self {
        let list = |protocols: &[u8], names: &[&str]| -> Vec<Base> {
            let own: Vec<Base> = names
                .iter()
                .flat_map(|name| history.of(name))
                .map(|(seconds, since)| Base { seconds, since })
                .collect();
            let shortened = |base: &Base| {
                let base = *base;
                let less = move |f: &u32| Base { seconds: base.seconds.saturating_sub(*f), ..base };
                flowtable_seconds.iter().map(less).collect::<Vec<_>>()
            };
            let policies =
                policies.iter().filter(|p| protocols.contains(&p.protocol)).flat_map(|p| &p.seconds);
            let mut all: Vec<Base> = own.iter().flat_map(shortened).collect();
            all.extend(policies.map(|seconds| Base { seconds: *seconds, since: None }));
            all.extend(own);
            all.sort_unstable();
            all.dedup();
            all
        };
        let named = |prefix: &str| -> Vec<&'static str> {
            Timeout::all().map(Timeout::name).filter(|name| name.starts_with(prefix)).collect()
        };
        let mut bases = Bases {
            udp: list(&[UDP, UDPLITE], &["udp_timeout"]),
            udp_replied: list(&[UDP, UDPLITE], &["udp_timeout", "udp_timeout_stream"]),
            // A two-way UDP flow is ASSURED by the packet that first sets the stream's timeout
            // (nf_conntrack_udp_packet), and no later packet sets another.
            udp_assured: list(&[UDP, UDPLITE], &["udp_timeout_stream"]),
            icmp: list(&[ICMP], &["icmp_timeout"]),
            icmpv6: list(&[ICMPV6], &["icmpv6_timeout"]),
            gre: list(&[GRE], &["gre_timeout", "gre_timeout_stream"]),
            generic: list(&(0..=255).collect::<Vec<u8>>(), &["generic_timeout"]),
            ..Bases::default()
        };
        for (state, name) in TCP_TIMEOUTS.iter().enumerate().skip(1) {
            // Data in flight, retransmissions and a zero window lend another base while the state stays; so does a
            // RST that may be forged (nf_conntrack_tcp_packet).
            let names = [name, "tcp_timeout_unacknowledged", "tcp_timeout_max_retrans", "tcp_timeout_close"];
            bases.tcp[state] = list(&[TCP], &names);
        }
        bases.sctp = list(&[SCTP], &named("sctp_timeout_"));
        bases.dccp = list(&[DCCP], &named("dccp_timeout_"));
        bases
    }

    fn of(&self, entry: &Entry) -> &[Base] {
        match entry.original.protocol {
            TCP => match entry.tcp.map(|tcp| tcp.state) {
                None | Some(TcpState::None | TcpState::Unknown(_)) => &[],
                Some(state) => &self.tcp[state.to_kernel() as usize],
            },
            UDP | UDPLITE if entry.status.assured() => &self.udp_assured,
            UDP | UDPLITE if entry.status.seen_reply() => &self.udp_replied,
            UDP | UDPLITE => &self.udp,
            ICMP => &self.icmp,
            ICMPV6 => &self.icmpv6,
            GRE => &self.gre,
            SCTP => &self.sctp,
            DCCP => &self.dccp,
            _ => &self.generic,
        }
    }

    /// For how many seconds an entry has been idle at least at `up_seconds`, by arithmetic alone; `None` where nothing
    /// is certain: no time left is told (offloaded), more is left than any base allows, or packets do not set the
    /// timeout.
    ///
    /// A base that is in force only since a moment was set by no packet before it: more idleness than has passed
    /// since then rules it out. Without that, shortening a timeout would hide what is idle from the flush it is for.
    pub fn least_idle_seconds(&self, entry: &Entry, up_seconds: u32) -> Option<u32> {
        let base = self.least_base_seconds(entry, up_seconds)?;
        Some(silence_seconds(base, entry.timeout_seconds?))
    }

    /// So little is left of the base that gives the least idleness that another writer may have set it: conntrackd
    /// commits flows with 180 s or less, people write 10 to 3600 (`conntrack -U --timeout`). A sixteenth of the base at
    /// most, and an hour at most: what is dead spends no more of its life there.
    ///
    /// Not seen: a time that was written before this agent heard anything, where a base of 7440 to 57,600 s came into
    /// force after the write and the agent began anew after that. A sixteenth of the new base is less than an hour then.
    pub fn little_is_left(&self, entry: &Entry, up_seconds: u32) -> bool {
        const AN_HOUR: u32 = 3600;
        let base = self.least_base_seconds(entry, up_seconds);
        base.zip(entry.timeout_seconds).is_some_and(|(base, left)| left <= (base / 16).min(AN_HOUR))
    }

    fn least_base_seconds(&self, entry: &Entry, up_seconds: u32) -> Option<u32> {
        let unknown =
            Status::FIXED_TIMEOUT | Status::OFFLOAD | Status::HW_OFFLOAD | Status::HELPER | Status::EXPECTED;
        if entry.helper || entry.master.is_some() || entry.status.any(unknown) {
            return None;
        }
        let left = entry.timeout_seconds?;
        let bases = self.of(entry);
        let possible = |base: &&Base| {
            let (slack, least) = (2, silence_seconds(base.seconds, left));
            base.since.is_none_or(|since| least <= up_seconds.saturating_sub(since) + slack)
        };
        // Sorted: the first base that is not under the time left gives the least idleness.
        let from = bases.partition_point(|base| base.seconds < left);
        bases[from..].iter().find(possible).map(|base| base.seconds)
    }
}

/// Time left is cut to whole seconds, so up to one of them is not certain.
fn silence_seconds(base: u32, left: u32) -> u32 {
    (base - left).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{L4, TcpInfo, Tuple};

    fn tcp(state: TcpState, left: u32) -> Entry {
        let l4 = L4::Ports { source: 1, destination: 2 };
        let original = Tuple { protocol: TCP, l4, ..Tuple::default() };
        Entry {
            original,
            status: Status(Status::SEEN_REPLY | Status::ASSURED),
            timeout_seconds: Some(left),
            tcp: Some(TcpInfo { state, flags_original: 0, flags_reply: 0 }),
            ..Entry::default()
        }
    }

    const UP: u32 = 1_000_000;

    fn stock() -> Bases {
        Bases::new(&TimeoutHistory::default(), &[], &[])
    }

    #[test]
    fn a_zero_window_is_not_five_days_of_silence() {
        assert_eq!(stock().least_idle_seconds(&tcp(TcpState::Established, 293), UP), Some(6));
        assert_eq!(stock().least_idle_seconds(&tcp(TcpState::Established, 424_000), UP), Some(7999));
        assert_eq!(stock().least_idle_seconds(&tcp(TcpState::Established, 180), UP), Some(119));
    }

    #[test]
    fn more_left_than_any_base_is_unknown() {
        assert_eq!(stock().least_idle_seconds(&tcp(TcpState::Established, 432_001), UP), None);
        assert_eq!(stock().least_idle_seconds(&tcp(TcpState::Unknown(12), 1), UP), None);
    }

    #[test]
    fn a_policy_and_an_older_sysctl_are_bases_too() {
        let policy = TimeoutPolicy { protocol: TCP, seconds: vec![3600] };
        let with = Bases::new(&TimeoutHistory::default(), &[policy], &[]);
        assert_eq!(with.least_idle_seconds(&tcp(TcpState::Established, 3590), UP), Some(9));
        let mut history = TimeoutHistory::default();
        let established = Timeout::named("tcp_timeout_established").unwrap();
        history.saw(&[(established, 86_400)].into(), None);
        let changed = Bases::new(&history, &[], &[]);
        assert_eq!(changed.least_idle_seconds(&tcp(TcpState::Established, 86_390), UP), Some(9));
        assert_eq!(changed.least_idle_seconds(&tcp(TcpState::Established, 431_990), UP), Some(9));
    }

    #[test]
    fn a_base_in_force_since_a_moment_explains_no_more_than_has_passed_since() {
        let mut history = TimeoutHistory::default();
        let time_wait = Timeout::named("tcp_timeout_time_wait").unwrap();
        history.saw_one(time_wait, 64, Some(UP - 10));
        let bases = Bases::new(&history, &[], &[]);
        assert_eq!(
            bases.least_idle_seconds(&tcp(TcpState::TimeWait, 20), UP),
            Some(99),
            "of 120: the old base"
        );
        assert_eq!(bases.least_idle_seconds(&tcp(TcpState::TimeWait, 58), UP), Some(5), "of 64, since then");
        history.saw_one(time_wait, 64, None);
        let bases = Bases::new(&history, &[], &[]);
        assert_eq!(
            bases.least_idle_seconds(&tcp(TcpState::TimeWait, 20), UP),
            Some(43),
            "nobody knows since when"
        );
    }

    #[test]
    fn what_others_write_is_told_from_what_has_run_down_by_how_little_is_left() {
        let little = |left| stock().little_is_left(&tcp(TcpState::Established, left), UP);
        // Of five days; of 300 s of data in flight; of the 10 s after a RST.
        assert!(little(3600) && little(301) && !little(3601) && !little(424_000));
        assert!(little(18) && little(11) && !little(19) && !little(180) && !little(300));
        assert!(!little(1) && !little(10) && !little(432_001));
        let mut history = TimeoutHistory::default();
        history.saw_one(Timeout::named("tcp_timeout_established").unwrap(), 10_800, None);
        let of_three_hours = Bases::new(&history, &[], &[]);
        let little = |left| of_three_hours.little_is_left(&tcp(TcpState::Established, left), UP);
        assert!(little(675) && !little(676) && !little(3360));
    }

    #[test]
    fn what_packets_do_not_refresh_is_unknown() {
        for status in
            [Status::FIXED_TIMEOUT, Status::OFFLOAD, Status::HW_OFFLOAD, Status::HELPER, Status::EXPECTED]
        {
            let entry = Entry { status: Status(status), ..tcp(TcpState::Established, 100) };
            assert_eq!(stock().least_idle_seconds(&entry, UP), None);
        }
        let offloaded = Entry { timeout_seconds: None, ..tcp(TcpState::Established, 0) };
        assert_eq!(stock().least_idle_seconds(&offloaded, UP), None);
    }

    #[test]
    fn a_flow_out_of_a_flowtable_lost_thirty_seconds_that_were_not_silence() {
        let bases = Bases::new(&TimeoutHistory::default(), &[], &[30]);
        assert_eq!(bases.least_idle_seconds(&tcp(TcpState::Established, 431_968), UP), Some(1));
    }

    #[test]
    fn udp_depends_on_what_the_flow_has_been() {
        let mut entry = tcp(TcpState::Established, 25);
        entry.original.protocol = UDP;
        entry.tcp = None;
        let idle = |status: u32| stock().least_idle_seconds(&Entry { status: Status(status), ..entry }, UP);
        assert_eq!(idle(0), Some(4));
        assert_eq!(idle(Status::SEEN_REPLY), Some(4));
        assert_eq!(idle(Status::SEEN_REPLY | Status::ASSURED), Some(94));
    }
}
