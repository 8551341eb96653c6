//! The running kernel, in the namespace that the calling thread has entered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::cure::quoted;
use super::super::kube_proxy;
use super::super::usage::worth_a_rule;
use super::super::{EventListener, Runtime, Side};
use super::{Question, table};
use crate::act::journal::Baseline;
use crate::core::model::{KernelMessage, NotExamined, Ruleset, TimeoutPolicy, TrackingUser};
use crate::error::{Error, Result};
use crate::linux::event_listeners::{self, NetfilterSocket};
use crate::linux::modules::{Asking, Modules};
use crate::linux::netns;
use crate::linux::socket::{Netlink, explain};
use crate::linux::sysctl;
use crate::linux::{clock, kernel_log, memory, nft_rules, process, statistics, timeout_policies, x_tables};
use crate::tools::lifeline::{self, Way};

/// Modules that track for themselves, whatever the ruleset says.
const TRACKERS: [&str; 4] = ["ip_vs", "openvswitch", "act_ct", "nf_conntrack_bridge"];

/// Modules that list the sockets of this host.
const LISTING: [&str; 3] = ["inet_diag", "tcp_diag", "udp_diag"];

/// Release of the running kernel, as `uname -r` prints it.
pub fn release() -> String {
    sysctl::kernel_release()
}

/// Everything that can be had without loading a module.
pub fn gather(
    question: &Question<'_>,
    own: bool,
    modules: &Modules,
    release: &str,
    not_examined: &mut Vec<NotExamined>,
) -> Runtime {
    let started = Instant::now();
    let before = statistics::read();
    let values = sysctl::conntrack_values();
    let here = modules.is_there("nf_conntrack") && !values.is_empty();
    let mut skip = |what: &str, why: String, failed: bool| {
        not_examined.push(NotExamined { what: what.into(), why, failed });
    };
    if !here {
        skip("conntrack", "the kernel tracks no connections: its module is not loaded".into(), false);
    }
    let count = values.get("count").and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    let mut runtime = Runtime {
        first: question.namespace().is_first(),
        inode: question.target.netns().inode,
        enter: if own { String::new() } else { enter(question.spec) },
        program: question.program.clone(),
        taken_at: clock::now_rfc3339(),
        since_seconds: question.namespace().since_seconds(),
        release: release.to_owned(),
        held_by_agent: held(question),
        values,
        log: log(&mut skip),
        up_seconds: clock::boottime_seconds(),
        ..Runtime::default()
    };
    runtime.namespaces = named_in(&runtime.log);
    if here {
        runtime.memory = memory::facts(count);
        runtime.memory.other_namespaces = netns::others();
        runtime.table = look(modules, "nf_conntrack_netlink", "the table", &mut skip, || {
            table::gather(question, modules)
        });
        if runtime.table.is_some() && !LISTING.iter().all(|module| modules.is_there(module)) {
            let why = format!(
                "{} are not all loaded, and looking would load them: entries with an end on an own address count as live",
                LISTING.join(", ")
            );
            skip("sockets of this host", why, false);
        }
        runtime.rules = rules(modules, &mut skip);
        runtime.other_users = other_users(modules);
        runtime.in_the_way = in_the_way(&runtime, modules);
        runtime.policies = policies(modules, &mut skip);
        runtime.listeners = listeners();
        runtime.programs = process::named(&kube_proxy::processes(), question.target.netns().inode);
    }
    let sample = Duration::from_secs(question.sample_seconds);
    if here && before.is_some() {
        std::thread::sleep(sample.saturating_sub(started.elapsed()));
    }
    runtime.counters = before.zip(statistics::read());
    runtime.counted_seconds = started.elapsed().as_secs_f64();
    if here && runtime.counters.is_none() {
        skip(
            "counters",
            "the kernel has no /proc/net/stat/nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS)".into(),
            false,
        );
    }
    runtime
}

/// Asks over netlink where the module that answers is there already: a request for another would load it
/// (nfnetlink_rcv_msg).
fn look<T>(
    modules: &Modules,
    module: &str,
    what: &str,
    skip: &mut impl FnMut(&str, String, bool),
    ask: impl FnOnce() -> Result<T>,
) -> Option<T> {
    if !modules.is_there(module) {
        skip(what, format!("{module} is not loaded, and looking would load it"), false);
        return None;
    }
    let why = |error: Error| match error.hint {
        Some(hint) => format!("{}; {hint}", error.why),
        None => error.why,
    };
    ask().map_err(|error| skip(what, why(error), true)).ok()
}

/// Without their modules there are none.
fn policies(modules: &Modules, skip: &mut impl FnMut(&str, String, bool)) -> Vec<(String, TimeoutPolicy)> {
    let asking = Asking::Only(modules.clone());
    let listed = Netlink::open().and_then(|mut netlink| {
        let named = timeout_policies::named(&mut netlink, &asking);
        named.map_err(|error| explain("timeout policies", &error))
    });
    let listed = listed.unwrap_or_else(|error| {
        skip("timeout policies", error.why, true);
        Vec::new()
    });
    listed.into_iter().map(|named| (named.name, named.policy)).collect()
}

