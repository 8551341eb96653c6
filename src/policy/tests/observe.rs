//! Scans in calm, where only observation proves anything.

use super::fixtures::*;
use crate::model::*;

fn scans(mode: IdleProof, scan: Option<Scan>, change: impl FnOnce(&mut Settings)) -> bool {
    let mut settings = pinned();
    settings.flush.idle_proof = mode;
    change(&mut settings);
    plan_of(&Snapshot { scan, ..table(50_000) }, &settings).scan
}

fn aged(age: f64) -> Option<Scan> {
    Some(Scan { at_seconds: NOW - age, ..seen(&[]) })
}

#[test]
fn observation_alone_needs_scans_in_calm_once_a_minute() {
    let observed = |age| scans(IdleProof::Observed, aged(age), |_| ());
    assert!(!observed(59.9) && observed(60.0));
    assert!(scans(IdleProof::Observed, None, |_| ()));
}

#[test]
fn longer_floors_and_long_scans_make_it_rarer() {
    let long = |settings: &mut Settings| {
        let f = &mut settings.flush;
        for floor in [
            &mut f.closed_idle_floor_seconds,
            &mut f.unreplied_idle_floor_seconds,
            &mut f.udp_short_idle_floor_seconds,
            &mut f.udp_idle_floor_seconds,
            &mut f.other_idle_floor_seconds,
        ] {
            *floor = 4000;
        }
    };
    assert!(!scans(IdleProof::Observed, aged(999.0), long) && scans(IdleProof::Observed, aged(1000.0), long));
    let slow = |age| aged(age).map(|scan| Scan { duration_seconds: 2.0, ..scan });
    assert!(
        !scans(IdleProof::Observed, slow(199.0), |_| ()) && scans(IdleProof::Observed, slow(200.0), |_| ())
    );
}

#[test]
fn arithmetic_needs_none_and_auto_where_it_cannot_be_had_does() {
    let by_observation = || aged(1e6).map(|scan| Scan { by_observation: true, ..scan });
    assert!(!scans(IdleProof::Auto, aged(1e6), |_| ()));
    assert!(scans(IdleProof::Auto, by_observation(), |_| ()));
    assert!(!scans(IdleProof::Arithmetic, by_observation(), |_| ()));
    assert!(!scans(IdleProof::Observed, aged(1e6), |settings| settings.flush.enabled = false));
}
