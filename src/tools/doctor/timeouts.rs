//! Values in force that cost memory or cut connections: timeouts, events, and how strictly TCP is followed.

use super::cure::{key, seen};
use super::facts::Facts;
use super::short_timeouts::{self, ESTABLISHED};
use crate::core::model::{Finding, Severity};

/// The kernel's default, five days.
const FIVE_DAYS_SECONDS: u64 = 432_000;
/// Seconds that the fixes set: a day, as Kubernetes does.
const DAY_SECONDS: u64 = 86_400;

/// Findings on values in force.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = short_timeouts::check(facts);
    let checks = [five_days, differs_note, events, tcp_loose, tcp_be_liberal];
    found.extend(checks.iter().flat_map(|check| check(facts)));
    found
}

fn five_days(facts: &Facts) -> Option<Finding> {
    let name = ESTABLISHED;
    let (seconds, evidence) = facts.in_force(name)?;
    if seconds < FIVE_DAYS_SECONDS {
        return None;
    }
    let table =
        facts.runtime.as_ref().and_then(|runtime| Some((runtime.table.as_ref()?, runtime.number("max")?)));
    let idle = table.filter(|(table, _)| table.established_idle > 0);
    let unknown = table.filter(|(table, _)| table.established_unknown > 0);
    let heavy = idle.is_some_and(|(table, max)| max > 0 && table.established_idle.saturating_mul(10) >= max);
    let severity = if heavy { Severity::Warning } else { Severity::Note };
    let title = format!("connections that died without a FIN stay for {} days", seconds / 86_400);
    Some(
        Finding::new("established-five-days", severity, title)
            .because(format!(
                "A peer that loses power sends no FIN, and its entry takes a place until the timeout ends. A shorter \
                 one counts for an entry from its next packet on, so that old ones stay all the same; `{}` deletes \
                 what is idle for certain.",
                facts.ctctl("flush --stale")
            ))
            .seen(evidence)
            .seen(idle.map(|(table, _)| {
                seen(format!(
                    "{} of {} ESTABLISHED entries have been silent for more than 2 h 4 min",
                    table.established_idle, table.established
                ))
            }))
            .seen(unknown.map(|(table, _)| {
                seen(format!(
                    "of {} of {} ESTABLISHED entries nobody can tell for how long they have been silent",
                    table.established_unknown, table.established
                ))
            }))
            .fix(facts.set(name, DAY_SECONDS))
            .source(&["Documentation/networking/nf_conntrack-sysctl.rst", "RFC 5382, REQ-5"]),
    )
}

/// A value that is not what its file says.
fn differs_note(facts: &Facts) -> Option<Finding> {
    let (runtime, files) = (facts.runtime.as_ref().filter(|runtime| runtime.first)?, facts.files.as_ref()?);
    let effective = files.effective();
    let other = effective.values().filter_map(|setting| {
        let now = runtime.number(setting.name)?;
        // Buckets are rounded up to whole pages (nf_ct_alloc_hashtable).
        let rounded = setting.name == "buckets" && now > setting.number && now - setting.number < 512;
        (now != setting.number && !rounded).then_some((setting, now))
    });
    let other: Vec<_> = other.collect();
    if other.is_empty() {
        return None;
    }
    let ours = |name: &str| runtime.held_by_agent.contains_key(name);
    let all_ours = other.iter().all(|(setting, _)| ours(setting.name));
    let severity = if all_ours { Severity::Note } else { Severity::Warning };
    let names: Vec<String> = other.iter().map(|(setting, _)| key(setting.name)).collect();
    let title = format!("not in force as the files say: {}", names.join(", "));
    let because = match all_ours {
        true => "The agent holds these values and puts them back in calm.",
        false => {
            "Something changed them since the boot, or the boot could not set them; the next boot, or a restart of \
             what applies the files, changes them back."
        }
    };
    let evidence = other.iter().flat_map(|(setting, now)| {
        let held = if ours(setting.name) { " (set by the agent of ctctl)" } else { "" };
        let now = super::cure::runtime(setting.name, format!("{now}{held}"));
        [facts.at(setting.file, setting.line), now]
    });
    let theirs = other.iter().filter(|(setting, _)| !ours(setting.name));
    let fix = theirs.flat_map(|(setting, _)| as_one(facts, setting.name, setting.number));
    Some(
        Finding::new("runtime-differs", severity, title)
            .because(because)
            .seen(evidence)
            .fix(fix)
            .source(&["sysctl.d(5)", "sysctl(8)"]),
    )
}

/// The file's value now; a max that has grown since goes into the file, and lowering it is left to the reader.
fn as_one(facts: &Facts, name: &str, number: u64) -> Vec<String> {
    let Some((now, warning)) = facts.lowers_max(name, number) else { return facts.now(name, number) };
    let mut fix = vec![warning];
    fix.extend(facts.at_boot(name, now));
    fix.extend(
        facts.now(name, number).into_iter().map(|command| format!("# or, for what the file says: {command}")),
    );
    fix
}

fn events(facts: &Facts) -> Option<Finding> {
    let (value, evidence) = facts.in_force("events")?;
    let count = facts.runtime.as_ref().and_then(|runtime| runtime.number("count"));
    let finding = match (value, count) {
        (0, _) => Finding::new("events-off", Severity::Warning, "the table tells nobody of its entries").because(
            "With nf_conntrack_events 0 neither an agent nor conntrackd nor `conntrack -E` hears of a new or an ended \
             entry.",
        ),
        (2, Some(count)) if count > 0 => {
            Finding::new("events-blind", Severity::Note, "entries older than a listener end without an event")
                .because(
                    "With nf_conntrack_events 2, the default since Linux 5.19, an entry can tell of its end only where \
                     somebody listened when it was made. Counts that rest on events alone stay too high then.",
                )
                .seen([seen(format!("{count} entries are in the table"))])
        }
        _ => return None,
    };
    Some(finding.seen(evidence).fix(facts.set("events", 1)).source(&[
        "nf_ct_ecache_ext_add, net/netfilter/nf_conntrack_ecache.c",
        "Documentation/networking/nf_conntrack-sysctl.rst",
    ]))
}

fn tcp_loose(facts: &Facts) -> Option<Finding> {
    let (0, evidence) = facts.in_force("tcp_loose")? else { return None };
    Some(
        Finding::new("tcp-loose-off", Severity::Note, "connections whose entry is gone never come back")
            .because(
                "With nf_conntrack_tcp_loose 0 only a SYN makes an entry: after a reboot, a failover or a flush every \
                 open connection through this gateway is INVALID until it is opened anew.",
            )
            .seen(evidence)
            .fix(facts.set("tcp_loose", 1))
            .source(&["tcp_new, net/netfilter/nf_conntrack_proto_tcp.c"]),
    )
}

fn tcp_be_liberal(facts: &Facts) -> Option<Finding> {
    let (1, evidence) = facts.in_force("tcp_be_liberal")? else { return None };
    Some(
        Finding::new("tcp-be-liberal", Severity::Note, "packets outside of TCP's window count as valid")
            .because(
                "With nf_conntrack_tcp_be_liberal 1 only RST outside of the window is INVALID: it helps with \
                 asymmetric routing and broken offload, and lets through what a filter on ct state invalid is for.",
            )
            .seen(evidence)
            .fix(facts.set("tcp_be_liberal", 0))
            .source(&["tcp_in_window, net/netfilter/nf_conntrack_proto_tcp.c"]),
    )
}
