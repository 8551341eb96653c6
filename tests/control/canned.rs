//! A server on a thread of its own whose answers are known.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ctctl::control::frame::Frames;
use ctctl::control::{Answer, Call, Client, Limits, Refusal, Reply, Service, SourceRows, bind, serve};
use ctctl::core::model::*;
use serde_json::Value;
use tokio::sync::watch;

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A service that remembers what it was asked.
pub struct Canned {
    pub sources: usize,
    pub records: usize,
    pub asked: Mutex<Vec<Call>>,
    /// `GetPlan` waits for true.
    pub gate: watch::Sender<bool>,
}

impl Canned {
    pub fn new(sources: usize, records: usize) -> Arc<Self> {
        Arc::new(Canned { sources, records, asked: Mutex::default(), gate: watch::channel(true).0 })
    }
}

impl Service for Canned {
    fn answer(&self, call: Call) -> Answer {
        let reply = reply(&call, self.sources, self.records);
        let mut gate = self.gate.subscribe();
        let waits = call == Call::GetPlan;
        self.asked.lock().unwrap().push(call);
        Box::pin(async move {
            if waits {
                let _ = gate.wait_for(|open| *open).await;
            }
            reply
        })
    }
}

fn reply(call: &Call, sources: usize, records: usize) -> Result<Reply, Refusal> {
    let done = |message: &str| Ok(Reply::Done { message: message.into() });
    match call {
        Call::GetStatus { .. } => Ok(Reply::Status(Box::new(status()))),
        Call::GetTopSources { limit, .. } => {
            let document = top_sources(match limit {
                0 => sources,
                limit => sources.min(*limit as usize),
            });
            // As an agent does it: many are made as they are sent.
            Ok(match document.sources.len() {
                0..=1024 => Reply::TopSources(document),
                n => {
                    let rows = document.sources.clone();
                    let rows = SourceRows::new(n, move |range| rows[range].to_vec());
                    Reply::ManySources(TopSources { sources: vec![], ..document }, rows)
                }
            })
        }
        Call::GetEntries { .. } => Ok(Reply::Entries(entries(sources))),
        Call::GetKnowledge { entries } => Ok(Reply::Knowledge(knowledge(entries.len()))),
        Call::GetPlan => Ok(Reply::Plan(plan())),
        Call::GetSnapshot => Ok(Reply::Snapshot(Box::new(snapshot()))),
        Call::GetHistory { .. } => Ok(Reply::History((0..records as u64).map(record).collect())),
        Call::Pause { .. } => done("paused"),
        Call::Resume => done("resumed"),
        Call::TellFlush(_) => done("recorded"),
        Call::Reload => Err(Refusal::failed("configuration: line 3").hint("mend it")),
        Call::Revert { force: true } => Ok(Reply::Reverted(reverted())),
        Call::Revert { force: false } => Err(Refusal::no("max has to wait").hint("--force")),
    }
}

/// The server; it ends, and its socket goes, when this is dropped.
pub struct Agent {
    pub path: PathBuf,
    pub directory: tempfile::TempDir,
    pub stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    pub fn start(service: Arc<dyn Service>, limits: Limits) -> Agent {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let (listener, guard) = bind(&path, "").unwrap();
        let (stop, stopped) = watch::channel(false);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                serve(listener, service, limits, stopped).await;
            });
            drop(guard);
        };
        Agent { path, directory, stop, thread: Some(std::thread::spawn(run)) }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.path).unwrap()
    }

    pub fn raw(&self) -> Raw {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Raw { stream, frames: Frames::new(64 << 20) }
    }

    /// Waits until the server has ended.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if !std::thread::panicking() {
            self.join();
        }
    }
}

/// A connection that speaks in bytes.
pub struct Raw {
    pub stream: UnixStream,
    frames: Frames,
}

