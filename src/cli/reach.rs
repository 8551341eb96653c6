//! The agent's answer where there is one for this namespace, the kernel's own otherwise.

use std::fmt;
use std::path::Path;

use super::output;
use crate::control::{Client, ConnectError};
use crate::error::{Error, Exit, Result};
use crate::model::{
    EntriesOfSource, KnowledgeDocument, Netns, PlanDocument, SnapshotDocument, StatusDocument, TopSources,
};

/// Why an answer is not the agent's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Without {
    /// The operator wants the kernel's.
    Direct,
    /// It is of something that no agent keeps; why.
    Unkept(&'static str),
    /// Nobody listens on the socket.
    NoAgent(String),
    /// The socket is not for this user.
    NotPermitted(String),
    /// The agent there watches another namespace, of this name or inode.
    Elsewhere(String, String),
    /// The agent there does not answer; why.
    Failed(String, String),
}

impl fmt::Display for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Without::Direct => write!(f, "--direct"),
            Without::Unkept(why) => f.write_str(why),
            Without::NoAgent(socket) => write!(f, "no agent on {socket}"),
            Without::NotPermitted(socket) => write!(f, "no permission to ask the agent on {socket}"),
            Without::Elsewhere(socket, netns) => {
                write!(f, "the agent on {socket} watches another namespace ({netns})")
            }
            Without::Failed(socket, why) => write!(f, "the agent on {socket} does not answer: {why}"),
        }
    }
}

impl Without {
    fn of(socket: &Path, error: ConnectError) -> Without {
        let socket = socket.display().to_string();
        match error {
            ConnectError::NoAgent(_) => Without::NoAgent(socket),
            ConnectError::NotPermitted(_) => Without::NotPermitted(socket),
            ConnectError::Other(_, why) => Without::Failed(socket, why),
        }
    }

    /// What is said on standard error whatever the form of the answer: that an agent is there and was not heard.
    pub fn notice(&self) -> Option<String> {
        match self {
            Without::Elsewhere(..) | Without::Failed(..) => Some(format!("{self}; reading without it")),
            _ => None,
        }
    }

    /// The error of a command that cannot do without the agent.
    pub fn into_error(self) -> Error {
        let hint = match &self {
            Without::Elsewhere(_, netns) => format!("name its namespace: --netns {netns}"),
            Without::NotPermitted(_) => {
                "run as root, or join the group of the socket (configuration: socket_group)".into()
            }
            Without::Failed(..) => "look at the agent's log: journalctl -u ctctl".into(),
            _ => "start it with `ctctl agent`, or name its socket with --socket".into(),
        };
        Error::unreachable("agent", self).hint(hint)
    }

    /// The error of a command that did without the agent and failed: both reasons.
    pub fn and(self, error: Error) -> Error {
        match self {
            Without::Direct | Without::Unkept(_) => error,
            // Usage and configuration errors, and an answer that is no, stay what they are: no agent would change them.
            without if error.exit != Exit::Unreachable => {
                Error { why: format!("{} ({without})", error.why), ..error }
            }
            without => Error {
                exit: Exit::Unreachable,
                why: format!("{} ({without})", error.why),
                // That an agent could be started says nothing of why the kernel refused.
                hint: error.hint.or(match without {
                    Without::NoAgent(_) => None,
                    without => without.into_error().hint,
                }),
                what: error.what,
            },
        }
    }
}

/// What says which namespace it is about.
pub trait About {
    /// Which one.
    fn netns(&self) -> &Netns;
}

macro_rules! about {
    ($($document:ty),*) => {$(
        impl About for $document {
            fn netns(&self) -> &Netns {
                &self.header.netns
            }
        }
    )*};
}
about!(StatusDocument, TopSources, PlanDocument, EntriesOfSource);

impl About for KnowledgeDocument {
    fn netns(&self) -> &Netns {
        &self.netns
    }
}

impl About for SnapshotDocument {
    fn netns(&self) -> &Netns {
        &self.netns
    }
}

/// Connects, and checks that the agent watches `netns`.
///
/// # Errors
/// Why there is no agent to talk to.
pub fn agent(socket: &Path, netns: &Netns) -> std::result::Result<Client, Without> {
    let mut client = Client::connect(socket).map_err(|error| Without::of(socket, error))?;
    heard(socket, netns, client.status_at_hand())?;
    Ok(client)
}

/// The agent's answer if it is about `netns`, else that of `kernel`, and why it is that one.
///
/// # Errors
/// What `kernel` failed with, and why the agent was not heard.
pub fn answer<T: About>(
    socket: &Path,
    netns: &Netns,
    ask: impl FnOnce(&mut Client) -> Result<T>,
    kernel: impl FnOnce() -> Result<T>,
) -> Result<(T, Option<Without>)> {
    or_else(asked(socket, netns, ask), kernel)
}

/// The agent's answer if it is about `netns`.
///
/// # Errors
/// Why there is none.
pub fn asked<T: About>(
    socket: &Path,
    netns: &Netns,
    ask: impl FnOnce(&mut Client) -> Result<T>,
) -> std::result::Result<T, Without> {
    Client::connect(socket)
        .map_err(|error| Without::of(socket, error))
        .and_then(|mut client| heard(socket, netns, ask(&mut client)))
}

fn heard<T: About>(socket: &Path, netns: &Netns, answer: Result<T>) -> std::result::Result<T, Without> {
    let socket = || socket.display().to_string();
    match answer {
        Ok(document) if document.netns().inode == netns.inode => Ok(document),
        Ok(document) => Err(Without::Elsewhere(socket(), document.netns().key())),
        Err(error) => Err(Without::Failed(socket(), error.to_string())),
    }
}

/// What was asked for, else what `other` reads without the agent, and why it is that.
///
/// # Errors
/// What `other` failed with, and why the agent was not heard.
pub fn or_else<T>(
    asked: std::result::Result<T, Without>,
    other: impl FnOnce() -> Result<T>,
) -> Result<(T, Option<Without>)> {
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
