//! Counters that rise, and the kernel's log.

use super::cure::quoted;
use super::facts::{Facts, Runtime};
use super::messages::{self, begin_anew, evidence, severity_of};
use super::size;
use crate::core::model::{Evidence, Finding, KernelMessage, Severity, Statistics};

/// Ports taken: fewer a second are ordinary on a busy gateway.
const FOUND_PER_SECOND: f64 = 10.0;
/// Ports taken since boot: fewer are ordinary on a busy gateway.
const FOUND_IN_ALL: u64 = 10_000;
/// Messages that are shown at most.
const SHOWN: usize = 3;

/// Findings on the counters and the log.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(runtime) = &facts.runtime {
        found.extend(counters(facts, runtime));
    }
    found.extend(log(facts));
    found
}

fn counters(facts: &Facts, runtime: &Runtime) -> Vec<Finding> {
    let Some((before, after)) = runtime.counters else { return Vec::new() };
    let column = |name: &str, of: fn(&Statistics) -> u64| Column {
        at: runtime.taken_at.clone(),
        name: name.into(),
        in_all: of(&after),
        rose: of(&after).saturating_sub(of(&before)),
        seconds: runtime.counted_seconds,
    };
    // A packet whose insert failed counts in both.
    let drops = column("drop less insert_failed", |s| s.drop.saturating_sub(s.insert_failed));
    let failed = column("insert_failed", |s| s.insert_failed);
    let early = column("early_drop", |s| s.early_drop);
    let ports = column("found", |s| s.found);
    [
        full(facts, runtime, &drops),
        insert_failed(facts, &failed),
        early_drop(facts, runtime, &early),
        port_pressure(facts, &ports),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// One counter at the two looks.
struct Column {
    at: String,
    name: String,
    in_all: u64,
    rose: u64,
    seconds: f64,
}

impl Column {
    fn evidence(&self) -> Evidence {
        let text = match self.rose {
            0 => format!("{}: {} since boot, none in {:.1} s", self.name, self.in_all, self.seconds),
            n => format!("{}: {} since boot, {n} of them in {:.1} s", self.name, self.in_all, self.seconds),
        };
        let at = Some(self.at.clone()).filter(|at| !at.is_empty());
        Evidence { file: Some("/proc/net/stat/nf_conntrack".into()), text, at, line: None }
    }

    /// As bad as `rising` while it rises, else worth knowing.
    fn severity(&self, rising: Severity) -> Option<Severity> {
        match (self.rose, self.in_all) {
            (0, 0) => None,
            (0, _) => Some(Severity::Note),
            _ => Some(rising),
        }
    }
}

/// More room now, and who takes it.
fn more_room(facts: &Facts, runtime: &Runtime) -> Vec<String> {
    let mut fix = vec![facts.ctctl("top-sources -n 10"), facts.ctctl("plan")];
    fix.extend(larger(facts, runtime));
    fix
}

/// Twice the max, where neither memory nor chains forbid that.
fn larger(facts: &Facts, runtime: &Runtime) -> Vec<String> {
    let Some(max) = runtime.number("max").filter(|max| *max > 0) else { return Vec::new() };
    let wanted = max.saturating_mul(2);
    match size::forbids(runtime, wanted) {
        None => facts.now("max", wanted),
        Some(why) => vec![format!("# max is {max}, and {why}")],
    }
}

fn full(facts: &Facts, runtime: &Runtime, drops: &Column) -> Option<Finding> {
    let severity = drops.severity(Severity::Error)?;
    let title = match severity {
        Severity::Note => "packets were dropped for want of room in the table",
        _ => "packets are being dropped for want of room in the table",
    };
    Some(
        Finding::new("drops", severity, title)
            .because("New connections are refused: the table is full, and nothing in it may be shed.")
            .seen([drops.evidence()])
            .fix(more_room(facts, runtime))
            .source(&["nf_conntrack_alloc, net/netfilter/nf_conntrack_core.c"]),
    )
}

fn insert_failed(facts: &Facts, failed: &Column) -> Option<Finding> {
    let severity = failed.severity(Severity::Warning)?;
    let mut fix = vec![
        "# DNS over one socket (A and AAAA at once) is the usual cause: resolv.conf(5), single-request-reopen".into(),
        "# and chains that are too long: see max-over-buckets".to_owned(),
    ];
    fix.extend(facts.inside("conntrack -S"));
    Some(
        Finding::new("insert-failed", severity, "entries could not be inserted, and their packets were dropped")
            .because(
                "Two packets of one new flow were on two CPUs at once, NAT gave two flows one port, or a chain was too \
                 long. `drop` rises with it though nothing is full.",
            )
            .seen([failed.evidence()])
            .fix(fix)
            .source(&["__nf_conntrack_confirm and nf_ct_resolve_clash, net/netfilter/nf_conntrack_core.c"]),
    )
}

fn early_drop(facts: &Facts, runtime: &Runtime, early: &Column) -> Option<Finding> {
    let severity = early.severity(Severity::Warning)?;
    Some(
        Finding::new("early-drop", severity, "live entries were shed to make room for new ones")
            .because(
                "The table was full. The kernel sheds what is not ASSURED, whoever needs it: DNS and young connections \
                 go, dead ones of five days stay.",
            )
            .seen([early.evidence()])
            .fix(more_room(facts, runtime))
            .source(&["early_drop, net/netfilter/nf_conntrack_core.c"]),
    )
}

fn port_pressure(facts: &Facts, ports: &Column) -> Option<Finding> {
    let rate = ports.rose as f64 / ports.seconds.max(0.1);
    let severity = match (rate >= FOUND_PER_SECOND, ports.in_all >= FOUND_IN_ALL) {
        (true, _) => Severity::Warning,
        (false, true) => Severity::Note,
        _ => return None,
    };
    let mut fix = vec![
        "# give the translation more source addresses, such as: snat to 192.0.2.1-192.0.2.4".to_owned(),
        "# and let closed connections free their port sooner:".into(),
    ];
    fix.extend(facts.now("tcp_timeout_time_wait", 60));
    Some(
        Finding::new("port-pressure", severity, "NAT finds ports taken: source ports run short")
            .because(
                "For each destination one source address has at most 64,512 ports. Near that every new connection \
                 searches for long, and then fails.",
            )
            .seen([ports.evidence()])
            .fix(fix)
            .source(&["nf_nat_l4proto_unique_tuple, net/netfilter/nf_nat_core.c", "RFC 6056"]),
    )
}

fn log(facts: &Facts) -> Vec<Finding> {
    let none = Vec::new();
    let messages = match (&facts.runtime, &facts.files) {
        (Some(runtime), _) => &runtime.log,
        (None, Some(files)) => &files.log,
        _ => &none,
    };
    let mut found: Vec<Finding> = messages::expectations(facts, messages).into_iter().collect();
    let counts = |m: &KernelMessage| messages::tells_of_connections(&m.text) && is_of_interest(facts, m);
    let full: Vec<&KernelMessage> = messages.iter().filter(|m| counts(m)).collect();
    let Some(last) = full.last() else { return found };
    let severity = severity_of(facts, last);
    let swallowed: Vec<&KernelMessage> = messages.iter().filter(|m| suppressed(m).is_some()).collect();
    let mut of_table = logged(facts, &full, messages::count(messages, counts), severity);
    if swallowed.is_empty() {
        of_table.fix.extend(begin_anew(facts, &full));
        found.push(of_table);
    } else {
        found.extend([of_table, hidden(facts, &full, &swallowed, severity)]);
    }
    found
}

/// Seconds by which the kernel's time of a namespace and stat(2)'s differ at most.
const CLOCKS_SECONDS: f64 = 2.0;

/// The host's operator is told of every namespace, which the kernel names by its inode; any other of its own. Inodes
/// are given again: where nothing was ever dropped, or the namespace was not there yet, the message tells of one that
/// is gone.
fn is_of_interest(facts: &Facts, message: &KernelMessage) -> bool {
    let Some(runtime) = facts.runtime.as_ref().filter(|runtime| !runtime.first) else { return true };
    let dropped = runtime.counters.is_none_or(|(_, after)| after.drop > 0);
    let there = match (runtime.since_seconds, message.at_seconds) {
        (Some(since), Some(at)) => at + CLOCKS_SECONDS >= since,
        _ => true,
    };
    dropped && there && namespace(&message.text) == format!("netns {}", runtime.inode)
}

/// The number in `net_ratelimit: 41 callbacks suppressed`, and in `printk: 41 messages suppressed` of 2.6.18.
fn suppressed(message: &KernelMessage) -> Option<u64> {
    let text = &message.text;
    let (before, _) =
        text.split_once(" callbacks suppressed").or_else(|| text.split_once(" messages suppressed"))?;
    before.rsplit(' ').next()?.parse().ok()
}

fn logged(facts: &Facts, full: &[&KernelMessage], times: u64, severity: Severity) -> Finding {
    let mut where_: Vec<&str> = full.iter().map(|m| namespace(&m.text)).collect();
    where_.sort_unstable();
    where_.dedup();
    let more = match where_.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    where_.truncate(SHOWN);
    let title = format!("the kernel logged \"table full\" {times} times, in {}{more}", where_.join(", "));
    let fix = match &facts.runtime {
        Some(runtime) => room_of(facts, runtime, full),
        None => vec!["# raise max, or run `ctctl agent` on the host".into()],
    };
    Finding::new("table-full-logged", severity, title)
        .because("The table was full and new connections were dropped, each time for as long as it lasted.")
        .seen(full.iter().rev().take(SHOWN).map(|message| evidence(facts, message)))
        .fix(fix)
        .source(&["nf_conntrack_alloc, net/netfilter/nf_conntrack_core.c"])
}

/// As [`more_room`], for each of the namespaces that the messages name.
fn room_of(facts: &Facts, runtime: &Runtime, full: &[&KernelMessage]) -> Vec<String> {
    let mut inodes: Vec<Option<u64>> = full.iter().map(|message| inode(&message.text)).collect();
    inodes.sort_unstable();
    inodes.dedup();
    let mut fix = Vec::new();
    for inode in inodes.into_iter().take(SHOWN) {
        let Some(inode) = inode.filter(|inode| *inode != runtime.inode) else {
            fix.extend([facts.ctctl("top-sources -n 10"), facts.ctctl("plan")]);
            continue;
        };
        let newest = full.iter().rev().find(|message| self::inode(&message.text) == Some(inode));
        let at = newest.and_then(|message| message.at_seconds);
        match runtime.namespaces.get(&inode) {
            Some((spec, since)) if at.zip(*since).is_none_or(|(at, since)| at + CLOCKS_SECONDS >= since) => {
                let spec = quoted(spec);
                fix.extend(
                    ["top-sources -n 10", "plan"].map(|asked| format!("ctctl --netns {spec} {asked}")),
                );
            }
            Some((spec, _)) => {
                fix.push(format!("# {spec} has inode {inode} today and was made later: the message tells of one that is gone"));
            }
            None => fix.push(format!(
                "# no namespace with inode {inode} can be found: it is gone, or may not be looked at"
            )),
        }
    }
    fix.extend(larger(facts, runtime));
    fix
}

/// The inode of the namespace that a message names; none for the first one.
fn inode(text: &str) -> Option<u64> {
    namespace(text).strip_prefix("netns ")?.parse().ok()
}

/// `table full in netns 7`, and no word of it for the first namespace.
fn namespace(text: &str) -> &str {
    match text.split_once("in netns ") {
        Some((_, rest)) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let start = text.len() - rest.len() - "netns ".len();
            &text[start..start + "netns ".len() + end]
        }
        None => "the host's namespace",
    }
}

fn hidden(
    facts: &Facts,
    full: &[&KernelMessage],
    swallowed: &[&KernelMessage],
    severity: Severity,
) -> Finding {
    let sum = swallowed.iter().filter_map(|m| suppressed(m)).fold(0, u64::saturating_add);
    let status = facts.ctctl("status");
    let mut fix = vec![format!("# the true loss is the counter `drop`, and the `drop` of `{status}`:")];
    fix.extend(facts.inside("conntrack -S"));
    fix.extend(begin_anew(facts, swallowed));
    let title =
        format!("{} lines of a full table are shown, and up to {sum} more were swallowed", full.len());
    Finding::new("log-suppressed", severity, title)
        .because(
            "The kernel writes at most 10 network messages in 5 s and then says how many callbacks it suppressed: the \
             number of lines says nothing of the number of packets.",
        )
        .seen(swallowed.iter().rev().take(SHOWN).map(|message| evidence(facts, message)))
        .fix(fix)
        .source(&["net_ratelimit, net/core/utils.c", "Documentation/admin-guide/sysctl/net.rst, message_cost"])
}
