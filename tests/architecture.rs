//! Who may import whom, and what each part of the program keeps away from. Reads `src/`; needs no root.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module of `lib.rs`, the modules that it may import, and why it stands there.
type Row = (&'static str, &'static [&'static str], &'static str);

/// From the ground up: a module imports from the rows above its own alone, so there is no way back. What is not
/// listed is forbidden; what is listed and not used has to go from the list.
const MAY_IMPORT: &[Row] = &[
    ("model", &[], "the nouns that all others speak in"),
    ("error", &[], "what reaches the operator, from everywhere"),
    ("linux", &["error", "model"], "the only Linux: it reports and obeys, and knows of no policy"),
    ("state", &["model"], "events and dumps become counts: time is an argument, so tests own the clock"),
    ("policy", &["model"], "pure: the same snapshot, memory and settings give the same plan"),
    ("config", &["error", "model"], "text becomes settings; nothing of it depends on the machine"),
    ("log", &["model"], "where lines go, whatever they say"),
    (
        "journal",
        &["error", "model"],
        "records and the baseline on disk; it must work where the kernel refuses",
    ),
    ("control", &["error", "model"], "the socket carries answers; it never makes one from the kernel"),
    (
        "metrics",
        &["model"],
        "a page from copies, for whoever asks; it knows of no namespace, kernel or policy",
    ),
    ("sweep", &["model"], "pure: which of the entries that are offered go, by which act, and how fast"),
    (
        "executor",
        &["error", "linux", "model", "sweep"],
        "the only writer of the kernel; it does what the rules of the sweep choose",
    ),
    ("documents", &["model", "policy"], "facts become what commands print, by the policy's own numbers"),
    (
        "replay",
        &["documents", "error", "model", "policy"],
        "a recorded moment decided again: nothing of it comes from this machine",
    ),
    (
        "persist",
        &["error", "journal", "linux", "model"],
        "files for the next boot: it reads what holds and who made it, and changes nothing that runs",
    ),
    ("lifeline", &["error", "linux", "model"], "rules for nft, which alone puts them in: no second writer"),
    (
        "recovery",
        &["error", "executor", "journal", "model"],
        "the baseline goes back through the same writer",
    ),
    (
        "sieve",
        &["model", "policy", "state"],
        "class, proof and protection of one entry, for scan and flush alike",
    ),
    (
        "saved",
        &["model", "state"],
        "text from anywhere is counted as a dump is: no kernel, no clock, no file",
    ),
    (
        "simulate",
        &["model", "policy", "sieve", "state", "sweep"],
        "the policy against a modelled table: pure, with its own chance",
    ),
    (
        "gauge",
        &["error", "executor", "journal", "linux", "model", "policy", "sieve", "state"],
        "the one place where the kernel's numbers become a snapshot",
    ),
    (
        "direct",
        &[
            "documents",
            "error",
            "executor",
            "gauge",
            "journal",
            "linux",
            "model",
            "policy",
            "recovery",
            "sieve",
            "state",
            "sweep",
        ],
        "the answers without an agent: the agent's way, once, with a writer that does nothing",
    ),
    (
        "doctor",
        &["error", "journal", "linux", "lifeline", "model", "direct"],
        "findings are pure functions of facts, and one part of it gathers those",
    ),
    (
        "agent",
        &[
            "config",
            "control",
            "documents",
            "error",
            "executor",
            "gauge",
            "journal",
            "linux",
            "log",
            "metrics",
            "model",
            "policy",
            "recovery",
            "sieve",
            "state",
            "direct",
        ],
        "the loop that joins them all",
    ),
    (
        "cli",
        &[
            "agent", "config", "control", "doctor", "error", "journal", "lifeline", "log", "model",
            "persist", "replay", "saved", "simulate", "direct",
        ],
        "asks the agent or the kernel directly, and prints; it never meets the kernel, the state or the policy",
    ),
];

/// Folders of `src/` whose modules stand in [`MAY_IMPORT`] on their own.
const FOLDERS: &[&str] = &["core", "act", "facts", "tools"];

/// The files of `doctor` that read; all others are pure.
const DOCTORS_EYES: &[&str] = &[
    "tools/doctor/gather/commands.rs",
    "tools/doctor/gather/boot.rs",
    "tools/doctor/gather/files.rs",
    "tools/doctor/gather/hooks.rs",
    "tools/doctor/gather/mod.rs",
    "tools/doctor/gather/runtime.rs",
    "tools/doctor/gather/table.rs",
    "tools/doctor/gather/units.rs",
];

/// Imports that only these files of a module may have.
const ONLY_IN: &[(&str, &str, &[&str])] = &[
    ("cli", "agent", &["cli/agent.rs"]),
    ("cli", "doctor", &["cli/doctor.rs"]),
    (
        "doctor",
        "error",
        &["tools/doctor/gather/mod.rs", "tools/doctor/gather/runtime.rs", "tools/doctor/gather/table.rs"],
    ),
    ("doctor", "journal", &["tools/doctor/gather/runtime.rs"]),
    ("doctor", "linux", DOCTORS_EYES),
    ("doctor", "lifeline", &["tools/doctor/gather/runtime.rs"]),
    ("doctor", "direct", &["tools/doctor/gather/mod.rs", "tools/doctor/gather/table.rs"]),
    ("cli", "log", &["cli/agent.rs"]),
    ("cli", "journal", &["cli/history.rs"]),
    ("cli", "lifeline", &["cli/lifeline.rs"]),
    ("cli", "persist", &["cli/persist.rs"]),
    ("cli", "replay", &["cli/plan.rs"]),
    ("cli", "saved", &["cli/top_sources.rs"]),
    (
        "cli",
        "simulate",
        &["cli/args/simulate.rs", "cli/render/drawing.rs", "cli/render/simulate.rs", "cli/simulate.rs"],
    ),
];

/// Crates that belong to a few modules.
const CRATE_IN: &[(&str, &[&str])] = &[
    ("netlink_sys", &["linux"]),
    ("netlink_packet_core", &["linux"]),
    ("netlink_packet_netfilter", &["linux"]),
    ("libc", &["control", "journal", "linux"]),
    ("nix", &["agent", "control", "journal", "linux", "log"]),
    ("tokio", &["agent", "control", "metrics"]),
    ("hyper", &["metrics"]),
    ("hyper_util", &["metrics"]),
    ("http_body_util", &["metrics"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("similar", &["persist"]),
    ("dns_lookup", &["cli"]),
    ("ratatui", &["cli"]),
    ("signal_hook", &["cli"]),
    ("terminal_size", &["cli"]),
    ("toml", &["config"]),
    ("tracing", &["agent", "control", "journal", "log"]),
    ("crc32fast", &["journal"]),
    ("tracing_journald", &["log"]),
    ("tracing_subscriber", &["log"]),
];

/// Modules without clock, files, sockets, logs, threads and processes.
const PURE: &[&str] = &["model", "state", "policy", "sieve", "sweep", "simulate", "doctor"];
/// What they are known by.
const IMPURE: &[&str] = &[
    "SystemTime",
    "Instant",
    "sleep",
    "fs",
    "File",
    "OpenOptions",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "ToSocketAddrs",
    "tracing",
    "println",
    "eprintln",
    "thread",
    "process",
    "env",
    "jiff",
    "nix",
    "libc",
    "tokio",
];

/// One file of `src/`.
struct Source {
    /// Below `src/`, such as `core/policy/level.rs`.
    path: String,
    text: String,
}

impl Source {
    /// The module of `lib.rs`, or of one of [`FOLDERS`], that it belongs to; `lib`, `main` and `mod` for those that
    /// only name others.
    fn module(&self) -> &str {
        let mut names = self.path.split('/').skip_while(|name| FOLDERS.contains(name));
        let first = names.next().unwrap_or_default().trim_end_matches(".rs");
        first.strip_suffix("_tests").unwrap_or(first)
    }

    /// How many steps of `super` lead to the root: 1 for `state.rs` and `state/mod.rs`, 2 for `state/sync.rs` and
    /// for `recovery_tests.rs`, which is the module `tests` in `recovery`.
    fn depth(&self) -> usize {
        let (inside, above) = (self.path.ends_with("_tests.rs"), self.path.ends_with("/mod.rs"));
        self.path.split('/').count() + usize::from(inside) - usize::from(above)
    }

    fn tokens(&self) -> TokenStream {
        self.text.parse().unwrap_or_else(|error| panic!("src/{}: {error}", self.path))
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut directories) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("src/ can be read") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                let path = path.strip_prefix(&root).expect("below src/").to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    assert!(found.len() > 50, "only {} files below src/", found.len());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Modules of the root that the tokens name by `crate::` or by enough `super::`, `depth` steps below the root.
fn imports(tokens: TokenStream, depth: usize, found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i] {
            TokenTree::Ident(word) if word == "crate" && colons(&tokens, i + 1) => {
                target(&tokens[i + 3..], 0, found);
                i += 3;
            }
            TokenTree::Ident(word) if word == "super" && colons(&tokens, i + 1) => {
                target(&tokens[i..], depth, found);
                while is_super(&tokens, i) {
                    i += 3;
                }
            }
            TokenTree::Ident(word) if word == "mod" => {
                if let Some(TokenTree::Group(body)) = tokens.get(i + 2) {
                    imports(body.stream(), depth + 1, found);
                    i += 2;
                }
                i += 1;
            }
            TokenTree::Group(group) => {
                imports(group.stream(), depth, found);
                i += 1;
            }
            _ => i += 1,
        }
    }
}

/// What a path leads to that starts `depth` steps below the root: a module, or a list of paths in braces.
fn target(path: &[TokenTree], mut depth: usize, found: &mut BTreeSet<String>) {
    let mut i = 0;
    while is_super(path, i) {
        (i, depth) = (i + 3, depth.saturating_sub(1));
    }
    match path.get(i) {
        Some(TokenTree::Ident(folder)) if depth == 0 && FOLDERS.iter().any(|name| folder == name) => {
            target(path.get(i + 3..).unwrap_or_default(), 0, found);
        }
        Some(TokenTree::Ident(module)) if depth == 0 => drop(found.insert(module.to_string())),
        Some(TokenTree::Group(list)) if list.delimiter() == Delimiter::Brace => {
            let inside: Vec<TokenTree> = list.stream().into_iter().collect();
            let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
            inside.split(comma).for_each(|element| target(element, depth, found));
        }
        _ => {}
    }
}

fn is_super(tokens: &[TokenTree], i: usize) -> bool {
    matches!(tokens.get(i), Some(TokenTree::Ident(word)) if word == "super") && colons(tokens, i + 1)
}

fn colons(tokens: &[TokenTree], i: usize) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    colon(tokens.get(i)) && colon(tokens.get(i + 1))
}

/// Every identifier, however deep; text and comments are none.
fn words(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => drop(found.insert(word.to_string())),
            TokenTree::Group(group) => words(group.stream(), found),
            _ => {}
        }
    }
}

