//! Every key of every table: its reader, its field in [`Settings`](crate::core::model::Settings), and its description.

use serde::Serialize;

use super::keys::*;
use super::value::Value;
use crate::core::model::{BucketsSetting, EventsSetting, IdleProof, LogFormat, Mark, RestoreOnExit};

/// Builds a key that has the name of its field. `show` replaces the way in which its default is written.
macro_rules! key {
    ($table:ident.$field:ident, |$value:ident| $read:expr, $about:expr) => {
        key!($table.$field, |$value| $read, $about, |settings| toml(&settings.$table.$field))
    };
    ($table:ident.$field:ident, |$value:ident| $read:expr, $about:expr, $show:expr) => {
        Key {
            name: stringify!($field),
            about: $about,
            set: |settings, $value| {
                settings.$table.$field = $read?;
                Ok(())
            },
            show: $show,
        }
    };
}

/// Writes a value as TOML. JSON is TOML for the values of keys, except for a float that is a whole number.
fn toml(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    text.strip_suffix(".0").unwrap_or(&text).replace(',', ", ")
}

const AGENT: &[Key] = &[
    key!(
        agent.netns,
        |v| namespaces(v),
        "Network namespaces to watch: names of `ip netns` or paths. None: the agent's own.\nWith several, each stands \
         alone: one that is missing, at the start or later, is waited for.\nWith only one, the agent ends with exit 3 where it is \
         missing."
    ),
    key!(
        agent.socket,
        |v| socket_path(v).map(Some),
        "Control socket. Without the key /run/ctctl/KEY.sock, KEY being the namespace's name, or host.",
        |settings| settings.agent.socket.as_ref().map_or("\"/run/ctctl/host.sock\"".into(), toml)
    ),
    key!(
        agent.state_dir,
        |v| path(v).map(Some),
        "Journal and baseline. Without the key /var/lib/ctctl/KEY.",
        |settings| settings.agent.state_dir.as_ref().map_or("\"/var/lib/ctctl/host\"".into(), toml)
    ),
    key!(agent.dry_run, |v| v.truth(), "Decide and journal, change nothing."),
    key!(
        agent.interval_ms,
        |v| v.whole_span(10..=60_000),
        "Milliseconds between two looks at the table when nothing wakes the agent earlier; a second at least while no\n\
         event comes at level normal."
    ),
    key!(
        agent.socket_group,
        |v| group(v),
        "Members of this group may ask at the control socket. Only root may change anything."
    ),
    key!(
        agent.restore_on_exit,
        |v| v.choice(&[("stop", RestoreOnExit::Stop), ("never", RestoreOnExit::Never)]),
        "\"stop\": SIGTERM and SIGINT put back every changed value; SIGUSR1, a restart's, leaves them to the next \
         agent.\n\"never\": a stop leaves them too."
    ),
    key!(
        agent.events,
        |v| v.choice(&[("on", EventsSetting::On), ("keep", EventsSetting::Keep)]),
        "\"on\": nf_conntrack_events is 1, so that every entry ends with an event. With 2, the kernel's default,\n\
         one that is older than its listener ends with none (nf_conntrack_alloc, since 5.19). \"keep\": leave it."
    ),
    key!(
        agent.remember_entries,
        |v| v.truth(),
        "Remember each entry, not only how many each source has: then `flush -s` and `list -s` of one address ask the\n\
         kernel for its entries alone, and walk no table. Costs 34 to 39 bytes an entry (IPv6: 58 to 63) and 6 to 11 a source.\n\
         Whoever may ask the agent may ask for them (socket_group)."
    ),
];

const PRESSURE: &[Key] = &[
    key!(pressure.target_percent, |v| watermark(v), "Relief brings usage down to this."),
    key!(
        pressure.low_percent,
        |v| watermark(v),
        "Below this, for calm_seconds, values go back; from this on the table is looked at ahead of time."
    ),
    key!(pressure.high_percent, |v| watermark(v), "At or above this the level is high."),
    key!(
        pressure.critical_percent,
        |v| watermark(v),
        "At or above this the level is critical. The kernel's own collector too begins to shed at 95 % (gc_worker)."
    ),
    key!(
        pressure.horizon_seconds,
        |v| span(v),
        "The level is high too where the table would be full within this time."
    ),
    key!(
        pressure.calm_seconds,
        |v| span(v),
        "How long usage has to stay low before values go back. Doubled after each relapse, up to an hour."
    ),
];

