//! The systemd unit of the agent, made for this binary and this configuration.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf, absolute};

use super::args::Global;
use super::output;
use crate::config;
use crate::core::model::Settings;
use crate::error::{Error, Result};

const UNIT: &str = include_str!("ctctl.service");
/// Path of the binary in the unit if the unit's own restrictions would hide the running binary.
const INSTALLED: &str = "/usr/local/bin/ctctl";
/// Directories that ProtectHome= and PrivateTmp= hide.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Returns the text of the unit.
///
/// # Errors
/// The configuration is wrong, or a name cannot stand in a unit.
pub fn text(global: &Global) -> Result<String> {
    let (settings, _) = config::load(global.config.as_deref())?;
    let binary = binary();
    let mut options = String::new();
    let mut option = |name: &str, value: &Path| -> Result<()> {
        let _ = write!(options, "{name} {} ", word(value)?);
        Ok(())
    };
    if let Some(path) = &global.config {
        option("--config", &absolute(path).unwrap_or_else(|_| path.clone()))?;
    }
    if let Some(netns) = &global.netns {
        option("--netns", Path::new(netns))?;
    }
    if let Some(path) = &global.socket {
        option("--socket", &absolute(path).unwrap_or_else(|_| path.clone()))?;
    }
    Ok(UNIT
        .replace("@BINARY@", &word(&binary)?)
        .replace("@OPTIONS@", &options)
        .replace("@ADDRESSES@\n", &addresses(&settings))
        .replace("@PATHS@", &paths(global, &settings)?))
}

/// Returns the path of this program, or the place to install it if a unit could not start it from here.
fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| INSTALLED.into());
    if !HIDDEN.iter().any(|directory| own.starts_with(directory)) {
        return own;
    }
    output::notice(&format!("unit: {} is hidden from services: install it as {INSTALLED}", own.display()));
    INSTALLED.into()
}

/// Returns the unit's address rules: only the listener of the metrics speaks IP.
fn addresses(settings: &Settings) -> String {
    let loopback = match settings.metrics.listen.parse::<SocketAddr>() {
        Ok(address) if !address.ip().is_loopback() => return String::new(),
        Ok(_) => "IPAddressAllow=localhost\n",
        Err(_) => "",
    };
    format!("IPAddressDeny=any\n{loopback}")
}

/// Returns the directories that the configuration has moved out of /run/ctctl and /var/lib/ctctl.
fn paths(global: &Global, settings: &Settings) -> Result<String> {
    let metrics = settings.metrics.listen.strip_prefix("unix:").map(PathBuf::from);
    let sockets = [global.socket.clone().or_else(|| settings.agent.socket.clone()), metrics];
    let directories = sockets.into_iter().flatten().filter_map(|path| path.parent().map(Path::to_owned));
    let moved: Vec<PathBuf> = directories.chain(settings.agent.state_dir.clone()).collect();
    let mut text = String::new();
    let own = |path: &&PathBuf| path.starts_with("/run/ctctl") || path.starts_with("/var/lib/ctctl");
    for path in moved.iter().filter(|path| path.is_absolute() && !own(path)) {
        let _ = write!(text, " {}", word(path)?);
    }
    Ok(text)
}

/// Quotes one word of a unit where that is needed, `%` and `$` doubled (systemd.syntax(7), systemd.service(5)).
fn word(path: &Path) -> Result<String> {
    let shown = || Error::usage("unit", format!("{path:?} cannot stand in a unit")).hint("use another name");
    let text = path.to_str().filter(|text| !text.contains(char::is_control)).ok_or_else(shown)?;
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%$".contains(c);
    Ok(if text.chars().all(plain) { text } else { format!("\"{text}\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        let of = |text: &str| word(Path::new(text)).expect("a word");
        assert_eq!(of("/usr/bin/ctctl"), "/usr/bin/ctctl");
        assert_eq!(of("/a b/100%"), "\"/a b/100%%\"");
        assert_eq!(of("$HOME\"x"), "\"$$HOME\\\"x\"");
        assert!(word(Path::new("a\nExecStart=/bin/sh")).is_err());
    }

    #[test]
    fn addresses_are_those_of_the_metrics() {
        let of = |listen: &str| {
            let mut settings = Settings::default();
            settings.metrics.listen = listen.into();
            addresses(&settings)
        };
        assert_eq!(of("127.0.0.1:9466"), "IPAddressDeny=any\nIPAddressAllow=localhost\n");
        assert_eq!(of("[::1]:9466"), "IPAddressDeny=any\nIPAddressAllow=localhost\n");
        assert_eq!((of(""), of("0.0.0.0:9466")), ("IPAddressDeny=any\n".into(), String::new()));
    }
}
