//! Programs that hear of entries, and policies that set their timeouts.

use super::cure::seen;
use super::facts::{EventListener, Facts};
use crate::core::model::{Finding, Severity, TimeoutPolicy};

/// Bytes of a listener's buffer that hold some 25,000 events at 1,280 bytes each.
const ROOM_BYTES: u32 = 33_554_432;

/// Findings on other programs that hear events, and on timeout policies.
pub fn check(facts: &Facts) -> Vec<Finding> {
    [listeners, policies].iter().filter_map(|check| check(facts)).collect()
}

fn listeners(facts: &Facts) -> Option<Finding> {
    let listeners = &facts.runtime.as_ref()?.listeners;
    if listeners.is_empty() {
        return None;
    }
    let lost: u64 = listeners.iter().map(|listener| listener.lost).sum();
    let severity = if lost > 0 { Severity::Warning } else { Severity::Note };
    let title = match lost {
        0 => "another program hears conntrack's events, and may be overrun when many entries end at once"
            .into(),
        lost => format!("another program lost {lost} of conntrack's events"),
    };
    let evidence = listeners.iter().map(|listener| {
        let who = holder(listener);
        seen(format!("{who} hears events of entries; {} were lost so far", listener.lost))
    });
    let fix = [
        format!(
            "# conntrackd: NetlinkBufferSize {ROOM_BYTES} and NetlinkBufferSizeMaxGrowth {} in General",
            4 * ROOM_BYTES
        ),
        // Seen with 1.4.7: it opens two sockets, and joins the groups with the second.
        format!(
            "# conntrack -E: sysctl -w net.core.rmem_default={ROOM_BYTES} before it starts, and back after; its option \
             -b sets the buffer of another socket than the one that listens"
        ),
    ];
    Some(
        Finding::new("event-listeners", severity, title)
            .because(
                "Each entry that ends is an event for each listener. An agent of ctctl under pressure deletes up to \
                 flush.per_second_critical entries a second, 200,000 by default, and `conntrack -F` all at once. A \
                 queued event holds about 1,280 bytes of the listener's buffer, so that the default of 212,992 bytes \
                 holds 166: what comes beyond is lost to it, and conntrackd has to resynchronize.",
            )
            .seen(evidence)
            .fix(fix)
            .source(&["conntrackd.conf(5), NetlinkBufferSize", "socket(7), rmem_default", "netlink(7), ENOBUFS"]),
    )
}

fn holder(listener: &EventListener) -> String {
    match &listener.holder {
        Some((pid, name)) => format!("{name} (process {pid})"),
        None => "a process that may not be looked at".into(),
    }
}

fn policies(facts: &Facts) -> Option<Finding> {
    let policies = &facts.runtime.as_ref()?.policies;
    if policies.is_empty() {
        return None;
    }
    let title = match &policies[..] {
        [(name, _)] => format!("flows under `{name}` do not follow the timeout sysctls"),
        policies => {
            format!("flows under {} timeout policies do not follow the timeout sysctls", policies.len())
        }
    };
    let evidence = policies.iter().map(|(name, policy)| seen(told(name, policy)));
    Some(
        Finding::new("timeout-policy", Severity::Note, title)
            .because(
                "A packet of such a flow sets the policy's timeout, so that a sysctl that is shortened, by hand or by an \
                 agent under pressure, does not reach it. nft sets every state that an object does not name to a \
                 default of its own (432,000 s for an established connection), whatever the sysctl; nfct takes the \
                 sysctl as it is when the policy is made.",
            )
            .seen(evidence)
            .fix([
                "# name every state in the policy whose timeout is to be short, such as established".to_owned()
            ])
            .source(&["nft(8), CT TIMEOUT", "nfct(8)", "nf_ct_timeout_lookup, nf_conntrack_timeout.h"]),
    )
}

fn told(name: &str, policy: &TimeoutPolicy) -> String {
    let protocol = match policy.protocol {
        6 => "tcp".to_owned(),
        17 => "udp".into(),
        number => format!("protocol {number}"),
    };
    let (least, most) = (policy.seconds.iter().min(), policy.seconds.iter().max());
    match least.zip(most) {
        Some((least, most)) if least < most => {
            format!("`{name}` ({protocol}) sets {least} to {most} s, by the state of a flow")
        }
        Some((only, _)) => format!("`{name}` ({protocol}) sets {only} s"),
        None => format!("`{name}` ({protocol})"),
    }
}
