//! Calls of nft(8) and iptables-save(8), as far as these are installed.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Error, Result};

/// Directories of root's programs, searched after the caller's PATH.
const PLACES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];

/// Answer of nft to a request for one object.
pub(super) enum Listed {
    /// The object exists; holds its JSON.
    Found(Value),
    /// The object does not exist.
    Missing,
    /// This nft was built without JSON.
    NoJson,
}

/// Path of the nft program.
pub(super) struct Nft(PathBuf);

impl Nft {
    /// Finds the program.
    ///
    /// # Errors
    /// Exit 3, with a hint on the package to install.
    pub(super) fn find() -> Result<Nft> {
        program("nft").map(Nft).ok_or_else(|| {
            Error::unreachable("lifeline", "nft is not installed, and the rules are put in by it")
                .hint("apt-get install nftables (dnf, apk and pacman call it so too)")
        })
    }

    /// Returns the whole ruleset as JSON; `None` if this nft was built without JSON.
    ///
    /// # Errors
    /// Exit 3, in nft's own words.
    pub(super) fn ruleset(&self) -> Result<Option<Value>> {
        self.list(&["ruleset"])?
            .or_else(|said| if said.contains("JSON") { Ok(None) } else { Err(refused(&said)) })
    }

    /// Lists a set of a table of family inet.
    ///
    /// # Errors
    /// Those of [`Nft::ruleset`].
    pub(super) fn set(&self, table: &str, set: &str) -> Result<Listed> {
        match self.list(&["set", "inet", table, set])? {
            Ok(listing) => Ok(listing.map_or(Listed::NoJson, Listed::Found)),
            Err(said) if said.contains("No such file") => Ok(Listed::Missing),
            Err(said) if said.contains("JSON") => Ok(Listed::NoJson),
            Err(said) => Err(refused(&said)),
        }
    }

    /// Runs `nft -j list`. The inner result is the listing, if it is JSON, or nft's own words if it refuses.
    fn list(&self, what: &[&str]) -> Result<std::result::Result<Option<Value>, String>> {
        let mut command = Command::new(&self.0);
        let output = command.args(["-j", "list"]).args(what).stdin(Stdio::null()).output();
        let output = output.map_err(|error| Error::unreachable("nft", error))?;
        let listing = || serde_json::from_slice(&output.stdout).ok();
        Ok(if output.status.success() { Ok(listing()) } else { Err(one_line(&output.stderr)) })
    }

    /// Loads a ruleset, all of it or nothing (nft -f is one transaction).
    ///
    /// # Errors
    /// Exit 3, in nft's own words.
    pub(super) fn apply(&self, ruleset: &str) -> Result<()> {
        let mut command = Command::new(&self.0);
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let failed = |error: std::io::Error| Error::unreachable("nft", error);
        let mut child = command.spawn().map_err(failed)?;
        // If nft ends before it has read everything, its output says why.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(ruleset.as_bytes()));
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() { Ok(()) } else { Err(refused(&one_line(&output.stderr))) }
    }
}

/// Returns the rules of iptables and ip6tables; a program that is missing or refuses counts as one without rules.
/// Listing loads no module: iptables-save shows only tables that exist.
pub(super) fn iptables() -> String {
    let listed = ["iptables-save", "ip6tables-save"].into_iter().filter_map(program);
    let outputs = listed.filter_map(|path| Command::new(path).stdin(Stdio::null()).output().ok());
    outputs.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).collect()
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(PLACES.map(PathBuf::from));
    places.map(|directory| directory.join(name)).find(|file| file.is_file())
}

fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it did not say why").to_owned()
}

fn refused(said: &str) -> Error {
    let error = Error::unreachable("nft", said);
    error.hint(match said {
        said if said.contains("Operation not permitted") => "run it as root (CAP_NET_ADMIN)",
        said if said.contains("value too large") => {
            "nft takes no time that is so long: ask for a shorter one"
        }
        _ => "the kernel needs nf_tables with nft_ct, nft_fib_inet and sets",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do_about_it() {
        for (said, hint) in [
            ("Error: Could not process rule: Operation not permitted", "as root"),
            ("/dev/stdin:21:52-62: Error: value too large", "a shorter one"),
            ("Error: Could not process rule: No such file or directory", "nft_fib_inet"),
        ] {
            let told = refused(said).hint.unwrap_or_default();
            assert!(told.contains(hint), "{said}: {told}");
        }
    }
}
