//! A command that asks an agent judges as the agent does.

use super::*;

/// What the agent of `scene` tells of an entry at `up` seconds, through its words.
fn told(scene: &Scene, entry: &Entry, up: f64) -> Knowledge {
    let fingerprint = scene.identify.entry(entry);
    let (observed, second_chance) = scene.observations.tell(fingerprint, up);
    let foreign = scene.sightings.read().expect("whole").foreign(fingerprint);
    let text = serde_json::to_string(&Knowledge { foreign, observed, second_chance }).expect("JSON");
    serde_json::from_str(&text).expect("the same")
}

fn at(sieve: &mut Sieve<'_>, up: u32) {
    sieve.refresh(Grounds { up_seconds: up, ..grounds() });
}

/// The agent's own judgement at `up`, and that of a command a moment later that has only what it tells.
fn both(agent: &mut Scene, entry: &Entry, up: u32) -> (Judged, Judged) {
    let mut command = Scene::new();
    command.settings = agent.settings.clone();
    command.observations = Observations::none();
    let known = told(agent, entry, f64::from(up) + 0.4);
    let mut sieve = command.sieve();
    // It has not looked at the clock for a while.
    at(&mut sieve, up - 7);
    let by_command = sieve.judge_knowing(entry, &known, f64::from(up) + 0.4, f64::from(up));
    drop(sieve);
    let unknown = Knowledge::default();
    assert_eq!(told(&command, entry, f64::from(up)), unknown, "nothing is kept of it");
    let mut sieve = agent.sieve();
    at(&mut sieve, up);
    (sieve.judge(entry), by_command)
}

fn scanned(agent: &mut Scene, entry: &Entry, up: u32) {
    let mut sieve = agent.sieve();
    at(&mut sieve, up);
    sieve.judge(entry);
    sieve.finish(f64::from(up), 0.0, true, true);
}

#[test]
fn what_the_agent_observed_of_another_writers_entry_the_command_knows_too() {
    let mut agent = Scene::new();
    let committed = in_state(TcpState::Established, 20_000);
    let event = Event { kind: EventKind::New, entry: committed, foreign: true };
    agent.sightings.write().expect("whole").event(&event, &agent.identify);
    scanned(&mut agent, &committed, UP);
    let later = in_state(TcpState::Established, 11_000);
    let (by_agent, by_command) = both(&mut agent, &later, UP + 9000);
    assert_eq!((by_agent.idle_seconds, by_agent.eligible), (Some(8995), true));
    assert_eq!(by_command, by_agent);
    // A packet since then.
    let spoke = in_state(TcpState::Established, 11_500);
    let (_, by_command) = both(&mut agent, &spoke, UP + 9010);
    assert_eq!((by_command.idle_seconds, by_command.eligible), (None, false));
    assert_eq!(by_command.unproven, Some(Unproven::Foreign));
}

#[test]
fn one_way_udp_that_two_scans_found_silent_is_so_for_the_command() {
    let mut agent = Scene::new();
    let one_way = |left| Entry {
        original: tuple(UDP, 1, 2, 514),
        status: Status(0),
        tcp: None,
        ..in_state(TcpState::None, left)
    };
    scanned(&mut agent, &one_way(120), UP);
    let (by_agent, by_command) = both(&mut agent, &one_way(70), UP + 50);
    assert_eq!((by_agent.idle_seconds, by_agent.eligible), (Some(45), true));
    assert_eq!(by_command, by_agent);
    let mut alone = Scene::new();
    let judged = alone.judge(&one_way(70));
    assert_eq!((judged.idle_seconds, judged.unproven), (None, Some(Unproven::OneWay)));
}

#[test]
fn a_second_chance_is_one_for_the_command() {
    let mut agent = Scene::new();
    agent.sieve().given_grace(&established(8000), 8000, 60, UP);
    let waiting = in_state(TcpState::Established, 45);
    let (by_agent, by_command) = both(&mut agent, &waiting, UP + 15);
    assert!(by_agent.second_chance && by_agent.in_grace && by_agent.idle_seconds == Some(8015));
    assert_eq!(by_command, by_agent);
    let verdict = by_command.verdict(&waiting, &FlushSettings::default());
    assert_eq!(verdict.to_string(), "stays: second chance, gone in 45s unless a packet comes");
    assert_eq!((verdict.exact_seconds(), IdleText::from(&verdict).to_string()), (None, ">=2h13m".into()));
    // Alone, with no more than 300 s of data in flight to go by.
    let judged = Scene::new().judge(&waiting).verdict(&waiting, &FlushSettings::default());
    assert_eq!(judged.to_string(), "stays: gone in 45s unless a packet comes");
}