/// Agents of this program make room for what they do themselves.
fn listeners() -> Vec<EventListener> {
    let heard = event_listeners::of_others().unwrap_or_default();
    let heard: Vec<_> = heard.into_iter().filter(|socket| socket.hears_conntrack()).collect();
    let holders = process::holders(&heard.iter().map(|socket| socket.inode).collect());
    let listener = |socket: &NetfilterSocket| EventListener {
        holder: holders.get(&socket.inode).cloned(),
        lost: socket.drops,
    };
    let listeners = heard.iter().map(listener);
    listeners.filter(|l| l.holder.as_ref().is_none_or(|(_, name)| name != "ctctl")).collect()
}

/// No module of nf_tables, no rules of it.
fn rules(modules: &Modules, skip: &mut impl FnMut(&str, String, bool)) -> Option<Ruleset> {
    if !modules.is_there("nf_tables") {
        return Some(Ruleset::default());
    }
    look(modules, "nf_tables", "the ruleset", skip, || {
        nft_rules::list(&mut Netlink::open()?).map_err(|error| explain("the ruleset", &error))
    })
}

/// For services that the finding better-untracked is about: what a filter would do to them, as `lifeline` asks it.
fn in_the_way(runtime: &Runtime, modules: &Modules) -> BTreeMap<(u16, Side), Vec<String>> {
    let services = runtime.table.iter().flat_map(worth_a_rule);
    let asked = services.map(|service| {
        // Listing would load nf_tables, and without it there are no rules of it.
        let found = match modules.is_there("nf_tables") {
            true => lifeline::in_the_way(way(service.side), service.port)
                .unwrap_or_else(|error| vec![format!("the rules were not read: {}", error.why)]),
            false => Vec::new(),
        };
        // The table nat drops nothing, and translates none of these.
        let filters = |place: &str| place.contains("-legacy table") && !place.ends_with(" nat");
        let legacy = runtime.other_users.iter().filter(|user| filters(&user.place));
        let legacy = legacy.map(|user| format!("{} has rules that are not read", user.place));
        ((service.port, service.side), found.into_iter().chain(legacy).collect())
    });
    asked.collect()
}

/// Fields in which the packets of a service have its port.
fn way(side: Side) -> Way {
    let (own, theirs, both): (&[&str], &[&str], &[&str]) = (&["dport"], &["sport"], &["dport", "sport"]);
    let (incoming, outgoing) = match side {
        Side::Loopback => (both, both),
        Side::Server => (own, theirs),
        Side::Client => (theirs, own),
    };
    Way { protocol: "udp", incoming, outgoing, loopback: side == Side::Loopback }
}

fn other_users(modules: &Modules) -> Vec<TrackingUser> {
    let tables = x_tables::tables().into_iter();
    let tables = tables.map(|table| TrackingUser { place: table, by: "rules that are not read".into() });
    let loaded = modules.loaded().iter().filter(|module| TRACKERS.contains(&module.as_str()));
    tables
        .chain(loaded.map(|module| TrackingUser { place: format!("module {module}"), by: module.clone() }))
        .collect()
}

fn log(skip: &mut impl FnMut(&str, String, bool)) -> Vec<KernelMessage> {
    kernel_log::ring().unwrap_or_else(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        skip("/dev/kmsg", format!("{error}; the kernel's log is for root (kernel.dmesg_restrict)"), !missing);
        Vec::new()
    })
}

/// The namespaces that the kernel's messages name by their inodes.
fn named_in(log: &[KernelMessage]) -> BTreeMap<u64, (String, Option<f64>)> {
    let inodes = log.iter().filter_map(|message| {
        let (_, rest) = message.text.split_once("in netns ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    });
    let inodes: BTreeSet<u64> = inodes.collect();
    if inodes.is_empty() {
        return BTreeMap::new();
    }
    netns::by_inodes(&inodes)
}

/// Values that agents of this program changed in this boot, as they found them.
fn held(question: &Question<'_>) -> BTreeMap<String, u64> {
    let (boot_id, inode) = (clock::boot_id(), question.target.netns().inode);
    let peek = |dir: &PathBuf| Baseline::peek(dir, &boot_id, inode);
    let values = question.baselines.iter().filter_map(peek).flat_map(|baseline| baseline.values);
    values
        .filter(|(_, held)| held.written.is_some())
        .map(|(name, held)| (name.to_string(), held.found))
        .collect()
}

/// Words that put a command into the namespace.
fn enter(spec: Option<&str>) -> String {
    match spec {
        None => String::new(),
        Some("host") => "nsenter -t 1 -n ".into(),
        Some(path) if path.contains('/') => format!("nsenter --net={} ", quoted(path)),
        Some(name) => format!("ip netns exec {} ", quoted(name)),
    }
}
