//! kube-proxy, by itself or inside of k3s, microk8s and others: at its start it sets max and two timeouts.

use super::cure::{quoted, seen};
use super::facts::{Facts, Files};
use super::formats::Command;
use crate::core::model::{FileLine, Finding, Severity};

/// Writes an option in the form of its file.
type Form = fn(&str) -> String;

/// A program that has kube-proxy in it.
struct Host {
    /// Names of its process.
    processes: &'static [&'static str],
    /// Names of its units.
    units: &'static [&'static str],
    /// Its name in a sentence.
    said: &'static str,
    /// File of its options for kube-proxy, and the form in which one is written there.
    options: Option<(&'static str, Form)>,
    /// First line of a new file.
    head: Option<&'static str>,
}

const HOSTS: [Host; 5] = [
    Host { processes: &["kube-proxy"], units: &[], said: "kube-proxy", options: None, head: None },
    Host {
        processes: &["k3s-server", "k3s-agent", "k3s"],
        units: &["k3s.service", "k3s-agent.service"],
        said: "k3s, with kube-proxy in it,",
        options: Some(("/etc/rancher/k3s/config.yaml.d/90-conntrack.yaml", |option| format!("- {option}"))),
        head: Some("kube-proxy-arg+:"),
    },
    Host {
        processes: &["rke2"],
        units: &["rke2-server.service", "rke2-agent.service"],
        said: "rke2, which starts kube-proxy,",
        options: Some(("/etc/rancher/rke2/config.yaml.d/90-conntrack.yaml", |option| format!("- {option}"))),
        head: Some("kube-proxy-arg+:"),
    },
    Host {
        processes: &["kubelite"],
        units: &["snap.microk8s.daemon-kubelite.service"],
        said: "microk8s, with kube-proxy in it,",
        options: Some(("/var/snap/microk8s/current/args/kube-proxy", |option| format!("--{option}"))),
        head: None,
    },
    Host {
        processes: &["hyperkube", "openshift-sdn-n"],
        units: &[],
        said: "a program with kube-proxy in it",
        options: None,
        head: None,
    },
];

/// Names of processes that have kube-proxy in them (the kernel keeps 15 letters of a name).
pub fn processes() -> Vec<&'static str> {
    HOSTS.iter().flat_map(|host| host.processes.iter().copied()).collect()
}

/// Directories and files that hold options for kube-proxy, below the root.
pub const OPTION_FILES: [&str; 4] = [
    "etc/rancher/k3s/config.yaml",
    "etc/rancher/rke2/config.yaml",
    "var/snap/microk8s/current/args/kube-proxy",
    "var/snap/microk8s/current/args/kubelite",
];
/// As [`OPTION_FILES`], with more than one file.
pub const OPTION_DIRECTORIES: [&str; 2] = ["etc/rancher/k3s/config.yaml.d", "etc/rancher/rke2/config.yaml.d"];

/// Values that it sets, and the options that leave them alone.
const SET: [(&str, &str); 3] = [
    ("max", "conntrack-max-per-core=0"),
    ("tcp_timeout_established", "conntrack-tcp-timeout-established=0s"),
    ("tcp_timeout_close_wait", "conntrack-tcp-timeout-close-wait=0s"),
];

/// Findings on values that it sets against the files.
pub fn check(facts: &Facts) -> Option<Finding> {
    let running = facts.runtime.iter().flat_map(|runtime| &runtime.programs);
    let running = running.filter_map(|(pid, name)| {
        let host = HOSTS.iter().find(|host| host.processes.contains(&name.as_str()))?;
        Some((host, format!("process {pid}: {name}")))
    });
    let started = facts.files.iter().flat_map(|files| &files.started_units).filter_map(|unit| {
        let host = HOSTS.iter().find(|host| host.units.contains(&unit.as_str()))?;
        Some((host, format!("{unit} is started at boot")))
    });
    let none = Files::default();
    let files = facts.files.as_ref().unwrap_or(&none);
    let (host, seen_as) = running.chain(started).find(|(host, _)| !is_off(host, files))?;
    let of_command = commands(host, files).flat_map(|command| command.arguments().iter().cloned());
    let options: Vec<FileLine> = of_command.map(|text| FileLine { text, ..FileLine::default() }).collect();
    let options: Vec<&FileLine> = files.kube_proxy_options.iter().chain(&options).collect();
    let left: Vec<_> =
        SET.iter().filter(|(_, option)| !options.iter().any(|line| says(line, option))).collect();
    if left.is_empty() {
        return None;
    }
    let effective = files.effective();
    let both: Vec<_> = left.iter().filter_map(|(name, _)| effective.get(name)).collect();
    let severity = if both.is_empty() { Severity::Note } else { Severity::Warning };
    let mut fix = match host.options {
        Some((path, form)) => vec![append(facts, host, path, left.iter().map(|(_, option)| form(option)))],
        None => vec![
            "# in kube-proxy's configuration, which then leaves the values alone:".to_owned(),
            "#   conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s }"
                .into(),
        ],
    };
    if host.options.is_some() {
        fix.push("# then restart it: it leaves the values alone".into());
    }
    Some(
        Finding::new("other-manager", severity, format!("{} manages conntrack's values as well", host.said))
            .because(
                "At its start it sets max (32768 a core, 131072 at least), tcp_timeout_established (one day) and \
                 tcp_timeout_close_wait (one hour), whatever sysctl.d says.",
            )
            .seen([seen(seen_as)])
            .seen(both.into_iter().map(|s| facts.at(s.file, s.line)))
            .fix(fix)
            .source(&["kube-proxy(1), --conntrack-max-per-core, --conntrack-tcp-timeout-established"]),
    )
}

