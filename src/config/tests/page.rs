//! The tables of docs/configuration.md, written from the keys and held against them. `UPDATE=1 cargo test --locked
//! --lib config::tests::page` writes them again.

use std::fmt::Write;
use std::path::Path;

use crate::config::tables::TABLES;
use crate::core::model::{Settings, TIMEOUTS};

const BEGIN: &str =
    "<!-- From here on written from src/config/tables.rs: see src/config/tests/page.rs. -->\n";
const END: &str = "<!-- Written until here. -->\n";

/// A cell of a table of Markdown.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

/// A section for each table of the file: each key with its default, and on what that stands.
fn tables() -> String {
    let settings = Settings::default();
    let mut text = String::new();
    for table in TABLES {
        let _ = write!(text, "\n## [{}]\n\n{}\n\n", table.name, cell(table.about));
        text.push_str(
            "| key | default | what it does, and the reason or source of the default |\n|---|---|---|\n",
        );
        for key in table.keys {
            let _ = writeln!(text, "| `{}` | `{}` | {} |", key.name, (key.show)(&settings), cell(key.about));
        }
        if table.name == "timeouts" {
            text.push_str(
                "\nThe floors, each of the sysctl `net.netfilter.nf_conntrack_NAME` beside it:\n\n\
                 | key | default | NAME | the kernel's own value | source of the floor |\n|---|---|---|---|---|\n",
            );
            for timeout in TIMEOUTS {
                let Some(key) = timeout.floor_key else { continue };
                let (floor, kernel) = (timeout.floor_seconds, timeout.kernel_default_seconds);
                let source = cell(timeout.source);
                let _ = writeln!(text, "| `{key}` | `{floor}` | `{}` | {kernel} | {source} |", timeout.name);
            }
        }
    }
    text.push('\n');
    text
}

#[test]
fn every_key_is_on_the_page_with_its_default_and_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("docs/configuration.md");
    let (before, rest) = page.split_once(BEGIN).expect("the mark before the tables");
    let (written, after) = rest.split_once(END).expect("the mark after the tables");
    let tables = tables();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, [before, BEGIN, &tables, END, after].concat()).expect("writes the page");
    } else {
        assert_eq!(written, tables, "run this test with UPDATE=1");
    }
}
