//! Bases that the kernel's code and its flowtables add to those of an entry.

use std::collections::BTreeSet;

use super::NamespaceValues;
use crate::core::model::Features;
use crate::linux::flow_table::FlowTableProbe;
use crate::linux::sysctl;

/// Features of the running kernel as they are looked at again and again.
pub(super) struct SeenFeatures {
    /// Flowtables are in use, or were in this boot.
    pub flowtables: bool,
    /// Values of `nf_flowtable_tcp_timeout` and `nf_flowtable_udp_timeout` that were seen.
    flowtable_seconds: [BTreeSet<u32>; 2],
    flow_table: FlowTableProbe,
    assured_udp_is_stream: bool,
}

impl SeenFeatures {
    /// Of the running kernel.
    pub fn new(values: &NamespaceValues) -> Self {
        let release = sysctl::kernel_release();
        let sysctls = values.sysctls.flowtable_tcp_timeout().is_some();
        SeenFeatures {
            flowtables: false,
            flowtable_seconds: Default::default(),
            flow_table: FlowTableProbe::new(&release, sysctls),
            assured_udp_is_stream: Features::assured_udp_is_stream(&release),
        }
    }

    /// As they are now, and were.
    pub fn look(&mut self, values: &NamespaceValues) -> Features {
        let code = self.flow_table.look();
        self.flowtables |= code.used;
        let now = [values.sysctls.flowtable_tcp_timeout(), values.sysctls.flowtable_udp_timeout()];
        for (seen, now) in self.flowtable_seconds.iter_mut().zip(now) {
            seen.extend(now);
        }
        let [tcp, udp] = &self.flowtable_seconds;
        Features {
            flowtable_tcp_seconds: tcp.iter().copied().collect(),
            flowtable_udp_seconds: udp.iter().copied().collect(),
            flowtables_possible: self.flowtables || code.there,
            assured_udp_is_stream: self.assured_udp_is_stream,
        }
    }
}