impl Raw {
    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.write_all(&[0]).unwrap();
    }

    /// The next reply's bytes, or `None` if the server has closed the connection.
    pub fn bytes(&mut self) -> Option<Vec<u8>> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(message) = self.frames.take().unwrap() {
                return Some(message);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.frames.push(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer and no end: {error}"),
            }
        }
    }

    pub fn reply(&mut self) -> Option<Value> {
        self.bytes().map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    pub fn ask(&mut self, text: &str) -> Value {
        self.send(text);
        self.reply().expect("a reply")
    }
}

fn header() -> Header {
    let netns = Netns { name: Some("host".into()), inode: 4026531840 };
    Header { schema: 1, taken_at: "2025-01-02T03:04:05Z".into(), netns }
}

fn unclassed() -> Vec<UnclassedRow> {
    let timeout = Timeout::named("tcp_timeout_close_wait");
    vec![Unclassed { entries: 900, ..Unclassed::empty("close-wait", timeout) }.row(Some(3600), 960)]
}

pub fn status() -> StatusDocument {
    let timeout = TimeoutRow {
        name: "udp_timeout".into(),
        baseline_seconds: Some(30),
        current_seconds: 30,
        floor_seconds: 30,
    };
    let class = ClassRow {
        class: Class::UdpShort,
        entries: 9,
        protected: 1,
        oldest_idle_seconds: Some(80),
        oldest_is_exact: true,
        idle_unknown: 2,
        would_free: 4,
        in_grace: 3,
        flushed: 300,
        regretted: 1,
        regret_percent: Some(0.333),
        suspended: false,
    };
    let agent = AgentStatus {
        pid: 17,
        started_at: "2025-01-01T00:00:00Z".into(),
        version: "0.1.0".into(),
        regret_percent: Some(0.5),
        queue: Some(Queue { lag_seconds: 0.25, ..Queue::default() }),
        capabilities: vec!["CAP_NET_ADMIN".into()],
        ..AgentStatus::default()
    };
    StatusDocument {
        header: header(),
        level: Level::High,
        entries: 810,
        max: 1000,
        limit: 1000,
        buckets: 256,
        usage_percent: 81.0,
        new_per_second: Some(12.5),
        net_growth_per_second: None,
        seconds_to_full: None,
        reasons: vec!["81 % is over 80 %".into()],
        drops: Drops { drop: 1, early_drop: 2, insert_failed: 3, chaintoolong: Some(4) },
        bounds: Bounds { max_ceiling: 5000, bytes_per_entry: 320, ..Bounds::default() },
        timeouts: vec![timeout],
        classes: Some(vec![class]),
        unclassed: Some(unclassed()),
        unproven: Some(vec![UnprovenCount { why: Unproven::OneWay, entries: 7 }]),
        classes_age_seconds: Some(2.5),
        classes_before_act: false,
        protected: None,
        waiting: vec!["max waits".into()],
        agent: Some(agent),
        last_actions: vec![record(7)],
    }
}

/// As many as there are sources, of each kind.
pub fn entries(entries: usize) -> EntriesOfSource {
    let entry = |n: usize| {
        let (protocol, l4) = match n % 3 {
            0 => (6, L4::Ports { source: n as u16, destination: 443 }),
            1 => (1, L4::Icmp { kind: 8, code: 0, id: n as u16 }),
            _ => (50, L4::None),
        };
        let original = Tuple { protocol, l4, ..Tuple::default() };
        EntryRow::new(&EntryId { original, zone: 7, id: n as u32 }, n.is_multiple_of(2))
    };
    let entries: Vec<EntryRow> = (0..entries).map(entry).collect();
    EntriesOfSource { header: header(), entries_total: entries.len() as u64, others_update: false, entries }
}

