//! The command line, as clap reads it.

mod events;
mod simulate;
mod sources;
mod status;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::filters::FilterArguments;
use super::value;

pub use events::Events;
pub use simulate::{Seeds, Simulate};
pub use sources::{Top, TopSources};
pub use status::Status;

/// A live controller of the Linux connection tracking table.
#[derive(Parser, Debug)]
#[command(
    name = "ctctl",
    version,
    subcommand_required = true,
    arg_required_else_help = false,
    disable_help_subcommand = true,
    after_help = "Examples:\n  ctctl status\n  ctctl top-sources -n 5\n  ctctl --netns blue plan\n\n\
        A DURATION is a number of seconds (90), or numbers with units d, h, m, s, ms (90s, 10m, 1h30m): the same for \
        every option and, in quotes, in the configuration."
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command, before or after its name.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Network namespace, by its `ip netns` name or by a path such as /proc/PID/ns/net [default: the caller's]
    #[arg(long, global = true, value_name = "NAME|PATH")]
    pub netns: Option<String>,
    /// Control socket of the agent [default: /run/ctctl/KEY.sock, KEY being the namespace's name or `host`]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Configuration [default: /etc/ctctl/ctctl.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON document (list, events, history and --watch: one a line) and nothing else on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Colour; auto is on for a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Say more; twice for more still
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say less
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
}

impl Global {
    /// Returns the log verbosity: the number of `-v` minus the number of `-q`.
    pub fn verbosity(&self) -> i8 {
        let level = i16::from(self.verbose) - i16::from(self.quiet);
        level.clamp(i8::MIN.into(), i8::MAX.into()) as i8
    }
}

/// Values of `--color`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// A subcommand and its arguments.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the agent in the foreground: subscribe, count, decide, act, journal
    #[command(after_help = "Examples:\n  ctctl agent --dry-run -v\n  ctctl --netns blue agent")]
    Agent(Agent),
    /// Usage, level, bounds, timeouts, drops, the agent's health, what waits, last actions
    #[command(after_help = "Examples:\n  ctctl status\n  ctctl status --check --require-agent\n  \
        ctctl status --all\n\nExit code of --check: 0 normal, 1 high, 2 critical, 3 anything else.")]
    Status(Status),
    /// Sources that fill the table
    #[command(
        after_help = "Examples:\n  ctctl top-sources -n 5\n  ctctl top-sources --prefix 24,64 --by unreplied\n  \
        ctctl top-sources -p udp --dport 53 --not --assured\n  \
        ctctl top-sources --group service --watch=5\n  ctctl top-sources --input saved.txt --resolve\n  \
        ctctl top-sources -n 0 --direct --json"
    )]
    TopSources(TopSources),
    /// `top-sources` live and full-screen: usage over time, sources, what the agent does and why
    #[command(after_help = "Examples:\n  ctctl top\n  ctctl top --by new --prefix 24,64\n\n\
        Keys: q quit, enter a source's connections, esc back, s sort, r reverse, p prefix, / filter, \
        space freeze the screen, f flush, ? help.")]
    Top(Top),
    /// Entries, one a line as the kernel hands them out: idle time, class, and why each would or would not go
    #[command(after_help = "Examples:\n  ctctl list -s 10.0.0.0/8 --state established --idle-over 2h\n  \
        ctctl list --json --not -p tcp | head -1\n  ctctl list --like-conntrack -w 7")]
    List(List),
    /// A live tail of new, update and destroy events; says what it lost
    #[command(
        after_help = "Examples:\n  ctctl events -p tcp --dport 22\n  ctctl events -e new,destroy -n 100 --json\n\n\
        An entry that is older than the first listener may change and end in silence (nf_conntrack_events = 2)."
    )]
    Events(Events),
    /// Delete what is stale, or what matches: shows it first, and asks
    #[command(
        after_help = "Examples:\n  ctctl flush --stale --dry-run\n  ctctl flush -s 10.0.0.7 -p udp --dport 53\n  \
        ctctl flush --stale --idle-over 1d --limit 1000 --yes\n\n\
        Exit code: 1 if declined, 3 if interrupted, 2 without a terminal to ask on and without --yes."
    )]
    Flush(Flush),
    /// Show what the policy would do now, and why; touches nothing
    #[command(after_help = "Examples:\n  ctctl plan\n  ctctl plan --snapshot >gw.json\n  \
        ctctl --config tighter.toml plan --from gw.json")]
    Plan(Plan),
    /// The journal: what was done, why, what it achieved
    #[command(after_help = "Examples:\n  ctctl history -n 5\n  ctctl history --since 2h\n  \
        ctctl history --since '2026-11-20 08:00' --json")]
    History(History),
    /// Make the agent watch on and touch nothing, until `ctctl resume`
    #[command(after_help = "Examples:\n  ctctl pause --for 10m\n  ctctl pause")]
    Pause(Pause),
    /// Make the agent act again
    #[command(after_help = "Example:\n  ctctl resume")]
    Resume,
    /// Make the agent read its configuration again
    #[command(after_help = "Example:\n  ctctl reload")]
    Reload,
    /// Put back every value that the agent changed, as far as that is safe now; say what waits
    #[command(after_help = "Examples:\n  ctctl revert\n  ctctl revert --force\n\n\
        Exit code: 1 if a value waits or could not be put back, or if the record of what was found is damaged and the \
        journal says nothing either.")]
    Revert(Revert),
    /// Find settings that do not do what their author thinks, and say how to mend each; changes nothing
    #[command(
        after_help = "Examples:\n  ctctl doctor\n  ctctl doctor --root /mnt/image\n  ctctl doctor --json\n\n\
        Exit code: 0 nothing above a note, 1 a warning or an error was found, 3 part could not be looked at."
    )]
    Doctor(Doctor),
    /// The policy against a modelled table in virtual time, compared with what else is done about a full one
    #[command(
        after_help = "Examples:\n  ctctl simulate --list\n  ctctl simulate slow-leak --svg slow-leak.svg\n  \
        ctctl simulate --show slow-leak > mine.toml\n  ctctl simulate mine.toml --seed 1..20 --strategy ctctl"
    )]
    Simulate(Simulate),
    /// Make today's values hold at boot: modules-load.d, modprobe.d and sysctl.d
    #[command(after_help = "Examples:\n  ctctl persist --dry-run\n  ctctl persist\n  \
        ctctl persist --root /mnt\n\nWhat only the agent made under pressure is written as it was before. \
        Exit code: 1 if a file that is read later sets a value otherwise.")]
    Persist(Persist),
    /// A way in when the table is full: rules that let a management port past connection tracking for a time
    #[command(after_help = "Examples:\n  ctctl lifeline --port 22\n  ctctl lifeline --apply --for 30m\n  \
        ctctl lifeline --remove\n\nOnly what is addressed to this host itself goes untracked. Where the \
        rules in force let the port in by its connection state alone, going untracked would lock it out: --apply \
        refuses, and what is printed is comments. Exit code: 1 then, 3 if the rules could not be looked at. A port \
        that is applied joins those of before, each with its own time; after it the kernel ends the port by itself. \
        What is then left is an empty table inet ctctl_lifeline, which lets nothing past: --remove takes it away.")]
    Lifeline(Lifeline),
    /// Print a file that goes with the program
    #[command(
        arg_required_else_help = false,
        after_help = "Examples:\n  ctctl generate man >/usr/local/share/man/man8/ctctl.8\n  \
        ctctl generate config | install -Dm644 /dev/stdin /etc/ctctl/ctctl.toml\n  ctctl generate unit >/etc/systemd/system/ctctl.service"
    )]
    Generate(Generate),
    /// Help for the program, or for one of its commands
    #[command(after_help = "Examples:\n  ctctl help\n  ctctl help flush\n  ctctl help generate man")]
    Help(Help),
}

