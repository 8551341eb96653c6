//! ctctl(8): one page for all commands, made from the definitions by which the command line is parsed.

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::filters;

const DESCRIPTION: &[&str] = &[
    "ctctl watches the connection tracking table of a network namespace. Its agent hears conntrack events, keeps exact \
     counts of who holds how many entries, and under pressure deletes entries that are idle for certain, shortens \
     timeouts and raises nf_conntrack_max. Every command but pause, resume and reload answers without an agent too, from \
     the kernel itself.",
    "A command means the namespace that it runs in; --netns names another. An agent is found by its socket: \
     /run/ctctl/KEY.sock, or --socket.",
    "A DURATION is a number of seconds (90), or numbers with units d, h, m, s, ms, the larger first (90s, 10m, 1h30m): the \
     same for every option and, in quotes, in the configuration. Times in JSON are RFC 3339 in UTC with microseconds; times \
     in text are local.",
];

/// Files of ctctl, in the order in which an operator meets them.
const FILES: &[(&str, &str)] = &[
    (
        "/etc/ctctl/ctctl.toml",
        "configuration; `ctctl generate config` prints it with every key and its default",
    ),
    ("/run/ctctl/KEY.sock", "control socket; KEY is the namespace's name as `ip netns` knows it, or host"),
    (
        "/run/ctctl/netns-INODE.lock, /run/ctctl/host.lock",
        "held by the agent of a namespace, and by the agent that owns nf_conntrack_max; gone when it has stopped",
    ),
    ("/var/lib/ctctl/KEY/journal.jsonl", "what was done and why, rotated by size"),
    ("/var/lib/ctctl/KEY/baseline.json", "the values that the agent found"),
];

const EXIT: &[(&str, &str)] = &[
    ("0", "done"),
    ("1", "it ran and the answer is no, was declined, or something waits"),
    ("2", "usage or configuration"),
    ("3", "the kernel or the agent could not be reached, refused, or did part only"),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("NO_COLOR", "where it is set, --color auto is never"),
    ("COLUMNS", "the width of the terminal, and of sentences that go into a pipe"),
    ("CTCTL_LOG", "levels of the agent's log by module, as tracing takes them: ctctl=debug"),
];

/// Returns the page as roff source.
pub fn page(command: Command) -> Vec<u8> {
    let command = inline_values(command.disable_help_subcommand(true).subcommand_value_name("command"));
    let man = Man::new(command.clone()).section("8").title("CTCTL").manual("System Administration");
    let mut page = Vec::new();
    // Writing into memory does not fail.
    let _ = man.render_title(&mut page);
    let _ = man.render_name_section(&mut page);
    let mut head = Roff::new();
    head.control("SH", ["SYNOPSIS"]);
    head.text([bold("ctctl"), roman(" [global options] "), italic("command"), roman(" [options]")]);
    head.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        head.control("PP", []);
        head.text([roman(*paragraph)]);
    }
    let _ = head.to_writer(&mut page);
    let _ = man.render_options_section(&mut page);
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    let _ = commands.to_writer(&mut page);
    // The command is not built (`Command::build`), so that global options are not repeated below each command.
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        section(&mut page, sub, "ctctl");
    }
    filters_section(&mut page);
    let mut end = Roff::new();
    listed(&mut end, "EXIT STATUS", EXIT);
    listed(&mut end, "ENVIRONMENT", ENVIRONMENT);
    listed(&mut end, "FILES", FILES);
    end.control("SH", ["SEE ALSO"]);
    end.text([roman("conntrack(8), nft(8), ip-netns(8), sysctl.d(5), modprobe.d(5)")]);
    let _ = end.to_writer(&mut page);
    page
}

/// Writes the values that an option takes into its help sentence: a list with a line for each would fill the page.
fn inline_values(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let values: Vec<String> =
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        if values.is_empty() || !arg.get_action().takes_values() {
            return arg;
        }
        let said = arg.get_help().map(ToString::to_string).unwrap_or_default();
        arg.help(format!("{said} (one of {})", values.join(", "))).hide_possible_values(true)
    });
    command.mut_subcommands(inline_values)
}

fn is_filter(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(filters::HEADING)
}

