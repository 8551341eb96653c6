//! Entries that are never given up.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::core::model::{Entry, ProtectSettings, Status, TCP};

/// The gateway's own side of what `[protect] ports` and `own_ssh` speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnHost {
    /// Addresses of the namespace.
    pub addresses: HashSet<IpAddr>,
    /// Ports on which its SSH server may listen.
    pub ssh_ports: Vec<u16>,
}

/// Reason for which an entry stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protected {
    /// The reason in words.
    pub reason: &'static str,
    /// By configuration alone: at critical, with too much of the table under it, what is idle for certain loses it.
    pub liftable: bool,
}

/// Tells why an entry is protected.
#[derive(Clone, Debug)]
pub struct Protection {
    settings: ProtectSettings,
    own: OwnHost,
}

/// Reason for which a master is kept. Its child holds a reference to it (`init_conntrack`): deleted, it stays in the
/// count until the child has ended.
pub const MASTER: &str = "it is the master of another connection";

impl Protection {
    /// From what the operator set and what the gateway is.
    pub fn new(settings: ProtectSettings, own: OwnHost) -> Self {
        Protection { settings, own }
    }

    /// Protection of this entry, if it has any. `has_children`: an expected connection names it as its master.
    pub fn of(&self, entry: &Entry, has_children: bool) -> Option<Protected> {
        let always = self.always(entry, has_children);
        let protected = |liftable| move |reason| Protected { reason, liftable };
        always.map(protected(false)).or_else(|| self.by_configuration(entry).map(protected(true)))
    }

    /// Protection that holds whatever happens: of flows whose silence cannot be proven, or that carry what is alive.
    fn always(&self, entry: &Entry, has_children: bool) -> Option<&'static str> {
        let status = entry.status;
        if status.any(Status::OFFLOAD | Status::HW_OFFLOAD) {
            return Some("its packets bypass conntrack (flowtable)");
        }
        if status.any(Status::FIXED_TIMEOUT) {
            return Some("its timeout is fixed");
        }
        if self.settings.own_ssh
            && entry.original.protocol == TCP
            && self.own_port(entry, &self.own.ssh_ports)
        {
            return Some("an SSH session with the gateway itself");
        }
        has_children.then_some(MASTER)
    }

    fn by_configuration(&self, entry: &Entry) -> Option<&'static str> {
        let settings = &self.settings;
        let status = entry.status;
        if settings.helpers && (entry.helper || status.any(Status::HELPER)) {
            return Some("a helper is attached");
        }
        if settings.helpers && (entry.master.is_some() || status.any(Status::EXPECTED)) {
            return Some("it is the child of another connection");
        }
        if entry.zones().iter().any(|zone| settings.zones.contains(zone)) {
            return Some("[protect] zones");
        }
        if settings.marks.iter().any(|mark| mark.matches(entry.mark)) {
            return Some("[protect] marks");
        }
        if settings.sources.iter().any(|net| net.contains(&entry.original.source)) {
            return Some("[protect] sources");
        }
        let translated = entry.reply.map(|reply| reply.source);
        let destinations = [Some(entry.original.destination), translated];
        let reaches = |net: &ipnet::IpNet| destinations.iter().flatten().any(|address| net.contains(address));
        if settings.destinations.iter().any(reaches) {
            return Some("[protect] destinations");
        }
        self.own_port(entry, &settings.ports).then_some("[protect] ports")
    }

    /// One of these ports on one of the gateway's own addresses, after DNAT.
    fn own_port(&self, entry: &Entry, ports: &[u16]) -> bool {
        if ports.is_empty() {
            return false;
        }
        let (address, port) = match entry.reply {
            Some(reply) => (reply.source, reply.source_port()),
            None => (entry.original.destination, entry.original.destination_port()),
        };
        port.is_some_and(|port| ports.contains(&port)) && self.own.addresses.contains(&address)
    }
}

#[cfg(test)]
#[path = "protect_tests.rs"]
mod tests;
