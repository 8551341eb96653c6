use super::*;
use crate::core::model::{L4, Status, TCP, TcpInfo, Tuple, UDP};

fn tuple(protocol: u8, port: u32) -> Tuple {
    let source = std::net::Ipv4Addr::from(0x0a00_0000 + (port >> 16)).into();
    let l4 = L4::Ports { source: port as u16, destination: 443 };
    Tuple { source, destination: [192, 0, 2, 2].into(), protocol, l4 }
}

fn reversed(tuple: Tuple) -> Tuple {
    let (source, destination) = (tuple.destination_port().unwrap(), tuple.source_port().unwrap());
    let l4 = L4::Ports { source, destination };
    Tuple { source: tuple.destination, destination: tuple.source, l4, ..tuple }
}

fn udp(port: u32) -> Entry {
    let original = tuple(UDP, port);
    Entry { original, reply: Some(reversed(original)), status: Status(Status::ASSURED), ..Entry::default() }
}

fn tcp(port: u32, state: TcpState) -> Entry {
    let original = tuple(TCP, port);
    let tcp = Some(TcpInfo { state, flags_original: 0, flags_reply: 0 });
    Entry { original, reply: Some(reversed(original)), tcp, ..Entry::default() }
}

fn meter() -> RegretMeter {
    RegretMeter::new(Identify::default())
}

fn new(entry: Entry) -> Event {
    Event { kind: EventKind::New, entry, foreign: false }
}

/// Flushed, watched and regretted of a class.
fn told(meter: &RegretMeter, class: Class, now: f64) -> (u64, u64, u64) {
    let told = meter.tell(now);
    told.iter().find(|t| t.class == class).map_or((0, 0, 0), |t| (t.flushed, t.watched, t.regretted))
}

fn delete(meter: &RegretMeter, entry: Entry, class: Class, now: f64) {
    meter.going([(entry, class)].into_iter(), now);
}

fn delete_many(meter: &RegretMeter, many: u32) {
    for batch in (0..many).step_by(256) {
        meter.going((batch..batch + 256).map(|port| (udp(port), Class::Udp)), 100.0);
    }
}

#[test]
fn a_question_from_a_port_that_asked_before_is_none_but_a_late_answer_is() {
    let meter = meter();
    // A port that came again while its entry lived has made that ASSURED.
    let assured = |port| if port == 1 { Status::ASSURED } else { 0 };
    let question = |port| Entry { status: Status(Status::SEEN_REPLY | assured(port)), ..udp(port) };
    for port in [1, 2, 3] {
        delete(&meter, question(port), Class::UdpShort, 100.0);
    }
    meter.heard(&new(question(1)), || 101.0);
    let answer =
        Entry { original: question(2).reply.unwrap(), reply: Some(question(2).original), ..question(2) };
    meter.heard(&new(answer), || 101.0);
    assert_eq!(told(&meter, Class::UdpShort, 102.0), (3, 3, 1));
    // Once it has asked again, its answers are those of the new question.
    let answer = Entry { original: question(1).reply.unwrap(), ..answer };
    meter.heard(&new(answer), || 103.0);
    assert_eq!(told(&meter, Class::UdpShort, 104.0), (3, 3, 1));
}

#[test]
fn a_flow_that_is_heard_of_within_a_minute_is_regretted_once() {
    let meter = meter();
    delete(&meter, udp(1), Class::Udp, 100.0);
    delete(&meter, udp(2), Class::Udp, 100.0);
    delete(&meter, udp(3), Class::Other, 100.0);
    let again = Entry { id: 77, status: Status(8), ..udp(1) };
    meter.heard(&new(again), || 159.0);
    meter.heard(&new(again), || 159.5);
    meter.heard(&new(udp(2)), || 161.0);
    meter.heard(&new(udp(4)), || 101.0);
    assert_eq!(told(&meter, Class::Udp, 161.0), (2, 2, 1));
    assert_eq!(told(&meter, Class::Other, 161.0), (1, 1, 0));
    assert_eq!(meter.tell(161.0)[0].last_seconds, Some(159.0));
}

#[test]
fn another_zone_an_end_and_another_writer_are_no_regret() {
    let meter = meter();
    delete(&meter, udp(1), Class::Udp, 100.0);
    meter.heard(&new(Entry { zone: 1, ..udp(1) }), || 101.0);
    meter.heard(&Event { kind: EventKind::Destroy, ..new(udp(1)) }, || 101.0);
    meter.heard(&Event { foreign: true, ..new(udp(1)) }, || 101.0);
    assert_eq!(told(&meter, Class::Udp, 102.0), (1, 1, 0));
    meter.heard(&new(udp(1)), || 103.0);
    assert_eq!(told(&meter, Class::Udp, 104.0), (1, 1, 1));
}

#[test]
fn a_server_that_speaks_first_says_that_the_flow_lived() {
    let meter = meter();
    delete(&meter, udp(1), Class::Udp, 100.0);
    meter.heard(&new(Entry { original: reversed(tuple(UDP, 1)), ..udp(1) }), || 101.0);
    meter.heard(&new(udp(1)), || 102.0);
    assert_eq!(told(&meter, Class::Udp, 103.0), (1, 1, 1), "one flow, however many packets");
}

