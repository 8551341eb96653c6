//! A gateway's table of any size, with max raised for as long as it lives.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use crate::Asked;
use crate::harness::agent::{Agent, Setup};
use crate::harness::fill::fill;
use crate::harness::flow::{Flow, L4, source};
use crate::harness::hostwide::{self, BUCKETS, Restore};
use crate::harness::namespace::{Namespace, unique};
use crate::harness::table::ESTABLISHED;
use crate::harness::tool::tool;

/// In force for what would else be gone before it is measured.
const LONG_SECONDS: u32 = 100_000;
const LONG: [&str; 3] = ["udp_timeout", "udp_timeout_stream", "icmp_timeout"];

/// A table of millions is dumped before an agent is ready, on a machine that others use too.
const PATIENCE: Duration = Duration::from_secs(300);
/// Entries a bucket, were the table full.
const LONGEST_CHAIN: u64 = 10;

/// Nothing that the host shares is written by the agent, and nothing is under pressure unless a part makes it so.
pub const KEEPS_MAX: &str = "[capacity]\nenabled = false\nbuckets = \"never\"\n";

pub const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// A namespace, a place for its agent's files, and the host's values as they were.
pub struct Gateway {
    setup: Setup,
    pub namespace: Namespace,
    _restore: Restore,
}

impl Gateway {
    /// An empty one, in a host whose max is `max`.
    pub fn new(max: u64) -> Self {
        let restore = Restore::new();
        restore.pin_max(max);
        // Where chains are too long, the kernel refuses entries below max too (nf_conntrack_hash_insert).
        if hostwide::read(BUCKETS) < max / LONGEST_CHAIN {
            set_buckets(max / LONGEST_CHAIN);
        }
        let namespace = Namespace::new(&unique());
        for name in LONG {
            namespace.set_sysctl(&format!("net/netfilter/nf_conntrack_{name}"), LONG_SECONDS);
        }
        let mut setup = Setup::new(&namespace, KEEPS_MAX);
        // All that this process starts is aged already.
        setup.aged = false;
        setup.patience = PATIENCE;
        Gateway { setup, namespace, _restore: restore }
    }

    /// The same in a host with as many buckets.
    pub fn with_buckets(self, buckets: u32) -> Self {
        set_buckets(buckets.into());
        self
    }

    /// One with `entries` of a mixed kind spread over `sources`, and half of max free.
    pub fn mixed(entries: u32, sources: u32) -> Self {
        Self::new(u64::from(entries) * 2 + 100_000).filled(entries, sources)
    }

    /// The same after so many of a mixed kind came.
    pub fn filled(self, entries: u32, sources: u32) -> Self {
        fill(&self.namespace, (0..entries).map(|n| mixed(n, sources)));
        self
    }

    pub fn count(&self) -> u64 {
        self.namespace.sysctl_number("net/netfilter/nf_conntrack_count")
    }

    /// Whether agents that are started from now on know who each entry is.
    pub fn remembers(&self, whether: bool) {
        self.setup.write(&format!("remember_entries = {whether}"), KEEPS_MAX);
    }

    pub fn start(&self) -> Agent<'_> {
        self.setup.start()
    }

    pub fn spawn(&self) -> Agent<'_> {
        self.setup.spawn(&[])
    }

    pub fn ctctl(&self, args: &[&str]) -> Command {
        self.setup.client(args)
    }
}

/// [`Restore`] puts them back; the kernel rounds them up.
fn set_buckets(buckets: u64) {
    std::fs::write(format!("/proc/sys/net/netfilter/{BUCKETS}"), buckets.to_string()).expect(BUCKETS);
}

/// conntrack(8), to be run inside a namespace.
pub fn conntrack(args: &[&str]) -> Command {
    let mut command = tool("conntrack");
    command.args(args);
    command
}

/// The `n`th flow of a table as gateways have it: TCP, UDP and echoes, idle for very different times.
pub fn mixed(n: u32, sources: u32) -> Flow {
    let (from, k) = (source(n % sources), n / sources);
    let port = 1024 + (k % 60_000) as u16;
    match (n + k) % 10 {
        0 => Flow::new(from, SERVER, L4::Echo(port), LONG_SECONDS - k % 60),
        1..=3 => Flow::new(from, SERVER, L4::Udp(port, 53), LONG_SECONDS - n % 300),
        4 => Flow::established(from, SERVER, port, n % 16_000).unreplied(),
        _ => Flow::established(from, SERVER, port, n % 16_000),
    }
}

/// The `n`th of flows with sources of their own network `first`/10, a hundred for each.
pub fn within(first: Ipv4Addr, n: u32, idle_seconds: u32) -> Flow {
    let from = Ipv4Addr::from(u32::from(first) + 1 + n / 100);
    Flow::new(
        from,
        SERVER,
        L4::Tcp(1024 + (n % 100) as u16, 443, ESTABLISHED),
        crate::harness::flow::ESTABLISHED_SECONDS - idle_seconds,
    )
}

impl Asked {
    /// The table of most parts.
    pub fn gateway(&self) -> Gateway {
        Gateway::mixed(self.entries, self.sources())
    }
}