fn imports_of(source: &Source) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    imports(source.tokens(), source.depth(), &mut found);
    // A name of the file's own module, and macros' own modules, are no imports.
    found.retain(|name| name != source.module() && MAY_IMPORT.iter().any(|(module, ..)| module == name));
    found
}

fn words_of(source: &Source) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    words(source.tokens(), &mut found);
    found
}

/// What a file imports against the table, a line each.
fn forbidden_imports(source: &Source) -> Vec<String> {
    let Some((_, allowed, reason)) = MAY_IMPORT.iter().find(|(module, ..)| *module == source.module()) else {
        return vec![format!("src/{}: its module has no row in MAY_IMPORT", source.path)];
    };
    let mut wrong = Vec::new();
    for name in imports_of(source) {
        if !allowed.contains(&name.as_str()) {
            let module = source.module();
            wrong.push(format!("src/{} imports {name}; {module}: {reason}", source.path));
        }
        let elsewhere = |(module, target, files): &&(&str, &str, &[&str])| {
            *module == source.module() && *target == name && !files.contains(&source.path.as_str())
        };
        if let Some((_, _, files)) = ONLY_IN.iter().find(elsewhere) {
            wrong.push(format!("src/{} imports {name}; only {} may", source.path, files.join(", ")));
        }
    }
    wrong
}

