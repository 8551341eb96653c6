//! The kernel's numbers become a snapshot: the one place where facts are gathered, for the agent and for commands
//! that read the kernel themselves.

mod features;
mod lookout;
mod policies;
mod remembered;
mod statistics;
mod told;
mod values;

use std::rc::Rc;
use std::sync::Arc;

use features::SeenFeatures;
use lookout::{Lookout, Seen};
use policies::Policies;
use statistics::Statistics;
pub use told::TimeoutsTold;
pub use values::NamespaceValues;

use crate::core::model::{MemoryFacts, Snapshot, TCP, TimeoutValues, UDP, Value};
use crate::core::policy::OwnHost;
use crate::core::sieve::Grounds;
use crate::core::state::{Bases, LocalLife, TimeoutHistory};
use crate::error::Result;
use crate::linux::modules::Asking;
use crate::linux::netns::Namespace;
use crate::linux::process::{self, Capabilities};
use crate::linux::socket::Netlink;
use crate::linux::timeout_policies;
use crate::linux::{address, clock, memory, sock_diag, table};

/// Seconds for which /proc/meminfo holds, a read of 20 to 200 us.
const MEMORY_SECONDS: f64 = 1.0;
/// Interval at which it is tried whether values may be written: a write that is refused meanwhile is told as a failed
/// act.
const RIGHTS_SECONDS: f64 = 1.0;
/// Interval at which slabinfo is read, which takes the kernel's slab lock.
const SLAB_SECONDS: f64 = 10.0;
/// Interval at which sockets are listed in a sweep that lasts; they are listed at the start of each (0.2 s for
/// 100,000 of them, and no more than a tenth of the time). It is below the least floor of idleness.
const SOCKETS_SECONDS: f64 = 4.0;

/// Gathers facts of one namespace; lives on a thread that has entered it.
pub struct Gauge {
    values: Rc<NamespaceValues>,
    netlink: Netlink,
    statistics: Statistics,
    asking: Asking,
    inode: u64,
    memory: MemoryFacts,
    /// Times at which memory and slab were looked at.
    looked_at_seconds: [f64; 2],
    history: TimeoutHistory,
    lookout: Lookout,
    /// Time at which it was tried whether max and timeouts may be written, and whether they may.
    rights: (f64, [bool; 2]),
    policies: Policies,
    capabilities: Capabilities,
    own: OwnHost,
    life: Arc<LocalLife>,
    /// Time at which `life` was read, and the seconds that it took.
    life_at_seconds: f64,
    life_took_seconds: f64,
    unheard_until_seconds: Option<u32>,
    features: SeenFeatures,
    /// The most entries that were counted, and when.
    fullest: Option<(u64, f64)>,
}

impl Gauge {
    /// The next look at memory and at what all namespaces hold is a fresh one.
    pub fn look_again_at_memory(&mut self) {
        self.looked_at_seconds[1] = f64::NEG_INFINITY;
    }

    /// On a thread that has entered the namespace. Where modules that are not there may not be asked, sockets that they
    /// would list are not known.
    ///
    /// # Errors
    /// Exit 3 without conntrack or netlink.
    pub fn open(namespace: &Namespace, asking: Asking) -> Result<Self> {
        let values = NamespaceValues::open()?;
        let netlink = Netlink::open()?;
        let features = SeenFeatures::new(&values);
        let mut gauge = Gauge {
            values,
            netlink,
            statistics: Statistics::default(),
            policies: Policies::open(&asking),
            asking,
            inode: namespace.netns().inode,
            memory: MemoryFacts::default(),
            looked_at_seconds: [f64::NEG_INFINITY; 2],
            history: TimeoutHistory::default(),
            lookout: Lookout::new(namespace.netns().inode),
            rights: (f64::NEG_INFINITY, [false; 2]),
            capabilities: process::capabilities(),
            own: OwnHost::default(),
            life: Arc::default(),
            life_at_seconds: f64::NEG_INFINITY,
            life_took_seconds: 0.0,
            unheard_until_seconds: None,
            features,
            fullest: None,
        };
        gauge.look_at_host();
        Ok(gauge)
    }

    /// From here on a thread looks for what takes time in proportion to the host's processes, and nothing here waits
    /// for it.
    ///
    /// # Errors
    /// As pthread_create(3); then it is looked for here.
    pub fn watch_neighbours(&mut self) -> std::io::Result<()> {
        self.lookout.watch()
    }