/// Arguments of `help`.
#[derive(Args, Debug)]
pub struct Help {
    /// Command, with its subcommand if it has one
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Arguments of `persist`.
#[derive(Args, Debug)]
pub struct Persist {
    /// Show what would change, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write below this directory: a mounted image
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// Arguments of `lifeline`.
#[derive(Args, Debug)]
pub struct Lifeline {
    /// TCP port of this host; may be repeated [default: that of the SSH session, else 22]
    #[arg(long, value_name = "N", value_parser = value::port, allow_hyphen_values = true)]
    pub port: Vec<u16>,
    /// Put the rules into the kernel, instead of printing them
    #[arg(long)]
    pub apply: bool,
    /// The kernel takes the rules out after this time (90, 90s, 10m, 2h) [default: 1h]
    #[arg(long = "for", value_name = "DURATION", value_parser = value::lasting, allow_hyphen_values = true)]
    pub seconds: Option<u64>,
    /// Take the rules away, those of every port and those whose time is over
    #[arg(long, conflicts_with_all = ["apply", "seconds", "port"])]
    pub remove: bool,
}

/// Arguments of `generate`.
#[derive(Args, Debug)]
pub struct Generate {
    #[command(subcommand)]
    pub file: File,
}

/// Files that `generate` prints.
#[derive(Subcommand, Debug)]
pub enum File {
    /// The manual, ctctl(8)
    #[command(after_help = "Example:\n  ctctl generate man | man -l -")]
    Man,
    /// Completions of the command line for a shell
    #[command(
        after_help = "Example:\n  ctctl generate completions bash >/usr/share/bash-completion/completions/ctctl"
    )]
    Completions {
        /// Shell that the completions are for
        #[arg(value_name = "SHELL", value_enum)]
        shell: clap_complete::Shell,
    },
    /// Every key of the configuration, commented, with its default and on what that stands
    #[command(
        after_help = "Example:\n  ctctl generate config | install -Dm644 /dev/stdin /etc/ctctl/ctctl.toml"
    )]
    Config,
    /// A hardened systemd unit of the agent, for this binary, --config, --netns and --socket
    #[command(after_help = "Examples:\n  ctctl generate unit >/etc/systemd/system/ctctl.service\n  \
        ctctl --netns blue generate unit >/etc/systemd/system/ctctl-blue.service")]
    Unit,
}