/// What a pure file has to do with the world, a line each.
fn impurities(source: &Source) -> Vec<String> {
    let pure = PURE.contains(&source.module()) && !DOCTORS_EYES.contains(&source.path.as_str());
    let words = if pure { words_of(source) } else { BTreeSet::new() };
    let known = words.iter().filter(|word| IMPURE.contains(&word.as_str()));
    known.map(|word| format!("src/{}: {word} in a pure module", source.path)).collect()
}

/// `unsafe` outside `linux`, or without its reason, a line each.
fn unsafe_faults(source: &Source) -> Vec<String> {
    let uses = words_of(source).contains("unsafe") || source.text.contains("allow(unsafe_code)");
    if uses && source.module() != "linux" {
        return vec![format!("src/{}: unsafe outside src/linux", source.path)];
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let begins = |line: &str| line.contains("unsafe {") && !line.trim_start().starts_with("//");
    let explained = |i: usize| lines[i.saturating_sub(4)..=i].iter().any(|line| line.contains("SAFETY:"));
    let silent = (0..lines.len()).filter(|&i| begins(lines[i]) && !explained(i));
    silent.map(|i| format!("src/{}:{}: unsafe without a SAFETY line", source.path, i + 1)).collect()
}

fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn faults(of: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources()
        .iter()
        .filter(|source| !matches!(source.module(), "lib" | "main" | "mod"))
        .flat_map(of)
        .collect()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    none(faults(forbidden_imports));
}

#[test]
fn the_table_goes_one_way_and_allows_nothing_that_is_not_used() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        used.entry(source.module().to_owned()).or_default().extend(imports_of(&source));
    }
    for (place, (module, allowed, _)) in MAY_IMPORT.iter().enumerate() {
        for name in *allowed {
            let above = MAY_IMPORT[..place].iter().any(|(earlier, ..)| earlier == name);
            assert!(above, "{module} may import {name}, which does not stand above it");
            let is_used = used.get(*module).is_some_and(|names| names.contains(*name));
            assert!(is_used, "{module} may import {name} and does not: take it from the table");
        }
    }
}

