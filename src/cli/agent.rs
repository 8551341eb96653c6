//! The command `ctctl agent`.

use super::args::{self, Global};
use super::called;
use crate::error::Result;
use crate::{agent, config, log};

pub use crate::agent::FILES;

/// Runs the agent until it is told to end.
///
/// # Errors
/// Those of the configuration and of the agent.
pub fn run(global: &Global, options: &args::Agent) -> Result<u8> {
    let (settings, config) = config::load(global.config.as_deref())?;
    let _pending = log::init(settings.log.format, global.verbosity());
    agent::run(agent::Options {
        netns: global.netns.clone(),
        socket: global.socket.clone(),
        config,
        dry_run: options.dry_run || settings.agent.dry_run,
        client: log::is_terminal_text(settings.log.format).then(|| called::client(global)),
        settings,
    })?;
    Ok(0)
}

/// Becomes the process that writes an agent's files.
///
/// # Errors
/// The process was not started by an agent.
pub fn keep_files() -> Result<u8> {
    agent::keep_files().map(|()| 0)
}