const CAPACITY: &[Key] = &[
    key!(capacity.enabled, |v| v.truth(), "nf_conntrack_max may be raised."),
    key!(
        capacity.memory_percent,
        |v| v.number("a number above 0 and at most 90", |n| n > 0.0 && n <= 90.0),
        "Share of memory, less huge pages, that the tables of all namespaces may take. What an entry costs is\n\
         measured on the running kernel (/proc/slabinfo, nf_ct_ext_add)."
    ),
    key!(
        capacity.keep_available_percent,
        |v| v.number("a number from 0 to less than 100", |n| (0.0..100.0).contains(&n)),
        "Share of memory that stays available (MemAvailable) whatever happens."
    ),
    key!(
        capacity.ceiling,
        |v| entries(v),
        "nf_conntrack_max is never raised over this. 0: memory alone decides."
    ),
    key!(
        capacity.limit,
        |v| entries(v),
        "A quota of this namespace: pressure is measured against min(limit, nf_conntrack_max). 0: max alone."
    ),
    key!(
        capacity.buckets,
        |v| v.choice(&[("start", BucketsSetting::Start), ("never", BucketsSetting::Never)]),
        "\"start\": the hash table is sized once at start, if max or ceiling needs it (8 entries a bucket);\n\
         \"never\": it is left (`ctctl persist` makes it hold at boot)."
    ),
    key!(
        capacity.stall_budget_ms,
        |v| span(v),
        "The hash table is resized only if that holds up packets for no longer than this (nf_conntrack_hash_resize takes\n\
         every lock)."
    ),
];

const FLUSH: &[Key] = &[
    key!(flush.enabled, |v| v.truth(), "Idle entries may be deleted."),
    key!(
        flush.idle_proof,
        |v| v.choice(&[
            ("auto", IdleProof::Auto),
            ("arithmetic", IdleProof::Arithmetic),
            ("observed", IdleProof::Observed)
        ]),
        "What proves that an entry is idle. \"arithmetic\": base timeout less time left (nf_ct_refresh_acct);\n\
         \"observed\": two scans in which no packet came; \"auto\": the first where it is certain, else the second."
    ),
    key!(
        flush.per_second_high,
        |v| v.whole(1..=u32::MAX.into()),
        "Deletions a second at level high, some 2 % of a core (a bare delete takes about 1 us); twice what comes in, if that\n\
         would fill the table within the horizon."
    ),
    key!(
        flush.per_second_critical,
        |v| v.whole(1..=u32::MAX.into()),
        "Deletions a second at level critical, beyond what comes in meanwhile: 0.22 s of bare deletes, as measured."
    ),
    key!(
        flush.fair_share,
        |v| v.truth(),
        "At level critical, with all else spent, sources that hold more than their share make room."
    ),
    key!(
        flush.source_prefix,
        |v| prefixes(v),
        "Prefix lengths that stand for one source, IPv4 and IPv6 (a site has a /64 at least: RFC 6177)."
    ),
    key!(
        flush.source_weights,
        |v| weights(v),
        "Sources that stand for many: { \"192.0.2.7/32\" = 200 } counts for 200.",
        |settings| {
            let weight = |(network, weight): &(_, _)| format!("\"{network}\" = {}", toml(weight));
            let weights: Vec<String> = settings.flush.source_weights.iter().map(weight).collect();
            if weights.is_empty() { "{}".into() } else { format!("{{ {} }}", weights.join(", ")) }
        }
    ),
    key!(
        flush.closed_idle_floor_seconds,
        |v| seconds(v),
        "CLOSE, after a RST: idle for at least this (the kernel's own tcp_timeout_close is 10)."
    ),
    key!(
        flush.time_wait_idle_floor_seconds,
        |v| seconds(v),
        "TIME_WAIT, and CLOSE after a FIN: longer than servers think. A FIN that is sent twice gives TIME_WAIT while the\n\
         other side may still answer, and a dump does not tell that from an end. At level critical these too go after\n\
         closed_idle_floor_seconds."
    ),
    key!(
        flush.unreplied_idle_floor_seconds,
        |v| seconds(v),
        "Never answered: after the fifth SYN of a Linux client (1, 3, 7, 15 and 31 s, tcp_syn_retries)."
    ),
    key!(
        flush.udp_short_ports,
        |v| ports(v),
        "Services of one question and one answer. RFC 4787 REQ-5 a) lets ports below 1024 end earlier than 2 min. A flow\n\
         that has packets in both directions for longer than 2 s (ASSURED) counts as other UDP."
    ),
    key!(
        flush.udp_short_idle_floor_seconds,
        |v| seconds(v),
        "Answered entries of those (resolvers ask again after 5 s: resolv.conf(5), RES_TIMEOUT)."
    ),
    key!(flush.udp_idle_floor_seconds, |v| seconds(v), "Other UDP: RFC 4787 REQ-5, at least 2 min."),
    key!(
        flush.other_idle_floor_seconds,
        |v| seconds(v),
        "Other protocols than TCP and UDP, answered: as RFC 5382 REQ-5 has it of transitory connections, 4 min."
    ),
    key!(
        flush.established_idle_floor_seconds,
        |v| seconds(v),
        "ESTABLISHED: RFC 5382 REQ-5, at least 2 h 4 min (TCP keep-alive begins after 2 h: RFC 1122 4.2.3.6)."
    ),
    key!(
        flush.emergency_idle_floor_seconds,
        |v| seconds(v),
        "Fair share takes nothing that is idle for less, whatever happens."
    ),
    // A grace of 0 would end the entry at once (nf_ct_change_timeout), which is no second chance.
    key!(
        flush.grace_seconds,
        |v| seconds(v),
        "Time left to connections that get a second chance; the next packet puts the full timeout back\n\
         (nf_ct_refresh_acct)."
    ),
];

