//! What is idle for certain, by arithmetic and by observation.

use super::*;
use crate::core::model::{Event, EventKind, Features, L4, TcpInfo, Timeout, Tuple};
use crate::core::state::{FirstLook, Identify, TimeoutHistory};

fn entry(left: u32) -> Entry {
    let l4 = L4::Ports { source: 1, destination: 2 };
    Entry {
        id: 1,
        original: Tuple { protocol: TCP, l4, ..Tuple::default() },
        status: Status(Status::SEEN_REPLY | Status::ASSURED),
        timeout_seconds: Some(left),
        tcp: Some(TcpInfo { state: TcpState::Established, flags_original: 0, flags_reply: 0 }),
        ..Entry::default()
    }
}

struct Scene {
    bases: Bases,
    sightings: Sightings,
    observations: Observations,
    identify: Identify,
}

impl Scene {
    fn new() -> Self {
        let bases = Bases::new(&TimeoutHistory::default(), &[], &Features::default());
        let (sightings, observations, identify) = Default::default();
        Scene { bases, sightings, observations, identify }
    }

    fn scan(&mut self, entry: &Entry, class: Class, up_seconds: u32, mode: IdleProof) -> Idle {
        self.observations.begin();
        let mut proofs = Proofs {
            bases: Some(&self.bases),
            mode,
            conntrackd: false,
            unheard_until_seconds: None,
            flowtables: false,
            up_seconds,
            unix_seconds: 0,
            sightings: &self.sightings,
            observations: &mut self.observations,
        };
        let idle = proofs.idle(entry, class, self.identify.entry(entry));
        self.observations.end(true, up_seconds);
        idle
    }
}

#[test]
fn nothing_is_idle_for_longer_than_the_host_is_up() {
    let mut scene = Scene::new();
    let idle = entry(424_000);
    assert_eq!(scene.scan(&idle, Class::Established, 10_000, IdleProof::Auto), Idle::Certain(7999));
    assert_eq!(scene.scan(&idle, Class::Established, 7000, IdleProof::Auto), Idle::Unknown);
}

#[test]
fn another_writers_entry_is_proven_by_observation_alone() {
    let mut scene = Scene::new();
    let committed = entry(10_000);
    let event = Event { kind: EventKind::New, entry: committed, foreign: true };
    scene.sightings.event(&event, &scene.identify);
    assert_eq!(scene.scan(&committed, Class::Established, 1_000_000, IdleProof::Auto), Idle::Unknown);
    let later = entry(9900);
    assert_eq!(scene.scan(&later, Class::Established, 1_000_100, IdleProof::Auto), Idle::Certain(95));
    let destroyed = Event { kind: EventKind::Destroy, ..event };
    scene.sightings.event(&destroyed, &scene.identify);
    assert!(!scene.sightings.any_foreign());
}

#[test]
fn where_little_is_left_another_may_have_written_it_before_the_agent_came() {
    for mode in [IdleProof::Auto, IdleProof::Arithmetic] {
        let mut scene = Scene::new();
        let mut of = |left, class| scene.scan(&entry(left), class, 1_000_000, mode);
        assert_eq!(of(600, Class::Established), Idle::Unknown, "{mode:?}");
        assert_eq!(of(3601, Class::Established), Idle::Certain(428_398), "{mode:?}");
        let mut closed = entry(2);
        closed.tcp = Some(TcpInfo { state: TcpState::TimeWait, flags_original: 0, flags_reply: 0 });
        let idle = scene.scan(&Entry { timeout_seconds: Some(5), ..closed }, Class::Closed, 1_000_000, mode);
        assert_eq!(idle, Idle::Certain(4), "{mode:?}: of the 10 s after a RST");
        let idle = scene.scan(&Entry { timeout_seconds: Some(11), ..closed }, Class::Closed, 1_000_000, mode);
        assert_eq!(idle, Idle::Certain(108), "{mode:?}");
    }
    let mut scene = Scene::new();
    let mut of = |left, up| scene.scan(&entry(left), Class::Established, up, IdleProof::Auto);
    assert_eq!(of(600, 1_000_000), Idle::Unknown);
    assert_eq!(of(500, 1_000_100), Idle::Certain(95), "observed");
}

#[test]
fn an_entry_whose_birth_was_lost_may_be_another_writers_where_there_is_one() {
    let mut sightings = Sightings::default();
    sightings.unheard([1].into_iter());
    assert!(!sightings.foreign(1), "nobody else writes here");
    let event = Event { kind: EventKind::New, entry: entry(1), foreign: true };
    sightings.event(&event, &Identify::default());
    sightings.unheard([1].into_iter());
    assert!(sightings.foreign(1));
}

#[test]
fn a_packet_between_two_scans_starts_the_observation_again() {
    let mut scene = Scene::new();
    let observed = IdleProof::Observed;
    assert_eq!(scene.scan(&entry(1000), Class::Established, 50, observed), Idle::Unknown);
    assert_eq!(scene.scan(&entry(980), Class::Established, 70, observed), Idle::Certain(15));
    assert_eq!(scene.scan(&entry(1000), Class::Established, 90, observed), Idle::Unknown);
    assert_eq!(scene.scan(&entry(990), Class::Established, 100, observed), Idle::Certain(5));
}

