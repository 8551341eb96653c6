//! The arguments of `status`.

use clap::Args;

/// Arguments of `status`.
#[derive(Args, Debug)]
pub struct Status {
    /// One line with perfdata for a monitoring system, and its exit code
    #[arg(long)]
    pub check: bool,
    /// With --check: critical where no agent watches this namespace
    #[arg(long, requires = "check")]
    pub require_agent: bool,
    /// Every namespace of the host that has a table, the fullest first
    #[arg(long, conflicts_with = "check")]
    pub all: bool,
}
