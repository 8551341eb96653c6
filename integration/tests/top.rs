//! `ctctl top` in a real terminal: what is on the screen, what keys do, and how the terminal is left.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::agent::{CTCTL, Setup, limit};
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, L4};
use crate::harness::table;
use crate::harness::terminal::Terminal;
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("top::everything_fits_80x24_and_keys_change_it", keys),
    test("top::from_a_source_to_its_connections_and_back", connections),
    test("top::with_no_agent_it_works_from_dumps_without_colour", without_agent),
    test("top::every_end_leaves_the_terminal_clean", ends),
    test("top::stopped_it_leaves_the_terminal_and_comes_back", stops),
    test("top::a_flush_shows_what_goes_and_asks", flush),
    test("top::a_small_terminal_has_the_question_whole", small),
    test("top::a_terminal_that_cannot_is_told_so", unable),
];

/// 40 sources in 10.128.0.0/16, the nth with n entries, and one elsewhere with 30.
fn filled() -> Topology {
    let topology = Topology::new();
    let flows = (1..=40u32).flat_map(|n| {
        (0..n).map(move |port| Flow::established(flow::source(n), [192, 0, 2, 9], 1000 + port as u16, 60))
    });
    fill(&topology.gateway, flows);
    let udp = |port| Flow::new([10, 9, 9, 9], [192, 0, 2, 9], L4::Udp(port, 53), 300).unreplied();
    fill(&topology.gateway, (2000..2030).map(udp));
    topology
}

fn command(setup: &Setup, environment: &str) -> String {
    let (netns, socket, config) = (&setup.netns, setup.socket(), setup.config());
    let (socket, config) = (socket.display(), config.display());
    format!("{environment} {CTCTL} --netns {netns} --socket {socket} --config {config} top; echo ended $?")
}

fn keys() {
    let topology = filled();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let agent = setup.start();
    let terminal = Terminal::new();
    terminal.line(&command(&setup, ""));
    let who = format!("; agent {}", agent.pid);
    let largest = flow::source(40).to_string();
    let screen =
        terminal.shows(&[&who, "85.0 % of 1000 entries", "counted by the agent", &largest, "q quit"]);
    assert!(screen.contains("high") && screen.contains("high 80"), "the watermarks:\n{screen}");
    assert!(screen.contains("what the agent does"), "{screen}");
    assert!(
        screen.lines().count() <= 24 && screen.lines().all(|line| line.chars().count() <= 80),
        "{screen}"
    );
    assert!(terminal.painted().contains("\x1b[3"), "colours");

    terminal.key("p");
    terminal.shows(&["by /24, /64", "▸ 10.128.0.0/24"]);
    terminal.key("Enter");
    terminal.shows(&["▾ 10.128.0.0/24", &format!("    {largest}")]);
    terminal.key("p");
    terminal.key("p");
    terminal.shows(&["sources, most entries first"]);
    for order in ["new", "unreplied"] {
        terminal.key("s");
        terminal.shows(&[&format!("most {order} first")]);
    }
    let screen = terminal.shows(&["from a dump", "UNREPLIED", "10.9.9.9"]);
    let first = screen.lines().skip_while(|line| !line.starts_with("SOURCE")).nth(1);
    assert!(first.is_some_and(|line| line.starts_with("10.9.9.9")), "{screen}");

    terminal.key("/");
    terminal.line("-p udx");
    terminal.shows(&["filter: -p udx", "invalid value"]);
    terminal.key("C-u");
    terminal.line("10.9.0.0/16");
    terminal.shows(&["filter 10.9.0.0/16", "1 source,"]);
    terminal.key("Escape");
    terminal.shows(&["41 sources"]);
    terminal.key("?");
    terminal.shows(&["keys", "any key goes back"]);
    terminal.key("x");
    terminal.key("Space");
    terminal.shows(&["SCREEN FROZEN"]);
    terminal.resize(120, 40);
    let screen = terminal.shows(&["SCREEN FROZEN", "ASSURED"]);
    assert!(screen.lines().any(|line| line.chars().count() > 100), "{screen}");
    terminal.resize(40, 8);
    terminal.shows(&["SOURCE"]);
    terminal.key("q");
    terminal.shows(&["ended 0"]);
    assert!(!terminal.is_taken());
}