/// Writes the section of one command and of its subcommands.
fn section(page: &mut Vec<u8>, command: &Command, above: &str) {
    let name = format!("{above} {}", command.get_name());
    let mut head = Roff::new();
    head.control("SS", [name.as_str()]);
    head.text(synopsis(command, &name));
    let _ = head.to_writer(page);
    let own = command.clone().bin_name(&name).disable_help_flag(true).disable_help_subcommand(true);
    let own = own.mut_args(|arg| if is_filter(&arg) { arg.hide(true) } else { arg });
    let man = Man::new(own.clone().after_help("").after_long_help(""));
    let mut text = Vec::new();
    let _ = man.render_description_section(&mut text);
    if own.get_arguments().any(|arg| !arg.is_hide_set()) {
        let _ = man.render_options_section(&mut text);
    }
    page.extend(body(&text));
    examples(page, command);
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        section(page, sub, &name);
    }
}

/// Returns the command with its options, each with the name of its value. Filters have a section of their own.
fn synopsis(command: &Command, name: &str) -> Vec<Inline> {
    let mut parts = vec![bold(name)];
    for arg in command.get_arguments().filter(|arg| !is_filter(arg)) {
        let value = arg.get_value_names().unwrap_or_default().first().map(ToString::to_string);
        let value = value.filter(|_| arg.get_action().takes_values());
        let flag = match (arg.get_long(), arg.get_short()) {
            (Some(long), _) => Some(format!("--{long}")),
            (None, Some(short)) => Some(format!("-{short}")),
            (None, None) => None,
        };
        let joint = if arg.is_require_equals_set() { "[=" } else { " " };
        let end = if arg.is_require_equals_set() { "]]" } else { "]" };
        parts.push(roman(" ["));
        parts.extend(flag.iter().map(|flag| bold(flag.as_str())));
        if let Some(value) = value {
            parts.extend(flag.is_some().then(|| roman(joint)));
            parts.push(italic(value));
            parts.push(roman(end));
        } else {
            parts.push(roman("]"));
        }
    }
    if command.get_arguments().any(is_filter) {
        parts.extend([roman(" ["), italic("FILTERS"), roman("]")]);
    }
    if command.has_subcommands() {
        parts.extend([roman(" "), italic("FILE")]);
    }
    parts
}

/// Writes the section on filters, once for all commands that take them.
fn filters_section(page: &mut Vec<u8>) {
    let command = inline_values(Command::new("filters").disable_help_flag(true));
    let command = inline_values(<filters::FilterArguments as clap::Args>::augment_args(command));
    let command = command.mut_args(|arg| arg.help_heading(None::<&str>));
    let mut text = Vec::new();
    let _ = Man::new(command).render_options_section(&mut text);
    let mut head = Roff::new();
    head.control("SH", ["FILTERS"]);
    head.text([roman("All must match; repeated values of one filter are alternatives.")]);
    let _ = head.to_writer(page);
    page.extend(body(&text));
}

/// Removes the macro definitions that each rendered piece begins with, and turns its sections into paragraphs.
fn body(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let kept = lines.filter(|line| !line.starts_with(b".ie ") && !line.starts_with(b".el "));
    let paragraph =
        |line: &[u8]| if line.starts_with(b".SH") { b".PP\n".to_vec() } else { [line, b"\n"].concat() };
    kept.flat_map(paragraph).collect()
}

/// Writes the text that follows a command's help.
fn examples(page: &mut Vec<u8>, command: &Command) {
    let Some(after) = command.get_after_help() else { return };
    let mut roff = Roff::new();
    // Examples keep their line breaks; any other block becomes a paragraph.
    let after = after.to_string();
    for block in after.split("\n\n") {
        let lines = block.lines().any(|line| line.starts_with("  "));
        roff.control("PP", []);
        if lines {
            roff.control("nf", []);
        }
        for line in block.lines() {
            roff.text([roman(line)]);
        }
        if lines {
            roff.control("fi", []);
        }
    }
    let mut text = Vec::new();
    let _ = roff.to_writer(&mut text);
    page.extend(body(&text));
}

fn listed(roff: &mut Roff, heading: &str, rows: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (name, what) in rows {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*what)]);
    }
}
