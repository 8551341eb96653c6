//! Scans in calm, where only observation proves anything.

use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

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

/// Of closed entries, whose floor is 5 s.
fn closed(entries: u64, idle: &[(u32, u64)]) -> Scan {
    Scan { by_observation: true, ..seen(&[(Class::Closed, idle)]) }.of(entries)
}

trait Of {
    fn of(self, entries: u64) -> Scan;
}

impl Of for Scan {
    fn of(mut self, entries: u64) -> Scan {
        self.classes
            .iter_mut()
            .filter(|seen| seen.class == Class::Closed)
            .for_each(|seen| seen.entries = entries);
        self
    }
}

/// Scans that met nothing were 1, 2, 3 and up to 10 s apart, whatever came to be past its floor meanwhile.
#[test]
fn under_pressure_the_second_scan_comes_as_soon_as_it_can_prove_anything() {
    let mut settings = pinned();
    settings.flush.closed_idle_floor_seconds = 5;
    let met = |scan: Scan, settings: &Settings, barren: u32| {
        let memory = Memory { barren: Some((NOW, barren)), ..at_level(Level::Critical) };
        let due = |after: f64| {
            let scan = Some(Scan { at_seconds: NOW, weighed: Some(Default::default()), ..scan.clone() });
            let now_seconds = NOW + after;
            decide(&Snapshot { now_seconds, scan, ..table(96_000) }, &memory, settings).0.scan
        };
        (1..400).map(|tenth| f64::from(tenth) / 10.0).find(|after| due(*after)).expect("a scan")
    };
    for barren in [1, 3, 10, 1000] {
        let at = met(closed(96_000, &[]), &settings, barren);
        assert!((1.0..=1.1).contains(&at), "{at} after {barren}");
    }
    settings.flush.closed_idle_floor_seconds = 40;
    assert!((8.0..=8.1).contains(&met(closed(96_000, &[]), &settings, 10)), "a fifth of the floor");
    let nearly = closed(96_000, &[(38, 10)]);
    assert!((1.0..=1.1).contains(&met(nearly, &settings, 10)), "what was met before comes to its floor");
    let slow = Scan { duration_seconds: 0.5, ..closed(96_000, &[]) };
    assert!(
        (5.0..=5.1).contains(&met(
            slow,
            &Settings {
                flush: FlushSettings { closed_idle_floor_seconds: 5, ..settings.flush.clone() },
                ..settings.clone()
            },
            1
        )),
        "a tenth of a core"
    );
    let by_arithmetic = Scan { by_observation: false, ..closed(96_000, &[]) };
    let at = met(by_arithmetic, &settings, 10);
    assert!((10.0..=10.1).contains(&at), "{at}: time left told all");
}

#[test]
fn what_looks_idle_only_by_the_timeouts_of_today_is_told() {
    let scan = |presumed| Some(Scan { presumed, ..seen(&[]) });
    let told = |presumed| {
        let plan = plan_of(&Snapshot { scan: scan(presumed), ..table(50_000) }, &pinned());
        plan.waiting.iter().filter(|why| why.starts_with("7 entries are idle past their floor")).count()
    };
    assert_eq!((told(0), told(7)), (0, 1));
}