pub fn knowledge(entries: usize) -> KnowledgeDocument {
    let observed =
        ObservedBefore { expires_in_seconds: 40.5, silent_seconds: 20.25, packets: 7, renewed: true };
    let chance = GivenChance { expires_in_seconds: -0.5, given_seconds: 60.5, silent_seconds: 8000.0 };
    let known = |n| Knowledge {
        foreign: n % 2 == 0,
        observed: (n % 3 == 0).then_some(observed),
        second_chance: (n % 3 == 1).then_some(chance),
    };
    let Header { schema, taken_at, netns } = header();
    KnowledgeDocument {
        schema,
        taken_at,
        netns,
        others_update: true,
        seen: Some(serde_json::json!({ "sysctls": [] })),
        entries: (0..entries).map(known).collect(),
    }
}

pub fn top_sources(sources: usize) -> TopSources {
    let row = |i: usize| SourceRow {
        source: format!("10.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255),
        zone: Some(0),
        entries: (sources - i) as u64,
        share_percent: 0.25,
        new_per_second: None,
        tcp: 1,
        udp: 2,
        icmp: 3,
        other: 4,
        assured: Some(5),
        unreplied: None,
        idle: None,
        idle_unknown: None,
    };
    TopSources {
        header: header(),
        basis: Basis::Agent,
        synced: true,
        entries: 123456,
        sources_total: sources as u64,
        sources: (0..sources).map(row).collect(),
    }
}

pub fn plan() -> PlanDocument {
    let flush = Flush {
        share_level: Some(5),
        payers: Some(vec![Payer { source: "10.0.0.1".into(), entries: 90 }]),
        ..Flush::of(Class::FairShare, 60, 100)
    };
    let actions = [Act::RaiseMax { from: 1000, to: 2000 }, Act::Flush(flush)];
    let row = |act: Act| ActionRow::from(&Action { act, reason: "81 % of 1000".into() });
    PlanDocument {
        header: header(),
        level: Level::Critical,
        reasons: vec!["full in 3 s".into()],
        actions: actions.into_iter().map(row).collect(),
        classes: Some(vec![ClassRow {
            class: Class::Closed,
            entries: 9,
            protected: 1,
            oldest_idle_seconds: Some(80),
            oldest_is_exact: true,
            idle_unknown: 2,
            would_free: 4,
            in_grace: 1,
            flushed: 0,
            regretted: 0,
            regret_percent: None,
            suspended: false,
        }]),
        unclassed: Some(unclassed()),
        unproven: Some(vec![UnprovenCount { why: Unproven::Foreign, entries: 2 }]),
        classes_age_seconds: Some(0.125),
        classes_before_act: false,
        scan: false,
        waiting: vec!["max waits".into()],
    }
}

pub fn snapshot() -> SnapshotDocument {
    let Header { schema, taken_at, netns } = header();
    SnapshotDocument {
        schema,
        taken_at,
        netns,
        version: "0.1.0".into(),
        basis: Basis::Agent,
        snapshot: Snapshot { entries: 5, ..Snapshot::default() },
        memory: serde_json::json!({}),
        settings: Settings::default(),
    }
}

pub fn record(seq: u64) -> JournalRecord {
    JournalRecord {
        schema: 1,
        at: "2025-01-02T03:04:05Z".into(),
        seq,
        id: seq / 2,
        boot_id: "00000000-0000-0000-0000-000000000000".into(),
        netns: Netns { name: None, inode: 4026531840 },
        event: RecordEvent::Done,
        level: Some(Level::High),
        level_before: None,
        action: Some("raise-max".into()),
        name: Some("max".into()),
        class: None,
        from: Some(1000),
        to: Some(2000),
        requested: Some(1),
        achieved: Some(1),
        duration_seconds: Some(0.5),
        reason: "81 % of 1000".into(),
        usage_before_percent: Some(81.0),
        usage_after_percent: Some(40.5),
        acts_together: None,
        dry_run: false,
        by: None,
        until: None,
        changes: Vec::new(),
    }
}

pub fn reverted() -> RevertDocument {
    let value = RevertRow {
        name: "max".into(),
        from: 2000,
        to: 1000,
        result: "waits".into(),
        reason: Some("1500 entries".into()),
    };
    RevertDocument { header: header(), values: vec![value], waiting: vec!["max".into()] }
}
