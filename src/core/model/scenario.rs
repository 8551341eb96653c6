//! A scenario: what `ctctl simulate` plays in virtual time.

use ipnet::IpNet;

use super::settings::Settings;

/// A scenario that is simulated.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Its subject, in a line.
    pub summary: String,
    /// Seconds that it lasts.
    pub duration_seconds: f64,
    /// Second of the day at which it begins: the nightly flush knows the hour.
    pub starts_at_seconds: f64,
    /// The gateway at its beginning.
    pub gateway: GatewayModel,
    /// Costs of the agent's work in virtual time.
    pub costs: Costs,
    /// The agent's settings.
    pub settings: Settings,
    /// Traffic that opens flows.
    pub traffic: Vec<Traffic>,
    /// Events of the gateway besides traffic, in order of time.
    pub happenings: Vec<Happening>,
}

/// The gateway's limits at the beginning.
#[derive(Clone, PartialEq, Debug)]
pub struct GatewayModel {
    /// `nf_conntrack_max`; 0: no limit.
    pub max: u64,
    /// Buckets of the hash table, `nf_conntrack_buckets`.
    pub buckets: u64,
    /// Memory of the host, MemTotal.
    pub total_bytes: u64,
    /// Memory that is available, MemAvailable.
    pub available_bytes: u64,
    /// Bytes that one entry takes.
    pub bytes_per_entry: u64,
}

impl Default for GatewayModel {
    fn default() -> Self {
        GatewayModel {
            max: 262_144,
            buckets: 262_144,
            total_bytes: 4096 << 20,
            available_bytes: 3072 << 20,
            bytes_per_entry: 384,
        }
    }
}

/// Costs of the agent's work in virtual time. The defaults were measured on Linux 6.18 with two cores.
#[derive(Clone, PartialEq, Debug)]
pub struct Costs {
    /// A dump, an entry.
    pub scan_us_per_entry: f64,
    /// A dump, a bucket: every bucket of the host is walked.
    pub scan_us_per_bucket: f64,
    /// A deletion; the entry is looked at again before.
    pub delete_us_per_entry: f64,
    /// An update of a time left.
    pub update_us_per_entry: f64,
}

impl Default for Costs {
    fn default() -> Self {
        Costs {
            scan_us_per_entry: 1.2,
            scan_us_per_bucket: 0.05,
            delete_us_per_entry: 2.0,
            update_us_per_entry: 0.64,
        }
    }
}

/// A kind of flow, as far as its entry shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlowKind {
    /// A TCP connection, ESTABLISHED and ASSURED.
    Tcp,
    /// A SYN that nobody answers.
    Syn,
    /// UDP in both directions: ASSURED by a packet later than 2 s (`nf_conntrack_udp_packet`).
    Udp,
    /// UDP that nobody answers.
    OneWay,
    /// A question and its answer on port 53, in one breath.
    Dns,
    /// An echo and its answer.
    Icmp,
    /// Any other protocol (`nf_conntrack_proto_generic`).
    Generic,
}

/// End of a TCP connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlowEnd {
    /// By FIN: TIME_WAIT.
    Close,
    /// By RST: CLOSE.
    Reset,
    /// Nobody says so, and the entry stays ESTABLISHED.
    Silent,
    /// By the client's FIN alone: CLOSE_WAIT.
    HalfClosed,
}

/// Somebody who opens flows of one kind.
#[derive(Clone, PartialEq, Debug)]
pub struct Traffic {
    /// Name of the traffic.
    pub name: String,
    /// Its flows are nobody's loss.
    pub attacker: bool,
    /// Network of its sources.
    pub network: IpNet,
    /// Number of sources that share its flows evenly.
    pub sources: u64,
    /// Of what kind its flows are.
    pub kind: FlowKind,
    /// New flows a second.
    pub per_second: f64,
    /// From then on.
    pub from_seconds: f64,
    /// Time until which it comes.
    pub until_seconds: f64,
    /// They come evenly, as a machine sends them; else by chance (Poisson), as people do.
    pub even: bool,
    /// For how long new flows rise to `per_second`.
    pub ramp_seconds: f64,
    /// Mean life of a flow (exponential); 0: it is over as soon as it began.
    pub lifetime_seconds: f64,
    /// Seconds for which a flow that lives is silent between two packets.
    pub packet_every_seconds: f64,
    /// End of a flow.
    pub end: FlowEnd,
    /// Living flows that are there when it begins.
    pub stock: u64,
    /// Dead entries that are there when it begins.
    pub stale: u64,
    /// Their idleness then, evenly spread from the first to the second.
    pub stale_idle_seconds: (f64, f64),
    /// The entries that are there when it begins were written by another program (conntrackd after a failover), with
    /// at most 180 s left.
    pub committed: bool,
}

impl Traffic {
    /// One source in `network` that opens no flow yet.
    pub fn new(network: IpNet) -> Self {
        Traffic {
            name: "traffic".into(),
            attacker: false,
            network,
            sources: 1,
            kind: FlowKind::Tcp,
            per_second: 0.0,
            from_seconds: 0.0,
            until_seconds: f64::INFINITY,
            even: false,
            ramp_seconds: 0.0,
            lifetime_seconds: 0.0,
            packet_every_seconds: 1.0,
            end: FlowEnd::Close,
            stock: 0,
            stale: 0,
            stale_idle_seconds: (0.0, 0.0),
            committed: false,
        }
    }
}

/// Something that happens to the gateway.
#[derive(Clone, PartialEq, Debug)]
pub struct Happening {
    /// Time of the event.
    pub at_seconds: f64,
    /// Change that it makes.
    pub what: Change,
}

/// Change of the gateway.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Another program sets `nf_conntrack_max`.
    SetMax(u64),
    /// MemAvailable is this from now on.
    SetAvailableBytes(u64),
    /// A script empties the table (`conntrack -F`).
    Flush,
    /// The agent is started again, with nothing in its memory.
    RestartAgent,
}
