//! The text in OpenMetrics 1.0: families one after the other, each with all namespaces, and `# EOF`.

use std::fmt::Write;

use super::acts::{Acts, BOUNDS_SECONDS};
use crate::core::model::{Class, ClassRegret, Group, Queue, SourceCount, StatusDocument};

/// Media type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Figures of one namespace.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Status, which most figures come from.
    pub status: StatusDocument,
    /// Number of NEW events since the start.
    pub new: u64,
    /// Number of DESTROY events since the start.
    pub destroyed: u64,
    /// Entries by protocol and state; empty before the first scan.
    pub groups: Vec<Group>,
    /// Age of that scan in seconds; `None` before the first.
    pub scan_age_seconds: Option<f64>,
    /// Deletions and regret of every class that was flushed.
    pub regret: Vec<ClassRegret>,
    /// Classes that are suspended: no flush takes them.
    pub suspended: Vec<Class>,
    /// Counters of the agent's acts.
    pub acts: Acts,
    /// Largest sources; empty unless the configuration asks for them.
    pub sources: Vec<SourceCount>,
}

/// Writes the page. `missing` holds the keys of namespaces that should be watched but are missing.
pub fn write(readings: &[Reading], missing: &[String]) -> String {
    let mut page = Page { text: String::with_capacity(16 << 10), readings };
    page.watched(missing);
    page.table();
    page.sources();
    page.acts();
    page.health();
    page.text.push_str("# EOF\n");
    page.text
}

type Labels<'a> = &'a [(&'a str, &'a str)];

struct Page<'a> {
    text: String,
    readings: &'a [Reading],
}

/// Samples of one family for one namespace.
struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
    netns: String,
}

impl Family<'_> {
    /// Writes one sample; a value that is not finite is unknown and left out.
    fn sample(&mut self, suffix: &str, labels: Labels<'_>, value: f64) {
        if !value.is_finite() {
            return;
        }
        let _ = write!(self.text, "{}{suffix}{{netns=\"{}\"", self.name, escaped(&self.netns));
        for (label, text) in labels {
            let _ = write!(self.text, ",{label}=\"{}\"", escaped(text));
        }
        // Integers up to 2^53 are written without loss.
        let _ = writeln!(self.text, "}} {value}");
    }

    fn value(&mut self, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.sample("", &[], value);
        }
    }

    fn total(&mut self, labels: Labels<'_>, value: u64) {
        self.sample("_total", labels, value as f64);
    }
}

