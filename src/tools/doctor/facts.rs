//! Facts that findings are made of. Nothing here reads anything.

use std::collections::BTreeMap;

use super::formats::Command;
use super::formats::writes::Write;
use crate::core::model::{
    FileLine, KernelMessage, MemoryFacts, NotExamined, Ruleset, Statistics, SysctlFile, SysctlProgram,
    TimeoutPolicy, TrackingUser, Unclassed,
};

/// Everything that was gathered.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// The directory of `--root`, without `/` at its end; nothing for the running system.
    pub root: Option<String>,
    /// Files; nothing where they say nothing of the namespace that was asked for.
    pub files: Option<Files>,
    /// The running kernel; nothing for an image.
    pub runtime: Option<Runtime>,
    /// Parts that were not looked at.
    pub not_examined: Vec<NotExamined>,
}

/// Files, by what they are to the kernel. Paths are below the root.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Files {
    /// In the order in which the boot applies them, those that it does not apply behind.
    pub sysctl: Vec<SysctlFile>,
    /// systemd-sysctl applies them, not a script of procps.
    pub systemd: bool,
    /// Program that applies them at boot.
    pub program: SysctlProgram,
    /// Releases of the kernels that are installed, or of the one that runs.
    pub kernels: Vec<String>,
    /// Conntrack is built into every one of them.
    pub builtin: bool,
    /// Modules that the boot loads before it applies the files, by the lines that name them.
    pub modules: Vec<BootModule>,
    /// Modules that need nf_conntrack, that one among them, by modules.dep of every kernel; nothing where that is not
    /// there.
    pub dependents: Option<Vec<String>>,
    /// Lines that hold parameters of the kernel's command line.
    pub command_lines: Vec<FileLine>,
    /// Programs that units, scripts and rules run.
    pub programs: Vec<Program>,
    /// Lines of modprobe.d, those of files that modprobe does not read among them.
    pub modprobe: Vec<FileLine>,
    /// Lines of udev rules that have to do with conntrack or apply sysctls when a module comes.
    pub udev: Vec<FileLine>,
    /// Lines of the firewalls' own configuration: `/etc/default/ufw`, `/etc/ufw/ufw.conf`,
    /// `/etc/sysconfig/iptables-config`, `/etc/firewalld/firewalld.conf` and the like.
    pub firewalls: Vec<FileLine>,
    /// Conntrack's values that scripts, units, profiles and rules write.
    pub writers: Vec<Write>,
    /// dpkg knows /etc/sysctl.conf as a file of procps.
    pub sysctl_conf_is_packaged: bool,
    /// The kernel's messages in logs.
    pub log: Vec<KernelMessage>,
    /// Units that the boot, a timer or another unit starts, by name.
    pub started_units: Vec<String>,
    /// Lines of the options that k3s and microk8s have for kube-proxy.
    pub kube_proxy_options: Vec<FileLine>,
    /// Names in /etc/sysctl.d.
    pub sysctl_names: Vec<String>,
    /// OpenWrt, whose modules are named in /etc/modules.d.
    pub openwrt: bool,
    /// Directories that fixes write into and that are not there.
    pub missing_directories: Vec<String>,
    /// Files that fixes append to and whose last line has no end.
    pub unfinished: Vec<String>,
}

/// A module that the boot loads before it applies files of sysctls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BootModule {
    /// Its name, with `_` for `-`.
    pub name: String,
    /// The line that names it.
    pub at: FileLine,
    /// A blacklist of modprobe.d keeps it away (systemd-modules-load); modprobe loads what it is given by name.
    pub obeys_blacklist: bool,
}

/// Moment at which a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Before systemd-sysctl, or as a part of it.
    BeforeSysctls,
    /// Later at boot.
    Boot,
    /// Again and again: by cron, or by a timer.
    Again,
}

/// Commands of a unit, a script or a line of a table, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Moment at which they run.
    pub when: When,
    /// Commands, of a script that a command runs those in it behind that.
    pub commands: Vec<Command>,
}