#[test]
fn a_syn_is_a_new_connection_unless_a_syn_was_what_was_deleted() {
    let meter = meter();
    let classes = [
        (TcpState::Established, Class::Established, 0),
        (TcpState::TimeWait, Class::Closed, 0),
        (TcpState::Established, Class::FairShare, 0),
        (TcpState::SynSent, Class::Unreplied, 1),
        (TcpState::SynSent2, Class::FairShare, 1),
    ];
    for (port, (state, class, regretted)) in (10..).zip(classes) {
        delete(&meter, tcp(port, state), class, 100.0);
        let before = told(&meter, class, 101.0).2;
        meter.heard(&new(tcp(port, TcpState::SynSent)), || 101.0);
        assert_eq!(told(&meter, class, 101.0).2 - before, regretted, "{state:?}");
    }
    delete(&meter, tcp(1, TcpState::Established), Class::Established, 100.0);
    meter.heard(&new(tcp(1, TcpState::Established)), || 101.0);
    assert_eq!(told(&meter, Class::Established, 101.0), (2, 2, 1), "picked up in the middle");
    delete(&meter, tcp(2, TcpState::Established), Class::Established, 100.0);
    meter.heard(&new(tcp(2, TcpState::SynSent)), || 101.0);
    meter.heard(&new(tcp(2, TcpState::Established)), || 102.0);
    assert_eq!(told(&meter, Class::Established, 103.0), (3, 3, 1), "what follows is the new connection's");
}

#[test]
fn what_did_not_go_is_taken_back_with_its_regret() {
    let meter = meter();
    meter.going([(udp(1), Class::Udp), (udp(2), Class::Udp), (udp(3), Class::Udp)].into_iter(), 100.0);
    meter.heard(&new(udp(1)), || 100.1);
    meter.stayed(&udp(1), Class::Udp);
    meter.stayed(&udp(2), Class::Udp);
    meter.heard(&new(udp(2)), || 100.2);
    assert_eq!(told(&meter, Class::Udp, 101.0), (1, 1, 0));
    let recent = &meter.tell(101.0)[0];
    assert_eq!((recent.recent_watched, recent.recent_regretted), (1, 0));
}

#[test]
fn a_flow_that_is_deleted_twice_is_two_deletions() {
    let meter = meter();
    delete(&meter, udp(1), Class::Udp, 100.0);
    meter.heard(&new(udp(1)), || 110.0);
    delete(&meter, udp(1), Class::Udp, 120.0);
    // Not of the second batch: the first deletion's regret stays.
    meter.going([(udp(1), Class::Udp)].into_iter(), 130.0);
    meter.stayed(&udp(1), Class::Udp);
    assert_eq!(told(&meter, Class::Udp, 131.0), (2, 2, 1));
    delete(&meter, udp(1), Class::Udp, 140.0);
    meter.tell(185.0);
    meter.heard(&new(udp(1)), || 190.0);
    assert_eq!(told(&meter, Class::Udp, 190.0), (3, 3, 2), "the older records' end does not end the newest");
}

#[test]
fn the_window_forgets_and_the_totals_do_not() {
    let meter = meter();
    delete(&meter, udp(1), Class::Udp, 290.0);
    meter.heard(&new(udp(1)), || 310.0);
    let recent = |now: f64| {
        let told = &meter.tell(now)[0];
        (told.recent_watched, told.recent_regretted)
    };
    assert_eq!(recent(310.0), (1, 1), "counted with its deletion, in the span before");
    assert_eq!(recent(599.0), (1, 1));
    assert_eq!(recent(600.0), (0, 0));
    delete(&meter, udp(2), Class::Udp, 610.0);
    assert_eq!(recent(10_000.0), (0, 0), "however long nobody asked");
    assert_eq!(told(&meter, Class::Udp, 10_000.0), (2, 2, 1));
}

#[test]
fn memory_is_bounded_and_the_share_stays_right_beyond_it() {
    let meter = meter();
    let many = 4 * REMEMBERED as u32;
    delete_many(&meter, many);
    // Every twentieth lived.
    for port in (0..many).step_by(20) {
        meter.heard(&new(udp(port)), || 130.0);
    }
    let (flushed, watched, regretted) = told(&meter, Class::Udp, 131.0);
    assert_eq!(flushed, u64::from(many));
    let remembered = meter.vigil().records.len();
    assert!(remembered <= REMEMBERED && remembered > REMEMBERED / 2, "{remembered}");
    let share = 100.0 * regretted as f64 / watched as f64;
    assert!((4.0..6.0).contains(&share), "{share} % of {watched}");
    assert!(watched.abs_diff(flushed) < flushed / 20, "{watched} stand for {flushed}");
    meter.tell(161.0);
    let vigil = meter.vigil();
    assert!(vigil.records.is_empty() && vigil.records.tuples() == 0, "a minute later all is forgotten");
    assert!(!meter.watching.load(Ordering::Relaxed));
}

/// Of the last few only one in many is remembered; each of those stands for as many.
#[test]
fn what_was_deleted_last_counts_as_much_as_what_was_deleted_first() {
    let meter = meter();
    let many = 2 * REMEMBERED as u32;
    delete_many(&meter, many);
    let last = many - many / 20..many;
    last.for_each(|port| meter.heard(&new(udp(port)), || 130.0));
    let (flushed, watched, regretted) = told(&meter, Class::Udp, 131.0);
    let share = 100.0 * regretted as f64 / watched as f64;
    assert!((4.0..6.0).contains(&share), "{share} % of {watched} for {flushed}");
    let recent = &meter.tell(131.0)[0];
    assert_eq!(recent.recent_regretted, regretted);
    assert!((1..=regretted / 4).contains(&recent.recent_heard), "{} for {regretted}", recent.recent_heard);
}