/// Arguments of `agent`.
#[derive(Args, Debug)]
pub struct Agent {
    /// Decide and journal, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `plan`.
#[derive(Args, Debug)]
pub struct Plan {
    /// Decide again what was recorded with --snapshot (`-`: from standard input), without a kernel or rights; with the
    /// settings recorded, or with those of --config
    #[arg(long, value_name = "SNAPSHOT.json", conflicts_with = "snapshot")]
    pub from: Option<PathBuf>,
    /// Print all that the plan is made of (facts, memory, settings) as one JSON document
    #[arg(long)]
    pub snapshot: bool,
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub struct List {
    /// In the form of `conntrack -L`, for scripts that read that
    #[arg(long)]
    pub like_conntrack: bool,
    #[command(flatten)]
    pub filters: FilterArguments,
}

/// Arguments of `flush`.
#[derive(Args, Debug)]
pub struct Flush {
    /// Entries that the agent would give up at level high: of a class, idle for certain past its floor; with filters,
    /// of these
    #[arg(long)]
    pub stale: bool,
    /// Show what would go, delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Delete at most N entries: the least recently active, and above 65536 as they are met
    #[arg(long, value_name = "N", value_parser = value::limit, allow_hyphen_values = true)]
    pub limit: Option<u64>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Delete protected entries too: those of the configuration, and those that the agent protects by itself
    #[arg(long)]
    pub even_protected: bool,
    #[command(flatten)]
    pub filters: FilterArguments,
}

/// Arguments of `history`.
#[derive(Args, Debug)]
pub struct History {
    /// The last N acts, a line each (with -v or --json: records); 0 is all [default: 20, with --since all]
    #[arg(short = 'n', value_name = "N", value_parser = value::count, allow_hyphen_values = true)]
    pub limit: Option<u64>,
    /// From then on: RFC 3339, `YYYY-MM-DD[ HH:MM[:SS]]`, `HH:MM`, or a duration ago (90, 90s, 10m, 2h, 1d)
    #[arg(long, value_name = "T", value_parser = value::since, allow_hyphen_values = true)]
    pub since: Option<Timestamp>,
}

/// Arguments of `pause`.
#[derive(Args, Debug)]
pub struct Pause {
    /// Act again after this time (90, 90s, 10m, 2h, 1d, 1h30m)
    #[arg(long = "for", value_name = "DURATION", value_parser = value::lasting, allow_hyphen_values = true)]
    pub seconds: Option<u64>,
}

/// Arguments of `revert`.
#[derive(Args, Debug)]
pub struct Revert {
    /// Put back what is not safe now, too
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Examine the files below this directory (a mounted image), and no running kernel
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Time to watch for counters that rise (0, 1s, 1m; at most 1h)
    #[arg(long, value_name = "DURATION", value_parser = value::sample, default_value = "1s",
        allow_hyphen_values = true, conflicts_with = "root")]
    pub sample: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        examples(&Arguments::command(), "");
    }

    /// Checks that every command, at any depth, has an example with its whole name that clap accepts.
    fn examples(above: &clap::Command, path: &str) {
        for command in above.get_subcommands() {
            let path = format!("{path} {}", command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines = help.lines().filter_map(|line| line.strip_prefix("  ctctl "));
            let calls: Vec<&str> = lines.flat_map(|line| line.split(" && ")).collect();
            assert!(
                calls.iter().any(|call| format!(" {call} ").contains(&format!("{path} "))),
                "{path}: {help}"
            );
            for call in calls {
                let words = call.trim_start_matches("ctctl ").split(['>', '|']).next().unwrap_or_default();
                // A value in quotes is one word.
                let words = words.replace("'2026-11-20 08:00'", "2026-11-20");
                let line = std::iter::once("ctctl").chain(words.split_whitespace());
                let parsed = Arguments::try_parse_from(line);
                assert!(parsed.is_ok(), "{path}: the example {call:?} is refused: {:?}", parsed.err());
            }
            examples(command, &path);
        }
    }

    #[test]
    fn global_options_go_before_and_after_the_command() {
        for line in [["ctctl", "--json", "-vv", "plan"], ["ctctl", "plan", "-vv", "--json"]] {
            let arguments = Arguments::try_parse_from(line).expect("both are right");
            assert!(arguments.global.json);
            assert_eq!(arguments.global.verbosity(), 2);
        }
        let quiet = Arguments::try_parse_from(["ctctl", "-q", "plan"]).expect("right");
        assert_eq!(quiet.global.verbosity(), -1);
    }
}
