//! The base that is taken for the one that a packet set.

use super::*;
use crate::core::model::{L4, TcpInfo, Tuple};

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
    Bases::new(&TimeoutHistory::default(), &[], &Features::default())
}

fn little_is_left(bases: &Bases, entry: &Entry) -> bool {
    bases.least(entry, UP).is_ok_and(|least| least.little_is_left(entry))
}

#[test]
fn idleness_is_exact_where_one_base_alone_fits() {
    let alone = |entry: &Entry| stock().least(entry, UP).map(|least| (least.idle_seconds, least.alone));
    assert_eq!(alone(&tcp(TcpState::Established, 424_000)), Ok((7999, true)));
    // Of 300 s of data in flight, or of five days.
    assert_eq!(alone(&tcp(TcpState::Established, 45)), Ok((254, false)));
    // What is lent only ever lowers: 300 s are not lent to a state that has 120.
    assert_eq!(alone(&tcp(TcpState::TimeWait, 50)), Ok((69, true)));
    assert_eq!(alone(&tcp(TcpState::SynSent, 100)), Ok((19, true)));
    // Of the 10 s after a RST, or of 120.
    assert_eq!(alone(&tcp(TcpState::TimeWait, 5)), Ok((4, false)));
    assert_eq!(alone(&udp(Status::SEEN_REPLY, 100)), Ok((19, true)));
    assert_eq!(alone(&udp(Status::SEEN_REPLY, 25)), Ok((4, false)));
    let mut history = TimeoutHistory::default();
    history.saw_one(Timeout::named("tcp_timeout_close_wait").unwrap(), 3600, None);
    let kube = Bases::new(&history, &[], &Features::default());
    let of =
        |left| kube.least(&tcp(TcpState::CloseWait, left), UP).map(|least| (least.idle_seconds, least.alone));
    assert_eq!(of(2600), Ok((999, true)));
    assert_eq!(of(280), Ok((19, false)), "300 s of data in flight, or an hour");
    assert_eq!(of(55), Ok((4, false)));
    assert_eq!(of(3601), Err(Unproven::NoBase));
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
    let with = Bases::new(&TimeoutHistory::default(), &[policy], &Features::default());
    assert_eq!(with.least_idle_seconds(&tcp(TcpState::Established, 3590), UP), Some(9));
    let mut history = TimeoutHistory::default();
    let established = Timeout::named("tcp_timeout_established").unwrap();
    history.saw(&[(established, 86_400)].into(), None);
    let changed = Bases::new(&history, &[], &Features::default());
    assert_eq!(changed.least_idle_seconds(&tcp(TcpState::Established, 86_390), UP), Some(9));
    assert_eq!(changed.least_idle_seconds(&tcp(TcpState::Established, 431_990), UP), Some(9));
}

#[test]
fn a_base_in_force_since_a_moment_explains_no_more_than_has_passed_since() {
    let mut history = TimeoutHistory::default();
    let time_wait = Timeout::named("tcp_timeout_time_wait").unwrap();
    history.saw_one(time_wait, 64, Some(UP - 10));
    let bases = Bases::new(&history, &[], &Features::default());
    assert_eq!(bases.least_idle_seconds(&tcp(TcpState::TimeWait, 20), UP), Some(99), "of 120: the old base");
    assert_eq!(bases.least_idle_seconds(&tcp(TcpState::TimeWait, 58), UP), Some(5), "of 64, since then");
    history.saw_one(time_wait, 64, None);
    let bases = Bases::new(&history, &[], &Features::default());
    assert_eq!(
        bases.least_idle_seconds(&tcp(TcpState::TimeWait, 20), UP),
        Some(43),
        "nobody knows since when"
    );
}

