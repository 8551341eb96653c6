//! The arguments of `events`.

use clap::{Args, ValueEnum};

use crate::cli::filters::FilterArguments;
use crate::cli::value;
use crate::core::model::EventKind;

/// Arguments of `events`.
#[derive(Args, Debug)]
pub struct Events {
    /// End after N events
    #[arg(short = 'n', long, value_name = "N", value_parser = value::limit, allow_hyphen_values = true)]
    pub count: Option<u64>,
    /// Only events of these kinds [default: all]
    #[arg(short = 'e', long = "event", value_name = "KIND", value_enum, value_delimiter = ',')]
    pub kinds: Vec<Kind>,
    #[command(flatten)]
    pub filters: FilterArguments,
}

impl Events {
    /// Returns the kinds of events to listen to: all where `--event` was not given.
    pub fn kinds(&self) -> Vec<EventKind> {
        let of = |kind: &Kind| match kind {
            Kind::New => EventKind::New,
            Kind::Update => EventKind::Update,
            Kind::Destroy => EventKind::Destroy,
        };
        match self.kinds.is_empty() {
            true => vec![EventKind::New, EventKind::Update, EventKind::Destroy],
            false => self.kinds.iter().map(of).collect(),
        }
    }
}

/// Values of `--event`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    New,
    Update,
    Destroy,
}
