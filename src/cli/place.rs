//! Everything that a command works on: settings, namespace, socket, state directory and output style.

use std::path::{Path, PathBuf};

use super::args::Global;
use super::render::Style;
use crate::config;
use crate::control::Client;
use crate::core::model::{Netns, Settings};
use crate::direct::{Target, name_of_spec, state_dir};
use crate::error::{Error, Result};

/// Settings, namespace, paths and output style of one command.
pub struct Place {
    /// Settings from the configuration.
    pub settings: Settings,
    /// The namespace that the operator means.
    pub target: Target,
    /// Path of the agent's control socket.
    pub socket: PathBuf,
    /// Directory of the agent's state.
    pub state_dir: PathBuf,
    /// True with `--json`.
    pub json: bool,
    /// Colour, width and verbosity of text.
    pub style: Style,
}

impl Place {
    /// Reads the configuration and finds the namespace.
    ///
    /// # Errors
    /// The configuration is wrong or names several namespaces, or the namespace cannot be found.
    pub fn find(global: &Global) -> Result<Place> {
        let (settings, _) = config::load(global.config.as_deref())?;
        let spec = namespace(global.netns.as_deref(), &settings)?;
        let waited_for = |error| match spec.and_then(name_of_spec) {
            Some(name) => with_agents_answer(name, global.socket.as_deref(), &settings, error),
            None => error,
        };
        let target = Target::resolve(spec).map_err(waited_for)?;
        let socket = socket(global.socket.as_deref(), &settings, target.netns());
        let state_dir = state_dir(target.netns(), &settings);
        let style = Style::of_stdout(global.color, global.verbosity());
        Ok(Place { settings, target, socket, state_dir, json: global.json, style })
    }
}

/// Returns the namespace of `--netns`, else the only one that the configuration names, else `None`: the caller's.
fn namespace<'a>(option: Option<&'a str>, settings: &'a Settings) -> Result<Option<&'a str>> {
    match (option, settings.agent.netns.as_slice()) {
        (Some(netns), _) => Ok(Some(netns)),
        (None, []) => Ok(None),
        (None, [one]) => Ok(Some(one)),
        (None, several) => {
            let why = format!("the configuration names {}: {}", several.len(), several.join(", "));
            Err(Error::usage("netns", why).hint("say which one with --netns"))
        }
    }
}

/// Adds to the error of a namespace that cannot be found the answer of an agent that waits for that namespace.
fn with_agents_answer(name: &str, option: Option<&Path>, settings: &Settings, error: Error) -> Error {
    let socket = socket(option, settings, &Netns { name: Some(name.into()), inode: 0 });
    let Ok(mut client) = Client::connect(&socket) else { return error };
    match client.status_without_scan() {
        Ok(_) => error,
        Err(said) => Error { why: format!("{}; {}", error.why, said.why), ..error },
    }
}

fn socket(option: Option<&Path>, settings: &Settings, netns: &Netns) -> PathBuf {
    let configured = option.or(settings.agent.socket.as_deref());
    configured.map_or_else(|| Path::new("/run/ctctl").join(format!("{}.sock", netns.key())), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn with(netns: &[&str]) -> Settings {
        let mut settings = Settings::default();
        settings.agent.netns = netns.iter().map(ToString::to_string).collect();
        settings
    }

    #[test]
    fn the_namespace_is_the_options_the_configurations_or_the_callers() {
        assert_eq!(namespace(Some("blue"), &with(&["red"])), Ok(Some("blue")));
        assert_eq!(namespace(Some("blue"), &with(&["red", "green"])), Ok(Some("blue")));
        assert_eq!(namespace(None, &with(&["red"])), Ok(Some("red")));
        assert_eq!(namespace(None, &with(&[])), Ok(None));
        let error = namespace(None, &with(&["red", "green"])).expect_err("two");
        assert_eq!(error.exit, Exit::Usage);
        assert_eq!(error.to_string(), "netns: the configuration names 2: red, green");
    }

    #[test]
    fn paths_follow_the_namespaces_key() {
        let blue = Netns { name: Some("blue".into()), inode: 7 };
        let unnamed = Netns { name: None, inode: 7 };
        let mut settings = Settings::default();
        assert_eq!(socket(None, &settings, &blue), Path::new("/run/ctctl/blue.sock"));
        assert_eq!(socket(None, &settings, &unnamed), Path::new("/run/ctctl/net-7.sock"));
        assert_eq!(state_dir(&blue, &settings), Path::new("/var/lib/ctctl/blue"));
        settings.agent.socket = Some("/s".into());
        settings.agent.state_dir = Some("/d".into());
        assert_eq!(socket(None, &settings, &blue), Path::new("/s"));
        assert_eq!(socket(Some(Path::new("/o")), &settings, &blue), Path::new("/o"));
        assert_eq!(state_dir(&blue, &settings), Path::new("/d"));
    }
}
