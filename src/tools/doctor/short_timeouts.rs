//! Timeouts that forget a flow while it lives: of every state, judged against what the kernel itself gives it.

use super::cure::{key, runtime};
use super::facts::Facts;
use super::value::{self, Reading};
use crate::core::model::{Evidence, Finding, Severity, Timeout};

/// RFC 5382, REQ-5: not below 2 hours 4 minutes.
pub const RFC_5382_SECONDS: u64 = 7440;
/// Below what the kernel itself gives a connection whose data is not acknowledged (tcp_timeout_unacknowledged).
pub const CUTS_SECONDS: u64 = 300;
/// Below this part of the kernel's own value (or of the floor of the agent, where that is lower) a timeout is an error,
/// as 300 s are for an established connection.
const ERROR_PART: u32 = 20;
/// States that pass within a few round trips: below a quarter.
const PASSING_PART: u32 = 4;
/// States in which a flow may be silent and live: below half.
const LASTING_PART: u32 = 2;

/// Fault of a number of seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Short {
    /// An error below a twentieth of the kernel's own.
    pub severity: Severity,
    /// Entries that are forgotten: the subject of a sentence.
    pub what: &'static str,
    /// Consequence of that.
    pub because: &'static str,
    /// Sources in which it is written.
    pub source: &'static [&'static str],
    /// Seconds that the fix sets.
    pub sane: u64,
}

/// The judgement of a timeout, by its name after `nf_conntrack_`; nothing for one that is long enough, or none.
pub fn short(name: &str, seconds: u64) -> Option<Short> {
    let spec = Timeout::named(name)?.spec();
    if name == ESTABLISHED {
        let severity = if seconds < CUTS_SECONDS { Severity::Error } else { Severity::Warning };
        return (seconds < RFC_5382_SECONDS).then_some(Short {
            severity,
            what: "connections are",
            because: "An SSH session that nobody types in is silent for hours. Once its entry is gone, NAT drops what \
                      comes from outside, and both ends hang. TCP's own keepalive begins after two hours: hence 2 h \
                      4 min as the least.",
            source: &["RFC 5382, REQ-5", "tcp(7), tcp_keepalive_time"],
            sane: RFC_5382_SECONDS,
        });
    }
    let kernels = spec.kernel_default_seconds;
    let (what, because, source, part) = kind(name);
    let usual = kernels.min(spec.floor_seconds);
    let severity = match seconds {
        seconds if seconds == 0 || seconds < u64::from(usual / ERROR_PART) => Severity::Error,
        seconds if seconds < u64::from(usual / part) => Severity::Warning,
        _ => return None,
    };
    Some(Short { severity, what, because, source, sane: kernels.into() })
}

/// Name of the timeout of established TCP connections.
pub const ESTABLISHED: &str = "tcp_timeout_established";

type Kind = (&'static str, &'static str, &'static [&'static str], u32);

fn kind(name: &str) -> Kind {
    const HANDSHAKE: &str = "The answer to an opening packet comes after a round trip, and a lost one is sent again \
                             after 1, 2, 4, 8 s: an entry that ends before leaves an answer that belongs to nothing, \
                             and the connection is not made.";
    const CLOSING: &str = "The last packets of a connection are sent again where one is lost, after seconds: once the \
                           entry is gone they are INVALID or make a new one, and both ends keep a connection that \
                           does not end.";
    const STRICT: &[&str] = &[
        "RFC 5382, REQ-5: transitory connections 4 minutes",
        "nf_conntrack_tcp_timeouts, nf_conntrack_proto_tcp.c",
    ];
    const UDP: &[&str] = &["RFC 4787, REQ-5", "udp_timeouts, net/netfilter/nf_conntrack_proto_udp.c"];
    match name {
        "tcp_timeout_syn_sent" | "tcp_timeout_syn_recv" => {
            ("connections that are being opened are", HANDSHAKE, STRICT, PASSING_PART)
        }
        "tcp_timeout_close_wait" => (
            "connections that one side has closed are",
            "In CLOSE_WAIT one side has ended its direction and the other may send for as long as it likes: a \
             download behind `shutdown`, or a server that thinks, is cut off at the first pause.",
            STRICT,
            LASTING_PART,
        ),
        "tcp_timeout_max_retrans" | "tcp_timeout_unacknowledged" => (
            "connections with data on the way are",
            "A packet that is lost is sent again after 1, 2, 4, ... up to 120 s: the entry has to outlive the pauses, \
             or a connection that a bad line holds up for a while is gone behind NAT.",
            STRICT,
            LASTING_PART,
        ),
        name if name.starts_with("tcp_") => {
            ("connections that are being closed are", CLOSING, STRICT, PASSING_PART)
        }
        "udp_timeout" => (
            "UDP questions are",
            "An answer that takes longer finds no entry, and NAT drops it: a DNS server that asks others needs up to \
             10 s, and a resolver asks again after 5.",
            UDP,
            LASTING_PART,
        ),
        "udp_timeout_stream" => (
            "UDP flows in both directions are",
            "WireGuard, IPsec behind NAT, SIP and games send something every 15 to 30 s at most, many of them less \
             often: behind NAT a flow whose entry is gone gets another port or is dropped. RFC 4787 asks for 2 \
             minutes at least.",
            UDP,
            LASTING_PART,
        ),
        name if name.starts_with("icmp") => (
            "ICMP questions are",
            "An answer that comes later is dropped by NAT.",
            &["RFC 5508, REQ-2", "nf_conntrack_proto_icmp.c"],
            LASTING_PART,
        ),
        "generic_timeout" => (
            "flows of other protocols are",
            "ESP, AH, IPIP and the like have no end that the kernel could see: a tunnel that is silent for longer \
             loses its entry, and behind NAT what comes from outside is dropped.",
            &["nf_ct_generic_timeout, net/netfilter/nf_conntrack_proto_generic.c"],
            LASTING_PART,
        ),
        name if name.starts_with("sctp_") && name != "sctp_timeout_established" => {
            ("SCTP associations that are being opened or closed are", HANDSHAKE, &["RFC 9260"], PASSING_PART)
        }
        name if name.starts_with("dccp_") => {
            ("DCCP connections are", HANDSHAKE, &["RFC 4340", "nf_conntrack_proto_dccp.c"], PASSING_PART)
        }
        _ => (
            "flows are",
            "A flow that is silent for longer loses its entry while it lives, and NAT drops what comes from outside.",
            &["Documentation/networking/nf_conntrack-sysctl.rst"],
            LASTING_PART,
        ),
    }
}