#[test]
fn the_roots_only_name_the_modules() {
    let all = sources();
    let root = |name: &str| all.iter().find(|s| s.path == name).map(|s| s.text.clone()).expect("a root");
    let named = |root: &str| -> BTreeSet<String> {
        let names =
            root.lines().filter_map(|line| Some(line.strip_prefix("pub mod ")?.trim_end_matches(';')));
        names.map(str::to_owned).collect()
    };
    let mut declared = named(&root("lib.rs"));
    for folder in FOLDERS {
        assert!(declared.remove(*folder), "{folder} is not in lib.rs");
        declared.extend(named(&root(&format!("{folder}/mod.rs"))));
    }
    let rows: BTreeSet<String> = MAY_IMPORT.iter().map(|(module, ..)| module.to_string()).collect();
    assert_eq!(declared, rows, "lib.rs and MAY_IMPORT");
    let code = |line: &&str| {
        let names = ["//", "#!", "#[", "pub mod "].iter().any(|begins| line.starts_with(begins));
        !(line.is_empty() || names)
    };
    for root_file in
        ["lib.rs".to_owned()].into_iter().chain(FOLDERS.iter().map(|name| format!("{name}/mod.rs")))
    {
        assert_eq!(
            root(&root_file).lines().filter(code).collect::<Vec<_>>(),
            Vec::<&str>::new(),
            "{root_file}"
        );
    }
    let main = root("main.rs");
    assert_eq!(main.matches("ctctl::").count(), main.matches("ctctl::cli::main()").count(), "main.rs");
}

