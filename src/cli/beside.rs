//! Asks the agent about entries that a command reads from the kernel itself.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::output;
use super::place::Place;
use super::reach::{self, NoAnswer};
use crate::control::Client;
use crate::core::model::{EntryId, EntryRow, Knowledge};
use crate::direct::{KnowsEntries, Target};
use crate::error::{Error, Result};

/// Longest wait for one answer: an agent answers between two acts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for all answers to one command together, beyond 10 ms for each, which an agent that serves other
/// clients may take.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The agent on a socket, which is asked about single entries for as long as it answers in time.
struct Agent {
    client: Client,
    inode: u64,
    left: Duration,
    /// True if a notice is printed when the agent stops answering; false with `-q`, and on a full screen.
    tells: bool,
}

impl KnowsEntries for Agent {
    fn known(&mut self, entries: &[EntryId]) -> Option<Vec<Knowledge>> {
        const FREE: Duration = Duration::from_millis(10);
        let started = Instant::now();
        let rows = entries.iter().map(EntryRow::from).collect();
        let answer = self.client.with_timeout(ANSWER_TIMEOUT.min(self.left)).knowledge(rows);
        self.left = self.left.saturating_sub(started.elapsed().saturating_sub(FREE));
        let why = match answer {
            Ok(document) if document.netns.inode == self.inode && !self.left.is_zero() => {
                return Some(document.entries);
            }
            Ok(_) => "it takes too long".into(),
            Err(error) => error.to_string(),
        };
        if self.tells {
            output::notice(&format!(
                "the agent does not tell all that it knows ({why}): what it alone knows to be idle counts as live"
            ));
        }
        None
    }
}

impl Place {
    /// Returns the target that asks the agent of its namespace what one look at the table leaves unknown; `None` if no
    /// agent answers there. If an agent is there but does not answer, and it has heard a foreign writer, then
    /// arithmetic proves no entry idle.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn beside_agent(&self) -> Result<Option<Target>> {
        let (netns, tells) = (self.target.netns(), self.style.verbosity >= 0);
        let first = reach::asked(&self.socket, netns, |client| {
            client.with_timeout(ANSWER_TIMEOUT).knowledge(Vec::new())
        });
        let first = match first {
            Ok(first) => first,
            Err(NoAnswer::Failed(socket, why)) => {
                output::notice(&format!(
                    "the agent on {socket} does not tell what it knows of entries: {why}"
                ));
                return self.without_arithmetic();
            }
            Err(_) => return Ok(None),
        };
        let Ok(client) = Client::connect(&self.socket) else { return Ok(None) };
        let agent = Agent { client, inode: netns.inode, left: TOTAL_TIMEOUT, tells };
        self.target.beside(Arc::new(Mutex::new(agent)), &first).map(Some)
    }

    /// Returns a target for which arithmetic proves no entry idle, if the agent heard a foreign writer set the time
    /// left of entries (`conntrack -U`, `-I`) and is not to be asked which entries those are; `None` if it heard none.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn without_arithmetic(&self) -> Result<Option<Target>> {
        let status = reach::asked(&self.socket, self.target.netns(), Client::status_without_scan);
        let others_update = status.is_ok_and(|status| status.agent.is_some_and(|agent| agent.others_update));
        others_update.then(|| self.target.where_others_write()).transpose()
    }
}

/// Returns the error of a command that depends on what the agent knows of `entries` entries and did not tell.
pub fn not_told(what: &str, entries: u64) -> Error {
    let why = format!("part only: the agent did not tell what it knows of {entries} entries, which stay");
    Error::unreachable(what, why).hint("run it again; if it stays so, see the agent's log")
}
