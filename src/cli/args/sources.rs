//! The arguments of `top-sources` and `top`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::filters::FilterArguments;
use crate::cli::value;
use crate::core::model::{Grouping, SortBy};

/// Arguments of `top-sources`.
#[derive(Args, Debug)]
pub struct TopSources {
    /// Number of rows; 0 is all
    #[arg(short = 'n', value_name = "N", default_value_t = 20, value_parser = value::count,
        allow_hyphen_values = true)]
    pub limit: u64,
    /// Sort by this: all entries, new ones a second (without an agent listened to for 2 s), those without a reply, or
    /// those that are idle for certain and may go
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = By::Entries)]
    pub by: By,
    /// Count by this
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Group::Source)]
    pub group: Group,
    /// Read the kernel, whether an agent runs or not
    #[arg(long)]
    pub direct: bool,
    /// Sum by prefixes of these lengths; IPv6 alone is 64 where only one is given
    #[arg(long, value_name = "V4[,V6]", value_parser = value::prefix, allow_hyphen_values = true)]
    pub prefix: Option<(u8, u8)>,
    /// Print again after each such time (5, 0.5, 1m) [default: 2], until interrupted; with --json a line a time
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "2",
        value_parser = value::interval)]
    pub watch: Option<Duration>,
    /// Ask the resolver for names, for 2 s at most
    #[arg(long)]
    pub resolve: bool,
    /// Read a saved `conntrack -L` (in any of its forms) or /proc/net/nf_conntrack, also from a log or through grep
    /// (`-`: standard input), instead of this machine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["direct", "watch"])]
    pub input: Option<PathBuf>,
    #[command(flatten)]
    pub filters: FilterArguments,
}

/// Arguments of `top`.
#[derive(Args, Debug)]
pub struct Top {
    /// Sort by this at first
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = By::Entries)]
    pub by: By,
    /// Fold sources by prefixes of these lengths at first
    #[arg(long, value_name = "V4[,V6]", value_parser = value::prefix, allow_hyphen_values = true)]
    pub prefix: Option<(u8, u8)>,
    #[command(flatten)]
    pub filters: FilterArguments,
}

/// Values of `--by`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum By {
    Entries,
    New,
    Unreplied,
    Idle,
}

impl From<By> for SortBy {
    fn from(by: By) -> SortBy {
        match by {
            By::Entries => SortBy::Entries,
            By::New => SortBy::New,
            By::Unreplied => SortBy::Unreplied,
            By::Idle => SortBy::Idle,
        }
    }
}

/// Values of `--group`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Group {
    Source,
    Destination,
    Service,
    NatSource,
    Zone,
    Mark,
}

impl From<Group> for Grouping {
    fn from(group: Group) -> Grouping {
        match group {
            Group::Source => Grouping::Source,
            Group::Destination => Grouping::Destination,
            Group::Service => Grouping::Service,
            Group::NatSource => Grouping::NatSource,
            Group::Zone => Grouping::Zone,
            Group::Mark => Grouping::Mark,
        }
    }
}