    /// True once after changes of nftables were lost, so that timeout policies may have come and gone unheard.
    pub fn policies_were_lost(&mut self) -> bool {
        self.policies.take_were_lost()
    }

    /// Somebody else listens to updates of entries.
    pub fn heard_by_others(&mut self) -> bool {
        self.lookout.seen().update_listeners > 0
    }

    /// The values behind it.
    pub fn values(&self) -> &Rc<NamespaceValues> {
        &self.values
    }

    /// The socket for scans.
    pub fn netlink(&mut self) -> &mut Netlink {
        &mut self.netlink
    }

    /// Timeouts as they are known to have been.
    pub fn history(&mut self) -> &mut TimeoutHistory {
        &mut self.history
    }

    /// Own addresses, SSH ports and connected sockets, read again.
    pub fn look_at_host(&mut self) -> &OwnHost {
        if let Ok(addresses) = address::own_addresses() {
            self.own = OwnHost { addresses, ssh_ports: address::ssh_ports() };
        }
        let old = (10.0 * self.life_took_seconds).min(SOCKETS_SECONDS);
        if clock::boottime_seconds() - self.life_at_seconds >= old {
            self.look_at_sockets();
        }
        &self.own
    }

    fn look_at_sockets(&mut self) {
        let started = clock::boottime_seconds();
        let mut life = LocalLife::of(self.own.addresses.clone());
        let mut netlink = Netlink::open_sock_diag();
        for protocol in sock_diag::PROTOCOLS {
            let answers = ["inet_diag", sock_diag::module(protocol)];
            let asked = match &mut netlink {
                Ok(netlink) if answers.iter().all(|module| self.asking.may(module)) => {
                    sock_diag::connected(netlink, protocol, |socket| life.insert(socket))
                }
                _ => Err(std::io::ErrorKind::Unsupported.into()),
            };
            // Without UDP-Lite or SCTP the kernel has no sockets of them either, nor the host entries.
            if asked.is_err() {
                life.not_known(protocol);
            }
        }
        self.life = Arc::new(life);
        self.life_at_seconds = clock::boottime_seconds();
        self.life_took_seconds = self.life_at_seconds - started;
    }

