//! Licences, versions, sources and Rust version of every dependency, from `cargo metadata` and `deny.toml`, offline.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages that a build for this machine takes, tests included.
fn packages() -> Vec<Value> {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let version = String::from_utf8(rustc.stdout).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    // Offline, as long as all that Cargo.lock names is here; a build leaves out what belongs to features that are off.
    let asked = |network: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", host])
            .args(network);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs")
    };
    let output = Some(asked(&["--offline"])).filter(|output| output.status.success());
    let output = output.unwrap_or_else(|| asked(&[]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").clone();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    packages
}

fn deny() -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    std::fs::read_to_string(path).expect("deny.toml").parse().expect("TOML")
}

fn allowed_licences() -> BTreeSet<String> {
    let allow = deny()["licenses"]["allow"].as_array().expect("a list").clone();
    allow.iter().map(|licence| licence.as_str().expect("text").to_owned()).collect()
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// True if an SPDX expression leaves a choice of allowed licences alone. `/` is the old way to write OR, and a
/// licence `WITH` an exception allows no less than the licence.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, allowed) && rest.is_empty()
}

fn either(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut permitted = both(rest, allowed);
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        permitted |= both(rest, allowed);
    }
    permitted
}

fn both(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut permitted = one(rest, allowed);
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        permitted &= one(rest, allowed);
    }
    permitted
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let permitted = either(rest, allowed);
            let [")", after @ ..] = *rest else { return false };
            *rest = after;
            permitted
        }
        [licence, "WITH", _, after @ ..] | [licence, after @ ..] => {
            *rest = after;
            allowed.contains(*licence)
        }
        [] => false,
    }
}

#[test]
fn every_licence_is_allowed_and_every_allowed_licence_is_needed() {
    let (packages, allowed) = (packages(), allowed_licences());
    let refused = |allowed: &BTreeSet<String>| -> Vec<String> {
        let bad = packages.iter().filter(|package| !permits(text(package, "license"), allowed));
        bad.map(|p| format!("{} {}: {}", text(p, "name"), text(p, "version"), p["license"])).collect()
    };
    assert_eq!(refused(&allowed), Vec::<String>::new());
    for licence in &allowed {
        let without: BTreeSet<String> = allowed.iter().filter(|other| *other != licence).cloned().collect();
        // Ours are stated whatever the dependencies say.
        let ours = ["MIT", "Apache-2.0"].contains(&licence.as_str());
        assert!(ours || !refused(&without).is_empty(), "{licence} is allowed and nothing needs it");
    }
}

#[test]
fn all_come_from_crates_io() {
    let strangers = packages().into_iter().filter(|p| !p["source"].is_null() && p["source"] != CRATES_IO);
    let named: Vec<String> =
        strangers.map(|p| format!("{} from {}", text(&p, "name"), p["source"])).collect();
    assert_eq!(named, Vec::<String>::new());
    let local = packages().into_iter().filter(|p| p["source"].is_null()).count();
    assert_eq!(local, 1, "a dependency by path");
}

#[test]
fn two_versions_of_a_crate_are_known_ones() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let name = text(&package, "name").to_owned();
        versions.entry(name).or_default().insert(text(&package, "version").to_owned());
    }
    let double: BTreeSet<&str> =
        versions.iter().filter(|(_, v)| v.len() > 1).map(|(name, _)| name.as_str()).collect();
    let deny = deny();
    let skip = deny["bans"]["skip"].as_array().expect("a list");
    let known: BTreeSet<&str> = skip
        .iter()
        .map(|entry| entry["crate"].as_str().expect("text").split('@').next().unwrap_or_default())
        .collect();
    assert_eq!(double, known, "crates in two versions, and those that deny.toml knows");
}

/// `1.88` or `1.85.0`.
fn rust(version: &str) -> Vec<u32> {
    let mut parts: Vec<u32> = version.split('.').map(|part| part.parse().expect("a number")).collect();
    parts.resize(3, 0);
    parts
}

#[test]
fn the_declared_rust_version_is_enough_for_every_dependency() {
    let declared = rust(env!("CARGO_PKG_RUST_VERSION"));
    for package in packages() {
        if let Some(needs) = package["rust_version"].as_str() {
            let name = text(&package, "name");
            assert!(rust(needs) <= declared, "{name} needs Rust {needs}, Cargo.toml declares {declared:?}");
        }
    }
}

#[test]
fn the_licence_texts_are_there() {
    let read = |name: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a licence file")
    };
    let (mit, apache) = (read("LICENSE-MIT"), read("LICENSE-APACHE"));
    assert!(mit.contains("The ctctl authors") && mit.contains("WITHOUT WARRANTY OF ANY KIND"));
    assert!(apache.contains("Version 2.0, January 2004") && apache.contains("END OF TERMS AND CONDITIONS"));
}

#[test]
fn spdx_expressions_are_read_as_they_are_meant() {
    let allowed: BTreeSet<String> = ["MIT", "Zlib"].map(String::from).into();
    for expression in ["MIT", "GPL-2.0 OR MIT", "MIT/Apache-2.0", "(MIT OR GPL-2.0) AND Zlib", "MIT WITH X"] {
        assert!(permits(expression, &allowed), "{expression}");
    }
    for expression in
        ["", "GPL-2.0", "MIT AND GPL-2.0", "GPL-2.0 OR (MIT AND X)", "(MIT", "MIT MIT", "MIT) OR X"]
    {
        assert!(!permits(expression, &allowed), "{expression}");
    }
}