/// The running kernel, of one namespace.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Runtime {
    /// The host's first namespace, to which files of sysctls apply.
    pub first: bool,
    /// Inode of the namespace, which the kernel's log names it by.
    pub inode: u64,
    /// Words before a command that make it act in the namespace (`ip netns exec blue `); empty in the caller's.
    pub enter: String,
    /// Call of this program, with the options that say where: `ctctl --netns blue`.
    pub program: String,
    /// Time at which it was looked at, RFC 3339 in UTC.
    pub taken_at: String,
    /// Namespaces that the log names, by inode: what `--netns` takes, and as [`since_seconds`](Self::since_seconds).
    pub namespaces: BTreeMap<u64, (String, Option<f64>)>,
    /// Seconds since boot from which on the namespace is known to have been there; nothing where that is not known.
    /// What the kernel logged of its inode before may be about another.
    pub since_seconds: Option<f64>,
    /// Release of the kernel, as `uname -r` prints it.
    pub release: String,
    /// Conntrack's sysctls of this namespace by the name after `nf_conntrack_`; empty where conntrack is not loaded.
    pub values: BTreeMap<String, String>,
    /// Values that an agent of this program changed, with what it found.
    pub held_by_agent: BTreeMap<String, u64>,
    /// Memory, and what an entry costs.
    pub memory: MemoryFacts,
    /// Counters at the start and at the end of the look.
    pub counters: Option<(Statistics, Statistics)>,
    /// Seconds between the two.
    pub counted_seconds: f64,
    /// The ring buffer's messages about a full table.
    pub log: Vec<KernelMessage>,
    /// Seconds since boot.
    pub up_seconds: f64,
    /// Entries of the table, counted; `None` where it could not be dumped.
    pub table: Option<TableFacts>,
    /// Ruleset of nftables; `None` where it could not be read.
    pub rules: Option<Ruleset>,
    /// By port and side of a service that holds many entries: what would keep out its packets, were they untracked.
    pub in_the_way: BTreeMap<(u16, Side), Vec<String>>,
    /// Others that track: tables of legacy iptables, modules such as IPVS.
    pub other_users: Vec<TrackingUser>,
    /// Programs that manage conntrack's values or entries: process id and name.
    pub programs: Vec<(u32, String)>,
    /// Timeout policies by what an operator knows them by.
    pub policies: Vec<(String, TimeoutPolicy)>,
    /// Programs that hear conntrack's events, but for agents of this program.
    pub listeners: Vec<EventListener>,
}

/// A socket that hears conntrack's events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventListener {
    /// The process that holds it, and its name; nothing where that may not be looked at.
    pub holder: Option<(u32, String)>,
    /// Events that found no room in its buffer so far.
    pub lost: u64,
}

impl Runtime {
    /// A sysctl as a number. A negative max, which kernels up to 5.10 or so take, is none: 0.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.values.get(name)?.trim() {
            text if name == "max" && text.parse::<i64>().is_ok_and(|max| max < 0) => Some(0),
            text => text.parse().ok(),
        }
    }
}

/// Result of a bounded dump of the table.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TableFacts {
    /// Entries that were seen.
    pub entries: u64,
    /// All were seen: the dump did not end at its bound.
    pub whole: bool,
    /// TCP connections in state ESTABLISHED.
    pub established: u64,
    /// Those that are silent for certain, as `list` tells it, for longer than RFC 5382's two hours and four minutes.
    pub established_idle: u64,
    /// Those of which nobody can tell for how long they have been silent.
    pub established_unknown: u64,
    /// TCP of no class (half-open, half-closed, closed with data unacknowledged), by state, the most frequent first.
    pub unclassed: Vec<Unclassed>,
    /// UDP by service, the largest first.
    pub services: Vec<Service>,
}

/// UDP of one port, as one end of it lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// From this host to itself.
    Loopback,
    /// To a service on this host.
    Server,
    /// From this host to a service elsewhere.
    Client,
}

/// Entries of UDP that nothing translates, with one end on this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// The service's port: the destination's.
    pub port: u16,
    /// Side on which the ends lie.
    pub side: Side,
    /// Number of its entries.
    pub entries: u64,
    /// Entries of the same port that are translated, forwarded or not.
    pub translated: u64,
}