#[test]
fn crates_stay_where_they_belong() {
    none(faults(|source| {
        if source.is_test() {
            return Vec::new();
        }
        let words = words_of(source);
        let strays = CRATE_IN.iter().filter(|(name, modules)| {
            let path = [format!("{name}::"), format!("use {name};")].iter().any(|p| source.text.contains(p));
            words.contains(*name) && path && !modules.contains(&source.module())
        });
        strays.map(|(name, modules)| format!("src/{}: {name} is for {modules:?}", source.path)).collect()
    }));
}

#[test]
fn the_core_and_the_doctor_know_no_clock_file_socket_or_log() {
    none(faults(impurities));
}

#[test]
fn unsafe_is_in_the_linux_module_and_explained() {
    none(sources().iter().flat_map(unsafe_faults).collect());
}

#[test]
fn nothing_is_left_to_do() {
    const MARKS: &[&str] = &["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "dbg!("];
    none(faults(|source| {
        let numbered = source.text.lines().enumerate();
        let left = numbered.filter(|(_, line)| MARKS.iter().any(|mark| line.contains(mark)));
        left.map(|(i, line)| format!("src/{}:{}: {}", source.path, i + 1, line.trim())).collect()
    }));
}

/// Circles of files that are there still, each by its files; a new one is refused, and one that is gone has to go from
/// the list.
const CIRCLES: &[&[&str]] = &[
    &[
        "act/journal/baseline.rs",
        "act/journal/disk.rs",
        "act/journal/file.rs",
        "act/journal/read.rs",
        "act/journal/seen.rs",
        "act/journal/trail.rs",
        "act/journal/writer.rs",
    ],
    &[
        "agent/actor.rs",
        "agent/acts.rs",
        "agent/owned.rs",
        "agent/reading.rs",
        "agent/recording.rs",
        "agent/sweeper.rs",
        "agent/untold.rs",
    ],
    &["agent/pipeline.rs", "agent/service.rs", "agent/site.rs"],
    &["cli/args.rs", "cli/filters.rs", "cli/value.rs"],
    &["config/keys.rs", "config/tables.rs"],
    &["core/state/entry_index.rs", "core/state/ledger.rs", "core/state/ranked.rs", "core/state/sources.rs"],
    &[
        "tools/doctor/applying.rs",
        "tools/doctor/flushes.rs",
        "tools/doctor/lines.rs",
        "tools/doctor/loading.rs",
        "tools/doctor/modules.rs",
        "tools/doctor/options.rs",
        "tools/doctor/order.rs",
        "tools/doctor/size.rs",
        "tools/doctor/spaced_options.rs",
        "tools/doctor/torn.rs",
        "tools/doctor/trial.rs",
        "tools/doctor/writers.rs",
    ],
    &[
        "tools/doctor/gather/boot.rs",
        "tools/doctor/gather/commands.rs",
        "tools/doctor/gather/files.rs",
        "tools/doctor/gather/hooks.rs",
        "tools/doctor/gather/units.rs",
    ],
    &[
        "tools/lifeline/obstacles.rs",
        "tools/lifeline/path.rs",
        "tools/lifeline/path_iptables.rs",
        "tools/lifeline/path_nft.rs",
    ],
];

/// The module that a file is, from the root of the crate: `["core", "policy", "level"]`.
fn place(source: &Source) -> Vec<String> {
    let mut names: Vec<String> = source.path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    names.pop_if(|name| name == "mod");
    names
}

/// Every path that begins with `crate` or `super` in code of the module `at`, tests left out, from the root on.
fn paths(tokens: TokenStream, at: &[String], found: &mut BTreeSet<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i] {
            TokenTree::Ident(word) if word == "crate" && colons(&tokens, i + 1) => {
                ends(&tokens[i + 3..], Vec::new(), found);
                i += 3;
            }
            TokenTree::Ident(word) if word == "super" && colons(&tokens, i + 1) => {
                ends(&tokens[i..], at.to_vec(), found);
                while is_super(&tokens, i) {
                    i += 3;
                }
            }
            TokenTree::Ident(word) if word == "mod" => {
                let name = tokens.get(i + 1).map(ToString::to_string).unwrap_or_default();
                if let Some(TokenTree::Group(body)) = tokens.get(i + 2)
                    && name != "tests"
                {
                    paths(body.stream(), &[at, &[name]].concat(), found);
                }
                i += 3;
            }
            TokenTree::Group(group) => {
                paths(group.stream(), at, found);
                i += 1;
            }
            _ => i += 1,
        }
    }
}

