//! Asks the agent what it knows of entries that a command reads from the kernel itself.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::output;
use super::place::Place;
use super::reach::{self, Without};
use crate::control::Client;
use crate::error::{Error, Result};
use crate::model::{EntryId, EntryRow, Knowledge};
use crate::survey::{KnowsEntries, Target};

/// For one answer: the agent answers between two acts.
const PATIENCE: Duration = Duration::from_secs(3);
/// For all answers to one command together, beyond 10 ms for each, which an agent that is busy with others may take.
const ALL: Duration = Duration::from_secs(10);

/// The agent on a socket, asked of single entries for as long as it answers in time.
struct Agent {
    client: Client,
    inode: u64,
    left: Duration,
    /// With `-q`, and on a full screen, nothing is said beside the answer.
    tells: bool,
}

impl KnowsEntries for Agent {
    fn known(&mut self, entries: &[EntryId]) -> Option<Vec<Knowledge>> {
        const FREE: Duration = Duration::from_millis(10);
        let started = Instant::now();
        let rows = entries.iter().map(EntryRow::from).collect();
        let answer = self.client.within(PATIENCE.min(self.left)).knowledge(rows);
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
    /// The target, beside the agent of its namespace where one answers: what one look at the table leaves unknown is
    /// asked of it. Beside one that does not tell and has heard another program write entries, arithmetic proves
    /// nothing of any.
    ///
    /// # Errors
    /// As dup(2).
    pub fn beside_agent(&self) -> Result<Option<Target>> {
        let (netns, tells) = (self.target.netns(), self.style.verbosity >= 0);
        let first = reach::asked(&self.socket, netns, |client| client.within(PATIENCE).knowledge(Vec::new()));
        let first = match first {
            Ok(first) => first,
            Err(Without::Failed(socket, why)) => {
                output::notice(&format!(
                    "the agent on {socket} does not tell what it knows of entries: {why}"
                ));
                return self.distrusting();
            }
            Err(_) => return Ok(None),
        };
        let Ok(client) = Client::connect(&self.socket) else { return Ok(None) };
        let agent = Agent { client, inode: netns.inode, left: ALL, tells };
        self.target.beside(Arc::new(Mutex::new(agent)), &first).map(Some)
    }

    /// Where its agent heard another program give entries the time that they have left (`conntrack -U`, `-I`), and is
    /// not to be asked which: the same target, with idleness by arithmetic proven for none of them.
    ///
    /// # Errors
    /// As dup(2).
    pub fn distrusting(&self) -> Result<Option<Target>> {
        let status = reach::asked(&self.socket, self.target.netns(), Client::status_at_hand);
        let others_update = status.is_ok_and(|status| status.agent.is_some_and(|agent| agent.others_update));
        others_update.then(|| self.target.where_others_write()).transpose()
    }
}

/// The error of a command that would have to know what the agent did not tell of `entries`.
pub fn not_told(what: &str, entries: u64) -> Error {
    let why = format!("part only: the agent did not tell what it knows of {entries} entries, which stay");
    Error::unreachable(what, why).hint("run it again; if it stays so, see the agent's log")
}
