//! The command `ctctl persist`.

use std::path::Path;

use super::args::{self, Global};
use super::place::Place;
use super::{output, render};
use crate::core::model::{EventsSetting, PersistDocument};
use crate::error::Result;
use crate::{direct, tools::persist};

/// Makes today's values hold at boot.
///
/// # Errors
/// Those of [`persist::run`].
pub fn run(global: &Global, options: &args::Persist) -> Result<u8> {
    let place = Place::find(global)?;
    let named = global.netns.is_some() || !place.settings.agent.netns.is_empty();
    let order = persist::Order {
        root: options.root.clone().unwrap_or_else(|| "/".into()),
        dry_run: options.dry_run,
        named,
        state_dir: place.state_dir.clone(),
        host_dir: Path::new(direct::HOST_DIR).into(),
        events: place.settings.agent.events == EventsSetting::On,
    };
    let document = persist::run(place.target.namespace(), &order)?;
    output::print(|out| match place.json {
        true => output::json(out, &document),
        false => render::persist::write(out, &document, &place.style),
    })?;
    Ok(exit_code(&document))
}

/// Returns 1 if a file that is read later overrides a written value.
fn exit_code(document: &PersistDocument) -> u8 {
    u8::from(!document.overridden.is_empty())
}