/// Adds the ends of a path that goes on from the module `at`: one, or one for each element of a list in braces.
fn ends(path: &[TokenTree], mut at: Vec<String>, found: &mut BTreeSet<Vec<String>>) {
    let mut i = 0;
    while is_super(path, i) {
        at.pop();
        i += 3;
    }
    while let Some(TokenTree::Ident(name)) = path.get(i) {
        at.push(name.to_string());
        if !colons(path, i + 1) {
            break;
        }
        i += 3;
    }
    if let Some(TokenTree::Group(list)) = path.get(i)
        && list.delimiter() == Delimiter::Brace
    {
        let inside: Vec<TokenTree> = list.stream().into_iter().collect();
        let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
        inside.split(comma).for_each(|element| ends(element, at.clone(), found));
    }
    found.insert(at);
}

/// For each file the files that it names, as places in `files`; a file and the folder that it stands in are no pair.
fn edges(files: &[Source]) -> Vec<BTreeSet<usize>> {
    let places: Vec<Vec<String>> = files.iter().map(place).collect();
    let longest = |path: &Vec<String>| {
        (1..=path.len()).rev().find_map(|n| places.iter().position(|place| *place == path[..n]))
    };
    let of = |from: usize| {
        let mut found = BTreeSet::new();
        paths(files[from].tokens(), &places[from], &mut found);
        let apart =
            |to: &usize| !places[from].starts_with(&places[*to]) && !places[*to].starts_with(&places[from]);
        found.iter().filter_map(longest).filter(apart).collect()
    };
    (0..files.len()).map(of).collect()
}

/// Files that lead back to themselves, by circle: those that reach each other.
fn circles(files: &[Source]) -> BTreeSet<Vec<String>> {
    let edges = edges(files);
    let reach = |from: usize| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(edges[file].iter().filter(|to| reached.insert(**to)));
        }
        reached
    };
    let reached: Vec<BTreeSet<usize>> = (0..files.len()).map(reach).collect();
    let circle = |file: usize| -> Option<Vec<String>> {
        let back = (0..files.len()).filter(|to| reached[file].contains(to) && reached[*to].contains(&file));
        let paths: Vec<String> = back.map(|file| files[file].path.clone()).collect();
        (!paths.is_empty()).then_some(paths)
    };
    (0..files.len()).filter_map(circle).collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files: Vec<Source> = sources().into_iter().filter(|source| !source.is_test()).collect();
    let known: BTreeSet<Vec<String>> =
        CIRCLES.iter().map(|files| files.iter().map(|file| file.to_string()).collect()).collect();
    let found = circles(&files);
    none(found.difference(&known).map(|circle| format!("new: {}", circle.join(", "))).collect());
    none(known.difference(&found).map(|circle| format!("gone from src/: {}", circle.join(", "))).collect());
}

