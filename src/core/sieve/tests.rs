//! The judgement of single entries, by subject.

mod classes;
mod knowing;
mod proof;
mod properties;
mod protection;
mod scan;
mod second_chance;

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::core::model::*;
use crate::core::policy::OwnHost;
use crate::core::state::TimeoutHistory;

const UP: u32 = 10_000_000;

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn tuple(protocol: u8, source: u8, destination: u8, port: u16) -> Tuple {
    let l4 = L4::Ports { source: 40_000, destination: port };
    Tuple { source: address(source), destination: address(destination), protocol, l4 }
}

/// A connection that has been idle for so long for certain: time left is cut to whole seconds, so that one more has
/// to have passed by it.
fn established(idle: u32) -> Entry {
    Entry {
        id: 1,
        original: tuple(TCP, 1, 2, 443),
        status: Status(Status::SEEN_REPLY | Status::ASSURED | Status::CONFIRMED),
        timeout_seconds: Some(431_999 - idle),
        tcp: Some(TcpInfo { state: TcpState::Established, flags_original: 0, flags_reply: 0 }),
        ..Entry::default()
    }
}

fn in_state(state: TcpState, left: u32) -> Entry {
    let tcp = Some(TcpInfo { state, flags_original: 0, flags_reply: 0 });
    Entry { tcp, timeout_seconds: Some(left), ..established(0) }
}

fn grounds() -> Grounds {
    let bases = Bases::new(&TimeoutHistory::default(), &[], &Features::default());
    Grounds { bases: Some(bases), up_seconds: UP, unix_seconds: 2_000_000_000, ..Grounds::default() }
}

/// Everything that a sieve borrows.
struct Scene {
    settings: FlushSettings,
    protection: Protection,
    identify: Identify,
    sightings: SharedSightings,
    observations: Observations,
}

impl Scene {
    fn new() -> Self {
        Self::protecting(ProtectSettings::default())
    }

    fn protecting(protect: ProtectSettings) -> Self {
        let own = OwnHost { addresses: [address(254)].into(), ssh_ports: vec![22] };
        Scene {
            settings: FlushSettings::default(),
            protection: Protection::new(protect, own),
            identify: Identify::default(),
            sightings: SharedSightings::default(),
            observations: Observations::default(),
        }
    }

    fn sieve(&mut self) -> Sieve<'_> {
        let Scene { settings, protection, identify, sightings, observations } = self;
        Sieve::new(settings, protection, identify, sightings.clone(), observations, grounds())
    }

    fn judge(&mut self, entry: &Entry) -> Judged {
        self.sieve().judge(entry)
    }
}
