//! Facts that the kernel would tell besides the table.

use super::table::Table;
use crate::core::model::{Drops, GatewayModel, MemoryFacts};

/// Counted since the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// New entries, from events.
    pub new: u64,
    /// The per-CPU statistics.
    pub drops: Drops,
}

/// Memory and statistics.
#[derive(Clone, PartialEq, Debug)]
pub struct Facts {
    gateway: GatewayModel,
    /// MemAvailable without the table.
    free_bytes: u64,
    /// Statistics since the beginning.
    pub statistics: Statistics,
}

impl Facts {
    /// Facts at the beginning, with `entries` in the table.
    pub fn new(gateway: &GatewayModel, entries: u64) -> Self {
        let free_bytes =
            gateway.available_bytes.saturating_add(entries.saturating_mul(gateway.bytes_per_entry));
        Facts { gateway: gateway.clone(), free_bytes, statistics: Statistics::default() }
    }

    /// Something else takes or gives back memory.
    pub fn set_available(&mut self, bytes: u64, entries: u64) {
        self.free_bytes = bytes.saturating_add(entries.saturating_mul(self.gateway.bytes_per_entry));
    }

    /// As the gauge reads it: what the table takes is not available any more.
    pub fn memory(&self, table: &Table) -> MemoryFacts {
        let taken = table.entries().saturating_mul(self.gateway.bytes_per_entry);
        MemoryFacts {
            total_bytes: self.gateway.total_bytes,
            available_bytes: self.free_bytes.saturating_sub(taken),
            bytes_per_entry: self.gateway.bytes_per_entry,
            bytes_per_entry_basis: "the scenario's".into(),
            entries_all_namespaces: Some(table.entries()),
            ..MemoryFacts::default()
        }
    }
}