/// Commands of units that start a host.
fn commands<'a>(host: &'a Host, files: &'a Files) -> impl Iterator<Item = &'a Command> {
    let commands = files.programs.iter().flat_map(|program| &program.commands);
    commands.filter(|command| {
        let of = |unit: &&str| command.line.path.contains(&format!("/{unit}"));
        host.units.iter().any(of) || host.processes.contains(&command.program())
    })
}

/// True if a host starts no kube-proxy: its files say so, or its command line, which has the last word.
fn is_off(host: &Host, files: &Files) -> bool {
    let of_host = |line: &&FileLine| match host.options {
        Some((path, _)) => line.path.is_empty() || ours(path) == ours(&line.path),
        None => false,
    };
    let in_files = files.kube_proxy_options.iter().filter(of_host).filter_map(|line| off(&line.text));
    let arguments = commands(host, files).flat_map(|command| command.arguments());
    in_files.chain(arguments.filter_map(|word| off(word))).last().unwrap_or(false)
}

/// Directory of a host's options: `/etc/rancher/k3s`.
fn ours(path: &str) -> Vec<&str> {
    path.split('/').take(4).collect()
}

/// What a line says of it: `disable-kube-proxy: true`, `--disable-kube-proxy`, `--start-kube-proxy=false`.
fn off(text: &str) -> Option<bool> {
    let text = text.split(" #").next().unwrap_or_default();
    let bare: String = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'')).collect();
    let bare = bare.trim_start_matches('-');
    let is_true = |value: &str| match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "yes" | "on" => Some(true),
        "false" | "0" | "f" | "no" | "off" => Some(false),
        _ => None,
    };
    match bare.strip_prefix("disable-kube-proxy") {
        Some("") => Some(true),
        Some(value) => is_true(value.strip_prefix([':', '='])?),
        None => is_true(bare.strip_prefix("start-kube-proxy")?.strip_prefix([':', '='])?).map(|on| !on),
    }
}

/// True if a line gives the option, whatever unit its 0 has.
fn says(line: &FileLine, option: &str) -> bool {
    let bare = option.trim_end_matches('s');
    let Some((_, behind)) = line.text.split_once(bare) else { return false };
    !behind.starts_with(|c: char| c.is_ascii_digit() && c != '0')
}

fn append(facts: &Facts, host: &Host, path: &str, lines: impl Iterator<Item = String>) -> String {
    let words: Vec<String> =
        host.head.map(str::to_owned).into_iter().chain(lines).map(|line| quoted(&line)).collect();
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let (directory, path) = (quoted(&facts.path(directory)), quoted(&facts.path(path)));
    format!("mkdir -p {directory} && printf '%s\\n' {} >> {path}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::doctor::facts::Runtime;

    fn facts(programs: &[&str], options: &[&str]) -> Facts {
        let line = |text: &&str| FileLine { text: (*text).into(), ..FileLine::default() };
        Facts {
            runtime: Some(Runtime {
                programs: programs.iter().map(|name| (7, (*name).to_owned())).collect(),
                ..Runtime::default()
            }),
            files: Some(Files { kube_proxy_options: options.iter().map(line).collect(), ..Files::default() }),
            ..Facts::default()
        }
    }

    #[test]
    fn each_of_its_hosts_is_known() {
        for name in ["kube-proxy", "k3s-server", "k3s-agent", "kubelite"] {
            let found = check(&facts(&[name], &[])).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(found.severity, Severity::Note);
            assert!(found.evidence[0].text.contains(name), "{found:?}");
        }
        assert_eq!(check(&facts(&["kubelet"], &[])), None);
    }

    #[test]
    fn options_that_leave_the_values_alone_are_read() {
        let all = [
            "- conntrack-max-per-core=0",
            "- conntrack-tcp-timeout-established=0",
            "- \"conntrack-tcp-timeout-close-wait=0s\"",
        ];
        assert_eq!(check(&facts(&["k3s-server"], &all)), None);
        assert_eq!(check(&facts(&["k3s-server"], &["disable-kube-proxy: true"])), None);
        assert!(
            check(&facts(&["k3s-server"], &["- conntrack-max-per-core=05", "disable-kube-proxy: false"]))
                .is_some()
        );
    }
}