fn connections() {
    let topology = filled();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let agent = setup.start();
    let terminal = Terminal::new();
    terminal.line(&command(&setup, "LC_ALL=C"));
    let largest = flow::source(40);
    terminal.shows(&[&largest.to_string(), " now", "high 80, low 75"]);
    terminal.key("Enter");
    let title = format!("40 connections of {largest}, longest idle first");
    let screen = terminal.shows(&[&title, "192.0.2.9:443", "*IDLE", "esc back"]);
    let row = screen.lines().find(|line| line.contains("192.0.2.9:443")).unwrap_or_default();
    assert!(row.starts_with("tcp") && row.contains("established"), "{screen}");
    // One that comes while they are looked at is one more.
    fill(&topology.gateway, [Flow::established(largest, [192, 0, 2, 9], 7777, 0)]);
    terminal.shows(&[&format!("41 connections of {largest}")]);
    terminal.key("s");
    terminal.shows(&["most time left first", "*LEFT"]);
    terminal.key("r");
    terminal.shows(&["least time left first", "^LEFT"]);
    terminal.key("Enter");
    terminal.shows(&["- connection -", &format!("{largest}:10"), "any key goes back"]);
    terminal.key("x");
    terminal.key("Escape");
    terminal.shows(&["41 sources, most entries first", "p prefix"]);
    terminal.key("r");
    let screen = terminal.shows(&["fewest entries first", "^ENTRIES", &flow::source(1).to_string()]);
    let first = screen.lines().skip_while(|line| !line.starts_with("SOURCE")).nth(1);
    assert!(first.is_some_and(|line| line.starts_with(&flow::source(1).to_string())), "{screen}");
    // A filter of sources holds for their connections.
    terminal.key("/");
    terminal.line("10.9.9.9 --sport 2003");
    terminal.shows(&["1 source,"]);
    terminal.key("Enter");
    terminal.shows(&["1 connection of 10.9.9.9", "192.0.2.9:53", "unreplied"]);
    terminal.key("Escape");
    // The agent is paused and the screen is frozen: two words.
    assert_eq!(setup.ctctl(&["pause"]).code, 0);
    let screen = terminal.shows(&[&format!("agent {} paused", agent.pid)]);
    assert!(!screen.contains("FROZEN"), "{screen}");
    terminal.key("Space");
    terminal.shows(&["SCREEN FROZEN", " frozen"]);
    for (columns, lines) in [(80, 24), (60, 20)] {
        terminal.resize(columns, lines);
        terminal.key("?");
        let screen = terminal.shows(&["| q ", "| IDLE  ", "| any key goes back"]);
        assert!(screen.lines().all(|line| line.chars().count() <= columns.into()), "{screen}");
        terminal.key("x");
    }
    terminal.key("q");
    terminal.shows(&["ended 0"]);
}

fn without_agent() {
    let topology = filled();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let terminal = Terminal::new();
    terminal.line(&command(&setup, "NO_COLOR=1 LC_ALL=C"));
    let largest = flow::source(40).to_string();
    let screen = terminal.shows(&["; no agent", "no agent on", "from a dump", &largest, "850 entries"]);
    assert!(screen.is_ascii(), "{screen}");
    let painted = terminal.painted();
    let coloured = |code: &str| painted.contains(&format!("\x1b[{code}"));
    assert!(
        !(30..48)
            .filter(|code| *code != 39)
            .any(|code| coloured(&format!("{code}m")) || coloured(&format!("{code};"))),
        "{painted:?}"
    );
    // What comes and what goes is seen without anybody who counts events.
    let more = (0..100).map(|port| Flow::established(flow::source(500), [192, 0, 2, 9], 4000 + port, 60));
    fill(&topology.gateway, more);
    terminal.shows(&["950 entries", &flow::source(500).to_string()]);
    terminal.key("q");
    terminal.shows(&["ended 0"]);
}

fn ends() {
    let topology = filled();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let terminal = Terminal::new();
    let end = |by: &dyn Fn()| {
        terminal.line(&command(&setup, ""));
        terminal.shows(&["q quit"]);
        assert!(terminal.is_taken());
        by();
        wait::until("the shell's screen", std::time::Duration::from_secs(20), || {
            let screen = terminal.screen();
            let clean = !terminal.is_taken() && screen.contains("\nended 0");
            if clean { Ok(()) } else { Err(screen) }
        });
        // The terminal echoes and edits lines again.
        terminal.line("echo again");
        terminal.shows(&["$ echo again", "\nagain"]);
        terminal.clear();
    };
    end(&|| terminal.key("q"));
    end(&|| terminal.key("C-c"));
    end(&|| terminal.key("C-\\"));
    let tell = |signal| kill(Pid::from_raw(terminal.process("top")), signal).expect("a signal");
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGABRT,
        Signal::SIGALRM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ] {
        end(&|| tell(signal));
    }
    // The terminal itself goes: the program does too.
    terminal.line(&command(&setup, ""));
    terminal.shows(&["q quit"]);
    let pid = terminal.process("top");
    drop(terminal);
    wait::until("the end of a program without a terminal", std::time::Duration::from_secs(20), || {
        if std::path::Path::new(&format!("/proc/{pid}")).exists() { Err("it runs") } else { Ok(()) }
    });
}

