//! Settings of the operator: the configuration, with its defaults (the contract's "Configuration").

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, TcpInfo};
use super::mark::Mark;

use super::timeouts::{TIMEOUTS, Timeout};

/// The whole configuration.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Settings {
    pub agent: AgentSettings,
    pub pressure: PressureSettings,
    pub capacity: CapacitySettings,
    pub flush: FlushSettings,
    pub timeouts: TimeoutSettings,
    pub protect: ProtectSettings,
    pub metrics: MetricsSettings,
    pub log: LogSettings,
}

/// Table `[agent]` of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSettings {
    /// Namespaces to watch, by name or path; empty: the caller's.
    pub netns: Vec<String>,
    /// Control socket; `None`: `/run/ctctl/KEY.sock`.
    pub socket: Option<PathBuf>,
    /// Directory of baseline and journal; `None`: `/var/lib/ctctl/KEY`.
    pub state_dir: Option<PathBuf>,
    /// Decide and journal, change nothing.
    pub dry_run: bool,
    /// Milliseconds between two looks at the table when nothing wakes the agent earlier.
    pub interval_ms: u64,
    /// Group that may read from the control socket.
    pub socket_group: String,
    /// Values that SIGTERM and SIGINT put back.
    pub restore_on_exit: RestoreOnExit,
    /// Tells whether `nf_conntrack_events` is set to 1 while the agent runs.
    pub events: EventsSetting,
    /// Know who each entry is, not only whose.
    pub remember_entries: bool,
}

/// Value of `restore_on_exit`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestoreOnExit {
    /// Put every changed value back.
    Stop,
    /// Leave them, for a restart.
    Never,
}

/// Value of `events`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventsSetting {
    /// Set `nf_conntrack_events` to 1, so that every entry ends with an event.
    On,
    /// It is left as it is.
    Keep,
}

/// Table `[pressure]` of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PressureSettings {
    /// Relief brings usage down to this.
    pub target_percent: f64,
    /// Below this, for `calm_seconds`, is calm.
    pub low_percent: f64,
    /// At this, level high.
    pub high_percent: f64,
    /// At this, level critical.
    pub critical_percent: f64,
    /// Full within this is high too.
    pub horizon_seconds: f64,
    /// Seconds for which usage stays low before values go back.
    pub calm_seconds: f64,
}

/// Table `[capacity]` of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CapacitySettings {
    /// True if max may be raised.
    pub enabled: bool,
    /// Share of memory that the table may take.
    pub memory_percent: f64,
    /// Share of memory that stays available whatever happens.
    pub keep_available_percent: f64,
    /// Upper bound of max; 0: memory alone decides.
    pub ceiling: u64,
    /// Quota of this namespace; 0: max.
    pub limit: u64,
    /// Tells whether buckets may be sized at start.
    pub buckets: BucketsSetting,
    /// The longest stall, in milliseconds, that sizing them may cost.
    pub stall_budget_ms: f64,
}

/// Value of `buckets`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BucketsSetting {
    /// Once at start, if the stall stays inside the budget.
    Start,
    /// They are never sized.
    Never,
}

/// Table `[flush]` of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct FlushSettings {
    /// True if entries may be deleted.
    pub enabled: bool,
    /// Proofs of idleness that count.
    pub idle_proof: IdleProof,
    /// Deletions a second at level high.
    pub per_second_high: u64,
    /// Deletions a second at level critical, beyond what comes in meanwhile.
    pub per_second_critical: u64,
    /// True if fair share may act at critical.
    pub fair_share: bool,
    /// Prefix lengths that stand for one source, IPv4 and IPv6.
    pub source_prefix: (u8, u8),
    /// Weights of sources that stand for many.
    pub source_weights: Vec<(IpNet, f64)>,
    /// Floor of class closed.
    pub closed_idle_floor_seconds: u32,
    /// Floor below level critical of what is closed and may still be half open ([`TcpInfo::may_be_half_open`]).
    pub time_wait_idle_floor_seconds: u32,
    /// Floor of class unreplied.
    pub unreplied_idle_floor_seconds: u32,
    /// Ports of class udp-short.
    pub udp_short_ports: Vec<u16>,
    /// Floor of class udp-short.
    pub udp_short_idle_floor_seconds: u32,
    /// Floor of class udp.
    pub udp_idle_floor_seconds: u32,
    /// Floor of class other.
    pub other_idle_floor_seconds: u32,
    /// Floor of class established.
    pub established_idle_floor_seconds: u32,
    /// Nothing idle for less than this goes, whatever happens.
    pub emergency_idle_floor_seconds: u32,
    /// Time left that second chance gives.
    pub grace_seconds: u32,
}

/// Value of `idle_proof`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdleProof {
    /// Arithmetic where it is certain, observation elsewhere.
    Auto,
    /// Base timeout less time left, alone.
    Arithmetic,
    /// Two scans with the same expiry, alone.
    Observed,
}

/// Table `[timeouts]` of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeoutSettings {
    /// True if timeouts may be shortened.
    pub enabled: bool,
    /// Floors that the operator set; the others are [`TIMEOUTS`]' own.
    pub floors_seconds: BTreeMap<Timeout, u32>,
}

impl TimeoutSettings {
    /// The floor of a timeout in seconds; `None` where the agent never touches it.
    pub fn floor_seconds(&self, timeout: Timeout) -> Option<u32> {
        timeout.spec().floor_key?;
        Some(self.floors_seconds.get(&timeout).copied().unwrap_or(timeout.spec().floor_seconds))
    }

