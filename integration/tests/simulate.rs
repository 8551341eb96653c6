//! The simulation against the kernel: the same scenario in the model and for real. The seed is drawn when the test
//! runs, and printed; CTCTL_SIMULATE_SEED plays one again.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::agent::{CTCTL, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill, paced};
use crate::harness::flow::{self, Flow, L4, source};
use crate::harness::hostwide::{self, BUCKETS, Restore};
use crate::harness::namespace::unique;
use crate::harness::terminal::Terminal;
use crate::harness::tool::run;
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("simulate::the_agent_in_the_model_does_what_it_does_on_the_kernel", agent).needs(&[Need::Age]),
    test("simulate::on_a_terminal_it_says_how_far_it_is", progress),
    test("simulate::early_drop_lets_in_as_many_as_on_the_kernel", early_drop).needs(&[Need::HostWide]),
    test("simulate::a_table_too_small_refuses_as_many_as_on_the_kernel", refusals)
        .needs(&[Need::HostWide, Need::Age]),
];

/// What model and kernel may differ by.
const TOLERANCE: f64 = 0.1;
const SYN_SENT: u8 = 1;

/// A number drawn from a seed, small and even enough for scenarios (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let drawn = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
        let given = std::env::var("CTCTL_SIMULATE_SEED").ok().and_then(|text| text.parse().ok());
        let seed: u64 = given.unwrap_or_else(drawn) % 1_000_000_007;
        eprintln!("CTCTL_SIMULATE_SEED={seed}");
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From `least` to `most`.
    fn between(&mut self, least: u32, most: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        least + (drawn % u64::from(most - least + 1)) as u32
    }
}

/// Plays a scenario; gives the one run.
fn play(topology: &Topology, scenario: &str, strategy: &str, seed: u32) -> Value {
    let file = std::env::temp_dir().join(format!("{}.toml", unique()));
    std::fs::write(&file, scenario).expect("the scenario");
    let mut command = Command::new(CTCTL);
    command.args(["simulate", "--json", "--strategy", strategy, "--seed", &seed.to_string()]).arg(&file);
    command.args(["--netns", &topology.gateway.name]);
    let answer = run(command, "", Duration::from_secs(60));
    std::fs::remove_file(&file).expect("the scenario's file");
    assert_eq!(answer.code, 0, "{}{}", answer.stderr, scenario);
    let document: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    document["strategies"][0]["runs"][0].clone()
}

#[track_caller]
fn near(what: &str, model: f64, kernel: f64) {
    let apart = (model - kernel).abs() / kernel.abs().max(1.0);
    eprintln!("{what}: {model:.0} in the model, {kernel:.0} on the kernel, {:.1} % apart", apart * 100.0);
    assert!(apart <= TOLERANCE, "{what}: {model:.0} in the model, {kernel:.0} on the kernel");
}

fn number(run: &Value, name: &str) -> f64 {
    run[name].as_f64().unwrap_or_else(|| panic!("{name} in {run}"))
}

/// ESTABLISHED flows that live, from sources that no other flow has.
fn live(n: u32) -> Flow {
    Flow::established(source(20_000 + n / 500), SERVER4, (1024 + n % 500) as u16, 0)
}

/// SYNs without an answer, `idle_seconds` after the last.
fn half_open(count: u32, idle_seconds: u32) -> impl Iterator<Item = Flow> {
    let flow = move |n: u32| {
        Flow::new(source(10_000), SERVER4, L4::Tcp((1 + n) as u16, 80, SYN_SENT), 120 - idle_seconds)
    };
    (0..count).map(move |n| flow(n).unreplied())
}

/// A quota, dead connections and half-open ones in the table, and live ones that come.
struct Small {
    quota: u32,
    stale: u32,
    idle: u32,
    half: u32,
    half_idle: u32,
    per_second: u32,
    seconds: u32,
}

/// When the live ones begin to come in the model: the agent is there before.
const BEFORE: f64 = 3.0;

impl Small {
    /// What dies can go, and no more than fits lives at the end.
    fn draw(dice: &mut Dice) -> Self {
        let quota = dice.between(4000, 20_000);
        let seconds = dice.between(10, 14);
        Small {
            quota,
            seconds,
            stale: quota * dice.between(50, 65) / 100,
            idle: dice.between(8000, 200_000),
            half: dice.between(100, quota / 12),
            half_idle: dice.between(45, 60),
            per_second: quota * dice.between(45, 65) / 100 / seconds,
        }
    }

