//! Gets an answer from the agent of this namespace, or from the kernel if there is none.

use std::fmt;
use std::path::Path;

use super::output;
use crate::control::{Client, ConnectError};
use crate::core::model::{
    EntriesOfSource, KnowledgeDocument, Netns, PlanDocument, SnapshotDocument, StatusDocument, TopSources,
};
use crate::error::{Error, Exit, Result};

/// Reason why an answer does not come from the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoAnswer {
    /// The operator asked for the kernel's answer (`--direct`).
    Direct,
    /// No agent keeps what was asked for; holds the reason.
    NotKept(&'static str),
    /// No process listens on this socket.
    NoAgent(String),
    /// This user may not open the socket, which is named.
    NotPermitted(String),
    /// The agent on this socket watches another namespace, whose name or inode follows.
    Elsewhere(String, String),
    /// The agent on this socket does not answer; the reason follows.
    Failed(String, String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::Direct => write!(f, "--direct"),
            NoAnswer::NotKept(why) => f.write_str(why),
            NoAnswer::NoAgent(socket) => write!(f, "no agent on {socket}"),
            NoAnswer::NotPermitted(socket) => write!(f, "no permission to ask the agent on {socket}"),
            NoAnswer::Elsewhere(socket, netns) => {
                write!(f, "the agent on {socket} watches another namespace ({netns})")
            }
            NoAnswer::Failed(socket, why) => write!(f, "the agent on {socket} does not answer: {why}"),
        }
    }
}

impl NoAnswer {
    fn from_connect(socket: &Path, error: ConnectError) -> NoAnswer {
        let socket = socket.display().to_string();
        match error {
            ConnectError::NoAgent(_) => NoAnswer::NoAgent(socket),
            ConnectError::NotPermitted(_) => NoAnswer::NotPermitted(socket),
            ConnectError::Other(_, why) => NoAnswer::Failed(socket, why),
        }
    }

    /// Returns the line for standard error, whatever the form of the answer: that an agent is there and gave none.
    pub fn notice(&self) -> Option<String> {
        match self {
            NoAnswer::Elsewhere(..) | NoAnswer::Failed(..) => Some(format!("{self}; reading without it")),
            _ => None,
        }
    }

    /// Returns the error of a command that needs the agent.
    pub fn into_error(self) -> Error {
        let hint = match &self {
            NoAnswer::Elsewhere(_, netns) => format!("name its namespace: --netns {netns}"),
            NoAnswer::NotPermitted(_) => {
                "run as root, or join the group of the socket (configuration: socket_group)".into()
            }
            NoAnswer::Failed(..) => "look at the agent's log: journalctl -u ctctl".into(),
            _ => "start it with `ctctl agent`, or name its socket with --socket".into(),
        };
        Error::unreachable("agent", self).hint(hint)
    }

    /// Returns the error of a command that failed without the agent: it tells both reasons.
    pub fn and(self, error: Error) -> Error {
        match self {
            NoAnswer::Direct | NoAnswer::NotKept(_) => error,
            // Usage and configuration errors, and an answer that is no, stay as they are: no agent would change them.
            without if error.exit != Exit::Unreachable => {
                Error { why: format!("{} ({without})", error.why), ..error }
            }
            without => Error {
                exit: Exit::Unreachable,
                why: format!("{} ({without})", error.why),
                // The hint to start an agent would not explain why the kernel refused.
                hint: error.hint.or(match without {
                    NoAnswer::NoAgent(_) => None,
                    without => without.into_error().hint,
                }),
                what: error.what,
            },
        }
    }
}

/// A document that names the namespace that it describes.
pub trait NamesNamespace {
    /// Returns the namespace that the document describes.
    fn netns(&self) -> &Netns;
}

macro_rules! about {
    ($($document:ty),*) => {$(
        impl NamesNamespace for $document {
            fn netns(&self) -> &Netns {
                &self.header.netns
            }
        }
    )*};
}
about!(StatusDocument, TopSources, PlanDocument, EntriesOfSource);

impl NamesNamespace for KnowledgeDocument {
    fn netns(&self) -> &Netns {
        &self.netns
    }
}

impl NamesNamespace for SnapshotDocument {
    fn netns(&self) -> &Netns {
        &self.netns
    }
}

/// Connects, and checks that the agent watches `netns`.
///
/// # Errors
/// The reason why there is no agent to ask.
pub fn agent(socket: &Path, netns: &Netns) -> std::result::Result<Client, NoAnswer> {
    let mut client = Client::connect(socket).map_err(|error| NoAnswer::from_connect(socket, error))?;
    check_namespace(socket, netns, client.status_without_scan())?;
    Ok(client)
}

/// Asks the agent, and takes its answer if it is about `netns`; else takes the answer of `kernel`, with the reason.
///
/// # Errors
/// The error of `kernel`, with the reason why the agent gave no answer.
pub fn answer<T: NamesNamespace>(
    socket: &Path,
    netns: &Netns,
    ask: impl FnOnce(&mut Client) -> Result<T>,
    kernel: impl FnOnce() -> Result<T>,
) -> Result<(T, Option<NoAnswer>)> {
    or_else(asked(socket, netns, ask), kernel)
}

/// Asks the agent, and takes its answer if it is about `netns`.
///
/// # Errors
/// The reason why there is no answer.
pub fn asked<T: NamesNamespace>(
    socket: &Path,
    netns: &Netns,
    ask: impl FnOnce(&mut Client) -> Result<T>,
) -> std::result::Result<T, NoAnswer> {
    Client::connect(socket)
        .map_err(|error| NoAnswer::from_connect(socket, error))
        .and_then(|mut client| check_namespace(socket, netns, ask(&mut client)))
}

fn check_namespace<T: NamesNamespace>(
    socket: &Path,
    netns: &Netns,
    answer: Result<T>,
) -> std::result::Result<T, NoAnswer> {
    let socket = || socket.display().to_string();
    match answer {
        Ok(document) if document.netns().inode == netns.inode => Ok(document),
        Ok(document) => Err(NoAnswer::Elsewhere(socket(), document.netns().key())),
        Err(error) => Err(NoAnswer::Failed(socket(), error.to_string())),
    }
}

/// Returns the answer in `asked`, else the answer of `other`, which reads without the agent, with the reason.
///
/// # Errors
/// The error of `other`, with the reason why the agent gave no answer.
pub fn or_else<T>(
    asked: std::result::Result<T, NoAnswer>,
    other: impl FnOnce() -> Result<T>,
) -> Result<(T, Option<NoAnswer>)> {
    match asked {
        Ok(document) => Ok((document, None)),
        Err(without) => {
            if let Some(notice) = without.notice() {
                output::notice(&notice);
            }
            match other() {
                Ok(document) => Ok((document, Some(without))),
                Err(error) => Err(without.and(error)),
            }
        }
    }
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