/// Timeouts in force: too short, or negative.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let effective = facts.files.as_ref().map(|files| files.effective()).unwrap_or_default();
    let of = |timeout: Timeout| match negative(facts, timeout.name()) {
        Some(finding) => Some(finding),
        None => {
            let number = match &facts.runtime {
                Some(here) => here.number(timeout.name())?,
                None => effective.get(timeout.name())?.number,
            };
            short(timeout.name(), number)?;
            let (seconds, evidence) = facts.in_force(timeout.name())?;
            let short = short(timeout.name(), seconds)?;
            Some(
                finding(timeout.name(), seconds, &short, evidence, None)
                    .fix(facts.set(timeout.name(), short.sane)),
            )
        }
    };
    Timeout::all().filter_map(of).collect()
}

/// The finding of a timeout that is too short; `writer` is the script that sets it.
pub fn finding(
    name: &str,
    seconds: u64,
    short: &Short,
    evidence: Vec<Evidence>,
    writer: Option<&str>,
) -> Finding {
    let id = if name == ESTABLISHED { "established-too-short" } else { "timeout-too-short" };
    let title = match writer {
        None => format!("{} forgotten after {seconds} s of silence", short.what),
        Some(path) => format!("{path}: {} forgotten after {seconds} s of silence", short.what),
    };
    let because = match seconds {
        0 => format!("{} {}", short.because, BORN_EXPIRED),
        _ => short.because.to_owned(),
    };
    Finding::new(id, short.severity, title).because(because).seen(evidence).source(short.source)
}

/// Consequence of a timeout of 0 or less.
pub const BORN_EXPIRED: &str = "With 0 or less an entry is expired when it is made: the next packet of the flow finds \
                                none and makes another, no answer finds its flow, and NAT gives each packet a new one.";

fn negative(facts: &Facts, name: &str) -> Option<Finding> {
    let text = facts.runtime.as_ref()?.values.get(name)?;
    let Reading::Negative(number) = value::read(name, text) else { return None };
    let sane = sane(name);
    Some(negative_finding(name, number).seen([runtime(name, number.to_string())]).fix(facts.set(name, sane)))
}

/// The kernel's own value of a timeout; RFC 5382's least for established connections.
pub fn sane(name: &str) -> u64 {
    match name {
        ESTABLISHED => RFC_5382_SECONDS,
        name => Timeout::named(name).map_or(60, |timeout| timeout.spec().kernel_default_seconds.into()),
    }
}

/// A timeout below zero, without evidence and fix.
pub fn negative_finding(name: &str, number: i64) -> Finding {
    Finding::new("timeout-negative", Severity::Error, format!("{} is {number}", key(name)))
        .because(format!("The kernel takes it as it stands. {BORN_EXPIRED}"))
        .source(&["proc_dointvec_jiffies, kernel/time/jiffies.c", "nf_ct_is_expired, nf_conntrack.h"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_values_are_long_enough_and_a_second_is_not() {
        for timeout in Timeout::all() {
            let own = timeout.spec().kernel_default_seconds.into();
            assert_eq!(short(timeout.name(), own), None, "{}", timeout.name());
            let zero = short(timeout.name(), 0).expect("0 is too short");
            assert_eq!(zero.severity, Severity::Error, "{}", timeout.name());
            assert_eq!(short(timeout.name(), zero.sane), None, "{}: the fix is enough", timeout.name());
        }
        let severity = |name, seconds| short(name, seconds).map(|short| short.severity);
        for (name, error, warning, enough) in [
            ("tcp_timeout_established", 299, 7439, 7440),
            ("tcp_timeout_close_wait", 2, 29, 30),
            ("tcp_timeout_fin_wait", 5, 29, 30),
            ("tcp_timeout_syn_sent", 2, 14, 15),
            ("udp_timeout", 0, 14, 15),
            ("udp_timeout_stream", 5, 59, 60),
            ("generic_timeout", 11, 119, 120),
        ] {
            assert_eq!(severity(name, error), Some(Severity::Error), "{name} {error}");
            assert_eq!(severity(name, warning), Some(Severity::Warning), "{name} {warning}");
            assert_eq!(severity(name, enough), None, "{name} {enough}");
        }
        assert_eq!(short("max", 0), None);
    }
}
