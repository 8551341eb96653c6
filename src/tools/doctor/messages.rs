//! Messages of the kernel's log: which table they tell of, and for how many messages a line stands.

use super::cure::key;
use super::facts::Facts;
use crate::core::model::{Evidence, Finding, KernelMessage, Severity};

/// Messages older than this are history.
const RECENT_SECONDS: f64 = 3600.0;

/// Messages that are shown at most.
const SHOWN: usize = 3;
/// Expectations above which a limit makes no sense: each of them stands for a connection to come.
const MOST_EXPECTATIONS: u64 = 1 << 20;

/// The table of connections is full.
pub fn tells_of_connections(text: &str) -> bool {
    text.contains("table full") && !tells_of_expectations(text)
}

/// The table of expectations is full (`nf_ct_expect_related_report`).
fn tells_of_expectations(text: &str) -> bool {
    text.contains("expectation table full")
}

/// Number of messages: a syslog daemon's line stands for more (`message repeated 5 times: […]`, and `last message
/// repeated 5 times` for the one before).
pub fn count(messages: &[KernelMessage], counts: impl Fn(&KernelMessage) -> bool) -> u64 {
    let (mut sum, mut before) = (0u64, false);
    for message in messages {
        let again = message.text.contains("last message repeated ");
        before = if again { before } else { counts(message) };
        if before {
            sum = sum.saturating_add(repeated(&message.text).unwrap_or(1));
        }
    }
    sum
}

/// The number in `message repeated 5 times`.
fn repeated(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("message repeated ")?;
    rest.split_once(" times")?.0.parse().ok()
}

/// A full table of expectations refuses what helpers announce, and no other connection.
pub fn expectations(facts: &Facts, messages: &[KernelMessage]) -> Option<Finding> {
    let told: Vec<&KernelMessage> = messages.iter().filter(|m| tells_of_expectations(&m.text)).collect();
    let severity: Severity = severity_of(facts, told.last()?);
    let times = count(messages, |message| tells_of_expectations(&message.text));
    let title = format!("the kernel logged \"expectation table full\" {times} times");
    let now = facts.in_force("expect_max").map(|(number, _)| number);
    let mut fix = match now.map(|now| now.saturating_mul(2)).filter(|wanted| *wanted <= MOST_EXPECTATIONS) {
        Some(wanted) => facts.set("expect_max", wanted),
        None => vec![format!("# raise {}, which is 1024 with 65,536 buckets", key("expect_max"))],
    };
    fix.extend(begin_anew(facts, &told));
    Some(
        Finding::new("expectations-full-logged", severity, title)
            .because(
                "A helper (FTP, SIP, PPTP and others) announces connections that belong to another: where as many as \
                 nf_conntrack_expect_max are announced and have not come, it announces no more, and transfers and calls \
                 fail. The table of connections is another one, and max does not help.",
            )
            .seen(told.iter().rev().take(SHOWN).map(|message| evidence(facts, message)))
            .fix(fix)
            .source(&["nf_ct_expect_related_report, net/netfilter/nf_conntrack_expect.c"]),
    )
}

/// A message that was logged long ago is history.
pub(super) fn severity_of(facts: &Facts, last: &KernelMessage) -> Severity {
    let up = facts.runtime.as_ref().map_or(0.0, |runtime| runtime.up_seconds);
    let recent = last.at_seconds.is_none_or(|at| up - at < RECENT_SECONDS);
    if recent { Severity::Warning } else { Severity::Note }
}

pub(super) fn evidence(facts: &Facts, message: &KernelMessage) -> Evidence {
    let file = match message.line {
        Some(_) => facts.path(&message.path),
        None => message.path.clone(),
    };
    let at = message.at_seconds.map_or(String::new(), |at| format!("[{at:.0}] "));
    let text = format!("{at}{}", message.text);
    Evidence { file: Some(file), line: message.line, text, at: message.at.clone() }
}

/// A log that stays tells of the past for ever.
pub(super) fn begin_anew(facts: &Facts, messages: &[&KernelMessage]) -> Vec<String> {
    let Some(last) = messages.last() else { return Vec::new() };
    let clear = match last.line {
        // The moment makes the name: one of before is not overwritten.
        Some(_) => format!("{}.$(date +%Y%m%d-%H%M%S)", facts.rename(&last.path, &last.path)),
        None => "dmesg --clear".into(),
    };
    vec!["# once the cause is gone, let the log begin anew:".into(), clear]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_for_as_many_messages_as_they_say() {
        let message = |text: &str| KernelMessage { text: text.into(), ..KernelMessage::default() };
        let full = "gw kernel: nf_conntrack: table full, dropping packet";
        let messages = [
            message("gw last message repeated 9 times"),
            message(full),
            message("gw last message repeated 5 times"),
            message("gw last message repeated 2 times"),
            message("gw kernel: nf_conntrack: expectation table full"),
            message("gw last message repeated 4 times"),
            message("gw kernel: message repeated 3 times: [ nf_conntrack: table full, dropping packet]"),
        ];
        assert_eq!(count(&messages, |m| tells_of_connections(&m.text)), 1 + 5 + 2 + 3);
        assert_eq!(count(&messages, |m| tells_of_expectations(&m.text)), 1 + 4);
        assert_eq!(repeated("message repeated many times"), None);
    }
}
