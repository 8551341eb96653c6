//! What is never given up.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::model::{Entry, ProtectSettings, Status, TCP};

/// The gateway's own side of what `[protect] ports` and `own_ssh` speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnHost {
    /// Addresses of the namespace.
    pub addresses: HashSet<IpAddr>,
    /// Ports on which its SSH server may listen.
    pub ssh_ports: Vec<u16>,
}

/// Tells why an entry is protected.
#[derive(Clone, Debug)]
pub struct Protection {
    settings: ProtectSettings,
    own: OwnHost,
}

impl Protection {
    /// From what the operator set and what the gateway is.
    pub fn new(settings: ProtectSettings, own: OwnHost) -> Self {
        Protection { settings, own }
    }

    /// Why this entry stays, or nothing. `has_children`: an expected connection names it as its master.
    pub fn reason(&self, entry: &Entry, has_children: bool) -> Option<&'static str> {
        let settings = &self.settings;
        let status = entry.status;
        if status.any(Status::OFFLOAD | Status::HW_OFFLOAD) {
            return Some("its packets bypass conntrack (flowtable)");
        }
        if status.any(Status::FIXED_TIMEOUT) {
            return Some("its timeout is fixed");
        }
        if settings.helpers {
            if entry.helper || status.any(Status::HELPER) {
                return Some("a helper is attached");
            }
            if entry.master.is_some() || status.any(Status::EXPECTED) {
                return Some("it is the child of another connection");
            }
            if has_children {
                return Some("it is the master of another connection");
            }
        }
        if settings.zones.contains(&entry.zone) {
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
        self.own_service(entry)
    }

    /// Services on the gateway's own addresses, after DNAT.
    fn own_service(&self, entry: &Entry) -> Option<&'static str> {
        let (address, port) = match entry.reply {
            Some(reply) => (reply.source, reply.source_port()),
            None => (entry.original.destination, entry.original.destination_port()),
        };
        if !self.own.addresses.contains(&address) {
            return None;
        }
        let port = port?;
        if self.settings.own_ssh && entry.original.protocol == TCP && self.own.ssh_ports.contains(&port) {
            return Some("an SSH session with the gateway itself");
        }
        self.settings.ports.contains(&port).then_some("[protect] ports")
    }
}