fn stops() {
    let topology = filled();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let terminal = Terminal::new();
    let key = || terminal.key("C-z");
    let signal = || kill(Pid::from_raw(terminal.process("top")), Signal::SIGTSTP).expect("a signal");
    let both: [&dyn Fn(); 2] = [&key, &signal];
    terminal.line(&command(&setup, ""));
    for by in both {
        terminal.shows(&["q quit"]);
        by();
        terminal.is_given_back();
        terminal.prompts();
        // A command of the shell meanwhile, which echoes and edits lines again.
        terminal.line("echo between");
        terminal.shows(&["$ echo between", "\nbetween"]);
        terminal.line("fg; echo over $?");
        terminal.shows(&["q quit", &flow::source(40).to_string()]);
        assert!(terminal.is_taken());
    }
    terminal.key("q");
    terminal.shows(&["\nover 0"]);
    assert!(!terminal.is_taken());
}

fn flush() {
    let topology = filled();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let terminal = Terminal::new();
    terminal.line(&command(&setup, ""));
    let victim = flow::source(40);
    let held = || table::rows(&topology.gateway).iter().filter(|row| row.source == victim).count();
    terminal.shows(&[&victim.to_string()]);
    terminal.key("f");
    terminal.shows(&["flush?", &format!("of {victim}"), "40", "y deletes them"]);
    terminal.key("n");
    terminal.shows(&["q quit"]);
    assert_eq!((held(), topology.count()), (40, 850), "no is no");
    terminal.key("f");
    terminal.shows(&["y deletes them"]);
    terminal.key("y");
    terminal.shows(&["any key goes back"]);
    assert_eq!((held(), topology.count()), (0, 810));
    terminal.key("x");
    terminal.shows(&["40 sources", &flow::source(39).to_string()]);
    // Of a line under a filter goes what the line shows.
    let ports = || table::rows(&topology.gateway).iter().filter(|row| row.source == flow::source(39)).count();
    terminal.key("/");
    terminal.line("10.128.0.0/16 --sport 1037 --sport 1038");
    terminal.shows(&["2 sources,"]);
    terminal.key("f");
    terminal.shows(&["only what matches the filter", "2 entries of 1 source match", "y deletes them"]);
    terminal.key("y");
    terminal.shows(&["deleted 2 entries", "any key goes back"]);
    assert_eq!((ports(), topology.count()), (37, 808));
    terminal.key("x");
    terminal.key("q");
    terminal.shows(&["ended 0"]);
}

fn small() {
    let topology = filled();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let terminal = Terminal::new();
    terminal.line(&command(&setup, "LC_ALL=C"));
    let victim = flow::source(40).to_string();
    terminal.shows(&[&victim]);
    for order in ["new", "unreplied"] {
        terminal.key("s");
        terminal.shows(&[&format!("most {order} first")]);
    }
    let screen = terminal.shows(&["most unreplied first; from a dump"]);
    let title = screen.lines().find(|line| line.contains("most unreplied first")).unwrap_or_default();
    assert!(title.ends_with("--") && title.chars().count() == 80, "{screen}");
    terminal.key("s");
    terminal.key("s");
    terminal.shows(&["most entries first", &victim]);
    terminal.resize(40, 6);
    terminal.shows(&["SOURCE"]);
    terminal.key("f");
    let question = ["40 entries of 1 source match", &format!("tcp established {victim}:"), "y deletes them"];
    terminal.shows(&[&[format!("flush {victim}?").as_str()], &question[..]].concat());
    terminal.key("n");
    terminal.key("q");
    terminal.shows(&["ended 0"]);
    assert_eq!(topology.count(), 850, "no is no");
}

fn unable() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let terminal = Terminal::new();
    terminal.line(&command(&setup, "TERM=dumb"));
    terminal.shows(&[
        "ctctl: top: TERM is dumb",
        "hint: use ctctl --netns ",
        "top-sources --watch",
        "ended 2",
    ]);
    let answer = setup.ctctl(&["top"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (2, ""), "{answer:?}");
    assert!(answer.stderr.contains("no terminal"), "{answer:?}");
}
