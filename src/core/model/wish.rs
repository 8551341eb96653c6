//! Orders of an operator to an agent, with the user that gave them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The process that asked for something, as its kernel and /proc tell.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Asker {
    /// Its user; `None` where nobody can tell who sent a signal.
    pub uid: Option<u32>,
    /// The user who logged in to its session (/proc/PID/loginuid), where that is another: who called sudo.
    #[serde(default)]
    pub login_uid: Option<u32>,
    /// Its id; `None` for a signal, and for a process of another pid namespace.
    pub pid: Option<u32>,
    /// Its command line, or the signal.
    pub command: Option<String>,
}

impl Asker {
    /// A signal, whose sender is not known.
    pub fn signal(name: &str) -> Asker {
        Asker { command: Some(name.into()), ..Asker::default() }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.command.as_deref();
        let Some(uid) = self.uid else { return f.write_str(command.unwrap_or("an unknown process")) };
        write!(f, "uid {uid}")?;
        if let Some(login) = self.login_uid {
            write!(f, ", logged in as uid {login}")?;
        }
        match (command, self.pid) {
            (Some(command), _) => write!(f, " (`{command}`)"),
            (None, Some(pid)) => write!(f, " (pid {pid})"),
            (None, None) => Ok(()),
        }
    }
}

/// A key of the configuration that a reload changed, with its values as TOML has them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Changed {
    /// Name of the key, such as `[capacity] limit`.
    pub key: String,
    /// Its value before.
    pub old: String,
    /// Its value now.
    pub new: String,
    /// It holds from the next start of the agent on.
    #[serde(default)]
    pub at_start: bool,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let later = if self.at_start { " (from the next start on)" } else { "" };
        write!(f, "{} from {} to {}{later}", self.key, self.old, self.new)
    }
}

/// Answer to a reload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// The answer in a sentence.
    pub message: String,
    /// Keys that it changed.
    #[serde(default)]
    pub changes: Vec<Changed>,
}

/// Entries that `ctctl flush` deleted, beside the agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct HandFlush {
    /// Entries that were meant.
    pub requested: u64,
    /// Entries that went.
    pub deleted: u64,
    /// Seconds that it took.
    pub duration_seconds: f64,
    /// Order that was given: `--stale`, filters.
    pub wanted: String,
}

/// A pause of the agent.
#[derive(Clone, PartialEq, Debug)]
pub struct Paused {
    /// Time at which it ends, on the boot clock; infinite: with `ctctl resume`.
    pub until_seconds: f64,
    /// That time as a time of day, RFC 3339, UTC.
    pub until: Option<String>,
    /// User that asked for it.
    pub by: Asker,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asker_is_named_as_far_as_it_is_known() {
        let asker = |uid, login_uid, pid, command: Option<&str>| Asker {
            uid,
            login_uid,
            pid,
            command: command.map(str::to_owned),
        };
        for (asker, text) in [
            (asker(Some(0), None, Some(7), Some("ctctl pause")), "uid 0 (`ctctl pause`)"),
            (
                asker(Some(0), Some(1000), Some(7), Some("ctctl resume")),
                "uid 0, logged in as uid 1000 (`ctctl resume`)",
            ),
            (asker(Some(5), None, Some(7), None), "uid 5 (pid 7)"),
            (asker(Some(5), None, None, None), "uid 5"),
            (Asker::signal("SIGHUP"), "SIGHUP"),
            (Asker::default(), "an unknown process"),
        ] {
            assert_eq!(asker.to_string(), text);
        }
    }
}