    fn scenario(&self) -> String {
        let Small { quota, stale, idle, half, half_idle, per_second, seconds } = self;
        let (until, duration) = (BEFORE + f64::from(*seconds), BEFORE + f64::from(*seconds) + 1.0);
        format!(
            "duration_seconds = {duration}\n[gateway]\nmax = {}\nbuckets = {}\n\
             [settings.capacity]\nenabled = false\nbuckets = \"never\"\nlimit = {quota}\n\
             [[traffic]]\nname = \"dead\"\nstale = {stale}\nstale_idle_seconds = [{idle}, {idle}]\n\
             [[traffic]]\nname = \"half-open\"\nkind = \"syn\"\nstale = {half}\n\
             stale_idle_seconds = [{half_idle}, {half_idle}]\n\
             [[traffic]]\nname = \"live\"\neven = true\nper_second = {per_second}\n\
             from_seconds = {BEFORE}\nuntil_seconds = {until}\n\
             lifetime_seconds = 1000000\npacket_every_seconds = 60\n",
            hostwide::read(hostwide::MAX),
            hostwide::read(BUCKETS),
        )
    }

    /// Whether a moment more or less would change how many reliefs there are: one that falls onto the end takes a
    /// tenth of the table, or does not.
    fn hangs_by_a_moment(&self, model: &Value) -> bool {
        let end = BEFORE + f64::from(self.seconds);
        let last: Vec<f64> =
            timeline(model).into_iter().filter(|(at, _)| *at > end - 0.7).map(|s| s.1).collect();
        let relieved = last.windows(2).any(|pair| pair[1] < pair[0] * 0.99);
        relieved || last.iter().any(|entries| *entries > f64::from(self.quota) * 0.785)
    }
}

fn timeline(model: &Value) -> Vec<(f64, f64)> {
    let samples = model["timeline"].as_array().expect("a timeline");
    samples.iter().map(|sample| (number(sample, "at_seconds"), number(sample, "entries"))).collect()
}

/// On standard error, while it plays, unless it is to be quiet; and no table is wider than the terminal.
fn progress() {
    let terminal = Terminal::new();
    terminal.line(&format!("{CTCTL} simulate slow-leak --seed 1..40 >/dev/null"));
    terminal.shows(&["slow-leak: ", " with seed ", "run 1 of 200"]);
    terminal.key("C-c");
    terminal.prompts();
    terminal.clear();
    terminal.line(&format!("{CTCTL} simulate -q failover --seed 1..3 2>&1 >/dev/null | wc -c; echo ended"));
    terminal.shows(&["\n0\nended"]);
    terminal.clear();
    terminal.resize(80, 60);
    terminal.line(&format!("{CTCTL} simulate failover --seed 1..3; echo ended $?"));
    let screen = terminal.shows(&["STRATEGY", "entries at the end", "ended 0"]);
    assert!(!screen.contains("with seed"), "the progress is gone:\n{screen}");
}

/// How many entries there are at any moment, and how many the agent deletes.
fn agent() {
    let mut dice = Dice::new();
    let topology = Topology::new();
    let (small, model) = loop {
        let small = Small::draw(&mut dice);
        let model = play(&topology, &small.scenario(), "ctctl", dice.between(1, 1_000_000));
        if !small.hangs_by_a_moment(&model) {
            break (small, model);
        }
    };
    eprintln!("{}", small.scenario());
    fill(&topology.gateway, flow::established(small.stale, 100, small.idle));
    fill(&topology.gateway, half_open(small.half, small.half_idle));
    let setup = Setup::new(&topology.gateway, &limit(small.quota.into()));
    let agent = setup.start();
    let started = Instant::now();
    let mut seen: Vec<(f64, u64)> = Vec::new();
    let mut writer = Writer::new(&topology.gateway);
    let each = |writer: &mut Writer, n: u32| writer.create(&live(n));
    paced(&mut writer, small.per_second, small.per_second * small.seconds, each, |_| {
        seen.push((started.elapsed().as_secs_f64(), topology.count()));
    });
    wait::throughout("the last relief has its time", Duration::from_secs(1), || Ok::<(), String>(()));
    let entries = topology.count();
    assert!(writer.refused.is_empty(), "{:?}", writer.refused);
    let flushes = setup.acts().into_iter().filter(|act| act["event"] == "done" && act["action"] == "flush");
    let deleted: f64 = flushes.map(|act| number(&act, "achieved")).sum();
    assert_eq!(agent.stop(), 0);
    near("deletions", number(&model, "deletions"), deleted);
    near("entries at the end", number(&model, "last_entries"), entries as f64);
    let peak = seen.iter().map(|(_, count)| *count).max().unwrap_or(0);
    near("the most entries", number(&model, "peak_entries"), peak as f64);
    over_time(&model, &seen);
}