/// Escapes the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Page<'_> {
    /// Writes a family. The name of a counter comes without the `_total` of its samples.
    fn family(&mut self, name: &str, kind: &str, help: &str, each: impl Fn(&Reading, &mut Family<'_>)) {
        let _ = writeln!(self.text, "# TYPE {name} {kind}\n# HELP {name} {help}");
        for reading in self.readings {
            let netns = reading.status.header.netns.key();
            each(reading, &mut Family { text: &mut self.text, name, netns });
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: fn(&Reading) -> Option<f64>) {
        self.family(name, "gauge", help, |reading, family| family.value(value(reading)));
    }

    fn counter(&mut self, name: &str, help: &str, value: fn(&Reading) -> Option<u64>) {
        self.family(name, "counter", help, |reading, family| {
            value(reading).into_iter().for_each(|value| family.total(&[], value));
        });
    }

    fn watched(&mut self, missing: &[String]) {
        let (name, help) =
            ("ctctl_namespace_watched", "1 while the namespace is watched, 0 while it is missing.");
        self.gauge(name, help, |_| Some(1.0));
        for netns in missing {
            Family { text: &mut self.text, name, netns: netns.clone() }.value(0.0);
        }
    }

    fn table(&mut self) {
        self.gauge("ctctl_entries", "Entries in the table.", |r| Some(r.status.entries as f64));
        let help = "Entries by protocol and state, as the last scan saw them.";
        self.family("ctctl_entries_by", "gauge", help, |reading, family| {
            for group in &reading.groups {
                let labels = [("protocol", group.protocol.as_str()), ("state", group.state.as_str())];
                family.sample("", &labels, group.entries as f64);
            }
        });
        self.gauge("ctctl_scan_age_seconds", "Since the last scan.", |r| r.scan_age_seconds);
        self.gauge("ctctl_max", "nf_conntrack_max; 0 means no limit.", |r| Some(r.status.max as f64));
        let help = "What usage is measured against: max, or the quota below it; 0 means no limit.";
        self.gauge("ctctl_limit", help, |r| Some(r.status.limit as f64));
        let help = "What the agent may raise max to at most.";
        self.gauge("ctctl_max_ceiling", help, |r| Some(r.status.bounds.max_ceiling as f64));
        let help = "Memory that the table may take.";
        self.gauge("ctctl_memory_budget_bytes", help, |r| Some(r.status.bounds.memory_budget_bytes as f64));
        self.gauge("ctctl_buckets", "nf_conntrack_buckets.", |r| Some(r.status.buckets as f64));
        let help = "0 normal, 1 high, 2 critical.";
        self.gauge("ctctl_level", help, |r| Some(f64::from(r.status.level as u8)));
        let help =
            "Until the table is full at the present growth; 0 where it is, missing where it does not grow.";
        self.gauge("ctctl_seconds_to_full", help, |r| r.status.seconds_to_full);
        self.counter("ctctl_new", "Entries that began.", |r| Some(r.new));
        self.counter(
            "ctctl_destroyed",
            "Entries whose end was told: those without event state end unheard.",
            |r| Some(r.destroyed),
        );
        let help = "Counters of struct ip_conntrack_stat, all CPUs together.";
        self.family("ctctl_kernel_stat", "counter", help, |reading, family| {
            let drops = &reading.status.drops;
            let stats = [
                ("drop", Some(drops.drop)),
                ("early_drop", Some(drops.early_drop)),
                ("insert_failed", Some(drops.insert_failed)),
                ("chaintoolong", drops.chaintoolong),
            ];
            // A counter that this kernel does not have is left out.
            let known = stats.into_iter().filter_map(|(stat, n)| Some((stat, n?)));
            known.for_each(|(stat, n)| family.total(&[("stat", stat)], n));
        });
    }

    fn sources(&mut self) {
        let help = "Sources that hold entries.";
        self.gauge("ctctl_sources", help, |r| r.status.agent.as_ref().map(|agent| agent.sources as f64));
        let help = "Entries of the largest sources ([metrics] top_sources of them).";
        self.family("ctctl_source_entries", "gauge", help, |reading, family| {
            for source in &reading.sources {
                let (address, zone) = (source.address.to_string(), source.zone.to_string());
                let labels = [("source", address.as_str()), ("zone", zone.as_str())];
                let shown = if source.zone == 0 { &labels[..1] } else { &labels[..] };
                family.sample("", shown, source.entries as f64);
            }
        });
    }

    fn acts(&mut self) {
        let help = "Timeouts of this namespace.";
        self.family("ctctl_timeout_seconds", "gauge", help, |reading, family| {
            for row in &reading.status.timeouts {
                family.sample("", &[("name", &row.name)], row.current_seconds as f64);
            }
        });
        let help = "What they were before the agent came.";
        self.family("ctctl_timeout_baseline_seconds", "gauge", help, |reading, family| {
            for row in &reading.status.timeouts {
                let baseline = row.baseline_seconds.map_or(f64::NAN, f64::from);
                family.sample("", &[("name", &row.name)], baseline);
            }
        });
        let help = "Acts by what came of them: done, failed, deferred, reverted; would in a dry run.";
        self.family("ctctl_actions", "counter", help, |reading, family| {
            for ((action, result), n) in &reading.acts.results {
                family.total(&[("action", action), ("result", result)], *n);
            }
        });
        let help = "How long acts took.";
        self.family("ctctl_act_duration_seconds", "histogram", help, |r, family| histogram(&r.acts, family));
        let flushed = |what: fn(&ClassRegret) -> u64| {
            move |reading: &Reading, family: &mut Family<'_>| {
                for class in Class::FLUSHED {
                    let of = reading.regret.iter().find(|regret| regret.class == class);
                    family.total(&[("class", class.name())], of.map_or(0, what));
                }
            }
        };
        self.family("ctctl_flushed", "counter", "Entries deleted.", flushed(|r| r.flushed));
        let help = "Deletions after which the flow was listened for, for a minute.";
        self.family("ctctl_watched", "counter", help, flushed(|r| r.watched));
        let help = "Of these, flows that lived: heard of again within a minute, and not by a new connection or question of the client's.";
        self.family("ctctl_regret", "counter", help, flushed(|r| r.regretted));
        let help = "1 while the class is not flushed because too much of it was regretted.";
        self.family("ctctl_suspended", "gauge", help, |reading, family| {
            for class in Class::FLUSHED {
                let suspended = reading.suspended.contains(&class);
                family.sample("", &[("class", class.name())], f64::from(u8::from(suspended)));
            }
        });
        let help = "Entries that no flush takes, as the last scan saw them.";
        self.gauge("ctctl_protected_entries", help, |r| r.status.protected.map(|n| n as f64));
        let help = "Values of the agent's that somebody else set.";
        self.counter("ctctl_values_overridden", help, |r| Some(r.acts.overridden));
    }

    fn health(&mut self) {
        macro_rules! agent {
            (counter $name:literal, $help:literal, $field:ident) => {
                self.counter($name, $help, |r| r.status.agent.as_ref().map(|agent| agent.$field))
            };
            (gauge $name:literal, $help:literal, $field:ident) => {
                self.gauge($name, $help, |r| {
                    r.status.agent.as_ref().map(|agent| f64::from(u8::from(agent.$field)))
                })
            };
        }
        agent!(counter "ctctl_overruns", "Times at which events were found lost.", overruns);
        agent!(counter "ctctl_lost_events", "Events lost.", lost_events);
        let help = "Room for queued events, in bytes of the socket's buffer.";
        self.gauge("ctctl_event_buffer_bytes", help, |r| queue(r).map(|queue| queue.buffer_bytes as f64));
        let help = "Of that in use.";
        self.gauge("ctctl_event_queued_bytes", help, |r| queue(r).map(|queue| queue.queued_bytes as f64));
        let help =
            "How long the oldest of the events had waited that were counted in the last quarter of a second.";
        self.gauge("ctctl_event_lag_seconds", help, |r| queue(r).map(|queue| queue.lag_seconds));
        let help = "The longest that events were left alone, since the start.";
        self.gauge("ctctl_event_stall_seconds", help, |r| queue(r).map(|queue| queue.longest_stall_seconds));
        agent!(counter "ctctl_resyncs", "Dumps that the counts were taken from.", resyncs);
        agent!(gauge "ctctl_synced", "1 while the counts are the table's.", synced);
        agent!(gauge "ctctl_journal_ok", "1 while the journal can be written.", journal_ok);
        let help = "Log lines that were dropped because nobody read those before them.";
        self.counter("ctctl_log_lines_dropped", help, |r| {
            r.status.agent.as_ref().map(|agent| agent.log_lines_dropped)
        });
        agent!(gauge "ctctl_paused", "1 while the agent watches and changes nothing.", paused);
        agent!(gauge "ctctl_dry_run", "1 for an agent that decides and changes nothing.", dry_run);
        self.family("ctctl_build_info", "gauge", "The agent's version.", |reading, family| {
            let version = reading.status.agent.as_ref().map_or("", |agent| agent.version.as_str());
            family.sample("", &[("version", version)], 1.0);
        });
    }
}

fn queue(reading: &Reading) -> Option<Queue> {
    reading.status.agent.as_ref()?.queue
}

fn histogram(acts: &Acts, family: &mut Family<'_>) {
    let mut sum = 0;
    for (i, n) in acts.durations.iter().enumerate() {
        sum += n;
        let bound = BOUNDS_SECONDS.get(i).map_or("+Inf".to_owned(), |bound| format!("{bound:?}"));
        family.sample("_bucket", &[("le", &bound)], sum as f64);
    }
    family.sample("_count", &[], sum as f64);
    family.sample("_sum", &[], acts.duration_seconds);
}