/// The checks themselves, on files that break a rule and on files that do not.
mod fixtures {
    use super::*;

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_forbidden_import_is_found_however_it_is_written() {
        for (path, text) in [
            ("core/policy/level.rs", "use crate::linux::clock;"),
            ("core/policy/level.rs", "use crate::{core::model::Level, linux::{clock, table}};"),
            ("core/policy/level.rs", "fn f() { let now = crate::linux::clock::now(); }"),
            ("core/policy/level.rs", "use super::super::super::linux::clock;"),
            ("core/policy/level.rs", "use super::{Memory, super::super::linux};"),
            ("core/policy/mod.rs", "use super::super::linux::clock;"),
            ("core/policy/mod.rs", "mod tests { use super::super::super::linux; }"),
            ("core/policy.rs", "pub use super::super::{linux as k};"),
            ("core/policy/level.rs", "pub(crate) use crate :: linux;"),
            ("core/policy/level.rs", "macro_rules! now { () => { $crate::linux::clock::now() } }"),
            ("control/mod.rs", "use crate::linux::netns::Namespace;"),
            ("cli/plan.rs", "use crate::core::policy;"),
            ("cli/plan.rs", "use crate::agent;"),
            ("tools/doctor/size.rs", "use crate::linux::memory;"),
            ("core/model/plan.rs", "use crate::error::Error;"),
            ("core/sieve_tests.rs", "use super::super::super::linux;"),
            ("newcomer.rs", ""),
        ] {
            assert_eq!(forbidden_imports(&file(path, text)).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn what_only_looks_like_an_import_is_left_alone() {
        for (path, text) in [
            (
                "core/policy/level.rs",
                "// use crate::linux;\n/// [`crate::linux`]\nconst S: &str = \"crate::linux\";",
            ),
            (
                "core/policy/level.rs",
                "use crate::core::model::linux; use super::linux; use crate::core::policy::{linux};",
            ),
            ("core/policy/level.rs", "mod tests { use super::super::linux; }"),
            ("core/policy/mod.rs", "pub(crate) fn linux() {} pub(super) mod linux;"),
            ("cli/agent.rs", "use crate::{agent, config, log};"),
            ("core/sieve_tests.rs", "use super::linux;"),
        ] {
            assert_eq!(forbidden_imports(&file(path, text)), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn a_clock_in_the_policy_is_found_and_one_in_its_comments_is_not() {
        for text in ["use std::time::Instant;", "fn f() { std::fs::read(\"x\"); }", "use std::{fs, fmt};"] {
            assert_eq!(impurities(&file("core/state/sync.rs", text)).len(), 1, "{text}");
            assert!(impurities(&file("act/journal/file.rs", text)).is_empty());
        }
        assert_eq!(impurities(&file("tools/doctor/size.rs", "use std::fs;")).len(), 1);
        assert!(impurities(&file("tools/doctor/gather/files.rs", "use std::fs;")).is_empty());
        assert!(impurities(&file("core/policy/mod.rs", "// Instant\nuse std::net::IpAddr;")).is_empty());
    }

    #[test]
    fn unsafe_elsewhere_or_without_a_reason_is_found() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(unsafe_faults(&file("core/state/sync.rs", text)).len(), 1);
        assert_eq!(unsafe_faults(&file("linux/clock.rs", text)).len(), 1);
        assert!(
            unsafe_faults(&file("linux/clock.rs", "// SAFETY: g takes nothing.\nunsafe { g() }")).is_empty()
        );
        assert!(unsafe_faults(&file("cli/text.rs", "fn unsafe_to_print() {}")).is_empty());
    }

    #[test]
    fn files_that_import_each_other_are_a_circle_and_a_file_and_its_folder_are_none() {
        let files = |texts: &[(&str, &str)]| -> Vec<Source> {
            texts.iter().map(|(path, text)| file(path, text)).collect()
        };
        let circle = files(&[
            ("act/journal/disk.rs", "use super::{file::File, trail};"),
            ("act/journal/file.rs", "fn f() { super::trail::keep() }"),
            ("act/journal/trail.rs", "use crate::act::journal::disk::Disk;"),
            ("act/journal/read.rs", "use super::disk::Disk;"),
        ]);
        let three = ["disk", "file", "trail"].map(|name| format!("act/journal/{name}.rs")).to_vec();
        assert_eq!(circles(&circle), BTreeSet::from([three]));
        let none = files(&[
            ("act/journal/mod.rs", "pub use disk::Disk; use self::disk::Page;"),
            ("act/journal/disk.rs", "use super::Journal; mod tests { use super::super::file; }"),
            ("act/journal/file.rs", "use super::disk::Disk;"),
        ]);
        assert_eq!(circles(&none), BTreeSet::new());
    }
}