/// At every half second what was counted lies within 10 % of what the model had within a third of a second of it: a
/// relief takes a tenth of the table away at once, and may be that much early or late.
fn over_time(model: &Value, seen: &[(f64, u64)]) {
    const EARLY_OR_LATE: f64 = 0.33;
    let timeline: Vec<(f64, f64)> = timeline(model).into_iter().map(|(at, n)| (at - BEFORE, n)).collect();
    let mut next = 0.5;
    for (at, count) in seen {
        if *at < next {
            continue;
        }
        next += 0.5;
        let around =
            || timeline.iter().filter(|(t, _)| (t - at).abs() <= EARLY_OR_LATE).map(|(_, entries)| *entries);
        let (least, most) = (around().fold(f64::INFINITY, f64::min), around().fold(0.0, f64::max));
        let count = *count as f64;
        let within = count >= least * (1.0 - TOLERANCE) && count <= most * (1.0 + TOLERANCE);
        assert!(within, "after {at:.1} s {count} entries, in the model {least} to {most}");
    }
}

/// A full table of ASSURED and other entries, and new flows, one packet each, from real sockets.
fn early_drop() {
    let mut dice = Dice::new();
    let max = dice.between(6000, 20_000);
    let droppable = max * dice.between(20, 80) / 100;
    let packets = dice.between(4000, 10_000);
    let seed = dice.between(1, 1_000_000);
    let restore = Restore::new();
    let topology = Topology::new();
    let buckets = hostwide::read(BUCKETS);
    let scenario = format!(
        "duration_seconds = 2\n[gateway]\nmax = {max}\nbuckets = {buckets}\n\
         [[traffic]]\nname = \"assured\"\nstale = {}\nstale_idle_seconds = [10, 10]\n\
         [[traffic]]\nname = \"half-open\"\nkind = \"syn\"\nstale = {droppable}\nstale_idle_seconds = [10, 10]\n\
         [[traffic]]\nname = \"new\"\nkind = \"one-way\"\neven = true\nper_second = {packets}\nuntil_seconds = 1\n",
        max - droppable,
    );
    eprintln!("{scenario}");
    let model = play(&topology, &scenario, "none", seed);
    restore.pin_max(max.into());
    fill(&topology.gateway, half_open(droppable, 10));
    fill(&topology.gateway, flow::established(max - droppable, 100, 10));
    assert_eq!(topology.count(), u64::from(max), "the table is full");
    let refused = topology.gateway.enter(|| knock(packets));
    let entries = topology.count();
    restore.pin_max(262_144.max(u64::from(max)));
    near("refused", number(&model, "refused_legitimate"), refused as f64);
    near("entries", number(&model, "last_entries"), entries as f64);
}

/// One datagram to each of `packets` ports of the loopback network; how many the kernel refused to send.
fn knock(packets: u32) -> u64 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let mut refused = 0;
    for n in 0..packets {
        let to = Ipv4Addr::new(127, 9, (n / 250) as u8, (n % 250) as u8 + 1);
        match socket.send_to(b"x", SocketAddr::from((to, 9))) {
            Ok(_) => {}
            // NF_DROP on the way out is EPERM.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => refused += 1,
            Err(error) => panic!("datagram {n}: {error}"),
        }
    }
    refused
}

/// More that lives than max has room for: how many are refused with an agent that may not raise it.
fn refusals() {
    let mut dice = Dice::new();
    let max = dice.between(8000, 16_000);
    let stale = max * dice.between(30, 60) / 100;
    let total = max * dice.between(130, 160) / 100;
    let seconds = 3;
    let per_second = total / seconds;
    let seed = dice.between(1, 1_000_000);
    let restore = Restore::new();
    let topology = Topology::new();
    let buckets = hostwide::read(BUCKETS);
    let capacity = "enabled = false\nbuckets = \"never\"\n";
    let scenario = format!(
        "duration_seconds = 6\n[gateway]\nmax = {max}\nbuckets = {buckets}\n[settings.capacity]\n{capacity}\
         [[traffic]]\nname = \"dead\"\nstale = {stale}\nstale_idle_seconds = [9000, 9000]\n\
         [[traffic]]\nname = \"live\"\neven = true\nper_second = {per_second}\nfrom_seconds = 2\nuntil_seconds = 5\n\
         lifetime_seconds = 1000000\npacket_every_seconds = 60\n",
    );
    eprintln!("{scenario}");
    let model = play(&topology, &scenario, "ctctl", seed);
    fill(&topology.gateway, flow::established(stale, 100, 9000));
    restore.pin_max(max.into());
    let setup = Setup::new(&topology.gateway, &format!("[capacity]\n{capacity}"));
    let agent = setup.start();
    let mut writer = Writer::new(&topology.gateway);
    let each = |writer: &mut Writer, n: u32| writer.create(&live(n));
    paced(&mut writer, per_second, per_second * seconds, each, |_| ());
    let refused: u64 = writer.refused.values().sum();
    let entries = topology.count();
    assert_eq!(agent.stop(), 0);
    near("refused", number(&model, "refused_legitimate"), refused as f64);
    near("entries", number(&model, "last_entries"), entries as f64);
}
