//! README.md, docs/ and the other pages, held against the program: what they show parses, and what they list is whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ctctl::core::model::Settings;
use ctctl::{config, metrics};

const CTCTL: &str = env!("CARGO_BIN_EXE_ctctl");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every page: of the repository's root and of docs/, each by its path from the root.
fn pages() -> Vec<(String, String)> {
    let listed = |directory: &str| {
        let entries = std::fs::read_dir(root().join(directory)).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        let prefix = if directory == "." { String::new() } else { format!("{directory}/") };
        names.filter(|name| name.ends_with(".md")).map(|name| format!("{prefix}{name}")).collect::<Vec<_>>()
    };
    let mut names = [listed("."), listed("docs"), listed("vagrant")].concat();
    names.sort();
    assert!(names.iter().any(|name| name == "README.md") && names.len() > 3, "{names:?}");
    names.into_iter().map(|name| (name.clone(), page(&name))).collect()
}

/// A block of code: the word after its fence (none for an indented block), its text, and the line above its first.
struct Block {
    language: String,
    text: String,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut fenced, mut indented, mut blank) = (false, false, true);
    for (line, text) in page.lines().enumerate() {
        if let Some(language) = text.trim_start().strip_prefix("```") {
            fenced = !fenced;
            if fenced {
                blocks.push(Block { language: language.into(), text: String::new(), line: line + 1 });
            }
            (indented, blank) = (false, true);
            continue;
        }
        let inside = text.strip_prefix("    ").filter(|_| !fenced && (indented || blank));
        if inside.is_some() && !indented {
            blocks.push(Block { language: String::new(), text: String::new(), line });
        }
        indented = inside.is_some();
        blank = text.is_empty();
        if let (true, Some(block)) = (fenced || indented, blocks.last_mut()) {
            block.text += inside.unwrap_or(text);
            block.text.push('\n');
        }
    }
    assert!(!fenced, "a fence is open at the end");
    blocks
}

/// The words of a command line up to what the shell takes for itself.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | '<' | '&' | ';' | ')') => break,
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The arguments of each `ctctl` of a line of shell.
fn called(line: &str) -> Vec<Vec<String>> {
    let line = line.trim_start();
    let line = line.strip_prefix("# ").or_else(|| line.strip_prefix("$ ")).unwrap_or(line);
    let parts = line.split("&& ").flat_map(|part| part.split("; ")).flat_map(|part| part.split("| "));
    let parts = parts.map(|part| part.trim_start().trim_start_matches("sudo ").trim_start_matches("exec "));
    let ctctl = parts.filter_map(|part| {
        let (program, rest) = part.split_once(' ')?;
        (program == "ctctl" || (program.ends_with("/ctctl") && !program.contains('='))).then_some(rest)
    });
    ctctl.map(words).collect()
}

/// Runs these arguments with `--help` behind them: what comes before it is parsed, and nothing is done.
fn parses(arguments: &[String]) -> Output {
    let help = if arguments.first().is_some_and(|first| first == "help") { None } else { Some("--help") };
    Command::new(CTCTL).args(arguments).args(help).output().expect("starts")
}

fn check(name: &str, line: usize, arguments: &[String]) {
    let output = parses(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}:{line}: ctctl {}: {error}", arguments.join(" "));
}

#[test]
fn every_command_line_in_a_block_is_one() {
    let mut checked = BTreeSet::new();
    for (name, text) in pages() {
        for block in blocks(&text) {
            for (n, line) in block.text.lines().enumerate() {
                for arguments in called(line) {
                    if checked.insert(arguments.clone()) {
                        check(&name, block.line + n + 1, &arguments);
                    }
                }
            }
        }
    }
    assert!(checked.len() > 20, "only {} command lines were found", checked.len());
}

#[test]
fn every_command_in_a_sentence_is_one() {
    let mut checked = BTreeSet::new();
    // `ctctl COMMAND --help` and `[--dry-run]` stand for others.
    let placeholder = |span: &str| {
        span.contains(['[', '…', '\\'])
            || span.split([' ', '=']).any(|word| {
                word.len() > 1
                    && word == word.to_uppercase()
                    && word.contains(|c: char| c.is_ascii_uppercase())
            })
    };
    for (name, text) in pages() {
        for (line, text) in text.lines().enumerate() {
            let spans = text.split('`').skip(1).step_by(2);
            for span in spans.filter(|span| span.starts_with("ctctl ") && !placeholder(span)) {
                // `ctctl keep-files` is a process of the agent's, not a command.
                for arguments in called(span).into_iter().filter(|arguments| arguments != &["keep-files"]) {
                    if checked.insert(arguments.clone()) {
                        check(&name, line + 1, &arguments);
                    }
                }
            }
        }
    }
    assert!(checked.len() > 10, "only {} commands were found", checked.len());
}

#[test]
fn a_wrong_command_line_is_noticed() {
    let arguments = |line: &str| called(line).concat();
    assert_eq!(arguments("    # sudo ctctl --netns gw plan | head -1 # x"), ["--netns", "gw", "plan"]);
    assert_eq!(
        arguments("ctctl history --since '2026-11-20 08:00' >x"),
        ["history", "--since", "2026-11-20 08:00"]
    );
    for line in ["ctctl pln", "ctctl plan --no-such", "ctctl pause --for soon", "ctctl top-sources --by size"]
    {
        assert!(!parses(&arguments(line)).status.success(), "{line}");
    }
}