    /// The timeout whose floor a configuration key sets.
    pub fn timeout_of_key(key: &str) -> Option<Timeout> {
        let spec = TIMEOUTS.iter().find(|t| t.floor_key == Some(key))?;
        Timeout::named(spec.name)
    }
}

/// Table `[protect]` of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ProtectSettings {
    /// Original-direction sources that are never flushed.
    pub sources: Vec<IpNet>,
    /// Destinations, as the client addressed them or as they are after DNAT.
    pub destinations: Vec<IpNet>,
    /// Services on the gateway's own addresses.
    pub ports: Vec<u16>,
    /// Marks: value and mask.
    pub marks: Vec<Mark>,
    /// Zones of protected entries.
    pub zones: Vec<u16>,
    /// Entries with a helper, and the children of their expectations.
    pub helpers: bool,
    /// SSH sessions with the gateway itself.
    pub own_ssh: bool,
    /// Share of the table above which protection alarms.
    pub max_percent: f64,
}

/// Table `[metrics]` of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricsSettings {
    /// `ADDRESS:PORT`, `unix:PATH`, or empty.
    pub listen: String,
    /// Number of sources that get a metric of their own.
    pub top_sources: usize,
}

/// Table `[log]` of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSettings {
    /// Place and form of the log.
    pub format: LogFormat,
}

/// Value of `format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// journald where standard error is connected to it, else text.
    Auto,
    /// Fields for the socket of journald.
    Journald,
    /// Text on standard error.
    Text,
    /// JSON Lines on standard error.
    Json,
}

impl Default for AgentSettings {
    fn default() -> Self {
        AgentSettings {
            netns: Vec::new(),
            socket: None,
            state_dir: None,
            dry_run: false,
            interval_ms: 250,
            socket_group: "ctctl".into(),
            restore_on_exit: RestoreOnExit::Stop,
            events: EventsSetting::On,
            remember_entries: false,
        }
    }
}

impl Default for PressureSettings {
    fn default() -> Self {
        PressureSettings {
            target_percent: 70.0,
            low_percent: 75.0,
            high_percent: 80.0,
            critical_percent: 95.0,
            horizon_seconds: 30.0,
            calm_seconds: 60.0,
        }
    }
}

impl Default for CapacitySettings {
    fn default() -> Self {
        CapacitySettings {
            enabled: true,
            memory_percent: 10.0,
            keep_available_percent: 10.0,
            ceiling: 0,
            limit: 0,
            buckets: BucketsSetting::Start,
            stall_budget_ms: 20.0,
        }
    }
}

impl Default for FlushSettings {
    fn default() -> Self {
        FlushSettings {
            enabled: true,
            idle_proof: IdleProof::Auto,
            per_second_high: 20_000,
            per_second_critical: 200_000,
            fair_share: true,
            source_prefix: (32, 64),
            source_weights: Vec::new(),
            closed_idle_floor_seconds: 5,
            time_wait_idle_floor_seconds: 60,
            unreplied_idle_floor_seconds: 35,
            udp_short_ports: vec![53, 123],
            udp_short_idle_floor_seconds: 10,
            udp_idle_floor_seconds: 120,
            other_idle_floor_seconds: 240,
            established_idle_floor_seconds: 7440,
            emergency_idle_floor_seconds: 60,
            grace_seconds: 60,
        }
    }
}

impl FlushSettings {
    /// The least idleness in seconds at which any entry of `class` may go. At level critical it holds for all of them.
    pub fn floor_seconds(&self, class: super::Class) -> u32 {
        use super::Class::*;
        match class {
            Closed => self.closed_idle_floor_seconds,
            Unreplied => self.unreplied_idle_floor_seconds,
            UdpShort => self.udp_short_idle_floor_seconds,
            Udp => self.udp_idle_floor_seconds,
            Other => self.other_idle_floor_seconds,
            Established => self.established_idle_floor_seconds,
            FairShare => self.emergency_idle_floor_seconds,
        }
    }

    /// The least idleness in seconds at which this entry of `class` may go below level critical.
    pub fn floor_of_seconds(&self, class: super::Class, entry: &Entry) -> u32 {
        match class == super::Class::Closed && entry.tcp.is_some_and(TcpInfo::may_be_half_open) {
            true => self.half_open_floor_seconds(),
            false => self.floor_seconds(class),
        }
    }

    /// The floor in seconds of TIME_WAIT below level critical: never under that of the rest of its class.
    pub fn half_open_floor_seconds(&self) -> u32 {
        self.time_wait_idle_floor_seconds.max(self.closed_idle_floor_seconds)
    }
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        TimeoutSettings { enabled: true, floors_seconds: BTreeMap::new() }
    }
}

impl Default for ProtectSettings {
    fn default() -> Self {
        ProtectSettings {
            sources: Vec::new(),
            destinations: Vec::new(),
            ports: Vec::new(),
            marks: Vec::new(),
            zones: Vec::new(),
            helpers: true,
            own_ssh: true,
            max_percent: 20.0,
        }
    }
}

impl Default for MetricsSettings {
    fn default() -> Self {
        MetricsSettings { listen: "127.0.0.1:9466".into(), top_sources: 0 }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { format: LogFormat::Auto }
    }
}