const TIMEOUT_SWITCHES: &[Key] =
    &[key!(timeouts.enabled, |v| v.truth(), "Timeouts may be shortened, for packets to come.")];

const PROTECT: &[Key] = &[
    key!(
        protect.sources,
        |v| v.list("a list of addresses and networks", Value::network),
        "Clients whose entries stay: addresses and networks."
    ),
    key!(
        protect.destinations,
        |v| v.list("a list of addresses and networks", Value::network),
        "Destinations, as the client addressed them or as they are after DNAT."
    ),
    key!(protect.ports, |v| ports(v), "Services on the gateway's own addresses."),
    key!(
        protect.marks,
        |v| v.list("a list of marks", Value::mark),
        "Connection marks, VALUE or VALUE/MASK: \"0x1/0xff\".",
        |settings| {
            let mark = |mark: &Mark| format!("\"{:#x}/{:#x}\"", mark.value, mark.mask);
            format!("[{}]", settings.protect.marks.iter().map(mark).collect::<Vec<_>>().join(", "))
        }
    ),
    key!(
        protect.zones,
        |v| v.list("a list of zones", |zone| zone.whole(0..=u16::MAX.into())),
        "Conntrack zones."
    ),
    key!(
        protect.helpers,
        |v| v.truth(),
        "Entries with a helper (FTP, SIP), and children of expectations (CTA_HELP, CTA_TUPLE_MASTER). Masters of children that\n\
         are there always stay: a delete would free nothing."
    ),
    key!(protect.own_ssh, |v| v.truth(), "SSH sessions with the gateway itself."),
    key!(
        protect.max_percent,
        |v| v.number("a number from 0 to 100", |n| (0.0..=100.0).contains(&n)),
        "Share of the limit that these may keep. Above it an alarm is raised, and at level critical idle entries lose\n\
         this protection."
    ),
];

const METRICS: &[Key] = &[
    key!(metrics.listen, |v| listen(v), "OpenMetrics at /metrics: ADDRESS:PORT or \"unix:PATH\". \"\": off."),
    // Each source is a time series of its own; more than 10,000 of them are a dump and no metric.
    key!(
        metrics.top_sources,
        |v| v.whole(0..=10_000),
        "How many of the largest sources have a metric of their own. Addresses are personal: off."
    ),
];

const LOG: &[Key] = &[key!(
    log.format,
    |v| v.choice(&[
        ("auto", LogFormat::Auto),
        ("journald", LogFormat::Journald),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json)
    ]),
    "\"journald\", \"text\" or \"json\" on standard error; \"auto\": journald where standard error goes there, else text.\n\
     Text on a terminal is for a person: time, level, sentence; elsewhere each line has all of its fields."
)];

/// Every table, in the contract's order.
pub(super) const TABLES: &[Table] = &[
    Table { name: "agent", about: "What is watched, and how the agent is reached.", keys: AGENT },
    Table {
        name: "pressure",
        about: "Shares of the limit: target <= low < high < critical.",
        keys: PRESSURE,
    },
    Table {
        name: "capacity",
        about: "nf_conntrack_max and the hash table, one for the whole host.",
        keys: CAPACITY,
    },
    Table { name: "flush", about: "Deleting what is idle for certain, least missed first.", keys: FLUSH },
    Table {
        name: "timeouts",
        about: "Floors of the timeouts that may be shortened; one is never above the value that was found.",
        keys: TIMEOUT_SWITCHES,
    },
    Table { name: "protect", about: "What is never flushed, however idle.", keys: PROTECT },
    Table { name: "metrics", about: "For monitoring systems.", keys: METRICS },
    Table { name: "log", about: "Where log lines go.", keys: LOG },
];