#[test]
fn what_others_write_is_told_from_what_has_run_down_by_how_little_is_left() {
    let little = |left| little_is_left(&stock(), &tcp(TcpState::Established, left));
    // Of five days; of 300 s of data in flight; of the 10 s after a RST.
    assert!(little(3600) && little(301) && !little(3601) && !little(424_000));
    assert!(little(18) && little(11) && !little(19) && !little(180) && !little(300));
    assert!(!little(1) && !little(10) && !little(432_001));
    let mut history = TimeoutHistory::default();
    history.saw_one(Timeout::named("tcp_timeout_established").unwrap(), 10_800, None);
    let of_three_hours = Bases::new(&history, &[], &Features::default());
    let little = |left| little_is_left(&of_three_hours, &tcp(TcpState::Established, left));
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
fn udp_depends_on_what_the_flow_has_been() {
    let mut entry = tcp(TcpState::Established, 25);
    entry.original.protocol = UDP;
    entry.tcp = None;
    let idle = |status: u32| stock().least_idle_seconds(&Entry { status: Status(status), ..entry }, UP);
    assert_eq!(idle(0), Some(4));
    assert_eq!(idle(Status::SEEN_REPLY), Some(4));
    assert_eq!(idle(Status::SEEN_REPLY | Status::ASSURED), Some(94));
}

/// Debian since 6.1: the flowtable's sysctls are there, and no flowtable is.
fn debian() -> Features {
    Features { flowtable_tcp_seconds: vec![30], flowtable_udp_seconds: vec![30], ..Features::default() }
}

fn idle_with(features: &Features, entry: &Entry) -> Option<u32> {
    Bases::new(&TimeoutHistory::default(), &[], features).least_idle_seconds(entry, UP)
}

fn udp(status: u32, left: u32) -> Entry {
    let mut entry = tcp(TcpState::Established, left);
    entry.original.protocol = UDP;
    Entry { tcp: None, status: Status(status), ..entry }
}

#[test]
fn the_flowtables_sysctls_alone_take_nothing_from_idleness() {
    let of = |entry: Entry| idle_with(&debian(), &entry);
    assert_eq!(of(tcp(TcpState::SynSent, 85)), Some(34));
    assert_eq!(of(tcp(TcpState::TimeWait, 80)), Some(39));
    assert_eq!(of(tcp(TcpState::Established, 431_960)), Some(39));
    assert_eq!(of(udp(Status::SEEN_REPLY | Status::ASSURED, 60)), Some(59));
    assert_eq!(of(udp(Status::SEEN_REPLY, 100)), Some(19));
}

#[test]
fn where_a_flowtable_is_possible_what_leaves_it_may_have_lost_seconds_that_were_not_silence() {
    let possible = Features { flowtables_possible: true, ..debian() };
    let of = |entry: Entry| idle_with(&possible, &entry);
    assert_eq!(of(tcp(TcpState::Established, 431_960)), Some(9));
    assert_eq!(of(tcp(TcpState::TimeWait, 80)), Some(9));
    assert_eq!(of(udp(Status::SEEN_REPLY | Status::ASSURED, 60)), Some(29));
    // What was never in one: a handshake, what had no answer, other protocols.
    assert_eq!(of(tcp(TcpState::SynSent, 85)), Some(34));
    assert_eq!(of(tcp(TcpState::SynRecv, 20)), Some(39));
    assert_eq!(of(udp(0, 20)), Some(9));
    let mut icmp = udp(Status::SEEN_REPLY, 10);
    icmp.original.protocol = ICMP;
    assert_eq!(of(icmp), Some(19));
    let longer = Features { flowtable_tcp_seconds: vec![30, 300], ..possible.clone() };
    assert_eq!(idle_with(&longer, &tcp(TcpState::Established, 431_690)), Some(9));
}

#[test]
fn a_day_is_a_base_of_established_wherever_the_kernel_can_have_flowtables() {
    let day = tcp(TcpState::Established, 86_390);
    for possible in [true, false] {
        let features = Features { flowtables_possible: possible, ..debian() };
        assert_eq!(idle_with(&features, &day), Some(9));
    }
    assert_eq!(idle_with(&Features::default(), &day), Some(345_609), "no flowtable in this kernel");
    // With a base of two hours nothing tells how a flow came to have a day left.
    let established = Timeout::named("tcp_timeout_established").unwrap();
    let mut history = TimeoutHistory::default();
    history.saw_one(established, 7440, None);
    assert_eq!(Bases::new(&history, &[], &debian()).least_idle_seconds(&day, UP), Some(9));
}

#[test]
fn before_5_14_what_leaves_a_flowtable_has_two_minutes_or_half_a_one() {
    let old = Features { flowtables_possible: true, assured_udp_is_stream: false, ..Features::default() };
    assert_eq!(idle_with(&old, &tcp(TcpState::Established, 110)), Some(9));
    assert_eq!(idle_with(&old, &udp(Status::SEEN_REPLY, 25)), Some(4));
    assert_eq!(idle_with(&old, &tcp(TcpState::Established, 86_300)), Some(99));
}

#[test]
fn before_5_16_assured_udp_may_have_the_short_timeout() {
    let old = Features { assured_udp_is_stream: false, ..Features::default() };
    let assured = |left| udp(Status::SEEN_REPLY | Status::ASSURED, left);
    assert_eq!(idle_with(&old, &assured(28)), Some(1));
    assert_eq!(idle_with(&Features::default(), &assured(28)), Some(91));
    assert_eq!(idle_with(&old, &assured(40)), Some(79));
}

#[test]
fn a_rst_that_does_not_close_leaves_the_unacknowledged_base() {
    for state in 3..=9 {
        let entry = tcp(TcpState::from_kernel(state), 299);
        assert_eq!(idle_with(&Features::default(), &entry), Some(0), "{state}");
    }
    let mut history = TimeoutHistory::default();
    history.saw_one(Timeout::named("tcp_timeout_unacknowledged").unwrap(), 200, Some(UP - 5));
    let bases = Bases::new(&history, &[], &Features::default());
    assert_eq!(bases.least_idle_seconds(&tcp(TcpState::Established, 198), UP), Some(1), "as it is set today");
}

#[test]
fn gre_keeps_the_base_of_its_birth_so_that_none_is_known() {
    for (status, left) in [(0, 28), (Status::SEEN_REPLY | Status::ASSURED, 179), (Status::SEEN_REPLY, 598)] {
        let mut entry = udp(status, left);
        entry.original.protocol = GRE;
        assert_eq!(idle_with(&Features::default(), &entry), None);
        assert!(!little_is_left(&stock(), &entry));
    }
}
