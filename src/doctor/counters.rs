//! Counters that rise, and the kernel's log.

use super::facts::{Facts, Runtime};
use crate::model::{Evidence, Finding, KernelMessage, Severity, Statistics};

/// Ports taken: fewer a second are ordinary on a busy gateway.
const FOUND_PER_SECOND: f64 = 10.0;
/// The same since boot.
const FOUND_IN_ALL: u64 = 10_000;
/// Messages older than this are history.
const RECENT_SECONDS: f64 = 3600.0;
/// Messages shown.
const SHOWN: usize = 3;

/// What the counters and the log tell.
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
        Evidence { file: Some("/proc/net/stat/nf_conntrack".into()), line: None, text }
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
    let mut fix = vec!["ctctl top-sources -n 10".to_owned(), "ctctl plan".to_owned()];
    if let Some(max) = runtime.number("max").filter(|max| *max > 0) {
        fix.extend(facts.now("max", max.saturating_mul(2)));
    }
    fix
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
    fix.extend(facts.live("conntrack -S"));
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
    let told = messages.iter().filter(|m| m.text.contains("table full"));
    let full: Vec<&KernelMessage> = told.filter(|m| is_of_interest(facts, &m.text)).collect();
    let Some(last) = full.last() else { return Vec::new() };
    let up = facts.runtime.as_ref().map_or(0.0, |runtime| runtime.up_seconds);
    let recent = last.at_seconds.is_none_or(|at| up - at < RECENT_SECONDS);
    let severity = if recent { Severity::Warning } else { Severity::Note };
    let swallowed: Vec<&KernelMessage> = messages.iter().filter(|m| suppressed(m).is_some()).collect();
    let mut found = vec![logged(facts, &full, severity)];
    if swallowed.is_empty() {
        found[0].fix.extend(begin_anew(facts, &full));
    } else {
        found.push(hidden(facts, &full, &swallowed, severity));
    }
    found
}

/// The host's operator is told of every namespace, which the kernel names by its inode; any other of its own. Inodes
/// are given again: where nothing was ever dropped, the message tells of a namespace that is gone.
fn is_of_interest(facts: &Facts, text: &str) -> bool {
    let Some(runtime) = facts.runtime.as_ref().filter(|runtime| !runtime.first) else { return true };
    let dropped = runtime.counters.is_none_or(|(_, after)| after.drop > 0);
    dropped && namespace(text) == format!("netns {}", runtime.inode)
}

/// The number in `net_ratelimit: 41 callbacks suppressed`.
fn suppressed(message: &KernelMessage) -> Option<u64> {
    let (before, _) = message.text.split_once(" callbacks suppressed")?;
    before.rsplit(' ').next()?.parse().ok()
}

fn evidence(facts: &Facts, message: &KernelMessage) -> Evidence {
    let file = match message.line {
        Some(_) => facts.path(&message.path),
        None => message.path.clone(),
    };
    let at = message.at_seconds.map_or(String::new(), |at| format!("[{at:.0}] "));
    Evidence { file: Some(file), line: message.line, text: format!("{at}{}", message.text) }
}

/// A log that stays tells of the past for ever.
fn begin_anew(facts: &Facts, messages: &[&KernelMessage]) -> Vec<String> {
    let Some(last) = messages.last() else { return Vec::new() };
    let clear = match last.line {
        // The moment makes the name: one of before is not overwritten.
        Some(_) => format!("{}.$(date +%Y%m%d-%H%M%S)", facts.rename(&last.path, &last.path)),
        None => "dmesg --clear".into(),
    };
    vec!["# once the cause is gone, let the log begin anew:".into(), clear]
}

fn logged(facts: &Facts, full: &[&KernelMessage], severity: Severity) -> Finding {
    let mut where_: Vec<&str> = full.iter().map(|m| namespace(&m.text)).collect();
    where_.sort_unstable();
    where_.dedup();
    let more = match where_.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    where_.truncate(SHOWN);
    let title =
        format!("the kernel logged \"table full\" {} times, in {}{more}", full.len(), where_.join(", "));
    let fix = match &facts.runtime {
        Some(runtime) => more_room(facts, runtime),
        None => vec!["# raise max, or run `ctctl agent` on the host".into()],
    };
    Finding::new("table-full-logged", severity, title)
        .because("The table was full and new connections were dropped, each time for as long as it lasted.")
        .seen(full.iter().rev().take(SHOWN).map(|message| evidence(facts, message)))
        .fix(fix)
        .source(&["nf_conntrack_alloc, net/netfilter/nf_conntrack_core.c"])
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
    let mut fix = vec!["# the true loss is the counter `drop`, and the `drop` of `ctctl status`:".to_owned()];
    fix.extend(facts.live("conntrack -S"));
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