    /// A sentence for the case that the sockets of this host are not all known.
    pub fn sockets_not_known(&self) -> Option<&'static str> {
        let known = self.life.knows(TCP) && self.life.knows(UDP);
        (!known).then_some(
            "the sockets of this host cannot all be listed (modprobe inet_diag tcp_diag udp_diag): entries with an \
             end on an own address count as live",
        )
    }

    /// Entries in the table.
    ///
    /// # Errors
    /// Exit 3 where neither the sysctl nor netlink tells.
    pub fn count(&mut self) -> Result<u64> {
        let count = match self.values.sysctls.count() {
            Ok(count) => Ok(count),
            Err(error) => table::count_and_max(&mut self.netlink).map(|(count, _)| count).map_err(|_| error),
        };
        if let Ok(count) = count
            && self.fullest.is_none_or(|(most, _)| count > most)
        {
            self.fullest = Some((count, clock::boottime_seconds()));
        }
        count
    }

    /// The most that [`Gauge::count`] has read, and when, since [`Gauge::forget_fullest`].
    pub fn fullest(&self) -> Option<(u64, f64)> {
        self.fullest
    }

    /// From here on anew.
    pub fn forget_fullest(&mut self) {
        self.fullest = None;
    }

    /// Buckets of the table.
    ///
    /// # Errors
    /// Exit 3 where the kernel does not tell.
    pub fn buckets(&self) -> Result<u64> {
        self.values.sysctls.buckets()
    }

    /// Reason for which ctnetlink gave no answer to the last question, if it gave none.
    pub fn ctnetlink_trouble(&self) -> Option<String> {
        self.statistics.trouble()
    }

    /// Facts of this moment, but for rates and scan, which are the caller's.
    ///
    /// # Errors
    /// Exit 3 where the kernel does not tell, or not this user.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        let now_seconds = clock::boottime_seconds();
        let entries = self.count()?;
        let max = self.values.sysctls.max()?;
        let buckets = self.buckets()?;
        let drops = self.statistics.look(&mut self.netlink, now_seconds)?;
        self.look_at_memory(now_seconds, entries);
        let seen = self.lookout.seen_with_namespaces();
        self.note_conntrackd(&seen, now_seconds);
        self.memory.other_namespaces = seen.other_namespaces;
        self.look_at_policies(now_seconds);
        let timeouts = self.look_at_timeouts();
        let [owns_host_values, may_set_timeouts] = self.look_at_rights(now_seconds);
        Ok(Snapshot {
            now_seconds,
            entries,
            max,
            buckets,
            drops,
            memory: self.memory.clone(),
            owns_host_values,
            may_set_timeouts,
            may_flush: self.capabilities.net_admin,
            may_give_grace: self.capabilities.net_admin,
            update_listeners: seen.update_listeners,
            conntrackd: seen.conntrackd,
            negative_timeouts: self.values.sysctls.negative_timeouts(&timeouts),
            timeouts,
            ..Snapshot::default()
        })
    }

    /// Tries whether max and timeouts may be written: each is a file that is opened and closed.
    fn look_at_rights(&mut self, now: f64) -> [bool; 2] {
        if now - self.rights.0 >= RIGHTS_SECONDS {
            self.rights = (now, [Value::Max, Value::ESTABLISHED].map(|value| self.values.writable(value)));
        }
        self.rights.1
    }

    fn look_at_timeouts(&mut self) -> TimeoutValues {
        let now = clock::boottime_seconds() as u32;
        let timeouts = self.values.sysctls.timeouts();
        self.history.look(&timeouts, now);
        timeouts
    }

    fn look_at_memory(&mut self, now: f64, entries: u64) {
        let [memory_at, slab_at] = &mut self.looked_at_seconds;
        if now - *slab_at >= SLAB_SECONDS {
            self.memory = memory::facts(entries);
            (*slab_at, *memory_at) = (now, now);
        } else if now - *memory_at >= MEMORY_SECONDS {
            memory::refresh(&mut self.memory);
            *memory_at = now;
        }
    }

    /// True if timeout policies were made since the last look that are not known yet, or may have been. Two small
    /// system calls.
    pub fn hear_policies(&mut self) -> bool {
        self.policies.hear()
    }

    fn look_at_policies(&mut self, now: f64) {
        let unheard_until = self.policies.look(&mut self.netlink, &self.asking, now);
        self.unheard_until_seconds = self.unheard_until_seconds.max(unheard_until);
    }

    /// Reads the facts that make time left into idleness, as of now.
    pub fn grounds(&mut self) -> Grounds {
        self.look_at_timeouts();
        let listed = self.policies.list(&mut self.netlink, &self.asking);
        let flowtable = timeout_policies::any_flowtable(&mut self.netlink, &self.asking);
        let known = listed.is_ok() && flowtable.is_ok();
        self.unheard_until_seconds = self.unheard_until_seconds.max(listed.unwrap_or(None));
        // One that is gone by now may still have handed back what is in the table.
        self.features.flowtables |= flowtable.unwrap_or(false);
        let features = self.features.look(&self.values);
        let bases = known.then(|| Bases::new(&self.history, self.policies.known(), &features));
        let now = clock::boottime_seconds();
        let neighbours = self.lookout.seen();
        self.note_conntrackd(&neighbours, now);
        if now - self.life_at_seconds > (20.0 * self.life_took_seconds).max(SOCKETS_SECONDS) {
            self.look_at_sockets();
        }
        Grounds {
            bases,
            conntrackd: neighbours.unknown || neighbours.conntrackd.sync(),
            up_seconds: clock::boottime_seconds() as u32,
            unix_seconds: clock::unix_seconds(),
            unheard_until_seconds: self.unheard_until_seconds,
            flowtables: self.features.flowtables,
            life: self.life.clone(),
        }
    }

    /// Of entries that are older than nf_conntrack_events and a listener conntrackd's updates make no event: what it
    /// may have touched, it may have touched until the end of the ten minutes in which it was seen last, so that this
    /// is on disk without being written all the time.
    fn note_conntrackd(&mut self, seen: &Seen, now: f64) {
        const STEP_SECONDS: u32 = 600;
        if seen.conntrackd.sync() {
            let step = now as u32 / STEP_SECONDS;
            self.unheard_until_seconds = Some(step.saturating_add(1).saturating_mul(STEP_SECONDS));
        }
    }

    /// Rights of this process, in the words of `status`.
    pub fn capabilities(&self) -> Vec<String> {
        let may = [
            ("events", self.capabilities.net_admin),
            ("flush", self.capabilities.net_admin),
            ("timeouts", self.values.writable(Value::ESTABLISHED)),
            ("max", self.values.writable(Value::Max)),
            ("buckets", self.values.writable(Value::Buckets)),
        ];
        may.into_iter().filter(|(_, may)| *may).map(|(name, _)| name.to_owned()).collect()
    }
}