#[test]
fn every_block_of_toml_is_a_configuration_or_a_scenario() {
    let mut seen = 0;
    for (name, text) in pages() {
        for block in blocks(&text).iter().filter(|block| block.language == "toml") {
            // As many empty lines in front as the page has, so that an error names the page's line.
            let text = "\n".repeat(block.line) + &block.text;
            if block.text.contains("[[traffic]]") {
                config::parse_scenario(&text, &name, &Settings::default())
                    .unwrap_or_else(|error| panic!("{error}"));
            } else {
                config::parse(&text, &name).unwrap_or_else(|error| panic!("{error}"));
            }
            seen += 1;
        }
    }
    assert!(seen > 2, "only {seen} blocks");
}

#[test]
fn the_example_of_a_configuration_is_of_defaults() {
    let text = page("docs/configuration.md");
    let blocks: Vec<Block> = blocks(&text).into_iter().filter(|block| block.language == "toml").collect();
    let [block] = &blocks[..] else { panic!("one block of TOML, not {}", blocks.len()) };
    let text = "\n".repeat(block.line) + &block.text;
    let settings = config::parse(&text, "docs/configuration.md").unwrap_or_else(|error| panic!("{error}"));
    assert!(settings.agent.socket.is_none() && settings.timeouts.floors_seconds.is_empty());
    assert_eq!(settings, Settings::default());
}

#[test]
fn every_command_is_in_the_table_and_in_the_program() {
    let output = Command::new(CTCTL).arg("--help").output().expect("starts");
    let help = String::from_utf8(output.stdout).expect("text");
    let listed = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let commands: Vec<&str> =
        listed.lines().filter(is_name).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 5, "{help}");
    let page = page("docs/commands.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for command in commands {
        let named = |row: &&str| row.split(['`', ' ', ',']).any(|word| word == command);
        assert!(rows.iter().any(named), "{command} has no row");
    }
}

/// How GitHub names a heading's anchor.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> Vec<String> {
    let headings = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    headings.map(anchor).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut seen = 0;
    for (name, text) in pages() {
        let directory: PathBuf = root().join(&name).parent().expect("a directory").into();
        for (line, text_of_line) in text.lines().enumerate() {
            for link in text_of_line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if link.contains("://") {
                    continue;
                }
                let (path, wanted) = link.split_once('#').unwrap_or((link, ""));
                let target = if path.is_empty() { root().join(&name) } else { directory.join(path) };
                assert!(target.exists(), "{name}:{}: {link} leads nowhere", line + 1);
                if !wanted.is_empty() {
                    let there = std::fs::read_to_string(&target).expect("a page");
                    let known = anchors(&there);
                    assert!(known.iter().any(|a| a == wanted), "{name}:{}: {link}: {known:?}", line + 1);
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "only {seen} links");
}

#[test]
fn every_page_is_linked_from_the_readme() {
    let readme = page("README.md");
    for (name, _) in pages().iter().filter(|(name, _)| name.starts_with("docs/")) {
        assert!(readme.contains(&format!("]({name}")), "{name} is not linked");
    }
}

#[test]
fn every_metric_has_a_row_of_its_kind_and_no_other_has_one() {
    let text = metrics::write(&[], &["gone".to_string()]);
    let told: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| {
            (if kind == "counter" { format!("{name}_total") } else { name.into() }, kind.into())
        })
        .collect();
    let page = page("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `ctctl_")?.split_once(" | "));
    let shown: BTreeSet<(String, String)> = rows
        .map(|(name, rest)| {
            let name = name.split(['`', '{']).next().unwrap_or_default();
            (format!("ctctl_{name}"), rest.split(" | ").next().unwrap_or_default().to_string())
        })
        .collect();
    assert!(told.len() > 30, "{text}");
    assert_eq!(shown, told);
}

/// All of the program and its tests, as one text.
fn sources() -> String {
    let mut sources = String::new();
    let mut directories = ["src", "integration", "tests"].map(|name| root().join(name)).to_vec();
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(directory).expect("a directory");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &std::fs::read_to_string(path).expect("source");
            }
        }
    }
    sources
}

/// What stands in backquotes in a line.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_security_names_is_there() {
    let (page, sources) = (page("SECURITY.md"), sources());
    let is_name = |span: &&str| span.matches('_').count() >= 3 && !span.contains([' ', '/', '.', '=']);
    let named: BTreeSet<&str> = page.lines().flat_map(spans).filter(is_name).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        let there = sources.contains(&format!("\"{name}\"")) || sources.contains(&format!("fn {name}("));
        assert!(there, "no test is called {name}");
    }
}

#[test]
fn every_file_and_type_that_a_page_names_is_there() {
    let sources = sources();
    let (mut files, mut types) = (0, 0);
    for (name, text) in pages() {
        for (line, text) in text.lines().enumerate() {
            for span in spans(text) {
                let place = ["src/", "integration/", "tests/", "docs/", "vagrant/", ".ci/"];
                if place.iter().any(|place| span.starts_with(place)) && !span.contains(['*', ' ']) {
                    assert!(root().join(span).exists(), "{name}:{}: there is no {span}", line + 1);
                    files += 1;
                }
                let is_type = span.starts_with(|c: char| c.is_ascii_uppercase())
                    && span.contains(|c: char| c.is_ascii_lowercase())
                    && span.chars().all(|c| c.is_ascii_alphanumeric());
                if name == "docs/architecture.md" && is_type {
                    let declared = ["struct", "enum", "trait"].iter().any(|kind| {
                        let declared = format!("{kind} {span}");
                        let ends =
                            |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                        sources.split(&declared).skip(1).any(ends)
                    });
                    assert!(declared, "{name}:{}: there is no type {span}", line + 1);
                    types += 1;
                }
            }
        }
    }
    assert!(files > 20 && types > 20, "only {files} files and {types} types");
}
