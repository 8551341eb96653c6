//! ctctl(8): one page for all commands, from the definitions that the command line is read by.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// Where things are, in the order in which an operator meets them.
const FILES: &[(&str, &str)] = &[
    (
        "/etc/ctctl/ctctl.toml",
        "configuration; `ctctl generate config` prints it with every key and its default",
    ),
    ("/run/ctctl/KEY.sock", "control socket; KEY is the namespace's name as `ip netns` knows it, or host"),
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
    ("COLUMNS", "the width of the terminal"),
    ("CTCTL_LOG", "levels of the agent's log by module, as tracing takes them: ctctl=debug"),
];

/// The page.
pub fn page(command: Command) -> Vec<u8> {
    let command = command.disable_help_subcommand(true).subcommand_value_name("command");
    let man = Man::new(command.clone()).section("8").title("CTCTL").manual("System Administration");
    let mut page = Vec::new();
    // Writing into memory does not fail.
    let _ = man.render_title(&mut page);
    let _ = man.render_name_section(&mut page);
    let _ = man.render_synopsis_section(&mut page);
    let _ = man.render_description_section(&mut page);
    let _ = man.render_options_section(&mut page);
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    let _ = commands.to_writer(&mut page);
    // Not built: options of every command are not repeated below each.
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        section(&mut page, sub, "ctctl");
    }
    let mut end = Roff::new();
    listed(&mut end, "EXIT STATUS", EXIT);
    listed(&mut end, "ENVIRONMENT", ENVIRONMENT);
    listed(&mut end, "FILES", FILES);
    end.control("SH", ["SEE ALSO"]);
    end.text([roman("conntrack(8), nft(8), ip-netns(8), sysctl.d(5), modprobe.d(5)")]);
    let _ = end.to_writer(&mut page);
    page
}

/// One command, and those below it.
fn section(page: &mut Vec<u8>, command: &Command, above: &str) {
    let name = format!("{above} {}", command.get_name());
    let mut head = Roff::new();
    head.control("SS", [name.as_str()]);
    let _ = head.to_writer(page);
    let own = command.clone().bin_name(&name).disable_help_flag(true).disable_help_subcommand(true);
    let man = Man::new(own.clone().after_help("").after_long_help(""));
    let mut text = Vec::new();
    let _ = man.render_synopsis_section(&mut text);
    let _ = man.render_description_section(&mut text);
    if own.get_arguments().next().is_some() {
        let _ = man.render_options_section(&mut text);
    }
    page.extend(body(&text));
    examples(page, command);
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        section(page, sub, &name);
    }
}

/// Without the definitions that every piece begins with; sections become paragraphs of the command's own.
fn body(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let kept = lines.filter(|line| !line.starts_with(b".ie ") && !line.starts_with(b".el "));
    let paragraph =
        |line: &[u8]| if line.starts_with(b".SH") { b".PP\n".to_vec() } else { [line, b"\n"].concat() };
    kept.flat_map(paragraph).collect()
}

/// What stands after the help, as it stands there.
fn examples(page: &mut Vec<u8>, command: &Command) {
    let Some(after) = command.get_after_help() else { return };
    let mut roff = Roff::new();
    roff.control("PP", []);
    roff.control("nf", []);
    for line in after.to_string().lines() {
        if line.is_empty() {
            roff.control("sp", [])
        } else {
            roff.text([roman(line)])
        };
    }
    roff.control("fi", []);
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