#[test]
fn one_way_udp_that_was_renewed_never_counts_as_idle() {
    let mut scene = Scene::new();
    let mut one_way = entry(100);
    one_way.original.protocol = UDP;
    (one_way.status, one_way.tcp) = (Status::default(), None);
    let mut at = |left: u32, now: u32| {
        let entry = Entry { timeout_seconds: Some(left), ..one_way };
        scene.scan(&entry, Class::Unreplied, now, IdleProof::Auto)
    };
    assert_eq!(at(100, 1000), Idle::Unknown);
    assert_eq!(at(60, 1040), Idle::Certain(35));
    assert_eq!(at(170, 1050), Idle::Unknown);
    assert_eq!(at(100, 1120), Idle::Unknown);
}

#[test]
fn a_fixed_timeout_runs_down_whatever_comes() {
    let mut scene = Scene::new();
    let fixed = |left| Entry { status: Status(Status::SEEN_REPLY | Status::FIXED_TIMEOUT), ..entry(left) };
    scene.scan(&fixed(1000), Class::Established, 50, IdleProof::Observed);
    assert_eq!(scene.scan(&fixed(900), Class::Established, 150, IdleProof::Observed), Idle::Unknown);
}

/// A look at `FIRST`, where these timeouts had been set to what they are.
fn looked_first(values: &[(&str, u32)]) -> Bases {
    let values = values.iter().map(|(name, seconds)| (Timeout::named(name).unwrap(), *seconds)).collect();
    let mut history = TimeoutHistory::default();
    history.look(&values, FIRST);
    Bases::new(&history, &[], &Features::default())
}

const FIRST: u32 = 1_000_000;

fn stream(left: u32) -> Entry {
    let mut entry = entry(left);
    entry.original.protocol = UDP;
    Entry { tcp: None, ..entry }
}

#[test]
fn a_timeout_that_was_set_before_the_first_look_proves_no_more_silence_than_since() {
    let mut scene = Scene::new();
    scene.bases = looked_first(&[("udp_timeout_stream", 600)]);
    let mut at = |left, up| scene.scan(&stream(left), Class::Udp, up, IdleProof::Arithmetic);
    // Of 180 s two seconds after a packet, or of 600 s after seven minutes.
    assert_eq!(at(178, FIRST), Idle::Unknown);
    assert_eq!(at(178, FIRST + 100), Idle::Certain(95));
    // A packet since has set what is known.
    assert_eq!(at(590, FIRST + 100), Idle::Certain(9));
    assert_eq!(at(170, FIRST + 1000), Idle::Certain(429));
    let mut scene = Scene::new();
    scene.bases = looked_first(&[("tcp_timeout_established", 1000)]);
    let mut at = |left, up| scene.scan(&entry(left), Class::Established, up, IdleProof::Arithmetic);
    assert_eq!(at(598, FIRST + 2), Idle::Unknown);
    assert_eq!(at(598, FIRST + 65), Idle::Certain(60));
}

#[test]
fn where_a_timeout_is_the_kernels_own_only_what_has_run_down_far_is_doubtful() {
    let mut scene = Scene::new();
    scene.bases = looked_first(&[("tcp_timeout_established", 432_000), ("udp_timeout_stream", 120)]);
    let mut established = |left| scene.scan(&entry(left), Class::Established, FIRST, IdleProof::Arithmetic);
    assert_eq!(established(424_000), Idle::Certain(7999));
    assert_eq!(established(86_401), Idle::Certain(345_598));
    // Of a day, of two hours: raised to five days a moment ago.
    assert_eq!((established(86_398), established(7198)), (Idle::Unknown, Idle::Unknown));
    assert_eq!(established(150), Idle::Certain(149), "of the 300 s of data in flight");
    let mut udp = |left, up| scene.scan(&stream(left), Class::Udp, up, IdleProof::Arithmetic);
    assert_eq!((udp(70, FIRST), udp(58, FIRST)), (Idle::Certain(49), Idle::Unknown));
    assert_eq!(udp(58, FIRST + 100), Idle::Certain(61));
}

#[test]
fn what_has_nothing_to_lose_is_believed_whatever_was_set() {
    let mut scene = Scene::new();
    scene.bases = looked_first(&[("tcp_timeout_syn_sent", 100), ("tcp_timeout_time_wait", 100)]);
    let mut at = |state, class| {
        let tcp = Some(TcpInfo { state, flags_original: 0, flags_reply: 0 });
        scene.scan(&Entry { tcp, ..entry(50) }, class, FIRST, IdleProof::Arithmetic)
    };
    assert_eq!(at(TcpState::SynSent, Class::Unreplied), Idle::Certain(49));
    // A server may speak on in TIME_WAIT.
    assert_eq!(at(TcpState::TimeWait, Class::Closed), Idle::Unknown);
    scene.bases = looked_first(&[("tcp_timeout_time_wait", 120)]);
    let time_wait = Some(TcpInfo { state: TcpState::TimeWait, flags_original: 0, flags_reply: 0 });
    let entry = Entry { tcp: time_wait, ..entry(50) };
    assert_eq!(scene.scan(&entry, Class::Closed, FIRST, IdleProof::Arithmetic), Idle::Certain(69));
}

#[test]
fn a_look_of_an_agent_before_this_one_counts() {
    let values = [(Timeout::named("tcp_timeout_established").unwrap(), 1000)].into();
    let mut history = TimeoutHistory::default();
    history.look(&values, FIRST);
    let earlier = FirstLook { at_seconds: FIRST - 5000, ..history.first_look().unwrap().clone() };
    history.continue_from(earlier, FIRST - 1);
    history.look(&values, FIRST + 1);
    let mut scene = Scene::new();
    scene.bases = Bases::new(&history, &[], &Features::default());
    assert_eq!(scene.scan(&entry(301), Class::Established, FIRST, IdleProof::Auto), Idle::Certain(698));
}
